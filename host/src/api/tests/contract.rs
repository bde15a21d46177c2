//! contract-v4.3, call by call, against known content.

use serde_json::{Value, json};

use super::{
    fake::{FakeMonitor, SPACED, STUBBORN, Server, at_iso, snapshot, target, usual},
    wire::{ask, call},
};
use crate::health::state::State;

#[path = "../../../../tests/v43_client.rs"]
mod v43_client;

const BASE: &str = "/api/ai-monitor";

async fn get(server: &Server, path: &str) -> Value {
    let reply = call(server, "GET", &format!("{BASE}{path}"), "").await;
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    reply.json()
}

async fn post(server: &Server, path: &str, body: &str) -> Value {
    let reply = call(server, "POST", &format!("{BASE}{path}"), body).await;
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    reply.json()
}

/// The error's message, its status checked.
async fn error(server: &Server, method: &str, path: &str, body: &str, status: u16) -> String {
    let reply = call(server, method, path, body).await;
    assert_eq!(reply.status, status, "{method} {path} {body}: {reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/json"), "{path}");
    let json = reply.json();
    assert_eq!(json["status"], "error", "{path}");
    json["message"].as_str().expect("a message").to_owned()
}

#[tokio::test]
async fn a_client_written_from_the_contract_alone_is_content() {
    let server = Server::start().await;
    std::fs::write(server.logs.path().join("ai_monitor.log"), "one\ntwo\n").unwrap();
    v43_client::check_contract(&server.base()).await;
}

#[tokio::test]
async fn the_client_is_content_without_targets_too() {
    let server = Server::of(FakeMonitor::new(snapshot(vec![]))).await;
    v43_client::check_contract(&server.base()).await;
}

#[tokio::test]
async fn status_gives_the_summary() {
    let server = Server::start().await;
    let reply = get(&server, "/status").await;
    let data = &reply["data"];
    assert_eq!(reply["status"], "success");
    assert!(reply["timestamp"].is_string());
    assert_eq!(data["overall_status"], "degraded");
    assert_eq!(data["online_models"], 2);
    assert_eq!(data["total_models"], 5);
    assert_eq!(data["monitoring_active"], true);
    assert_eq!(data["debug_mode"], false);
    assert_eq!(data["last_check"], at_iso());
    assert_eq!(data["timestamp"], at_iso());
    assert_eq!(
        data["models"]["coder"],
        json!({
            "name": "coder", "status": "offline", "last_check": at_iso(), "last_success": null, "restart_count": 2,
            "error_message": "connection refused", "response_time": null, "process_id": null,
            "state": "offline", "why": "coder is offline", "fault": null,
        })
    );
    assert_eq!(data["models"]["ollama"]["process_id"], 48190);
    assert_eq!(data["models"]["ollama"]["response_time"], 2.5);
}

#[tokio::test]
async fn times_are_what_older_pythons_read() {
    assert_eq!(at_iso(), "2026-11-24T12:00:00.123456+00:00");
}

#[tokio::test]
async fn the_overall_status_counts_what_is_enabled() {
    for (states, overall, online, total) in [
        (vec![], "healthy", 0, 0),
        (vec![State::Disabled], "healthy", 0, 0),
        (vec![State::Online, State::Sleeping, State::Disabled], "healthy", 2, 2),
        (vec![State::Online, State::Offline], "degraded", 1, 2),
        (vec![State::Failed, State::Healing], "critical", 0, 2),
        (vec![State::Unknown], "critical", 0, 1),
    ] {
        let targets = states.iter().enumerate().map(|(i, state)| target(&format!("t{i}"), *state)).collect();
        let server = Server::of(FakeMonitor::new(snapshot(targets))).await;
        let data = get(&server, "/status").await["data"].take();
        assert_eq!(data["overall_status"], overall, "{states:?}");
        assert_eq!((data["online_models"].as_u64(), data["total_models"].as_u64()), (Some(online), Some(total)));
    }
}

