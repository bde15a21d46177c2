//! The executor: one file per act, each with its post-condition. Only here, in `process/` and in the HTTP driver does
//! the host touch the world.

mod adopt;
mod blocking;
mod cancel;
mod clean_temp;
mod collect;
mod end_runner;
mod model;
mod notify;
mod pull;
mod reap;
mod restart;
pub mod shipped;
mod start;

use std::{path::PathBuf, time::Duration};

use ai_monitor_plugin_api::{event::Depth, report::Model};
use jiff::Timestamp;
use serde_json::Value;

pub use model::{Loaded, keep_of};

use crate::{
    config::model::Target,
    health::{
        fault::Fault,
        observation::Observation,
        signals::{ProcessId, TreeProcess},
    },
    incident::act::{ActCall, Outcome},
    journal::record::StartedProcess,
    plugin::Plugin,
    probe::{
        http::TargetClient,
        session::{RepairRun, Scene},
    },
    process::watch::Watch,
};

/// Where an act writes down what it is about to touch and what it has done, before it goes on: so that a heal that the
/// monitor's own end cuts short can be taken up again.
pub trait Notes: Send {
    fn intent(&mut self, act: &str, touches: Vec<ProcessId>, text: String);
    /// A step that later steps build on.
    fn phase(&mut self, text: String, started: Option<ProcessId>);
    fn started(&mut self, process: StartedProcess);
    fn notified(&mut self, level: &str, text: &str);
}

/// What an act stands on.
pub struct Ground<'a> {
    pub target: &'a Target,
    pub plugin: &'a Plugin,
    pub client: &'a TargetClient,
    pub registry: &'a crate::plugin::Registry,
    pub watch: &'a mut Watch,
    pub notes: &'a mut dyn Notes,
    pub fault: &'a Fault,
    /// Of the newest look.
    pub tree: Vec<TreeProcess>,
    pub engines: Vec<ai_monitor_plugin_api::report::Engine>,
    pub models: Vec<Model>,
    /// What was loaded when the fault was seen, with the expiry that it had.
    pub loaded: Vec<Loaded>,
    pub variant: Option<String>,
    /// The settings (or the person) allow a forced end.
    pub may_kill: bool,
    pub debug: bool,
    /// The server's output goes to this file.
    pub output: PathBuf,
    /// Where evidence is collected, a folder a time.
    pub bundles: PathBuf,
    /// Bytes that the tree held while it was well; a start waits until so much is free.
    pub memory_needed: u64,
    /// The act was under way when the monitor ended: only these processes may be ended.
    pub resumed: Option<Vec<ProcessId>>,
}

impl Ground<'_> {
    /// Does the act. Errors are outcomes.
    pub async fn act(&mut self, call: &ActCall) -> Outcome {
        match call.act.as_str() {
            "collect" => collect::collect(self, call).await,
            "notify" => notify::notify(self, call),
            "cancel" => cancel::cancel(self),
            "adopt" => adopt::adopt(self).await,
            "start" => start::start(self, call).await,
            "reap" => reap::reap(self).await,
            "clean_temp" => clean_temp::clean_temp(self, call).await,
            "load" => model::load(self, call).await,
            "pull" => pull::pull(self, call).await,
            "unload" => model::unload(self, call).await,
            "reload" => model::reload(self, call).await,
            "end_runner" => end_runner::end_runner(self, call).await,
            "restart" => restart::restart(self, call).await,
            other => Outcome::new("unsupported", format!("{other} is not in this version")),
        }
    }

    /// One probe of the target as it is now.
    async fn probe(&mut self, depth: Depth) -> Option<Observation> {
        let spec = self.plugin.manifest().probes.get(&depth)?;
        let deadline = Duration::from_millis(spec.deadline_ms);
        let deadline = if depth == Depth::Liveness { self.target.timeout.unwrap_or(deadline) } else { deadline };
        let ask = self.scene().probe(depth, deadline);
        Some(self.client.probe(self.plugin, ask).await)
    }

    /// A repair of the plugin; `None`: it has no such repair.
    async fn repair(&mut self, name: &str, args: serde_json::Map<String, Value>) -> Option<RepairRun> {
        let ask = self.scene().repair(self.plugin.manifest(), name, args)?;
        Some(self.client.repair(self.plugin, ask).await)
    }

    /// The target as it is now.
    fn scene(&mut self) -> Scene {
        let seen = self.watch.refresh(false);
        if let Some(tree) = seen.tree.as_ref() {
            self.tree.clone_from(tree);
        }
        scene(self.target, self.variant.clone(), self.watch, seen.tree.as_deref())
    }

    fn record_start(&mut self, process: ProcessId, command: &[String]) {
        self.notes.started(StartedProcess {
            target: self.target.name.clone(),
            process,
            boot: crate::process::boot_id(),
            command: command.to_vec(),
            at: Timestamp::now(),
        });
    }
}

/// A target as sessions see it, with the processes of the watch's last refresh.
pub fn scene(target: &Target, variant: Option<String>, watch: &Watch, tree: Option<&[TreeProcess]>) -> Scene {
    let (processes, addresses) = match tree.map(|tree| watch.for_sessions(tree)) {
        Some((processes, addresses)) => (Some(processes), addresses),
        None => (None, Default::default()),
    };
    Scene { settings: target.settings.clone(), variant, processes, addresses }
}

/// A number of seconds among an act's arguments.
fn seconds(call: &ActCall, name: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(call.args.get(name)?.as_f64()?).ok()
}

fn flag(call: &ActCall, name: &str) -> Option<bool> {
    call.args.get(name)?.as_bool()
}

fn text<'a>(call: &'a ActCall, name: &str) -> Option<&'a str> {
    call.args.get(name)?.as_str()
}

/// "4711, 4712": processes in words.
fn list(ids: &[ProcessId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
