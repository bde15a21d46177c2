//! `POST /v1/chat/completions`, as all of them answer it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    wire::{Body, Reply, Request},
    world::World,
};

/// As many tokens as anybody waits for.
const ENDLESS: u64 = 100_000;

/// Tokens of a model that is loaded, streamed if the request says so. `served` stands in the answer as its model.
pub fn answer(world: &Arc<World>, request: &Request, served: &str) -> Reply {
    let body = request.json();
    let tokens = body["max_tokens"].as_u64().unwrap_or(ENDLESS);
    let generation = world.generate(served, tokens);
    let served = served.to_owned();
    if body["stream"] == json!(true) {
        let chunk = move |delta: Value, finish: Value| {
            let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
            let object = "chat.completion.chunk";
            Some(format!(
                "data: {}\n\n",
                json!({"id": "chatcmpl-1", "object": object, "created": 1_764_000_000,
                "model": served, "choices": [choice]})
            ))
        };
        // The first chunk has no content: it proves no token.
        let first = chunk(json!({"role": "assistant", "content": ""}), Value::Null);
        let last = chunk(json!({}), json!("length"));
        let tokens = generation.map(move |token| match token {
            Some(token) => chunk(json!({"content": token}), Value::Null),
            None => None,
        });
        let pieces = [first].into_iter().chain(tokens).chain([last, Some("data: [DONE]\n\n".to_owned())]);
        return Reply {
            status: 200,
            headers: vec![("Content-Type", "text/event-stream".into())],
            body: Body::Pieces { chunked: true, pieces: Box::new(pieces) },
        };
    }
    Reply {
        status: 200,
        headers: vec![("Content-Type", "application/json".into())],
        body: Body::Pieces { chunked: false, pieces: Box::new(whole(generation, served)) },
    }
}

/// Nothing yet, again and again, and then all of the answer.
fn whole(
    mut generation: impl Iterator<Item = Option<String>> + Send,
    served: String,
) -> impl Iterator<Item = Option<String>> + Send {
    let (mut text, mut count, mut over) = (String::new(), 0_u64, false);
    std::iter::from_fn(move || {
        if over {
            return None;
        }
        match generation.next() {
            Some(token) => {
                count += u64::from(token.is_some());
                text.push_str(&token.unwrap_or_default());
                Some(None)
            }
            None => {
                over = true;
                let message = json!({"role": "assistant", "content": text});
                let usage = json!({"prompt_tokens": 28, "completion_tokens": count, "total_tokens": 28 + count});
                Some(Some(
                    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1_764_000_000, "model": served,
                        "choices": [{"index": 0, "message": message, "finish_reason": "length"}], "usage": usage})
                    .to_string(),
                ))
            }
        }
    })
}
