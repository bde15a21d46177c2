//! llama.cpp's server in its router mode: no model of its own, a child process per loaded model.
//!
//! Written from recordings of b11669: `/health` is always well, the states stand in `/models`, and what concerns one
//! model must name it.

use std::{
    net::TcpListener,
    sync::{Arc, atomic::Ordering},
};

use serde_json::{Value, json};

use super::{
    Kind, chat,
    engine::{Doing, Inside},
    process::Options,
    wire::{self, Backend, Reply, Request},
    world::{Load, World},
};

pub struct Router;

impl Backend for Router {
    fn answer(&self, world: &Arc<World>, request: &Request) -> Reply {
        let reply = match request.route() {
            ("GET", "/health" | "/v1/health") => Reply::json(200, &json!({"status": "ok"})),
            ("GET", "/props") if request.asked("model").is_none() => Reply::json(
                200,
                &json!({"role": "router", "max_instances": 2, "models_autoload": true, "model_alias": "llama-server",
                    "model_path": "none", "default_generation_settings": {"params": null, "n_ctx": 0},
                    "build_info": "b11669-simulated"}),
            ),
            ("GET", "/models" | "/v1/models") => {
                let data: Vec<Value> = world.models().iter().map(|(id, load)| model(id, *load)).collect();
                Reply::json(200, &json!({"data": data, "object": "list"}))
            }
            ("GET", "/slots") => of_a_loaded_model(world, request, |model| {
                let work = world.work_of(model);
                let mut slot = json!({"id": 0, "n_ctx": 2048, "speculative": false, "is_processing": work.running > 0});
                if work.running > 0 {
                    slot["id_task"] = json!(work.finished);
                    slot["n_prompt_tokens_processed"] = json!(28);
                    slot["next_token"] = json!([{"has_next_token": true, "n_remain": -1, "n_decoded": work.tokens}]);
                }
                Reply::json(200, &json!([slot]))
            }),
            ("GET", "/metrics") => of_a_loaded_model(world, request, |model| {
                let work = world.work_of(model);
                let text: String = [
                    ("n_decode_total", "counter", work.tokens),
                    ("requests_processing", "gauge", work.running),
                    ("requests_deferred", "gauge", work.waiting),
                ]
                .iter()
                .map(|(name, kind, value)| format!("# TYPE llamacpp:{name} {kind}\nllamacpp:{name} {value}\n"))
                .collect();
                Reply::text(200, "text/plain; version=0.0.4", &text)
            }),
            ("GET", "/props") => of_a_loaded_model(world, request, |model| {
                let props = json!({"total_slots": 1, "model_alias": model, "build_info": "b11669-simulated",
                    "endpoint_slots": true, "endpoint_metrics": true, "is_sleeping": false});
                Reply::json(200, &props)
            }),
            ("POST", "/models/load") => load(world, request),
            ("POST", "/models/unload") => unload(world, request),
            ("POST", "/v1/chat/completions") => completion(world, request),
            _ => error(404, "not_found_error", "File Not Found"),
        };
        reply.with("Server", "llama.cpp")
    }

    fn refusal(&self, path: &str) -> Option<Reply> {
        let open = matches!(path, "/health" | "/v1/health");
        let refusal = || error(401, "authentication_error", "Invalid API Key").with("Server", "llama.cpp");
        (!open).then(refusal)
    }

    fn failure(&self) -> Reply {
        error(500, "server_error", "something went wrong").with("Server", "llama.cpp")
    }
}

