//! Keeps the catalogue as the folder is: sees libraries come, change and go, and loads them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use ai_monitor_plugin_api::manifest::{self, Manifest};
use tokio::{
    task::{self, JoinError, JoinSet},
    time::Instant,
};

use super::{
    Catalogue, Grants, Isolation, LoadError, Plugin, Refusal, admission, child,
    folder::{self, Checked, Copies, FolderWatch, Pair, PrivateCopy, Rejected},
};

/// A file that did not change for so long is whole.
const SETTLE: Duration = Duration::from_millis(250);
/// Libraries that are loaded at a time.
const AT_ONCE: usize = 4;
/// The bound on one loading, whatever the loader's own is: above that of [`super::Libraries`], which says more.
const LOAD_WITHIN: Duration = child::OPENED_WITHIN.saturating_add(Duration::from_secs(5));

/// A library under way.
pub type Loading<'a> = Pin<Box<dyn Future<Output = Result<Plugin, LoadError>> + Send + 'a>>;

/// Makes plugins of libraries.
pub trait Loader: Send + Sync + 'static {
    fn load<'a>(&'a self, library: &'a Path) -> Loading<'a>;
}

/// The keeper of one folder.
pub struct Keeper {
    catalogue: Arc<Catalogue>,
    loader: Arc<dyn Loader>,
    copies: Arc<Copies>,
    seen: BTreeMap<PathBuf, Seen>,
    loads: JoinSet<Loaded>,
    /// What each of them loads: one that breaks off is told as its library's failure.
    loading: HashMap<task::Id, (PathBuf, Arc<Manifest>)>,
    first: bool,
    told: Option<String>,
}

/// A library of the folder.
struct Seen {
    pair: Pair,
    since: Instant,
    /// It was looked at as it is now.
    done: bool,
    missing: bool,
    /// The id that it had.
    id: Option<String>,
}

/// What came of a loading.
struct Loaded {
    library: PathBuf,
    pair: Pair,
    manifest: Arc<Manifest>,
    hash: String,
    result: Result<Plugin, Refusal>,
}

impl Keeper {
    /// # Errors
    /// The folder of the private copies in `data` cannot be made.
    pub fn new(catalogue: Arc<Catalogue>, loader: Arc<dyn Loader>, data: &Path) -> std::io::Result<Keeper> {
        Ok(Keeper {
            catalogue,
            loader,
            copies: Arc::new(Copies::in_data(data)?),
            seen: BTreeMap::new(),
            loads: JoinSet::new(),
            loading: HashMap::new(),
            first: true,
            told: None,
        })
    }

