//! LocalAI 4.9.
//!
//! Sources: mudler/LocalAI v4.9.0: core/http/routes/{health,localai,openai,ollama}.go, core/http/endpoints/localai,
//! core/cli/run.go, core/schema, core/http/auth, core/services/monitoring; backend/cpp/llama-cpp/run.sh (the name of a
//! backend's process) and grpc-server.cpp (what it tells of itself).

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    Kind, chat,
    wire::{Backend, Reply, Request},
    world::{Load, World},
};

const VERSION: &str = "v4.9.0 (0000000000000000000000000000000000000000)";

pub struct LocalAi;

impl Backend for LocalAi {
    fn answer(&self, world: &Arc<World>, request: &Request) -> Reply {
        match request.route() {
            ("GET", "/healthz") => Reply::empty(200),
            // What a request loads later is none of its business.
            ("GET", "/readyz") if world.is_starting() => {
                Reply::json(503, &json!({"status": "starting", "reason": "startup preload in progress"}))
            }
            ("GET", "/readyz") => Reply::empty(200),
            ("GET", "/.well-known/localai.json") => {
                let endpoints = json!({"chat_completions": "/v1/chat/completions", "system": "/system",
                    "version": "/version", "backend_monitor": "/backend/monitor"});
                Reply::json(200, &json!({"version": VERSION, "endpoints": endpoints, "capabilities": {}}))
            }
            ("GET", "/version") => Reply::json(200, &json!({"version": VERSION})),
            ("GET", "/v1/models" | "/models") => {
                let data: Vec<Value> =
                    world.models().iter().map(|(id, _)| json!({"id": id, "object": "model"})).collect();
                Reply::json(200, &json!({"object": "list", "data": data}))
            }
            ("GET", "/v1/models/capabilities") => {
                let model = |(id, _): &(String, Load)| json!({"id": id, "object": "model", "capabilities": ["chat", "completion"]});
                let data: Vec<Value> = world.models().iter().map(model).collect();
                Reply::json(200, &json!({"object": "list", "data": data}))
            }
            ("GET", "/api/middleware/status") => {
                let limited = |(id, _): &(String, Load)| {
                    json!({"name": id, "max_concurrent": 1, "retry_after_seconds": 1,
                        "in_flight": world.work_of(id).running})
                };
                let with_limits = world.kind == Kind::LocalAiWithLimits;
                let models: Vec<Value> = world.models().iter().filter(|_| with_limits).map(limited).collect();
                Reply::json(200, &json!({"pii": {"models": []}, "admission": {"models": models}}))
            }
            ("GET", "/system") => {
                let loaded: Vec<Value> =
                    world.loaded().iter().map(|id| json!({"id": id, "backend": "llama-cpp"})).collect();
                Reply::json(200, &json!({"backends": ["llama-cpp"], "loaded_models": loaded}))
            }
            ("GET", "/backend/monitor" | "/v1/backend/monitor") => monitor(world, request),
            ("POST", "/backend/load" | "/v1/backend/load") => load(world, request),
            ("POST", "/backend/shutdown" | "/v1/backend/shutdown") => shutdown(world, request),
            ("POST", "/v1/chat/completions") => completion(world, request),
            ("GET", "/metrics") => Reply::text(200, "text/plain; version=0.0.4", "# TYPE api_call histogram\n"),
            // It imitates Ollama.
            ("GET", "/api/version") => Reply::json(200, &json!({"version": "0.9.0"})),
            ("GET", "/api/tags") => {
                let models: Vec<Value> =
                    world.models().iter().map(|(id, _)| json!({"name": id, "model": id, "size": 0})).collect();
                Reply::json(200, &json!({ "models": models }))
            }
            ("GET", "/api/ps") => {
                let row = |id: &String| json!({"name": id, "model": id, "size": 0, "size_vram": 0, "expires_at": "2099-01-01T00:00:00Z"});
                let models: Vec<Value> = world.loaded().iter().map(row).collect();
                Reply::json(200, &json!({ "models": models }))
            }
            ("GET", "/") => Reply::text(200, "text/html", "<!doctype html><title>LocalAI</title>"),
            _ => error(404, "Resource not found"),
        }
    }

    fn refusal(&self, path: &str) -> Option<Reply> {
        let open = matches!(path, "/healthz" | "/readyz" | "/.well-known/localai.json" | "/version");
        (!open).then(|| error(401, "An authentication key is required"))
    }

    fn failure(&self) -> Reply {
        error(500, "rpc error: code = Unavailable desc = error reading from server: EOF")
    }
}

fn error(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({"error": {"code": status, "message": message, "type": ""}}))
}

/// The backend is llama.cpp's, which implements no `Status`: that it says so itself is all that is to be had of it,
/// idle or at work. A model is known here once its load has ended.
fn monitor(world: &World, request: &Request) -> Reply {
    let body = request.json();
    let Some(model) = request.asked("model").or(body["model"].as_str()) else {
        return error(400, "code=400, message=model query parameter is required");
    };
    let text = match world.load_of(model) {
        Some(Load::Loaded) => format!(
            "backend {model} experienced an error retrieving status info via rpc: rpc error: code = Unimplemented \
             desc = , then failed local node process sample: no grpc backend found for {model}.bin"
        ),
        _ => format!("backend {model} is not currently loaded"),
    };
    error(500, &text)
}

fn load(world: &Arc<World>, request: &Request) -> Reply {
    let body = request.json();
    let model = body["model"].as_str().unwrap_or_default();
    if world.load_of(model).is_none() {
        return error(404, &format!("model {model:?} not found"));
    }
    world.load(model);
    while world.load_of(model) == Some(Load::Loading) {
        world.pause();
    }
    Reply::json(200, &json!({"loaded": [model], "message": "model loaded"}))
}

fn shutdown(world: &World, request: &Request) -> Reply {
    let body = request.json();
    let model = body["model"].as_str().unwrap_or_default();
    if world.load_of(model) != Some(Load::Loaded) {
        return error(404, &format!("model {model} not found"));
    }
    world.unload(model);
    Reply::json(200, &json!({"message": "model stopped"}))
}

fn completion(world: &Arc<World>, request: &Request) -> Reply {
    if world.faults().busy {
        return error(503, "too many requests").with("Retry-After", "5");
    }
    let body = request.json();
    let model = body["model"].as_str().unwrap_or_default();
    if world.load_of(model).is_none() {
        return error(404, &format!("model {model:?} not found"));
    }
    world.load(model);
    while world.load_of(model) == Some(Load::Loading) {
        world.pause();
    }
    chat::answer(world, request, model)
}
