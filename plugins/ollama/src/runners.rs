//! Ollama's runners: children that are llama.cpp servers, each with one model, asked on their own ports.
//!
//! What they are asked there does not touch Ollama's scheduler, so nothing is prolonged.

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::{Depth, Outcome, Process, Response, Role, Start},
    report::{Engine, Phase},
};
use plugin_parts::{
    answer::{self, Told},
    llama_server::{self, Slot},
    process,
};
use serde_json::json;

use crate::{
    DISK_MS,
    api::{Loaded, Show},
};

/// A runner answers in a millisecond; one that does not in this time is busy beyond answering, or hangs.
pub const RUNNER_MS: u64 = 2_000;
/// More are listed, but not asked.
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

/// Ollama's older runners have `/health` but no slots.
pub fn is_llama_server(runner: &Process) -> bool {
    process::name(runner) == "llama-server"
}

/// Whether the target's settings allow it to ask runners at all.
pub fn may_be_asked(start: &Start) -> bool {
    start.settings.get("prefer_engine").and_then(|value| value.as_bool()).unwrap_or(true)
}

/// Puts the runners into the report, as far as processes tell of them.
pub fn list(io: &mut Io, start: &Start) {
    io.report.engines = all(start).map(|runners| runners.into_iter().map(process::engine).collect());
}

/// Asks the runners of the report until one is silent: that is enough to know, and each costs its whole time. `false`:
/// one of them did not answer.
pub async fn look(io: &mut Io, start: &Start, look: Look) -> Result<bool, Stop> {
    let mut all_answered = true;
    if may_be_asked(start) {
        for (index, runner) in all(start).unwrap_or_default().into_iter().enumerate().take(ASKED_MAX) {
            let Some(address) = process::address(runner) else { continue };
            let mut engine = process::engine(runner);
            let answer = ask(io, &mut engine, runner, address, look).await?;
            if let Some(place) = io.report.engines.as_mut().and_then(|engines| engines.get_mut(index)) {
                *place = engine;
            }
            all_answered &= answer::answered(&answer);
            if answer::silent(&answer) {
                break;
            }
        }
    }
    Ok(all_answered)
}

/// One request tells all: while it loads, every route of a llama.cpp server answers the same.
async fn ask(io: &mut Io, engine: &mut Engine, runner: &Process, to: &str, look: Look) -> Result<Response, Stop> {
    let slots = look == Look::Slots && is_llama_server(runner);
    let path = if slots { "/slots" } else { "/health" };
    let answer = io.request(Request::get(path, RUNNER_MS).to(to).of(Depth::Progress)).await?;
    match answer.outcome {
        Outcome::Ok => engine.phase = Some(Phase::Ready),
        Outcome::Unavailable => engine.phase = Some(Phase::Loading),
        _ => {}
    }
    if slots && let Some(slots) = answer::json::<Vec<Slot>>(io, &answer) {
        llama_server::describe(engine, &slots);
    }
    Ok(answer)
}

/// Says which model each runner of the report has.
pub async fn name(io: &mut Io, start: &Start, loaded: &[Loaded]) -> Result<(), Stop> {
    let runners = all(start).unwrap_or_default();
    if runners.len() <= 1 && loaded.len() <= 1 {
        name_the_only_one(io, Some(loaded));
        return Ok(());
    }
    for model in loaded.iter().take(SHOWN_MAX) {
        let runner = match files(io, &model.name).await? {
            Told::Silent => break,
            files => files.value().and_then(|files| with_one_of(&runners, &files)).map(|runner| runner.id.clone()),
        };
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
    Ok(files(io, model).await?.value().and_then(|files| with_one_of(runners, &files)))
}

/// The names of a model's files.
async fn files<R>(io: &mut Io<R>, model: &str) -> Result<Told<Vec<String>>, Stop> {
    let answer = io.request(Request::post_json("/api/show", &json!({"model": model}), DISK_MS)).await?;
    if answer::silent(&answer) {
        return Ok(Told::Silent);
    }
    let Ok(show) = answer::parsed::<Show>(&answer) else { return Ok(Told::Nothing) };
    let lines = show.modelfile.lines().filter_map(|line| line.strip_prefix("FROM "));
    Ok(Told::Value(lines.map(|path| file_name(path).to_owned()).collect()))
}

fn with_one_of<'a>(runners: &[&'a Process], files: &[String]) -> Option<&'a Process> {
    let has = |path: &str| files.iter().any(|file| file == file_name(path));
    runners.iter().copied().find(|runner| process::argument(&runner.args, "--model").is_some_and(has))
}

fn file_name(path: &str) -> &str {
    path.trim().rsplit(['/', '\\']).next().unwrap_or(path)
}