#[tokio::test]
async fn every_state_has_its_v43_word() {
    for (state, word) in [
        (State::Online, "online"),
        (State::Busy, "online"),
        (State::Sleeping, "online"),
        (State::Slow, "online"),
        (State::Checking, "online"),
        (State::Loading, "recovering"),
        (State::Healing, "recovering"),
        (State::Offline, "offline"),
        (State::Failed, "failed"),
        (State::Unknown, "unknown"),
        (State::KeyRefused, "unknown"),
        (State::Stopped, "unknown"),
        (State::Paused, "unknown"),
        (State::Disabled, "unknown"),
    ] {
        let server = Server::of(FakeMonitor::new(snapshot(vec![target("t", state)]))).await;
        assert_eq!(get(&server, "/models").await["models"]["t"]["status"], word, "{state:?}");
    }
}

#[tokio::test]
async fn models_gives_rows_and_both_paths_give_the_same() {
    let server = Server::start().await;
    let reply = get(&server, "/models").await;
    assert_eq!((&reply["total_models"], &reply["enabled_models"]), (&json!(6), &json!(5)));
    assert_eq!(
        reply["models"]["off"],
        json!({
            "name": "off", "url": "http://127.0.0.1:11434", "enabled": false, "port": 11434, "status": "unknown",
            "last_check": at_iso(), "last_success": at_iso(), "restart_count": 0, "error_message": null,
            "response_time": 2.5, "state": "disabled", "why": "off is disabled", "fault": null,
        })
    );
    assert_eq!(call(&server, "GET", "/api/models", "").await.json(), reply);
}

#[tokio::test]
async fn a_target_not_looked_at_yet_has_nulls() {
    let server = Server::of(FakeMonitor::new(snapshot(vec![target("new", State::Unknown)]))).await;
    let data = get(&server, "/status").await["data"].take();
    assert_eq!(data["last_check"], Value::Null);
    for field in ["last_check", "last_success", "response_time", "process_id", "error_message"] {
        assert_eq!(data["models"]["new"].get(field), Some(&Value::Null), "{field}");
    }
}

#[tokio::test]
async fn start_and_stop_warn_when_it_is_so_already() {
    let server = Server::start().await;
    for (path, status, active) in [
        ("/start", "warning", true),
        ("/stop", "success", false),
        ("/stop", "warning", false),
        ("/start", "success", true),
    ] {
        let reply = post(&server, path, "").await;
        assert_eq!((&reply["status"], &reply["data"]["monitoring_active"]), (&json!(status), &json!(active)));
        assert!(reply["message"].is_string());
    }
}

