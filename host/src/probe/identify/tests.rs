//! Servers of every kind that a rule must tell apart.

use std::sync::{Arc, Mutex};

use super::*;
use crate::probe::{
    http::Driver,
    testing::{Server, manifest},
};

fn manifests() -> Vec<Manifest> {
    vec![
        manifest(
            "ollama",
            r#"[{"is":"likely","all":[{"get":"/","contains":"Ollama is running"},{"get":"/api/version","has":["/version"]}]},
                {"is":"possible","all":[{"get":"/api/version","has":["/version"]}]}]"#,
        ),
        manifest(
            "localai",
            r#"[{"is":"certain","all":[{"get":"/.well-known/localai.json","has":["/version","/endpoints"]}]}]"#,
        ),
        manifest("lm-studio", r#"[{"is":"certain","all":[{"get":"/lmstudio-greeting","equals":{"/lmstudio":true}}]}]"#),
        manifest(
            "openai",
            r#"[{"is":"certain","variant":"llama.cpp","all":[{"get":"/health","status":[200,503],"header":{"Server":"llama.cpp"}}]},
                {"is":"possible","all":[{"get":"/v1/models","equals":{"/object":"list"}}]}]"#,
        ),
    ]
}

/// A server of pages; every other path is answered by `other`.
async fn server(pages: &[(&str, &str)], other: &str) -> (Server, Arc<Mutex<Vec<String>>>) {
    let pages: Vec<(String, String)> = pages.iter().map(|(path, page)| (path.to_string(), page.to_string())).collect();
    let (pages, other) = (Arc::new(pages), Arc::new(other.to_owned()));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let server = Server::start(move |mut connection| {
        let (pages, other, log) = (pages.clone(), other.clone(), log.clone());
        async move {
            while let Some(request) = connection.request().await {
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let page = pages.iter().find(|(known, _)| *known == path).map_or(&*other, |(_, page)| page);
                log.lock().unwrap().push(request);
                connection.send(page.as_bytes()).await;
            }
        }
    })
    .await;
    (server, asked)
}

fn page(status: &str, header: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{header}content-length: {}\r\n\r\n{body}", body.len())
}

async fn who(pages: &[(&str, &str)], other: &str) -> Identification {
    let (server, _asked) = server(pages, other).await;
    ask(server.address()).await
}

async fn ask(address: std::net::SocketAddr) -> Identification {
    let url = url::Url::parse(&format!("http://{address}")).unwrap();
    let all = manifests();
    identify_by(&Driver::new().unwrap().target(&url, None), &all.iter().collect::<Vec<_>>()).await
}

fn names(who: &[Identity]) -> Vec<&str> {
    who.iter().map(|one| one.backend.as_str()).collect()
}

