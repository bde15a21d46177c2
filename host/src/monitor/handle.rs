//! The monitor's handle: the only way in for API and command line.

use std::{future::Future, pin::Pin, sync::Arc};

use super::view::{HealAnswer, Snapshot};
use crate::{
    journal::{Journal, record::IncidentId},
    plugin::{Grants, ManageError, PluginsView},
};

/// A boxed future, so that the API can be tested against a handle of its own.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// No target has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no target named {name:?}; targets: {known}")]
pub struct UnknownTarget {
    pub name: String,
    /// Comma-separated.
    pub known: String,
}

/// A switch could not be persisted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SwitchError {
    #[error(transparent)]
    Unknown(#[from] UnknownTarget),
    #[error("not saved, so nothing was changed: {0}")]
    NotSaved(String),
}

/// What a person does with a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manage {
    /// Grants what waits for consent; with what the person was shown, only if it is still that.
    Consent {
        seen: Option<Grants>,
    },
    /// Ends a quarantine.
    Release,
    Enable,
    Disable,
}

/// What API and command line may ask of the monitor.
pub trait Handle: Send + Sync + 'static {
    fn snapshot(&self) -> Arc<Snapshot>;
    /// Waits until the snapshot differs from the one numbered `seen`; gives the new number.
    fn changed(&self, seen: u64) -> Answer<'_, u64>;
    /// Starts or stops the monitoring as a whole. `Ok(false)`: it was so already.
    fn set_monitoring(&self, active: bool) -> Answer<'_, Result<bool, SwitchError>>;
    fn set_debug(&self, on: bool) -> Answer<'_, Result<bool, SwitchError>>;
    fn set_enabled(&self, name: &str, enabled: bool) -> Answer<'_, Result<bool, SwitchError>>;
    /// A person's heal of one target; answers when it is done.
    fn heal(&self, name: &str, force: bool) -> Answer<'_, Result<HealAnswer, UnknownTarget>>;
    /// The story of an incident as lines of text; `None`: there is no such incident.
    fn explain(&self, id: IncidentId) -> Option<String>;
    fn journal(&self) -> Arc<Journal>;
    /// Every plugin as it is now.
    fn plugins(&self) -> PluginsView;
    /// `Ok(false)`: it was so already.
    fn manage_plugin(&self, id: &str, what: Manage) -> Result<bool, ManageError>;
}
