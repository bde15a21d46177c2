//! One session per case, kept as files: the same events give the same effects. Answers of `recorded/` are real
//! servers' (llama.cpp b11669, llama-cpp-python); those of vLLM and what failed are written by what is known of them.

use ai_monitor_openai::PLUGIN;
use ai_monitor_plugin_api::{
    event::{At, Depth, InferenceAsk, Outcome, SessionKind, Start},
    testing::{Reply, Scene, assert_kept},
};
use serde_json::json;

macro_rules! recorded {
    ($name:literal) => {
        Reply::recorded(include_str!(concat!("recorded/", $name, ".http")))
    };
}

const NOW: &str = "2026-11-24T04:02:00Z";
const LLAMA: &str = "llama.cpp b11669";

fn look(depth: Depth, variant: &str) -> Start {
    let processes = json!([{"id":"0","role":"main","exe":"llama-server","args":[],"addresses":["0/8080"]}]);
    Start {
        variant: Some(variant.into()),
        processes: (depth == Depth::Progress).then(|| serde_json::from_value(processes).unwrap()),
        ..Start::new(SessionKind::Probe { depth, inference: None }, 30_000, NOW)
    }
}

fn ask(model: Option<&str>, variant: &str) -> Start {
    let model = model.map(str::to_owned);
    let inference = Some(InferenceAsk { model, prompt: "Say: ok".into(), max_tokens: 8, scheduled: false });
    let session = SessionKind::Probe { depth: Depth::Inference, inference };
    Start { session, ..look(Depth::Inference, variant) }
}

fn healthy() -> Scene {
    Scene::new().on("GET /health", recorded!("health"))
}

/// With all its answers from a real server.
const RECORDED: [&str; 10] =
    ["liveness", "idle", "busy", "inference", "wrong", "full", "asleep", "missing", "router", "python"];

fn kept(name: &str, backend: &str, shows: &str, start: &Start, scene: Scene) {
    let mut session = scene.record(&PLUGIN, start, backend, shows);
    if let Some(header) = session.header.as_mut().filter(|_| RECORDED.contains(&name)) {
        header.source = "recorded".into();
    }
    assert_kept("tests/sessions", name, &session);
}

#[test]
fn looks_are_kept() {
    let kept = |name: &str, shows: &str, depth, scene| kept(name, LLAMA, shows, &look(depth, "llama.cpp"), scene);
    kept("liveness", "it answers", Depth::Liveness, healthy());
    let idle = healthy().on("GET /props", recorded!("props")).on("GET /v1/models", recorded!("models"));
    kept("idle", "idle: its model is in memory", Depth::Readiness, idle);
    let loading = r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#;
    let loading = Scene::new().on("GET /health", Reply::status(503, loading).header("server", "llama.cpp"));
    kept("loading", "its start", Depth::Progress, loading);
    let busy = healthy()
        .on("GET /props", recorded!("props"))
        .on("GET /metrics", recorded!("busy_metrics_deferred"))
        .on("GET /slots", recorded!("busy_slots"));
    kept("busy", "one request at work, one waits", Depth::Progress, busy);
    let silent = healthy().on("GET /props", Reply::broken(Outcome::Timeout, At::Headers));
    kept("stalled", "only `/health` answers", Depth::Progress, silent);
    let page = Scene::new().on("GET /health", Reply::status(200, "<html>sign in</html>"));
    kept("other", "another program's page", Depth::Liveness, page);
}

#[test]
fn inferences_are_kept() {
    let free = || {
        healthy()
            .on("GET /props", recorded!("props"))
            .on("GET /v1/models", recorded!("models"))
            .on("GET /metrics", recorded!("xllamacpp_metrics"))
    };
    let token = || free().on("POST /v1/chat/completions", recorded!("chat_8tok_stream_usage"));
    kept("inference", LLAMA, "eight tokens", &ask(None, "llama.cpp"), token());
    kept("wrong", LLAMA, "any name is served, by the one model", &ask(Some("no-such-model"), "llama.cpp"), token());
    let full = healthy()
        .on("GET /props", recorded!("props"))
        .on("GET /v1/models", recorded!("models"))
        .on("GET /metrics", recorded!("busy_metrics_deferred"));
    kept("full", LLAMA, "no free slot", &ask(None, "llama.cpp"), full);
    let asleep = Scene::new().on("GET /health", recorded!("sleep_health")).on("GET /props", recorded!("sleep_props"));
    kept("asleep", LLAMA, "asleep: it is not woken", &ask(None, "llama.cpp"), asleep);
    let python = Scene::new().on("GET /openapi.json", recorded!("python_docs"));
    let shows = "a token would break off a user's answer";
    kept("python", "llama-cpp-python 0.3.36", shows, &ask(None, "llama-cpp-python"), python);
}

#[test]
fn a_routers_sessions_are_kept() {
    const ROUTER: &str = "llama.cpp b11669, a router";
    let router = || {
        Scene::new()
            .on("GET /health", recorded!("router_health"))
            .on("GET /props", recorded!("router_props"))
            .on("GET /v1/models", recorded!("router_models_after_evict"))
    };
    let start = look(Depth::Readiness, "llama.cpp-router");
    kept("router", ROUTER, "one model of three is loaded", &start, router());
    kept("missing", ROUTER, "a model that is not loaded", &ask(Some("alpha"), "llama.cpp-router"), router());
}
