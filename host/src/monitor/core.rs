//! What all target tasks share.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use tokio::sync::{Semaphore, watch};

use super::board::Board;
use crate::{
    config::model::Config,
    journal::Journal,
    plugin::Catalogue,
    policy::{PolicySources, PolicyStore},
    probe::http::Driver,
    time::Clock,
};

/// How many looks run at once, over all targets.
const LOOKS_AT_ONCE: usize = 32;

/// What a person switched, as the target tasks see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Control {
    /// Monitoring as a whole (v4.3's start and stop).
    pub monitoring: bool,
    pub debug: bool,
    /// Per target; one that is not named goes by the configuration.
    pub enabled: BTreeMap<String, bool>,
    /// Targets that the configuration no longer has.
    pub removed: BTreeSet<String>,
    pub shutting_down: bool,
}

impl Control {
    /// Is this target looked at? `enabled`: by the configuration.
    pub fn watches(&self, name: &str, enabled: bool) -> bool {
        self.monitoring && self.is_enabled(name, enabled) && !self.removed.contains(name)
    }

    /// A person's switch wins over the configuration.
    pub fn is_enabled(&self, name: &str, enabled: bool) -> bool {
        self.enabled.get(name).copied().unwrap_or(enabled)
    }

    /// Why a target is not looked at, in words.
    pub fn why_not(&self) -> &'static str {
        if self.monitoring { "the target was disabled" } else { "monitoring was stopped" }
    }
}

/// One per process.
pub struct Core {
    pub clock: Arc<dyn Clock>,
    pub config: Config,
    pub plugins: Arc<Catalogue>,
    pub driver: Driver,
    pub journal: Arc<Journal>,
    pub policies: PolicyStore,
    pub board: Board,
    pub control: watch::Sender<Control>,
    /// Acts at a time on this machine.
    pub turns: Arc<Semaphore>,
    pub looks: Arc<Semaphore>,
    /// The same for looks through plugins of the folder: those that hang must keep nobody else from a look.
    pub drop_in_looks: Arc<Semaphore>,
    /// Of the machine's boot: processes and open incidents of another one are gone.
    pub boot: String,
    pub data_dir: PathBuf,
    pub config_path: PathBuf,
    /// Our own API's address: never a target's.
    pub listen: std::net::SocketAddr,
}

impl Core {
    pub fn looks_at_once() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(LOOKS_AT_ONCE))
    }

    /// A policy as it is now or, where its file is broken, as it was last good; what is wrong is on view. `None`: it
    /// was never good, and the shipped default is to run.
    pub fn policy_in_force(&self, name: &str) -> Option<PolicySources> {
        let (sources, error) = match self.policies.in_force(name) {
            Ok((sources, error)) => (Some(sources), error),
            Err(error) => (None, Some(error)),
        };
        let instead =
            if sources.is_some() { "the last good one stays in force" } else { "the shipped default runs instead" };
        let text = error.map(|error| format!("policy {name}: {error}; {instead}"));
        if let Some(text) = &text {
            tracing::error!("{text}");
        }
        self.board.trouble(&format!("policy {name}"), text);
        sources
    }

    /// Where a started server's output goes.
    pub fn output_of(&self, target: &str) -> PathBuf {
        let safe: String =
            target.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
        self.data_dir.join("logs").join("servers").join(format!("{safe}.log"))
    }

    /// Where evidence is collected.
    pub fn bundles(&self) -> PathBuf {
        self.data_dir.join("bundles")
    }
}
