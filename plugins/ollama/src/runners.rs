//! Ollama's runners: children that are llama.cpp servers, each with one model, asked on their own ports.
//!
//! What they are asked there does not touch Ollama's scheduler, so nothing is prolonged.

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::{Depth, Outcome, Process, Role, Start},
    report::{Engine, Phase},
};
use plugin_parts::{
    answer,
    llama_server::{self, Slot},
};
use serde_json::json;

use crate::{
    DISK_MS,
    api::{Loaded, Show},
};

/// A runner answers in a millisecond; one that does not in this time is busy beyond answering, or hangs.
pub const RUNNER_MS: u64 = 2_000;
/// More are listed, but not asked: silent ones would use up the session's time.
const ASKED_MAX: usize = 8;
/// More models are not told apart.
const SHOWN_MAX: usize = 8;

/// How deep to look into a runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Health,
    Slots,
}

/// The runners among the target's processes; `None` where these are not known.
pub fn all(start: &Start) -> Option<Vec<&Process>> {
    let processes = start.processes.as_deref()?;
    Some(processes.iter().filter(|process| process.role == Role::Engine).collect())
}

/// Where a runner listens: the port of its command line, if the host has proven it.
pub fn address(runner: &Process) -> Option<&str> {
    let asked = argument(runner, "--port").map(|port| format!("/{port}"));
    let named = asked.and_then(|port| runner.addresses.iter().find(|address| address.ends_with(&port)));
    named.or(runner.addresses.first()).map(String::as_str)
}

/// Ollama's older runners have `/health` but no slots.
pub fn is_llama_server(runner: &Process) -> bool {
    name_of(runner) == "llama-server"
}

/// Whether the target's settings allow it to ask runners at all.
pub fn may_be_asked(start: &Start) -> bool {
    start.settings.get("prefer_engine").and_then(|value| value.as_bool()).unwrap_or(true)
}

/// Puts the runners into the report and asks them. `false`: one of them did not answer.
pub async fn look(io: &mut Io, start: &Start, look: Look) -> Result<bool, Stop> {
    let Some(runners) = all(start) else { return Ok(true) };
    io.report.engines = Some(runners.iter().map(|runner| listed(runner)).collect());
    let mut all_answered = true;
    if may_be_asked(start) {
        for (index, runner) in runners.into_iter().enumerate().take(ASKED_MAX) {
            if let Some(address) = address(runner) {
                let mut engine = listed(runner);
                all_answered &= ask(io, &mut engine, runner, address, look).await?;
                if let Some(place) = io.report.engines.as_mut().and_then(|engines| engines.get_mut(index)) {
                    *place = engine;
                }
            }
        }
    }
    Ok(all_answered)
}

async fn ask(io: &mut Io, engine: &mut Engine, runner: &Process, to: &str, look: Look) -> Result<bool, Stop> {
    let health = io.request(Request::get("/health", RUNNER_MS).to(to).of(Depth::Progress)).await?;
    match health.outcome {
        Outcome::Ok => engine.phase = Some(Phase::Ready),
        Outcome::Unavailable => engine.phase = Some(Phase::Loading),
        _ => return Ok(answer::answered(&health)),
    }
    if look == Look::Slots && health.outcome == Outcome::Ok && is_llama_server(runner) {
        let answer = io.request(Request::get("/slots", RUNNER_MS).to(to)).await?;
        if let Some(slots) = answer::json::<Vec<Slot>>(io, &answer) {
            llama_server::describe(engine, &slots);
        }
        return Ok(answer::answered(&answer));
    }
    Ok(true)
}

fn listed(runner: &Process) -> Engine {
    let port = address(runner).and_then(|address| address.rsplit('/').next());
    let port = port.or(argument(runner, "--port")).unwrap_or(&runner.id);
    Engine { id: format!("{}/{port}", name_of(runner)), process: Some(runner.id.clone()), ..Engine::default() }
}

/// Says which model each runner of the report has.
pub async fn name(io: &mut Io, start: &Start, loaded: &[Loaded]) -> Result<(), Stop> {
    let runners = all(start).unwrap_or_default();
    if runners.len() <= 1 && loaded.len() <= 1 {
        name_the_only_one(io, Some(loaded));
        return Ok(());
    }
    for model in loaded.iter().take(SHOWN_MAX) {
        let runner = of_model(io, &runners, &model.name).await?.map(|runner| runner.id.clone());
        let engine = io.report.engines.iter_mut().flatten().find(|engine| runner.is_some() && engine.process == runner);
        if let Some(engine) = engine {
            engine.model = Some(model.name.clone());
        }
    }
    Ok(())
}

/// One runner that is ready and one model in memory belong together.
pub fn name_the_only_one(io: &mut Io, loaded: Option<&[Loaded]>) {
    if let (Some([model]), Some([engine])) = (loaded, io.report.engines.as_deref_mut())
        // A loading model is not listed yet: then the listed one is another's, whose runner died.
        && engine.phase != Some(Phase::Loading)
    {
        engine.model = Some(model.name.clone());
    }
}

/// The runner that has a model: the file of its command line is one that the model's description names.
pub async fn of_model<'a, R>(
    io: &mut Io<R>,
    runners: &[&'a Process],
    model: &str,
) -> Result<Option<&'a Process>, Stop> {
    if runners.is_empty() {
        return Ok(None);
    }
    let answer = io.request(Request::post_json("/api/show", &json!({"model": model}), DISK_MS)).await?;
    let body = answer.body.as_deref().filter(|_| answer.outcome == Outcome::Ok).unwrap_or_default();
    let Ok(show) = serde_json::from_str::<Show>(body) else { return Ok(None) };
    let files: Vec<&str> =
        show.modelfile.lines().filter_map(|line| line.strip_prefix("FROM ")).map(file_name).collect();
    Ok(runners
        .iter()
        .copied()
        .find(|runner| argument(runner, "--model").is_some_and(|path| files.contains(&file_name(path)))))
}

fn file_name(path: &str) -> &str {
    path.trim().rsplit(['/', '\\']).next().unwrap_or(path)
}

fn name_of(runner: &Process) -> &str {
    runner.exe.strip_suffix(".exe").unwrap_or(&runner.exe)
}

fn argument<'a>(process: &'a Process, name: &str) -> Option<&'a str> {
    let at = process.args.iter().position(|arg| arg == name)?;
    process.args.get(at + 1).map(String::as_str)
}
