//! The engine's routes, answering as llama.cpp's server does (recorded from b11669).

use std::{
    sync::{Arc, atomic::Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::{Engine, generate::Generation};
use crate::demo::{control, misbehave};

const BUILD: &str = "b11669-demo";

pub fn router(engine: Arc<Engine>) -> Router {
    let faults = engine.faults.clone();
    Router::new()
        .route("/health", get(health))
        .route("/v1/health", get(health))
        .route("/v1/models", get(models))
        .route("/models", get(models))
        .route("/props", get(props))
        .route("/slots", get(slots))
        .route("/metrics", get(metrics))
        .route("/completion", post(completion))
        .route("/v1/chat/completions", post(chat))
        .fallback(|| async { error(StatusCode::NOT_FOUND, "not_found_error", "File Not Found") })
        .layer(middleware::from_fn_with_state(engine.clone(), loading))
        .layer(middleware::from_fn_with_state(faults, misbehave::layer))
        .route(control::PATH, post(fault))
        .layer(middleware::map_response(as_llama_cpp))
        .with_state(engine)
}

async fn as_llama_cpp(mut response: Response) -> Response {
    response.headers_mut().insert(header::SERVER, HeaderValue::from_static("llama.cpp"));
    response
}

/// The same 503 on every route while the model is loading.
async fn loading(State(engine): State<Arc<Engine>>, request: Request, next: Next) -> Response {
    if engine.loaded.load(Ordering::SeqCst) {
        next.run(request).await
    } else {
        error(StatusCode::SERVICE_UNAVAILABLE, "unavailable_error", "Loading model")
    }
}

async fn fault(State(engine): State<Arc<Engine>>, body: Bytes) -> Response {
    match control::read(&body) {
        Ok(order) => control::accept(&engine.faults, order),
        Err(answer) => answer,
    }
}

async fn health() -> Response {
    json_body(json!({"status": "ok"}))
}

async fn models(State(engine): State<Arc<Engine>>) -> Response {
    let name = &engine.args.alias;
    json_body(json!({
        "models": [{"name": name, "model": name, "modified_at": "", "size": "", "digest": "", "type": "model",
            "description": "", "tags": [""], "capabilities": ["completion"], "parameters": "",
            "details": {"parent_model": "", "format": "gguf", "family": "", "families": [""], "parameter_size": "",
                "quantization_level": ""}}],
        "object": "list",
        "data": [{"id": name, "aliases": [name], "tags": [], "object": "model",
            "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
            "created": now(), "owned_by": "llamacpp",
            "meta": {"vocab_type": 1, "n_vocab": 459, "n_ctx": engine.args.context, "n_ctx_train": 2048,
                "n_embd": 128, "n_params": 445824, "size": 1783296, "ftype": "all F32"}}],
    }))
}

async fn props(State(engine): State<Arc<Engine>>) -> Response {
    json_body(json!({
        "default_generation_settings": {"params": {"n_predict": -1}, "n_ctx": engine.args.context},
        "total_slots": engine.args.parallel, "model_alias": engine.args.alias, "model_ftype": "all F32",
        "model_path": engine.args.model, "modalities": {"vision": false, "video": false, "audio": false},
        "endpoint_slots": engine.args.slots, "endpoint_props": false, "endpoint_metrics": engine.args.metrics,
        "build_info": BUILD, "is_sleeping": engine.is_sleeping(),
    }))
}

async fn slots(State(engine): State<Arc<Engine>>) -> Response {
    if !engine.args.slots {
        let text = "This server does not support slots endpoint.";
        return error(StatusCode::NOT_IMPLEMENTED, "not_supported_error", text);
    }
    engine.wake();
    json_body(engine.slots.to_json())
}

async fn metrics(State(engine): State<Arc<Engine>>) -> Response {
    if !engine.args.metrics {
        let text = "This server does not support metrics endpoint. Start it with `--metrics`";
        return error(StatusCode::NOT_IMPLEMENTED, "not_supported_error", text);
    }
    let mut text = String::new();
    for (name, kind, value) in [
        ("tokens_predicted_total", "counter", engine.predicted.load(Ordering::SeqCst)),
        ("n_decode_total", "counter", engine.decoded.load(Ordering::SeqCst)),
        ("requests_processing", "gauge", engine.slots.processing() as u64),
        ("requests_deferred", "gauge", engine.slots.waiting() as u64),
    ] {
        text.push_str(&format!("# TYPE llamacpp:{name} {kind}\nllamacpp:{name} {value}\n"));
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

async fn completion(State(engine): State<Arc<Engine>>, body: Bytes) -> Response {
    let request = match read(&body) {
        Ok(request) => request,
        Err(answer) => return answer,
    };
    let Some(prompt) = request["prompt"].as_str() else {
        return error(StatusCode::BAD_REQUEST, "invalid_request_error", "'prompt' is required");
    };
    let generation = Generation::begin(&engine, prompt, request["n_predict"].as_i64()).await;
    let (slot, evaluated, model) = (generation.slot(), generation.prompt_tokens, engine.args.alias.clone());
    if request["stream"] == json!(true) {
        let limit = generation.limit;
        let tokens = generation.tokens().enumerate().map(move |(made, token)| {
            sse(&json!({"index": 0, "content": token, "tokens": [], "stop": false, "id_slot": slot,
                "tokens_predicted": made + 1, "tokens_evaluated": evaluated}))
        });
        let last = sse(&json!({"index": 0, "content": "", "tokens": [], "id_slot": slot, "stop": true,
            "model": model, "tokens_predicted": limit, "tokens_evaluated": evaluated, "stop_type": "limit"}));
        return event_stream(tokens.chain(stream::iter([last])));
    }
    let tokens: Vec<String> = generation.tokens().collect().await;
    json_body(json!({"index": 0, "content": tokens.concat(), "tokens": [], "id_slot": slot, "stop": true,
        "model": model, "tokens_predicted": tokens.len(), "tokens_evaluated": evaluated, "stop_type": "limit",
        "truncated": false, "timings": {"cache_n": 0, "prompt_n": evaluated, "predicted_n": tokens.len()}}))
}

async fn chat(State(engine): State<Arc<Engine>>, body: Bytes) -> Response {
    let request = match read(&body) {
        Ok(request) => request,
        Err(answer) => return answer,
    };
    let Some(messages) = request["messages"].as_array() else {
        return error(StatusCode::BAD_REQUEST, "invalid_request_error", "'messages' is required");
    };
    let prompt: Vec<&str> = messages.iter().filter_map(|m| m["content"].as_str()).collect();
    let limit = request["max_tokens"].as_i64().or(request["max_completion_tokens"].as_i64());
    let generation = Generation::begin(&engine, &prompt.join("\n"), limit).await;
    let id = format!("chatcmpl-demo{}", generation.task());
    // Any model name is served, and the answer tells the real one (single-model mode).
    let model = engine.args.alias.clone();
    let evaluated = generation.prompt_tokens;

    if request["stream"] == json!(true) {
        let chunk = move |delta: Value, finish: Value| {
            sse(&json!({"choices": [{"finish_reason": finish, "index": 0, "delta": delta}], "created": now(),
                "id": id, "model": model, "system_fingerprint": BUILD, "object": "chat.completion.chunk"}))
        };
        // The first chunk has no content: it proves no token.
        let first = chunk(json!({"role": "assistant", "content": null}), Value::Null);
        let last = chunk(json!({}), json!("length"));
        let tokens = generation.tokens().map(move |token| chunk(json!({"content": token}), Value::Null));
        let ends = stream::iter([last, "data: [DONE]\n\n".to_owned()]);
        return event_stream(stream::iter([first]).chain(tokens).chain(ends));
    }
    let tokens: Vec<String> = generation.tokens().collect().await;
    json_body(json!({
        "choices": [{"finish_reason": "length", "index": 0,
            "message": {"role": "assistant", "content": tokens.concat()}}],
        "created": now(), "model": model, "system_fingerprint": BUILD, "object": "chat.completion",
        "usage": {"completion_tokens": tokens.len(), "prompt_tokens": evaluated,
            "total_tokens": evaluated + tokens.len() as u64},
        "id": id,
        "timings": {"cache_n": 0, "prompt_n": evaluated, "predicted_n": tokens.len()},
    }))
}

#[expect(clippy::result_large_err, reason = "the error is the answer, made once per mistaken request")]
fn read(body: &Bytes) -> Result<Value, Response> {
    serde_json::from_slice(body).map_err(|e| {
        let text = format!("[json.exception.parse_error.101] parse error: {e}");
        error(StatusCode::BAD_REQUEST, "invalid_request_error", &text)
    })
}

fn error(status: StatusCode, kind: &str, message: &str) -> Response {
    let body = json!({"error": {"message": message, "type": kind, "code": status.as_u16()}});
    (status, json_body(body)).into_response()
}

fn json_body(value: Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], value.to_string()).into_response()
}

fn sse(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn event_stream(events: impl futures_util::Stream<Item = String> + Send + 'static) -> Response {
    let body = Body::from_stream(events.map(Ok::<_, std::convert::Infallible>));
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
