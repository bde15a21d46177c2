//! `ai-monitor [run]`: watch and mend until Ctrl-C or SIGTERM.

use std::{net::SocketAddr, process::ExitCode, sync::Arc};

use anyhow::{Context, bail};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{client::Client, first_minutes};
use crate::{
    api::{self, ApiSettings},
    config::{self, Flags, Places, model::Config, one_monitor::OneMonitor, switches::Switches},
    journal::Journal,
    logs,
    monitor::{Monitor, Parts},
    plugin::{Catalogue, Keeper, Libraries, Registry, Store, folder},
    policy::PolicyStore,
    process,
    time::{Clock, SystemClock},
};

/// A monitor that runs, with all that must live as long.
pub(super) struct Running {
    pub monitor: Arc<Monitor>,
    pub listen: SocketAddr,
    pub places: Places,
    stop_api: CancellationToken,
    api: tokio::task::JoinHandle<std::io::Result<()>>,
    _lock: OneMonitor,
    _logs: logs::LogGuard,
}

pub(super) async fn run(flags: &Flags) -> anyhow::Result<ExitCode> {
    let config = config::load(flags, &plugins_known(flags))?;
    let ended = ended_by_signal()?;
    let running = start(flags, config).await?;
    first_minutes::tell(&running).await;
    ended.await;
    running.end().await;
    Ok(ExitCode::SUCCESS)
}

/// The plugins that a configuration may name: bundled, in the folder by their manifests, or there once.
pub(super) fn plugins_known(flags: &Flags) -> Registry {
    let places = config::places(flags);
    let mut registry = Registry::bundled();
    registry.announce(folder::announced(&places.plugins));
    registry.remember(Store::ids_in(&places.data));
    registry
}

/// Binds the API's port before any target is touched, then starts to watch.
pub(super) async fn start(flags: &Flags, config: Config) -> anyhow::Result<Running> {
    let listener = bind(config.listen, flags).await?;
    let listen = listener.local_addr().context("the address of the API cannot be read")?;
    let places = config::places(flags);
    std::fs::create_dir_all(&places.data)
        .with_context(|| format!("the data folder {} cannot be made", places.data.display()))?;
    let lock = OneMonitor::take(&places.data, &listen.to_string())?;
    let level = flags.log_level.as_deref().unwrap_or("info");
    let log_guard = logs::init(&places.logs(), level, logs::Look::detect())?;
    let journal = Journal::open_or_in_memory(&places.data)?;
    let switches = Switches::open(&places.data);
    if switches.get().monitoring_stopped {
        tracing::warn!("monitoring is stopped, as a person left it: nothing is probed or healed until it is started");
    }
    let policies = PolicyStore::new(Some(places.policies.clone()));
    let config = with_policy_settings(config, &policies)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let plugins = Catalogue::open(clock.clone(), Registry::bundled(), &places.plugins, &places.data, flags.safe_mode);
    if flags.safe_mode {
        tracing::warn!("safe mode: bundled plugins alone are used, whatever {} holds", places.plugins.display());
    }
    let keeper = keeper(&plugins, &places)?;
    let parts = Parts {
        clock,
        config,
        plugins,
        keeper,
        journal,
        policies,
        switches,
        data_dir: places.data.clone(),
        config_path: places.config.clone(),
        listen,
    };
    let monitor = Monitor::start(parts).await?;
    let stop_api = CancellationToken::new();
    let limits = api::Limits::default();
    let settings = ApiSettings { listen, logs_dir: places.logs(), limits: limits.clone(), shutdown: stop_api.clone() };
    let router = api::router(monitor.clone(), settings);
    let api = tokio::spawn(api::serve(listener, router, limits, stop_api.clone()));
    tracing::info!("ai-monitor {} at http://{listen}", env!("CARGO_PKG_VERSION"));
    Ok(Running { monitor, listen, places, stop_api, api, _lock: lock, _logs: log_guard })
}

