//! LM Studio, headless (`llmster`), version 0.4.
//!
//! Sources: lmstudio-ai/docs (1_developer: rest/endpoints, openai-compat, core/ttl-and-auto-evict, core/authentication),
//! lmstudio-ai/lms (src/createClient.ts: the greeting), lmstudio-bug-tracker#618 and #1323 (every unknown route is a
//! 200 with an error inside) and #619 (with one model loaded, a wrong name is served by it).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value, json};

use super::{
    chat,
    wire::{Backend, Reply, Request},
    world::{Load, World, capacity},
};

#[derive(Debug, Default)]
pub struct LmStudio {
    /// Jobs under way or over, each with its model and how often it was asked after.
    downloads: Mutex<BTreeMap<String, (String, u32)>>,
}

/// A job is done when it is asked after so often.
const ASKED: u32 = 2;
const DOWNLOAD_BYTES: u64 = 2_000_000;
const STATUS: &str = "/api/v1/models/download/status/";

impl Backend for LmStudio {
    fn answer(&self, world: &Arc<World>, request: &Request) -> Reply {
        let reply = match request.route() {
            ("GET", "/lmstudio-greeting") => Reply::json(200, &json!({"lmstudio": true})),
            ("GET", "/v1/models") => {
                let data: Vec<Value> = world.models().iter().map(|(id, _)| openai_model(id)).collect();
                Reply::json(200, &json!({"data": data, "object": "list"}))
            }
            ("GET", "/api/v0/models") => {
                let data: Vec<Value> = world.models().iter().map(|(id, load)| v0_model(id, *load)).collect();
                Reply::json(200, &json!({"object": "list", "data": data}))
            }
            ("GET", "/api/v1/models") => {
                let models: Vec<Value> = world.models().iter().map(|(id, load)| v1_model(world, id, *load)).collect();
                Reply::json(200, &json!({"models": models}))
            }
            ("POST", "/api/v1/models/load") => load(world, request),
            ("POST", "/api/v1/models/unload") => unload(world, request),
            ("POST", "/api/v1/models/download") => self.download(world, request),
            ("GET", path) if path.starts_with(STATUS) => self.status(world, &path[STATUS.len()..]),
            ("POST", "/v1/chat/completions") => completion(world, request),
            (method, path) => {
                let text = format!("Unexpected endpoint or method. ({method} {path}). Returning 200 anyway");
                Reply::json(200, &json!({"error": text}))
            }
        };
        reply.with("X-Powered-By", "Express")
    }

    fn refusal(&self, path: &str) -> Option<Reply> {
        if path == "/lmstudio-greeting" {
            return None;
        }
        let text = "Invalid LM Studio API token";
        let error = json!({"message": text, "type": "invalid_request_error", "param": null, "code": "invalid_api_key"});
        Some(Reply::json(401, &json!({"error": error})).with("X-Powered-By", "Express"))
    }

    fn failure(&self) -> Reply {
        let text = "The model has crashed without additional information. (Exit code: null)";
        Reply::json(500, &json!({"error": text})).with("X-Powered-By", "Express")
    }
}

impl LmStudio {
    /// Downloading goes on by itself: the answer names the job.
    fn download(&self, world: &World, request: &Request) -> Reply {
        let body = request.json();
        let model = body["model"].as_str().unwrap_or_default();
        if world.load_of(model).is_some() {
            return Reply::json(200, &json!({"status": "already_downloaded"}));
        }
        let mut downloads = self.downloads.lock().unwrap_or_else(PoisonError::into_inner);
        let job = format!("job_{:010x}", downloads.len() + 1);
        downloads.insert(job.clone(), (model.to_owned(), 0));
        let started = "2026-11-24T04:02:00.000Z";
        Reply::json(
            200,
            &json!({"job_id": job, "status": "downloading", "total_size_bytes": DOWNLOAD_BYTES, "started_at": started}),
        )
    }

