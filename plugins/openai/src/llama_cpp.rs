//! What llama.cpp's server has beyond the protocol: health, its properties, slots and metrics.
//!
//! A sleeping server is woken by `GET /slots`, and a router loads and evicts; so `/props` is asked first.

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::{Depth, Outcome, Response, Role, Start},
    report::{Counter, Phase},
};
use plugin_parts::{
    answer,
    llama_server::{self, Slot},
    metrics,
};
use serde_json::Value;

use crate::{CHEAP_MS, LIST_BYTES, api::Props, is_absent, server_engine};

/// Asks `/health`. A server that does not answer or is loading ends the session.
pub async fn health(io: &mut Io, start: &Start, timeout_ms: u64) -> Result<(), Stop> {
    let answer = io.request(Request::get("/health", timeout_ms).of(Depth::Liveness)).await?;
    if answer.outcome != Outcome::Ok {
        note_loading(io, start, &answer);
        if is_absent(answer.outcome) {
            io.judge(&answer, Outcome::Foreign, "no /health here: this is not llama.cpp's server");
        }
        return Err(Stop::Enough);
    }
    let body: Value = answer::json(io, &answer).ok_or(Stop::Enough)?;
    if body.get("status").and_then(Value::as_str) == Some("ok") {
        return Ok(());
    }
    let text = answer::error_of(&body).unwrap_or_else(|| "JSON without `status` ok".into());
    io.judge(&answer, Outcome::Foreign, text);
    Err(Stop::Enough)
}

/// While it loads, the server answers every route with the same 503.
pub fn note_loading(io: &mut Io, start: &Start, answer: &Response) {
    if is_loading(answer) {
        io.report.phase = Some(Phase::Loading);
        if depth(start) == Some(Depth::Progress) {
            let mut engine = server_engine(start, Role::Main);
            engine.phase = Some(Phase::Loading);
            io.report.engines = Some(vec![engine]);
        }
    }
}

pub fn is_loading(answer: &Response) -> bool {
    answer.outcome == Outcome::Unavailable && answer::words(answer) == "Loading model"
}

fn depth(start: &Start) -> Option<Depth> {
    match start.session {
        ai_monitor_plugin_api::event::SessionKind::Probe { depth, .. } => Some(depth),
        _ => None,
    }
}

/// Its properties, which can be asked for at any time without waking it. Fills in version and phase.
pub async fn props(io: &mut Io) -> Result<Option<Props>, Stop> {
    let answer = io.request(Request::get("/props", CHEAP_MS).max_bytes(LIST_BYTES)).await?;
    let Some(props) = answer::json::<Props>(io, &answer) else { return Ok(None) };
    io.report.version = props.build_info.clone();
    io.report.phase = Some(if props.is_sleeping { Phase::Sleeping } else { Phase::Ready });
    Ok(Some(props))
}

/// What it works on.
pub async fn progress(io: &mut Io, start: &Start) -> Result<(), Stop> {
    let Some(props) = props(io).await? else { return Ok(()) };
    if props.is_router() {
        return Ok(());
    }
    let mut engine = server_engine(start, Role::Main);
    engine.model = props.model_alias.clone();
    engine.capacity = props.total_slots;
    if props.is_sleeping {
        engine.phase = Some(Phase::Sleeping);
        engine.running = Some(0);
        io.report.engines = Some(vec![engine]);
        return Ok(());
    }
    engine.phase = Some(Phase::Ready);
    // In the report before the routes that may hang are asked.
    io.report.engines = Some(vec![engine.clone()]);
    if let Some(slots) = slots(io, &props).await? {
        llama_server::describe(&mut engine, &slots);
        io.report.engines = Some(vec![engine.clone()]);
    }
    if let Some(text) = metrics(io, &props).await? {
        engine.queued = metrics::sum(&text, "llamacpp:requests_deferred");
        engine.running = engine.running.or(metrics::sum(&text, "llamacpp:requests_processing"));
        // Moves with each batch; `tokens_predicted_total` only when a request ends.
        if let Some(value) = metrics::sum(&text, "llamacpp:n_decode_total") {
            let counter = Counter { id: "n_decode_total".into(), kind: "batches".into(), value };
            engine.counters.get_or_insert_default().push(counter);
        }
        io.report.engines = Some(vec![engine]);
    }
    Ok(())
}

/// Its slots, where it shows them. Never to be asked of a sleeping server, or of a router.
pub async fn slots(io: &mut Io, props: &Props) -> Result<Option<Vec<Slot>>, Stop> {
    if props.is_sleeping || props.is_router() || props.endpoint_slots == Some(false) {
        return Ok(None);
    }
    let answer = io.request(Request::get("/slots", CHEAP_MS).of(Depth::Progress).max_bytes(LIST_BYTES)).await?;
    Ok(answer::json(io, &answer))
}

/// Its metrics, where it was started with `--metrics`.
pub async fn metrics(io: &mut Io, props: &Props) -> Result<Option<String>, Stop> {
    if props.is_router() || props.endpoint_metrics != Some(true) {
        return Ok(None);
    }
    let answer = io.request(Request::get("/metrics", CHEAP_MS).of(Depth::Progress).max_bytes(LIST_BYTES)).await?;
    Ok(answer.body.filter(|_| answer.outcome == Outcome::Ok))
}
