//! The layer that spoils answers as ordered.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::{
    control,
    fault::{Faults, Spoilt},
};

const GIB: usize = 1 << 30;
const CHUNK: usize = 64 * 1024;
/// Bodies that are cut or dripped are read whole first; the demo's own are far smaller.
const WHOLE: usize = 1 << 20;

/// Lets a request through, or answers as the faults want. Orders always pass.
pub async fn layer(State(faults): State<Faults>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    if path == control::PATH {
        return next.run(request).await;
    }
    faults.while_true(|a| a.hang || (a.slots_hang && path == "/slots")).await;
    let spoilt = faults.now().spoilt;
    match spoilt {
        None => hold_on_hang(faults, next.run(request).await),
        Some(Spoilt::Errors { everywhere }) if everywhere || is_inference(&path) => {
            (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(json!({"error": "something went wrong"}))).into_response()
        }
        Some(Spoilt::Errors { .. }) => next.run(request).await,
        Some(Spoilt::BrokenJson) => {
            let (parts, whole) = take(next.run(request).await).await;
            answer(parts.status, Body::from(whole.slice(..whole.len() / 2)))
        }
        Some(Spoilt::WrongTypes) => {
            let (parts, whole) = take(next.run(request).await).await;
            let twisted = serde_json::from_slice(&whole).map(|value| twisted(&value).to_string());
            answer(parts.status, twisted.map_or_else(|_| Body::from(whole), Body::from))
        }
        Some(Spoilt::Reset) => {
            let (parts, whole) = take(next.run(request).await).await;
            let half = whole.slice(..whole.len() / 2);
            let pieces = [Ok(half), Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))];
            let mut response = answer(parts.status, Body::from_stream(stream::iter(pieces)));
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
            response
        }
        Some(Spoilt::Drip) => {
            let (parts, whole) = take(next.run(request).await).await;
            answer(parts.status, Body::from_stream(drip(whole)))
        }
        Some(Spoilt::Redirect) => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "http://127.0.0.1:9/elsewhere")]).into_response()
        }
        Some(Spoilt::HugeBody) => answer(StatusCode::OK, Body::from_stream(huge())),
        // llama.cpp's is for everybody (measured); Ollama's front has no such route.
        Some(Spoilt::Unauthorised) if matches!(path.as_str(), "/health" | "/v1/health") => next.run(request).await,
        Some(Spoilt::Unauthorised) => {
            (StatusCode::UNAUTHORIZED, axum::Json(json!({"error": "unauthorized"}))).into_response()
        }
    }
}

/// The routes that make tokens, of both servers.
pub fn is_inference(path: &str) -> bool {
    matches!(path, "/api/chat" | "/api/generate" | "/v1/chat/completions" | "/completion")
}

/// A stream that is under way stops, too, when the process hangs. Whole answers keep their length.
fn hold_on_hang(faults: Faults, response: Response) -> Response {
    if axum::body::HttpBody::size_hint(response.body()).exact().is_some() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let body = Body::from_stream(body.into_data_stream().then(move |chunk| {
        let faults = faults.clone();
        async move {
            faults.while_true(|a| a.hang).await;
            chunk
        }
    }));
    Response::from_parts(parts, body)
}

async fn take(response: Response) -> (axum::http::response::Parts, Bytes) {
    let (parts, body) = response.into_parts();
    (parts, axum::body::to_bytes(body, WHOLE).await.unwrap_or_default())
}

fn answer(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

/// JSON of the same names whose values are all of another type.
fn twisted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), twisted(value))).collect(),
        Value::Array(_) => json!({"0": "a list no more"}),
        Value::String(_) => json!(7),
        Value::Number(_) => json!("seven"),
        Value::Bool(_) => json!([]),
        Value::Null => json!({}),
    }
}

fn drip(whole: Bytes) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> {
    stream::iter(0..whole.len()).then(move |i| {
        let byte = whole.slice(i..=i);
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(byte)
        }
    })
}

fn huge() -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> {
    let filler = Bytes::from(vec![b'x'; CHUNK]);
    let start = stream::iter([Ok(Bytes::from_static(b"{\"version\":\""))]);
    start.chain(stream::iter((0..GIB / CHUNK).map(move |_| Ok(filler.clone()))))
}
