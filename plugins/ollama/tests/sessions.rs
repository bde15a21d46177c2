//! One session per case, kept as files: the same events give the same effects. Answers of `recorded/` are a real
//! Ollama's (0.32.15) and its runners'; its processes, a runner that works, loads or is older, and a whole download are
//! written by what is known of them.

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
const BLOB_OF_TINYB: &str = "sha256-7d0a7a2aa8d4cf36c41fdf2db26a1a74228e45259f13028fe1de07a6678c41a0";
const BLOB_OF_EMBED: &str = "sha256-f4ef2b3cfd82014e641bd7e9d1e3c1f3cfe5a23deb799e634990388867c8eac9";

fn look(depth: Depth) -> Start {
    Start::new(SessionKind::Probe { depth, inference: None }, 30_000, NOW)
}

fn ask(model: &str, scheduled: bool) -> Start {
    let inference = InferenceAsk { model: Some(model.into()), prompt: "Say: ok".into(), max_tokens: 3, scheduled };
    Start::new(SessionKind::Probe { depth: Depth::Inference, inference: Some(inference) }, 60_000, NOW)
}

fn repair(name: &str) -> Start {
    repair_of(name, "tiny")
}

fn repair_of(name: &str, model: &str) -> Start {
    let args = serde_json::from_value(json!({"model": model})).unwrap();
    Start::new(SessionKind::Repair { repair: name.into(), args }, 1_800_000, NOW)
}

fn with(start: Start, runners: bool) -> Start {
    let runners = if runners { vec![runner(1, BLOB, &[])] } else { Vec::new() };
    with_runners(start, runners)
}

fn with_runners(start: Start, runners: Vec<Value>) -> Start {
    let main = json!({"id":"0","role":"main","exe":"ollama","args":["serve"],"addresses":["0/11434"]});
    let all = Value::Array([vec![main], runners].concat());
    Start { processes: Some(serde_json::from_value(all).unwrap()), ..start }
}

/// Its number, its model's file, what else is on its command line. The first listens on 49361.
fn runner(number: u16, blob: &str, more: &[&str]) -> Value {
    let port = 49360 + number;
    let mut args = vec!["--model".to_owned(), format!("~/.ollama/models/blobs/{blob}")];
    args.extend(["--port".to_owned(), port.to_string()]);
    args.extend(more.iter().map(|arg| (*arg).to_owned()));
    json!({"id":number.to_string(),"parent":"0","role":"engine","exe":"llama-server","args":args,
        "addresses":[format!("{number}/{port}")]})
}

/// Those of `tiny` and `tinyb`.
fn with_two(start: Start) -> Start {
    with_runners(start, vec![runner(1, BLOB, &[]), runner(2, BLOB_OF_TINYB, &[])])
}

/// As Ollama had them before its runners were llama.cpp's server.
fn older_runner() -> Value {
    json!({"id":"1","parent":"0","role":"engine","exe":"ollama",
        "args":["runner","--model",format!("~/.ollama/models/blobs/{BLOB}"),"--port","49361"],"addresses":["1/49361"]})
}

fn version() -> Scene {
    Scene::new().on("GET /api/version", recorded!("version"))
}

/// With all its answers from a real server.
const RECORDED: [&str; 15] = [
    "liveness",
    "idle",
    "loaded",
    "two",
    "inference",
    "inference-of-two",
    "inference-by-ollama",
    "vector",
    "vector-by-ollama",
    "missing",
    "unload",
    "load",
    "load-embed",
    "load-broken",
    "pull-no-network",
];

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

const BUSY: &str = r#"[{"id":0,"n_ctx":512,"speculative":false,"is_processing":true,"id_task":17,"n_prompt_tokens":30,"n_prompt_tokens_processed":28,"n_prompt_tokens_cache":0,"next_token":[{"has_next_token":true,"n_remain":598,"n_decoded":41}]}]"#;
const LOADING: &str = r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#;

#[test]
fn looks_are_kept() {
    kept("liveness", "it answers", &look(Depth::Liveness), version());
    let idle = version().on("GET /api/tags", recorded!("tags")).on("GET /api/ps", recorded!("ps_empty"));
    kept("idle", "idle: no model in memory", &with(look(Depth::Readiness), false), idle);
    let loaded = version()
        .on("GET /api/tags", recorded!("tags"))
        .on("GET /health 1/49361", recorded!("runner_health"))
        .on("GET /api/ps", recorded!("ps_loaded"));
    kept("loaded", "a model in memory", &with(look(Depth::Readiness), true), loaded);
    let two = version()
        .on("GET /slots 1/49361", recorded!("runner_slots"))
        .on("GET /slots 2/49362", recorded!("runner_slots"))
        .on("GET /api/ps", recorded!("ps_two"))
        .on("POST /api/show", recorded!("show"))
        .on("POST /api/show", recorded!("show_tinyb"));
    kept("two", "two models in memory: which runner has which", &with_two(look(Depth::Progress)), two);
    let health = Reply::status(200, r#"{"status":"ok","progress":1}"#);
    let older = version().on("GET /health 1/49361", health).on("GET /api/ps", recorded!("ps_loaded"));
    let start = with_runners(look(Depth::Progress), vec![older_runner()]);
    kept("older-runner", "an older runner, which has no slots", &start, older);
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
    let by_runner = before()
        .on("GET /slots 1/49361", recorded!("runner_slots"))
        .on("POST /v1/chat/completions 1/49361", recorded!("runner_chat"));
    kept("inference", "a token, of the runner itself", &with(ask("tiny", true), true), by_runner);
    let of_two = version()
        .on("GET /api/ps", recorded!("ps_two"))
        .on("POST /api/show", recorded!("show"))
        .on("GET /slots 1/49361", recorded!("runner_slots"))
        .on("POST /v1/chat/completions 1/49361", recorded!("runner_chat"));
    kept("inference-of-two", "a token, of the one of two runners", &with_two(ask("tiny", true)), of_two);
    let embed = || version().on("GET /api/ps", recorded!("ps_embed"));
    let vector = embed()
        .on("GET /slots 1/49361", recorded!("runner_slots"))
        .on("POST /v1/embeddings 1/49361", recorded!("runner_embeddings"));
    let start = with_runners(ask("embed", true), vec![runner(1, BLOB_OF_EMBED, &["--embedding"])]);
    kept("vector", "a vector, of the runner itself", &start, vector);
    let vector = embed().on("GET /api/tags", recorded!("tags_embed")).on("POST /api/embed", recorded!("embed"));
    kept("vector-by-ollama", "a vector, the runner not known", &ask("embed", false), vector);
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
    let embed = Scene::new()
        .on("POST /api/generate", recorded!("generate_embed"))
        .on("POST /api/embed", recorded!("embed_load"));
    kept("load-embed", "a load of a model that makes vectors", &repair_of("load", "embed"), embed);
    let broken = Scene::new().on("POST /api/generate", recorded!("chat_garbage_model"));
    kept("load-broken", "a load of a file that is no model", &repair("load"), broken);
    let pull = Scene::new().on("POST /api/pull", Reply::status(200, r#"{"status":"success"}"#));
    kept("pull", "a download", &repair("pull"), pull);
    let no_network = Scene::new().on("POST /api/pull", recorded!("pull_no_network"));
    kept("pull-no-network", "a download without a network", &repair("pull"), no_network);
}
