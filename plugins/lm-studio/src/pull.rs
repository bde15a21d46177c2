//! Downloading a model: LM Studio works on it as a job, which is asked after until it has ended.

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::Outcome,
    report::{Expect, ModelState, RepairReport, RepairResult, cut},
};
use plugin_parts::repair::failed;
use serde_json::json;

use crate::{api::Download, list, repair::accepted};

/// For each question: LM Studio answers at once and goes on by itself.
const ASK_MS: u64 = 10_000;
const FIRST_PAUSE_MS: u64 = 1_000;
const LONGEST_PAUSE_MS: u64 = 60_000;
/// So often the job is asked after: 64 requests are a session's, and with these pauses they last beyond its deadline.
const ASKED_MAX: usize = 60;
/// Its list shows what it has downloaded.
const WITHIN_MS: u64 = 20_000;

pub async fn pull(io: &mut Io<RepairReport>, model: &str) -> Result<(), Stop> {
    let request = Request::post_json("/api/v1/models/download", &json!({"model": model}), ASK_MS)
        .note(format!("downloading {model}"));
    let answer = io.request(request).await?;
    if let list::Got::NoRoute(_) = list::read::<Download>(&answer, "0.4.0")
        && answer.outcome == Outcome::Ok
    {
        io.report.result = Some(RepairResult::Unsupported);
        io.report.text = Some("LM Studio before 0.4.0 has no route for it; `lms get` does it".into());
        return Ok(());
    }
    let mut download = match accepted::<Download>(&answer) {
        Ok(download) => download,
        Err(why) => {
            failed(io, model, &why);
            return Ok(());
        }
    };
    let job = download.job_id.clone();
    let mut pause_ms = FIRST_PAUSE_MS;
    for _ in 0..ASKED_MAX {
        if ended(io, model, &download) {
            return Ok(());
        }
        let Some(job) = job.as_deref().filter(|job| is_plain(job)) else {
            failed(io, model, "LM Studio named no job that could be asked after");
            return Ok(());
        };
        let note = progress(model, &download);
        io.wait(pause_ms, Some(note.clone())).await?;
        pause_ms = (pause_ms * 3 / 2).min(LONGEST_PAUSE_MS);
        let path = format!("/api/v1/models/download/status/{job}");
        let answer = io.request(Request::get(path, ASK_MS).note(note)).await?;
        if answer.outcome == Outcome::Deadline {
            break;
        }
        download = match accepted(&answer) {
            Ok(download) => download,
            Err(why) => {
                failed(io, model, &why);
                return Ok(());
            }
        };
    }
    failed(io, model, &format!("not done in the time given, and LM Studio goes on: {}", progress(model, &download)));
    Ok(())
}

/// Whether the job is over, one way or the other; then it is reported.
fn ended(io: &mut Io<RepairReport>, model: &str, download: &Download) -> bool {
    let (result, text) = match download.status.as_deref() {
        Some("downloading") => return false,
        Some("completed") => (RepairResult::Done, "downloaded"),
        Some("already_downloaded") => (RepairResult::Already, "it was downloaded before"),
        // By a person, who goes on with it when it suits.
        Some("paused") => (RepairResult::Refused, "its download is paused"),
        Some(other) => {
            failed(io, model, &format!("LM Studio said {other} of the download"));
            return true;
        }
        None => {
            failed(io, model, "LM Studio said nothing of the download");
            return true;
        }
    };
    io.report.result = Some(result);
    io.report.text = Some(text.into());
    if result == RepairResult::Done {
        io.report.within_ms = Some(WITHIN_MS);
        let state = vec![ModelState::Unloaded, ModelState::Loading, ModelState::Loaded];
        io.report.expect.push(Expect::Model { model: model.to_owned(), state });
    }
    true
}

fn progress(model: &str, download: &Download) -> String {
    let text = match (download.downloaded_bytes, download.total_size_bytes) {
        (Some(done), Some(all)) if all > 0 => {
            format!("{model}: {} % of {} MB", done.min(all).saturating_mul(100) / all, all / 1_000_000)
        }
        (_, Some(all)) => format!("{model}: {} MB", all / 1_000_000),
        _ => model.to_owned(),
    };
    cut(&text).to_owned()
}

/// It stands in a path.
fn is_plain(job: &str) -> bool {
    !job.is_empty() && job.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
