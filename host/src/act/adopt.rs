//! `adopt`: the port's holder answers as this backend and nobody looks after it: it is the target's from now on.

use ai_monitor_plugin_api::event::Depth;

use super::Ground;
use crate::{
    health::{
        look::Said,
        signals::{Owner, PortHolder},
    },
    incident::act::Outcome,
    probe::identify::identify,
    process,
};

pub(super) async fn adopt(ground: &mut Ground<'_>) -> Outcome {
    let seen = ground.watch.refresh(true);
    if let (PortHolder::Target, Some(root)) = (&seen.port, ground.watch.root())
        && seen.owner.is_ours()
    {
        let text = format!("{} ({}) holds the port and is the target's", root.name, root.id);
        return answers(ground).await.unwrap_or_else(|| Outcome::done(text));
    }
    let holder = match (&seen.port, ground.watch.stranger().cloned()) {
        (PortHolder::Nobody, _) => return Outcome::new("not_ours", "nobody holds the port"),
        (PortHolder::Other { supervisor: Some(by), name, id, .. }, _) => {
            return Outcome::new("supervised", format!("{name} ({id}) belongs to {by}"));
        }
        (PortHolder::Other { forwarder: true, name, id, .. }, _) => {
            return Outcome::new("not_ours", format!("{name} ({id}) only forwards the port"));
        }
        (_, Some(holder)) => holder,
        _ => return Outcome::new("not_ours", "the holder of the port cannot be seen"),
    };
    let identity = identify(ground.client, ground.registry).await;
    let backend = identity.winner.as_ref().map(|w| w.backend.as_str());
    if backend != Some(ground.target.backend.as_str()) {
        let is = backend.unwrap_or("no backend that is known");
        return Outcome::new("not_ours", format!("{} ({}) answers as {is}", holder.name, holder.id));
    }
    let all = process::all().unwrap_or_default();
    let wanted = ground.watch.wanted();
    let owner = process::owner(&holder, &all, false, wanted.command.as_deref(), &wanted.spec.main);
    match owner {
        Owner::Child | Owner::Command => {
            let text = format!("{} ({}) is the target's from now on", holder.name, holder.id);
            ground.notes.intent("adopt", vec![holder.id], text.clone());
            ground.watch.adopt(holder);
            Outcome::done(text)
        }
        Owner::Unit(by) | Owner::Container(by) | Owner::Service(by) | Owner::Parent(by) => {
            Outcome::new("supervised", format!("{} ({}) belongs to {by}", holder.name, holder.id))
        }
        Owner::Found | Owner::NotPermitted | Owner::None => {
            let text = format!("{} ({}) does not run the configured command", holder.name, holder.id);
            Outcome::new("not_ours", text)
        }
    }
}

/// `None`: it answers. Otherwise why it does not.
async fn answers(ground: &mut Ground<'_>) -> Option<Outcome> {
    let observation = ground.probe(Depth::Liveness).await?;
    match observation.said() {
        Said::Ok(_) => None,
        Said::Failed(record) => Some(Outcome::new("not_ours", format!("it does not answer: {}", record.sentence()))),
        Said::Nothing => Some(Outcome::new("not_ours", "it could not be asked")),
    }
}
