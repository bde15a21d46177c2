//! `ai-monitor demo`: a small model server of our own is broken in two ways, seen, healed and explained, on ports and
//! in a data folder of its own.

use std::{
    net::SocketAddr,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use ai_monitor_plugin_api::report::ModelState;
use anyhow::{Context, bail};

use super::run::{self, Running};
use crate::{
    config::{self, Flags},
    demo::{Programs, install},
    health::state::State,
    journal::record::{IncidentId, StartedProcess},
    monitor::{handle::Handle, view::TargetView},
    plugin::Registry,
    process,
};

/// Each of the two faults must be over in this time.
const FAULT_WITHIN: Duration = Duration::from_secs(25);
const TARGET: &str = "demo";

pub(super) async fn demo(flags: &Flags) -> anyhow::Result<ExitCode> {
    let folder = tempfile::Builder::new().prefix("ai-monitor-demo-").tempdir().context("no folder for the demo")?;
    let own = std::env::current_exe().context("this program's own file cannot be found")?;
    let programs = install(&own, &folder.path().join("bin")).context("the demo server cannot be put in place")?;
    let port = free_port()?;
    let config_file = folder.path().join("config.toml");
    std::fs::write(&config_file, configuration(&programs, port, folder.path())).context("the demo's configuration")?;

    let flags = Flags {
        config: Some(config_file),
        listen: Some(flags.listen.clone().unwrap_or_else(|| "127.0.0.1:0".into())),
        data_dir: Some(folder.path().join("data")),
        policy_dir: Some(folder.path().join("policies")),
        plugin_dir: Some(folder.path().join("plugins")),
        safe_mode: true,
        log_level: Some(flags.log_level.clone().unwrap_or_else(|| "error".into())),
    };
    let config = config::load(&flags, &Registry::bundled())?;
    let began = Instant::now();
    let interrupted = run::ended_by_signal()?;
    say!("The demo: a model server of our own (it speaks Ollama's protocol; its engine is a child process),");
    say!("watched by this monitor, in {} and on ports of its own.\n", folder.path().display());
    let running = run::start(&flags, config).await?;
    say!("Dashboard while it runs: http://{}/\n", running.listen);
    // A demo that is broken off must leave no server behind, as one that went to its end.
    let played = tokio::select! {
        result = play(&running, port, began) => Some(result),
        () = interrupted => None,
    };
    let journal = running.monitor.journal();
    running.stop().await;
    end_servers(&journal.started_processes(TARGET)).await;
    let Some(result) = played else {
        say!("\nThe demo was broken off. Its server was ended, and its folder is removed.");
        return Ok(ExitCode::SUCCESS);
    };
    result?;
    say!("The demo server was ended, and its folder is removed. It took {:.0} s.", began.elapsed().as_secs_f64());
    say!("\nYour own servers: start ai-monitor without arguments, and it tells what it finds.");
    Ok(ExitCode::SUCCESS)
}

/// The whole configuration; a short `stall_after`, because nobody wants to wait in a demo.
fn configuration(programs: &Programs, port: u16, folder: &Path) -> String {
    let quote = |path: &Path| toml::Value::String(path.display().to_string()).to_string();
    format!(
        "[defaults]\ncheck_interval = \"1s\"\ntimeout = \"2s\"\nstall_after = \"2s\"\n\n\
         [defaults.heal]\ngrace = \"2s\"\nbackoff = \"1s\"\n\n\
         [[target]]\nname = \"{TARGET}\"\nbackend = \"ollama\"\nurl = \"http://127.0.0.1:{port}\"\n\n\
         [target.process]\ncommand = [{}, \"serve\"]\nenv = {{ OLLAMA_MODELS = {} }}\n",
        quote(&programs.front),
        quote(&folder.join("models"))
    )
}

async fn play(running: &Running, port: u16, began: Instant) -> anyhow::Result<()> {
    let say = |text: String| say!("{:5.1} s  {text}", began.elapsed().as_secs_f64());
    let first = healed_since(running, 0, began, "start the server, which does not run yet").await?;
    say("the server was started".into());

    load_model(port).await?;
    let pid = server(running).context("the demo server has no process")?;
    wait_online(running).await?;
    say(format!("fault 1: its process {pid} is killed"));
    let id = process::identify(pid).context("the demo server ended by itself")?;
    process::signal(id, process::Signal::Kill)?;
    let second = healed_since(running, first, began, "start it again").await?;

    wait_online(running).await?;
    say("fault 2: its engine hangs while a user waits for tokens; the port still answers".into());
    let user = hang_engine(running, port).await?;
    let third = healed_since(running, second, began, "end the engine, not the server").await?;
    user.abort();
    for id in [second, third] {
        say!("");
        show!("{}", running.monitor.explain(id).unwrap_or_default());
    }
    say!("");
    Ok(())
}

/// The newest incident after `seen`, once it has ended.
async fn healed_since(running: &Running, seen: IncidentId, began: Instant, what: &str) -> anyhow::Result<IncidentId> {
    let ended = async {
        let mut number = 0;
        loop {
            let snapshot = running.monitor.snapshot();
            let target = snapshot.targets.iter().find(|t| t.name == TARGET);
            let done =
                target.filter(|t| t.incident.is_none() && t.state != State::Healing).and_then(|t| t.last_incident);
            if let Some(id) = done.filter(|id| *id > seen) {
                return id;
            }
            number = running.monitor.changed(number).await;
        }
    };
    let id = tokio::time::timeout(FAULT_WITHIN, ended)
        .await
        .with_context(|| format!("the monitor did not {what} within {} s", FAULT_WITHIN.as_secs()))?;
    let row = running.monitor.journal().incidents(Some(TARGET), 1)?.into_iter().find(|r| r.id == id);
    if let Some(row) = row {
        let by = row.by.map(|by| format!(" by {by}")).unwrap_or_default();
        let ended = row.ended.map_or("open", |e| e.as_str()).replace('_', " ");
        say!("{:5.1} s  seen as {}, {ended}{by}", began.elapsed().as_secs_f64(), row.class);
        if ended != "healed" {
            bail!("the demo did not end as it should: incident #{id} {ended}: {}", row.reason.unwrap_or_default());
        }
    }
    Ok(id)
}

async fn wait_online(running: &Running) -> anyhow::Result<()> {
    let has_model = |t: &TargetView| t.models.iter().flatten().any(|m| m.state == Some(ModelState::Loaded));
    wait_for(running, "see the demo server online with its model", |t| t.state.v43() == "online" && has_model(t)).await
}

/// Until the monitor shows it.
async fn wait_for(running: &Running, what: &str, holds: impl Fn(&TargetView) -> bool) -> anyhow::Result<()> {
    let shown = async {
        let mut number = 0;
        while !running.monitor.snapshot().targets.iter().any(|t| t.name == TARGET && holds(t)) {
            number = running.monitor.changed(number).await;
        }
    };
    let timeout = tokio::time::timeout(FAULT_WITHIN, shown).await;
    timeout.with_context(|| format!("the monitor did not {what} within {} s", FAULT_WITHIN.as_secs()))
}

fn server(running: &Running) -> Option<u32> {
    running.monitor.snapshot().targets.iter().find(|t| t.name == TARGET)?.process_id
}

fn http() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

async fn load_model(port: u16) -> anyhow::Result<()> {
    let url = format!("http://127.0.0.1:{port}/api/generate");
    http()?.post(url).body(r#"{"model":"demo:latest"}"#).send().await?.error_for_status()?;
    Ok(())
}

/// A user asks for a long answer; once its first token is there, the engine hangs.
async fn hang_engine(running: &Running, port: u16) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    use futures_util::StreamExt;
    let body = r#"{"model":"demo:latest","messages":[{"role":"user","content":"Tell a long story"}],"options":{"num_predict":2000}}"#;
    let request = http()?.post(format!("http://127.0.0.1:{port}/api/chat")).body(body);
    let answer = request.send().await?.error_for_status()?;
    let mut stream = answer.bytes_stream();
    stream.next().await.context("no token came")??;
    wait_for(running, "see the user's request", |t| t.state == State::Busy).await?;
    let fault = http()?.post(format!("http://127.0.0.1:{port}/demo/fault")).body(r#"{"fault":"hang","in":"engine"}"#);
    fault.send().await?.error_for_status()?;
    Ok(tokio::spawn(async move { while stream.next().await.is_some_and(|chunk| chunk.is_ok()) {} }))
}

fn free_port() -> anyhow::Result<u16> {
    let listener = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    Ok(listener.local_addr()?.port())
}

/// The demo's own servers end with the demo, and what those that died have left in their sessions.
async fn end_servers(started: &[StartedProcess]) {
    for server in started.iter().map(|s| s.process) {
        let members: Vec<_> = process::session_members(server);
        process::end_tree(server, &members, Duration::from_millis(500), true).await;
    }
}