    /// Runs until it is dropped. In safe mode there is nothing to keep.
    pub async fn run(mut self) {
        if self.catalogue.is_safe_mode() {
            return;
        }
        let wake = self.catalogue.wake();
        let mut watch = FolderWatch::new(self.catalogue.folder(), wake.clone());
        loop {
            watch.begin();
            self.scan().await;
            let pause = if self.is_settled() { folder::RESCAN } else { SETTLE };
            tokio::select! {
                Some(ended) = self.loads.join_next_with_id(), if !self.loads.is_empty() => self.ended(ended),
                () = wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn ended(&mut self, ended: Result<(task::Id, Loaded), JoinError>) {
        match ended {
            Ok((id, loaded)) => {
                self.loading.remove(&id);
                self.commit(loaded);
            }
            Err(error) => {
                let Some((library, manifest)) = self.loading.remove(&error.id()) else { return };
                self.catalogue.refuse(&library, Some(manifest), broken_off("loading", &error));
            }
        }
    }

    fn is_settled(&self) -> bool {
        self.seen.values().all(|seen| seen.done)
    }

    /// Looks at the folder once, and begins what is to be done.
    async fn scan(&mut self) {
        let folder = self.catalogue.folder().to_owned();
        let found = match tokio::task::spawn_blocking(move || folder::scan(&folder)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return self.tell(error.to_string()),
            Err(_) => return,
        };
        self.told = None;
        let now = Instant::now();
        for library in self.catalogue.to_look_at_again() {
            if let Some(seen) = self.seen.get_mut(&library) {
                seen.done = false;
                seen.since = now.checked_sub(SETTLE).unwrap_or(now);
            }
        }
        self.note(&found, now);
        if std::mem::take(&mut self.first) {
            // What was seen as the catalogue was opened, and went before this first look.
            self.catalogue.only(&found);
        }
        let missing = self.seen.iter().filter(|(_, s)| s.missing && now.duration_since(s.since) >= SETTLE);
        let missing: Vec<PathBuf> = missing.map(|(path, _)| path.clone()).collect();
        for library in missing {
            self.seen.remove(&library);
            self.catalogue.gone(&library, None);
        }
        let whole = |s: &Seen| !s.done && !s.missing && now.saturating_duration_since(s.since) >= SETTLE;
        let due: Vec<PathBuf> = self.seen.iter().filter(|(_, s)| whole(s)).map(|(path, _)| path.clone()).collect();
        // In the order of their names, so that of two with one id it is always the same one that is used.
        for library in due {
            if self.loads.len() >= AT_ONCE {
                return;
            }
            self.look_at(library).await;
        }
    }

    fn tell(&mut self, error: String) {
        if self.told.as_ref() != Some(&error) {
            tracing::warn!("the plugin folder {} cannot be read: {error}", self.catalogue.folder().display());
            self.told = Some(error);
        }
    }

    fn note(&mut self, found: &BTreeMap<PathBuf, Pair>, now: Instant) {
        for (library, pair) in found {
            let whole_before = self.first && pair.is_older_than(SETTLE);
            let since = if whole_before { now.checked_sub(SETTLE).unwrap_or(now) } else { now };
            let new = || Seen { pair: pair.clone(), since, done: false, missing: false, id: None };
            let seen = self.seen.entry(library.clone()).or_insert_with(new);
            if seen.pair != *pair || seen.missing {
                *seen = Seen { id: seen.id.take(), ..new() };
            }
        }
        let there: BTreeSet<&PathBuf> = found.keys().collect();
        for (_, seen) in self.seen.iter_mut().filter(|(path, s)| !s.missing && !there.contains(path)) {
            seen.missing = true;
            seen.done = false;
            seen.since = now;
        }
    }

    /// Checks one library, and begins to load it if nothing speaks against it.
    async fn look_at(&mut self, library: PathBuf) {
        let path = library.clone();
        let checked = tokio::task::spawn_blocking(move || folder::check(&path)).await;
        let Some(seen) = self.seen.get_mut(&library) else { return };
        seen.done = true;
        let broken = |error| Err(Rejected { refusal: broken_off("checking", &error), manifest: None, hash: None });
        let checked = checked.unwrap_or_else(broken);
        let manifest = checked.as_ref().map_or_else(|rejected| rejected.manifest.as_ref(), |c| Some(&c.manifest));
        // Whatever is wrong with the file: by its manifest it is another plugin now, and no longer the one it was.
        if let Some(id) = manifest.map(|manifest| manifest.id.clone())
            && seen.id.replace(id.clone()).is_some_and(|before| before != id)
        {
            self.catalogue.gone(&library, Some(&id));
        }
        let rejected = match checked {
            Ok(checked) => match self.refusal(&library, &checked) {
                Some(refusal) => checked.rejected(refusal),
                None => return self.load(library, checked),
            },
            Err(rejected) => rejected,
        };
        self.catalogue.reject(&library, rejected);
    }

    /// What forbids to load it.
    fn refusal(&self, library: &Path, checked: &Checked) -> Option<Refusal> {
        let id = &checked.manifest.id;
        if let Some(other) = self.catalogue.holder(id, library) {
            return Some(Refusal::Duplicate { id: id.clone(), other });
        }
        if let Some((path, why)) = self.catalogue.store().unreadable() {
            return Some(Refusal::GrantsUnknown { path: path.to_owned(), why: why.to_owned() });
        }
        let kept = self.catalogue.store().get(id);
        let refusal = admission::refusal(&kept, checked);
        if refusal.is_none() && kept.grants.is_none() {
            // To put it into the folder grants what its manifest names.
            let asked = Grants::of(&checked.manifest);
            if let Err(error) = self.catalogue.store().change(id, |kept| kept.grants = Some(asked)) {
                tracing::error!(plugin = id, "{error}");
            }
        }
        refusal
    }

    fn load(&mut self, library: PathBuf, checked: Checked) {
        let Some(pair) = self.seen.get(&library).map(|seen| seen.pair.clone()) else { return };
        let Checked { manifest, library: mut file, hash } = checked;
        self.catalogue.loading(&library, manifest.clone(), &hash);
        let (copies, loader) = (self.copies.clone(), self.loader.clone());
        let of = (library.clone(), manifest.clone());
        let load = self.loads.spawn(async move {
            let name = library.clone();
            let copied = tokio::task::spawn_blocking(move || copies.make(&mut file, &name)).await;
            let copied = copied.unwrap_or_else(|e| Err(std::io::Error::other(e)));
            let result = match copied {
                Ok(copy) => load_copy(&*loader, copy, &library, &manifest).await,
                Err(error) => Err(Refusal::CannotOpen { why: format!("no private copy can be made: {error}") }),
            };
            Loaded { library, pair, manifest, hash, result }
        });
        self.loading.insert(load.id(), of);
    }

    /// Takes what was loaded into use, unless the file is another by now.
    fn commit(&mut self, loaded: Loaded) {
        let Loaded { library, pair, manifest, hash, result } = loaded;
        let Some(seen) = self.seen.get_mut(&library).filter(|seen| seen.pair == pair && !seen.missing) else { return };
        if matches!(result, Err(Refusal::NotStarted { .. })) {
            // No fault of the plugin's: it is tried again.
            (seen.done, seen.since) = (false, Instant::now() + folder::RESCAN);
        }
        // A person may have disabled it meanwhile.
        if self.catalogue.store().get(&manifest.id).disabled {
            let refusal = Refusal::Disabled { id: manifest.id.clone() };
            return self.catalogue.refuse(&library, Some(manifest), refusal);
        }
        match result {
            Ok(plugin) => self.catalogue.take_over(&library, plugin, hash),
            Err(refusal) => self.catalogue.refuse(&library, Some(manifest), refusal),
        }
    }
}

/// A bug of ours, said where a user looks for the plugin.
fn broken_off(what: &str, error: &JoinError) -> Refusal {
    Refusal::CannotOpen { why: format!("{what} it broke off ({error}); the log says more") }
}

async fn load_copy(
    loader: &dyn Loader,
    copy: PrivateCopy,
    library: &Path,
    manifest: &Manifest,
) -> Result<Plugin, Refusal> {
    let plugin = loaded(loader.load(copy.path()), library, manifest).await?;
    Ok(plugin.shown_as(library.to_owned()).holding(copy))
}

/// Waits for no longer than a load may take, and holds the library to the manifest beside it.
async fn loaded(
    loading: impl Future<Output = Result<Plugin, LoadError>>,
    library: &Path,
    manifest: &Manifest,
) -> Result<Plugin, Refusal> {
    let hung = || Refusal::Crashed { how: format!("it did not answer for {} s", LOAD_WITHIN.as_secs()) };
    let loading = tokio::time::timeout(LOAD_WITHIN, loading).await;
    let plugin = loading.map_err(|_| hung())?.map_err(|error| Refusal::of(error, library))?;
    if **plugin.manifest() != *manifest {
        return Err(Refusal::ManifestDiffers { at: difference(plugin.manifest(), manifest) });
    }
    Ok(plugin)
}

/// Tries whether a library could be used with this manifest beside it, in a process of its own.
pub async fn try_library(library: &Path, manifest: &Manifest) -> Result<(), Refusal> {
    loaded(Plugin::isolated(library, &Isolation::this_program()), library, manifest).await.map(drop)
}

/// A pointer to the first place where they differ.
fn difference(one: &Manifest, other: &Manifest) -> Option<String> {
    manifest::difference(&serde_json::to_value(one).ok()?, &serde_json::to_value(other).ok()?)
}

#[cfg(test)]
mod tests;
