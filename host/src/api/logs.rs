//! `GET /logs`: the last lines of the monitor's own two logs.

use std::path::{Path, PathBuf};

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Api,
    envelope::{ApiError, Envelope},
    input::{Asked, in_range},
};
use crate::logs::{monitor_log, recovery_log, tail};

#[derive(Debug, Deserialize)]
pub(super) struct Query {
    lines: Option<u64>,
    r#type: Option<LogType>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LogType {
    Monitor,
    Recovery,
    Both,
}

impl LogType {
    fn as_str(self) -> &'static str {
        match self {
            LogType::Monitor => "monitor",
            LogType::Recovery => "recovery",
            LogType::Both => "both",
        }
    }
}

/// Both lists are always there; the one that was not asked for is empty.
pub(super) async fn show(State(api): State<Api>, Asked(query): Asked<Query>) -> Result<Envelope, ApiError> {
    let lines = in_range("lines", query.lines.unwrap_or(50), 1..=10_000)?;
    let kind = query.r#type.unwrap_or(LogType::Both);
    let logs = tokio::task::spawn_blocking(move || read(&api.settings.logs_dir, kind, lines as usize));
    let logs = logs.await.map_err(|error| ApiError::Failed {
        message: "the logs cannot be read".to_owned(),
        cause: error.to_string(),
    })?;
    Ok(Envelope::success().with("logs", logs).with("lines_requested", lines).with("log_type", kind.as_str()))
}

fn read(dir: &Path, kind: LogType, lines: usize) -> Value {
    let last = |file: PathBuf, other: LogType| if kind == other { Vec::new() } else { tail(&file, lines) };
    json!({
        "monitor": last(monitor_log(dir), LogType::Recovery),
        "recovery": last(recovery_log(dir), LogType::Monitor),
    })
}
