//! One session per case, kept as files: the same events give the same effects. Answers of `recorded/` are real
//! servers' (llama.cpp b11669, llama-cpp-python); what failed, and those of vLLM and text-generation-webui, are written
//! by what is known of them.

use ai_monitor_openai::PLUGIN;
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
const RECORDED: [&str; 20] = [
    "liveness",
    "liveness-unknown",
    "idle",
    "busy",
    "inference",
    "inference-by-slots",
    "vector",
    "wrong",
    "full",
    "asleep",
    "missing",
    "router",
    "router-load",
    "router-load-broken",
    "router-unload",
    "router-progress",
    "router-progress-far",
    "router-inference",
    "router-vector",
    "python",
];

fn kept(name: &str, backend: &str, shows: &str, start: &Start, scene: Scene) {
    let mut session = scene.record(&PLUGIN, start, backend, shows);
    if let Some(header) = session.header.as_mut().filter(|_| RECORDED.contains(&name)) {
        header.source = "recorded".into();
    }
    assert_kept("tests/sessions", name, &session);
}

#[test]
fn looks_are_kept() {
    let unknown = Start { variant: None, ..look(Depth::Liveness, "") };
    let list = Scene::new().on("GET /v1/models", recorded!("models"));
    kept("liveness-unknown", LLAMA, "it answers, and is not identified yet", &unknown, list);
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
    let by_slots = healthy()
        .on("GET /props", recorded!("no_metrics_props"))
        .on("GET /v1/models", recorded!("no_metrics_models"))
        .on("GET /slots", recorded!("no_metrics_slots"))
        .on("POST /v1/chat/completions", recorded!("no_metrics_chat"));
    kept("inference-by-slots", LLAMA, "eight tokens, without `--metrics`", &ask(None, "llama.cpp"), by_slots);
    let vector = healthy()
        .on("GET /props", recorded!("embed_props"))
        .on("GET /v1/models", recorded!("embed_models"))
        .on("GET /metrics", recorded!("embed_metrics"))
        .on("POST /v1/embeddings", recorded!("embed_embeddings"));
    let started = json!([{"id":"0","role":"main","exe":"llama-server","args":["--embeddings"],"addresses":["0/8080"]}]);
    kept("vector", LLAMA, "a vector: it was started for them", &with(ask(None, "llama.cpp"), started), vector);
    let full = healthy()
        .on("GET /props", recorded!("props"))
        .on("GET /v1/models", recorded!("models"))
        .on("GET /metrics", recorded!("busy_metrics_deferred"));
    kept("full", LLAMA, "no free slot", &ask(None, "llama.cpp"), full);
    let asleep = Scene::new().on("GET /health", recorded!("sleep_health")).on("GET /props", recorded!("sleep_props"));
    kept("asleep", LLAMA, "asleep: it is not woken", &ask(None, "llama.cpp"), asleep);
    let python = Scene::new().on("GET /openapi.json", recorded!("python_docs"));
    let shows = "a token would break off a user's answer";
    kept("python", PYTHON, shows, &ask(None, "llama-cpp-python"), python);
}

const PYTHON: &str = "llama-cpp-python 0.3.36";

