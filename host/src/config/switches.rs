//! What a person switched (enabled, debug, monitoring stopped): it outlives the monitor and wins over the configuration.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::atomic;

const FILE: &str = "switches.json";

/// All switches. What was never touched is absent, so that the configuration counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Switched {
    pub monitoring_stopped: bool,
    pub debug: bool,
    /// Target → enabled.
    pub enabled: BTreeMap<String, bool>,
    /// What a newer version wrote: kept for it.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// A switch could not be saved, and so was not moved.
#[derive(Debug, thiserror::Error)]
#[error("cannot save {}: {source}; check that its disk has space and that this user may write there", path.display())]
pub struct NotSaved {
    path: PathBuf,
    source: std::io::Error,
}

/// The switches of a data folder.
#[derive(Debug)]
pub struct Switches {
    path: PathBuf,
    state: Mutex<Switched>,
    notice: Option<String>,
}

impl Switches {
    /// Reads them. A file that is none is kept aside as `.corrupt-TIME`, said aloud ([`Switches::notice`]), and the
    /// defaults apply; one that cannot be read stays where it is.
    pub fn open(data: &Path) -> Switches {
        let path = data.join(FILE);
        let (state, notice) = match std::fs::read_to_string(&path) {
            Ok(text) => match serde_json::from_str(&text) {
                Ok(state) => (state, None),
                Err(error) => (Switched::default(), Some(keep_aside(&path, &error))),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (Switched::default(), None),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                (Switched::default(), Some(keep_aside(&path, &error)))
            }
            Err(error) => {
                let text = format!("cannot read {}: {error}; what was switched before is not known", path.display());
                (Switched::default(), Some(text))
            }
        };
        if let Some(notice) = &notice {
            tracing::warn!("{notice}");
        }
        Switches { path, state: Mutex::new(state), notice }
    }

    /// What a person should know, for as long as the monitor runs.
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    pub fn get(&self) -> Switched {
        self.lock().clone()
    }

    /// Is this target watched? `configured`: what the file says.
    pub fn is_enabled(&self, target: &str, configured: bool) -> bool {
        self.lock().enabled.get(target).copied().unwrap_or(configured)
    }

    /// `Ok(false)`: it was so already.
    pub fn set_monitoring(&self, active: bool) -> Result<bool, NotSaved> {
        self.change(|s| s.monitoring_stopped = !active)
    }

    /// `Ok(false)`: it was so already.
    pub fn set_debug(&self, on: bool) -> Result<bool, NotSaved> {
        self.change(|s| s.debug = on)
    }

    /// `Ok(false)`: the same had been switched already (not: configured).
    pub fn set_enabled(&self, target: &str, enabled: bool) -> Result<bool, NotSaved> {
        self.change(|s| _ = s.enabled.insert(target.into(), enabled))
    }

    /// Saves first: in memory nothing changes that would not survive.
    fn change(&self, set: impl FnOnce(&mut Switched)) -> Result<bool, NotSaved> {
        let mut state = self.lock();
        let mut changed = state.clone();
        set(&mut changed);
        if changed == *state {
            return Ok(false);
        }
        let not_saved = |source| NotSaved { path: self.path.clone(), source };
        let text = serde_json::to_string_pretty(&changed).map_err(|e| not_saved(e.into()))?;
        atomic::write(&self.path, text.as_bytes()).map_err(not_saved)?;
        *state = changed;
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, Switched> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Moves the file away and says so.
fn keep_aside(path: &Path, error: &dyn std::fmt::Display) -> String {
    let kept = match atomic::keep_aside(path) {
        Ok(aside) => format!("it is kept as {}", aside.display()),
        Err(_) => "it could not be moved away".into(),
    };
    format!(
        "{} is broken ({error}): {kept}, and nothing counts as switched: all monitoring is on, debug is off, targets are as configured",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_switched_outlives_the_monitor() {
        let dir = tempfile::tempdir().unwrap();
        let switches = Switches::open(dir.path());
        assert!(switches.is_enabled("a", true) && !switches.is_enabled("a", false), "the configuration counts");
        assert!(switches.set_enabled("a", false).unwrap());
        assert!(switches.set_monitoring(false).unwrap());
        assert!(switches.set_debug(true).unwrap());
        assert!(!switches.set_debug(true).unwrap(), "so already");
        let again = Switches::open(dir.path());
        assert_eq!(again.get(), switches.get());
        assert!(!again.is_enabled("a", true), "the switch wins");
        assert!(again.get().monitoring_stopped && again.get().debug);
        assert_eq!(again.notice(), None);
        let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, [FILE], "no temporary file is left");
    }

    #[test]
    fn a_broken_file_is_kept_aside_aloud() {
        for broken in [&b"{\"debug\": tr"[..], b"", b"\xff\xfe", b"{\"debug\": 7}"] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join(FILE), broken).unwrap();
            let switches = Switches::open(dir.path());
            assert_eq!(switches.get(), Switched::default());
            let notice = switches.notice().unwrap();
            let kept = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap();
            assert!(notice.contains("is broken") && notice.contains(kept.file_name().to_str().unwrap()), "{notice}");
            assert_eq!(std::fs::read(kept.path()).unwrap(), broken);
            assert!(switches.set_debug(true).unwrap());
            assert!(Switches::open(dir.path()).get().debug);
        }
    }

    #[test]
    fn what_cannot_be_saved_is_not_switched() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let switches = Switches::open(&file.join("data"));
        let error = switches.set_debug(true).unwrap_err().to_string();
        assert!(error.contains("cannot save"), "{error}");
        assert!(!switches.get().debug);
    }

    #[test]
    fn what_a_newer_version_wrote_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "{\"repairs_stopped\": true, \"debug\": true}").unwrap();
        Switches::open(dir.path()).set_debug(false).unwrap();
        let text = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert!(text.contains("repairs_stopped"), "{text}");
    }
}
