//! The plugins in use: a shared, changing set. Targets ask it at each look; sessions under way finish on what they have.

mod ends;
mod files;
mod people;
mod show;
#[cfg(test)]
mod tests;
mod unattended;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ai_monitor_plugin_api::manifest::Manifest;
use tokio::sync::{Notify, watch};

pub use self::{people::ManageError, unattended::view as view_unattended};
use super::{Absent, Held, Plugin, Refusal, Registry, Standing, Store, folder};
use crate::time::Clock;

/// One per process.
pub struct Catalogue {
    clock: Arc<dyn Clock>,
    store: Store,
    safe_mode: bool,
    folder: PathBuf,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    /// Wakes who keeps the folder: something is to be done anew.
    wake: Arc<Notify>,
}

struct State {
    bundled: Registry,
    drop_ins: BTreeMap<String, DropIn>,
    /// Files that are not used, with the reason.
    files: BTreeMap<PathBuf, Refusal>,
    /// SHA-256 of the files as they were last looked at, where they could be read.
    hashes: BTreeMap<PathBuf, String>,
    /// By plugin id; of bundled plugins by target, too.
    standings: BTreeMap<(String, String), Standing>,
    /// What is in use now; composed at each change.
    registry: Arc<Registry>,
    /// Tells the sessions of a replaced plugin from those of its successor.
    generation: u64,
    /// Libraries that are to be looked at anew though they did not change.
    again: Vec<PathBuf>,
}

/// A plugin of the folder.
struct DropIn {
    library: PathBuf,
    /// Of the file that is there now.
    manifest: Arc<Manifest>,
    in_use: Option<InUse>,
    stage: Stage,
}

struct InUse {
    plugin: Arc<Plugin>,
    hash: String,
    generation: u64,
}

impl DropIn {
    /// Does its file keep the id from every other file? It is in use, or on the way to it, or a person's word holds it
    /// back. One that cannot be used keeps nothing.
    fn holds(&self) -> bool {
        self.in_use.is_some()
            || match &self.stage {
                Stage::AtStart | Stage::Loading | Stage::InUse => true,
                Stage::Refused(refusal) => refusal.awaits_a_person(),
            }
    }
}

/// How far the file that is there now has come.
enum Stage {
    /// Seen when the monitor began: nothing stands in for it until it is loaded or refused.
    AtStart,
    Loading,
    InUse,
    Refused(Refusal),
}

impl Catalogue {
    /// `folder` and `data`: of the plugins, and for what is kept of them. In safe mode what lies in the folder is known
    /// by its manifests and not used.
    pub fn open(
        clock: Arc<dyn Clock>,
        bundled: Registry,
        folder: &Path,
        data: &Path,
        safe_mode: bool,
    ) -> Arc<Catalogue> {
        Catalogue::with_store(clock, bundled, folder, Store::open(data), safe_mode)
    }

    fn with_store(
        clock: Arc<dyn Clock>,
        bundled: Registry,
        folder: &Path,
        store: Store,
        safe_mode: bool,
    ) -> Arc<Catalogue> {
        let state = State {
            registry: Arc::new(bundled.clone()),
            bundled,
            drop_ins: BTreeMap::new(),
            files: BTreeMap::new(),
            hashes: BTreeMap::new(),
            standings: BTreeMap::new(),
            generation: 0,
            again: Vec::new(),
        };
        let catalogue = Arc::new(Catalogue {
            clock,
            store,
            safe_mode,
            folder: folder.to_owned(),
            state: Mutex::new(state),
            changes: watch::Sender::new(0),
            wake: Arc::new(Notify::new()),
        });
        for plugin in catalogue.state().bundled.iter() {
            catalogue.listen_to(plugin, 0);
        }
        catalogue.announce();
        catalogue
    }

    /// Bundled plugins alone, and nothing is kept: for tests and tools.
    pub fn of_bundled(clock: Arc<dyn Clock>, bundled: Registry) -> Arc<Catalogue> {
        Catalogue::with_store(clock, bundled, Path::new(""), Store::of_this_process(), true)
    }

