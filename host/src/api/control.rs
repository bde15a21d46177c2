//! `POST /start`, `/stop` and `/debug`: the switches of the whole monitor.

use axum::extract::State;
use serde::Deserialize;

use super::{
    Api,
    envelope::{ApiError, Envelope, Outcome},
    input::{Input, Nothing},
    v43,
};

pub(super) async fn start(State(api): State<Api>, _: Input<Nothing>) -> Result<Envelope, ApiError> {
    monitoring(api, true).await
}

/// Stops probing and healing, never a server.
pub(super) async fn stop(State(api): State<Api>, _: Input<Nothing>) -> Result<Envelope, ApiError> {
    monitoring(api, false).await
}

async fn monitoring(api: Api, active: bool) -> Result<Envelope, ApiError> {
    let changed = api.monitor.set_monitoring(active).await?;
    let message = match (active, changed) {
        (true, true) => "monitoring is started",
        (true, false) => "monitoring was running already",
        (false, true) => "monitoring is stopped: nothing is probed or healed; the servers go on",
        (false, false) => "monitoring was stopped already",
    };
    Ok(Envelope::new(Outcome::of(changed)).with("message", message).with("data", v43::summary(&api.monitor.snapshot())))
}

#[derive(Debug, Deserialize)]
pub(super) struct Debug {
    enabled: Option<bool>,
}

pub(super) async fn debug(State(api): State<Api>, Input(debug): Input<Debug>) -> Result<Envelope, ApiError> {
    let on = debug.enabled.unwrap_or(false);
    api.monitor.set_debug(on).await?;
    let message = if on { "debug mode is on" } else { "debug mode is off" };
    Ok(Envelope::success()
        .with("debug_mode", on)
        .with("message", message)
        .with("data", v43::summary(&api.monitor.snapshot())))
}
