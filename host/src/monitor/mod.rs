//! The one place that ties the rooms together: a task per target that owns its life; others send it messages.

mod board;
mod core;
mod discovery;
pub mod handle;
mod heal;
mod incident_view;
mod look;
mod plugins;
mod publish;
mod resume;
mod settle;
mod target;
mod verify;
pub mod view;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::JoinSet,
};
use url::Url;

pub use self::core::{Control, Core};
pub use discovery::LOOK_AGAIN;

use self::{
    board::{Board, Own},
    handle::{Answer, Handle, Manage, SwitchError, UnknownTarget},
    target::{Message, TargetTask},
    view::{HealAnswer, Snapshot, TargetView},
};
use crate::{
    config::{
        model::{Config, Target},
        switches::{NotSaved, Switches},
    },
    health::state::State,
    journal::{
        Journal,
        record::{Ended, IncidentId, Record},
    },
    plugin::{Catalogue, Keeper, ManageError, PluginsView},
    policy::PolicyStore,
    probe::{http::Driver, schedule::Schedule},
    time::Clock,
};

/// How often the monitor looks after its own files.
const HOUSEKEEPING: Duration = Duration::from_secs(10);

/// What a monitor is made of.
pub struct Parts {
    pub clock: Arc<dyn Clock>,
    pub config: Config,
    pub plugins: Arc<Catalogue>,
    /// Keeps the catalogue as the plugin folder is; `None`: bundled plugins alone.
    pub keeper: Option<Keeper>,
    pub journal: Arc<Journal>,
    pub policies: PolicyStore,
    pub switches: Switches,
    pub data_dir: PathBuf,
    pub config_path: PathBuf,
    /// The address that the API is bound to.
    pub listen: SocketAddr,
}

/// The running monitor.
pub struct Monitor {
    core: Arc<Core>,
    switches: Switches,
    targets: std::sync::Mutex<BTreeMap<String, mpsc::Sender<Message>>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Monitor {
    /// Begins to watch all configured targets.
    pub async fn start(parts: Parts) -> Result<Arc<Monitor>, crate::probe::http::DriverError> {
        let Parts { clock, config, plugins, keeper, journal, policies, switches, data_dir, config_path, listen } =
            parts;
        let switched = switches.get();
        let control = Control {
            monitoring: !switched.monitoring_stopped,
            debug: switched.debug,
            enabled: switched.enabled,
            removed: Default::default(),
            shutting_down: false,
        };
        let board = Board::new(Own {
            listen: listen.to_string(),
            data_dir: data_dir.display().to_string(),
            config_file: config.file.as_ref().map(|f| f.display().to_string()),
            config_path: config_path.display().to_string(),
            looked_at: Vec::new(),
            monitoring_active: control.monitoring,
            debug_mode: control.debug,
            check_interval: config.defaults.check_interval.as_secs_f64(),
            troubles: [("switches", switches.notice()), ("plugins", plugins.notice())]
                .into_iter()
                .filter_map(|(what, notice)| Some((what.to_owned(), notice?.to_owned())))
                .collect(),
            plugins: Default::default(),
        });
        let targets = config.targets.clone();
        let core = Arc::new(Core {
            clock,
            plugins,
            driver: Driver::new()?,
            journal,
            policies,
            board,
            control: tokio::sync::watch::Sender::new(control),
            turns: Arc::new(tokio::sync::Semaphore::new(config.at_once.max(1))),
            looks: Core::looks_at_once(),
            drop_in_looks: Core::looks_at_once(),
            boot: crate::process::boot_id(),
            data_dir,
            config_path,
            listen,
            config,
        });
        let monitor =
            Arc::new(Monitor { core, switches, targets: Default::default(), tasks: Mutex::new(JoinSet::new()) });
        monitor.abandon_incidents_of_removed(&targets);
        // A broken policy is told now, not when it is needed.
        let policies: std::collections::BTreeSet<&str> = targets.iter().map(|t| t.policy.as_str()).collect();
        for name in policies {
            monitor.core.policy_in_force(name);
        }
        let count = targets.len();
        for (index, target) in targets.into_iter().enumerate() {
            let first = Schedule::new(target.check_interval.min(Duration::from_secs(2)), 0).first(index, count);
            monitor.add(target, first).await;
        }
        let housekeeper = monitor.clone();
        let mut tasks = monitor.tasks.lock().await;
        tasks.spawn(async move { housekeeper.keep_house().await });
        tasks.spawn(plugins::keep_on_view(monitor.core.clone()));
        if let Some(keeper) = keeper {
            tasks.spawn(plugins::keep(keeper, monitor.core.control.subscribe()));
        }
        drop(tasks);
        Ok(monitor)
    }

    /// An open incident of a target that the configuration no longer has would stay open for ever.
    fn abandon_incidents_of_removed(&self, targets: &[Target]) {
        let now = self.core.clock.now().wall;
        for (row, _) in self.core.journal.open_incidents() {
            if targets.iter().any(|t| t.name == row.target) {
                continue;
            }
            let reason = format!("{} is no longer configured", row.target);
            let ended = Record::Ended { ended: Ended::Abandoned, reason, by: None };
            if let Err(error) = self.core.journal.append(row.id, now, &ended) {
                self.core.board.trouble("journal", Some(error.to_string()));
            }
        }
    }

    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Watches one more target.
    pub async fn add(&self, target: Target, first: Duration) {
        let (sender, inbox) = mpsc::channel(64);
        let name = target.name.clone();
        let shown = name.clone();
        let addresses = local_addresses(&target.url);
        let mut task = TargetTask::new(self.core.clone(), target, inbox, addresses);
        // On view at once, in the order of adding: who asks next must not miss it.
        task.publish();
        if let Ok(mut targets) = self.targets.lock() {
            targets.insert(name, sender);
        }
        let core = self.core.clone();
        self.tasks.lock().await.spawn(async move { told_if_broken(&core.board, &shown, task.run(first)).await });
    }

    /// Troubles of the monitor itself, and the servers' output files.
    async fn keep_house(&self) {
        let mut control = self.core.control.subscribe();
        loop {
            self.core.board.trouble("journal", self.core.journal.health());
            for target in &self.core.config.targets {
                let output = self.core.output_of(&target.name);
                if let Err(error) = crate::process::output::rotate_if_large(&output) {
                    tracing::warn!("{}: {error}", output.display());
                }
            }
            tokio::select! {
                ended = control.wait_for(|c| c.shutting_down) => {
                    drop(ended);
                    return;
                }
                () = tokio::time::sleep(HOUSEKEEPING) => {}
            }
        }
    }

    /// Ends all tasks. Servers that were started keep running; gives their names and processes.
    pub async fn shut_down(&self) -> Vec<(String, u32)> {
        self.core.control.send_modify(|c| c.shutting_down = true);
        let mut tasks = self.tasks.lock().await;
        // An act or a probe under way is dropped; the journal says how far it came.
        let all_ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_millis(1000), all_ended).await.is_err() {
            tasks.abort_all();
        }
        self.core.journal.flush();
        let snapshot = self.core.board.snapshot();
        snapshot.targets.iter().filter_map(|t| Some((t.name.clone(), t.process_id?))).collect()
    }

