//! One session per case, kept as files: the same events give the same effects.

mod common;

use ai_monitor_lm_studio::PLUGIN;
use ai_monitor_plugin_api::{
    event::{At, Depth, Outcome, SessionKind, Start},
    testing::{Reply, Scene, assert_kept},
};
use common::*;
use serde_json::json;

const BACKEND: &str = "LM Studio 0.4";
const WITH_V0: &str = "LM Studio before 0.4.0";
const OLDER: &str = "LM Studio before 0.3.6";

fn kept(name: &str, shows: &str, start: &Start, scene: Scene) {
    kept_of(BACKEND, name, shows, start, scene);
}

fn kept_of(backend: &str, name: &str, shows: &str, start: &Start, scene: Scene) {
    assert_kept("tests/sessions", name, &scene.record(&PLUGIN, start, backend, shows));
}

fn repair(name: &str) -> Start {
    let args = serde_json::from_value(json!({"model": "google/gemma-4"})).unwrap();
    Start::new(SessionKind::Repair { repair: name.into(), args }, 1_800_000, NOW)
}

fn listed(list: Reply) -> Scene {
    greeting().on("GET /api/v1/models", list)
}

/// Its lists of 0.3.6 and later.
fn before_0_4_0() -> Scene {
    let models = json!({"object":"list","data":[
        {"id":"llama","object":"model","type":"llm","publisher":"lmstudio-community","arch":"llama",
         "compatibility_type":"gguf","quantization":"Q4_K_M","state":"loaded","max_context_length":131072,
         "capabilities":["tool_use"]},
        {"id":"nomic-embed","object":"model","type":"embeddings","publisher":"gaianet","arch":"nomic-bert",
         "compatibility_type":"gguf","quantization":"F16","state":"not-loaded","max_context_length":2048}
    ]});
    listed(unexpected("GET /api/v1/models")).on("GET /api/v0/models", ok(models.to_string()))
}

/// It had OpenAI's list alone.
fn before_0_3_6() -> Scene {
    let models = r#"{"object":"list","data":[{"id":"llama","object":"model","owned_by":"organization_owner"}]}"#;
    listed(unexpected("GET /api/v1/models"))
        .on("GET /api/v0/models", unexpected("GET /api/v0/models"))
        .on("GET /v1/models", ok(models))
}

#[test]
fn looks_are_kept() {
    let worker = |depth| with_workers(look(depth), 1);
    kept("liveness", "idle", &look(Depth::Liveness), greeting());
    kept("idle", "idle: nothing in memory", &with_workers(look(Depth::Readiness), 0), listed(list(&[], &[])));
    kept("loaded", "a model in memory", &worker(Depth::Readiness), listed(list(&["google/gemma-4"], &[])));
    kept("progress", "where work is done", &worker(Depth::Progress), listed(list(&["google/gemma-4"], &[])));
    kept("unauthorised", "it wants a key", &look(Depth::Readiness), listed(unauthorised()));
    kept("half", "JSON that breaks off", &look(Depth::Readiness), listed(ok(r#"{"models":[{"ke"#)));
    kept("silent", "no answer", &look(Depth::Readiness), listed(Reply::broken(Outcome::Timeout, At::Headers)));
    for (depth, name) in [(Depth::Readiness, "ready"), (Depth::Progress, "progress")] {
        kept_of(WITH_V0, &format!("v0-{name}"), "the older list", &worker(depth), before_0_4_0());
        kept_of(OLDER, &format!("openai-{name}"), "OpenAI's list alone", &worker(depth), before_0_3_6());
    }
    let other = Scene::new().on("GET /lmstudio-greeting", Reply::status(404, "404 page not found"));
    kept("other", "Ollama on the port", &look(Depth::Liveness), other);
}

#[test]
fn inferences_are_kept() {
    let chat = |reply: Reply| listed(list(&["google/gemma-4"], &[])).on("POST /v1/chat/completions", reply);
    kept("inference", "two tokens", &ask(None), chat(stream("google/gemma-4")));
    let crashed = ok(json!({"error":{"message":CRASHED}}).to_string());
    kept("crashed", "the model has crashed", &ask(None), chat(crashed));
    let older = before_0_4_0().on("POST /v1/chat/completions", stream("llama"));
    kept_of(WITH_V0, "v0-inference", "two tokens", &ask(None), older);
    kept_of(OLDER, "openai-inference", "what is loaded is not told", &ask(None), before_0_3_6());
    kept("missing", "a model that is not there", &ask(Some("nope")), listed(list(&["google/gemma-4"], &[])));
    let vector =
        ok(r#"{"object":"list","data":[{"object":"embedding","embedding":[0.1],"index":0}],"model":"nomic-embed"}"#);
    let embedded = listed(list(&[], &["nomic-embed"])).on("POST /v1/embeddings", vector);
    kept("embedding", "a vector", &ask(None), embedded);
}

#[test]
fn repairs_are_kept() {
    let listed = |list: Reply| Scene::new().on("GET /api/v1/models", list);
    let unloaded = ok(r#"{"instance_id":"google/gemma-4"}"#);
    let scene = listed(list(&["google/gemma-4"], &[])).on("POST /api/v1/models/unload", unloaded);
    kept("unload", "an unload", &repair("unload"), scene);
    let loaded = ok(r#"{"type":"llm","instance_id":"google/gemma-4","load_time_seconds":9.1,"status":"loaded"}"#);
    kept("load", "a load", &repair("load"), listed(list(&[], &[])).on("POST /api/v1/models/load", loaded));
    let job = |status: &str| ok(json!({"job_id":"job_1","status":status,"total_size_bytes":2_000_000}).to_string());
    let scene = Scene::new()
        .on("POST /api/v1/models/download", job("downloading"))
        .on("GET /api/v1/models/download/status/job_1", job("completed"));
    kept("pull", "a download", &repair("pull"), scene);
}
