//! The snapshot that everybody reads: target tasks put their view, readers take the whole, and every change wakes all
//! who wait.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::watch;

use super::view::{Snapshot, TargetView};
use crate::plugin::PluginsView;

/// What is true of the monitor itself.
#[derive(Debug, Clone, Default)]
pub struct Own {
    pub listen: String,
    pub data_dir: String,
    pub config_file: Option<String>,
    pub config_path: String,
    /// Without a configuration file: where discovery looks.
    pub looked_at: Vec<String>,
    pub monitoring_active: bool,
    pub debug_mode: bool,
    /// s
    pub check_interval: f64,
    /// Troubles by what they concern: `journal`, `policy NAME`, …
    pub troubles: BTreeMap<String, String>,
    pub plugins: PluginsView,
}

#[derive(Debug)]
struct Parts {
    own: Own,
    /// In the order of the configuration.
    order: Vec<String>,
    targets: BTreeMap<String, TargetView>,
    /// Composed when it is asked for, until the next change: most changes are read by nobody, and composing copies
    /// every target.
    composed: Option<Arc<Snapshot>>,
}

/// One per process.
#[derive(Debug)]
pub struct Board {
    parts: Mutex<Parts>,
    changes: watch::Sender<u64>,
    /// Counts up when a target is put here for the first time.
    targets: watch::Sender<u64>,
}

impl Board {
    pub fn new(own: Own) -> Board {
        let parts = Parts { own, order: Vec::new(), targets: BTreeMap::new(), composed: None };
        Board { parts: Mutex::new(parts), changes: watch::Sender::new(0), targets: watch::Sender::new(0) }
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        let mut parts = self.parts();
        if let Some(snapshot) = &parts.composed {
            return snapshot.clone();
        }
        let snapshot = Arc::new(compose(&parts));
        parts.composed = Some(snapshot.clone());
        snapshot
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Wakes when there are more targets: far rarer than [`Self::changes`].
    pub fn more_targets(&self) -> watch::Receiver<u64> {
        self.targets.subscribe()
    }

    pub fn put(&self, view: TargetView) {
        let mut is_new = false;
        self.edit(|parts| {
            is_new = !parts.targets.contains_key(&view.name);
            if is_new {
                parts.order.push(view.name.clone());
            }
            parts.targets.insert(view.name.clone(), view);
        });
        if is_new {
            self.targets.send_modify(|n| *n += 1);
        }
    }

    pub fn own(&self, edit: impl FnOnce(&mut Own)) {
        self.edit(|parts| edit(&mut parts.own));
    }

    /// Says or takes back a trouble of the monitor itself.
    pub fn trouble(&self, what: &str, text: Option<String>) {
        let same = |parts: &Parts| parts.own.troubles.get(what) == text.as_ref();
        if same(&self.parts()) {
            return;
        }
        self.edit(|parts| {
            match text {
                Some(text) => parts.own.troubles.insert(what.to_owned(), text),
                None => parts.own.troubles.remove(what),
            };
        });
    }

    fn edit(&self, edit: impl FnOnce(&mut Parts)) {
        let mut parts = self.parts();
        edit(&mut parts);
        parts.composed = None;
        drop(parts);
        self.changes.send_modify(|n| *n += 1);
    }

    /// A panic of another task must not blind those who read: what the lock guards is whole after each edit.
    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn compose(parts: &Parts) -> Snapshot {
    let own = &parts.own;
    Snapshot {
        at: Timestamp::now(),
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        listen: own.listen.clone(),
        data_dir: own.data_dir.clone(),
        config_file: own.config_file.clone(),
        config_path: own.config_path.clone(),
        looked_at: own.looked_at.clone(),
        plugins: own.plugins.clone(),
        troubles: own.troubles.values().cloned().collect(),
        monitoring_active: own.monitoring_active,
        debug_mode: own.debug_mode,
        check_interval: own.check_interval,
        targets: parts.order.iter().filter_map(|name| parts.targets.get(name)).cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_composed_once_and_anew_after_a_change() {
        let board = Board::new(Own::default());
        let mut changes = board.changes();
        let first = board.snapshot();
        assert!(Arc::ptr_eq(&first, &board.snapshot()));
        board.own(|own| own.debug_mode = true);
        assert!(changes.has_changed().is_ok_and(|changed| changed));
        changes.mark_unchanged();
        assert!(board.snapshot().debug_mode && !first.debug_mode);
        board.trouble("journal", None);
        assert!(changes.has_changed().is_ok_and(|changed| !changed), "what is so already is no change");
    }
}