    fn status(&self, world: &World, job: &str) -> Reply {
        let mut downloads = self.downloads.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((model, asked)) = downloads.get_mut(job) else {
            return Reply::json(404, &json!({"error": {"message": format!("no job {job}"), "code": "not_found"}}));
        };
        *asked += 1;
        let (status, done) = match *asked < ASKED {
            true => ("downloading", DOWNLOAD_BYTES / 2),
            false => ("completed", DOWNLOAD_BYTES),
        };
        if status == "completed" {
            world.add(model);
        }
        let state =
            json!({"job_id": job, "status": status, "total_size_bytes": DOWNLOAD_BYTES, "downloaded_bytes": done});
        Reply::json(200, &state)
    }
}

fn openai_model(id: &str) -> Value {
    json!({"id": id, "object": "model", "owned_by": "organization_owner"})
}

fn v0_model(id: &str, load: Load) -> Value {
    let state = if load == Load::Loaded { "loaded" } else { "not-loaded" };
    json!({"id": id, "object": "model", "type": "llm", "publisher": "someone", "arch": "llama",
        "compatibility_type": "gguf", "quantization": "Q4_K_M", "state": state, "max_context_length": 4096})
}

/// A model that is being loaded is not told from one that is not.
fn v1_model(world: &World, id: &str, load: Load) -> Value {
    let config = json!({"context_length": 4096, "parallel": capacity(world.kind)});
    let instances = if load == Load::Loaded { vec![json!({"id": id, "config": config})] } else { Vec::new() };
    json!({"type": "llm", "publisher": "someone", "key": id, "display_name": id, "architecture": "llama",
        "quantization": {"name": "Q4_K_M", "bits_per_weight": 4}, "size_bytes": 1_783_296, "params_string": "1B",
        "loaded_instances": instances, "max_context_length": 4096, "format": "gguf",
        "capabilities": {"vision": false, "trained_for_tool_use": false}})
}

fn load(world: &Arc<World>, request: &Request) -> Reply {
    let body = request.json();
    let model = body["model"].as_str().unwrap_or_default();
    match world.load_of(model) {
        None => not_found(model),
        Some(_) => {
            world.load(model);
            while world.load_of(model) == Some(Load::Loading) {
                world.pause();
            }
            let done = json!({"type": "llm", "instance_id": model, "load_time_seconds": 0.1, "status": "loaded"});
            Reply::json(200, &done)
        }
    }
}

fn unload(world: &World, request: &Request) -> Reply {
    let body = request.json();
    let instance = body["instance_id"].as_str().unwrap_or_default();
    if world.load_of(instance) != Some(Load::Loaded) {
        return not_found(instance);
    }
    world.unload(instance);
    Reply::json(200, &json!({"instance_id": instance}))
}

/// What is named is loaded on demand; with one model loaded, a name that nothing has is served by it.
fn completion(world: &Arc<World>, request: &Request) -> Reply {
    if world.faults().busy {
        return Reply::json(503, &json!({"error": "too many requests are queued"}));
    }
    let body = request.json();
    let named = body["model"].as_str().unwrap_or_default();
    let served = match (world.load_of(named), &world.loaded()[..]) {
        (Some(_), _) => named.to_owned(),
        (None, [only]) => only.clone(),
        (None, []) => {
            let text = "No models loaded. Please load a model in the developer page or use the 'lms load' command.";
            let error = json!({"message": text, "type": "invalid_request_error", "param": "model", "code": null});
            return Reply::json(404, &json!({"error": error}));
        }
        (None, _) => return not_found(named),
    };
    world.load(&served);
    while world.load_of(&served) == Some(Load::Loading) {
        world.pause();
    }
    chat::answer(world, request, &served)
}

fn not_found(model: &str) -> Reply {
    let text = format!("Model '{model}' not found");
    let error = json!({"message": text, "type": "invalid_request_error", "param": "model", "code": "model_not_found"});
    Reply::json(404, &json!({"error": error}))
}
