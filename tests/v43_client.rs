//! A client written from the v4.3 wire contract alone: it makes every call and checks each field and its type.

use std::collections::BTreeSet;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Map, Value, json};

const STATUSES: &[&str] = &["unknown", "online", "offline", "recovering", "failed"];
const DOWN: &[&str] = &["offline", "failed", "recovering"];

/// Makes every call of the contract against the server at `base` (`http://127.0.0.1:5000`) and panics at the first
/// answer that a client of v4.3 would not understand.
///
/// It heals what is down, and leaves monitoring, debug and each target's switch as it found them.
pub async fn check_contract(base: &str) {
    // The binary installs it for itself; a second time is refused and does not matter.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = V43 { http: Client::new(), base: base.trim_end_matches('/').to_owned() };
    client.pages().await;
    let names = client.models().await;
    client.status().await;
    client.config(&names).await;
    client.logs().await;
    client.start_and_stop().await;
    client.debug().await;
    client.switches(&names).await;
    client.heals(&names).await;
    client.mistakes().await;
}

struct V43 {
    http: Client,
    base: String,
}

struct Reply {
    what: String,
    code: StatusCode,
    content_type: String,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        assert!(self.content_type.starts_with("application/json"), "{}: {}", self.what, self.content_type);
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{}: {error}: {}", self.what, self.text))
    }
}

