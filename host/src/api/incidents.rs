//! `GET /incidents` and `/incidents/{id}`: the list, and one with its story.

use axum::extract::State;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Api,
    envelope::{ApiError, Envelope},
    input::{Asked, Named, in_range},
};
use crate::journal::{JournalError, explain, record::IncidentId};

#[derive(Debug, Deserialize)]
pub(super) struct Query {
    limit: Option<u64>,
    target: Option<String>,
}

/// Newest first; of all targets, or of the one named.
pub(super) async fn list(State(api): State<Api>, Asked(query): Asked<Query>) -> Result<Envelope, ApiError> {
    let limit = in_range("limit", query.limit.unwrap_or(50), 1..=1000)?;
    let journal = api.monitor.journal();
    let rows = off_thread(move || journal.incidents(query.target.as_deref(), limit as usize)).await??;
    Ok(Envelope::success().with("incidents", json(&rows)?).with("limit", limit))
}

/// Its row, its story line by line, and the same as text.
pub(super) async fn show(State(api): State<Api>, Named(id): Named<IncidentId>) -> Result<Envelope, ApiError> {
    let unknown = || ApiError::NotFound(format!("there is no incident {id}"));
    let journal = api.monitor.journal();
    let found = off_thread(move || match journal.incident(id) {
        Ok(Some(row)) => {
            let story = explain::story(&journal.entries(id), &row, &TimeZone::system());
            Ok(api.monitor.explain(id).map(|text| (row, story, text)))
        }
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    });
    let (row, story, text) = found.await??.ok_or_else(unknown)?;
    Ok(Envelope::success().with("incident", json(&row)?).with("story", json(&story)?).with("text", text))
}

/// The journal is a file: its reads may wait.
async fn off_thread<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(read).await.map_err(|error| failed(&error))
}

fn json(value: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(value).map_err(|error| failed(&error))
}

fn failed(error: &dyn std::error::Error) -> ApiError {
    ApiError::Failed { message: "the journal cannot be read".to_owned(), cause: error.to_string() }
}

impl From<JournalError> for ApiError {
    fn from(error: JournalError) -> ApiError {
        failed(&error)
    }
}
