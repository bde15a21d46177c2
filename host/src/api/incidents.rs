//! `GET /incidents` and `/incidents/{id}`: the list, and one with its story.

use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;

use super::{
    Api,
    envelope::{ApiError, Envelope},
    input::{Asked, Named, in_range},
};
use crate::journal::record::IncidentId;

#[derive(Debug, Deserialize)]
pub(super) struct Query {
    limit: Option<u64>,
}

/// Newest first.
pub(super) async fn list(State(_api): State<Api>, Asked(query): Asked<Query>) -> Result<Envelope, ApiError> {
    let limit = in_range("limit", query.limit.unwrap_or(50), 1..=1000)?;
    Ok(Envelope::success().with("incidents", Vec::<Value>::new()).with("limit", limit))
}

pub(super) async fn show(State(_api): State<Api>, Named(id): Named<IncidentId>) -> Result<Envelope, ApiError> {
    Err(ApiError::NotFound(format!("there is no incident {id}")))
}
