//! What a plugin itself says of its settings, beyond what its schema can say.

use ai_monitor_plugin_api::{
    event::{Depth, Event, SessionKind, Start},
    table::CONTRACT,
};
use futures_util::FutureExt as _;
use serde_json::{Map, Value};

use super::{Plugin, StepError};

/// Why a plugin cannot work with these settings, in its own words; `None`: nothing speaks against them.
///
/// A session computes only, so its first step does nothing to any server: a plugin that gives up there, whatever the
/// target would answer, gives up because of its settings. Where it begins its words with the place
/// (`settings.liveness.path: …`), the configuration's check points at it.
///
/// A plugin in a process of its own is not asked here, for that takes a wait: what it says, its first look shows.
pub fn refusal(plugin: &Plugin, settings: &Map<String, Value>) -> Option<String> {
    if !plugin.is_in_process() {
        return None;
    }
    let probe = plugin.manifest().probes.get(&Depth::Liveness)?;
    let kind = SessionKind::Probe { depth: Depth::Liveness, inference: None };
    let start = Start {
        contract: CONTRACT.into(),
        settings: settings.clone(),
        ..Start::new(kind, probe.deadline_ms, jiff::Timestamp::UNIX_EPOCH.to_string())
    };
    let first = async { plugin.session().await?.step(&Event::Start(start)).await };
    match first.now_or_never()? {
        Err(StepError::Plugin(words)) => Some(words),
        // It panics, or is out of protocol: its own fault, told when it is used.
        Ok(_) | Err(_) => None,
    }
}
