//! ai-monitor's probe plugin for LocalAI.
//!
//! The front answers at once while its backends (a gRPC child for each loaded model) may hang. What tells of these is
//! for administrators alone, so its refusal is no fault of the target: `/system` counts as a progress route.
//!
//! Facts are from mudler/LocalAI, v4.9.0; a comment names the file.

mod admission;
mod api;
mod backends;
mod inference;
mod models;
mod monitor;
mod overload;
mod repair;
mod system;

use ai_monitor_plugin_api::{
    Io, Plugin, Stop,
    effect::Request,
    event::{Depth, Outcome, Response, SessionKind, Start},
    export_plugin,
    report::{Phase, RepairReport},
};
use plugin_parts::answer::{self, Told, Verdict};
use serde_json::Value;

/// For `/healthz` beside a deeper probe.
const FRONT_MS: u64 = 5_000;
/// For what the front has in memory or reads from its folder of models.
const LIST_MS: u64 = 5_000;

/// The plugin.
pub struct LocalAi;

export_plugin!(LocalAi);

impl Plugin for LocalAi {
    const MANIFEST: &'static str = include_str!("manifest.json");

    async fn probe(io: &mut Io, start: &Start) -> Result<(), Stop> {
        let SessionKind::Probe { depth, inference } = &start.session else {
            return Err(Stop::GiveUp("a repair came as a probe".into()));
        };
        match depth {
            Depth::Liveness => front(io, start.deadline_ms).await,
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

/// Asks `/healthz`, which needs no key and waits for nothing (core/http/routes/health.go). Without a good answer there
/// is nothing more to learn, and the session ends.
async fn front(io: &mut Io, timeout_ms: u64) -> Result<(), Stop> {
    let answer = io.request(Request::get("/healthz", timeout_ms).of(Depth::Liveness)).await?;
    match is_localai(&answer) {
        Ok(()) => Ok(()),
        Err(verdict) => {
            if let Some(Verdict { outcome, text }) = verdict {
                io.judge(&answer, outcome, text);
            }
            Err(Stop::Enough)
        }
    }
}

fn is_localai(answer: &Response) -> Result<(), Option<Verdict>> {
    let foreign = |text: &str| Err(Some(Verdict::new(Outcome::Foreign, text)));
    let body = answer.body.as_deref().unwrap_or_default().trim();
    match answer.outcome {
        Outcome::Ok if body.is_empty() => Ok(()),
        Outcome::Ok => match answer::error_text(body) {
            Some(text) => foreign(&text),
            None => foreign("LocalAI's /healthz has no body, this one has"),
        },
        Outcome::NotFound | Outcome::Unsupported => foreign("no /healthz here: this is not LocalAI"),
        _ => Err(None),
    }
}

/// Version, all models with their states, and where they run. Where it is silent, it is asked no more.
async fn readiness(io: &mut Io, start: &Start) -> Result<(), Stop> {
    front(io, FRONT_MS).await?;
    io.report.engines = backends::reported(start, None);
    started(io).await?;
    version(io).await?;
    let listed = match models::listed(io).await? {
        Told::Silent => return Ok(()),
        told => told.value(),
    };
    let loaded = system::loaded(io).await?.value();
    io.report.engines = backends::reported(start, loaded.as_deref());
    io.report.models = models::merged(listed, loaded.as_deref());
    Ok(())
}

/// Asks `/readyz`. While the models of its start are still coming in, its lists are not whole yet and the session ends;
/// so it does where there is no answer.
async fn started(io: &mut Io) -> Result<(), Stop> {
    let answer = io.request(Request::get("/readyz", LIST_MS)).await?;
    let body = answer.body.as_deref().and_then(|body| serde_json::from_str::<Value>(body).ok());
    let starting = body.is_some_and(|body| body.get("status").and_then(Value::as_str) == Some("starting"));
    match answer.outcome {
        Outcome::Ok => io.report.phase = Some(Phase::Ready),
        Outcome::Unavailable if starting => {
            io.report.phase = Some(Phase::Starting);
            return Err(Stop::Enough);
        }
        _ => {}
    }
    go_on(&answer)
}

async fn version(io: &mut Io) -> Result<(), Stop> {
    let answer = io.request(Request::get("/version", LIST_MS)).await?;
    let Some(body) = answer::json::<Value>(io, &answer) else { return go_on(&answer) };
    match body.get("version").and_then(Value::as_str) {
        Some(version) => io.report.version = Some(version.trim().to_owned()),
        None => io.judge(&answer, Outcome::Malformed, "JSON without `version`"),
    }
    Ok(())
}

/// The session ends at the first silence.
fn go_on(answer: &Response) -> Result<(), Stop> {
    if answer::silent(answer) { Err(Stop::Enough) } else { Ok(()) }
}

/// What is loaded and where it runs, and whether each backend still answers its front.
async fn progress(io: &mut Io, start: &Start) -> Result<(), Stop> {
    front(io, FRONT_MS).await?;
    let loaded = system::loaded(io).await?.value();
    // In the report before the route that may hang is asked.
    io.report.engines = backends::reported(start, loaded.as_deref());
    let Some(loaded) = loaded.filter(|loaded| !loaded.is_empty()) else { return Ok(()) };
    let Some(limited) = admission::limited(io).await? else { return Ok(()) };
    for engine in io.report.engines.iter_mut().flatten() {
        if let Some(limited) = engine.model.as_deref().and_then(|model| admission::of(&limited, model)) {
            engine.running = Some(limited.in_flight);
            engine.capacity = Some(limited.max_concurrent);
        }
    }
    monitor::ask(io, &loaded).await
}
