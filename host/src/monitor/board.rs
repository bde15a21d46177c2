//! The snapshot that everybody reads: target tasks put their view, readers take the whole, and every change wakes all
//! who wait.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::sync::watch;

use super::view::{Snapshot, TargetView};

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
}

#[derive(Debug)]
struct Parts {
    own: Own,
    /// In the order of the configuration.
    order: Vec<String>,
    targets: BTreeMap<String, TargetView>,
}

/// One per process.
#[derive(Debug)]
pub struct Board {
    parts: std::sync::Mutex<Parts>,
    snapshot: ArcSwap<Snapshot>,
    changes: watch::Sender<u64>,
}

impl Board {
    pub fn new(own: Own) -> Board {
        let parts = Parts { own, order: Vec::new(), targets: BTreeMap::new() };
        let snapshot = ArcSwap::from_pointee(compose(&parts));
        Board { parts: std::sync::Mutex::new(parts), snapshot, changes: watch::Sender::new(0) }
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub fn put(&self, view: TargetView) {
        self.edit(|parts| {
            if !parts.targets.contains_key(&view.name) {
                parts.order.push(view.name.clone());
            }
            parts.targets.insert(view.name.clone(), view);
        });
    }

    pub fn own(&self, edit: impl FnOnce(&mut Own)) {
        self.edit(|parts| edit(&mut parts.own));
    }

    /// Says or takes back a trouble of the monitor itself.
    pub fn trouble(&self, what: &str, text: Option<String>) {
        let same = |parts: &Parts| parts.own.troubles.get(what) == text.as_ref();
        if self.parts.lock().map(|p| same(&p)).unwrap_or(false) {
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
        let Ok(mut parts) = self.parts.lock() else { return };
        edit(&mut parts);
        self.snapshot.store(Arc::new(compose(&parts)));
        drop(parts);
        self.changes.send_modify(|n| *n += 1);
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
        troubles: own.troubles.values().cloned().collect(),
        monitoring_active: own.monitoring_active,
        debug_mode: own.debug_mode,
        check_interval: own.check_interval,
        targets: parts.order.iter().filter_map(|name| parts.targets.get(name)).cloned().collect(),
    }
}
