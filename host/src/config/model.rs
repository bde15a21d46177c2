//! The configuration as the rest of the program sees it: checked, merged, defaults filled in.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use crate::incident::act::Rung;

/// All of it.
#[derive(Debug, Clone)]
pub struct Config {
    pub listen: SocketAddr,
    /// The file it came from; `None`: there is none, and what is found is only watched.
    pub file: Option<PathBuf>,
    pub defaults: Defaults,
    pub targets: Vec<Target>,
    /// Acts at a time on this machine (`[defaults.heal] at_once`).
    pub at_once: usize,
}

/// `[defaults]`: what a target that is found (not configured) gets.
#[derive(Debug, Clone)]
pub struct Defaults {
    pub check_interval: Duration,
    pub timeout: Option<Duration>,
    pub policy: String,
    pub stall_after: Duration,
    pub heal: HealSettings,
}

/// One `[[target]]`, with `[tags.TAG]` and `[defaults]` laid under it.
#[derive(Debug, Clone)]
pub struct Target {
    pub name: String,
    /// A plugin's id.
    pub backend: String,
    pub url: Url,
    pub enabled: bool,
    pub tags: Vec<String>,
    /// Models that must be there.
    pub models: Vec<String>,
    pub check_interval: Duration,
    /// Deadline of `liveness`; `None`: the manifest's.
    pub timeout: Option<Duration>,
    pub stall_after: Duration,
    pub policy: String,
    pub process: ProcessConfig,
    pub inference: Option<InferenceConfig>,
    pub heal: HealSettings,
    /// The plugin's own settings, checked against its manifest, defaults filled in.
    pub settings: Map<String, Value>,
    /// The same as they are written: another plugin of this id may have another schema.
    pub written: Map<String, Value>,
    pub auth: Option<Auth>,
    /// Found by discovery, not in the file: observed only.
    pub found: bool,
}

impl Target {
    /// The port of the URL, or the scheme's own.
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(80)
    }
}

/// `[target.process]`
#[derive(Debug, Clone, Default)]
pub struct ProcessConfig {
    /// Without it: observed only.
    pub command: Option<Vec<String>>,
    pub env: BTreeMap<String, String>,
    /// Is it started when it does not run?
    pub autostart: bool,
}

/// `[target.inference]`
#[derive(Debug, Clone)]
pub struct InferenceConfig {
    /// `None`: only on suspicion and in verifications.
    pub every: Option<Duration>,
    pub model: Option<String>,
    pub timeout: Option<Duration>,
}

/// Where the target's key is read from; a secret never stands in the file.
#[derive(Debug, Clone)]
pub enum Auth {
    BearerEnv(String),
    BearerFile(PathBuf),
}

/// `[*.heal]` (policy-api, section 7).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealSettings {
    /// From the polite stop to the forced one.
    pub grace: Duration,
    /// Budget `starts`.
    pub attempts: u32,
    pub attempts_window: Duration,
    /// Budget `repairs`.
    pub repairs: u32,
    pub repairs_window: Duration,
    /// Between starts, doubling up to `backoff_max`, anew after `steady` of verified health.
    pub backoff: Duration,
    pub backoff_max: Duration,
    pub steady: Duration,
    /// Up to this rung acts go on unasked.
    pub auto: Rung,
    /// Up to this rung a person may be asked. Never below `auto`.
    pub ask: Rung,
    /// Opt-in acts.
    pub allow: Vec<String>,
    /// Does a ladder at its end go on to the debug part?
    pub escalate: bool,
    /// A class that was left or given up is not opened again for so long.
    pub quiet: Duration,
    /// How long an act waits for a quiet moment.
    pub patience: Duration,
    pub dry_run: bool,
    /// What the policy declares as its own settings: name → value (a duration as seconds).
    pub policy: Map<String, Value>,
}

impl Default for HealSettings {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        HealSettings {
            grace: Duration::from_secs(10),
            attempts: 3,
            attempts_window: minutes(10),
            repairs: 20,
            repairs_window: minutes(60),
            backoff: Duration::from_secs(10),
            backoff_max: minutes(10),
            steady: minutes(10),
            auto: Rung::Kill,
            ask: Rung::Kill,
            allow: Vec::new(),
            escalate: true,
            quiet: minutes(15),
            patience: minutes(10),
            dry_run: false,
            policy: Map::new(),
        }
    }
}
