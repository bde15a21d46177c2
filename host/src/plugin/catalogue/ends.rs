//! How sessions end counts for or against their plugin.

use std::sync::Arc;

use super::{Catalogue, State};
use crate::plugin::{Ended, Plugin, Quarantine, Standing, standing::Change};

impl Catalogue {
    /// The ends of this plugin's sessions are told to this catalogue from now on. `generation` 0: bundled.
    pub(super) fn listen_to(self: &Arc<Self>, plugin: &Plugin, generation: u64) {
        let id = plugin.manifest().id.clone();
        let catalogue = Arc::downgrade(self);
        plugin.listen(Arc::new(move |ended: &Ended<'_>| {
            if let Some(catalogue) = catalogue.upgrade() {
                catalogue.ended(&id, generation, ended);
            }
        }));
    }

    fn ended(&self, id: &str, generation: u64, ended: &Ended<'_>) {
        let now = self.clock.now();
        let began = now.mono.saturating_sub(ended.took);
        let mut state = self.state();
        let hash = match (generation, of_generation(&state, id, generation)) {
            (0, _) => None,
            (_, Some(hash)) => Some(hash),
            // A session of a plugin that was replaced meanwhile: its successor answers for nothing.
            (_, None) => return,
        };
        let target = if hash.is_some() { "" } else { ended.target };
        let key = (id.to_owned(), target.to_owned());
        if ended.failure.is_none() && !state.standings.contains_key(&key) {
            return;
        }
        let standing = state.standings.entry(key).or_insert_with(|| Standing::new(hash.is_some()));
        let change = standing.ended(ended.session, began, ended.failure.as_deref(), now);
        let failures = standing.failures();
        drop(state);
        let reason = ended.failure.as_deref().unwrap_or_default();
        match change {
            Change::None => return,
            Change::Counted if ended.failure.is_some() => {
                tracing::warn!(
                    plugin = id,
                    target = ended.target,
                    session = ended.session,
                    failures,
                    "plugin: {reason}"
                );
            }
            Change::Counted => {}
            Change::Quarantined => {
                tracing::error!(plugin = id, "quarantined after {failures} failures in a row: {reason}");
                let reason = format!("{}: {reason}", ended.session);
                let quarantine = Quarantine { at: now.wall, reason, library: hash.unwrap_or_default() };
                if let Err(error) = self.store.change(id, |kept| kept.quarantine = Some(quarantine)) {
                    tracing::error!(plugin = id, "the quarantine holds until the monitor ends: {error}");
                }
            }
        }
        self.edit(|_| ());
    }
}

/// The hash of the library that is in use, if it is of this generation.
fn of_generation(state: &State, id: &str, generation: u64) -> Option<String> {
    let in_use = state.drop_ins.get(id)?.in_use.as_ref()?;
    (in_use.generation == generation).then(|| in_use.hash.clone())
}
