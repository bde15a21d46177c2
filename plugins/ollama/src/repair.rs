//! Loading, unloading and downloading a model. Whether it worked is measured by the host, from what is expected here.

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::{Outcome, Response, SessionKind, Start},
    report::{Expect, ModelState, RepairReport, RepairResult},
};
use plugin_parts::{
    answer,
    repair::{done, failed},
};
use serde_json::json;

use crate::{
    api::{Chunk, Pulled, full_name},
    expiry, is_busy, runners,
};

/// An unload blocks for about 20 s behind a runner that hangs with a request waiting.
const UNLOAD_MS: u64 = 25_000;
/// In this time Ollama has ended a runner, or never will.
const WITHIN_MS: u64 = 20_000;

pub async fn repair(io: &mut Io<RepairReport>, start: &Start) -> Result<(), Stop> {
    let SessionKind::Repair { repair, args } = &start.session else {
        return Err(Stop::GiveUp("a probe came as a repair".into()));
    };
    let text = |name: &str| args.get(name).and_then(|value| value.as_str());
    let Some(model) = text("model") else {
        return Err(Stop::GiveUp(format!("the repair `{repair}` needs `model`")));
    };
    match repair.as_str() {
        "unload" => unload(io, start, model).await,
        "load" => load(io, start, model, text("expires_at")).await,
        "pull" => pull(io, start, model).await,
        _ => {
            io.report.result = Some(RepairResult::Unsupported);
            Ok(())
        }
    }
}

async fn unload(io: &mut Io<RepairReport>, start: &Start, model: &str) -> Result<(), Stop> {
    let runner = runners::of_model(io, &runners::all(start).unwrap_or_default(), model).await?;
    let body = json!({"model": model, "keep_alive": 0});
    let request = Request::post_json("/api/generate", &body, UNLOAD_MS).note(format!("unloading {model}"));
    let answer = io.request(request).await?;
    judge(io, model, &answer, "unload");
    if io.report.result == Some(RepairResult::Done) {
        done(io, &full_name(model), vec![ModelState::Unloaded], WITHIN_MS);
        if let Some(runner) = runner {
            io.report.expect.push(Expect::Process { process: runner.id.clone(), gone: true });
        }
    }
    Ok(())
}

async fn load(io: &mut Io<RepairReport>, start: &Start, model: &str, expires_at: Option<&str>) -> Result<(), Stop> {
    let mut body = json!({"model": model, "stream": false});
    // Without a known expiry the user's own default must stay in force.
    if let Some(seconds) = expires_at.and_then(|time| expiry::keep_alive(time, &start.now)) {
        body["keep_alive"] = seconds.into();
    }
    let note = format!("loading {model}");
    let request = Request::post_json("/api/generate", &body, start.deadline_ms).note(note.clone());
    let mut answer = io.request(request).await?;
    if answer.outcome == Outcome::Rejected && answer::words(&answer).contains("does not support generate") {
        // A model that makes vectors is loaded by asking for none.
        body["input"] = json!([]);
        answer = io.request(Request::post_json("/api/embed", &body, start.deadline_ms).note(note)).await?;
        judge_status(io, model, &answer);
    } else {
        judge(io, model, &answer, "load");
    }
    if io.report.result == Some(RepairResult::Done) {
        done(io, &full_name(model), vec![ModelState::Loaded], WITHIN_MS);
    }
    Ok(())
}

/// One answer, which comes when all is here or when it failed: the lines of a stream would be more than a session may
/// read. Closing the connection ends the download; what has come of it is kept and taken up by the next.
async fn pull(io: &mut Io<RepairReport>, start: &Start, model: &str) -> Result<(), Stop> {
    let body = json!({"model": model, "stream": false});
    let request = Request::post_json("/api/pull", &body, start.deadline_ms).note(format!("downloading {model}"));
    let answer = io.request(request).await?;
    judge_status(io, model, &answer);
    if io.report.result != Some(RepairResult::Done) {
        return Ok(());
    }
    match answer::parsed::<Pulled>(&answer) {
        Ok(Pulled { status: Some(status), .. }) if status == "success" => {
            io.report.text = Some("downloaded".into());
            // It is listed, whatever was in memory of it before.
            let state = vec![ModelState::Unloaded, ModelState::Loaded, ModelState::Stopping];
            done(io, &full_name(model), state, WITHIN_MS);
        }
        Ok(Pulled { error: Some(error), .. }) => failed(io, &full_name(model), &error),
        Ok(Pulled { status, .. }) => {
            let status = status.unwrap_or_else(|| "nothing".into());
            failed(io, &full_name(model), &format!("Ollama said {status} of the download"));
        }
        Err(verdict) => {
            failed(io, &full_name(model), &verdict.map_or_else(|| answer::words(&answer), |verdict| verdict.text))
        }
    }
    Ok(())
}

/// `done_reason` must say that it was understood.
fn judge(io: &mut Io<RepairReport>, model: &str, answer: &Response, wanted: &str) {
    judge_status(io, model, answer);
    if io.report.result != Some(RepairResult::Done) {
        return;
    }
    let chunk = answer.body.as_deref().and_then(|body| serde_json::from_str::<Chunk>(body).ok()).unwrap_or_default();
    match (chunk.error, chunk.done_reason) {
        (None, Some(reason)) if reason == wanted => io.report.text = Some(format!("done_reason {reason}")),
        (None, reason) => {
            let reason = reason.unwrap_or_else(|| "nothing".into());
            failed(io, &full_name(model), &format!("Ollama said {reason} where `{wanted}` was asked for"));
        }
        (Some(error), _) => failed(io, &full_name(model), &error),
    }
}

fn judge_status(io: &mut Io<RepairReport>, model: &str, answer: &Response) {
    if answer.outcome == Outcome::Ok {
        io.report.result = Some(RepairResult::Done);
        return;
    }
    failed(io, &full_name(model), &answer::words(answer));
    if is_busy(answer) {
        io.report.result = Some(RepairResult::Refused);
    }
}
