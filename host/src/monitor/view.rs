//! What the monitor shows of itself: a snapshot that API, dashboard and command line read.

use ai_monitor_plugin_api::report::Model;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    health::{fault::Fault, signals::Owner, state::State},
    journal::record::IncidentId,
    plugin::PluginsView,
};

/// Everything at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Snapshot {
    pub at: Timestamp,
    pub version: String,
    pub pid: u32,
    pub listen: String,
    pub data_dir: String,
    /// `None`: no configuration file; what is found is observed only.
    pub config_file: Option<String>,
    /// Where a configuration file would be read from.
    #[serde(default)]
    pub config_path: String,
    /// Without a configuration file: the addresses that are asked for a model server, again and again.
    #[serde(default)]
    pub looked_at: Vec<String>,
    /// A problem of the monitor itself that a person should know: a journal that cannot be written, a broken policy.
    pub troubles: Vec<String>,
    /// The plugins, and the files of the plugin folder that are none.
    #[serde(default)]
    pub plugins: PluginsView,
    pub monitoring_active: bool,
    pub debug_mode: bool,
    /// Seconds, `[defaults] check_interval`.
    pub check_interval: f64,
    pub targets: Vec<TargetView>,
}

/// One target.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TargetView {
    pub name: String,
    pub backend: String,
    /// The plugin's label, for people.
    pub label: String,
    pub url: String,
    pub port: u16,
    /// The address that answered and is pinned.
    pub address: Option<String>,
    pub enabled: bool,
    /// Found by discovery, not configured.
    pub found: bool,
    pub state: State,
    /// One sentence: why it is in this state.
    pub why: String,
    /// What is being done right now, while a heal runs.
    pub step: Option<String>,
    pub since: Option<Timestamp>,
    pub fault: Option<Fault>,
    pub incident: Option<IncidentId>,
    pub last_incident: Option<IncidentId>,
    pub version: Option<String>,
    pub variant: Option<String>,
    pub models: Option<Vec<Model>>,
    pub owner: Owner,
    /// Who owns its process, in words, and which one line would let the monitor mend it.
    pub owner_text: String,
    /// The one line or command that would let the monitor mend it, where it may not.
    pub hint: Option<String>,
    pub process_id: Option<u32>,
    pub last_check: Option<Timestamp>,
    pub last_success: Option<Timestamp>,
    /// Starts by this monitor in the sliding window of the budget.
    pub restart_count: u32,
    pub error_message: Option<String>,
    /// ms, of the last liveness answer.
    pub response_time: Option<f64>,
    /// Facts for `GET /config`.
    pub health_endpoint: String,
    /// Seconds.
    pub timeout: f64,
    /// Seconds.
    pub restart_delay: f64,
    pub max_restart_attempts: u32,
    pub policy: String,
    pub dry_run: bool,
}

/// The answer to a person's heal of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealAnswer {
    pub success: bool,
    pub message: String,
    pub incident: Option<IncidentId>,
}
