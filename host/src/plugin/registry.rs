//! Plugins by id, as they are at one moment: for identification, discovery and checks of the configuration.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ai_monitor_plugin_api::{manifest::Manifest, table::AimPlugin};

use super::Plugin;

/// The tables of the bundled plugins.
pub const BUNDLED: [&AimPlugin; 5] = [
    &ai_monitor_custom::PLUGIN,
    &ai_monitor_lm_studio::PLUGIN,
    &ai_monitor_localai::PLUGIN,
    &ai_monitor_ollama::PLUGIN,
    &ai_monitor_openai::PLUGIN,
];

/// All plugins by id.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    plugins: BTreeMap<String, Arc<Plugin>>,
    /// In the plugin folder and not loaded here.
    announced: BTreeMap<String, Arc<Manifest>>,
    /// Seen in the folder once: not there now, and no mistake in a configuration.
    remembered: BTreeSet<String>,
}

impl Registry {
    /// The bundled plugins, through their tables. One that does not pass the checks is left out, with an error in
    /// the log: a mistake of ours must not take the others down.
    pub fn bundled() -> Registry {
        let mut registry = Registry::default();
        for table in BUNDLED {
            match Plugin::from_table(table) {
                Ok(plugin) => drop(registry.insert(plugin)),
                Err(error) => tracing::error!(%error, "a bundled plugin is left out"),
            }
        }
        registry
    }

    /// Adds a plugin, or replaces the one of the same id and gives it back. Sessions under way stay with the old one.
    pub fn insert(&mut self, plugin: impl Into<Arc<Plugin>>) -> Option<Arc<Plugin>> {
        let plugin = plugin.into();
        self.plugins.insert(plugin.manifest().id.clone(), plugin)
    }

    /// Makes manifests known whose libraries are not opened; they win over a loaded plugin of the same id.
    pub fn announce(&mut self, manifests: BTreeMap<String, Arc<Manifest>>) {
        self.announced.extend(manifests);
    }

    /// Makes ids known whose plugins were there once.
    pub fn remember(&mut self, ids: impl IntoIterator<Item = String>) {
        self.remembered.extend(ids);
    }

    /// Was a plugin of this id there once, though it is not now?
    pub fn remembers(&self, id: &str) -> bool {
        self.remembered.contains(id)
    }

    /// A plugin that is loaded.
    pub fn get(&self, id: &str) -> Option<&Arc<Plugin>> {
        self.plugins.get(id)
    }

    /// The plugins that are loaded, by id in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        self.plugins.values()
    }

    /// The manifests of all, loaded or announced, by id.
    pub fn manifests(&self) -> BTreeMap<String, Arc<Manifest>> {
        let loaded = self.plugins.iter().map(|(id, plugin)| (id.clone(), plugin.manifest().clone()));
        let mut manifests: BTreeMap<String, Arc<Manifest>> = loaded.collect();
        manifests.extend(self.announced.iter().map(|(id, manifest)| (id.clone(), manifest.clone())));
        manifests
    }
}
