//! `reap`: end what an earlier server left behind. Done when no leftover lives.
//!
//! A leftover is a process once seen in this target's tree (pid and start time), or one of the same engine file that
//! holds the port, in both cases with no living server above it. Never by name alone.

use std::time::Duration;

use super::{Ground, list};
use crate::{
    health::signals::{PortHolder, ProcessId},
    incident::act::Outcome,
    process,
};

const GRACE: Duration = Duration::from_secs(3);

pub(super) async fn reap(ground: &mut Ground<'_>) -> Outcome {
    let seen = ground.watch.refresh(true);
    let mut leftovers = leftovers(ground, &seen.port);
    if let PortHolder::Other { name, id, ours: false, .. } = &seen.port {
        match same_engine_without_server(ground, *id) {
            true => leftovers.push(*id),
            false if leftovers.is_empty() => {
                return Outcome::new("foreign", format!("the port is held by {name} ({id}), which is not ours"));
            }
            false => {}
        }
    }
    if let Some(allowed) = &ground.resumed {
        leftovers.retain(|id| allowed.contains(id));
    }
    if leftovers.is_empty() {
        if ground.resumed.is_some() {
            return Outcome::done("what was to end is gone");
        }
        return Outcome::new("nothing", "nothing of it is left");
    }
    ground.notes.intent("reap", leftovers.clone(), format!("ends the leftovers {}", list(&leftovers)));
    end_all(&leftovers, "").await
}

/// Ends each; the outcome says who is gone and who survived.
pub(super) async fn end_all(victims: &[ProcessId], before: &str) -> Outcome {
    let ends = victims.iter().map(|victim| process::end_tree(*victim, std::slice::from_ref(victim), GRACE, true));
    let ended = futures_util::future::join_all(ends).await;
    let survived: Vec<ProcessId> = ended.iter().flat_map(|e| &e.survivors).map(|s| s.id).collect();
    if survived.is_empty() {
        return Outcome::done(format!("{before}{} is gone", list(victims)));
    }
    let mut outcome = Outcome::done(format!("{} outlived SIGKILL", list(&survived)));
    outcome.result = "survived".into();
    outcome
}

/// Members of this target's tree that live and have no living server above them.
pub(super) fn leftovers(ground: &Ground<'_>, port: &PortHolder) -> Vec<ProcessId> {
    let root = ground.watch.root().map(|r| r.id);
    let serves = root.is_some_and(process::is_alive) && *port == PortHolder::Target;
    let below_root: Vec<ProcessId> = match root {
        Some(root) if process::is_alive(root) => {
            let all = process::all().unwrap_or_default();
            process::tree(&all, root).iter().map(|p| p.id).collect()
        }
        _ => Vec::new(),
    };
    let members = ground.watch.members().into_iter().filter(|id| process::is_alive(*id));
    if serves {
        // Under a server that serves only what hangs below another, dead one is left over.
        members.filter(|id| !below_root.contains(id)).collect()
    } else {
        members.collect()
    }
}

/// The same engine file as one of this target's engines (or its server), with no living server above it.
fn same_engine_without_server(ground: &Ground<'_>, id: ProcessId) -> bool {
    let Some(process) = process::find(id.pid).filter(|p| p.id == id) else { return false };
    let Some(exe) = &process.exe else { return false };
    let known = ground
        .watch
        .members()
        .iter()
        .filter_map(|m| ground.watch.seen(*m))
        .any(|seen| seen.exe.as_ref() == Some(exe) && seen.role == ai_monitor_plugin_api::event::Role::Engine);
    let orphan = process.parent.is_none_or(|parent| parent <= 1);
    known && orphan
}
