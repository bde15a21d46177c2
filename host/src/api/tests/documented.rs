//! docs/api.md names every route of the router, and no other.

use super::{fake::Server, wire::call};

const PAGE: &str = include_str!("../../../../docs/api.md");
const ROUTER: &str = include_str!("../mod.rs");

/// `GET` and `/api/ai-monitor/plugins/{id}`, of each row.
pub fn documented() -> Vec<(&'static str, &'static str)> {
    let row = |line: &'static str| {
        let (method, rest) = line.strip_prefix("| ")?.split_once(" `")?;
        Some((method, rest.split_once('`')?.0))
    };
    PAGE.lines().filter_map(row).collect()
}

#[tokio::test]
async fn each_call_of_the_page_is_one() {
    let server = Server::start().await;
    let calls = documented();
    assert!(calls.len() > 20, "{calls:?}");
    for (method, path) in calls {
        let path = path.replace("{id}", "1").replace("{name}", "ollama");
        // Refused for its method alone, with those that are taken: nothing is done, and no stream is opened.
        let reply = call(&server, "PUT", &path, "").await;
        assert_eq!(reply.status, 405, "{path}");
        let taken = reply.header("allow").unwrap_or_default();
        assert!(taken.split(',').any(|taken| taken == method), "{method} {path}: {taken}");
    }
}

#[test]
fn each_route_is_on_the_page() {
    let routes = ROUTER.lines().filter_map(|line| line.trim().strip_prefix(".route(\""));
    let mut seen = 0;
    for (path, handler) in routes.filter_map(|route| route.split_once("\", ")) {
        let method = if handler.starts_with("get(") { "GET" } else { "POST" };
        let nested = if path.starts_with("/api/") { "" } else { "/api/ai-monitor" };
        let full = format!("{nested}{path}");
        assert!(documented().contains(&(method, full.as_str())), "{method} {full} is not in docs/api.md");
        seen += 1;
    }
    assert_eq!(seen, documented().len());
}

#[tokio::test]
async fn who_asks_for_nothing_is_told_where_to_look() {
    let server = Server::start().await;
    let reply = call(&server, "GET", "/api/plugins", "").await;
    let message = reply.json()["message"].as_str().unwrap_or_default().to_owned();
    assert!(reply.status == 404 && message.contains("/api/plugins") && message.contains("docs/api.md"), "{message}");
}
