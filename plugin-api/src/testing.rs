//! Driving a plugin through its C table without a host, for a plugin's own tests.
//!
//! A [`Scene`] is what a backend would answer, in the order in which the plugin is expected to ask.

use std::{collections::VecDeque, ffi::c_void, fs, path::Path, ptr};

use serde_json::Value;

use crate::{
    effect::{Effect, Request},
    event::{At, End, Event, Line, Outcome, Response, SessionKind, Start},
    manifest::Manifest,
    recording::{Header, RECORDING, Recording, Said},
    table::{AIM_OK, AimPlugin, AimSink},
};

/// One session over a table.
pub struct Session {
    table: &'static AimPlugin,
    session: *mut c_void,
}

impl Session {
    /// # Panics
    /// Where the plugin makes no session.
    pub fn new(table: &'static AimPlugin) -> Session {
        let (mut session, mut text) = (ptr::null_mut(), Vec::new());
        let create = table.create.expect("the table has `create`");
        // SAFETY: both pointers are valid during the call.
        let code = unsafe { create(&mut session, &sink(&mut text)) };
        assert_eq!(code, AIM_OK, "{}", String::from_utf8_lossy(&text));
        Session { table, session }
    }

    /// The code and the text that an event gives.
    pub fn step(&mut self, event: &str) -> (i32, String) {
        let mut out = Vec::new();
        let step = self.table.step.expect("the table has `step`");
        // SAFETY: the session is alive; event and sink are valid during the call.
        let code = unsafe { step(self.session, event.as_ptr(), event.len(), &sink(&mut out)) };
        (code, String::from_utf8(out).expect("a plugin writes UTF-8"))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(destroy) = self.table.destroy {
            // SAFETY: the session is from `create`, and destroyed once.
            unsafe { destroy(self.session) };
        }
    }
}

fn sink(out: &mut Vec<u8>) -> AimSink {
    unsafe extern "C" fn put(ctx: *mut c_void, bytes: *const u8, len: usize) -> i32 {
        if len > 0 {
            // SAFETY: `ctx` is the vector of `sink`, borrowed for the call; the plugin passes `len` readable bytes.
            unsafe { (*ctx.cast::<Vec<u8>>()).extend_from_slice(std::slice::from_raw_parts(bytes, len)) };
        }
        0
    }
    AimSink { ctx: ptr::from_mut(out).cast(), put: Some(put) }
}

/// The manifest of a table.
///
/// # Panics
/// Where it cannot be had or read.
pub fn manifest(table: &AimPlugin) -> Manifest {
    let mut out = Vec::new();
    // SAFETY: the sink is valid during the call.
    let code = unsafe { table.manifest.expect("the table has `manifest`")(&sink(&mut out)) };
    assert_eq!(code, AIM_OK);
    serde_json::from_slice(&out).expect("the manifest can be read")
}

/// What a backend answers to one request.
#[derive(Debug, Clone)]
pub struct Reply {
    outcome: Outcome,
    at: Option<At>,
    status: Option<u16>,
    headers: Vec<(String, String)>,
    body: Option<String>,
    /// How a stream ends.
    end: Option<(Outcome, At)>,
}

impl Reply {
    /// A whole answer.
    pub fn status(status: u16, body: impl Into<String>) -> Reply {
        Reply {
            outcome: Outcome::of_status(status),
            at: None,
            status: Some(status),
            headers: Vec::new(),
            body: Some(body.into()),
            end: None,
        }
    }

    /// No answer.
    pub fn broken(outcome: Outcome, at: At) -> Reply {
        Reply { outcome, at: Some(at), status: None, headers: Vec::new(), body: None, end: None }
    }

    /// An answer as `curl -i` writes it, after lines of `> ` that repeat the request and before `curl_exit=`.
    ///
    /// # Panics
    /// Where the text has another form.
    pub fn recorded(text: &str) -> Reply {
        let text = text.replace("\r\n", "\n");
        let start = text.find("HTTP/1.").expect("a status line");
        let (head, body) = text[start..].split_once("\n\n").expect("a blank line after the headers");
        let mut head = head.lines();
        let status = head.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
        let headers = head.filter_map(|line| line.split_once(':'));
        let body = body.rsplit_once("curl_exit=").map_or(body, |(body, _)| body);
        let mut reply = Reply::status(status.expect("a status"), body);
        reply.headers = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
        reply
    }

    pub fn header(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The body, or the stream, breaks off where it ends.
    pub fn broken_off(mut self, outcome: Outcome) -> Reply {
        self.end = Some((outcome, At::Body));
        self
    }
}

/// Answers in the order in which they are expected to be asked for.
#[derive(Debug, Default)]
pub struct Scene {
    replies: VecDeque<(String, Reply)>,
}

impl Scene {
    pub fn new() -> Scene {
        Scene::default()
    }

    /// `request`: `GET /path`, or `GET /path 1/49361` at an address.
    pub fn on(mut self, request: &str, reply: Reply) -> Scene {
        self.replies.push_back((request.into(), reply));
        self
    }

    /// Runs a session and gives its report, and the bodies that it sent, in order. Line `n` of a stream comes 10 ms
    /// after line `n - 1`, a head after 1 ms.
    ///
    /// # Panics
    /// Where the session asks for something else, for what its manifest does not name, or ends without a report.
    pub fn run(self, table: &'static AimPlugin, start: &Start) -> (Value, Vec<Value>) {
        let (report, sent, _) = self.play(table, start);
        (report, sent)
    }

