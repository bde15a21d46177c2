//! Ollama's OpenAI-compatible routes. They take no `keep_alive`.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Front,
    inference::{self, Ask, Generation, Piece, Summary},
    models::Refusal,
    routes::{go_words, status},
};

pub async fn models(State(front): State<Arc<Front>>) -> Response {
    json_line(&front.store.v1())
}

pub async fn chat(State(front): State<Arc<Front>>, body: Bytes) -> Response {
    match try_chat(&front, &body).await {
        Ok(response) => response,
        Err(refusal) => refuse(&refusal),
    }
}

async fn try_chat(front: &Front, body: &Bytes) -> Result<Response, Refusal> {
    let request: Value = serde_json::from_slice(body).map_err(|e| Refusal::new(400, go_words(&e)))?;
    let messages = request["messages"].as_array().filter(|m| !m.is_empty());
    let messages = messages.ok_or_else(|| Refusal::new(400, "[] is too short - 'messages'"))?;
    let name = request["model"].as_str().unwrap_or_default().to_owned();
    let missing = || Refusal::new(404, format!("model '{name}' not found"));
    let model = front.store.find(&name).ok_or_else(missing)?;
    let prompt: Vec<&str> = messages.iter().filter_map(|m| m["content"].as_str()).collect();
    let ask = Ask { prompt: prompt.join("\n"), limit: request["max_tokens"].as_i64(), keep: None, context: None };
    let generation = inference::ask(front, model, &ask).await?;
    if request["stream"] == json!(true) {
        let with_usage = request["stream_options"]["include_usage"] == json!(true);
        return Ok(streamed(generation, name, with_usage));
    }
    let (text, summary) = generation.whole().await?;
    Ok(json_line(&json!({"id": "chatcmpl-1", "object": "chat.completion", "created": created(), "model": name,
        "system_fingerprint": "fp_ollama",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "length"}],
        "usage": usage(&summary)})))
}

fn streamed(generation: Generation, name: String, with_usage: bool) -> Response {
    let chunk = move |choices: Value| {
        json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": created(), "model": name,
            "system_fingerprint": "fp_ollama", "choices": choices})
    };
    let events = generation.pieces().flat_map(move |piece| {
        let events = match piece {
            Piece::Token(text) => {
                let delta = json!({"role": "assistant", "content": text});
                vec![chunk(json!([{"index": 0, "delta": delta, "finish_reason": null}]))]
            }
            Piece::End(summary) => {
                let last = chunk(json!([{"index": 0, "delta": {}, "finish_reason": "length"}]));
                let mut with = chunk(json!([]));
                with["usage"] = usage(&summary);
                let mut events = vec![last];
                if with_usage {
                    events.push(with);
                }
                events
            }
            Piece::Broken(why) => vec![error(&Refusal::new(500, why))],
        };
        stream::iter(events.into_iter().map(|e| format!("data: {e}\n\n")))
    });
    let events = events.chain(stream::iter(["data: [DONE]\n\n".to_owned()])).map(Ok::<_, Infallible>);
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

fn usage(s: &Summary) -> Value {
    json!({"prompt_tokens": s.prompt_tokens, "completion_tokens": s.tokens, "total_tokens": s.prompt_tokens + s.tokens})
}

fn error(refusal: &Refusal) -> Value {
    let kind = match refusal.status {
        400 => "invalid_request_error",
        404 => "not_found_error",
        _ => "api_error",
    };
    json!({"error": {"message": refusal.text, "type": kind, "param": null, "code": null}})
}

fn refuse(refusal: &Refusal) -> Response {
    (status(refusal.status), json_line(&error(refusal))).into_response()
}

/// These routes end their JSON with a newline.
fn json_line(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], format!("{value}\n")).into_response()
}

fn created() -> i64 {
    Timestamp::now().as_second()
}
