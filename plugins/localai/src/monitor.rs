//! `GET /backend/monitor`: whether a backend still answers its front.
//!
//! It loads nothing and leaves the watchdog's timers alone, and of a model that is not loaded it would only say so
//! (core/services/monitoring/backend_monitor.go). Its word for busy is not used: only backends of one thread say it,
//! and they say it while idle (pkg/grpc/base/singlethread.go: `Busy` is true when the lock was free). Of a backend that
//! hangs each question stays open within LocalAI until the backend ends, for its own question has no deadline; one that
//! has died is dropped from its list, as at the next request of a user.

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::{Outcome, Response},
    report::{Phase, Symptom},
};
use plugin_parts::{answer, percent, signature};

use crate::api::{Loaded, Status};

/// One that hangs is given up by its front after 10 s (pkg/grpc/client.go), one that works answers at once.
const MONITOR_MS: u64 = 5_000;
/// The most backends that are asked in one look.
const MONITORED_MAX: usize = 16;

/// `StatusResponse.State`.
const BUSY: i64 = 1;
const READY: i64 = 2;

/// Asks after each loaded model until one is silent: that is enough to know, and each costs its whole time.
pub async fn ask(io: &mut Io, loaded: &[Loaded]) -> Result<(), Stop> {
    for model in loaded.iter().take(MONITORED_MAX) {
        let path = format!("/backend/monitor?model={}", percent::encoded(&model.id));
        let answer = io.request(Request::get(path, MONITOR_MS)).await?;
        if lives(io, &model.id, &answer) {
            for engine in io.report.engines.iter_mut().flatten().filter(|e| e.model.as_deref() == Some(&model.id)) {
                engine.phase = Some(Phase::Ready);
            }
        }
        if !answer::answered(&answer) || answer.outcome == Outcome::Unauthorised {
            break;
        }
    }
    Ok(())
}

/// Whether the answer came from the backend itself. What tells of its end is a symptom.
fn lives(io: &mut Io, model: &str, answer: &Response) -> bool {
    if answer.outcome == Outcome::Ok {
        let status = answer::json::<Status>(io, answer);
        return status.is_some_and(|status| matches!(status.state, BUSY | READY));
    }
    if answer.outcome != Outcome::Failed {
        return false;
    }
    let words = answer::words(answer);
    if words.contains("code = Unimplemented") {
        // llama.cpp's, among others. It is the backend itself that says so.
        io.judge(answer, Outcome::Unsupported, "a backend that answers and does not tell its state");
        return true;
    }
    if words.contains("is not currently loaded") {
        let outcome = if words.contains(model) {
            // Unloaded since the list was made.
            Outcome::NotFound
        } else {
            // Older versions read the name from a body, which a GET has none of.
            Outcome::Unsupported
        };
        io.judge(answer, outcome, words);
    } else if let Some(id) = signature::symptom(&words) {
        let symptom = Symptom { id: id.into(), text: words, model: Some(model.to_owned()), engine: None };
        io.report.symptoms.push(symptom);
    }
    false
}
