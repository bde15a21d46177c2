//! The table of the server's routes, and what is the same for all: texts for wrong ones, and a log line each.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Front, VERSION, native, openai};
use crate::demo::{control, fault::Part, misbehave, process};

pub fn router(front: Arc<Front>) -> Router {
    let faults = front.faults.clone();
    Router::new()
        .route("/", get(|| async { text(StatusCode::OK, "text/plain; charset=utf-8", "Ollama is running") }))
        .route("/api/version", get(|| async { json_body(&json!({ "version": VERSION })) }))
        .route("/api/status", get(|| async { json_body(&json!({"cloud": {"disabled": true, "source": "env"}})) }))
        .route("/api/tags", get(native::tags))
        .route("/api/ps", get(native::ps))
        .route("/api/show", post(native::show))
        .route("/api/generate", post(native::generate))
        .route("/api/chat", post(native::chat))
        .route("/v1/models", get(openai::models))
        .route("/v1/chat/completions", post(openai::chat))
        .method_not_allowed_fallback(|| async {
            text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "405 method not allowed")
        })
        .fallback(|| async { text(StatusCode::NOT_FOUND, "text/plain", "404 page not found") })
        .layer(middleware::from_fn_with_state(faults, misbehave::layer))
        .route(control::PATH, post(fault))
        .layer(middleware::from_fn(log))
        .with_state(front)
}

/// Gin's line, which Ollama writes for every request.
async fn log(ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    process::log(&format!(
        "[GIN] {} | {} | {:>13} | {:>15} | {:<8} {path:?}",
        Timestamp::now().strftime("%Y/%m/%d - %H:%M:%S"),
        response.status().as_u16(),
        format!("{:?}", started.elapsed()),
        peer.ip(),
        method.as_str(),
    ));
    response
}

async fn fault(State(front): State<Arc<Front>>, body: Bytes) -> Response {
    match control::read(&body) {
        Ok(order) if order.part == Part::Front => control::accept(&front.faults, order),
        Ok(order) => {
            let told = front.scheduler.order(&order).await;
            json_body(&json!({"ordered": order, "engines": told}))
        }
        Err(answer) => answer,
    }
}

pub fn text(status: StatusCode, kind: &'static str, text: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response()
}

pub fn json_body(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], value.to_string()).into_response()
}

/// What Go says of a body that is no JSON.
pub fn go_words(error: &serde_json::Error) -> String {
    if error.is_eof() { "unexpected EOF".to_owned() } else { error.to_string() }
}

pub fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
