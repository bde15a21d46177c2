//! Plugins as API, page and command line show them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Failure, Grants, Problem};

/// Every plugin, and every file of the folder that is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginsView {
    /// Bundled plugins alone, whatever the folder holds.
    pub safe_mode: bool,
    /// The plugin folder.
    pub folder: String,
    /// By id.
    pub plugins: Vec<PluginView>,
    /// Files of the folder that are no plugin's, by name.
    pub files: Vec<FileView>,
}

impl PluginsView {
    /// The plugin of this id; of two the one of the folder, for nothing can be done about the bundled one.
    pub fn one(&self, id: &str) -> Option<&PluginView> {
        self.plugins.iter().filter(|plugin| plugin.id == id).max_by_key(|plugin| plugin.origin == Source::Folder)
    }

    /// The ids, each once, for whoever named another.
    pub fn ids(&self) -> String {
        let mut ids: Vec<&str> = self.plugins.iter().map(|plugin| plugin.id.as_str()).collect();
        ids.dedup();
        ids.join(", ")
    }

    /// The plugins that a person should look at.
    pub fn unwell(&self) -> impl Iterator<Item = &PluginView> {
        self.plugins.iter().filter(|p| p.problem.is_some() || !matches!(p.state, PluginState::Ready))
    }
}

/// One plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginView {
    pub id: String,
    /// For people.
    pub label: String,
    /// Of the one in use; where none is, of the file that waits.
    pub version: String,
    pub contract: String,
    pub abi: u32,
    pub origin: Source,
    /// The library in the folder.
    pub library: Option<String>,
    /// SHA-256 of that file as it was last looked at.
    pub library_hash: Option<String>,
    /// And of the one that is in use, which differs where the file there now is not used (yet).
    pub in_use_hash: Option<String>,
    /// It stands in for a bundled plugin of the same id.
    pub replaces_bundled: bool,
    pub state: PluginState,
    /// One sentence: why it is in this state.
    pub why: String,
    /// Why the file in the folder is not the one in use, and what to do.
    pub problem: Option<Problem>,
    /// The version that would be used but for the problem.
    pub next_version: Option<String>,
    /// What it may ask for, by session.
    pub granted: Grants,
    /// What an update asks for beyond that.
    pub asks_for: Option<Grants>,
    /// Failures in a row.
    pub failures: u32,
    pub last_failure: Option<Failure>,
    /// When it is tried again, while it backs off.
    pub retry_at: Option<Timestamp>,
    /// Names of the targets that use it.
    pub targets: Vec<String>,
    /// How many of them cannot be looked at now, for the plugin is held back or failed. A bundled plugin that fails with
    /// one target goes on with the others.
    #[serde(default)]
    pub held_targets: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Part of this program.
    Bundled,
    /// A library of the plugin folder.
    Folder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginState {
    /// In use, or ready for it.
    Ready,
    Loading,
    /// It failed, and is tried again soon.
    BackingOff,
    /// Until a person releases it, or the file is replaced.
    Quarantined,
    AwaitingConsent,
    Disabled,
    /// Its file cannot be used.
    Failed,
    /// In the folder, and no monitor runs that would load it.
    NotLoaded,
}

impl PluginState {
    pub fn as_str(self) -> &'static str {
        match self {
            PluginState::Ready => "ready",
            PluginState::Loading => "loading",
            PluginState::BackingOff => "backing off",
            PluginState::Quarantined => "quarantined",
            PluginState::AwaitingConsent => "awaiting consent",
            PluginState::Disabled => "disabled",
            PluginState::Failed => "failed",
            PluginState::NotLoaded => "not loaded",
        }
    }
}

/// A file of the folder that gives no plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileView {
    pub file: String,
    /// SHA-256 of it as it was last looked at.
    pub hash: Option<String>,
    pub problem: Problem,
}
