//! What the kit's backend answers when all is well: from recordings, or a page that looks like many backends' at once.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Kit, identify, schema, world::Answer};
use crate::{
    effect::Request,
    event::{Depth, End, Event, InferenceAsk, Outcome, Process, Response, Role, SessionKind, Start},
    manifest::{Manifest, ProcessSpec},
    recording::{Recording, Said},
};

/// The clock of all sessions of the kit.
pub(super) const NOW: &str = "2026-11-24T04:02:00Z";
/// The model of the kit's own backend.
pub(super) const MODEL: &str = "kit-model";

/// A session to be played, and a backend for it that is well.
#[derive(Debug, Clone)]
pub(super) struct Base {
    /// In words, for a failure's text.
    pub name: String,
    pub start: Start,
    /// `GET /path`, or with an address behind it → the answers, in turn; the last again and again.
    answers: BTreeMap<String, Vec<Answer>>,
    /// From a session of the real backend.
    pub recorded: bool,
}

impl Base {
    /// Whether its answers are the backend's, or such as the manifest knows it by.
    pub(super) fn is_like_the_backend(&self) -> bool {
        self.recorded || !self.answers.is_empty()
    }

    /// The answer to `request`, which is asked for the `nth` time.
    pub(super) fn answer(&self, request: &Request, nth: usize) -> Answer {
        let known = self.answers.get(&key(request)).or_else(|| self.answers.get(&route(request)));
        match known.and_then(|answers| answers.get(nth.min(answers.len().saturating_sub(1)))) {
            Some(answer) => answer.clone(),
            None if self.recorded => Answer::status(404, "not found"),
            None => universal(request.stream),
        }
    }
}

/// All sessions that the kit begins with.
pub(super) fn all(kit: &Kit, manifest: &Manifest) -> Vec<Base> {
    let mut bases: Vec<Base> = Vec::new();
    for (number, recording) in kit.recordings.iter().enumerate() {
        if let Some(base) = recorded(recording, number) {
            bases.extend(variations(&base));
            bases.push(base);
        }
    }
    let mut starts: Vec<Start> = manifest.probes.keys().flat_map(|depth| probes(manifest, *depth)).collect();
    for repair in manifest.repairs.keys() {
        let start = self::repair(manifest, repair);
        let flavoured = variants(manifest).into_iter().map(|variant| with_variant(&start, variant)).collect::<Vec<_>>();
        starts.extend([start].into_iter().chain(flavoured));
    }
    bases.extend(starts.iter().map(|start| made_up(manifest, start.clone())));
    bases.extend(identified(manifest, &starts));
    bases
}

/// The same sessions with a backend that answers as the manifest's rules of identification want it: what passes for
/// this backend there gets behind a plugin's own first check, too.
fn identified(manifest: &Manifest, starts: &[Start]) -> Vec<Base> {
    let mut bases: Vec<Base> = Vec::new();
    for (number, rule) in manifest.identify.iter().enumerate() {
        let answers = identify::answers(rule, &page());
        if answers.is_empty() {
            continue;
        }
        for start in starts.iter().filter(|start| start.variant == rule.variant) {
            if bases.iter().any(|base| base.start == *start && base.answers == answers) {
                continue;
            }
            let name = format!("{}, answers by rule {number} of `identify`", spelled(start));
            bases.push(Base { name, start: start.clone(), answers: answers.clone(), recorded: false });
        }
    }
    bases
}

/// The flavours that identification tells, each once.
fn variants(manifest: &Manifest) -> Vec<&str> {
    let mut variants: Vec<&str> = Vec::new();
    for variant in manifest.identify.iter().filter_map(|rule| rule.variant.as_deref()) {
        if !variants.contains(&variant) {
            variants.push(variant);
        }
    }
    variants
}

fn with_variant(start: &Start, variant: &str) -> Start {
    Start { variant: Some(variant.to_owned()), ..start.clone() }
}

/// A probe of each way in which the host asks for this depth, and one of each flavour.
pub(super) fn probes(manifest: &Manifest, depth: Depth) -> Vec<Start> {
    let asks: Vec<Option<InferenceAsk>> = match depth {
        Depth::Inference => vec![Some(ask(None, false)), Some(ask(Some(MODEL), false)), Some(ask(Some(MODEL), true))],
        _ => vec![None],
    };
    let Some(spec) = manifest.probes.get(&depth) else { return Vec::new() };
    let knows =
        if spec.needs.is_empty() { vec![None] } else { vec![None, Some(Vec::new()), Some(tree(&manifest.process))] };
    let mut starts = Vec::new();
    for inference in asks {
        for processes in &knows {
            let session = SessionKind::Probe { depth, inference: inference.clone() };
            let mut start = with_defaults(manifest, Start::new(session, spec.deadline_ms, NOW));
            start.processes.clone_from(processes);
            starts.push(start);
        }
    }
    // With any model, and all the processes that it may know.
    if let Some(start) = starts.get(knows.len() - 1).cloned() {
        starts.extend(variants(manifest).into_iter().map(|variant| with_variant(&start, variant)));
    }
    starts
}

