//! `GET /models`, and enabling and disabling one.

use axum::extract::State;
use serde_json::{Map, Value};

use super::{
    Api,
    envelope::{ApiError, Envelope},
    input::{Input, Named, Nothing},
    v43,
};

pub(super) async fn list(State(api): State<Api>) -> Envelope {
    let snapshot = api.monitor.snapshot();
    let models: Map<String, Value> =
        snapshot.targets.iter().map(|target| (target.name.clone(), v43::row(target))).collect();
    Envelope::success()
        .with("models", models)
        .with("total_models", snapshot.targets.len())
        .with("enabled_models", snapshot.targets.iter().filter(|t| t.enabled).count())
}

pub(super) async fn enable(state: State<Api>, name: Named<String>, _: Input<Nothing>) -> Result<Envelope, ApiError> {
    switch(state, name, true).await
}

pub(super) async fn disable(state: State<Api>, name: Named<String>, _: Input<Nothing>) -> Result<Envelope, ApiError> {
    switch(state, name, false).await
}

/// Setting what is set already is a success, as it was in v4.3.
async fn switch(State(api): State<Api>, Named(name): Named<String>, on: bool) -> Result<Envelope, ApiError> {
    let changed = api.monitor.set_enabled(&name, on).await?;
    let word = if on { "enabled" } else { "disabled" };
    let message = if changed { format!("{name} is {word}") } else { format!("{name} was {word} already") };
    Ok(Envelope::success().with("message", message).with("model", name).with("enabled", on))
}
