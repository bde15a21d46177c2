//! What is kept of dropped-in plugins over the monitor's end: grants, what is disabled, and quarantines.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};

use super::Grants;
use crate::config::{keep_aside, write_atomically};

const FILE: &str = "plugins.json";

/// One plugin id.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// What a user granted; `None`: never seen in the folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grants: Option<Grants>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<Quarantine>,
    /// What a newer version wrote: kept for it.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Until a person releases it, or the file is another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    pub at: Timestamp,
    pub reason: String,
    /// SHA-256 of the library, in hexadecimal.
    pub library: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Book {
    plugins: BTreeMap<String, Kept>,
    /// An earlier file was broken: what was granted, disabled and quarantined before is not known. From then on a plugin
    /// without an entry waits for consent, for it may be one of those.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    forgotten: bool,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Book {
    /// Of an id without an entry.
    fn unseen(&self) -> Kept {
        Kept { grants: self.forgotten.then(Grants::default), ..Kept::default() }
    }
}

/// It could not be saved, and so was not changed.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    #[error("cannot save {}: {source}; check that its disk has space and that this user may write there", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("{} is left as it is, for it could not be read ({why}): make it readable for this user, and start ai-monitor again", path.display())]
    NeverRead { path: PathBuf, why: String },
}

/// What was kept is not known. The file is left as it is.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot read {}: {source}; it has what you granted to plugins. Make it readable for this user", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{} is broken ({source}); it has what you granted to plugins. Mend it, or start ai-monitor, which keeps it aside and says where", path.display())]
    Broken { path: PathBuf, source: serde_json::Error },
}

/// The file in the data folder.
#[derive(Debug)]
pub struct Store {
    /// `None`: nothing is kept over the end of this process.
    path: Option<PathBuf>,
    /// Never held while the disk is waited for: each look asks it.
    book: Mutex<Book>,
    /// Held by the one that changes it, from its reading to its saving.
    changing: Mutex<()>,
    /// The file is there and could not be read: it is not written over.
    unreadable: Option<String>,
    notice: Option<String>,
}

