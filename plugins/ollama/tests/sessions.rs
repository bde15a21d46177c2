//! One session per case, kept as files: the same events give the same effects. Answers of `recorded/` are a real
//! Ollama's (0.32.15); its processes and the runner's answers are written by what it showed.

use ai_monitor_ollama::PLUGIN;
use ai_monitor_plugin_api::{
    event::{At, Depth, InferenceAsk, Outcome, SessionKind, Start},
    testing::{Reply, Scene, assert_kept},
};
use serde_json::{Value, json};

macro_rules! recorded {
    ($name:literal) => {
        Reply::recorded(include_str!(concat!("recorded/", $name, ".http")))
    };
}

const NOW: &str = "2026-11-24T04:02:00Z";
const BACKEND: &str = "Ollama 0.32.15";
const BLOB: &str = "sha256-95fda32b9de13ae3a8c1c90f3a62ba74292fff8e21b352b02bf937ec0344c48e";

fn look(depth: Depth) -> Start {
    Start::new(SessionKind::Probe { depth, inference: None }, 30_000, NOW)
}

fn ask(model: &str, scheduled: bool) -> Start {
    let inference = InferenceAsk { model: Some(model.into()), prompt: "Say: ok".into(), max_tokens: 3, scheduled };
    Start::new(SessionKind::Probe { depth: Depth::Inference, inference: Some(inference) }, 60_000, NOW)
}

fn repair(name: &str) -> Start {
    let args = serde_json::from_value(json!({"model": "tiny"})).unwrap();
    Start::new(SessionKind::Repair { repair: name.into(), args }, 1_800_000, NOW)
}

fn with(start: Start, runners: bool) -> Start {
    let main = json!({"id":"0","role":"main","exe":"ollama","args":["serve"],"addresses":["0/11434"]});
    let runner = json!({"id":"1","parent":"0","role":"engine","exe":"llama-server",
        "args":["--model",format!("~/.ollama/models/blobs/{BLOB}"),"--port","49361"],"addresses":["1/49361"]});
    let all: Value = if runners { json!([main, runner]) } else { json!([main]) };
    Start { processes: Some(serde_json::from_value(all).unwrap()), ..start }
}

fn version() -> Scene {
    Scene::new().on("GET /api/version", recorded!("version"))
}

/// With all its answers from a real server.
const RECORDED: [&str; 8] =
    ["liveness", "idle", "inference-by-ollama", "missing", "unload", "load", "load-broken", "pull-no-network"];

fn kept(name: &str, shows: &str, start: &Start, scene: Scene) {
    let mut session = scene.record(&PLUGIN, start, BACKEND, shows);
    if let Some(header) = session.header.as_mut().filter(|_| RECORDED.contains(&name)) {
        header.source = "recorded".into();
    }
    assert_kept("tests/sessions", name, &session);
}

fn slots(body: &str) -> Reply {
    Reply::status(200, body).header("server", "llama.cpp")
}

const IDLE: &str = r#"[{"id":0,"n_ctx":512,"is_processing":false}]"#;
const BUSY: &str = r#"[{"id":0,"n_ctx":512,"speculative":false,"is_processing":true,"id_task":17,"n_prompt_tokens":30,"n_prompt_tokens_processed":28,"n_prompt_tokens_cache":0,"next_token":[{"has_next_token":true,"n_remain":598,"n_decoded":41}]}]"#;
const LOADING: &str = r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#;
const STREAM: &str = r#"data: {"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"model":"/models/blobs/sha256-95fd","object":"chat.completion.chunk"}

data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":" he"}}],"model":"/models/blobs/sha256-95fd","object":"chat.completion.chunk"}

data: {"choices":[{"finish_reason":"length","index":0,"delta":{}}],"model":"/models/blobs/sha256-95fd","object":"chat.completion.chunk","timings":{"predicted_n":3,"predicted_ms":0.595,"predicted_per_second":3361.5}}

data: [DONE]
"#;

#[test]
fn looks_are_kept() {
    kept("liveness", "it answers", &look(Depth::Liveness), version());
    let idle = version().on("GET /api/tags", recorded!("tags")).on("GET /api/ps", recorded!("ps_empty"));
    kept("idle", "idle: no model in memory", &with(look(Depth::Readiness), false), idle);
    let loading =
        version().on("GET /slots 1/49361", Reply::status(503, LOADING)).on("GET /api/ps", recorded!("ps_empty"));
    kept("loading", "a runner that loads, and no model listed yet", &with(look(Depth::Progress), true), loading);
    let busy = version().on("GET /slots 1/49361", slots(BUSY)).on("GET /api/ps", recorded!("ps_loaded"));
    kept("busy", "one request at work", &with(look(Depth::Progress), true), busy);
    let silent = version()
        .on("GET /slots 1/49361", Reply::broken(Outcome::Timeout, At::Headers))
        .on("GET /api/ps", recorded!("ps_loaded"));
    kept("stalled", "a runner that is silent while Ollama answers", &with(look(Depth::Progress), true), silent);
    let other = Scene::new()
        .on("GET /api/version", Reply::status(200, r#"{"error":"Unexpected endpoint or method. (GET /api/version)"}"#));
    kept("other", "LM Studio on the port", &look(Depth::Liveness), other);
    let refused = Scene::new().on("GET /api/version", Reply::broken(Outcome::Refused, At::Connect));
    kept("refused", "nobody listens", &look(Depth::Readiness), refused);
}

#[test]
fn inferences_are_kept() {
    let before = || version().on("GET /api/ps", recorded!("ps_loaded"));
    let runner = before().on("GET /slots 1/49361", slots(IDLE)).on("POST /v1/chat/completions 1/49361", slots(STREAM));
    kept("inference", "a token, of the runner itself", &with(ask("tiny", true), true), runner);
    let ollama = before().on("GET /api/tags", recorded!("tags")).on("POST /api/chat", recorded!("api_chat_stream"));
    kept("inference-by-ollama", "a token, the runner not known", &ask("tiny", false), ollama);
    let missing = version().on("GET /api/ps", recorded!("ps_empty"));
    kept("missing", "a model that is not loaded", &ask("tiny", false), missing);
}

#[test]
fn repairs_are_kept() {
    let unload =
        Scene::new().on("POST /api/show", recorded!("show")).on("POST /api/generate", recorded!("unload_keepalive0"));
    kept("unload", "an unload", &with(repair("unload"), true), unload);
    let load = Scene::new().on("POST /api/generate", recorded!("generate_load_forever"));
    kept("load", "a load", &repair("load"), load);
    let broken = Scene::new().on("POST /api/generate", recorded!("chat_garbage_model"));
    kept("load-broken", "a load of a file that is no model", &repair("load"), broken);
    let pull = Scene::new().on("POST /api/pull", Reply::status(200, r#"{"status":"success"}"#));
    kept("pull", "a download", &repair("pull"), pull);
    let no_network = Scene::new().on("POST /api/pull", recorded!("pull_no_network"));
    kept("pull-no-network", "a download without a network", &repair("pull"), no_network);
}
