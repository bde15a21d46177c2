//! One session per case, kept as files: the same events give the same effects.

mod common;

use ai_monitor_localai::PLUGIN;
use ai_monitor_plugin_api::{
    event::{At, Depth, Outcome, SessionKind, Start},
    testing::{Reply, Scene, assert_kept},
};
use common::*;
use serde_json::json;

const BACKEND: &str = "LocalAI v4.9.0";

fn kept(name: &str, shows: &str, start: &Start, scene: Scene) {
    kept_of(BACKEND, name, shows, start, scene);
}

fn kept_of(backend: &str, name: &str, shows: &str, start: &Start, scene: Scene) {
    assert_kept("tests/sessions", name, &scene.record(&PLUGIN, start, backend, shows));
}

fn repair(name: &str) -> Start {
    let args = serde_json::from_value(json!({"model": "q"})).unwrap();
    with_backends(Start::new(SessionKind::Repair { repair: name.into(), args }, 1_800_000, NOW), &[41001])
}

fn ready() -> Scene {
    front().on("GET /readyz", ok("")).on("GET /version", ok(r#"{"version":"v4.9.0 (f7ad3f70e)"}"#))
}

fn listed(loaded: &[&str]) -> Scene {
    ready().on("GET /v1/models/capabilities", list()).on("GET /system", system(loaded))
}

fn monitored(reply: Reply) -> Scene {
    front()
        .on("GET /system", system(&["q"]))
        .on("GET /api/middleware/status", admission(1))
        .on("GET /backend/monitor?model=q", reply)
}

#[test]
fn looks_are_kept() {
    let backend = |depth| with_backends(look(depth), &[41001]);
    kept("liveness", "idle", &look(Depth::Liveness), front());
    kept("idle", "idle: nothing in memory", &with_backends(look(Depth::Readiness), &[]), listed(&[]));
    kept("loading", "a backend without a model yet", &backend(Depth::Readiness), listed(&[]));
    kept("loaded", "a model in memory", &backend(Depth::Readiness), listed(&["q"]));
    let starting = Reply::status(503, r#"{"status":"starting","reason":"startup preload in progress"}"#);
    kept("starting", "its start", &look(Depth::Readiness), front().on("GET /readyz", starting));
    kept("busy", "one request at work", &backend(Depth::Progress), monitored(ok(r#"{"state":2}"#)));
    let silent = Reply::broken(Outcome::Timeout, At::Headers);
    kept("stalled", "a backend that is silent", &backend(Depth::Progress), monitored(silent));
    kept("gone", "a backend that is gone", &backend(Depth::Progress), monitored(error(500, UNAVAILABLE)));
    let refused = ready().on("GET /v1/models/capabilities", list()).on("GET /system", not_admin());
    kept("sees-less", "a key that may not administrate", &look(Depth::Readiness), refused);
    let older = front()
        .on("GET /readyz", ok(""))
        .on("GET /version", ok(r#"{"version":"v3.0.0"}"#))
        .on("GET /v1/models/capabilities", no_route())
        .on("GET /v1/models", ok(r#"{"object":"list","data":[{"id":"q","object":"model"}]}"#))
        .on("GET /system", system(&["q"]));
    kept_of("an older LocalAI", "older", "it does not tell what its models can do", &backend(Depth::Readiness), older);
    let half =
        ready().on("GET /v1/models/capabilities", ok(r#"{"object":"list","da"#)).on("GET /system", ok(r#"{"loaded"#));
    kept("half", "JSON that breaks off", &look(Depth::Readiness), half);
    let other = Scene::new().on("GET /healthz", Reply::status(404, "404 page not found"));
    kept("other", "Ollama on the port", &look(Depth::Liveness), other);
}

#[test]
fn inferences_are_kept() {
    let chat = |reply: Reply| {
        front()
            .on("GET /system", system(&["q"]))
            .on("GET /v1/models/capabilities", list())
            .on("GET /api/middleware/status", admission(0))
            .on("POST /v1/chat/completions", reply)
    };
    let chunk = |delta: &str, finish: &str| {
        format!(
            "data: {{\"model\":\"q\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
        )
    };
    let stream = [chunk("{\"content\":\"ok\"}", "null"), chunk("{}", "\"stop\""), "data: [DONE]\n\n".into()].concat();
    kept("inference", "a token", &ask(None), chat(ok(stream)));
    let vector = r#"{"object":"list","model":"embed","data":[{"embedding":[0.1,0.2],"index":0,"object":"embedding"}],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}"#;
    let embed = front()
        .on("GET /system", system(&["embed"]))
        .on("GET /v1/models/capabilities", list())
        .on("GET /api/middleware/status", unlimited())
        .on("POST /v1/embeddings", ok(vector));
    kept("vector", "a vector", &ask(None), embed);
    let full = error(503, "backend inference capacity reached (max_concurrent=1024); retry after 1s");
    kept("full", "too many requests", &ask(None), chat(full.header("retry-after", "1")));
    kept("dead", "its backend is gone", &ask(None), chat(error(500, UNAVAILABLE)));
    kept("missing", "a model that is not loaded", &ask(Some("nope")), front().on("GET /system", system(&["q"])));
}

#[test]
fn repairs_are_kept() {
    let unload = |reply: Reply| Scene::new().on("GET /system", system(&["q"])).on("POST /backend/shutdown", reply);
    kept("unload", "an unload", &repair("unload"), unload(ok(r#"{"message":"model stopped"}"#)));
    kept("unload-busy", "one that works is left", &repair("unload"), unload(error(500, "model is still busy: q")));
    let loaded = ok(r#"{"loaded":["q"],"message":"model loaded"}"#);
    kept("load", "a load", &repair("load"), Scene::new().on("POST /backend/load", loaded));
}
