//! Host and origin: on every route, before it is looked at.

use super::{
    documented::documented,
    fake::Server,
    wire::{Reply, ask, call, send},
};

/// What is asked for beside the calls of docs/api.md: the page's views and files, and what there is not.
const MORE: &[(&str, &str)] = &[
    ("GET", "/"),
    ("GET", "/ai-monitor"),
    ("GET", "/ai-monitor/targets/ollama"),
    ("GET", "/ai-monitor/incidents"),
    ("GET", "/ai-monitor/incidents/17"),
    ("GET", "/ai-monitor/logs"),
    ("GET", "/ai-monitor/plugins"),
    ("GET", "/assets/main.js"),
    ("GET", "/assets/style.css"),
    ("GET", "/no/such/route"),
    ("DELETE", "/api/ai-monitor/status"),
    ("OPTIONS", "/api/ai-monitor/heal"),
    ("HEAD", "/"),
];

/// Every route of the server, and some that it has not.
fn routes() -> Vec<(&'static str, String)> {
    let calls =
        documented().into_iter().map(|(method, path)| (method, path.replace("{id}", "17").replace("{name}", "ollama")));
    calls.chain(MORE.iter().map(|(method, path)| (*method, (*path).to_owned()))).collect()
}

fn assert_refused(reply: &Reply, what: &str) {
    assert_eq!(reply.status, 403, "{what}: {reply:?}");
    if !reply.body.is_empty() {
        assert_eq!(reply.json()["status"], "error", "{what}");
    }
    assert_eq!(reply.header("access-control-allow-origin"), None, "{what}");
    assert!(reply.header("content-security-policy").is_some(), "{what}");
}

#[tokio::test]
async fn every_route_refuses_a_strange_host_and_a_strange_origin() {
    let server = Server::start().await;
    let host = server.addr.to_string();
    for (method, path) in routes() {
        let rebound = [("Host", "evil.example:5000")];
        let foreign = [("Host", host.as_str()), ("Origin", "http://evil.example")];
        let cross = [("Host", host.as_str()), ("Sec-Fetch-Site", "cross-site")];
        for headers in [&rebound[..], &foreign, &cross] {
            assert_refused(&ask(&server, method, &path, headers, "").await, &path);
        }
    }
    assert!(server.monitor.healed.lock().unwrap().is_empty());
    assert!(server.monitor.managed.lock().unwrap().is_empty());
    let snapshot = server.monitor.snapshot_now();
    assert!(snapshot.monitoring_active && snapshot.targets.iter().all(|t| t.enabled == (t.name != "off")));
}

