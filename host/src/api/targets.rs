//! `GET /targets`: the whole snapshot, in this project's own words.

use axum::extract::State;
use jiff::Timestamp;

use super::{
    Api,
    envelope::{ApiError, Envelope, iso},
};

pub(super) async fn list(State(api): State<Api>) -> Result<Envelope, ApiError> {
    let data = serde_json::to_value(&*api.monitor.snapshot()).map_err(|error| ApiError::Failed {
        message: "the snapshot cannot be written as JSON".to_owned(),
        cause: error.to_string(),
    })?;
    Ok(Envelope::success().with("data", data).with("timestamp", iso(Timestamp::now())))
}
