//! What text-generation-webui has beyond the protocol: which model is loaded, and loading another.
//!
//! It has one model at a time and answers any name with it. Read in its modules/api (script.py, models.py): while a
//! model is loaded by the API, nothing at all is answered.

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::{Depth, Outcome, Process, Start},
    report::{Model, ModelState, Phase},
};
use plugin_parts::{answer, models::whole, process};
use serde_json::Value;

use crate::{
    CHEAP_MS,
    api::{WebuiInfo, WebuiList},
    is_absent,
    llama_cpp::{self, Place},
};

pub const INFO: &str = "/v1/internal/model/info";
pub const LIST: &str = "/v1/internal/model/list";

/// Asks what is loaded, which is also its liveness route: without an answer the session ends.
pub async fn info(io: &mut Io, timeout_ms: u64) -> Result<WebuiInfo, Stop> {
    let answer = io.request(Request::get(INFO, timeout_ms).of(Depth::Liveness)).await?;
    if is_absent(answer.outcome) {
        io.judge(&answer, Outcome::Foreign, format!("no {INFO} here: this is not text-generation-webui"));
    }
    let info = answer::json::<WebuiInfo>(io, &answer).ok_or(Stop::Enough)?;
    io.report.phase = Some(Phase::Ready);
    Ok(info)
}

/// Its models. Those that are not loaded it shows to admins alone.
pub async fn readiness(io: &mut Io, info: &WebuiInfo) -> Result<(), Stop> {
    let answer = io.request(Request::get(LIST, CHEAP_MS).max_bytes(answer::LIST_BYTES)).await?;
    let loaded = info.loaded();
    let mut names: Vec<String> = match answer::json::<WebuiList>(io, &answer) {
        Some(list) => list.model_names.into_iter().filter(|name| !name.is_empty() && name != "None").collect(),
        None => Vec::new(),
    };
    if let Some(loaded) = loaded.filter(|loaded| !names.iter().any(|name| name == loaded)) {
        names.push(loaded.to_owned());
    }
    let known = answer.outcome == Outcome::Ok || loaded.is_some();
    let model = |name: String| {
        let is_loaded = loaded == Some(name.as_str());
        let state = Some(if is_loaded { ModelState::Loaded } else { ModelState::Unloaded });
        let loader = info.loader.clone().filter(|_| is_loaded).map(|loader| ("loader".to_owned(), loader));
        Model { id: name, state, info: loader.into_iter().collect(), ..Model::default() }
    };
    if known {
        io.report.models = whole(names.into_iter().map(model).collect());
    }
    Ok(())
}

/// What its llama.cpp child works on, where it runs the model by one; its other loaders tell nothing.
pub async fn progress(io: &mut Io, start: &Start, info: &WebuiInfo) -> Result<(), Stop> {
    let Some(processes) = start.processes.as_deref() else { return Ok(()) };
    let Some((child, address)) = child(processes) else {
        if info.loaded().is_none() {
            io.report.engines = Some(Vec::new());
        }
        return Ok(());
    };
    let mut engine = process::engine(child);
    engine.model = info.loaded().map(str::to_owned);
    llama_cpp::child(io, &Place::child(address), llama_cpp::falls_asleep(start), &mut engine).await?;
    io.report.engines = Some(vec![engine]);
    Ok(())
}

/// Its llama.cpp server and where that listens.
pub fn child(processes: &[Process]) -> Option<(&Process, &str)> {
    let child =
        processes.iter().find(|process| process.parent.is_some() && process::name(process) == "llama-server")?;
    Some((child, process::address(child)?))
}

/// Whether it unloads an idle model, and loads it again with the next request: `--idle-timeout` minutes.
pub fn unloads_idle(start: &Start) -> bool {
    let by_args = |process: &Process| {
        process::argument(&process.args, "--idle-timeout").and_then(|n| n.parse::<f64>().ok()).is_some_and(|n| n > 0.0)
    };
    let told = start.settings.get("sleeps_when_idle").and_then(Value::as_bool).unwrap_or(false);
    told || start.processes.iter().flatten().any(by_args)
}