/// Of the description only the begin is given here: the whole has 34 KB.
#[test]
fn looks_at_llama_cpp_python_are_kept() {
    let kept_at = |name: &str, shows: &str, depth| {
        let begin = r#"{"openapi":"3.1.0","info":{"title":"🦙 llama.cpp Python API","version":"0.3.36"}}"#;
        let scene = Scene::new().on("GET /openapi.json", Reply::status(200, begin).header("server", "uvicorn"));
        let processes = json!([{"id":"0","role":"main","exe":"python3.11",
            "args":["-m","llama_cpp.server","--model","tiny.gguf","--port","8000"],"addresses":["0/8000"]}]);
        kept(name, PYTHON, shows, &with(look(depth, "llama-cpp-python"), processes), scene);
    };
    kept_at("python-liveness", "it answers", Depth::Liveness);
    kept_at("python-ready", "its model is known by its command line", Depth::Readiness);
    kept_at("python-progress", "it does not tell what it works on", Depth::Progress);
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
    let progress = with(look(Depth::Progress, "llama.cpp-router"), json!([router_main(), beta()]));
    let front =
        || Scene::new().on("GET /health", recorded!("router_health")).on("GET /props", recorded!("router_props"));
    let child = front()
        .on("GET /props 1/33973", recorded!("router_props_beta"))
        .on("GET /metrics 1/33973", recorded!("router_metrics_beta"));
    kept("router-progress", ROUTER, "its child is asked on a port of its own", &progress, child);

    let far = router()
        .on("GET /props?model=beta&autoload=false", recorded!("router_props_beta"))
        .on("GET /metrics?model=beta&autoload=false", recorded!("router_metrics_beta"));
    let start = Start { processes: None, ..look(Depth::Progress, "llama.cpp-router") };
    kept("router-progress-far", ROUTER, "its child is asked by way of it: its processes are not known", &start, far);
    let token = router()
        .on("GET /props 1/33973", recorded!("router_props_beta"))
        .on("GET /metrics 1/33973", recorded!("router_metrics_beta"))
        .on("POST /v1/chat/completions 1/33973", recorded!("router_child_chat"));
    let start = with(ask(Some("beta"), "llama.cpp-router"), json!([router_main(), beta()]));
    kept("router-inference", ROUTER, "eight tokens of a child", &start, token);
    let vector = front()
        .on("GET /v1/models", recorded!("router_models_two"))
        .on("GET /props 1/43895", recorded!("router_child_props_embed"))
        .on("GET /metrics 1/43895", recorded!("router_child_metrics_embed"))
        .on("POST /v1/embeddings 1/43895", recorded!("router_child_embeddings"));
    let embed = json!({"id":"1","parent":"0","role":"engine","exe":"llama-server",
        "args":["--embeddings","--port","43895","--alias","embed"],"addresses":["1/43895"]});
    let start = with(ask(Some("embed"), "llama.cpp-router"), json!([router_main(), embed]));
    kept("router-vector", ROUTER, "a vector of a child", &start, vector);

    let props = || Scene::new().on("GET /props", recorded!("router_props"));
    let load = props()
        .on("POST /models/load", recorded!("router_load_alpha"))
        .on("GET /v1/models", recorded!("router_models_after_load"));
    kept("router-load", ROUTER, "a load", &repair("load", "alpha", "llama.cpp-router"), load);
    let broken = props()
        .on("POST /models/load", recorded!("router_load_broken"))
        .on("GET /v1/models", recorded!("router_models_after_broken"));
    let start = repair("load", "broken", "llama.cpp-router");
    kept("router-load-broken", ROUTER, "a load of a file that is no model", &start, broken);
    let unload = props().on("POST /models/unload", recorded!("router_unload_beta"));
    let start = with(repair("unload", "beta", "llama.cpp-router"), json!([router_main(), beta()]));
    kept("router-unload", ROUTER, "an unload", &start, unload);
}

fn repair(name: &str, model: &str, variant: &str) -> Start {
    let args = serde_json::from_value(json!({"model": model})).unwrap();
    let session = SessionKind::Repair { repair: name.into(), args };
    Start { variant: Some(variant.into()), ..Start::new(session, 1_800_000, NOW) }
}

fn with(start: Start, processes: Value) -> Start {
    Start { processes: Some(serde_json::from_value(processes).unwrap()), ..start }
}

fn router_main() -> Value {
    json!({"id":"0","role":"main","exe":"llama-server","args":["--models-dir","."],"addresses":["0/8080"]})
}

fn beta() -> Value {
    json!({"id":"1","parent":"0","role":"engine","exe":"llama-server",
        "args":["--host","127.0.0.1","--port","33973","--alias","beta"],"addresses":["1/33973"]})
}

const VLLM_METRICS: &str = "# TYPE vllm:num_requests_running gauge\n\
    vllm:num_requests_running{engine=\"0\",model_name=\"q\"} 1.0\n\
    vllm:num_requests_waiting{engine=\"0\",model_name=\"q\"} 0.0\n\
    vllm:prompt_tokens_total{engine=\"0\",model_name=\"q\"} 1024.0\n\
    vllm:generation_tokens_total{engine=\"0\",model_name=\"q\"} 77.0\n";
const VLLM_STREAM: &str = r#"data: {"model":"q","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}