#[tokio::test]
async fn the_highest_confidence_wins() {
    let not_found = page("404 Not Found", "", "{}");
    let running = page("200 OK", "", "Ollama is running");
    let version = page("200 OK", "", r#"{"version":"0.32.15"}"#);
    let ollama = who(&[("/", &running), ("/api/version", &version)], &not_found).await;
    assert_eq!(
        ollama.winner.as_ref().map(|one| (one.backend.as_str(), one.confidence)),
        Some(("ollama", Confidence::Likely))
    );
    assert!(ollama.answered && ollama.is_settled);

    let known = page("200 OK", "", r#"{"version":"3.0","endpoints":{}}"#);
    let models = page("200 OK", "", r#"{"object":"list","data":[]}"#);
    let pages = [("/.well-known/localai.json", &*known), ("/api/version", &version), ("/v1/models", &models)];
    let localai = who(&pages, &not_found).await;
    assert_eq!(localai.winner.as_ref().map(|one| one.backend.as_str()), Some("localai"));
    // Ollama and OpenAI's protocol, which it speaks too, are less sure: once it is certain, they are not asked for.
    assert_eq!(names(&localai.candidates), ["localai"]);
}

/// The rules whose checks go further than one GET, and a flavour that `GET /v1/models` does harm.
fn flavours() -> Vec<Manifest> {
    let mut all = manifests();
    all.retain(|manifest| manifest.id != "openai");
    all.push(manifest(
        "openai",
        r#"[{"is":"certain","variant":"router","all":[{"get":"/health","header":{"server":"llama.cpp"}},{"get":"/props","equals":{"/role":"router"}}]},
            {"is":"certain","variant":"llama.cpp","all":[{"get":"/health","header":{"server":"llama.cpp"}}]},
            {"is":"certain","variant":"vllm","all":[{"get":"/version","has":["/version"]},{"get":"/v1/models","equals":{"/data/0/owned_by":"vllm"}}]},
            {"is":"certain","variant":"python","all":[{"get":"/openapi.json","equals":{"/info/title":"python"}}]},
            {"is":"possible","all":[{"get":"/v1/models","equals":{"/object":"list"}}]}]"#,
    ));
    all
}

/// Who it is, and the paths that were asked, in alphabetical order.
async fn asked_for(manifests: &[Manifest], pages: &[(&str, &str)]) -> (Identification, Vec<String>) {
    let (server, asked) = server(pages, &page("404 Not Found", "", "{}")).await;
    let url = url::Url::parse(&format!("http://{}", server.address())).unwrap();
    let manifests: Vec<&Manifest> = manifests.iter().collect();
    let who = identify_by(&Driver::new().unwrap().target(&url, None), &manifests).await;
    let asked = asked.lock().unwrap();
    let mut paths: Vec<String> = asked.iter().filter_map(|r| Some(r.split(' ').nth(1)?.to_owned())).collect();
    paths.sort_unstable();
    (who, paths)
}

#[tokio::test]
async fn what_can_no_longer_change_the_result_is_not_asked() {
    let first_checks = ["/.well-known/localai.json", "/health", "/lmstudio-greeting", "/openapi.json", "/version"];
    let models = page("200 OK", "", r#"{"object":"list","data":[{"owned_by":"me"}]}"#);
    let openapi = page("200 OK", "", r#"{"info":{"title":"python"}}"#);
    let (who, asked) = asked_for(&flavours(), &[("/openapi.json", &openapi), ("/v1/models", &models)]).await;
    assert_eq!(who.winner.and_then(|one| one.variant).as_deref(), Some("python"));
    assert_eq!(asked, first_checks, "its list of models breaks off an answer");

    // What a first check lets hope for is asked to the end, also behind a rule that holds already.
    let health = page("200 OK", "server: llama.cpp\r\n", "{}");
    let props = page("200 OK", "", r#"{"role":"router"}"#);
    let (who, asked) = asked_for(&flavours(), &[("/health", &health), ("/props", &props)]).await;
    assert_eq!(who.winner.and_then(|one| one.variant).as_deref(), Some("router"));
    assert!(asked.iter().any(|path| path == "/props") && !asked.iter().any(|path| path == "/v1/models"), "{asked:?}");

    let version = page("200 OK", "", r#"{"version":"1"}"#);
    let vllm = page("200 OK", "", r#"{"object":"list","data":[{"owned_by":"vllm"}]}"#);
    let (who, _) = asked_for(&flavours(), &[("/version", &version), ("/v1/models", &vllm)]).await;
    assert_eq!(who.winner.and_then(|one| one.variant).as_deref(), Some("vllm"));
    // Where that fails, it is only the protocol.
    let (who, asked) = asked_for(&flavours(), &[("/version", &version), ("/v1/models", &models)]).await;
    assert_eq!(who.winner.map(|one| (one.confidence, one.variant)), Some((Confidence::Possible, None)));
    assert_eq!(asked.iter().filter(|path| *path == "/v1/models").count(), 1, "{asked:?}");
}

#[tokio::test]
async fn a_surer_rule_behind_a_less_sure_one_counts_only_where_that_fails() {
    let odd = manifest(
        "odd",
        r#"[{"is":"possible","all":[{"get":"/a","contains":"a"}]},{"is":"certain","all":[{"get":"/b","contains":"b"}]}]"#,
    );
    let sure = manifest("sure", r#"[{"is":"certain","all":[{"get":"/c","contains":"c"}]}]"#);
    let of = |text| page("200 OK", "", text);
    let (a, b, c) = (of("a"), of("b"), of("c"));
    let (who, _) = asked_for(std::slice::from_ref(&odd), &[("/a", &a), ("/b", &b)]).await;
    assert_eq!(who.winner.map(|one| one.confidence), Some(Confidence::Possible));
    let (who, _) = asked_for(&[odd, sure], &[("/b", &b), ("/c", &c)]).await;
    assert_eq!((who.winner, names(&who.candidates)), (None, vec!["odd", "sure"]));
}

#[tokio::test]
async fn what_was_put_off_or_broken_off_is_not_settled() {
    let version = page("200 OK", "", r#"{"version":"1"}"#);
    let later = page("503 Service Unavailable", "", "{}");
    assert!(who(&[("/api/version", &version)], &page("500 Internal Server Error", "", "{}")).await.is_settled);
    for other in [&later, "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nhalf"] {
        let who = who(&[("/.well-known/localai.json", &version), ("/health", other)], &version).await;
        assert!(who.answered && !who.is_settled, "{other}: {who:?}");
    }
    assert!(!Identification::default().is_settled);
}

#[tokio::test]
async fn a_200_for_everything_proves_nothing() {
    let greeting = page("200 OK", "", r#"{"lmstudio":true}"#);
    let anything = page("200 OK", "", r#"{"error":"Unexpected endpoint or method."}"#);
    let studio = who(&[("/lmstudio-greeting", &greeting)], &anything).await;
    assert_eq!(names(&studio.candidates), ["lm-studio"]);
    let stranger = who(&[], &anything).await;
    assert!(stranger.candidates.is_empty() && stranger.answered);
}

#[tokio::test]
async fn a_llama_server_that_loads_is_known_with_its_variant() {
    let loading = page("503 Service Unavailable", "Server: llama.cpp\r\n", r#"{"error":{"message":"Loading model"}}"#);
    let winner = who(&[], &loading).await.winner.unwrap();
    assert_eq!((winner.backend.as_str(), winner.variant.as_deref()), ("openai", Some("llama.cpp")));
}

#[tokio::test]
async fn a_tie_is_left_to_the_user() {
    let version = page("200 OK", "", r#"{"version":"1"}"#);
    let models = page("200 OK", "", r#"{"object":"list"}"#);
    let tie = who(&[("/api/version", &version), ("/v1/models", &models)], &page("404 Not Found", "", "")).await;
    assert_eq!(tie.winner, None);
    assert_eq!(names(&tie.candidates), ["ollama", "openai"]);
}

#[tokio::test]
async fn half_an_answer_proves_nothing() {
    let server = Server::closing_after("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nOllama is running").await;
    let who = ask(server.address()).await;
    assert!(who.candidates.is_empty() && who.answered);
}

#[tokio::test]
async fn each_question_is_asked_once_and_without_a_key() {
    let (server, asked) = server(&[], &page("404 Not Found", "", "")).await;
    let url = url::Url::parse(&format!("http://{}", server.address())).unwrap();
    let auth = crate::config::model::Auth::BearerFile("/nonexistent".into());
    let all = manifests();
    identify_by(&Driver::new().unwrap().target(&url, Some(auth)), &all.iter().collect::<Vec<_>>()).await;
    let asked = asked.lock().unwrap();
    let mut paths: Vec<&str> = asked.iter().filter_map(|request| request.split(' ').nth(1)).collect();
    paths.sort_unstable();
    let expected = ["/", "/.well-known/localai.json", "/api/version", "/health", "/lmstudio-greeting", "/v1/models"];
    assert_eq!(paths, expected);
    assert!(asked.iter().all(|request| !request.to_ascii_lowercase().contains("authorization")));
}

#[tokio::test]
async fn nobody_is_nobody() {
    let address = Server::silent().await.stop().await;
    assert_eq!(ask(address).await, Identification::default());
}

#[tokio::test]
async fn the_bundled_rules_ask_each_question_once_too() {
    let (server, asked) = server(&[], &page("404 Not Found", "", "")).await;
    let url = url::Url::parse(&format!("http://{}", server.address())).unwrap();
    identify(&Driver::new().unwrap().target(&url, None), &Registry::bundled()).await;
    let asked = asked.lock().unwrap();
    let mut paths: Vec<&str> = asked.iter().filter_map(|request| request.split(' ').nth(1)).collect();
    paths.sort_unstable();
    let all = paths.len();
    paths.dedup();
    assert_eq!(all, paths.len(), "{paths:?}");
    assert!(paths.contains(&"/lmstudio-greeting") && paths.contains(&"/.well-known/localai.json"));
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let server = Server::start(|mut connection| async move {
        while connection.request().await.is_some() {
            if !connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await {
                return;
            }
            let chunk = format!("1000\r\n{}\r\n", "Ollama is running".repeat(241)[..0x1000].to_owned());
            while connection.send(chunk.as_bytes()).await {}
        }
    })
    .await;
    let who = tokio::time::timeout(crate::probe::testing::PATIENCE, ask(server.address())).await.expect("it ends");
    assert!(who.candidates.is_empty() && who.answered, "half an answer proves nothing: {who:?}");
}
