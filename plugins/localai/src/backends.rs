//! Where tokens are made: the backends, a gRPC child for each loaded model (pkg/model/process.go).

use ai_monitor_plugin_api::{
    event::{Process, Role, Start},
    report::{Engine, Phase},
};

use crate::api::Loaded;

/// The most engines that a report may list.
const ENGINES_MAX: usize = 256;

/// One engine for each loaded model, with its process where that is clear. While none is loaded, or that is not known,
/// the backends among the target's processes. `None`: neither is known.
pub fn reported(start: &Start, loaded: Option<&[Loaded]>) -> Option<Vec<Engine>> {
    let processes = backends(start);
    let engines: Vec<Engine> = match loaded {
        None if processes.is_empty() => return None,
        None => processes.iter().map(|process| of_process(process)).collect(),
        // A model is listed once its load has ended (pkg/model/loader.go), and a child whose load failed is ended.
        Some([]) => {
            processes.iter().map(|process| Engine { phase: Some(Phase::Loading), ..of_process(process) }).collect()
        }
        Some(loaded) => loaded.iter().map(|model| of_model(start, loaded, model)).collect(),
    };
    (engines.len() <= ENGINES_MAX).then_some(engines)
}

/// The child that has a model. Which has which cannot be seen; with one of each it is clear.
pub fn of_only_model<'a>(start: &'a Start, loaded: &[Loaded], model: &str) -> Option<&'a Process> {
    match (&backends(start)[..], loaded) {
        ([only], [loaded]) if loaded.id == model => Some(only),
        _ => None,
    }
}

fn backends(start: &Start) -> Vec<&Process> {
    start.processes.iter().flatten().filter(|process| process.role == Role::Engine).collect()
}

fn of_model(start: &Start, loaded: &[Loaded], model: &Loaded) -> Engine {
    let process = of_only_model(start, loaded, &model.id).map(|process| process.id.clone());
    Engine { id: model.id.clone(), process, model: Some(model.id.clone()), ..Engine::default() }
}

fn of_process(process: &Process) -> Engine {
    let id = match port(process) {
        Some(port) => format!("{}/{port}", program(process)),
        None => program(process).to_owned(),
    };
    Engine { id, process: Some(process.id.clone()), ..Engine::default() }
}

/// What runs: many backends are started through a loader of their own, or by Python.
fn program(process: &Process) -> &str {
    let by_another = process.exe == "ld.so" || process.exe.starts_with("python");
    let named = process.args.iter().find(|argument| !argument.starts_with('-')).filter(|_| by_another);
    named.map_or(&process.exe, |path| path.rsplit(['/', '\\']).next().unwrap_or(path))
}

/// Where it listens, as proven by the host, else as it was told.
fn port(process: &Process) -> Option<&str> {
    let proven = process.addresses.first().and_then(|address| address.rsplit_once('/'));
    let told = || process.args.windows(2).find(|pair| pair[0] == "--addr").and_then(|pair| pair[1].rsplit_once(':'));
    proven.or_else(told).map(|(_, port)| port)
}
