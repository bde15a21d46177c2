//! What stands beside the resources: `GET /api/health`, and the answers where there is none.

use axum::{
    Json,
    extract::State,
    http::{Method, Uri},
};
use serde_json::{Value, json};

use super::{Api, envelope::ApiError};

/// Says that it is this program, and which process: a second one that finds the port taken asks here.
pub(super) async fn health(State(api): State<Api>) -> Json<Value> {
    let snapshot = api.monitor.snapshot();
    Json(json!({ "status": "ok", "service": "ai-monitor", "version": snapshot.version, "pid": snapshot.pid }))
}

pub(super) async fn unknown_route(uri: Uri) -> ApiError {
    ApiError::NotFound(format!(
        "there is nothing at {}; the page is at /, and docs/api.md of ai-monitor lists what is under /api/",
        uri.path()
    ))
}

pub(super) async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::WrongMethod { method: method.to_string(), path: uri.path().to_owned() }
}
