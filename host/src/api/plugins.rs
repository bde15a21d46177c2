//! `GET /plugins` and `/plugins/{id}`, and what a person does with one: consent, release, enable, disable.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Api,
    envelope::{ApiError, Envelope},
    input::{Input, Named, Nothing},
};
use crate::{
    monitor::handle::Manage,
    plugin::{Grants, ManageError},
};

/// All of them, and the files of the folder that are none.
pub(super) async fn list(State(api): State<Api>) -> Result<Envelope, ApiError> {
    Ok(Envelope::success().with("data", json(&api.monitor.plugins())?))
}

pub(super) async fn show(State(api): State<Api>, Named(id): Named<String>) -> Result<Envelope, ApiError> {
    one(&api, &id, Envelope::success())
}

fn one(api: &Api, id: &str, envelope: Envelope) -> Result<Envelope, ApiError> {
    let view = api.monitor.plugins();
    let unknown = || ApiError::NotFound(format!("there is no plugin {id:?}; plugins: {}", view.ids()));
    let plugin = view.one(id).ok_or_else(unknown)?;
    Ok(envelope.with("plugin", json(plugin)?))
}

/// A misspelled key is refused: without `asks_for` all would be granted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Consent {
    /// What the person was shown (`asks_for`): where it differs from what the plugin asks for now, nothing is granted.
    asks_for: Option<Grants>,
}

pub(super) async fn consent(
    State(api): State<Api>,
    Named(id): Named<String>,
    Input(consent): Input<Consent>,
) -> Result<Envelope, ApiError> {
    let texts = ["is granted what it asks for, and is loaded", "asks for nothing more"];
    manage(&api, &id, Manage::Consent { seen: consent.asks_for }, texts)
}

pub(super) async fn release(state: State<Api>, id: Named<String>, _: Input<Nothing>) -> Result<Envelope, ApiError> {
    manage(&state, &id.0, Manage::Release, ["is released", "was not quarantined"])
}

pub(super) async fn enable(state: State<Api>, id: Named<String>, _: Input<Nothing>) -> Result<Envelope, ApiError> {
    manage(&state, &id.0, Manage::Enable, ["is enabled", "was enabled already"])
}

pub(super) async fn disable(state: State<Api>, id: Named<String>, _: Input<Nothing>) -> Result<Envelope, ApiError> {
    manage(&state, &id.0, Manage::Disable, ["is disabled", "was disabled already"])
}

/// Doing what is done already is a success. `texts`: done, and so already.
fn manage(api: &Api, id: &str, what: Manage, texts: [&str; 2]) -> Result<Envelope, ApiError> {
    let changed = api.monitor.manage_plugin(id, what)?;
    let text = if changed { texts[0] } else { texts[1] };
    one(api, id, Envelope::success().with("message", format!("{id} {text}")).with("changed", changed))
}

fn json(value: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(value).map_err(|error| ApiError::Failed {
        message: "the plugins cannot be written as JSON".to_owned(),
        cause: error.to_string(),
    })
}

impl From<ManageError> for ApiError {
    fn from(error: ManageError) -> ApiError {
        match error {
            ManageError::Unknown { .. } => ApiError::NotFound(error.to_string()),
            ManageError::Bundled { .. } | ManageError::AsksOther { .. } => ApiError::BadRequest(error.to_string()),
            ManageError::NotKept(cause) => {
                ApiError::Failed { message: "not saved, so nothing was changed".to_owned(), cause: cause.to_string() }
            }
        }
    }
}
