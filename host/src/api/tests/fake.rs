//! A monitor that does what it is told at once, and a server in front of it.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use jiff::Timestamp;
use serde_json::json;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{ApiSettings, Limits, router, serve},
    health::{
        signals::Owner,
        state::State::{self, *},
    },
    journal::{Journal, record::IncidentId},
    monitor::{
        handle::{Answer, Handle, Manage, SwitchError, UnknownTarget},
        view::{HealAnswer, Snapshot, TargetView},
    },
    plugin::{ManageError, PluginState, PluginsView},
};

/// The moment at which everything of the fake was looked at.
pub const AT: &str = "2026-11-24T12:00:00.123456789Z";
/// Heals of this one do not succeed.
pub const STUBBORN: &str = "stubborn";
/// A name that must be percent-encoded in a path.
pub const SPACED: &str = "my model/1 ü";

pub fn target(name: &str, state: State) -> TargetView {
    let looked = (state != Unknown).then(|| AT.parse().unwrap());
    TargetView {
        name: name.into(),
        backend: "ollama".into(),
        label: "Ollama".into(),
        url: "http://127.0.0.1:11434".into(),
        port: 11434,
        address: None,
        enabled: state != Disabled,
        found: false,
        state,
        why: format!("{name} is {}", state.as_str()),
        step: None,
        since: None,
        fault: None,
        incident: None,
        last_incident: None,
        version: Some("0.32.15".into()),
        variant: None,
        models: serde_json::from_value(json!([{ "id": "llama3.2:3b", "size_bytes": 2_600_000_000u64 }])).unwrap(),
        owner: Owner::Command,
        owner_text: "its command is configured".into(),
        hint: None,
        process_id: None,
        last_check: looked,
        last_success: looked,
        restart_count: 0,
        error_message: None,
        response_time: looked.map(|_| 2.5),
        health_endpoint: "/api/version".into(),
        timeout: 5.0,
        restart_delay: 10.0,
        max_restart_attempts: 3,
        policy: "default".into(),
        dry_run: false,
    }
}

pub fn snapshot(targets: Vec<TargetView>) -> Snapshot {
    Snapshot {
        at: AT.parse().unwrap(),
        version: "0.1.0".into(),
        pid: 4711,
        listen: "127.0.0.1:5000".into(),
        data_dir: "/data".into(),
        config_file: Some("/config.toml".into()),
        config_path: "/config.toml".into(),
        looked_at: Vec::new(),
        plugins: Default::default(),
        troubles: Vec::new(),
        monitoring_active: true,
        debug_mode: false,
        check_interval: 30.0,
        targets,
    }
}

/// A good bundled plugin, one that waits for consent, one in quarantine, and a file that is none.
pub fn plugins() -> PluginsView {
    let view = json!({
        "safe_mode": false, "folder": "/data/plugins",
        "plugins": [
            plugin("acme-probe", "folder", "quarantined", json!({
                "why": "quarantined after 3 failures in a row: liveness: it crashed: SIGSEGV", "failures": 3,
                "last_failure": {"at": AT, "session": "liveness", "reason": "it crashed: SIGSEGV"},
                "problem": {"code": "quarantined", "text": "it is quarantined", "remedy": "ai-monitor plugin release acme-probe"},
                "targets": ["acme"],
            })),
            plugin("mine", "folder", "ready", json!({
                "why": "in use; the file there now is not: it asks for more than was granted",
                "next_version": "2", "asks_for": {"liveness": {"routes": ["POST /x"]}},
                "problem": {"code": "awaiting_consent", "text": "it asks for more", "remedy": "ai-monitor plugin consent mine"},
            })),
            plugin("ollama", "bundled", "ready", json!({"why": "bundled", "targets": ["ollama"]})),
        ],
        "files": [{"file": "/data/plugins/libold.so", "problem": {
            "code": "other_abi", "text": "it was built for ABI 2, this monitor speaks 1",
            "remedy": "get or build the plugin for this version of ai-monitor"}}],
    });
    serde_json::from_value(view).unwrap()
}