    fn unknown(&self, name: &str) -> UnknownTarget {
        let snapshot = self.core.board.snapshot();
        let known: Vec<&str> = snapshot.targets.iter().map(|t| t.name.as_str()).collect();
        UnknownTarget { name: name.to_owned(), known: known.join(", ") }
    }

    fn sender(&self, name: &str) -> Result<mpsc::Sender<Message>, UnknownTarget> {
        self.targets.lock().ok().and_then(|t| t.get(name).cloned()).ok_or_else(|| self.unknown(name))
    }
}

/// What was not saved is not switched.
fn saved(result: Result<bool, NotSaved>) -> Result<bool, SwitchError> {
    result.map_err(|error| SwitchError::NotSaved(error.to_string()))
}

/// A target's task. A bug of ours that ends it ends no other; and what was last seen of the target must not stand there as
/// if it were still looked at.
async fn told_if_broken(board: &Board, target: &str, task: impl Future<Output = ()>) {
    if AssertUnwindSafe(task).catch_unwind().await.is_ok() {
        return;
    }
    let why = "a bug of ai-monitor ended the watch over it, see the log: report it, and start ai-monitor again";
    tracing::error!("{target}: {why}");
    board.trouble(&format!("target {target}"), Some(format!("{target}: {why}")));
    let view = board.snapshot().targets.iter().find(|view| view.name == target).cloned();
    if let Some(view) = view {
        board.put(TargetView { state: State::Unknown, why: why.into(), step: None, fault: None, ..view });
    }
}

/// The loopback addresses that a URL may mean; empty: it is not on this machine.
fn local_addresses(url: &Url) -> Vec<SocketAddr> {
    let Some(port) = url.port_or_known_default() else { return Vec::new() };
    let own = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    match url.host() {
        Some(url::Host::Ipv4(ip)) if own(ip.into()) || is_own_address(ip.into()) => vec![(ip, port).into()],
        Some(url::Host::Ipv6(ip)) if own(ip.into()) || is_own_address(ip.into()) => vec![(ip, port).into()],
        Some(url::Host::Domain(name)) => {
            let Ok(found) = (name, port).to_socket_addrs() else { return Vec::new() };
            let found: Vec<SocketAddr> = found.collect();
            if found.iter().all(|a| own(a.ip()) || is_own_address(a.ip())) { found } else { Vec::new() }
        }
        _ => Vec::new(),
    }
}

