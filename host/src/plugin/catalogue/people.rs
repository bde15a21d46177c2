//! What a person may do with a plugin: consent, release, enable, disable.

use super::{Catalogue, Stage};
use crate::plugin::{Grants, Refusal, store::NotKept};

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    #[error("there is no plugin {id:?}; plugins: {known}")]
    Unknown { id: String, known: String },
    #[error("{id} is bundled: it can neither be disabled nor quarantined, and needs no consent")]
    Bundled { id: String },
    #[error("{id} asks for something else now: {now}. Nothing was granted; look again")]
    AsksOther { id: String, now: String },
    #[error(transparent)]
    NotKept(#[from] NotKept),
}

impl Catalogue {
    /// Grants what waits for consent. `seen`: what the person was shown; where it differs from what the plugin asks for
    /// now, nothing is granted. `Ok(false)`: nothing waits.
    pub fn consent(&self, id: &str, seen: Option<&Grants>) -> Result<bool, ManageError> {
        self.of_folder(id)?;
        let Some((more, asked)) = self.waiting(id) else { return Ok(false) };
        if seen.is_some_and(|seen| *seen != more) {
            return Err(ManageError::AsksOther { id: id.into(), now: more.to_string() });
        }
        self.store.change(id, |kept| {
            let granted = kept.grants.take().unwrap_or_default();
            kept.grants = Some(granted.with(&asked));
        })?;
        tracing::info!("plugin {id}: granted by a person: {more}");
        self.look_again(id);
        Ok(true)
    }

    /// What is new, and all that is asked for.
    fn waiting(&self, id: &str) -> Option<(Grants, Grants)> {
        let state = self.state();
        let drop_in = state.drop_ins.get(id)?;
        match &drop_in.stage {
            Stage::Refused(Refusal::Consent { more, .. }) => Some((more.clone(), Grants::of(&drop_in.manifest))),
            _ => None,
        }
    }

    /// Ends a quarantine, and any backoff. `Ok(false)`: there was none.
    pub fn release(&self, id: &str) -> Result<bool, ManageError> {
        let known = self.known(id)?;
        let kept = self.store.change(id, |kept| kept.quarantine = None);
        let was_kept = if known == Known::Folder { kept? } else { false };
        let held = self.edit(|state| {
            let before = state.standings.len();
            state.standings.retain(|(of, _), _| of != id);
            before != state.standings.len()
        });
        if was_kept || held {
            tracing::info!("plugin {id}: released by a person");
        }
        if was_kept {
            self.look_again(id);
        }
        Ok(was_kept || held)
    }

    /// `Ok(false)`: it was so already.
    pub fn set_disabled(&self, id: &str, disabled: bool) -> Result<bool, ManageError> {
        self.of_folder(id)?;
        let changed = self.store.change(id, |kept| kept.disabled = disabled)?;
        if changed {
            tracing::info!("plugin {id}: {} by a person", if disabled { "disabled" } else { "enabled" });
            if disabled {
                // At once: it must not be used for another look.
                let given_up = self.edit(|state| {
                    let drop_in = state.drop_ins.get_mut(id)?;
                    let refusal = Refusal::Disabled { id: id.to_owned() };
                    state.files.insert(drop_in.library.clone(), refusal.clone());
                    drop_in.stage = Stage::Refused(refusal);
                    drop_in.in_use.take()
                });
                drop(given_up);
            } else {
                self.look_again(id);
            }
        }
        Ok(changed)
    }

    fn look_again(&self, id: &str) {
        self.edit(|state| {
            if let Some(drop_in) = state.drop_ins.get_mut(id) {
                // Until it was looked at: loading, and not what it was refused for.
                drop_in.stage = Stage::Loading;
                state.again.push(drop_in.library.clone());
            }
        });
        self.wake.notify_one();
    }

    fn of_folder(&self, id: &str) -> Result<(), ManageError> {
        match self.known(id)? {
            Known::Folder => Ok(()),
            Known::Bundled => Err(ManageError::Bundled { id: id.into() }),
        }
    }

    fn known(&self, id: &str) -> Result<Known, ManageError> {
        let state = self.state();
        if state.drop_ins.contains_key(id) {
            return Ok(Known::Folder);
        }
        if state.bundled.get(id).is_some() {
            return Ok(Known::Bundled);
        }
        let bundled = state.bundled.iter().map(|p| p.manifest().id.clone());
        let mut known: Vec<String> = bundled.chain(state.drop_ins.keys().cloned()).collect();
        known.sort();
        known.dedup();
        Err(ManageError::Unknown { id: id.into(), known: known.join(", ") })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Folder,
    Bundled,
}
