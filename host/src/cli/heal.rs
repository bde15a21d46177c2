//! `ai-monitor heal [NAME]`: a person's heal, of one target or of all that are down.

use std::{process::ExitCode, time::Duration};

use serde_json::{Value, json};

use super::client::Client;
use crate::config::Flags;

/// A heal may wait for a backoff, a load, a quiet moment.
const WITHIN: Duration = Duration::from_secs(45 * 60);

pub(super) async fn heal(flags: &Flags, name: Option<String>, force: bool) -> anyhow::Result<ExitCode> {
    let client = Client::of(flags)?;
    let mut body = json!({ "force": force });
    if let Some(name) = &name {
        body["model"] = json!(name);
        let answer = client.post("/api/ai-monitor/heal", &body, WITHIN).await?;
        say!("{}", answer.get("message").and_then(Value::as_str).unwrap_or_default());
        let good = answer.get("success").and_then(Value::as_bool).unwrap_or(false);
        return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let answer = client.post("/api/ai-monitor/heal", &body, WITHIN).await?;
    let empty = serde_json::Map::new();
    let results = answer.get("results").and_then(Value::as_object).unwrap_or(&empty);
    let mut good = true;
    for (name, result) in results {
        let well = result.as_bool().unwrap_or(false);
        good &= well;
        say!("{name}: {}", if well { "well" } else { "not healed (see: ai-monitor explain)" });
    }
    if results.is_empty() {
        say!("No target is enabled.");
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
