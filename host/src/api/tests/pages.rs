//! The page and its files.

use super::{fake::Server, wire::call};

#[tokio::test]
async fn each_view_has_an_address_that_gives_the_page() {
    let server = Server::start().await;
    for path in [
        "/",
        "/ai-monitor",
        "/ai-monitor?state=offline",
        "/ai-monitor/targets/my%20model",
        "/ai-monitor/incidents",
        "/ai-monitor/incidents/17",
        "/ai-monitor/logs",
        "/ai-monitor/plugins",
    ] {
        let reply = call(&server, "GET", path, "").await;
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        assert!(reply.body.contains("<title>ai-monitor</title>"), "{path}");
    }
    assert_eq!(call(&server, "GET", "/assets/../Cargo.toml", "").await.status, 404);
    assert_eq!(call(&server, "GET", "/assets/none.js", "").await.json()["status"], "error");
}

/// Walks from the page over everything that it loads, as a browser would.
#[tokio::test]
async fn every_file_that_the_page_loads_is_inside() {
    let server = Server::start().await;
    let page = call(&server, "GET", "/", "").await.body;
    let mut open: Vec<String> = quoted(&page).filter(|q| q.starts_with("/assets/")).collect();
    let mut seen: Vec<String> = Vec::new();
    while let Some(path) = open.pop() {
        if seen.contains(&path) {
            continue;
        }
        let reply = call(&server, "GET", &path, "").await;
        assert_eq!(reply.status, 200, "{path}");
        let kind = reply.header("content-type").unwrap();
        assert_eq!(kind.starts_with("text/javascript"), path.ends_with(".js"), "{path}: {kind}");
        assert!(!reply.body.contains("innerHTML"), "{path} writes markup from text");
        // `import(…)` in a comment only names a type.
        for import in reply.body.split(" from \"./").skip(1) {
            let name = import.split('"').next().unwrap();
            open.push(format!("/assets/{name}"));
        }
        seen.push(path);
    }
    assert!(seen.len() > 20, "{seen:?}");
}

fn quoted(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split('"').skip(1).step_by(2).map(str::to_owned)
}
