//! Finding, checking and loading plugins. A plugin is a C table; nothing else of the host touches it.

mod check;
mod load;
mod session;
mod settings;
mod table;

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

use ai_monitor_plugin_api::{manifest::Manifest, table::AimPlugin};

pub use self::{
    check::ManifestError,
    load::{LoadError, load_library},
    session::{PluginSession, StepError},
    settings::refusal,
    table::TableError,
};

/// A plugin whose table and manifest have been checked.
pub struct Plugin {
    manifest: Arc<Manifest>,
    origin: Origin,
    backing: Backing,
}

/// Where a plugin came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A part of this program.
    Bundled,
    /// A library of its own; `file` as the user knows it, which may have been opened from a copy.
    DropIn { file: PathBuf },
}

/// Where a plugin's code runs.
enum Backing {
    /// In this process, through its table.
    InProcess(table::Table),
}

impl Plugin {
    /// Checks a table and what its manifest says.
    pub fn from_table(table: &'static AimPlugin) -> Result<Plugin, TableError> {
        // SAFETY: a reference is a pointer to a whole table, and this one lives for ever.
        unsafe { Plugin::from_pointer(table) }
    }

    /// # Safety
    /// `table` must point to a table of the contract that lives for ever; where its `abi` differs from ours, only
    /// these first four bytes need to be readable.
    unsafe fn from_pointer(table: *const AimPlugin) -> Result<Plugin, TableError> {
        // SAFETY: the caller's promise.
        let table = unsafe { table::Table::checked(table)? };
        let manifest = check::parse(&table.manifest()?)?;
        Ok(Plugin { manifest: Arc::new(manifest), origin: Origin::Bundled, backing: Backing::InProcess(table) })
    }

    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// A new session. It goes on with this plugin even where the registry gets another one of the same id.
    pub async fn session(&self) -> Result<PluginSession, StepError> {
        match &self.backing {
            Backing::InProcess(table) => PluginSession::in_process(table),
        }
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("id", &self.manifest.id).field("version", &self.manifest.version).finish()
    }
}

/// All plugins by id.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    plugins: BTreeMap<String, Arc<Plugin>>,
}

impl Registry {
    /// The bundled plugins, through their tables. One that does not pass the checks is left out, with an error in
    /// the log: a mistake of ours must not take the others down.
    pub fn bundled() -> Registry {
        let mut registry = Registry::default();
        for table in [
            &ai_monitor_custom::PLUGIN,
            &ai_monitor_lm_studio::PLUGIN,
            &ai_monitor_localai::PLUGIN,
            &ai_monitor_ollama::PLUGIN,
            &ai_monitor_openai::PLUGIN,
        ] {
            match Plugin::from_table(table) {
                Ok(plugin) => drop(registry.insert(plugin)),
                Err(error) => tracing::error!(%error, "a bundled plugin is left out"),
            }
        }
        registry
    }

    /// Adds a plugin, or replaces the one of the same id and gives it back. Sessions under way stay with the old one.
    pub fn insert(&mut self, plugin: Plugin) -> Option<Arc<Plugin>> {
        self.plugins.insert(plugin.manifest.id.clone(), Arc::new(plugin))
    }

    pub fn get(&self, id: &str) -> Option<&Arc<Plugin>> {
        self.plugins.get(id)
    }

    /// By id, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        self.plugins.values()
    }
}

#[cfg(test)]
mod tests;
