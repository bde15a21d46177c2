//! What a plugin reports of a server, in a few words per depth: the observation behind what the monitor shows.

use std::{path::Path, sync::Arc, time::Duration};

use ai_monitor::{
    config::{self, model::Target},
    health::{
        look::Said,
        observation::{Observation, RequestRecord, SessionEnd},
    },
    plugin::Registry,
    probe::{
        http::Driver,
        session::{LookAnswers, ProbeAsk},
    },
    process::watch::{Wanted, Watch},
};
use ai_monitor_plugin_api::{
    event::Depth,
    report::{Engine, Model, ModelState, Phase, Report},
};
use serde_json::Value;

/// Liveness, readiness, progress.
pub type Seen = [String; 3];

/// What the monitor knows of a target from its looks before.
#[derive(Debug, Clone)]
pub struct Known {
    pub variant: Option<String>,
    /// It has found the process behind the target's port to be the target's.
    pub process: bool,
}

/// Probes every target of a configuration once, all at the same time, as the monitor does.
pub fn of_all(config: &Path, known: impl Fn(&str) -> Known) -> Vec<(String, Seen)> {
    let registry = Arc::new(Registry::bundled());
    let config = config::check(config, &registry).expect("the monitor has read it, too");
    let driver = Driver::new().expect("a client");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let looks: Vec<_> = config
            .targets
            .into_iter()
            .map(|target| {
                let (registry, driver, known) = (registry.clone(), driver.clone(), known(&target.name));
                tokio::spawn(async move { (target.name.clone(), of(&target, known, &registry, &driver).await) })
            })
            .collect();
        let mut all = Vec::new();
        for look in looks {
            all.push(look.await.expect("a look"));
        }
        all
    })
}

async fn of(target: &Target, known: Known, registry: &Registry, driver: &Driver) -> Seen {
    let plugin = registry.get(&target.backend).expect("a bundled plugin");
    let client = driver.target(&target.url, None);
    let addresses = vec![target.url.socket_addrs(|| None).expect("an address")[0]];
    let spec = plugin.manifest().process.clone();
    let mut watch = Watch::new(Wanted { addresses, command: target.process.command.clone(), spec });
    let mut tree = watch.refresh(true).tree.unwrap_or_default();
    if let Some(stranger) = watch.stranger().filter(|_| known.process).cloned() {
        watch.adopt(stranger);
        tree = watch.refresh(true).tree.unwrap_or_default();
    }
    let (processes, addresses) = watch.for_sessions(&tree);
    let answers = Arc::new(LookAnswers::default());

    let mut seen = Seen::default();
    for (place, depth) in seen.iter_mut().zip([Depth::Liveness, Depth::Readiness, Depth::Progress]) {
        let Some(spec) = plugin.manifest().probes.get(&depth) else {
            *place = "is not asked".into();
            continue;
        };
        let deadline = match (depth, target.timeout) {
            (Depth::Liveness, Some(timeout)) => timeout,
            _ => Duration::from_millis(spec.deadline_ms),
        };
        let ask = ProbeAsk {
            depth,
            inference: None,
            deadline,
            settings: target.settings.clone(),
            variant: known.variant.clone(),
            processes: Some(processes.clone()),
            addresses: addresses.clone(),
            answers: Some(answers.clone()),
        };
        let observation = client.probe(plugin, ask).await;
        *place = in_words(&observation);
        if depth == Depth::Liveness && !matches!(observation.said(), Said::Ok(_)) {
            break;
        }
    }
    seen
}

fn in_words(observation: &Observation) -> String {
    if observation.end != SessionEnd::Report {
        return format!("the plugin failed: {:?}", observation.end);
    }
    if let Said::Failed(record) = observation.said() {
        return outcome(record);
    }
    let report = observation.report.clone().unwrap_or_default();
    match observation.depth {
        Depth::Readiness => models(&report),
        Depth::Progress => work(report.engines.as_deref()),
        Depth::Liveness | Depth::Inference => phase(report.phase).unwrap_or_else(|| "ok".into()),
    }
}

fn outcome(record: &RequestRecord) -> String {
    let word = |value: Value| value.as_str().unwrap_or_default().replace('_', " ");
    let outcome = word(serde_json::to_value(record.outcome).unwrap_or_default());
    match record.at.map(|at| word(serde_json::to_value(at).unwrap_or_default())) {
        // Whether a refusal is of the connection needs no telling.
        Some(at) if at != "connect" => format!("{outcome}, {at}"),
        _ => outcome,
    }
}

fn phase(phase: Option<Phase>) -> Option<String> {
    match phase? {
        Phase::Ready => None,
        phase => Some(format!("{phase:?}").to_lowercase()),
    }
}

fn models(report: &Report) -> String {
    if let Some(phase) = phase(report.phase) {
        return phase;
    }
    let Some(models) = &report.models else { return "models not known".into() };
    let count = |state: Option<ModelState>| models.iter().filter(|model: &&Model| model.state == state).count();
    let states = [
        (Some(ModelState::Loaded), "loaded"),
        (Some(ModelState::Loading), "loading"),
        (Some(ModelState::Sleeping), "sleeping"),
        (Some(ModelState::Stopping), "stopping"),
        (Some(ModelState::Failed), "failed"),
        (Some(ModelState::Unloaded), "unloaded"),
        (None, "in a state not known"),
    ];
    let parts: Vec<String> = states
        .into_iter()
        .map(|(state, word)| (count(state), word))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    if parts.is_empty() { "no models".into() } else { parts.join(", ") }
}

fn work(engines: Option<&[Engine]>) -> String {
    let Some(engines) = engines else { return "work not known".into() };
    if engines.is_empty() {
        return "no engine".into();
    }
    if let Some(phase) = engines.iter().find_map(|engine| phase(engine.phase)) {
        return format!("engine {phase}");
    }
    if engines.iter().all(|engine| engine.running.is_none()) {
        return format!("{} engine, work not known", engines.len());
    }
    let running: u64 = engines.iter().filter_map(|engine| engine.running).sum();
    let counted = engines.iter().any(|engine| engine.counters.as_ref().is_some_and(|counters| !counters.is_empty()));
    format!("{running} running{}", if counted { ", counted" } else { "" })
}