/// A repair with arguments of its schema.
pub(super) fn repair(manifest: &Manifest, name: &str) -> Start {
    let spec = manifest.repairs.get(name);
    let args = spec.and_then(|spec| spec.args.as_ref()).map(schema::sample).unwrap_or_default();
    let session = SessionKind::Repair { repair: name.to_owned(), args };
    let mut start = with_defaults(manifest, Start::new(session, spec.map_or(30_000, |spec| spec.deadline_ms), NOW));
    if spec.is_some_and(|spec| !spec.needs.is_empty()) {
        start.processes = Some(tree(&manifest.process));
    }
    start
}

/// The settings as a host hands them over.
pub(super) fn with_defaults(manifest: &Manifest, mut start: Start) -> Start {
    start.settings = manifest.settings.as_ref().map(schema::defaults).unwrap_or_default();
    start
}

pub(super) fn made_up(_manifest: &Manifest, start: Start) -> Base {
    Base {
        name: format!("{}, the kit's own answers", spelled(&start)),
        start,
        answers: BTreeMap::new(),
        recorded: false,
    }
}

/// A session in words: `progress, 2 processes`.
pub(super) fn spelled(start: &Start) -> String {
    let what = match &start.session {
        SessionKind::Probe { depth, inference: Some(ask) } => {
            let model = ask.model.as_deref().unwrap_or("any model");
            format!("{depth} of {model}{}", if ask.scheduled { ", by schedule" } else { "" })
        }
        SessionKind::Probe { depth, inference: None } => depth.to_string(),
        SessionKind::Repair { repair, .. } => format!("repair {repair}"),
    };
    let what = match &start.variant {
        None => what,
        Some(variant) => format!("{what} of a {variant}"),
    };
    match &start.processes {
        None => what,
        Some(processes) => format!("{what}, {} processes", processes.len()),
    }
}

/// The session of a recording. `None`: it has no start.
pub(super) fn recorded(recording: &Recording, number: usize) -> Option<Base> {
    let start = recording.start()?;
    let mut answers: BTreeMap<String, Vec<Answer>> = BTreeMap::new();
    let mut open: Option<(String, Answer)> = None;
    let mut asked: Option<Request> = None;
    for step in &recording.steps {
        match serde_json::from_str::<Event>(&step.event) {
            Ok(Event::Response(response)) => {
                answers_close(&mut answers, open.take());
                if let Some(request) = asked.take() {
                    // A session that has what it wants reads no further, so that the file may have no end of it.
                    let is_stream = request.stream && response.outcome == Outcome::Ok;
                    let end = is_stream.then_some(End { ms: response.ms, outcome: Outcome::Ok, at: None });
                    open = Some((key(&request), Answer { response, lines: Vec::new(), end }));
                }
            }
            Ok(Event::Line(line)) => {
                if let Some((_, answer)) = &mut open {
                    if let Some(end) = &mut answer.end {
                        end.ms = line.ms;
                    }
                    answer.lines.push(line);
                }
            }
            Ok(Event::End(end)) => {
                if let Some((_, answer)) = &mut open {
                    answer.end = Some(end);
                }
            }
            _ => {}
        }
        if let Said::Effect(effect) = &step.said
            && let Ok(crate::effect::Effect::Request(request)) = serde_json::from_str(effect)
        {
            asked = Some(request);
        }
    }
    answers_close(&mut answers, open);
    let shows = recording.header.as_ref().map(|header| header.shows.clone()).filter(|shows| !shows.is_empty());
    let shows = shows.unwrap_or_else(|| format!("number {number}"));
    Some(Base { name: format!("{}, recorded ({shows})", spelled(&start)), start, answers, recorded: true })
}

fn answers_close(answers: &mut BTreeMap<String, Vec<Answer>>, open: Option<(String, Answer)>) {
    if let Some((key, answer)) = open {
        // The same route at another address answers alike where the address is not known.
        let route = key.rsplit_once(' ').filter(|(_, to)| to.contains('/')).map(|(route, _)| format!("local {route}"));
        for key in route.into_iter().chain([key]) {
            answers.entry(key).or_default().push(answer.clone());
        }
    }
}