impl V43 {
    async fn call(&self, method: Method, path: &str, body: Option<&str>) -> Reply {
        let what = format!("{method} {path} {}", body.unwrap_or(""));
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body.to_owned());
        }
        let response = request.send().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let content_type =
            response.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        let code = response.status();
        let text = response.text().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        Reply { what, code, content_type, text }
    }

    /// An answer with HTTP 200 whose `status` is one of `allowed`.
    async fn answer(&self, method: Method, path: &str, body: Option<&str>, allowed: &[&str]) -> Value {
        let reply = self.call(method, &format!("/api/ai-monitor{path}"), body).await;
        assert_eq!(reply.code, StatusCode::OK, "{}: {}", reply.what, reply.text);
        let json = reply.json();
        let status = json["status"].as_str().unwrap_or_else(|| panic!("{}: no status", reply.what));
        assert!(allowed.contains(&status), "{}: status {status:?}: {}", reply.what, reply.text);
        json
    }

    async fn get(&self, path: &str) -> Value {
        self.answer(Method::GET, path, None, &["success"]).await
    }

    async fn post(&self, path: &str, body: Option<&str>) -> Value {
        let json = self.answer(Method::POST, path, body, &["success", "warning"]).await;
        text(&json, "message", path);
        json
    }

    async fn mistake(&self, method: Method, path: &str, body: Option<&str>, code: u16) {
        let reply = self.call(method, path, body).await;
        assert_eq!(reply.code.as_u16(), code, "{}: {}", reply.what, reply.text);
        let json = reply.json();
        assert_eq!(json["status"], "error", "{}", reply.what);
        text(&json, "message", &reply.what);
    }

    async fn pages(&self) {
        for path in ["/", "/ai-monitor"] {
            let reply = self.call(Method::GET, path, None).await;
            assert_eq!(reply.code, StatusCode::OK, "{path}");
            assert!(reply.content_type.starts_with("text/html"), "{path}: {}", reply.content_type);
        }
        let health = self.call(Method::GET, "/api/health", None).await;
        assert_eq!(health.code, StatusCode::OK);
        assert_eq!(health.json()["status"], "ok");
        assert!(health.json().get("service").is_some(), "/api/health: no service");
    }

    async fn summary(&self) -> Value {
        self.get("/status").await["data"].take()
    }

    async fn status(&self) {
        let reply = self.get("/status").await;
        check_summary(&reply["data"], "/status");
        time(&reply, "timestamp", "/status");
    }

    /// Gives name → is it enabled.
    async fn models(&self) -> Vec<(String, bool)> {
        let reply = self.get("/models").await;
        let rows = object(&reply, "models", "/models");
        assert_eq!(count(&reply, "total_models", "/models"), rows.len() as u64);
        let mut names = Vec::new();
        for (name, row) in rows {
            let what = format!("/models {name}");
            assert_eq!(text(row, "name", &what), name);
            assert!(text(row, "url", &what).starts_with("http"), "{what}");
            assert!((1..=65_535).contains(&count(row, "port", &what)), "{what}");
            check_measurements(row, &what);
            names.push((name.clone(), boolean(row, "enabled", &what)));
        }
        let enabled = names.iter().filter(|(_, enabled)| *enabled).count() as u64;
        assert_eq!(count(&reply, "enabled_models", "/models"), enabled);

        let side = self.call(Method::GET, "/api/models", None).await.json();
        assert_eq!(keys(object(&side, "models", "/api/models")), keys(rows));
        names
    }

    async fn config(&self, names: &[(String, bool)]) {
        let config = self.get("/config").await["config"].take();
        assert!(number(&config, "check_interval", "/config") > 0.0);
        boolean(&config, "debug_mode", "/config");
        boolean(&config, "monitoring_active", "/config");
        let models = object(&config, "models", "/config");
        assert_eq!(models.len(), names.len());
        for (name, enabled) in names {
            let (what, model) = (format!("/config {name}"), &models[name]);
            assert_eq!(text(model, "name", &what), name);
            text(model, "url", &what);
            assert!(text(model, "health_endpoint", &what).starts_with('/'), "{what}");
            assert_eq!(boolean(model, "enabled", &what), *enabled, "{what}");
            count(model, "port", &what);
            assert!(number(model, "timeout", &what) > 0.0, "{what}");
            assert!(number(model, "restart_delay", &what) >= 0.0, "{what}");
            count(model, "max_restart_attempts", &what);
        }
    }

    async fn logs(&self) {
        for (query, lines, kind) in [
            ("", 50, "both"),
            ("?lines=1", 1, "both"),
            ("?lines=10000&type=monitor", 10_000, "monitor"),
            ("?type=recovery", 50, "recovery"),
            ("?type=both&lines=5", 5, "both"),
        ] {
            let path = format!("/logs{query}");
            let reply = self.get(&path).await;
            assert_eq!(count(&reply, "lines_requested", &path), lines);
            assert_eq!(text(&reply, "log_type", &path), kind);
            for list in ["monitor", "recovery"].into_iter().filter(|list| kind == "both" || kind == *list) {
                let given = reply["logs"][list].as_array().unwrap_or_else(|| panic!("{path}: no list {list}"));
                assert!(given.len() as u64 <= lines, "{path}: {} lines", given.len());
                assert!(given.iter().all(Value::is_string), "{path}: a line that is no text");
            }
        }
        for query in ["lines=0", "lines=10001", "lines=many", "type=everything"] {
            self.mistake(Method::GET, &format!("/api/ai-monitor/logs?{query}"), None, 400).await;
        }
    }

    async fn start_and_stop(&self) {
        let was_active = boolean(&self.summary().await, "monitoring_active", "/status");
        let stopped = self.post("/stop", None).await;
        check_summary(&stopped["data"], "/stop");
        assert_eq!(stopped["data"]["monitoring_active"], false);
        let started = self.answer(Method::POST, "/start", Some("{}"), &["success"]).await;
        check_summary(&started["data"], "/start");
        assert_eq!(started["data"]["monitoring_active"], true);
        let again = self.answer(Method::POST, "/start", Some(""), &["warning"]).await;
        check_summary(&again["data"], "/start again");
        if !was_active {
            self.post("/stop", None).await;
        }
    }

    async fn debug(&self) {
        let was_on = boolean(&self.summary().await, "debug_mode", "/status");
        for (body, on) in [(Some(r#"{"enabled": true}"#), true), (None, false), (Some("{}"), false)] {
            let reply = self.post("/debug", body).await;
            assert_eq!(boolean(&reply, "debug_mode", "/debug"), on, "{body:?}");
            check_summary(&reply["data"], "/debug");
            assert_eq!(reply["data"]["debug_mode"], on);
        }
        self.post("/debug", Some(&json!({ "enabled": was_on }).to_string())).await;
    }

    async fn switches(&self, names: &[(String, bool)]) {
        for (name, was_enabled) in names {
            let order = if *was_enabled { ["disable", "enable"] } else { ["enable", "disable"] };
            for switch in order {
                let path = format!("/models/{}/{switch}", percent_encoded(name));
                let reply = self.post(&path, None).await;
                assert_eq!(text(&reply, "model", &path), name);
                let row = self.get("/models").await["models"][name].take();
                assert_eq!(boolean(&row, "enabled", &path), switch == "enable");
            }
        }
        for switch in ["enable", "disable"] {
            self.mistake(Method::POST, &format!("/api/ai-monitor/models/no-such-model/{switch}"), None, 404).await;
        }
    }

    async fn heals(&self, names: &[(String, bool)]) {
        self.mistake(Method::POST, "/api/ai-monitor/heal", Some(r#"{"model": "no-such-model"}"#), 400).await;
        for (name, _) in names {
            let reply = self.post("/heal", Some(&json!({ "model": name }).to_string())).await;
            assert_eq!(text(&reply, "model", "/heal"), name);
            let success = boolean(&reply, "success", "/heal");
            assert_eq!(reply["status"], if success { "success" } else { "warning" }, "{reply}");
            check_summary(&reply["data"], "/heal");
        }

        let reply = self.post("/heal-now", None).await;
        let down = reply["offline_models"].as_array().unwrap_or_else(|| panic!("/heal-now: {reply}"));
        if down.is_empty() {
            check_summary(&reply["data"], "/heal-now");
        } else {
            let results = object(&reply, "healing_results", "/heal-now");
            for name in down {
                let name = name.as_str().unwrap_or_else(|| panic!("/heal-now: {reply}"));
                assert!(results[name].is_boolean(), "/heal-now: {reply}");
                let before = reply["before"]["models"][name]["status"].as_str().unwrap_or_default();
                assert!(DOWN.contains(&before), "/heal-now: {name} was {before}");
            }
            check_summary(&reply["before"], "/heal-now before");
            check_summary(&reply["after"], "/heal-now after");
            time(&reply, "timestamp", "/heal-now");
        }

        let all = self.post("/heal", None).await;
        check_summary(&all["data"], "/heal all");
        let results = object(&all, "results", "/heal all");
        let enabled = names.iter().filter(|(_, enabled)| *enabled).map(|(name, _)| name.clone()).collect();
        assert_eq!(keys(results), enabled);
        assert!(results.values().all(Value::is_boolean), "/heal all: {all}");
    }

    async fn mistakes(&self) {
        for (path, body) in [
            ("/heal", "{"),
            ("/heal", r#"{"model": 7}"#),
            ("/heal", r#"["ollama"]"#),
            ("/debug", r#"{"enabled": "yes"}"#),
            ("/start", "not json"),
        ] {
            self.mistake(Method::POST, &format!("/api/ai-monitor{path}"), Some(body), 400).await;
        }
        self.mistake(Method::GET, "/api/ai-monitor/no-such-route", None, 404).await;
        self.mistake(Method::GET, "/no-such-page", None, 404).await;
        self.mistake(Method::GET, "/api/ai-monitor/heal", None, 405).await;
        self.mistake(Method::DELETE, "/api/ai-monitor/status", None, 405).await;
    }
}

fn check_summary(summary: &Value, what: &str) {
    let overall = text(summary, "overall_status", what);
    let online = count(summary, "online_models", what);
    let total = count(summary, "total_models", what);
    let expected = if online == total {
        "healthy"
    } else if online > 0 {
        "degraded"
    } else {
        "critical"
    };
    assert_eq!(overall, expected, "{what}: {online} of {total}");
    boolean(summary, "monitoring_active", what);
    boolean(summary, "debug_mode", what);
    time_or_null(summary, "last_check", what);
    time(summary, "timestamp", what);
    for (name, model) in object(summary, "models", what) {
        let what = format!("{what} {name}");
        assert_eq!(text(model, "name", &what), name);
        check_measurements(model, &what);
        let process = field(model, "process_id", &what);
        assert!(process.is_null() || process.as_u64().is_some_and(|pid| pid > 0), "{what}: process_id {process}");
    }
}

/// What rows and summaries have in common.
fn check_measurements(model: &Value, what: &str) {
    let status = text(model, "status", what);
    assert!(STATUSES.contains(&status), "{what}: status {status:?}");
    time_or_null(model, "last_check", what);
    time_or_null(model, "last_success", what);
    count(model, "restart_count", what);
    let message = field(model, "error_message", what);
    assert!(message.is_null() || message.is_string(), "{what}: error_message {message}");
    let ms = field(model, "response_time", what);
    assert!(ms.is_null() || ms.as_f64().is_some_and(|ms| ms >= 0.0), "{what}: response_time {ms}");
}

fn keys(object: &Map<String, Value>) -> BTreeSet<String> {
    object.keys().cloned().collect()
}

/// A field that must be there, null or not.
fn field<'a>(object: &'a Value, name: &str, what: &str) -> &'a Value {
    object.get(name).unwrap_or_else(|| panic!("{what}: no field {name} in {object}"))
}

fn text<'a>(object: &'a Value, name: &str, what: &str) -> &'a str {
    let value = field(object, name, what);
    value.as_str().unwrap_or_else(|| panic!("{what}: {name} is no text: {value}"))
}

fn boolean(object: &Value, name: &str, what: &str) -> bool {
    let value = field(object, name, what);
    value.as_bool().unwrap_or_else(|| panic!("{what}: {name} is neither true nor false: {value}"))
}

fn number(object: &Value, name: &str, what: &str) -> f64 {
    let value = field(object, name, what);
    value.as_f64().unwrap_or_else(|| panic!("{what}: {name} is no number: {value}"))
}

fn count(object: &Value, name: &str, what: &str) -> u64 {
    let value = field(object, name, what);
    value.as_u64().unwrap_or_else(|| panic!("{what}: {name} is no count: {value}"))
}

fn object<'a>(parent: &'a Value, name: &str, what: &str) -> &'a Map<String, Value> {
    let value = field(parent, name, what);
    value.as_object().unwrap_or_else(|| panic!("{what}: {name} is no object: {value}"))
}

/// `2026-11-24T12:00:00`, with or without a fraction and an offset.
fn time(object: &Value, name: &str, what: &str) {
    let text = text(object, name, what);
    let shape: String = text.chars().take(19).map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert_eq!(shape, "9999-99-99T99:99:99", "{what}: {name} is no ISO-8601 time: {text}");
}

fn time_or_null(object: &Value, name: &str, what: &str) {
    if !field(object, name, what).is_null() {
        time(object, name, what);
    }
}

fn percent_encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
