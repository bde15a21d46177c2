//! ai-monitor's probe plugin for LM Studio: the app and its headless form, llmster.
//!
//! LM Studio answers 200 to every path, with an error inside; so nothing is believed by its status. Its HTTP tells
//! neither its version nor how its work goes on; the workers' processes are the host's to measure.

mod api;
mod engines;
mod inference;
mod list;
mod models;
mod pull;
mod repair;

use ai_monitor_plugin_api::{
    Io, Plugin, Stop,
    effect::Request,
    event::{Depth, Outcome, Response, SessionKind, Start},
    export_plugin,
    report::{Phase, RepairReport},
};
use plugin_parts::answer::{self, Verdict};
use serde_json::Value;

use crate::list::Entry;

/// For the greeting beside a deeper probe.
const GREETING_MS: u64 = 5_000;
/// For the lists, which LM Studio has in memory.
const LIST_MS: u64 = 5_000;

/// The plugin.
pub struct LmStudio;

export_plugin!(LmStudio);

impl Plugin for LmStudio {
    const MANIFEST: &'static str = include_str!("manifest.json");

    async fn probe(io: &mut Io, start: &Start) -> Result<(), Stop> {
        let SessionKind::Probe { depth, inference } = &start.session else {
            return Err(Stop::GiveUp("a repair came as a probe".into()));
        };
        match depth {
            Depth::Liveness => greeting(io, start.deadline_ms).await,
            Depth::Readiness | Depth::Progress => {
                greeting(io, GREETING_MS).await?;
                let Some(entries) = list::ask(io).await? else { return Ok(()) };
                io.report.engines = engines::reported(start, &entries);
                if *depth == Depth::Readiness {
                    io.report.models = models::reported(&entries);
                }
                Ok(())
            }
            Depth::Inference => match inference {
                Some(ask) => inference::probe(io, start, ask).await,
                None => Err(Stop::GiveUp("the host did not say what to ask".into())),
            },
        }
    }

    async fn repair(io: &mut Io<RepairReport>, start: &Start) -> Result<(), Stop> {
        repair::repair(io, start).await
    }
}

/// Asks for the greeting by which `lms` knows the server, too (lms: src/createClient.ts). Without it there is nothing
/// more to learn, and the session ends.
async fn greeting(io: &mut Io, timeout_ms: u64) -> Result<(), Stop> {
    let answer = io.request(Request::get("/lmstudio-greeting", timeout_ms).of(Depth::Liveness)).await?;
    match greets(&answer) {
        Ok(()) => {
            io.report.phase = Some(Phase::Ready);
            Ok(())
        }
        Err(verdict) => {
            if let Some(Verdict { outcome, text }) = verdict {
                io.judge(&answer, outcome, text);
            }
            Err(Stop::Enough)
        }
    }
}

fn greets(answer: &Response) -> Result<(), Option<Verdict>> {
    if matches!(answer.outcome, Outcome::NotFound | Outcome::Unsupported) {
        return Err(Some(Verdict::new(Outcome::Foreign, "no /lmstudio-greeting here: this is not LM Studio")));
    }
    let body: Value = answer::parsed(answer)?;
    match body.get("lmstudio") {
        Some(Value::Bool(true)) => return Ok(()),
        Some(_) => return Err(Some(Verdict::new(Outcome::Malformed, "`lmstudio` is not true"))),
        None => {}
    }
    Err(Some(match answer::error_of(&body) {
        Some(text) if list::is_no_such_route(&text) => {
            Verdict::new(Outcome::NotFound, format!("an LM Studio without a greeting, too old to be watched: {text}"))
        }
        Some(text) => Verdict::new(Outcome::Foreign, text),
        None => Verdict::new(Outcome::Foreign, "JSON without `lmstudio`"),
    }))
}

/// A model by one of its names.
fn named<'a>(entries: &'a [Entry], name: &str) -> Option<&'a Entry> {
    entries.iter().find(|entry| entry.key == name).or_else(|| entries.iter().find(|entry| entry.is_named(name)))
}
