//! The route that a real server does not have: `POST /demo/fault`.

use std::time::Duration;

use axum::{
    body::Bytes,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::fault::{Faults, Order};

/// The route's path, on the front and on the engine.
pub const PATH: &str = "/demo/fault";

/// Reads an order, or answers why it is none.
#[expect(clippy::result_large_err, reason = "the error is the answer, made once per mistaken order")]
pub fn read(body: &Bytes) -> Result<Order, Response> {
    serde_json::from_slice(body).map_err(|e| {
        let why = format!("not a fault: {e}");
        (StatusCode::BAD_REQUEST, axum::Json(json!({ "error": why }))).into_response()
    })
}

/// Answers first, then obeys: an order to end or stop the process must not look like a lost answer.
pub fn accept(faults: &Faults, order: Order) -> Response {
    let answer = axum::Json(json!({ "ordered": order })).into_response();
    let faults = faults.clone();
    tokio::spawn(async move {
        // The answer leaves by another task; there is no event for "it has left this process".
        tokio::time::sleep(Duration::from_millis(20)).await;
        faults.obey(&order.fault);
    });
    answer
}
