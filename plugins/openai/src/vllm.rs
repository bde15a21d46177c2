//! What vLLM has beyond the protocol: health of its engine, version and metrics.
//!
//! Its metrics also tell whether it sleeps (`/is_sleeping` is there in its developers' mode alone) and count requests
//! rightly, which `/load` does only where the server was started to.

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::{Depth, Outcome, Process, Role, Start},
    report::{Counter, Engine, ModelState, Phase, Symptom},
};
use plugin_parts::{
    answer::{self, Told},
    metrics,
};
use serde_json::Value;

use crate::{CHEAP_MS, server_engine};

/// Asks `/health`: 200 with no body, or 503 once the engine is dead.
pub async fn health(io: &mut Io, timeout_ms: u64) -> Result<(), Stop> {
    let answer = io.request(Request::get("/health", timeout_ms).of(Depth::Liveness)).await?;
    match answer.outcome {
        Outcome::Ok if answer.body.as_deref().unwrap_or_default().trim().is_empty() => {
            io.report.phase = Some(Phase::Ready);
            return Ok(());
        }
        Outcome::Ok => io.judge(&answer, Outcome::Foreign, "vLLM's /health has no body, this one has"),
        Outcome::Unavailable => {
            io.report.phase = Some(Phase::Failed);
            let text = format!("GET /health: {}, as vLLM answers when its engine is dead", answer::words(&answer));
            io.report.symptoms.push(Symptom { id: "engine_dead".into(), text, model: None, engine: None });
        }
        _ => {}
    }
    Err(Stop::Enough)
}

/// The state of all its models: it listens only when its one model is in memory, and may be put to sleep. Fills in
/// version and phase. `None`: it was silent before that was known.
pub async fn state(io: &mut Io) -> Result<Option<ModelState>, Stop> {
    let answer = io.request(Request::get("/version", CHEAP_MS)).await?;
    if answer::silent(&answer) {
        return Ok(None);
    }
    let body = answer::json::<Value>(io, &answer);
    io.report.version = body.and_then(|body| Some(body.get("version")?.as_str()?.to_owned()));
    Ok(match metrics(io).await? {
        Told::Silent => None,
        Told::Value(text) if sleeps(&text) => Some(ModelState::Sleeping),
        Told::Value(_) | Told::Nothing => Some(ModelState::Loaded),
    })
}

/// Its metrics, which need no key. Fills in the phase.
async fn metrics(io: &mut Io) -> Result<Told<String>, Stop> {
    let request = Request::get("/metrics", CHEAP_MS).of(Depth::Progress).max_bytes(answer::LIST_BYTES);
    let answer = io.request(request).await?;
    let text = answer::text(answer);
    if let Told::Value(text) = &text
        && sleeps(text)
    {
        io.report.phase = Some(Phase::Sleeping);
    }
    Ok(text)
}

/// Put to sleep by its user: its model is out of GPU memory, and no request is served until it is woken.
fn sleeps(text: &str) -> bool {
    metrics::sum_with(text, "vllm:engine_sleep_state", "sleep_state=\"awake\"") == Some(0)
}

/// What it works on.
pub async fn progress(io: &mut Io, start: &Start) -> Result<(), Stop> {
    let Some(text) = metrics(io).await?.value() else { return Ok(()) };
    let mut engine = engine(start);
    engine.running = metrics::sum(&text, "vllm:num_requests_running");
    engine.queued = metrics::sum(&text, "vllm:num_requests_waiting");
    engine.phase = sleeps(&text).then_some(Phase::Sleeping);
    let counters: Vec<_> = [("prompt", "vllm:prompt_tokens_total"), ("decode", "vllm:generation_tokens_total")]
        .into_iter()
        .filter_map(|(kind, id)| Some(Counter { id: id.into(), kind: kind.into(), value: metrics::sum(&text, id)? }))
        .collect();
    engine.counters = (!counters.is_empty()).then_some(counters);
    io.report.engines = Some(vec![engine]);
    Ok(())
}

/// The one engine that its metrics tell of. Its process is the one that schedules, `EngineCore`, a child of the server;
/// with more than one GPU its workers are below that. Several (data parallel) cannot be told apart, and without any the
/// work is done by the server itself.
fn engine(start: &Start) -> Engine {
    let engines: Vec<_> = start.processes.iter().flatten().filter(|process| process.role == Role::Engine).collect();
    let is_worker = |process: &Process| engines.iter().any(|above| process.parent.as_ref() == Some(&above.id));
    let mut cores = engines.iter().filter(|process| !is_worker(process));
    match (cores.next(), cores.next()) {
        (None, _) => server_engine(start, Role::Main),
        (Some(only), None) => Engine { id: "server".into(), process: Some(only.id.clone()), ..Engine::default() },
        (Some(_), Some(_)) => Engine { id: "server".into(), ..Engine::default() },
    }
}

/// Why it may not be asked for a token now.
pub async fn is_unfit(io: &mut Io) -> Result<Option<String>, Stop> {
    let text = match metrics(io).await? {
        Told::Value(text) => text,
        // They are its front's, which waits for no engine: a token would say no more of that.
        Told::Silent => return Ok(Some("its front is silent".into())),
        Told::Nothing => return Ok(None),
    };
    if sleeps(&text) {
        return Ok(Some("it sleeps: no request is served until its user wakes it".into()));
    }
    let waiting = metrics::sum(&text, "vllm:num_requests_waiting").filter(|waiting| *waiting > 0);
    Ok(waiting.map(|waiting| format!("{waiting} requests wait already")))
}
