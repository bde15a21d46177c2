//! `end_runner`: end the engine child of a model, not the server. Done when the child is gone.

use std::time::Duration;

use ai_monitor_plugin_api::event::Role;

use super::{Ground, list, text};
use crate::{
    health::signals::ProcessId,
    incident::act::{ActCall, Outcome},
    process,
};

/// A runner has nothing to save; the time is for one that still answers SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

pub(super) async fn end_runner(ground: &mut Ground<'_>, call: &ActCall) -> Outcome {
    let seen = ground.watch.refresh(false);
    let Some(tree) = seen.tree else {
        return Outcome::new("nothing", "its processes are not known");
    };
    let engines: Vec<_> = tree.iter().filter(|p| p.role == Role::Engine).collect();
    let model = text(call, "model").map(str::to_owned).or_else(|| ground.fault.model.clone());
    // The engine of this model, where the backend tells; else all of them: with one, it is that one.
    let of_model: Vec<ProcessId> = ground
        .engines
        .iter()
        .filter(|e| model.is_some() && e.model == model)
        .filter_map(|e| {
            let process = e.process.as_ref()?;
            let was = ground.tree.iter().find(|p| p.session_id == *process)?;
            engines.iter().find(|p| p.id == was.id).map(|p| p.id)
        })
        .collect();
    let mut victims = if of_model.is_empty() { engines.iter().map(|p| p.id).collect() } else { of_model };
    if let Some(allowed) = &ground.resumed {
        victims.retain(|id| allowed.contains(id));
    }
    if victims.is_empty() {
        if ground.resumed.is_some() {
            return Outcome::done("what was to end is gone");
        }
        return Outcome::new("nothing", "no engine child lives");
    }
    ground.notes.intent("end_runner", victims.clone(), format!("ends the engine {}", list(&victims)));
    let mut survived = Vec::new();
    for victim in &victims {
        let ended = process::end_tree(*victim, &[*victim], GRACE, true).await;
        survived.extend(ended.survivors.iter().map(|s| s.id));
    }
    if survived.is_empty() {
        Outcome::done(format!("{} is gone", list(&victims)))
    } else {
        let mut outcome = Outcome::done(format!("{} outlived SIGKILL", list(&survived)));
        outcome.result = "survived".into();
        outcome
    }
}
