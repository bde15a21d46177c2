//! Ollama's own protocol: models, and inference as NDJSON.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Front,
    inference::{self, Ask, Piece, Summary},
    keep_alive::KeepAlive,
    models::{Model, Refusal},
    routes::{go_words, json_body, status},
};

pub async fn tags(State(front): State<Arc<Front>>) -> Response {
    json_body(&front.store.tags())
}

pub async fn ps(State(front): State<Arc<Front>>) -> Response {
    json_body(&front.scheduler.list().await)
}

pub async fn show(State(front): State<Arc<Front>>, body: Bytes) -> Response {
    let Request { model, .. } = match read(&body) {
        Ok(request) => request,
        Err(refusal) => return refuse(&refusal),
    };
    match front.store.find(&model) {
        Some(model) => json_body(&model.show()),
        None => {
            let full = if model.contains(':') { model } else { format!("{model}:latest") };
            refuse(&Refusal::new(404, format!("model '{full}' not found")))
        }
    }
}

pub async fn generate(State(front): State<Arc<Front>>, body: Bytes) -> Response {
    answer(&front, &body, Form::Generate).await
}

pub async fn chat(State(front): State<Arc<Front>>, body: Bytes) -> Response {
    answer(&front, &body, Form::Chat).await
}

/// What `/api/generate`, `/api/chat` and `/api/show` read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Request {
    model: String,
    prompt: String,
    messages: Vec<Message>,
    stream: Option<bool>,
    keep_alive: Option<Value>,
    options: Options,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    content: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Options {
    num_predict: Option<i64>,
    num_ctx: Option<u64>,
}

/// The two routes differ in where the text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Generate,
    Chat,
}

impl Form {
    fn line(self, model: &str, text: &str) -> Value {
        let mut line = json!({"model": model, "created_at": Timestamp::now().to_string()});
        match self {
            Form::Generate => line["response"] = json!(text),
            Form::Chat => line["message"] = json!({"role": "assistant", "content": text}),
        }
        line["done"] = json!(false);
        line
    }

    fn done(self, model: &str, text: &str, reason: &str, summary: Option<Summary>) -> Value {
        let mut line = self.line(model, text);
        line["done"] = json!(true);
        line["done_reason"] = json!(reason);
        if let Some(s) = summary {
            let busy = s.total_ns.saturating_sub(s.load_ns);
            line["total_duration"] = json!(s.total_ns);
            line["load_duration"] = json!(s.load_ns);
            line["prompt_eval_count"] = json!(s.prompt_tokens);
            line["prompt_eval_duration"] = json!(busy / 4);
            line["eval_count"] = json!(s.tokens);
            line["eval_duration"] = json!(busy - busy / 4);
        }
        line
    }
}

async fn answer(front: &Arc<Front>, body: &Bytes, form: Form) -> Response {
    match try_answer(front, body, form).await {
        Ok(response) => response,
        Err(refusal) => refuse(&refusal),
    }
}

async fn try_answer(front: &Arc<Front>, body: &Bytes, form: Form) -> Result<Response, Refusal> {
    let request = read(body)?;
    let missing = || Refusal::new(404, format!("model '{}' not found", request.model));
    let model = front.store.find(&request.model).ok_or_else(missing)?.clone();
    let keep = request.keep_alive.as_ref().map(KeepAlive::from_json).transpose();
    let keep = keep.map_err(|e| Refusal::new(400, e))?;
    let prompt = match form {
        Form::Generate => request.prompt.clone(),
        Form::Chat => request.messages.iter().map(|m| m.content.as_str()).collect::<Vec<_>>().join("\n"),
    };
    let name = request.model.clone();

    if prompt.is_empty() {
        return load_or_unload(front, &model, &name, keep, request.options.num_ctx, form).await;
    }
    let ask = Ask { prompt, limit: request.options.num_predict, keep, context: request.options.num_ctx };
    let generation = inference::ask(front, &model, &ask).await?;
    if request.stream == Some(false) {
        let (text, summary) = generation.whole().await?;
        return Ok(json_body(&form.done(&name, &text, "length", Some(summary))));
    }
    let lines = generation.pieces().map(move |piece| {
        let line = match piece {
            Piece::Token(text) => form.line(&name, &text),
            Piece::End(summary) => form.done(&name, "", "length", Some(summary)),
            // The status is out already: the error is the last line (measured).
            Piece::Broken(why) => json!({ "error": why }),
        };
        Ok::<_, Infallible>(format!("{line}\n"))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

/// No prompt: it loads, or with `keep_alive` 0 unloads. Unloading answers that it was done, whatever it did.
async fn load_or_unload(
    front: &Front,
    model: &Model,
    name: &str,
    keep: Option<KeepAlive>,
    context: Option<u64>,
    form: Form,
) -> Result<Response, Refusal> {
    let reason = if keep.is_some_and(KeepAlive::is_zero) {
        if !front.faults.now().keep_loaded {
            front.scheduler.unload(model).await;
        }
        "unload"
    } else {
        front.scheduler.load(model, keep, context).await?;
        "load"
    };
    Ok(json_body(&form.done(name, "", reason, None)))
}

fn read(body: &Bytes) -> Result<Request, Refusal> {
    serde_json::from_slice(body).map_err(|e| Refusal::new(400, go_words(&e)))
}

fn refuse(refusal: &Refusal) -> Response {
    (status(refusal.status), json_body(&json!({"error": refusal.text}))).into_response()
}
