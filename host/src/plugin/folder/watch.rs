//! Wakes when something in the folder may have changed: by the system's events where there are any, and by time, since
//! some file systems tell nothing.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use tokio::sync::Notify;

/// How often it is looked without an event.
pub const RESCAN: Duration = Duration::from_secs(5);

/// Watches one folder, which need not be there yet.
pub struct FolderWatch {
    folder: PathBuf,
    changed: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    told: bool,
}

impl FolderWatch {
    pub fn new(folder: &Path, changed: Arc<Notify>) -> FolderWatch {
        let mut watch = FolderWatch { folder: folder.to_owned(), changed, watcher: None, told: false };
        watch.begin();
        watch
    }

    /// Watches the folder where it does not yet: it may have come, or come again.
    pub fn begin(&mut self) {
        if self.watcher.is_some() && self.folder.is_dir() {
            return;
        }
        self.watcher = None;
        if !self.folder.is_dir() {
            return;
        }
        let changed = self.changed.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Our own reading must not wake us again.
            let read = |kind: &EventKind| matches!(kind, EventKind::Access(access) if *access != AccessKind::Close(AccessMode::Write));
            if event.is_ok_and(|event| read(&event.kind)) {
                return;
            }
            changed.notify_one();
        });
        let watching = watcher.and_then(|mut watcher| {
            watcher.watch(&self.folder, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        match watching {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) if !self.told => {
                self.told = true;
                let (folder, seconds) = (self.folder.display(), RESCAN.as_secs());
                tracing::warn!("{folder} cannot be watched ({error}): it is looked at every {seconds} s");
            }
            Err(_) => {}
        }
    }
}
