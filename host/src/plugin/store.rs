//! What is kept of dropped-in plugins over the monitor's end: grants, what is disabled, and quarantines.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Grants;
use crate::config::write_atomically;

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
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// It could not be saved, and so was not changed.
#[derive(Debug, thiserror::Error)]
#[error("cannot save {}: {source}; check that its disk has space and that this user may write there", path.display())]
pub struct NotKept {
    path: PathBuf,
    source: std::io::Error,
}

/// The file in the data folder.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    book: Mutex<Book>,
    notice: Option<String>,
}

impl Store {
    /// Reads it. A file that is none is kept aside and said aloud ([`Store::notice`]): then nothing counts as granted
    /// before, and what lies in the folder is granted as at its first sight.
    pub fn open(data: &Path) -> Store {
        let path = data.join(FILE);
        let (book, notice) = match std::fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(book) => (book, None),
                Err(error) => (Book::default(), Some(keep_aside(&path, &error))),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (Book::default(), None),
            Err(error) => {
                (Book::default(), Some(format!("cannot read {}: {error}; grants are not known", path.display())))
            }
        };
        if let Some(notice) = &notice {
            tracing::warn!("{notice}");
        }
        Store { path, book: Mutex::new(book), notice }
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
        self.lock().plugins.get(id).cloned().unwrap_or_default()
    }

    /// Every id that was once seen in the folder.
    pub fn ids(&self) -> Vec<String> {
        self.lock().plugins.keys().cloned().collect()
    }

    /// Saves first: in memory nothing changes that would not survive. `Ok(false)`: it was so already.
    pub fn change(&self, id: &str, edit: impl FnOnce(&mut Kept)) -> Result<bool, NotKept> {
        let mut book = self.lock();
        let mut changed = book.clone();
        edit(changed.plugins.entry(id.to_owned()).or_default());
        if changed == *book {
            return Ok(false);
        }
        let not_kept = |source| NotKept { path: self.path.clone(), source };
        let text = serde_json::to_string_pretty(&changed).map_err(|e| not_kept(e.into()))?;
        write_atomically(&self.path, text.as_bytes()).map_err(not_kept)?;
        *book = changed;
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep_aside(path: &Path, error: &serde_json::Error) -> String {
    let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let aside = path.with_file_name(format!("{FILE}.corrupt-{time}"));
    let kept = match std::fs::rename(path, &aside) {
        Ok(()) => format!("it is kept as {}", aside.display()),
        Err(_) => "it could not be moved away".into(),
    };
    format!(
        "{} is broken ({error}): {kept}; what the plugin folder holds is granted anew, and nothing is quarantined",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_a_newer_version_wrote_is_kept() {
        let data = tempfile::tempdir().unwrap();
        let text = r#"{"plugins":{"mine":{"disabled":true,"signed_by":"us"}},"channels":["stable"]}"#;
        std::fs::write(data.path().join(FILE), text).unwrap();
        Store::open(data.path()).change("mine", |kept| kept.disabled = false).unwrap();
        let text = std::fs::read_to_string(data.path().join(FILE)).unwrap();
        assert!(text.contains("signed_by") && text.contains("channels"), "{text}");
    }
}
