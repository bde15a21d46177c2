//! vLLM 0.33.
//!
//! Sources: the wheel of vllm 0.33.0: entrypoints/serve/instrumentator, entrypoints/serve/middleware/authenticate.py,
//! entrypoints/launchers/launcher.py (refuses until the engine is ready), and its documentation of the metrics.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    chat,
    wire::{Backend, Reply, Request},
    world::World,
};

pub struct Vllm;

impl Backend for Vllm {
    fn answer(&self, world: &Arc<World>, request: &Request) -> Reply {
        let reply = match request.route() {
            ("GET", "/health" | "/ping") => Reply::empty(200),
            ("GET", "/version") => Reply::json(200, &json!({"version": "0.33.0"})),
            // Requests are not counted unless its start says so.
            ("GET", "/load") => Reply::json(200, &json!({"server_load": 0})),
            ("GET", "/metrics") => Reply::text(200, "text/plain; version=0.0.4; charset=utf-8", &metrics(world)),
            ("GET", "/v1/models") => {
                let data: Vec<Value> = world.models().iter().map(|(id, _)| model(id)).collect();
                Reply::json(200, &json!({"object": "list", "data": data}))
            }
            ("POST", "/v1/chat/completions") => completion(world, request),
            (_, "/health" | "/version" | "/metrics" | "/v1/models") => {
                Reply::json(405, &json!({"detail": "Method Not Allowed"}))
            }
            _ => Reply::json(404, &json!({"detail": "Not Found"})),
        };
        reply.with("server", "uvicorn")
    }

    /// A string, not an object.
    fn refusal(&self, path: &str) -> Option<Reply> {
        let guarded = path.starts_with("/v1") || path.starts_with("/v2");
        guarded.then(|| Reply::json(401, &json!({"error": "Unauthorized"})).with("server", "uvicorn"))
    }

    fn failure(&self) -> Reply {
        let text = "EngineCore encountered an issue. See stack trace (above) for the root cause.";
        error(500, "InternalServerError", text).with("server", "uvicorn")
    }
}

fn model(id: &str) -> Value {
    json!({"id": id, "object": "model", "created": 1_764_000_000, "owned_by": "vllm", "root": id, "parent": null,
        "max_model_len": 4096, "permission": []})
}

fn metrics(world: &World) -> String {
    let mut text = String::new();
    for (id, _) in world.models() {
        let work = world.work_of(&id);
        let labels = format!("{{engine=\"0\",model_name=\"{id}\"}}");
        for (name, kind, value) in [
            ("num_requests_running", "gauge", work.running),
            ("num_requests_waiting", "gauge", work.waiting),
            ("kv_cache_usage_perc", "gauge", 0),
            ("prompt_tokens_total", "counter", work.prompt_tokens),
            ("generation_tokens_total", "counter", work.tokens),
        ] {
            text.push_str(&format!("# HELP vllm:{name} .\n# TYPE vllm:{name} {kind}\nvllm:{name}{labels} {value}.0\n"));
        }
        let finished = format!("{{engine=\"0\",finished_reason=\"length\",model_name=\"{id}\"}}");
        text.push_str("# HELP vllm:request_success_total .\n# TYPE vllm:request_success_total counter\n");
        text.push_str(&format!("vllm:request_success_total{finished} {}.0\n", work.finished));
    }
    text
}

fn completion(world: &Arc<World>, request: &Request) -> Reply {
    if world.faults().busy {
        return error(503, "ServiceUnavailableError", "the server is overloaded");
    }
    let body = request.json();
    let model = body["model"].as_str().unwrap_or_default();
    if world.load_of(model).is_none() {
        return error(404, "NotFoundError", &format!("The model `{model}` does not exist."));
    }
    chat::answer(world, request, model)
}

fn error(status: u16, kind: &str, message: &str) -> Reply {
    Reply::json(status, &json!({"error": {"message": message, "type": kind, "param": null, "code": status}}))
}
