//! Where tokens are made: the backends, a gRPC child for each loaded model (pkg/model/process.go).

use ai_monitor_plugin_api::{
    event::{Process, Role, Start},
    report::{Engine, Phase},
};

use crate::api::Loaded;

/// The most engines that a report may list.
const ENGINES_MAX: usize = 256;

/// The backends among the target's processes; where these are not known, or none of them is known as a backend, one
/// for each loaded model. `None`: neither is known.
pub fn reported(start: &Start, loaded: Option<&[Loaded]>) -> Option<Vec<Engine>> {
    let processes = backends(start);
    let engines: Vec<Engine> = match (&processes[..], loaded) {
        ([], None) => return None,
        ([], Some(loaded)) => loaded.iter().map(of_model).collect(),
        // Which child has which model cannot be seen; with one of each it is clear.
        ([only], Some([model])) => vec![Engine { model: Some(model.id.clone()), ..of_process(only) }],
        // A model is listed once its load has ended (pkg/model/loader.go), and a child whose load failed is ended.
        (all, Some([])) => {
            all.iter().map(|process| Engine { phase: Some(Phase::Loading), ..of_process(process) }).collect()
        }
        (all, _) => all.iter().map(|process| of_process(process)).collect(),
    };
    (engines.len() <= ENGINES_MAX).then_some(engines)
}

/// The child that has a model, where that is clear.
pub fn of_only_model<'a>(start: &'a Start, loaded: &[Loaded], model: &str) -> Option<&'a Process> {
    match (&backends(start)[..], loaded) {
        ([only], [loaded]) if loaded.id == model => Some(only),
        _ => None,
    }
}

fn backends(start: &Start) -> Vec<&Process> {
    start.processes.iter().flatten().filter(|process| process.role == Role::Engine).collect()
}

fn of_model(loaded: &Loaded) -> Engine {
    Engine { id: loaded.id.clone(), model: Some(loaded.id.clone()), ..Engine::default() }
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
