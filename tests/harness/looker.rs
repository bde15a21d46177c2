//! Looks at a real server through one bundled plugin, with the monitor's own identification, processes and HTTP driver.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use ai_monitor::{
    health::observation::{Observation, SessionEnd},
    plugin::Registry,
    probe::{
        http::{Driver, TargetClient},
        identify::identify,
        session::{ProbeAsk, RepairAsk},
    },
    process::watch::{Wanted, Watch},
};
use ai_monitor_plugin_api::event::{Depth, InferenceAsk, Process};
use serde_json::{Map, Value};
use tokio::runtime::{Builder, Runtime};

/// For a look at a server that answers.
const DEADLINE: Duration = Duration::from_secs(60);

/// What the clock asks for in every round, and what only a look of its own asks for.
pub const ALL_BUT_INFERENCE: [Depth; 3] = [Depth::Liveness, Depth::Readiness, Depth::Progress];

/// One server, as one target of a monitor.
pub struct Looker {
    registry: Registry,
    backend: &'static str,
    variant: Option<String>,
    watch: Watch,
    client: TargetClient,
    runtime: Runtime,
    /// Of the plugin.
    pub settings: Map<String, Value>,
}

impl Looker {
    /// Finds out who answers at the address, which must be this backend in this variant.
    #[track_caller]
    pub fn new(backend: &'static str, variant: Option<&str>, address: SocketAddr) -> Looker {
        let registry = Registry::bundled();
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let url = format!("http://{address}").parse().expect("an URL");
        let client = runtime.block_on(async { Driver::new().expect("an HTTP client").target(&url, None) });
        let found = runtime.block_on(identify(&client, &registry));
        let winner = found.winner.unwrap_or_else(|| panic!("nobody is known at {address}: {:?}", found.candidates));
        assert_eq!((winner.backend.as_str(), winner.variant.as_deref()), (backend, variant));
        let spec = registry.get(backend).expect("a bundled plugin").manifest().process.clone();
        let watch = Watch::new(Wanted { addresses: vec![address], command: None, spec });
        Looker { registry, backend, variant: winner.variant, watch, client, runtime, settings: Map::new() }
    }

    /// One look at a depth: the plugin's report.
    #[track_caller]
    pub fn look(&mut self, depth: Depth) -> Value {
        report(&self.probe(depth, None))
    }

    /// All depths but inference, as in a round of the monitor; how many questions that were.
    #[track_caller]
    pub fn round(&mut self) -> usize {
        let observations = ALL_BUT_INFERENCE.map(|depth| self.probe(depth, None));
        observations.iter().for_each(|observation| drop(report(observation)));
        observations.iter().map(|observation| observation.requests.len()).sum()
    }

    /// A few tokens; `scheduled`: asked by the clock.
    #[track_caller]
    pub fn infer(&mut self, model: Option<&str>, scheduled: bool) -> Value {
        let model = model.map(str::to_owned);
        let ask = InferenceAsk { model, prompt: "Say: ok".into(), max_tokens: 4, scheduled };
        report(&self.probe(Depth::Inference, Some(ask)))["inference"].take()
    }

    /// A repair's report.
    #[track_caller]
    pub fn repair(&mut self, repair: &str, args: Value) -> Value {
        let (processes, addresses) = self.processes();
        let ask = RepairAsk {
            repair: repair.into(),
            args: args.as_object().cloned().unwrap_or_default(),
            deadline: DEADLINE,
            settings: self.settings.clone(),
            variant: self.variant.clone(),
            processes,
            addresses,
        };
        let plugin = self.registry.get(self.backend).expect("a bundled plugin");
        let run = self.runtime.block_on(self.client.repair(plugin, ask));
        assert_eq!(run.end, SessionEnd::Report, "{run:?}");
        serde_json::to_value(run.report).expect("JSON")
    }

    fn probe(&mut self, depth: Depth, inference: Option<InferenceAsk>) -> Observation {
        let (processes, addresses) = self.processes();
        let ask = ProbeAsk {
            depth,
            inference,
            deadline: DEADLINE,
            settings: self.settings.clone(),
            variant: self.variant.clone(),
            processes,
            addresses,
            answers: None,
        };
        let plugin = self.registry.get(self.backend).expect("a bundled plugin");
        self.runtime.block_on(self.client.probe(plugin, ask))
    }

    fn processes(&mut self) -> (Option<Vec<Process>>, BTreeMap<String, SocketAddr>) {
        match self.watch.refresh(true).tree {
            Some(tree) => {
                let (processes, addresses) = self.watch.for_sessions(&tree);
                (Some(processes), addresses)
            }
            None => (None, BTreeMap::new()),
        }
    }
}

#[track_caller]
fn report(observation: &Observation) -> Value {
    assert_eq!(observation.end, SessionEnd::Report, "{observation:?}");
    serde_json::to_value(&observation.report).expect("JSON")
}