fn model(id: &str, load: Load) -> Value {
    let value = match load {
        Load::Unloaded => "unloaded",
        Load::Loading => "loading",
        Load::Loaded => "loaded",
    };
    json!({"id": id, "aliases": [], "tags": [], "object": "model", "owned_by": "llamacpp", "created": 1_764_000_000,
        "status": {"value": value, "args": ["llama-server", "--alias", id]},
        "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]}, "context_length": 2048})
}

fn of_a_loaded_model(world: &Arc<World>, request: &Request, answer: impl FnOnce(&str) -> Reply) -> Reply {
    let Some(model) = request.asked("model") else {
        return error(400, "invalid_request_error", "model name is missing from the request");
    };
    match world.load_of(model) {
        None => error(400, "invalid_request_error", &format!("model '{model}' not found")),
        Some(Load::Loaded) => answer(model),
        Some(_) if request.asked("autoload") == Some("false") => {
            error(400, "invalid_request_error", "model is not loaded")
        }
        Some(_) => {
            load_and_wait(world, model);
            answer(model)
        }
    }
}

/// Answers before anything is loaded.
fn load(world: &Arc<World>, request: &Request) -> Reply {
    let body = request.json();
    let model = body["model"].as_str().unwrap_or_default();
    match world.load_of(model) {
        None => error(404, "not_found_error", &format!("model '{model}' not found")),
        Some(Load::Unloaded) => {
            world.load(model);
            Reply::json(200, &json!({"success": true}))
        }
        Some(_) => error(400, "invalid_request_error", "model is already running"),
    }
}

fn unload(world: &World, request: &Request) -> Reply {
    let body = request.json();
    let model = body["model"].as_str().unwrap_or_default();
    match world.load_of(model) {
        None => error(400, "invalid_request_error", "model is not found"),
        Some(Load::Unloaded) => error(400, "invalid_request_error", "model is not running"),
        Some(_) => {
            world.unload(model);
            Reply::json(200, &json!({"success": true}))
        }
    }
}

fn completion(world: &Arc<World>, request: &Request) -> Reply {
    let body = request.json();
    let model = body["model"].as_str().unwrap_or_default();
    match world.load_of(model) {
        None => error(400, "invalid_request_error", &format!("model '{model}' not found")),
        Some(Load::Loaded) => chat::answer(world, request, model),
        Some(_) if request.asked("autoload") == Some("false") => {
            error(400, "invalid_request_error", "model is not loaded")
        }
        Some(_) => {
            load_and_wait(world, model);
            chat::answer(world, request, model)
        }
    }
}

fn load_and_wait(world: &Arc<World>, model: &str) {
    world.load(model);
    while world.load_of(model) == Some(Load::Loading) {
        world.pause();
    }
}

fn error(status: u16, kind: &str, message: &str) -> Reply {
    Reply::json(status, &json!({"error": {"code": status, "message": message, "type": kind}}))
}

/// A child's own port: llama.cpp's server with one model, as far as a monitor asks it.
struct Child {
    model: String,
    inside: Arc<Inside>,
}

/// Answers from now on, in a thread of its own.
pub fn serve_child(listener: TcpListener, model: String, inside: Arc<Inside>) {
    let address = listener.local_addr().expect("a bound port");
    let options = Options { kind: Kind::Plain, address, models: Vec::new(), faults: Vec::new() };
    let backend: Arc<dyn Backend> = Arc::new(Child { model, inside });
    std::thread::spawn(move || wire::serve(&listener, &World::begin(&options), &backend));
}

impl Backend for Child {
    fn answer(&self, _: &Arc<World>, request: &Request) -> Reply {
        let doing = self.inside.doing();
        if doing == Doing::Loading {
            return error(503, "unavailable_error", "Loading model").with("Server", "llama.cpp");
        }
        let processing = matches!(doing, Doing::Generating | Doing::Stalled);
        let decoded = self.inside.decoded.load(Ordering::SeqCst);
        let reply = match request.route() {
            ("GET", "/health") => Reply::json(200, &json!({"status": "ok"})),
            ("GET", "/props") => Reply::json(
                200,
                &json!({"total_slots": 1, "model_alias": self.model, "build_info": "b11669-simulated",
                    "endpoint_slots": true, "endpoint_metrics": true, "is_sleeping": false}),
            ),
            ("GET", "/slots") => {
                let mut slot = json!({"id": 0, "n_ctx": 2048, "speculative": false, "is_processing": processing});
                if processing {
                    slot["id_task"] = json!(self.inside.tasks.load(Ordering::SeqCst));
                    slot["n_prompt_tokens_processed"] = json!(28);
                    slot["next_token"] = json!([{"has_next_token": true, "n_remain": -1, "n_decoded": decoded}]);
                }
                Reply::json(200, &json!([slot]))
            }
            ("GET", "/metrics") => {
                let running = u8::from(processing);
                let text = format!(
                    "# TYPE llamacpp:n_decode_total counter\nllamacpp:n_decode_total {decoded}\n\
                     # TYPE llamacpp:requests_processing gauge\nllamacpp:requests_processing {running}\n\
                     # TYPE llamacpp:requests_deferred gauge\nllamacpp:requests_deferred 0\n"
                );
                Reply::text(200, "text/plain; version=0.0.4", &text)
            }
            _ => error(404, "not_found_error", "File Not Found"),
        };
        reply.with("Server", "llama.cpp")
    }

    fn refusal(&self, _: &str) -> Option<Reply> {
        None
    }

    fn failure(&self) -> Reply {
        error(500, "server_error", "something went wrong")
    }
}