impl Store {
    /// Reads it and changes nothing: for commands beside the monitor. Where there is no file, nothing is kept yet.
    pub fn read(data: &Path) -> Result<Store, StoreError> {
        let path = data.join(FILE);
        let book = match std::fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(book) => book,
                Err(source) => return Err(StoreError::Broken { path, source }),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Book::default(),
            Err(source) => return Err(StoreError::Unreadable { path, source }),
        };
        Ok(Store { path: Some(path), ..Store::in_memory(book) })
    }

    /// Reads it, for the monitor, which must go on. A file that is none is kept aside and said aloud
    /// ([`Store::notice`]): then nothing counts as granted, and what lies in the folder waits for consent. One that
    /// cannot be read stays as it is, and until it can be, no plugin of the folder is loaded ([`Store::unreadable`]).
    pub fn open(data: &Path) -> Store {
        let error = match Store::read(data) {
            Ok(store) => return store,
            Err(error) => error,
        };
        let forgotten = Book { forgotten: true, ..Book::default() };
        let (path, why, aside) = match error {
            StoreError::Unreadable { path, source } => (path, source.to_string(), None),
            StoreError::Broken { path, source } => {
                let moved = keep_aside(&path).map_err(|error| format!("it cannot be moved away: {error}"));
                // At once: the next start must know it, too.
                let saved = moved.and_then(|aside| {
                    write(&path, &forgotten)
                        .map_err(|error| format!("a new one cannot be saved: {error}"))
                        .map(|()| aside)
                });
                match saved {
                    Ok(aside) => (path, source.to_string(), Some(aside)),
                    Err(error) => (path, format!("it is broken ({source}), and {error}"), None),
                }
            }
        };
        let shown = path.display();
        let notice = match &aside {
            Some(aside) => format!(
                "{shown} is broken ({why}): it is kept as {}; what you granted to plugins, disabled or had in quarantine is not known any more, so each plugin of the folder waits for consent: ai-monitor plugin list",
                aside.display()
            ),
            None => format!(
                "cannot read {shown}: {why}; what you granted to plugins is not known, so none of the plugin folder is loaded. Make it readable for this user, and start ai-monitor again"
            ),
        };
        tracing::warn!("{notice}");
        let unreadable = aside.is_none().then_some(why);
        Store { path: Some(path), unreadable, notice: Some(notice), ..Store::in_memory(forgotten) }
    }

    /// Nothing is kept over the end of this process.
    pub fn of_this_process() -> Store {
        Store::in_memory(Book::default())
    }

    fn in_memory(book: Book) -> Store {
        Store { path: None, book: Mutex::new(book), changing: Mutex::new(()), unreadable: None, notice: None }
    }

    /// The file, and why nothing is known of what was granted before.
    pub fn unreadable(&self) -> Option<(&Path, &str)> {
        self.path.as_deref().zip(self.unreadable.as_deref())
    }

    /// The ids that a data folder's file names; nothing where there is none, or none that can be read.
    pub fn ids_in(data: &Path) -> Vec<String> {
        let bytes = std::fs::read(data.join(FILE)).unwrap_or_default();
        serde_json::from_slice::<Book>(&bytes).map(|book| book.plugins.into_keys().collect()).unwrap_or_default()
    }

    /// What a person should know, for as long as the monitor runs.
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    pub fn get(&self, id: &str) -> Kept {
        let book = self.lock();
        book.plugins.get(id).cloned().unwrap_or_else(|| book.unseen())
    }

    /// Every id that was once seen in the folder.
    pub fn ids(&self) -> Vec<String> {
        self.lock().plugins.keys().cloned().collect()
    }

    /// Saves first: in memory nothing changes that would not survive. `Ok(false)`: it was so already.
    pub fn change(&self, id: &str, edit: impl FnOnce(&mut Kept)) -> Result<bool, NotKept> {
        off_the_runtime(|| {
            let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            let before = self.lock().clone();
            let mut changed = before.clone();
            let unseen = changed.unseen();
            edit(changed.plugins.entry(id.to_owned()).or_insert(unseen));
            if changed == before {
                return Ok(false);
            }
            if let Some(path) = &self.path {
                self.save(path, &changed)?;
            }
            *self.lock() = changed;
            Ok(true)
        })
    }

    fn save(&self, path: &Path, book: &Book) -> Result<(), NotKept> {
        if let Some(why) = &self.unreadable {
            return Err(NotKept::NeverRead { path: path.to_owned(), why: why.clone() });
        }
        write(path, book).map_err(|source| NotKept::Write { path: path.to_owned(), source })
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(path: &Path, book: &Book) -> std::io::Result<()> {
    write_atomically(path, serde_json::to_string_pretty(book)?.as_bytes())
}

/// Waits for the disk without holding up the tasks that would run on this thread meanwhile.
fn off_the_runtime<T>(work: impl FnOnce() -> T) -> T {
    let many_threads = |runtime: Handle| runtime.runtime_flavor() == RuntimeFlavor::MultiThread;
    if Handle::try_current().is_ok_and(many_threads) { block_in_place(work) } else { work() }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use super::*;

    #[test]
    fn what_is_kept_is_known_while_a_change_is_being_saved() {
        let store = Store::of_this_process();
        let ((begun, begins), (go, goes_on)) = (mpsc::channel(), mpsc::channel());
        thread::scope(|scope| {
            let store = &store;
            let changes = scope.spawn(move || {
                store.change("mine", |kept| {
                    begun.send(()).unwrap();
                    let _ = goes_on.recv();
                    kept.disabled = true;
                })
            });
            begins.recv().unwrap();
            let (tell, told) = mpsc::channel();
            scope.spawn(move || tell.send(store.get("mine").disabled));
            let told = told.recv_timeout(Duration::from_secs(20));
            go.send(()).unwrap();
            assert_eq!(told, Ok(false), "nobody waits for the disk to know it");
            assert!(changes.join().unwrap().unwrap());
        });
        assert!(store.get("mine").disabled);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_change_is_saved_from_a_task_as_well() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().to_owned();
        let saved = tokio::spawn(async move { Store::open(&path).change("mine", |kept| kept.disabled = true) });
        assert!(saved.await.unwrap().unwrap());
        assert!(Store::open(data.path()).get("mine").disabled);
    }

    #[test]
    fn what_is_kept_outlives_the_monitor() {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(data.path());
        assert_eq!(store.get("mine"), Kept::default());
        let quarantine = Quarantine { at: Timestamp::UNIX_EPOCH, reason: "it crashed".into(), library: "ab12".into() };
        assert!(store.change("mine", |kept| kept.quarantine = Some(quarantine.clone())).unwrap());
        assert!(!store.change("mine", |kept| kept.quarantine = Some(quarantine.clone())).unwrap(), "so already");
        assert!(store.change("other", |kept| kept.grants = Some(Grants::default())).unwrap());
        let again = Store::open(data.path());
        assert_eq!(again.get("mine").quarantine, Some(quarantine));
        assert_eq!(again.ids(), ["mine", "other"]);
        assert_eq!(again.notice(), None);
    }

    #[test]
    fn a_broken_file_is_kept_aside_aloud() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join(FILE), "{\"plugins\": 7").unwrap();
        let store = Store::open(data.path());
        let notice = store.notice().unwrap();
        assert!(notice.contains("is broken") && notice.contains(".corrupt-"), "{notice}");
        assert!(store.change("mine", |kept| kept.disabled = true).unwrap());
        assert!(Store::open(data.path()).get("mine").disabled);
    }

    #[test]
    fn after_a_broken_file_nothing_is_granted_by_lying_in_the_folder_also_after_the_next_start() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(Store::open(data.path()).get("mine").grants, None, "never seen");
        std::fs::write(data.path().join(FILE), "x").unwrap();
        drop(Store::open(data.path()));
        let again = Store::open(data.path());
        assert_eq!(again.notice(), None);
        assert_eq!(again.get("mine").grants, Some(Grants::default()));
        again.change("mine", |kept| kept.disabled = true).unwrap();
        for id in ["mine", "other"] {
            assert_eq!(Store::open(data.path()).get(id).grants, Some(Grants::default()), "{id}");
        }
    }

    #[test]
    fn to_read_a_broken_file_leaves_it_where_it_is() {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join(FILE);
        std::fs::write(&file, "{\"plugins\": 7").unwrap();
        let error = Store::read(data.path()).unwrap_err().to_string();
        assert!(error.contains("is broken") && error.contains(FILE), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), b"{\"plugins\": 7");
        let names: Vec<_> = std::fs::read_dir(data.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, [FILE]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_written_over() {
        let data = tempfile::tempdir().unwrap();
        // A folder in its place: as unreadable to root as to anybody.
        let file = data.path().join(FILE);
        std::fs::create_dir(&file).unwrap();
        assert!(matches!(Store::read(data.path()), Err(StoreError::Unreadable { .. })));
        let store = Store::open(data.path());
        assert!(store.unreadable().is_some());
        assert!(store.notice().unwrap().contains("none of the plugin folder is loaded"), "{:?}", store.notice());
        let error = store.change("mine", |kept| kept.disabled = true).unwrap_err().to_string();
        assert!(error.contains("is left as it is"), "{error}");
        assert!(!store.get("mine").disabled && file.is_dir());
    }

    #[test]
    fn two_broken_files_of_one_second_are_both_kept() {
        let data = tempfile::tempdir().unwrap();
        for text in ["{", "["] {
            std::fs::write(data.path().join(FILE), text).unwrap();
            assert!(Store::open(data.path()).notice().is_some());
        }
        // And the new one.
        assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 3);
    }

    #[test]
    fn what_a_newer_version_wrote_is_kept() {
        let data = tempfile::tempdir().unwrap();
        let text = r#"{"plugins":{"mine":{"disabled":true,"signed_by":"us"}},"channels":["stable"]}"#;
        std::fs::write(data.path().join(FILE), text).unwrap();
        Store::open(data.path()).change("mine", |kept| kept.disabled = false).unwrap();
        let text = std::fs::read_to_string(data.path().join(FILE)).unwrap();
        assert!(text.contains("signed_by") && text.contains("channels"), "{text}");
    }
}
