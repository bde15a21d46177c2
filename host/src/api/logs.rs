//! `GET /logs`: the last lines of the monitor's own two logs.

use std::path::PathBuf;

use axum::extract::State;
use serde::Deserialize;
use serde_json::json;

use super::{
    Api,
    envelope::{ApiError, Envelope},
    input::{Asked, in_range},
};

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
    let read = |file: &str, unwanted: LogType| {
        let path = (kind != unwanted).then(|| api.settings.logs_dir.join(file));
        read_last(path, lines as usize)
    };
    let monitor = read("ai_monitor.log", LogType::Recovery).await?;
    let recovery = read("ai_recovery.log", LogType::Monitor).await?;
    Ok(Envelope::success()
        .with("logs", json!({ "monitor": monitor, "recovery": recovery }))
        .with("lines_requested", lines)
        .with("log_type", kind.as_str()))
}

async fn read_last(path: Option<PathBuf>, lines: usize) -> Result<Vec<String>, ApiError> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let shown = path.display().to_string();
    let failed = |cause: String| ApiError::Failed { message: format!("the log {shown} cannot be read"), cause };
    match tokio::task::spawn_blocking(move || tail(&path, lines)).await {
        Ok(Ok(lines)) => Ok(lines),
        // Nothing was logged yet.
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// How much of a file's end is looked at.
const TAIL_BYTES: u64 = 4 << 20;

/// The last `lines` lines of a file, oldest first.
fn tail(path: &std::path::Path, lines: usize) -> std::io::Result<Vec<String>> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut all: Vec<&str> = text.lines().collect();
    // The first one of a part may have lost its beginning.
    if start > 0 && !all.is_empty() {
        all.remove(0);
    }
    Ok(all[all.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect())
}