/// The same backend, asked in another way.
fn variations(base: &Base) -> Vec<Base> {
    let mut all = Vec::new();
    if base.start.processes.is_some() {
        let mut other = base.clone();
        other.start.processes = None;
        other.name.push_str(", its processes not known");
        all.push(other);
    }
    if let SessionKind::Probe { inference: Some(ask), .. } = &base.start.session
        && !ask.scheduled
    {
        let mut other = base.clone();
        other.name.push_str(", by schedule");
        if let SessionKind::Probe { inference: Some(ask), .. } = &mut other.start.session {
            ask.scheduled = true;
        }
        all.push(other);
    }
    all
}

fn ask(model: Option<&str>, scheduled: bool) -> InferenceAsk {
    InferenceAsk { model: model.map(str::to_owned), prompt: "Say: ok".into(), max_tokens: 8, scheduled }
}

/// A server and an engine below it, by the names of the manifest.
fn tree(spec: &ProcessSpec) -> Vec<Process> {
    let exe = spec.main.first().cloned().unwrap_or_else(|| "server".into());
    let main = Process {
        id: "0".into(),
        parent: None,
        role: Role::Main,
        exe,
        args: vec!["serve".into()],
        addresses: vec!["0/40000".into()],
    };
    let engine = spec.engines.first();
    let name = engine.and_then(|engine| engine.exe.first().or(engine.title.first()));
    let mut args = engine.map(|engine| engine.args.clone()).unwrap_or_default();
    args.extend(["--model", "/models/kit-model.gguf", "--port", "40001"].map(String::from));
    let engine = Process {
        id: "1".into(),
        parent: Some("0".into()),
        role: Role::Engine,
        exe: name.cloned().unwrap_or_else(|| "engine".into()),
        args,
        addresses: vec!["1/40001".into()],
    };
    vec![main, engine]
}

/// A page that has what many backends have, so that a plugin of an unknown one comes a few steps far.
fn universal(stream: bool) -> Answer {
    if !stream {
        let mut answer = Answer::status(200, page().to_string());
        answer.response.headers.insert("content-type".into(), "application/json".into());
        return answer;
    }
    let chunk = json!({"model": MODEL, "message": {"role": "assistant", "content": "ok"}, "response": "ok",
        "choices": [{"index": 0, "delta": {"content": "ok"}, "text": "ok", "finish_reason": null}], "done": false});
    let last = json!({"model": MODEL, "message": {"role": "assistant", "content": ""}, "response": "", "done": true,
        "done_reason": "stop", "eval_count": 1, "eval_duration": 1_000_000,
        "choices": [{"index": 0, "delta": {}, "text": "", "finish_reason": "stop"}]});
    let mut answer = Answer::status(200, String::new());
    answer.response.body = None;
    answer.lines = [format!("data: {chunk}"), String::new(), format!("data: {last}"), "data: [DONE]".into()]
        .into_iter()
        .enumerate()
        .map(|(i, line)| crate::event::Line { ms: 5 + i as u64, line })
        .collect();
    answer.end = Some(End { ms: 9, outcome: Outcome::Ok, at: None });
    answer
}

fn page() -> Value {
    let model = json!({"id": MODEL, "name": MODEL, "model": MODEL, "key": MODEL, "object": "model", "owned_by": "kit",
        "state": "loaded", "size": 1000, "size_vram": 0, "expires_at": "2026-11-24T04:06:14Z"});
    let fields: Map<String, Value> = [
        ("version", json!("1.0.0")),
        ("status", json!("ok")),
        ("state", json!("up")),
        ("object", json!("list")),
        ("models", json!([model])),
        ("data", json!([model])),
        ("running", json!(0)),
        ("done_reason", json!("load")),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    Value::Object(fields)
}

/// `GET /path 1/49361`
fn key(request: &Request) -> String {
    let to = if request.to == "target" { String::new() } else { format!(" {}", request.to) };
    format!("{} {}{to}", request.method.as_str(), request.path)
}

/// `local GET /path`
fn route(request: &Request) -> String {
    let local = if request.to == "target" { "" } else { "local " };
    format!("{local}{} {}", request.method.as_str(), request.path)
}

/// A response of the kit: numbered as it is sent.
pub(super) fn response(outcome: Outcome, status: Option<u16>, body: Option<String>) -> Response {
    Response {
        request: 0,
        ms: 1,
        outcome,
        at: None,
        status,
        headers: BTreeMap::new(),
        utf8: body.as_ref().map(|_| true),
        body,
        text: None,
    }
}