data: {"model":"q","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"ok"},"finish_reason":"stop"}]}

data: [DONE]
"#;

#[test]
fn vllms_sessions_are_kept() {
    let kept = |name: &str, shows: &str, start: &Start, scene| kept(name, "vLLM 0.33.0", shows, start, scene);
    let ok = |body: &str| Reply::status(200, body);
    let health = || Scene::new().on("GET /health", ok(""));
    let list =
        || ok(r#"{"object":"list","data":[{"id":"q","object":"model","owned_by":"vllm","max_model_len":4096}]}"#);
    let version = || ok(r#"{"version":"0.33.0"}"#);
    let ready = || look(Depth::Readiness, "vllm");
    let idle = health().on("GET /v1/models", list()).on("GET /version", version()).on("GET /metrics", ok(VLLM_METRICS));
    kept("vllm", "its model is in memory", &ready(), idle);
    let denied = Reply::status(401, r#"{"error":"Unauthorized"}"#);
    let sees_less =
        health().on("GET /v1/models", denied).on("GET /version", version()).on("GET /metrics", ok(VLLM_METRICS));
    kept("vllm-sees-less", "without its key", &ready(), sees_less);
    let processes = json!([
        {"id":"0","role":"main","exe":"python3.12","args":["/opt/venv/bin/vllm","serve","q"],"addresses":["0/8000"]},
        {"id":"1","parent":"0","role":"engine","exe":"python3.12","args":[],"addresses":[]},
        {"id":"2","parent":"1","role":"engine","exe":"python3.12","args":[],"addresses":[]},
        {"id":"3","parent":"1","role":"engine","exe":"python3.12","args":[],"addresses":[]},
    ]);
    let progress = with(look(Depth::Progress, "vllm"), processes);
    kept("vllm-busy", "one request at work, on two GPUs", &progress, health().on("GET /metrics", ok(VLLM_METRICS)));
    let dead = Scene::new().on("GET /health", Reply::status(503, ""));
    kept("vllm-dead", "its engine is dead", &look(Depth::Liveness, "vllm"), dead);
    let token = health()
        .on("GET /metrics", ok(VLLM_METRICS))
        .on("GET /v1/models", list())
        .on("POST /v1/chat/completions", ok(VLLM_STREAM));
    kept("vllm-inference", "a token", &ask(Some("q"), "vllm"), token);
}

#[test]
fn sessions_of_text_generation_webui_are_kept() {
    const WEBUI: &str = "text-generation-webui";
    let kept = |name: &str, shows: &str, start: &Start, scene| kept(name, WEBUI, shows, start, scene);
    let ok = |body: &str| Reply::status(200, body);
    let info = |model: &str| {
        let info = json!({"model_name": model, "lora_names": [], "loader": "llama.cpp"});
        Scene::new().on("GET /v1/internal/model/info", ok(&info.to_string()))
    };
    kept("webui-liveness", "it answers", &look(Depth::Liveness, WEBUI), info("m.gguf"));
    let list = ok(r#"{"model_names":["None","a.gguf","m.gguf"]}"#);
    let ready = info("m.gguf").on("GET /v1/internal/model/list", list);
    kept("webui", "one model of two is loaded", &look(Depth::Readiness, WEBUI), ready);
    let processes = json!([
        {"id":"0","role":"other","exe":"python3","args":["server.py"],"addresses":["0/5000"]},
        {"id":"1","parent":"0","role":"engine","exe":"llama-server","args":["--model","m.gguf","--port","41001"],
         "addresses":["1/41001"]},
    ]);
    let busy = info("m.gguf")
        .on("GET /props 1/41001", recorded!("props"))
        .on("GET /metrics 1/41001", recorded!("busy_metrics_deferred"))
        .on("GET /slots 1/41001", recorded!("busy_slots"));
    kept("webui-busy", "its llama.cpp server works", &with(look(Depth::Progress, WEBUI), processes.clone()), busy);
    let token = info("tiny")
        .on("GET /props 1/41001", recorded!("no_metrics_props"))
        .on("GET /slots 1/41001", recorded!("no_metrics_slots"))
        .on("POST /v1/chat/completions", recorded!("no_metrics_chat"));
    kept(
        "webui-inference",
        "a token, its llama.cpp server has a free slot",
        &with(ask(None, WEBUI), processes.clone()),
        token,
    );
    let load = info("None").on("POST /v1/internal/model/load", ok(r#""OK""#));
    kept("webui-load", "a load", &repair("load", "a.gguf", WEBUI), load);
    kept("webui-load-refused", "it would throw another out", &repair("load", "a.gguf", WEBUI), info("m.gguf"));
    let unload = info("m.gguf").on("POST /v1/internal/model/unload", ok("null"));
    kept("webui-unload", "an unload", &with(repair("unload", "m.gguf", WEBUI), processes), unload);
}
