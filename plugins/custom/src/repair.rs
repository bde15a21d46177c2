//! Loading and unloading by the requests of the settings. Whether it worked is measured by the host.

use ai_monitor_plugin_api::{
    Io, Stop,
    event::{Outcome, SessionKind, Start},
    report::{Expect, ModelState, RepairReport, RepairResult, cut},
};
use plugin_parts::{answer, repair::note_symptom};

use crate::{expect::Verdict, fill::Values, settings::Settings};

/// In this time what was asked for must show, where the settings do not say.
const LOAD_WITHIN_MS: u64 = 60_000;
const UNLOAD_WITHIN_MS: u64 = 20_000;

pub async fn repair(io: &mut Io<RepairReport>, start: &Start, settings: &Settings) -> Result<(), Stop> {
    let SessionKind::Repair { repair, args } = &start.session else {
        return Err(Stop::GiveUp("a probe came as a repair".into()));
    };
    let (how, after, within_ms) = match repair.as_str() {
        "load" => (&settings.load, ModelState::Loaded, LOAD_WITHIN_MS),
        "unload" => (&settings.unload, ModelState::Unloaded, UNLOAD_WITHIN_MS),
        _ => return end(io, RepairResult::Unsupported, format!("there is no repair `{repair}`")),
    };
    let Some(how) = how else {
        let text = format!("not configured: [target.settings.{repair}] says how to ask");
        return end(io, RepairResult::Unsupported, text);
    };
    let Some(model) = args.get("model").and_then(|model| model.as_str()) else {
        return Err(Stop::GiveUp(format!("the repair `{repair}` needs `model`")));
    };
    let values = Values { model: Some(model), ..Values::default() };
    let request = match how.ask.request_for(&values, start.deadline_ms) {
        Ok(request) => request,
        Err(why) => return end(io, RepairResult::Failed, why),
    };
    let answer = io.request(request.note(format!("{repair} {model}"))).await?;
    match how.ask.expect.verdict(&answer) {
        Verdict::Good => {
            // Without a way to know the states nothing can be measured of it, and the fault's own signal counts.
            if settings.knows_states() {
                let state = how.after.clone().unwrap_or_else(|| vec![after]);
                io.report.expect.push(Expect::Model { model: model.to_owned(), state });
            }
            io.report.within_ms = Some(how.within_ms.unwrap_or(within_ms));
            let text = answer.status.map_or_else(String::new, |status| format!("HTTP {status}"));
            end(io, RepairResult::Done, text)
        }
        Verdict::Bad(judged) => {
            let busy = matches!(answer.outcome, Outcome::Overloaded | Outcome::Unavailable);
            let text = judged.map_or_else(|| answer::words(&answer), |(_, text)| text);
            note_symptom(io, model, &text);
            end(io, if busy { RepairResult::Refused } else { RepairResult::Failed }, text)
        }
    }
}

fn end(io: &mut Io<RepairReport>, result: RepairResult, text: String) -> Result<(), Stop> {
    io.report.result = Some(result);
    io.report.text = (!text.is_empty()).then(|| cut(&text).to_owned());
    Ok(())
}