    /// Runs a session as [`Scene::run`] does and gives it as a session file, whose answers are `written`.
    /// `backend`: what is played, with its version; `shows`: what is to be seen in it.
    ///
    /// # Panics
    /// As [`Scene::run`].
    pub fn record(self, table: &'static AimPlugin, start: &Start, backend: &str, shows: &str) -> Recording {
        let manifest = manifest(table);
        let (_, _, mut recording) = self.play(table, start);
        recording.header = Some(Header {
            recording: RECORDING,
            plugin: manifest.id,
            version: manifest.version,
            contract: manifest.contract,
            backend: backend.into(),
            shows: shows.into(),
            source: "written".into(),
        });
        recording
    }

    fn play(mut self, table: &'static AimPlugin, start: &Start) -> (Value, Vec<Value>, Recording) {
        let routes = routes(&manifest(table), &start.session);
        let mut session = Session::new(table);
        let mut recording = Recording::default();
        let (mut sent, mut lines, mut requests) = (Vec::new(), VecDeque::new(), 0);
        let mut event = Event::Start(start.clone());
        loop {
            let (code, text) = session.step(&serde_json::to_string(&event).expect("an event can be written"));
            assert_eq!(code, AIM_OK, "{text}");
            recording.push(&event, Said::Effect(text.clone()));
            event = match serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")) {
                Effect::Request(request) => {
                    let (expected, reply) = self.replies.pop_front().unwrap_or_else(|| panic!("one too many: {text}"));
                    assert_eq!(spelled(&request), expected);
                    let local = if request.to == "target" { "" } else { "local " };
                    // A route is granted whatever its query.
                    let path = request.path.split('?').next().unwrap_or_default();
                    let route = format!("{local}{} {path}", request.method.as_str());
                    let is_prefix = |known: &str| known.strip_suffix('*').is_some_and(|known| route.starts_with(known));
                    let granted = |known: &String| known == "* *" || *known == route || is_prefix(known);
                    assert!(routes.iter().any(granted), "{route} is not in the manifest");
                    sent.extend(request.body.as_deref().and_then(|body| serde_json::from_str(body).ok()));
                    lines = stream(&request, &reply);
                    let response = response(requests, &request, reply);
                    requests += 1;
                    Event::Response(response)
                }
                Effect::Read => lines.pop_front().expect("a stream is open"),
                Effect::Wait { ms, .. } => Event::Waited(crate::event::Waited { ms }),
                Effect::Report { report } => {
                    assert!(self.replies.is_empty(), "not asked for: {:?}", self.replies);
                    return (report, sent, recording);
                }
            };
        }
    }
}

/// Compares a session, as JSON, with the file `NAME.jsonl` of a folder: the promise that the plugin's effects keep. With
/// `AI_MONITOR_UPDATE_GOLDEN` set, the file is written instead.
///
/// # Panics
/// Where they differ, or the file cannot be read or written.
pub fn assert_kept(folder: impl AsRef<Path>, name: &str, recording: &Recording) {
    let path = folder.as_ref().join(format!("{name}.jsonl"));
    let now = recording.to_text();
    if std::env::var_os("AI_MONITOR_UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(folder).expect("the folder of sessions");
        fs::write(&path, &now).expect("the session file");
    }
    let kept = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let kept = Recording::parse(&kept).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    if let Err(where_) = kept.same_as(recording) {
        panic!(
            "{} is another session: {where_}; if that is meant, run the test with AI_MONITOR_UPDATE_GOLDEN=1:\n{now}",
            path.display()
        );
    }
}

fn routes(manifest: &Manifest, session: &SessionKind) -> Vec<String> {
    match session {
        SessionKind::Probe { depth, .. } => manifest.probes[depth].routes.clone(),
        SessionKind::Repair { repair, .. } => manifest.repairs[repair].routes.clone(),
    }
}

fn spelled(request: &Request) -> String {
    let to = if request.to == "target" { String::new() } else { format!(" {}", request.to) };
    format!("{} {}{to}", request.method.as_str(), request.path)
}

/// The events after the head of a stream.
fn stream(request: &Request, reply: &Reply) -> VecDeque<Event> {
    if !request.stream || reply.outcome != Outcome::Ok {
        return VecDeque::new();
    }
    let mut ms = 1;
    let body = reply.body.as_deref().unwrap_or_default().trim_end_matches('\n');
    let mut events: VecDeque<Event> = VecDeque::new();
    for line in body.lines() {
        ms += 10;
        events.push_back(Event::Line(Line { ms, line: line.into() }));
    }
    let (outcome, at) = reply.end.map_or((Outcome::Ok, None), |(outcome, at)| (outcome, Some(at)));
    events.push_back(Event::End(End { ms: ms + 1, outcome, at }));
    events
}

fn response(number: u32, request: &Request, reply: Reply) -> Response {
    let streamed = request.stream && reply.outcome == Outcome::Ok;
    let (outcome, at) = match reply.end.filter(|_| !streamed) {
        Some((outcome, at)) => (outcome, Some(at)),
        None => (reply.outcome, reply.at),
    };
    Response {
        request: number,
        ms: if outcome == Outcome::Timeout { request.timeout_ms } else { 1 },
        outcome,
        at,
        status: reply.status,
        headers: reply.headers.into_iter().collect(),
        body: reply.body.filter(|_| !streamed),
        utf8: Some(true),
        text: None,
    }
}
