//! One monitor per data folder, by a lock that ends with the process; beside it stands who holds it.

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::atomic;

const LOCK: &str = "monitor.lock";
/// Apart from the lock: what is locked cannot be read on Windows.
const HOLDER: &str = "monitor.json";

/// The running monitor of a data folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub pid: u32,
    /// `127.0.0.1:5000`; with port 0 the one that was given.
    pub listen: String,
}

/// Why this process is not the folder's monitor.
#[derive(Debug, thiserror::Error)]
pub enum NotAlone {
    #[error("already running: the ai-monitor that uses {} {}; `ai-monitor status` shows it. For a second one give --data-dir DIR and --listen ADDR", dir.display(), who(holder.as_ref()))]
    Held { dir: PathBuf, holder: Option<Holder> },
    #[error("cannot use the data folder {}: {source}; check that this user may write there, or give another one with --data-dir", dir.display())]
    Unusable { dir: PathBuf, source: std::io::Error },
}

fn who(holder: Option<&Holder>) -> String {
    match holder {
        Some(h) => format!("is process {} and listens on http://{}", h.pid, h.listen),
        None => "does not say where it listens".into(),
    }
}

/// Held for as long as this lives.
#[derive(Debug)]
pub struct OneMonitor {
    dir: PathBuf,
    _lock: File,
}

impl OneMonitor {
    /// Takes the folder (made where it is not there), and says where this monitor listens.
    pub fn take(dir: &Path, listen: &str) -> Result<OneMonitor, NotAlone> {
        let unusable = |source| NotAlone::Unusable { dir: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(unusable)?;
        let lock = open_lock(dir).map_err(unusable)?;
        match fs4::FileExt::try_lock(&lock) {
            Ok(()) => {}
            Err(fs4::TryLockError::WouldBlock) => {
                return Err(NotAlone::Held { dir: dir.to_owned(), holder: read_holder(dir) });
            }
            Err(fs4::TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let one = OneMonitor { dir: dir.to_owned(), _lock: lock };
        one.listens_on(listen).map_err(unusable)?;
        Ok(one)
    }

    /// Says where it really listens, once that is known.
    pub fn listens_on(&self, listen: &str) -> std::io::Result<()> {
        let holder = Holder { pid: std::process::id(), listen: listen.into() };
        atomic::write(&self.dir.join(HOLDER), serde_json::to_string(&holder)?.as_bytes())
    }
}

impl Drop for OneMonitor {
    fn drop(&mut self) {
        // Before the lock goes: a successor's file must not be taken away.
        let _ = std::fs::remove_file(self.dir.join(HOLDER));
    }
}

/// The monitor that runs with this data folder; `None`: none does, or it does not say.
pub fn holder(dir: &Path) -> Option<Holder> {
    let lock = OpenOptions::new().read(true).write(true).open(dir.join(LOCK)).ok()?;
    match fs4::FileExt::try_lock(&lock) {
        Err(fs4::TryLockError::WouldBlock) => read_holder(dir),
        _ => None,
    }
}

fn open_lock(dir: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(dir.join(LOCK))
}

fn read_holder(dir: &Path) -> Option<Holder> {
    serde_json::from_str(&std::fs::read_to_string(dir.join(HOLDER)).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_holds_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        assert_eq!(holder(&data), None);
        let first = OneMonitor::take(&data, "127.0.0.1:0").unwrap();
        first.listens_on("127.0.0.1:5050").unwrap();
        let error = OneMonitor::take(&data, "127.0.0.1:5000").unwrap_err().to_string();
        let pid = std::process::id();
        assert!(error.contains(&format!("is process {pid} and listens on http://127.0.0.1:5050")), "{error}");
        assert_eq!(holder(&data), Some(Holder { pid, listen: "127.0.0.1:5050".into() }));
        drop(first);
        assert_eq!(holder(&data), None);
        OneMonitor::take(&data, "127.0.0.1:5000").unwrap();
    }

    #[test]
    fn what_a_crash_leaves_holds_nobody_back() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(LOCK), "").unwrap();
        std::fs::write(dir.path().join(HOLDER), "{\"pid\": 1, \"listen\": \"x\"}").unwrap();
        assert_eq!(holder(dir.path()), None);
        OneMonitor::take(dir.path(), "127.0.0.1:5000").unwrap();
    }
}
