//! Where tokens are made: a worker process for each model in memory. Nothing tells how its work goes on.

use ai_monitor_plugin_api::{
    event::{Role, Start},
    report::Engine,
};

use crate::list::Entry;

/// The most engines that a report may list.
const ENGINES_MAX: usize = 256;

/// One engine for each instance in memory; `None` where these are not known.
pub fn reported(start: &Start, entries: &[Entry]) -> Option<Vec<Engine>> {
    let mut engines = Vec::new();
    for entry in entries {
        for instance in entry.instances.as_ref()? {
            engines.push(Engine {
                id: instance.id.clone(),
                model: Some(entry.key.clone()),
                capacity: instance.parallel,
                ..Engine::default()
            });
        }
    }
    // Which worker has which model cannot be seen; with one of each it is clear.
    let mut workers = start.processes.iter().flatten().filter(|process| process.role == Role::Engine);
    if let ([engine], Some(worker), None) = (&mut engines[..], workers.next(), workers.next()) {
        engine.process = Some(worker.id.clone());
    }
    (engines.len() <= ENGINES_MAX).then_some(engines)
}
