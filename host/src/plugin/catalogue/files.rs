//! What becomes of the folder's files: told by who keeps the folder.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use ai_monitor_plugin_api::manifest::Manifest;

use super::{Catalogue, DropIn, InUse, Stage, State};
use crate::plugin::{
    Plugin, Refusal,
    folder::{Pair, Rejected},
};

impl Catalogue {
    /// Another library that keeps this id from `library`, as long as it is there. One that was renamed, or replaced by
    /// another name, gives way at once, so that its successor is loaded while it still serves.
    pub(in crate::plugin) fn holder(&self, id: &str, library: &Path) -> Option<PathBuf> {
        let other = self.state().holder(id, library)?;
        other.exists().then_some(other)
    }

    /// The library was looked at, `hash` says which it was, and is about to be loaded.
    pub(in crate::plugin) fn loading(&self, library: &Path, manifest: Arc<Manifest>, hash: &str) {
        self.edit(|state| {
            let id = manifest.id.clone();
            state.hashes.insert(library.to_owned(), hash.to_owned());
            state.files.remove(library);
            let drop_in = state.drop_ins.entry(id).or_insert_with(|| DropIn {
                library: library.to_owned(),
                manifest: manifest.clone(),
                in_use: None,
                stage: Stage::Loading,
            });
            drop_in.library = library.to_owned();
            drop_in.manifest = manifest;
            if !matches!(drop_in.stage, Stage::AtStart) {
                drop_in.stage = Stage::Loading;
            }
        });
    }

    /// The library was loaded: it is used from the next look on. Its failures are counted anew, and whatever the file
    /// before it was quarantined for is over.
    pub(in crate::plugin) fn take_over(self: &Arc<Self>, library: &Path, plugin: Plugin, hash: String) {
        let manifest = plugin.manifest().clone();
        let id = manifest.id.clone();
        let generation = {
            let mut state = self.state();
            state.generation += 1;
            state.generation
        };
        let plugin = Arc::new(plugin);
        self.listen_to(&plugin, generation);
        if let Err(error) = self.store.change(&id, |kept| kept.quarantine = None) {
            tracing::error!(plugin = id, "{error}");
        }
        let (replaced, bundled) = self.edit(|state| {
            state.files.remove(library);
            state.standings.retain(|(of, _), _| *of != id);
            let in_use = Some(InUse { plugin, hash, generation });
            let drop_in =
                DropIn { library: library.to_owned(), manifest: manifest.clone(), in_use, stage: Stage::InUse };
            (state.drop_ins.insert(id.clone(), drop_in), state.bundled.get(&id).is_some())
        });
        let before = replaced.and_then(|d| d.in_use).map(|u| u.plugin.manifest().version.clone());
        let version = &manifest.version;
        let place = library.display();
        match before {
            Some(before) if before == *version => tracing::info!("plugin {id}: another build of {version} ({place})"),
            Some(before) => tracing::info!("plugin {id}: {version} replaces {before} ({place})"),
            None if bundled => tracing::warn!("plugin {id} {version} of {place} stands in for the bundled one"),
            None => tracing::info!("plugin {id} {version} was loaded ({place})"),
        }
    }

    /// The library was looked at, `hash` says which it was, and is not used for this reason.
    pub(in crate::plugin) fn reject(&self, library: &Path, rejected: Rejected) {
        let Rejected { refusal, manifest, hash } = rejected;
        self.refuse_with(library, manifest, refusal, |state| match hash {
            Some(hash) => drop(state.hashes.insert(library.to_owned(), hash)),
            None => drop(state.hashes.remove(library)),
        });
    }

    /// The library is not used, for this reason. What was in use before stays in use, unless it may not. A library
    /// whose id another one holds touches nothing of that one, whatever else is wrong with it.
    pub(in crate::plugin) fn refuse(&self, library: &Path, manifest: Option<Arc<Manifest>>, refusal: Refusal) {
        self.refuse_with(library, manifest, refusal, |_| ());
    }

