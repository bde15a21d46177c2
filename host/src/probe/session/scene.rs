//! What a session is told of its target, whatever it is asked: probes and repairs of one moment get the same.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use ai_monitor_plugin_api::{
    event::{Depth, Process},
    manifest::Manifest,
};
use serde_json::{Map, Value};

use super::{ProbeAsk, RepairAsk};

/// A target at one moment, as sessions see it.
#[derive(Debug, Clone, Default)]
pub struct Scene {
    /// The target's settings, checked, defaults filled in.
    pub settings: Map<String, Value>,
    /// The flavour that identification found.
    pub variant: Option<String>,
    /// `None`: the target's processes are not known.
    pub processes: Option<Vec<Process>>,
    /// Where the addresses named in `processes` are.
    pub addresses: BTreeMap<String, SocketAddr>,
}

impl Scene {
    /// A look at this depth that asks all itself. What is particular to a look or an inference is set by the caller.
    pub fn probe(self, depth: Depth, deadline: Duration) -> ProbeAsk {
        let Scene { settings, variant, processes, addresses } = self;
        ProbeAsk { depth, inference: None, deadline, settings, variant, processes, addresses, answers: None }
    }

    /// A repair within the time that the manifest gives it; `None`: the plugin has no such repair.
    pub fn repair(self, manifest: &Manifest, repair: &str, args: Map<String, Value>) -> Option<RepairAsk> {
        let deadline = Duration::from_millis(manifest.repairs.get(repair)?.deadline_ms);
        let Scene { settings, variant, processes, addresses } = self;
        Some(RepairAsk { repair: repair.to_owned(), args, deadline, settings, variant, processes, addresses })
    }
}