/// An address of one of this machine's interfaces: nobody else's can be bound.
fn is_own_address(ip: IpAddr) -> bool {
    !ip.is_multicast() && std::net::UdpSocket::bind((ip, 0)).is_ok()
}

impl Handle for Monitor {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.core.board.snapshot()
    }

    fn changed(&self, seen: u64) -> Answer<'_, u64> {
        let mut changes = self.core.board.changes();
        Box::pin(async move { changes.wait_for(|n| *n != seen).await.map_or(seen, |n| *n) })
    }

    fn set_monitoring(&self, active: bool) -> Answer<'_, Result<bool, SwitchError>> {
        Box::pin(async move {
            let changed = saved(self.switches.set_monitoring(active))?;
            self.core.control.send_modify(|c| c.monitoring = active);
            self.core.board.own(|own| own.monitoring_active = active);
            if changed {
                tracing::info!("monitoring {}", if active { "started" } else { "stopped" });
            }
            Ok(changed)
        })
    }

    fn set_debug(&self, on: bool) -> Answer<'_, Result<bool, SwitchError>> {
        Box::pin(async move {
            let changed = saved(self.switches.set_debug(on))?;
            self.core.control.send_modify(|c| c.debug = on);
            self.core.board.own(|own| own.debug_mode = on);
            Ok(changed)
        })
    }

    fn set_enabled(&self, name: &str, enabled: bool) -> Answer<'_, Result<bool, SwitchError>> {
        let name = name.to_owned();
        Box::pin(async move {
            self.sender(&name)?;
            let was = self.core.board.snapshot().targets.iter().any(|t| t.name == name && t.enabled);
            if was == enabled {
                return Ok(false);
            }
            saved(self.switches.set_enabled(&name, enabled))?;
            self.core.control.send_modify(|c| _ = c.enabled.insert(name.clone(), enabled));
            // The answer is given when the switch acts, so that who reads next sees it.
            let mut changes = self.core.board.changes();
            let acts = changes.wait_for(|_| {
                self.core.board.snapshot().targets.iter().any(|t| t.name == name && t.enabled == enabled)
            });
            let _ = tokio::time::timeout(Duration::from_secs(2), acts).await;
            Ok(true)
        })
    }

    fn heal(&self, name: &str, force: bool) -> Answer<'_, Result<HealAnswer, UnknownTarget>> {
        let name = name.to_owned();
        Box::pin(async move {
            let sender = self.sender(&name)?;
            let (reply, answer) = oneshot::channel();
            let ended = |text: &str| HealAnswer { success: false, message: text.into(), incident: None };
            if sender.send(Message::Heal { force, reply }).await.is_err() {
                return Ok(ended("it is watched no more: the monitor is ending, or `ai-monitor status` says why"));
            }
            Ok(answer.await.unwrap_or_else(|_| ended("the monitor ended before the heal did")))
        })
    }

    fn explain(&self, id: IncidentId) -> Option<String> {
        self.core.journal.explain(id)
    }

    fn journal(&self) -> Arc<Journal> {
        self.core.journal.clone()
    }

    fn plugins(&self) -> PluginsView {
        plugins::view(&self.core)
    }

    fn manage_plugin(&self, id: &str, what: Manage) -> Result<bool, ManageError> {
        let plugins = &self.core.plugins;
        match what {
            Manage::Consent { seen } => plugins.consent(id, seen.as_ref()),
            Manage::Release => plugins.release(id),
            Manage::Enable => plugins.set_disabled(id, false),
            Manage::Disable => plugins.set_disabled(id, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::fake;

    #[tokio::test]
    async fn a_target_whose_task_broke_is_not_shown_as_it_was() {
        let board = Board::new(Own::default());
        for name in ["one", "two"] {
            board.put(fake::target(name, State::Online));
        }
        told_if_broken(&board, "one", async {}).await;
        assert_eq!(board.snapshot().troubles.len(), 0, "a task that ends is no trouble");
        told_if_broken(&board, "one", async { panic!("a bug") }).await;
        let snapshot = board.snapshot();
        let states: Vec<State> = snapshot.targets.iter().map(|target| target.state).collect();
        assert_eq!(states, [State::Unknown, State::Online]);
        assert!(snapshot.targets[0].why.contains("a bug of ai-monitor"), "{}", snapshot.targets[0].why);
        assert!(snapshot.troubles[0].starts_with("one: "), "{:?}", snapshot.troubles);
    }
}