    fn refuse_with(
        &self,
        library: &Path,
        manifest: Option<Arc<Manifest>>,
        refusal: Refusal,
        note: impl FnOnce(&mut State),
    ) {
        let holder = manifest.as_ref().and_then(|m| Some((m.id.clone(), self.holder(&m.id, library)?)));
        let refusal = holder.map_or(refusal, |(id, other)| Refusal::Duplicate { id, other });
        tracing::warn!("{}: {refusal}. What to do: {}", library.display(), refusal.remedy());
        let (look_again, given_up) = self.edit(|state| {
            note(state);
            let id = match &manifest {
                Some(manifest) => Some(manifest.id.clone()),
                None => state.drop_ins.iter().find(|(_, d)| d.library == library).map(|(id, _)| id.clone()),
            };
            state.files.insert(library.to_owned(), refusal.clone());
            let Some(id) = id.filter(|_| !matches!(refusal, Refusal::Duplicate { .. })) else { return (false, None) };
            let mut given_up = None;
            let stage = Stage::Refused(refusal.clone());
            match (state.drop_ins.get_mut(&id), manifest) {
                (Some(drop_in), manifest) => {
                    drop_in.library = library.to_owned();
                    drop_in.stage = stage;
                    if let Some(manifest) = manifest {
                        drop_in.manifest = manifest;
                    }
                    if matches!(refusal, Refusal::Disabled { .. }) {
                        given_up = drop_in.in_use.take();
                    }
                }
                (None, Some(manifest)) => {
                    let drop_in = DropIn { library: library.to_owned(), manifest, in_use: None, stage };
                    state.drop_ins.insert(id, drop_in);
                }
                (None, None) => {}
            }
            state.look_at_duplicates_again();
            (!state.again.is_empty(), given_up)
        });
        drop(given_up);
        if look_again {
            self.wake.notify_one();
        }
    }

    /// The library is gone, or has another id now (`but`). Its targets have no plugin, or the bundled one of its id.
    pub(in crate::plugin) fn gone(&self, library: &Path, but: Option<&str>) {
        let (gone, _dropped) = self.edit(|state| {
            state.files.remove(library);
            if but.is_none() {
                state.hashes.remove(library);
            }
            let of_it = |(id, drop_in): (&String, &DropIn)| {
                (drop_in.library == library && but != Some(id.as_str())).then(|| id.clone())
            };
            let ids: Vec<String> = state.drop_ins.iter().filter_map(of_it).collect();
            let dropped: Vec<_> = ids.iter().filter_map(|id| state.drop_ins.remove(id)).collect();
            state.standings.retain(|(of, _), _| !ids.contains(of));
            state.look_at_duplicates_again();
            let gone = ids.into_iter().map(|id| (state.bundled.get(&id).is_some(), id)).collect::<Vec<_>>();
            (gone, dropped)
        });
        for (bundled, id) in gone {
            let then =
                if bundled { "the bundled one is used again" } else { "its targets are unknown until it is back" };
            tracing::warn!("plugin {id} was removed ({}): {then}", library.display());
        }
        self.wake.notify_one();
    }

    /// What the folder holds, at the first look at it: what is not among it is gone.
    pub(in crate::plugin) fn only(&self, found: &BTreeMap<PathBuf, Pair>) {
        let libraries: Vec<PathBuf> = self.state().drop_ins.values().map(|d| d.library.clone()).collect();
        for library in libraries.iter().filter(|library| !found.contains_key(*library)) {
            self.gone(library, None);
        }
    }

    /// Libraries that are to be looked at anew though they did not change.
    pub(in crate::plugin) fn to_look_at_again(&self) -> Vec<PathBuf> {
        std::mem::take(&mut self.state().again)
    }
}

impl State {
    fn holder(&self, id: &str, library: &Path) -> Option<PathBuf> {
        let other = self.drop_ins.get(id).filter(|d| d.library != library && d.holds())?;
        Some(other.library.clone())
    }

    /// Whose id was taken may have it now.
    fn look_at_duplicates_again(&mut self) {
        let waits = |(path, refusal): (&PathBuf, &Refusal)| match refusal {
            Refusal::Duplicate { id, .. } => self.holder(id, path).is_none().then(|| path.clone()),
            _ => None,
        };
        let again: Vec<PathBuf> = self.files.iter().filter_map(waits).collect();
        self.again.extend(again);
    }
}