/// Loads what lies in the plugin folder; in safe mode nothing.
fn keeper(plugins: &Arc<Catalogue>, places: &Places) -> anyhow::Result<Option<Keeper>> {
    if plugins.is_safe_mode() {
        return Ok(None);
    }
    let keeper = Keeper::new(plugins.clone(), Arc::new(Libraries::default()), &places.data);
    Ok(Some(keeper.context("the folder for private copies of plugins cannot be made")?))
}

impl Running {
    /// Ends within 2 s with nothing lost; gives the servers that keep running.
    pub(super) async fn stop(self) -> Vec<(String, u32)> {
        let keep_running = self.monitor.shut_down().await;
        self.stop_api.cancel();
        let _ = tokio::time::timeout(std::time::Duration::from_millis(500), self.api).await;
        keep_running
    }

    /// Stops, and says which servers keep running.
    pub(super) async fn end(self) {
        let keep_running = self.stop().await;
        if keep_running.is_empty() {
            say!("\nai-monitor has ended. No watched server was running.");
        } else {
            say!("\nai-monitor has ended. These servers keep running:");
            for (name, pid) in keep_running {
                say!("  {name} (process {pid})");
            }
        }
    }
}

/// The settings that policies declare, checked. A policy that is broken is told where it runs (the shipped default runs
/// instead): it must not keep the monitor from its work.
pub(super) fn with_policy_settings(mut config: Config, policies: &PolicyStore) -> anyhow::Result<Config> {
    let declared = |target: &crate::config::model::Target| {
        policies.check(&target.policy, &Default::default()).ok().map(|info| info.settings)
    };
    config::fit_policy_settings(&mut config, &declared)?;
    Ok(config)
}

/// Taken: refuse, name the holder and give the command that works. Never pick another port silently.
async fn bind(listen: SocketAddr, flags: &Flags) -> anyhow::Result<TcpListener> {
    let error = match TcpListener::bind(listen).await {
        Ok(listener) => return Ok(listener),
        Err(error) => error,
    };
    if error.kind() != std::io::ErrorKind::AddrInUse {
        bail!("{listen} cannot be listened on: {error}\n  try another address: ai-monitor --listen 127.0.0.1:5050");
    }
    if let Some(pid) = Client::new(listen).is_ai_monitor().await {
        bail!(
            "ai-monitor is already running at http://{listen} (process {pid})\n  \
             look at it: ai-monitor --listen {listen} status, or open http://{listen}/"
        );
    }
    let holder = match process::holder(listen) {
        process::Holder::Known(p) => format!("{} (process {})", p.name, p.id),
        process::Holder::NotPermitted => "another user's process".into(),
        process::Holder::Nobody => "a process that cannot be seen".into(),
    };
    let free = free_port(listen).unwrap_or(5050);
    bail!(
        "{listen} is taken by {holder}; no target was touched\n  \
         this works: ai-monitor{} --listen {}:{free}",
        places_given(flags),
        listen.ip()
    )
}

/// The files and folders that the command line named: a command to copy must name them again.
fn places_given(flags: &Flags) -> String {
    let given = [
        ("--config", &flags.config),
        ("--data-dir", &flags.data_dir),
        ("--policy-dir", &flags.policy_dir),
        ("--plugin-dir", &flags.plugin_dir),
    ];
    let named = given.iter().filter_map(|(flag, path)| Some(format!(" {flag} {}", path.as_ref()?.display())));
    let safe = flags.safe_mode.then(|| " --safe-mode".to_owned());
    named.chain(safe).collect()
}

/// A port near by that is free now.
fn free_port(listen: SocketAddr) -> Option<u16> {
    (5050..5100).find(|port| std::net::TcpListener::bind((listen.ip(), *port)).is_ok())
}

/// Resolves at Ctrl-C or SIGTERM.
pub(super) fn ended_by_signal() -> anyhow::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be watched")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be watched")?;
        Ok(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    {
        Ok(async {
            let _ = tokio::signal::ctrl_c().await;
        })
    }
}
