//! Two servers in Python that speak `/v1`: llama-cpp-python's, and text-generation-webui's.
//!
//! Sources: recordings of llama-cpp-python 0.3.36 (plugins/openai/tests/recorded/python_*); text-generation-webui:
//! extensions/openai/script.py and models.py of oobabooga/text-generation-webui (its keys guard every route).

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    chat,
    wire::{Backend, Reply, Request},
    world::{Load, World},
};

pub struct LlamaCppPython;

impl Backend for LlamaCppPython {
    fn answer(&self, world: &Arc<World>, request: &Request) -> Reply {
        let reply = match request.route() {
            ("GET", "/openapi.json") => {
                let info = json!({"title": "🦙 llama.cpp Python API", "version": "0.3.36"});
                Reply::json(200, &json!({"openapi": "3.1.0", "info": info, "paths": {}}))
            }
            ("GET", "/v1/models") => {
                let model = |(id, _): &(String, Load)| json!({"id": id, "object": "model", "owned_by": "me", "permissions": []});
                let data: Vec<Value> = world.models().iter().map(model).collect();
                Reply::json(200, &json!({"object": "list", "data": data}))
            }
            ("POST", "/v1/chat/completions") => served_by_the_first(world, request),
            _ => not_found(),
        };
        reply.with("server", "uvicorn")
    }

    fn refusal(&self, path: &str) -> Option<Reply> {
        if path == "/openapi.json" {
            return None;
        }
        let error = json!({"message": "Invalid API key", "type": "invalid_request_error", "param": null, "code": null});
        Some(Reply::json(401, &json!({"detail": {"error": error}})).with("server", "uvicorn"))
    }

    fn failure(&self) -> Reply {
        let error =
            json!({"message": "something went wrong", "type": "internal_server_error", "param": null, "code": null});
        Reply::json(500, &json!({"error": error})).with("server", "uvicorn")
    }
}

pub struct TextGenerationWebui;

impl Backend for TextGenerationWebui {
    fn answer(&self, world: &Arc<World>, request: &Request) -> Reply {
        let reply = match request.route() {
            ("GET", "/v1/models") => {
                let model =
                    |(id, _): &(String, Load)| json!({"id": id, "object": "model", "created": 0, "owned_by": "user"});
                let data: Vec<Value> = world.models().iter().map(model).collect();
                Reply::json(200, &json!({"object": "list", "data": data}))
            }
            ("GET", "/v1/internal/health") => Reply::json(200, &json!({"status": "ok"})),
            ("GET", "/v1/internal/model/info") => {
                let loaded = world.loaded().first().cloned().unwrap_or_else(|| "None".into());
                Reply::json(200, &json!({"model_name": loaded, "lora_names": [], "loader": "llama.cpp"}))
            }
            ("GET", "/v1/internal/model/list") => {
                let names: Vec<String> = world.models().into_iter().map(|(id, _)| id).collect();
                Reply::json(200, &json!({"model_names": names}))
            }
            ("POST", "/v1/internal/model/load") => {
                let body = request.json();
                let model = body["model_name"].as_str().unwrap_or_default();
                if world.load_of(model).is_none() {
                    return Reply::json(400, &json!({"detail": "Failed to load the model."}));
                }
                world.loaded().iter().for_each(|loaded| world.unload(loaded));
                world.load(model);
                world.wait_loaded();
                Reply::json(200, &json!("OK"))
            }
            ("POST", "/v1/internal/model/unload") => {
                world.loaded().iter().for_each(|loaded| world.unload(loaded));
                Reply::json(200, &Value::Null)
            }
            ("POST", "/v1/chat/completions") => served_by_the_first(world, request),
            _ => not_found(),
        };
        reply.with("server", "uvicorn")
    }

    fn refusal(&self, path: &str) -> Option<Reply> {
        if path == "/openapi.json" {
            return None;
        }
        Some(Reply::json(401, &json!({"detail": "Unauthorized"})).with("server", "uvicorn"))
    }

    fn failure(&self) -> Reply {
        let error = json!({"message": "something went wrong", "type": "server_error", "param": null, "code": null});
        Reply::json(500, &json!({"error": error})).with("server", "uvicorn")
    }
}

/// Whatever the request names, the one loaded model answers.
fn served_by_the_first(world: &Arc<World>, request: &Request) -> Reply {
    match world.loaded().first() {
        Some(model) => chat::answer(world, request, model),
        None => Reply::json(500, &json!({"detail": "no model is loaded"})),
    }
}

fn not_found() -> Reply {
    Reply::json(404, &json!({"detail": "Not Found"}))
}
