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
    process,
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

/// Ollama's older runners have `/health` but no slots.
pub fn is_llama_server(runner: &Process) -> bool {
    process::name(runner) == "llama-server"
}

/// Whether it was started to make vectors.
pub fn embeds(runner: &Process) -> bool {
    runner.args.iter().any(|arg| matches!(arg.as_str(), "--embedding" | "--embeddings"))
}

/// Whether the target's settings allow it to ask runners at all.
pub fn may_be_asked(start: &Start) -> bool {
    start.settings.get("prefer_engine").and_then(|value| value.as_bool()).unwrap_or(true)
}

/// Puts the runners into the report and asks them. `false`: one of them did not answer.
pub async fn look(io: &mut Io, start: &Start, look: Look) -> Result<bool, Stop> {
    let Some(runners) = all(start) else { return Ok(true) };
    io.report.engines = Some(runners.iter().map(|runner| process::engine(runner)).collect());
    let mut all_answered = true;
    if may_be_asked(start) {
        for (index, runner) in runners.into_iter().enumerate().take(ASKED_MAX) {
            if let Some(address) = process::address(runner) {
                let mut engine = process::engine(runner);
                all_answered &= ask(io, &mut engine, runner, address, look).await?;
                if let Some(place) = io.report.engines.as_mut().and_then(|engines| engines.get_mut(index)) {
                    *place = engine;
                }
            }
        }
    }
    Ok(all_answered)
}

/// One request tells all: while it loads, every route of a llama.cpp server answers the same.
async fn ask(io: &mut Io, engine: &mut Engine, runner: &Process, to: &str, look: Look) -> Result<bool, Stop> {
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
    Ok(answer::answered(&answer))
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
        .find(|runner| process::argument(&runner.args, "--model").is_some_and(|path| files.contains(&file_name(path)))))
}

fn file_name(path: &str) -> &str {
    path.trim().rsplit(['/', '\\']).next().unwrap_or(path)
}
