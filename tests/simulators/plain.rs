//! Servers that nobody has a name for: one of `/v1`, one of a protocol of its own, and one that is no model server.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    chat,
    wire::{Backend, Reply, Request},
    world::{Load, World},
};

/// `/v1/models` and completions, and nothing else.
pub struct Plain;

impl Backend for Plain {
    fn answer(&self, world: &Arc<World>, request: &Request) -> Reply {
        match request.route() {
            ("GET", "/v1/models") => {
                let model = |(id, _): &(String, Load)| json!({"id": id, "object": "model", "created": 0, "owned_by": "somebody"});
                let data: Vec<Value> = world.models().iter().map(model).collect();
                Reply::json(200, &json!({"object": "list", "data": data}))
            }
            ("POST", "/v1/chat/completions") => match world.loaded().first() {
                Some(model) => chat::answer(world, request, model),
                None => error(503, "no model is loaded"),
            },
            _ => error(404, "no such route"),
        }
    }

    fn refusal(&self, _: &str) -> Option<Reply> {
        Some(error(401, "a key is needed"))
    }

    fn failure(&self) -> Reply {
        error(500, "something went wrong")
    }
}

/// For the plugin that is wholly configured: what the protocol is like stands in the target's settings.
pub struct Own;

impl Backend for Own {
    fn answer(&self, world: &Arc<World>, request: &Request) -> Reply {
        match request.route() {
            ("GET", "/status") => {
                let state = if world.is_loading() { "warming" } else { "up" };
                let models: Vec<Value> = world
                    .models()
                    .iter()
                    .map(|(id, load)| json!({"name": id, "loaded": *load == Load::Loaded}))
                    .collect();
                let works: Vec<_> = world.models().iter().map(|(id, _)| world.work_of(id)).collect();
                let running: u64 = works.iter().map(|w| w.running).sum();
                let waiting: u64 = works.iter().map(|w| w.waiting).sum();
                let tokens: u64 = works.iter().map(|w| w.tokens).sum();
                let queue = json!({"running": running, "waiting": waiting});
                Reply::json(
                    200,
                    &json!({"state": state, "version": "1.2.3", "models": models, "queue": queue,
                    "tokens": tokens}),
                )
            }
            ("POST", "/chat" | "/v1/chat/completions") => match world.loaded().first() {
                Some(model) => chat::answer(world, request, model),
                None => error(503, "warming"),
            },
            _ => error(404, "no such route"),
        }
    }

    fn refusal(&self, _: &str) -> Option<Reply> {
        Some(error(403, "a key is needed"))
    }

    fn failure(&self) -> Reply {
        error(500, "something went wrong")
    }
}

/// The same page for every path.
pub struct Website;

impl Backend for Website {
    fn answer(&self, _: &Arc<World>, _: &Request) -> Reply {
        Reply::text(200, "text/html", "<!doctype html><html><title>Home</title><body>Welcome</body></html>")
            .with("Server", "nginx")
    }

    fn refusal(&self, _: &str) -> Option<Reply> {
        None
    }

    fn failure(&self) -> Reply {
        Reply::text(500, "text/html", "<html><title>500</title></html>").with("Server", "nginx")
    }
}

fn error(status: u16, text: &str) -> Reply {
    Reply::json(status, &json!({ "error": { "message": text } }))
}