#[tokio::test]
async fn look_alikes_of_our_names_are_strangers() {
    let server = Server::start().await;
    let port = server.addr.port();
    let other = if port == u16::MAX { 1024 } else { port + 1 };
    let hosts = [
        format!("localhost.evil.com:{port}"),
        format!("127.0.0.1.evil.com:{port}"),
        format!("evil-localhost:{port}"),
        format!("evil.com:{port}"),
        format!("localhost.:{port}"),
        format!("127.0.0.1.:{port}"),
        format!("user@127.0.0.1:{port}"),
        format!("127.0.0.1:{port}@evil.com"),
        format!("127.0.0.1:0{port}"),
        format!("127.0.0.1:{other}"),
        format!("127.0.0.1:{port}:{port}"),
        format!("127.1:{port}"),
        format!("0x7f000001:{port}"),
        format!("2130706433:{port}"),
        format!("0.0.0.0:{port}"),
        format!("::1:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("127.0.0.1:{port}, 127.0.0.1:{port}"),
        format!("127.0.0.1:{port}/"),
        "127.0.0.1".to_owned(),
        "localhost".to_owned(),
        String::new(),
    ];
    for host in &hosts {
        assert_refused(&ask(&server, "GET", "/api/health", &[("Host", host)], "").await, host);
    }
    for host in [format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("LOCALHOST:{port}")] {
        assert_eq!(ask(&server, "GET", "/api/health", &[("Host", &host)], "").await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn a_host_that_is_missing_or_named_twice_is_refused() {
    let server = Server::start().await;
    let host = server.addr.to_string();
    assert_refused(&ask(&server, "GET", "/", &[], "").await, "none");
    assert_refused(&ask(&server, "GET", "/", &[("Host", &host), ("Host", &host)], "").await, "the same twice");
    assert_refused(&ask(&server, "GET", "/", &[("Host", &host), ("Host", "evil.com")], "").await, "two");
    assert_refused(&send(&server, b"GET / HTTP/1.0\r\n\r\n").await.unwrap(), "HTTP/1.0");
    let old = format!("GET /api/health HTTP/1.0\r\nHost: {host}\r\n\r\n");
    assert_eq!(send(&server, old.as_bytes()).await.unwrap().status, 200);
}

#[tokio::test]
async fn an_absolute_target_must_name_this_server_as_well() {
    let server = Server::start().await;
    let host = server.addr.to_string();
    let ours = [("Host", host.as_str())];
    let health = "/api/health";
    assert_eq!(ask(&server, "GET", &format!("http://{host}{health}"), &ours, "").await.status, 200);
    for target in [
        format!("http://evil.com{health}"),
        format!("https://{host}{health}"),
        format!("http://user@{host}{health}"),
        format!("http://localhost.evil.com:{}{health}", server.addr.port()),
    ] {
        assert_refused(&ask(&server, "GET", &target, &ours, "").await, &target);
    }
    let rebound = [("Host", "evil.com")];
    assert_refused(&ask(&server, "GET", &format!("http://{host}{health}"), &rebound, "").await, "strange host");
    assert_refused(&ask(&server, "CONNECT", &host, &ours, "").await, "CONNECT");
}

#[tokio::test]
async fn only_our_own_pages_may_call() {
    let server = Server::start().await;
    let host = server.addr.to_string();
    let port = server.addr.port();
    let own = format!("http://{host}");
    let strange = [
        "null".to_owned(),
        String::new(),
        format!("https://{host}"),
        "http://127.0.0.1".to_owned(),
        format!("http://localhost:{port}"),
        format!("http://127.0.0.1.evil.com:{port}"),
        format!("{own}.evil.com"),
        format!("{own}/"),
        format!("{own} http://evil.com"),
        "file://".to_owned(),
    ];
    for origin in &strange {
        for (method, path) in [("GET", "/api/ai-monitor/status"), ("POST", "/api/ai-monitor/stop")] {
            let headers = [("Host", host.as_str()), ("Origin", origin.as_str())];
            assert_refused(&ask(&server, method, path, &headers, "").await, origin);
        }
    }
    let twice = [("Host", host.as_str()), ("Origin", own.as_str()), ("Origin", "http://evil.com")];
    assert_refused(&ask(&server, "POST", "/api/ai-monitor/stop", &twice, "").await, "two origins");
    for site in ["cross-site", "same-site", "nonsense"] {
        let headers = [("Host", host.as_str()), ("Origin", own.as_str()), ("Sec-Fetch-Site", site)];
        assert_refused(&ask(&server, "POST", "/api/ai-monitor/stop", &headers, "").await, site);
    }
    assert!(server.monitor.snapshot_now().monitoring_active);

    let headers = [("Host", host.as_str()), ("Origin", own.as_str()), ("Sec-Fetch-Site", "same-origin")];
    assert_eq!(ask(&server, "POST", "/api/ai-monitor/stop", &headers, "").await.status, 200);
    assert!(!server.monitor.snapshot_now().monitoring_active);
}

#[tokio::test]
async fn a_referer_stands_in_for_an_origin_that_is_missing() {
    let server = Server::start().await;
    let host = server.addr.to_string();
    let own = format!("http://{host}");
    for referer in ["http://evil.com/".to_owned(), format!("{own}.evil.com/"), format!("{own}1/"), "about:blank".into()]
    {
        let headers = [("Host", host.as_str()), ("Referer", referer.as_str())];
        assert_refused(&ask(&server, "POST", "/api/ai-monitor/stop", &headers, "").await, &referer);
        // A link that somebody followed: nothing is changed by it, and no script of theirs can read it.
        assert_eq!(ask(&server, "GET", "/", &headers, "").await.status, 200, "{referer}");
    }
    let page = format!("{own}/ai-monitor");
    let headers = [("Host", host.as_str()), ("Referer", page.as_str())];
    assert_eq!(ask(&server, "POST", "/api/ai-monitor/stop", &headers, "").await.status, 200);
}

#[tokio::test]
async fn no_answer_invites_other_sites_or_lets_itself_be_framed_or_sniffed() {
    let server = Server::start().await;
    for (method, path) in routes().into_iter().filter(|(_, path)| !path.ends_with("/events")) {
        let reply = call(&server, method, &path, "").await;
        assert_ne!(reply.status, 403, "{path}");
        assert!(!reply.headers.iter().any(|(name, _)| name.starts_with("access-control-")), "{path}: {reply:?}");
        let csp = reply.header("content-security-policy").unwrap();
        assert!(csp.contains("default-src 'self'") && csp.contains("frame-ancestors 'none'"), "{path}: {csp}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        if path.starts_with("/api/ai-monitor") {
            assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
        }
    }
}

#[test]
fn a_browser_leaves_port_80_out() {
    let gate = crate::api::Gate::new("127.0.0.1:80".parse().unwrap());
    let check = |host: &str| {
        let request = axum::http::Request::get("/").header("host", host).body(()).unwrap();
        gate.check(&request.into_parts().0)
    };
    for host in ["localhost", "127.0.0.1", "localhost:80", "[::1]"] {
        assert_eq!(check(host), Ok(()), "{host}");
    }
    assert!(check("evil.com").is_err());
}

#[test]
fn an_ipv6_server_is_known_by_its_address_in_brackets() {
    let gate = crate::api::Gate::new("[::1]:5000".parse().unwrap());
    let request = axum::http::Request::get("/").header("host", "[::1]:5000").header("origin", "http://[::1]:5000");
    assert_eq!(gate.check(&request.body(()).unwrap().into_parts().0), Ok(()));
}
