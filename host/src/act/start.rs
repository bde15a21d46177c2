//! `start`: a new process lives and passes readiness.

use std::time::{Duration, Instant};

use ai_monitor_plugin_api::{event::Depth, report::Phase};

use super::{Ground, flag, seconds, shipped};
use crate::{
    health::{
        look::Said,
        signals::{PortHolder, ProcessId},
    },
    incident::act::{ActCall, Outcome},
    process,
};

/// The shortest time that a server gets to become ready.
const SHORTEST_WITHIN: Duration = Duration::from_secs(30);
/// While it moves (reads its model, computes) it is loading, not stuck (LocalAI#10868); but not for ever.
const LONGEST_WITHIN: Duration = Duration::from_secs(30 * 60);
/// A start waits so long for memory that an ended server has not given back yet.
const MEMORY_WAIT: Duration = Duration::from_secs(30);

pub(super) async fn start(ground: &mut Ground<'_>, call: &ActCall) -> Outcome {
    if flag(call, "other_port") == Some(true) {
        return Outcome::new("unsupported", "no other port is configured");
    }
    let Some((command, ends)) = command(ground, flag(call, "debug").unwrap_or(false) || ground.debug) else {
        return Outcome::new("unsupported", "there is no command to start it with");
    };
    let seen = ground.watch.refresh(true);
    // A start that is under way already (the monitor ended in the middle of it) is taken up, not repeated.
    if let Some(root) = ground.watch.root().map(|r| r.id).filter(|id| process::is_alive(*id)) {
        return wait_until_ready(ground, call, root, "it runs already", Ends::Badly).await;
    }
    if let PortHolder::Other { name, id, .. } = &seen.port {
        return Outcome::new("port_conflict", format!("the port is held by {name} ({id})"));
    }
    if !enough_memory(ground.memory_needed).await {
        let text = format!("{} MiB are not free after {} s", ground.memory_needed >> 20, MEMORY_WAIT.as_secs());
        return Outcome::new("no_memory", text);
    }
    ground.notes.intent("start", Vec::new(), format!("starts {}", command.command.join(" ")));
    match process::start(&command) {
        Ok(started) => {
            ground.record_start(started.id, &command.command);
            ground.notes.phase(format!("{} was started", started.id), Some(started.id));
            ground.watch.started(started.id);
            wait_until_ready(ground, call, started.id, "started", ends).await
        }
        Err(error) => {
            let mut outcome = Outcome::done(error.to_string());
            outcome.result = "exited".into();
            outcome
        }
    }
}

/// What it means that a command ends before its server is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Badly,
    /// It only asked for the server, which comes as a process of its own (`lms server start`).
    WellWithZero,
}

/// The configured command, with the manifest's environment for it (the configuration's own wins) and debug settings.
fn command(ground: &Ground<'_>, debug: bool) -> Option<(process::Launch, Ends)> {
    let mut command = ground.target.process.command.clone().filter(|c| !c.is_empty())?;
    let manifest = ground.plugin.manifest();
    let mut env = std::collections::BTreeMap::new();
    let of_manifest = shipped::of_program(manifest, &command);
    for (name, value) in of_manifest.iter().flat_map(|s| &s.env) {
        env.insert(name.clone(), shipped::fill(value, &ground.target.url));
    }
    if debug {
        env.extend(manifest.debug.env.clone());
        command.extend(manifest.debug.args.iter().cloned());
    }
    env.extend(ground.target.process.env.clone());
    let launches = of_manifest.is_some_and(|start| shipped::is_launcher(start, &manifest.process));
    let ends = if launches { Ends::WellWithZero } else { Ends::Badly };
    Some((process::Launch { command, env, output: ground.output.clone(), cwd: None }, ends))
}

async fn enough_memory(needed: u64) -> bool {
    let began = Instant::now();
    while process::memory().is_some_and(|m| m.available < needed) {
        if began.elapsed() > MEMORY_WAIT {
            return false;
        }
        // The system has no event for memory that comes free.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    true
}

/// Ready, ended, or out of time.
async fn wait_until_ready(ground: &mut Ground<'_>, call: &ActCall, id: ProcessId, how: &str, ends: Ends) -> Outcome {
    let began = Instant::now();
    let within = seconds(call, "within").unwrap_or(SHORTEST_WITHIN).max(Duration::from_secs(1));
    let mut deadline = began + within;
    let mut pause = Duration::from_millis(10);
    let mut moved = None;
    let mut launched = None;
    let mut last;
    loop {
        // No event tells that a server has become ready: it is asked, ever less often, and its end is an event.
        match &launched {
            None => match tokio::time::timeout(pause, process::exited(id)).await {
                Ok(exit) if ends == Ends::WellWithZero && exit.code == Some(0) => launched = Some(exit),
                Ok(exit) => return ended_before_ready(ground, id, exit, began.elapsed()),
                Err(_) => {}
            },
            Some(_) => tokio::time::sleep(pause).await,
        }
        match ready(ground).await {
            Ok(()) => {
                let server = ground.watch.root().map_or(id, |root| root.id);
                let text = format!("{how}: {server} is ready after {:.1} s", began.elapsed().as_secs_f64());
                return Outcome { step: Some("start".into()), ..Outcome::done(text) };
            }
            Err(why) => last = why,
        }
        let now = Instant::now();
        let server = ground.watch.root().map_or(id, |root| root.id);
        let measure = process::find(server.pid).map(|p| (p.cpu, p.read_bytes));
        if measure != moved {
            moved = measure;
            deadline = deadline.max(now + within / 2).min(began + LONGEST_WITHIN);
        }
        if now >= deadline {
            if let Some(exit) = launched.filter(|_| ground.watch.root().is_none()) {
                return ended_before_ready(ground, id, exit, began.elapsed());
            }
            let text = format!("{server} lives and is not ready after {} s: {last}", began.elapsed().as_secs());
            let mut outcome = Outcome::done(text);
            outcome.result = "not_ready".into();
            return outcome;
        }
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}

/// Does it pass readiness? If not, why.
async fn ready(ground: &mut Ground<'_>) -> Result<(), String> {
    for depth in [Depth::Liveness, Depth::Readiness] {
        let Some(observation) = ground.probe(depth).await else { continue };
        let Some(report) = &observation.report else { return Err(format!("{depth}: the plugin gave no report")) };
        if let Said::Failed(record) = observation.said() {
            return Err(record.sentence());
        }
        if matches!(report.phase, Some(Phase::Loading | Phase::Starting | Phase::Failed)) {
            return Err(format!("phase {:?}", report.phase));
        }
    }
    Ok(())
}

fn ended_before_ready(ground: &mut Ground<'_>, id: ProcessId, exit: process::Exit, after: Duration) -> Outcome {
    let seen = ground.watch.refresh(true);
    let output = last_line(&ground.output);
    let mut text = format!("{id} {exit} after {:.1} s", after.as_secs_f64());
    if let Some(line) = output {
        text.push_str(&format!("; its last line: {line}"));
    }
    let mut outcome = Outcome::done(text);
    outcome.result = "exited".into();
    if let PortHolder::Other { name, id, .. } = &seen.port {
        outcome.detail.push_str(&format!("; the port is held by {name} ({id})"));
        outcome.result = "port_conflict".into();
    }
    outcome
}

/// The last line that the server wrote, for the story.
fn last_line(path: &std::path::Path) -> Option<String> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = std::fs::File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(2048))).ok()?;
    let mut bytes = Vec::new();
    file.take(2048).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    text.lines().rev().find(|l| !l.trim().is_empty()).map(|l| l.trim().chars().take(200).collect())
}
