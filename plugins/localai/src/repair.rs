//! Loading and unloading a model. Whether it worked is measured by the host, from what is expected here.

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::{Outcome, Response, SessionKind, Start},
    report::{Expect, ModelState, RepairReport, RepairResult, cut},
};
use plugin_parts::{
    answer::{self, error_text},
    repair::{ended, failed},
};
use serde_json::{Value, json};

use crate::{api::Done, backends, overload::put_off, system};

/// It waits up to 30 s for a backend to become idle (pkg/model/process.go).
const SHUTDOWN_MS: u64 = 40_000;
/// In this time `/system` shows it.
const WITHIN_MS: u64 = 20_000;

pub async fn repair(io: &mut Io<RepairReport>, start: &Start) -> Result<(), Stop> {
    let SessionKind::Repair { repair, args } = &start.session else {
        return Err(Stop::GiveUp("a probe came as a repair".into()));
    };
    let Some(model) = args.get("model").and_then(Value::as_str) else {
        return Err(Stop::GiveUp(format!("the repair `{repair}` needs `model`")));
    };
    match repair.as_str() {
        "unload" => unload(io, start, model).await,
        "load" => load(io, start, model).await,
        _ => {
            io.report.result = Some(RepairResult::Unsupported);
            Ok(())
        }
    }
}

async fn unload(io: &mut Io<RepairReport>, start: &Start, model: &str) -> Result<(), Stop> {
    let loaded = system::read(&io.request(system::request()).await?).ok();
    if loaded.as_ref().is_some_and(|loaded| !loaded.iter().any(|one| one.id == model)) {
        ended(io, RepairResult::Already, &format!("{model} is not loaded"));
        return Ok(());
    }
    let request = Request::post_json("/backend/shutdown", &json!({"model": model}), SHUTDOWN_MS)
        .note(format!("unloading {model}"));
    let answer = io.request(request).await?;
    let words = words(&answer);
    match answer.outcome {
        Outcome::Ok => {
            ended(io, RepairResult::Done, &words);
            io.report.within_ms = Some(WITHIN_MS);
            io.report.expect.push(Expect::Model { model: model.to_owned(), state: vec![ModelState::Unloaded] });
            if let Some(process) = backends::of_only_model(start, loaded.as_deref().unwrap_or_default(), model) {
                io.report.expect.push(Expect::Process { process: process.id.clone(), gone: true });
            }
        }
        // Every version has the route; older ones say it with a 500.
        Outcome::NotFound => ended(io, RepairResult::Already, &format!("{model} is not loaded")),
        Outcome::Failed if words.contains("not found") => {
            ended(io, RepairResult::Already, &format!("{model} is not loaded"));
        }
        // It ends no backend that works, or that hangs with a request (LocalAI#10578).
        Outcome::Failed if words.contains("still busy") || words.contains("waiting to shut down") => {
            ended(io, RepairResult::Refused, &words);
        }
        _ => failed(io, model, &words),
    }
    Ok(())
}

async fn load(io: &mut Io<RepairReport>, start: &Start, model: &str) -> Result<(), Stop> {
    let request = Request::post_json("/backend/load", &json!({"model": model}), start.deadline_ms)
        .note(format!("loading {model}"));
    let answer = io.request(request).await?;
    match answer.outcome {
        Outcome::Ok => {
            let done = answer::parsed::<Done>(&answer).unwrap_or_default();
            // Of a pipeline its parts are loaded, not itself (core/backend/preload.go).
            let mut parts = done.loaded.unwrap_or_default();
            parts.retain(|part| !part.is_empty());
            if parts.is_empty() {
                parts.push(model.to_owned());
            }
            ended(io, RepairResult::Done, &words(&answer));
            io.report.within_ms = Some(WITHIN_MS);
            let expected = |part| Expect::Model { model: part, state: vec![ModelState::Loaded] };
            io.report.expect.extend(parts.into_iter().map(expected));
        }
        Outcome::NotFound | Outcome::Unsupported => {
            let text = "this LocalAI cannot be asked to load a model; it does so at the first request for it";
            ended(io, RepairResult::Unsupported, text);
        }
        _ if put_off(&answer).is_some() => ended(io, RepairResult::Refused, &words(&answer)),
        _ => failed(io, model, &words(&answer)),
    }
    Ok(())
}

/// LocalAI's words, which these two routes have in `message`.
fn words(answer: &Response) -> String {
    let body = answer.body.as_deref().unwrap_or_default();
    let done = || serde_json::from_str::<Done>(body).ok()?.message.map(|message| cut(&message).to_owned());
    error_text(body).or_else(done).unwrap_or_else(|| answer::words(answer))
}
