//! Finding, checking and loading plugins. A plugin is a C table; nothing else of the host touches it.

use std::{collections::BTreeMap, sync::Arc};

use ai_monitor_plugin_api::{effect::Effect, event::Event, manifest::Manifest};

/// A plugin that has been checked.
pub struct Plugin {
    manifest: Arc<Manifest>,
}

/// One session of a plugin. Dropping it cancels it.
pub struct PluginSession {}

/// Why a session is over without a report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    #[error("the plugin gave up: {0}")]
    Plugin(String),
    #[error("the plugin panicked: {0}")]
    Panic(String),
    #[error("out of protocol: {0}")]
    Protocol(String),
}

impl Plugin {
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    pub fn session(&self) -> Result<PluginSession, StepError> {
        todo!()
    }
}

impl PluginSession {
    /// Takes one event, gives one effect. After an error only dropping may follow.
    pub fn step(&mut self, _event: &Event) -> Result<Effect, StepError> {
        todo!()
    }
}

/// All plugins by id.
#[derive(Default)]
pub struct Registry {
    plugins: BTreeMap<String, Arc<Plugin>>,
}

impl Registry {
    /// The bundled plugins, through their tables.
    pub fn bundled() -> Registry {
        todo!()
    }

    pub fn get(&self, id: &str) -> Option<&Arc<Plugin>> {
        self.plugins.get(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        self.plugins.values()
    }
}