#[tokio::test]
async fn heal_of_one() {
    let server = Server::start().await;
    let reply = post(&server, "/heal", r#"{"model": "coder"}"#).await;
    assert_eq!(reply["status"], "success");
    assert_eq!((&reply["model"], &reply["success"]), (&json!("coder"), &json!(true)));
    assert_eq!(reply["message"], "it serves");
    assert_eq!(reply["data"]["models"]["coder"]["status"], "online");

    let reply = post(&server, "/heal", &format!(r#"{{"model": "{STUBBORN}", "force": true}}"#)).await;
    assert_eq!((&reply["status"], &reply["success"]), (&json!("warning"), &json!(false)));
    let healed = server.monitor.healed.lock().unwrap().clone();
    assert_eq!(healed, [("coder".to_owned(), false), (STUBBORN.to_owned(), true)]);

    let message = error(&server, "POST", "/api/ai-monitor/heal", r#"{"model": "nobody"}"#, 400).await;
    assert!(message.contains("nobody") && message.contains("ollama"), "{message}");
    error(&server, "POST", "/api/ai-monitor/heal", r#"{"model": ""}"#, 400).await;
}

#[tokio::test]
async fn heal_of_all_answers_for_each_enabled_one() {
    for body in ["", "{}", "  ", r#"{"model": null}"#] {
        let server = Server::start().await;
        let reply = post(&server, "/heal", body).await;
        assert_eq!(reply["status"], "warning");
        assert_eq!(
            reply["results"],
            json!({ "ollama": true, "coder": true, STUBBORN: false, "mending": true, SPACED: true })
        );
        assert!(reply["message"].as_str().unwrap().contains(STUBBORN));
        assert!(reply["data"]["models"].is_object());
    }
}

#[tokio::test]
async fn heal_now_takes_on_what_is_down() {
    let server = Server::start().await;
    let reply = post(&server, "/heal-now", "").await;
    assert_eq!(reply["status"], "warning");
    assert_eq!(reply["offline_models"], json!(["coder", STUBBORN, "mending"]));
    assert_eq!(reply["healing_results"], json!({ "coder": true, STUBBORN: false, "mending": true }));
    assert_eq!(reply["before"]["online_models"], 2);
    assert_eq!(reply["after"]["online_models"], 4);
    assert!(reply["timestamp"].is_string());
}

#[tokio::test]
async fn heal_now_has_nothing_to_do_where_nothing_is_down() {
    let server = Server::of(FakeMonitor::new(snapshot(vec![target("a", State::Online)]))).await;
    let reply = post(&server, "/heal-now", "{}").await;
    assert_eq!((&reply["status"], &reply["offline_models"]), (&json!("success"), &json!([])));
    assert_eq!(reply["data"]["overall_status"], "healthy");
    assert!(server.monitor.healed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn debug_without_a_word_is_off() {
    let server = Server::start().await;
    for (body, on) in [(r#"{"enabled": true}"#, true), ("", false), (r#"{"enabled": true}"#, true), ("{}", false)] {
        let reply = post(&server, "/debug", body).await;
        assert_eq!((&reply["status"], &reply["debug_mode"]), (&json!("success"), &json!(on)), "{body}");
        assert_eq!(reply["data"]["debug_mode"], on);
    }
}

#[tokio::test]
async fn logs_are_newest_last() {
    let server = Server::start().await;
    let reply = get(&server, "/logs").await;
    assert_eq!(reply["logs"], json!({ "monitor": [], "recovery": [] }));
    assert_eq!((&reply["lines_requested"], &reply["log_type"]), (&json!(50), &json!("both")));

    let many: String = (1..=100).map(|n| format!("line {n}\n")).collect();
    std::fs::write(server.logs.path().join("ai_monitor.log"), many).unwrap();
    std::fs::write(server.logs.path().join("ai_recovery.log"), b"healed\nhalf a l\xffne").unwrap();
    let reply = get(&server, "/logs?lines=2").await;
    assert_eq!(
        reply["logs"],
        json!({ "monitor": ["line 99", "line 100"], "recovery": ["healed", "half a l\u{fffd}ne"] })
    );
    let reply = get(&server, "/logs?type=recovery&lines=10000").await;
    assert_eq!((&reply["logs"]["monitor"], &reply["lines_requested"]), (&json!([]), &json!(10_000)));
    assert_eq!(reply["logs"]["recovery"].as_array().unwrap().len(), 2);
    assert_eq!(get(&server, "/logs?type=monitor").await["logs"]["monitor"].as_array().unwrap().len(), 50);
    for query in ["lines=0", "lines=10001", "lines=-1", "lines=x", "lines=", "type=all", "type=", "lines=1&lines=2"] {
        error(&server, "GET", &format!("{BASE}/logs?{query}"), "", 400).await;
    }
}

#[tokio::test]
async fn config_is_in_v43s_keys() {
    let server = Server::start().await;
    let config = get(&server, "/config").await["config"].take();
    assert_eq!(config["check_interval"], 30);
    assert_eq!((&config["debug_mode"], &config["monitoring_active"]), (&json!(false), &json!(true)));
    let model = &config["models"]["ollama"];
    for (key, value) in [
        ("name", json!("ollama")),
        ("url", json!("http://127.0.0.1:11434")),
        ("health_endpoint", json!("/api/version")),
        ("enabled", json!(true)),
        ("port", json!(11434)),
        ("timeout", json!(5)),
        ("restart_delay", json!(10)),
        ("max_restart_attempts", json!(3)),
    ] {
        assert_eq!(model[key], value, "{key}");
    }
}

#[tokio::test]
async fn enable_and_disable_take_the_name_as_it_is() {
    let server = Server::start().await;
    let encoded = "my%20model%2F1%20%C3%BC";
    let reply = post(&server, &format!("/models/{encoded}/disable"), "").await;
    assert_eq!((&reply["status"], &reply["model"]), (&json!("success"), &json!(SPACED)));
    assert_eq!(get(&server, "/models").await["models"][SPACED]["enabled"], false);
    let reply = post(&server, &format!("/models/{encoded}/enable"), "{}").await;
    assert_eq!(reply["model"], SPACED);
    assert_eq!(get(&server, "/models").await["models"][SPACED]["enabled"], true);
    for switch in ["enable", "disable"] {
        let message = error(&server, "POST", &format!("{BASE}/models/nobody/{switch}"), "", 404).await;
        assert!(message.contains("nobody"), "{message}");
        error(&server, "POST", &format!("{BASE}/models/%FF/{switch}"), "", 400).await;
    }
}

#[tokio::test]
async fn what_cannot_be_saved_is_a_500_and_changes_nothing() {
    let mut monitor = FakeMonitor::new(usual());
    monitor.read_only = true;
    let server = Server::of(monitor).await;
    for path in ["/stop", "/debug", "/models/ollama/disable"] {
        error(&server, "POST", &format!("{BASE}{path}"), "", 500).await;
        let reply = call(&server, "POST", &format!("{BASE}{path}"), "").await.json();
        assert!(reply["error"].as_str().unwrap().contains("no space"), "{reply}");
    }
}

#[tokio::test]
async fn a_body_of_the_wrong_shape_is_400_at_every_post() {
    let server = Server::start().await;
    for path in ["/start", "/stop", "/heal", "/heal-now", "/debug", "/models/ollama/enable", "/models/ollama/disable"] {
        for body in ["{", "nonsense", "[]", "null", "1", r#""ollama""#, "{} {}", &"[".repeat(5000)] {
            error(&server, "POST", &format!("{BASE}{path}"), body, 400).await;
        }
    }
    for (path, body) in [
        ("/heal", r#"{"model": 1}"#),
        ("/heal", r#"{"model": ["ollama"]}"#),
        ("/heal", r#"{"model": "ollama", "force": "yes"}"#),
        ("/debug", r#"{"enabled": "true"}"#),
        ("/debug", r#"{"enabled": 1}"#),
    ] {
        error(&server, "POST", &format!("{BASE}{path}"), body, 400).await;
    }
    assert!(server.monitor.healed.lock().unwrap().is_empty());
    assert!(server.monitor.snapshot_now().monitoring_active);
}

#[tokio::test]
async fn a_body_is_json_whatever_it_says_it_is() {
    let server = Server::start().await;
    let host = server.addr.to_string();
    for kind in [None, Some("application/json"), Some("text/plain"), Some("application/x-www-form-urlencoded")] {
        let mut headers = vec![("Host", host.as_str())];
        headers.extend(kind.map(|kind| ("Content-Type", kind)));
        let reply = ask(&server, "POST", "/api/ai-monitor/debug", &headers, r#"{"enabled": true}"#).await;
        assert_eq!(reply.json()["debug_mode"], true, "{kind:?}");
    }
}

#[tokio::test]
async fn unknown_routes_are_404_and_wrong_methods_405_in_the_envelope() {
    let server = Server::start().await;
    for path in ["/api/ai-monitor", "/api/ai-monitor/", "/api/ai-monitor/status/", "/api", "/nothing", "//", "/api/x"] {
        error(&server, "GET", path, "", 404).await;
    }
    for (method, path) in [
        ("POST", "/api/ai-monitor/status"),
        ("GET", "/api/ai-monitor/heal"),
        ("PUT", "/api/ai-monitor/debug"),
        ("DELETE", "/"),
        ("POST", "/api/health"),
    ] {
        error(&server, method, path, "", 405).await;
        let allow = call(&server, method, path, "").await.header("allow").map(str::to_owned);
        assert!(allow.is_some_and(|allow| allow.contains("GET") || allow.contains("POST")), "{method} {path}");
    }
}

#[tokio::test]
async fn health_says_who_it_is() {
    let server = Server::start().await;
    let reply = call(&server, "GET", "/api/health", "").await.json();
    assert_eq!((&reply["status"], &reply["service"]), (&json!("ok"), &json!("ai-monitor")));
}
