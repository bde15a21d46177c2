//! What llama.cpp's server has beyond the protocol: health, its properties, slots and metrics.
//!
//! A sleeping server is woken by `GET /slots`, and an idle one is kept awake by it, because it restarts the timer of
//! `--sleep-idle-seconds`; `/health`, `/props` and `/metrics` do neither (all measured). So `/props` is asked first,
//! then `/metrics`, and `/slots` only while there is work or no other way to know.

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::{Depth, Outcome, Response, Role, Start},
    report::{Counter, Engine, Phase},
};
use plugin_parts::{
    answer::{self, Told},
    llama_server::{self, Slot},
    metrics, percent, process,
};
use serde_json::Value;

use crate::{CHEAP_MS, api::Props, is_absent, server_engine};

/// A server that answers in a millisecond or not at all.
const CHILD_MS: u64 = 2_000;

/// Where a llama.cpp server answers.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// An address of `start.processes`; the target itself if absent.
    to: Option<String>,
    /// The model whose child a router is to pass the question on to.
    model: Option<String>,
}

impl Place {
    /// The target itself.
    pub fn target() -> Place {
        Place::default()
    }

    /// A child, on a port of its own.
    pub fn child(address: &str) -> Place {
        Place { to: Some(address.to_owned()), model: None }
    }

    /// A router's child by way of its router, which is told to load none.
    pub fn behind_router(model: &str) -> Place {
        Place { to: None, model: Some(model.to_owned()) }
    }

    fn get(&self, path: &str) -> Request {
        let path = match &self.model {
            Some(model) => format!("{path}?model={}&autoload=false", percent::encoded(model)),
            None => path.to_owned(),
        };
        let request = match &self.to {
            Some(address) => Request::get(path, CHILD_MS).to(address.clone()).of(Depth::Progress),
            None => Request::get(path, CHEAP_MS),
        };
        request.max_bytes(answer::LIST_BYTES)
    }
}

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
    match body.get("status").map(Value::as_str) {
        Some(Some("ok")) => return Ok(()),
        Some(None) => {
            io.judge(&answer, Outcome::Malformed, "`status` is no text");
            return Err(Stop::Enough);
        }
        _ => {}
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
pub async fn props(io: &mut Io) -> Result<Told<Props>, Stop> {
    let answer = io.request(Place::target().get("/props")).await?;
    let told = answer::told::<Props>(io, &answer);
    if let Told::Value(props) = &told {
        io.report.version = props.build_info.clone();
        io.report.phase = Some(if props.is_sleeping { Phase::Sleeping } else { Phase::Ready });
    }
    Ok(told)
}

/// What a single server works on.
pub async fn progress(io: &mut Io, start: &Start, props: &Props) -> Result<(), Stop> {
    let mut engine = server_engine(start, Role::Main);
    engine.model = props.model_alias.clone();
    describe(io, &Place::target(), props, falls_asleep(start), &mut engine).await?;
    io.report.engines = Some(vec![engine]);
    Ok(())
}

/// What a child works on, asked on its own port, or by way of its router. `true`: it was silent.
pub async fn child(io: &mut Io, place: &Place, falls_asleep: bool, engine: &mut Engine) -> Result<bool, Stop> {
    let answer = io.request(place.get("/props")).await?;
    if is_loading(&answer) {
        engine.phase = Some(Phase::Loading);
        return Ok(false);
    }
    match answer::told::<Props>(io, &answer) {
        Told::Value(props) => {
            engine.model = engine.model.take().or_else(|| props.model_alias.clone());
            describe(io, place, &props, falls_asleep, engine).await
        }
        Told::Silent => Ok(true),
        Told::Nothing => Ok(false),
    }
}

/// Fills in what metrics and slots tell of a server's work. `true`: it was silent.
async fn describe(
    io: &mut Io,
    place: &Place,
    props: &Props,
    falls_asleep: bool,
    engine: &mut Engine,
) -> Result<bool, Stop> {
    engine.capacity = props.total_slots;
    if props.is_sleeping {
        engine.phase = Some(Phase::Sleeping);
        engine.running = Some(0);
        return Ok(false);
    }
    engine.phase = Some(Phase::Ready);
    let work = match metrics(io, place, props).await? {
        Told::Value(text) => {
            let work = Work::read(&text);
            engine.running = work.running;
            engine.queued = work.queued;
            // Moves with each batch; `tokens_predicted_total` only when a request ends.
            if let Some(value) = metrics::sum(&text, "llamacpp:n_decode_total") {
                let counter = Counter { id: "n_decode_total".into(), kind: "batches".into(), value };
                engine.counters.get_or_insert_default().push(counter);
            }
            Some(work)
        }
        // Slots stand in the same queue: asking for them would be silent, too.
        Told::Silent => return Ok(true),
        Told::Nothing => None,
    };
    let idle = work.is_some_and(|work| work.is_none());
    if idle || (falls_asleep && work.is_none()) {
        return Ok(false);
    }
    match slots(io, place, props).await? {
        Told::Value(slots) => llama_server::describe(engine, &slots),
        Told::Silent => return Ok(true),
        Told::Nothing => {}
    }
    Ok(false)
}

/// Whether a token would be made at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    Full,
    /// As far as it tells.
    Free,
    /// It answers nothing that stands in its queue: only a token tells whether it works at all.
    Silent,
}

