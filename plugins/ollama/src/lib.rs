//! ai-monitor's probe plugin for Ollama.
//!
//! Ollama's own routes can hang for 20 s behind a runner that hangs, `/api/version` never does; so it is asked first,
//! and the runners (children that are llama.cpp servers) are asked on their own ports.

mod api;
mod expiry;
mod inference;
mod models;
mod repair;
mod runners;

use ai_monitor_plugin_api::{
    Io, Plugin, Stop,
    effect::Request,
    event::{Depth, Outcome, Response, SessionKind, Start},
    export_plugin,
    report::{Phase, RepairReport},
};
use plugin_parts::answer::{self, Told};

/// For `/api/version`, which never blocks, beside a deeper probe.
const VERSION_MS: u64 = 5_000;
/// For `/api/ps`, which is silent for about 20 s while Ollama pings a runner that hangs.
const PS_MS: u64 = 22_000;
/// For `/api/ps` once a runner is known to be silent: it may be behind it, and what it tells is worth no more.
const PS_BEHIND_SILENCE_MS: u64 = 2_000;
/// For routes that read the disk.
const DISK_MS: u64 = 5_000;

/// The plugin.
pub struct Ollama;

export_plugin!(Ollama);

impl Plugin for Ollama {
    const MANIFEST: &'static str = include_str!("manifest.json");

    async fn probe(io: &mut Io, start: &Start) -> Result<(), Stop> {
        let SessionKind::Probe { depth, inference } = &start.session else {
            return Err(Stop::GiveUp("a repair came as a probe".into()));
        };
        match depth {
            Depth::Liveness => liveness(io, start.deadline_ms).await,
            Depth::Readiness => readiness(io, start).await,
            Depth::Progress => progress(io, start).await,
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

/// Asks for the version. Without it there is nothing more to learn, and the session ends.
async fn liveness(io: &mut Io, timeout_ms: u64) -> Result<(), Stop> {
    let answer = io.request(Request::get("/api/version", timeout_ms).of(Depth::Liveness)).await?;
    match answer.outcome {
        Outcome::Ok => {}
        // Every Ollama has this route.
        Outcome::NotFound | Outcome::Unsupported => {
            io.judge(&answer, Outcome::Foreign, "no /api/version here: this is not Ollama");
            return Err(Stop::Enough);
        }
        _ => {
            judge_busy(io, &answer);
            return Err(Stop::Enough);
        }
    }
    let body: serde_json::Value = answer::json(io, &answer).ok_or(Stop::Enough)?;
    match body.get("version").map(|version| version.as_str()) {
        Some(Some(version)) => {
            io.report.version = Some(version.to_owned());
            io.report.phase = Some(Phase::Ready);
            Ok(())
        }
        Some(None) => {
            io.judge(&answer, Outcome::Malformed, "`version` is no text");
            Err(Stop::Enough)
        }
        None => {
            let text = answer::error_of(&body).unwrap_or_else(|| "JSON without `version`".into());
            io.judge(&answer, Outcome::Foreign, text);
            Err(Stop::Enough)
        }
    }
}

/// All models with their states, and whether the runners are up.
async fn readiness(io: &mut Io, start: &Start) -> Result<(), Stop> {
    liveness(io, VERSION_MS).await?;
    runners::list(io, start);
    let tags = match models::tags(io).await? {
        // Whatever holds it up, its other routes would cost as long.
        Told::Silent => return Ok(()),
        told => told.value(),
    };
    let patience_ms = patience_ms(runners::look(io, start, runners::Look::Health).await?);
    let loaded = models::loaded(io, patience_ms).await?;
    runners::name_the_only_one(io, loaded.as_deref());
    io.report.models = models::merged(tags, loaded.as_deref(), &start.now);
    Ok(())
}

/// What the runners work on. They are asked first: where one of them hangs, `/api/ps` may hang behind it.
async fn progress(io: &mut Io, start: &Start) -> Result<(), Stop> {
    liveness(io, VERSION_MS).await?;
    runners::list(io, start);
    let patience_ms = patience_ms(runners::look(io, start, runners::Look::Slots).await?);
    if let Some(loaded) = models::loaded(io, patience_ms).await? {
        runners::name(io, start, &loaded).await?;
    }
    Ok(())
}

/// For `/api/ps`, by whether all runners answered.
fn patience_ms(all_answered: bool) -> u64 {
    if all_answered { PS_MS } else { PS_BEHIND_SILENCE_MS }
}

/// Ollama's full queue is a 503 with a busy text: it works, and has too much of it.
fn judge_busy(io: &mut Io, answer: &Response) -> bool {
    let busy = is_busy(answer);
    if busy {
        io.judge(answer, Outcome::Overloaded, answer::words(answer));
    }
    busy
}

fn is_busy(answer: &Response) -> bool {
    answer.outcome == Outcome::Unavailable && answer::words(answer).contains("server busy")
}
