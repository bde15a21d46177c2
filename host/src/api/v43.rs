//! The monitor's snapshot in v4.3's words: the summary and the rows that most answers carry.
//!
//! `state`, `why` and `fault` are additions: the finer word beside v4.3's `status`.

use serde_json::{Map, Value, json};

use super::envelope::{iso, iso_or_null};
use crate::monitor::view::{Snapshot, TargetView};

/// v4.3's status of a target.
pub fn status(target: &TargetView) -> &'static str {
    if target.enabled { target.state.v43() } else { "unknown" }
}

/// Is it one of those that heal-now takes on?
pub fn is_down(target: &TargetView) -> bool {
    target.enabled && matches!(status(target), "offline" | "failed" | "recovering")
}

/// `data` of most answers.
pub fn summary(snapshot: &Snapshot) -> Value {
    let enabled = || snapshot.targets.iter().filter(|t| t.enabled);
    let total = enabled().count();
    let online = enabled().filter(|t| status(t) == "online").count();
    let overall = match online {
        _ if total == online => "healthy",
        0 => "critical",
        _ => "degraded",
    };
    let models: Map<String, Value> =
        snapshot.targets.iter().map(|target| (target.name.clone(), summary_entry(target))).collect();
    json!({
        "overall_status": overall,
        "online_models": online,
        "total_models": total,
        "monitoring_active": snapshot.monitoring_active,
        "debug_mode": snapshot.debug_mode,
        "last_check": iso_or_null(snapshot.targets.iter().filter_map(|t| t.last_check).max()),
        "models": models,
        "timestamp": iso(snapshot.at),
        "troubles": snapshot.troubles,
    })
}

fn summary_entry(target: &TargetView) -> Value {
    json!({
        "name": target.name,
        "status": status(target),
        "last_check": iso_or_null(target.last_check),
        "last_success": iso_or_null(target.last_success),
        "restart_count": target.restart_count,
        "error_message": target.error_message,
        "response_time": target.response_time,
        "process_id": target.process_id,
        "state": target.state.as_str(),
        "why": target.why,
        "fault": target.fault.as_ref().map(|fault| fault.class.as_str()),
    })
}

/// One row of `GET /models`.
pub fn row(target: &TargetView) -> Value {
    json!({
        "name": target.name,
        "url": target.url,
        "enabled": target.enabled,
        "port": target.port,
        "status": status(target),
        "last_check": iso_or_null(target.last_check),
        "last_success": iso_or_null(target.last_success),
        "restart_count": target.restart_count,
        "error_message": target.error_message,
        "response_time": target.response_time,
        "state": target.state.as_str(),
        "why": target.why,
        "fault": target.fault.as_ref().map(|fault| fault.class.as_str()),
    })
}