fn plugin(id: &str, origin: &str, state: &str, more: serde_json::Value) -> serde_json::Value {
    let library = (origin == "folder").then(|| format!("/data/plugins/lib{id}.so"));
    let mut plugin = json!({
        "id": id, "label": id, "version": "1", "contract": "1.0", "abi": 1, "origin": origin, "library": library,
        "replaces_bundled": false, "state": state, "why": "", "problem": null, "next_version": null,
        "granted": {"liveness": {"routes": ["GET /"]}}, "asks_for": null, "failures": 0, "last_failure": null,
        "retry_at": null, "targets": [],
    });
    let fields = plugin.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    plugin
}

/// One target of each kind that the calls tell apart.
pub fn usual() -> Snapshot {
    let offline = TargetView {
        error_message: Some("connection refused".into()),
        response_time: None,
        last_success: None,
        restart_count: 2,
        ..target("coder", Offline)
    };
    let online = TargetView { process_id: Some(48190), ..target("ollama", Online) };
    snapshot(vec![
        online,
        offline,
        target(STUBBORN, Failed),
        target("mending", Healing),
        target("off", Disabled),
        target(SPACED, Busy),
    ])
}

pub struct FakeMonitor {
    snapshot: Mutex<Arc<Snapshot>>,
    number: watch::Sender<u64>,
    /// Nothing can be saved.
    pub read_only: bool,
    /// What was healed, with `force`.
    pub healed: Mutex<Vec<(String, bool)>>,
    /// What was done with plugins.
    pub managed: Mutex<Vec<(String, Manage)>>,
    /// A heal waits until this is true.
    pub let_go: watch::Sender<bool>,
    /// Heals that have begun.
    pub begun: watch::Sender<usize>,
    journal: Arc<Journal>,
}

impl FakeMonitor {
    pub fn new(snapshot: Snapshot) -> FakeMonitor {
        FakeMonitor {
            snapshot: Mutex::new(Arc::new(snapshot)),
            number: watch::Sender::new(1),
            read_only: false,
            healed: Mutex::default(),
            managed: Mutex::default(),
            let_go: watch::Sender::new(true),
            begun: watch::Sender::new(0),
            journal: Journal::in_memory(),
        }
    }

    /// What the calls have left.
    pub fn snapshot_now(&self) -> Arc<Snapshot> {
        Handle::snapshot(self)
    }

    pub fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut held = self.snapshot.lock().unwrap();
        let mut snapshot = (**held).clone();
        change(&mut snapshot);
        *held = Arc::new(snapshot);
        self.number.send_modify(|n| *n += 1);
    }

    fn switch(&self, was: bool, on: bool, change: impl FnOnce(&mut Snapshot)) -> Result<bool, SwitchError> {
        if self.read_only {
            return Err(SwitchError::NotSaved("state.json: no space left on device".into()));
        }
        self.change(change);
        Ok(was != on)
    }

    fn known(&self, name: &str) -> Result<TargetView, UnknownTarget> {
        let snapshot = self.snapshot();
        let names: Vec<&str> = snapshot.targets.iter().map(|t| t.name.as_str()).collect();
        let found = snapshot.targets.iter().find(|t| t.name == name).cloned();
        found.ok_or_else(|| UnknownTarget { name: name.into(), known: names.join(", ") })
    }
}