/// Asked immediately before a token, of a server that is awake.
pub async fn room(io: &mut Io, place: &Place, props: &Props) -> Result<Room, Stop> {
    let is_full = match metrics(io, place, props).await? {
        Told::Value(text) => {
            let Work { running, queued } = Work::read(&text);
            running.zip(props.total_slots).is_some_and(|(running, slots)| running >= slots) || queued.unwrap_or(0) > 0
        }
        Told::Silent => return Ok(Room::Silent),
        Told::Nothing => match slots(io, place, props).await? {
            Told::Value(slots) => !llama_server::has_free_slot(&slots),
            Told::Silent => return Ok(Room::Silent),
            Told::Nothing => false,
        },
    };
    Ok(if is_full { Room::Full } else { Room::Free })
}

/// The same of a child. `Err`: why no token may be asked of it.
pub async fn childs_room(io: &mut Io, place: &Place) -> Result<Result<Room, String>, Stop> {
    let answer = io.request(place.get("/props")).await?;
    if is_loading(&answer) {
        return Ok(Err("it is loading".into()));
    }
    let Some(props) = answer::json::<Props>(io, &answer) else {
        return Ok(Err(format!("whether it sleeps cannot be known: {}", answer::words(&answer))));
    };
    if props.is_sleeping {
        return Ok(Err("it sleeps: asking would wake it".into()));
    }
    room(io, place, &props).await.map(Ok)
}

/// Whether a server that is left alone falls asleep, as far as command lines and settings tell.
pub fn falls_asleep(start: &Start) -> bool {
    let told = start.settings.get("sleeps_when_idle").and_then(Value::as_bool).unwrap_or(false);
    told || start.processes.iter().flatten().any(|process| args_say_asleep(&process.args))
}

/// By the arguments of one server: 0 and less mean never.
pub fn args_say_asleep(args: &[String]) -> bool {
    process::argument(args, "--sleep-idle-seconds").and_then(|s| s.parse::<i64>().ok()).is_some_and(|s| s > 0)
}

/// Requests at work and waiting.
#[derive(Debug, Clone, Copy)]
struct Work {
    running: Option<u64>,
    queued: Option<u64>,
}

impl Work {
    fn read(text: &str) -> Work {
        Work {
            running: metrics::sum(text, "llamacpp:requests_processing"),
            queued: metrics::sum(text, "llamacpp:requests_deferred"),
        }
    }

    fn is_none(self) -> bool {
        self.running == Some(0) && self.queued.unwrap_or(0) == 0
    }
}

/// Its metrics, where it was started with `--metrics`.
async fn metrics(io: &mut Io, place: &Place, props: &Props) -> Result<Told<String>, Stop> {
    if props.endpoint_metrics != Some(true) {
        return Ok(Told::Nothing);
    }
    Ok(answer::text(io.request(place.get("/metrics").of(Depth::Progress)).await?))
}

/// Its slots, where it shows them. Never to be asked of a sleeping server.
async fn slots(io: &mut Io, place: &Place, props: &Props) -> Result<Told<Vec<Slot>>, Stop> {
    if props.endpoint_slots == Some(false) {
        return Ok(Told::Nothing);
    }
    let answer = io.request(place.get("/slots").of(Depth::Progress)).await?;
    Ok(answer::told(io, &answer))
}
