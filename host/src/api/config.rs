//! `GET /config`: what is in force, in v4.3's keys.

use axum::extract::State;
use serde_json::{Map, Value, json};

use super::{Api, envelope::Envelope};
use crate::monitor::view::TargetView;

pub(super) async fn show(State(api): State<Api>) -> Envelope {
    let snapshot = api.monitor.snapshot();
    let models: Map<String, Value> =
        snapshot.targets.iter().map(|target| (target.name.clone(), entry(target))).collect();
    Envelope::success().with(
        "config",
        json!({
            "check_interval": number(snapshot.check_interval),
            "debug_mode": snapshot.debug_mode,
            "monitoring_active": snapshot.monitoring_active,
            "models": models,
            "config_file": snapshot.config_file,
            "data_dir": snapshot.data_dir,
        }),
    )
}

fn entry(target: &TargetView) -> Value {
    json!({
        "name": target.name,
        "url": target.url,
        "health_endpoint": target.health_endpoint,
        "enabled": target.enabled,
        "port": target.port,
        "timeout": number(target.timeout),
        "restart_delay": number(target.restart_delay),
        "max_restart_attempts": target.max_restart_attempts,
        "backend": target.backend,
        "policy": target.policy,
        "dry_run": target.dry_run,
    })
}

/// Whole seconds as an integer, as v4.3 gave them.
fn number(seconds: f64) -> Value {
    if seconds.fract() == 0.0 && (0.0..1e15).contains(&seconds) {
        Value::from(seconds as u64)
    } else {
        Value::from(seconds)
    }
}