    fn announce(&self) {
        if self.folder.as_os_str().is_empty() {
            return;
        }
        let read = |library: PathBuf| Some((folder::read_manifest(&folder::manifest_of(&library)).ok()?, library));
        let there: Vec<_> = folder::scan(&self.folder).unwrap_or_default().into_keys().filter_map(read).collect();
        let mut state = self.state();
        for (manifest, library) in there {
            let stage = if self.safe_mode { Stage::Refused(Refusal::SafeMode) } else { Stage::AtStart };
            let drop_in = DropIn { library, manifest: Arc::new(manifest), in_use: None, stage };
            state.drop_ins.entry(drop_in.manifest.id.clone()).or_insert(drop_in);
        }
    }

    /// The plugin to look at `target` (its base URL) with, now.
    ///
    /// # Errors
    /// Why there is none: the target is unknown then, never down.
    pub fn take(&self, id: &str, target: &str) -> Result<Arc<Plugin>, Absent> {
        let state = self.state();
        let bundled = state.bundled.get(id);
        let Some(drop_in) = state.drop_ins.get(id) else {
            let Some(plugin) = bundled else { return Err(self.never_seen(&state, id)) };
            return self.unless_held(&state, id, target).map(|()| plugin.clone());
        };
        if let Some(in_use) = &drop_in.in_use {
            return self.unless_held(&state, id, "").map(|()| in_use.plugin.clone());
        }
        let absent = match &drop_in.stage {
            Stage::AtStart => Absent::Loading { id: id.into() },
            Stage::Loading | Stage::InUse => match bundled {
                Some(plugin) => return self.unless_held(&state, id, target).map(|()| plugin.clone()),
                None => Absent::Loading { id: id.into() },
            },
            // The user's own plugin is there and is held back: a bundled one does not slip into its place.
            Stage::Refused(refusal @ (Refusal::Consent { .. } | Refusal::Quarantined { .. })) => {
                Absent::refused(id, refusal)
            }
            Stage::Refused(refusal) => match bundled {
                Some(plugin) => return self.unless_held(&state, id, target).map(|()| plugin.clone()),
                None => Absent::refused(id, refusal),
            },
        };
        Err(absent)
    }

    fn never_seen(&self, state: &State, id: &str) -> Absent {
        let folder = self.folder.display().to_string();
        if self.store.ids().iter().any(|known| known == id) {
            return Absent::Removed { id: id.into(), folder };
        }
        let known: Vec<&str> = state.registry.iter().map(|p| p.manifest().id.as_str()).collect();
        Absent::Unknown { id: id.into(), folder, known: known.join(", ") }
    }

    fn unless_held(&self, state: &State, id: &str, target: &str) -> Result<(), Absent> {
        let now = self.clock.now().mono;
        let Some(standing) = state.standings.get(&(id.to_owned(), target.to_owned())) else { return Ok(()) };
        let reason = || standing.last().map(|f| f.to_string()).unwrap_or_default();
        match standing.held(now) {
            None => Ok(()),
            Some(Held::Quarantined) => Err(Absent::Quarantined { id: id.into(), reason: reason() }),
            Some(Held::BackingOff { until }) => {
                Err(Absent::BackingOff { id: id.into(), reason: reason(), again: until.saturating_sub(now) })
            }
        }
    }

    /// What is in use now: for identification and discovery.
    pub fn registry(&self) -> Arc<Registry> {
        self.state().registry.clone()
    }

    /// Counts up with every change that somebody may want to see.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// What was kept of plugins could not be read: a person should know.
    pub fn notice(&self) -> Option<&str> {
        self.store.notice()
    }

    pub fn is_safe_mode(&self) -> bool {
        self.safe_mode
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn wake(&self) -> Arc<Notify> {
        self.wake.clone()
    }

    /// A panic of another task must not blind the targets: what the lock guards is whole after each edit.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the set, and tells all who follow it. What is taken out of it is to be given back by `edit`, and so
    /// dropped without the lock: with a plugin go its processes and its file.
    fn edit<T>(&self, edit: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let result = edit(&mut state);
        let mut registry = state.bundled.clone();
        for (id, drop_in) in &state.drop_ins {
            match &drop_in.in_use {
                Some(in_use) => drop(registry.insert(in_use.plugin.clone())),
                None => registry.remember([id.clone()]),
            }
        }
        let before = std::mem::replace(&mut state.registry, Arc::new(registry));
        drop(state);
        drop(before);
        self.changes.send_modify(|n| *n += 1);
        result
    }
}
