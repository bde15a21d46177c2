//! `restart`: the old tree is gone, no leftover lives, and a new process passes readiness.

use std::time::Duration;

use super::{Ground, flag, list, reap, seconds, start};
use crate::{
    health::signals::ProcessId,
    incident::act::{ActCall, Outcome},
    process,
};

pub(super) async fn restart(ground: &mut Ground<'_>, call: &ActCall) -> Outcome {
    if ground.target.process.command.as_ref().is_none_or(Vec::is_empty) {
        return Outcome::new("unsupported", "there is no command to start it with again");
    }
    let grace = seconds(call, "grace").unwrap_or(ground.target.heal.grace);
    let force = flag(call, "force").unwrap_or(true) && ground.may_kill;
    let stopped = match stop(ground, grace, force).await {
        Ok(text) => text,
        Err(outcome) => return outcome,
    };
    let mut outcome = start::start(ground, call).await;
    outcome.changed = true;
    outcome.step = Some("start".into());
    outcome.detail = format!("{stopped}; {}", outcome.detail);
    outcome
}

/// Ends the tree and what it leaves behind. `Err`: it outlived that.
async fn stop(ground: &mut Ground<'_>, grace: Duration, force: bool) -> Result<String, Outcome> {
    let seen = ground.watch.refresh(true);
    let root = ground.watch.root().map(|r| r.id).filter(|id| process::is_alive(*id));
    let members: Vec<ProcessId> = seen.tree.iter().flatten().map(|p| p.id).collect();
    let may_end = |id: &ProcessId| ground.resumed.as_ref().is_none_or(|allowed| allowed.contains(id));
    let Some(root) = root.filter(may_end) else {
        return Ok("the old server was gone".into());
    };
    ground.notes.intent("restart", members.clone(), format!("ends {}, then starts anew", list(&members)));
    let ended = process::end_tree(root, &members, grace, force).await;
    if !ended.is_complete() {
        let survivors: Vec<ProcessId> = ended.survivors.iter().map(|s| s.id).collect();
        let mut outcome = Outcome::done(format!("{} lives on", list(&survivors)));
        outcome.changed = false;
        if force {
            outcome.result = "survived".into();
            outcome.step = Some("kill".into());
        } else {
            outcome.result = "ignored".into();
            outcome.step = Some("stop".into());
        }
        return Err(outcome);
    }
    let mut text =
        format!("{root} is gone{}", if ended.forced { " (it outlived its grace and was killed)" } else { "" });
    let seen = ground.watch.refresh(true);
    let left = reap::leftovers(ground, &seen.port);
    if !left.is_empty() {
        let reaped = reap::end_all(&left, "leftover ").await;
        if reaped.result == "survived" {
            return Err(Outcome { step: Some("kill".into()), ..reaped });
        }
        text.push_str(&format!(", {}", reaped.detail));
    }
    ground.notes.phase(text.clone(), None);
    Ok(text)
}