impl Handle for FakeMonitor {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.lock().unwrap().clone()
    }

    fn changed(&self, seen: u64) -> Answer<'_, u64> {
        Box::pin(async move {
            let mut number = self.number.subscribe();
            *number.wait_for(|n| *n != seen).await.unwrap()
        })
    }

    fn set_monitoring(&self, active: bool) -> Answer<'_, Result<bool, SwitchError>> {
        let was = self.snapshot().monitoring_active;
        Box::pin(async move { self.switch(was, active, |s| s.monitoring_active = active) })
    }

    fn set_debug(&self, on: bool) -> Answer<'_, Result<bool, SwitchError>> {
        let was = self.snapshot().debug_mode;
        Box::pin(async move { self.switch(was, on, |s| s.debug_mode = on) })
    }

    fn set_enabled(&self, name: &str, enabled: bool) -> Answer<'_, Result<bool, SwitchError>> {
        let found = self.known(name);
        Box::pin(async move {
            let found = found?;
            self.switch(found.enabled, enabled, |snapshot| {
                for target in snapshot.targets.iter_mut().filter(|t| t.name == found.name) {
                    target.enabled = enabled;
                    target.state = if enabled { Online } else { Disabled };
                }
            })
        })
    }

    fn heal(&self, name: &str, force: bool) -> Answer<'_, Result<HealAnswer, UnknownTarget>> {
        let found = self.known(name);
        Box::pin(async move {
            let found = found?;
            self.begun.send_modify(|n| *n += 1);
            self.let_go.subscribe().wait_for(|go| *go).await.unwrap();
            self.healed.lock().unwrap().push((found.name.clone(), force));
            let success = found.enabled && found.name != STUBBORN;
            if success {
                self.change(|snapshot| {
                    let down = HashSet::from([Offline, Healing]);
                    for target in snapshot.targets.iter_mut().filter(|t| t.name == found.name) {
                        if down.contains(&target.state) {
                            target.state = Online;
                        }
                    }
                });
            }
            let message = if success { "it serves" } else { "a restart did not help" };
            Ok(HealAnswer { success, message: message.into(), incident: Some(17) })
        })
    }

    fn explain(&self, id: IncidentId) -> Option<String> {
        self.journal.incident(id).ok()?.map(|row| format!("the story of #{}", row.id))
    }

    fn journal(&self) -> Arc<Journal> {
        self.journal.clone()
    }

    fn plugins(&self) -> PluginsView {
        self.snapshot().plugins.clone()
    }

    fn manage_plugin(&self, id: &str, what: Manage) -> Result<bool, ManageError> {
        let snapshot = self.snapshot();
        let Some(plugin) = snapshot.plugins.plugins.iter().find(|p| p.id == id) else {
            return Err(ManageError::Unknown { id: id.into(), known: "mine".into() });
        };
        match &what {
            Manage::Consent { seen: Some(seen) } if Some(seen) != plugin.asks_for.as_ref() => {
                return Err(ManageError::AsksOther { id: id.into(), now: "more".into() });
            }
            _ => {}
        }
        self.managed.lock().unwrap().push((id.into(), what));
        self.change(|snapshot| {
            for plugin in snapshot.plugins.plugins.iter_mut().filter(|p| p.id == id) {
                let changed = plugin.state != PluginState::Ready;
                plugin.state = PluginState::Ready;
                plugin.problem = None;
                plugin.asks_for = None;
                plugin.why = if changed { "in use".into() } else { plugin.why.clone() };
            }
        });
        Ok(true)
    }
}

/// A running server; it ends with it.
pub struct Server {
    pub monitor: Arc<FakeMonitor>,
    pub addr: SocketAddr,
    pub logs: tempfile::TempDir,
    pub shutdown: CancellationToken,
    pub serving: JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub async fn start() -> Server {
        Server::of(FakeMonitor::new(usual())).await
    }

    pub async fn of(monitor: FakeMonitor) -> Server {
        Server::with(monitor, Limits::default()).await
    }

    pub async fn with(monitor: FakeMonitor, limits: Limits) -> Server {
        let monitor = Arc::new(monitor);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let logs = tempfile::tempdir().unwrap();
        let shutdown = CancellationToken::new();
        let settings = ApiSettings {
            listen: addr,
            logs_dir: logs.path().to_owned(),
            limits: limits.clone(),
            shutdown: shutdown.clone(),
        };
        let router = router(Arc::clone(&monitor) as Arc<dyn Handle>, settings);
        let serving = tokio::spawn(serve(listener, router, limits, shutdown.clone()));
        Server { monitor, addr, logs, shutdown, serving }
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.addr)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// [`AT`] as the API writes it.
pub fn at_iso() -> String {
    let at: Timestamp = AT.parse().unwrap();
    crate::api::envelope::iso(at)
}
