//! What the host tells a session.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{lenient, or_default};

/// One event: compact JSON whose first key is `event`. A plugin ignores keys that it does not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first event of every session, and of none but the first.
    Start(Start),
    /// Answers a `request`: the whole answer, or with `stream` its head.
    Response(Response),
    /// Answers a `read`: the next line of the stream.
    Line(Line),
    /// Answers a `read`: the stream is over.
    End(End),
    /// Answers a `wait`.
    Waited(Waited),
}

impl Event {
    /// Reads an event as the host writes it: `event` comes first, without spaces. So those that come most, or carry
    /// most, are read straight from the text; otherwise serde would keep all their parts until it knows which they are.
    pub(crate) fn read(json: &[u8]) -> serde_json::Result<Event> {
        if json.starts_with(br#"{"event":"response","#) {
            serde_json::from_slice(json).map(Event::Response)
        } else if json.starts_with(br#"{"event":"line","#) {
            serde_json::from_slice(json).map(Event::Line)
        } else if json.starts_with(br#"{"event":"start","#) {
            serde_json::from_slice(json).map(Event::Start)
        } else {
            serde_json::from_slice(json)
        }
    }

    /// Its word in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Start(_) => "start",
            Event::Response(_) => "response",
            Event::Line(_) => "line",
            Event::End(_) => "end",
            Event::Waited(_) => "waited",
        }
    }
}

/// How deep a probe looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Does it answer, as itself.
    Liveness,
    /// Can it serve, with what.
    Readiness,
    /// Does work move.
    Progress,
    /// Does a token come out.
    Inference,
}

impl Depth {
    /// All depths, shallowest first.
    pub const ALL: [Depth; 4] = [Depth::Liveness, Depth::Readiness, Depth::Progress, Depth::Inference];

    /// The word used on every border.
    pub fn as_str(self) -> &'static str {
        match self {
            Depth::Liveness => "liveness",
            Depth::Readiness => "readiness",
            Depth::Progress => "progress",
            Depth::Inference => "inference",
        }
    }
}

impl std::fmt::Display for Depth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a session is to do, and what is known for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// Newest minor of the contract that the host speaks.
    pub contract: String,
    /// A probe or a repair.
    #[serde(flatten)]
    pub session: SessionKind,
    /// For the whole session, in ms.
    pub deadline_ms: u64,
    /// The wall clock: RFC 3339, UTC.
    pub now: String,
    /// The target's settings, checked, defaults filled in.
    #[serde(default, deserialize_with = "or_default")]
    pub settings: Map<String, Value>,
    /// The flavour that identification found.
    #[serde(default)]
    pub variant: Option<String>,
    /// The effects that this host takes: `request`, `read`, `wait`, `report` and what a later minor adds.
    #[serde(default, deserialize_with = "or_default")]
    pub effects: Vec<String>,
    /// Given where the manifest needs `processes`. Absent or null: the host does not know the target's processes. `[]`:
    /// it looked, and there are none.
    #[serde(default)]
    pub processes: Option<Vec<Process>>,
}

impl Start {
    /// A start as a host of this version would give it, with nothing known beside.
    pub fn new(session: SessionKind, deadline_ms: u64, now: impl Into<String>) -> Start {
        Start {
            contract: crate::table::CONTRACT.into(),
            session,
            deadline_ms,
            now: now.into(),
            settings: Map::new(),
            variant: None,
            effects: ["request", "read", "wait", "report"].map(String::from).to_vec(),
            processes: None,
        }
    }
}

/// What a session is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "session", rename_all = "snake_case")]
pub enum SessionKind {
    /// One look at the target.
    Probe {
        /// How deep to look: a depth that the manifest names.
        depth: Depth,
        /// With depth `inference` only: what to ask.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inference: Option<InferenceAsk>,
    },
    /// One repair.
    Repair {
        /// A name of the manifest's `repairs`.
        repair: String,
        /// Its arguments, checked against the manifest's schema.
        #[serde(default, deserialize_with = "or_default")]
        args: Map<String, Value>,
    },
}

/// What an inference probe is to ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InferenceAsk {
    /// Absent or null: the first model that is fit.
    #[serde(default)]
    pub model: Option<String>,
    /// The user's turn.
    pub prompt: String,
    /// The most tokens that may be generated.
    pub max_tokens: u32,
    /// Asked by the clock: it may not even prolong a model's stay, else it is `skipped`.
    #[serde(default, deserialize_with = "or_default")]
    pub scheduled: bool,
}

/// A process of the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Lives for this session only; it is no process number.
    pub id: String,
    /// The id of its parent, if that is of the target.
    #[serde(default)]
    pub parent: Option<String>,
    /// What it is, by the manifest's `process`.
    pub role: Role,
    /// File name of the executable.
    pub exe: String,
    /// Arguments without the program's name, secrets masked.
    #[serde(default, deserialize_with = "or_default")]
    pub args: Vec<String>,
    /// `process/port`: loopback listeners proven to belong to the target's tree. A request may name one in `to`.
    #[serde(default, deserialize_with = "or_default")]
    pub addresses: Vec<String>,
}

/// What a process is to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The server: matches `process.main`.
    Main,
    /// Makes the tokens: matches `process.engines`.
    Engine,
    /// Neither.
    #[serde(other)]
    Other,
}

/// The answer to a request; a failed one is an answer too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// Number of the request, from 0.
    pub request: u32,
    /// Since the request was sent, in ms.
    pub ms: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Where it broke off; absent or null where it did not.
    #[serde(default, deserialize_with = "lenient")]
    pub at: Option<At>,
    /// The HTTP status; absent or null where none came.
    #[serde(default)]
    pub status: Option<u16>,
    /// Name in lower case → value; at most 16 KiB, without `set-cookie`.
    #[serde(default, deserialize_with = "or_default")]
    pub headers: BTreeMap<String, String>,
    /// What came of the body; absent or null where no status came, and with `stream`, where lines follow.
    #[serde(default)]
    pub body: Option<String>,
    /// False: the body was no UTF-8, and its bad bytes were replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utf8: Option<bool>,
    /// The words for a failure, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// A complete line of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Since the request was sent, in ms.
    pub ms: u64,
    /// Without its end of line; at most 256 KiB.
    pub line: String,
}

/// The end of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// Since the request was sent, in ms.
    pub ms: u64,
    /// `ok`: the server ended the stream.
    pub outcome: Outcome,
    /// Where it broke off; absent or null where it did not.
    #[serde(default, deserialize_with = "lenient")]
    pub at: Option<At>,
}

/// A wait is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waited {
    /// How long it was, in ms; less than was asked for where the session's time is up.
    pub ms: u64,
}

/// How a request ended. A closed list: a plugin takes a value that it does not know for a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// 2xx.
    Ok,
    /// Nobody listens.
    Refused,
    /// No route, name or TLS.
    Unreachable,
    /// Closed before the answer was whole.
    Reset,
    /// Not whole within `timeout_ms`.
    Timeout,
    /// The body is over `max_bytes`.
    TooLarge,
    /// 3xx, never followed.
    Redirect,
    /// 401, 403, 407.
    Unauthorised,
    /// 404, 410.
    NotFound,
    /// 405, 501.
    Unsupported,
    /// 429.
    Overloaded,
    /// 503.
    Unavailable,
    /// Other 4xx.
    Rejected,
    /// Other 5xx, or an error inside 200.
    Failed,
    /// Not what this route promises.
    Malformed,
    /// Another program's answer.
    Foreign,
    /// The session's time is up.
    Deadline,
    /// A value that this build does not know: take it for a failure.
    #[serde(other)]
    Unknown,
}

impl Outcome {
    /// The outcome that a status means, before a plugin has judged the answer.
    pub fn of_status(status: u16) -> Outcome {
        match status {
            200..=299 => Outcome::Ok,
            300..=399 => Outcome::Redirect,
            401 | 403 | 407 => Outcome::Unauthorised,
            404 | 410 => Outcome::NotFound,
            405 | 501 => Outcome::Unsupported,
            429 => Outcome::Overloaded,
            503 => Outcome::Unavailable,
            400..=499 => Outcome::Rejected,
            _ => Outcome::Failed,
        }
    }
}

/// Where a request broke off. A closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum At {
    /// The connection was not made.
    Connect,
    /// The request was not sent.
    Send,
    /// No whole head came.
    Headers,
    /// The body, or the stream, is not whole.
    Body,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_the_same_whether_its_name_comes_first_or_not() {
        for json in [
            r#"{"event":"response","request":3,"ms":4,"outcome":"ok","status":200,"body":"a \"quote\"","utf8":true,"new":1}"#,
            r#"{"event":"response","request":3,"ms":4,"outcome":"hibernated","at":null,"headers":null}"#,
            r#"{"event":"line","ms":4,"line":"one"}"#,
            r#"{"event":"end","ms":4,"outcome":"reset","at":"body"}"#,
            r#"{"event":"waited","ms":4}"#,
            r#"{"event":"start","contract":"1.0","session":"probe","depth":"progress","deadline_ms":9,"now":"n"}"#,
            r#"{"event":"start","session":"repair","repair":"load","args":{"a":1},"contract":"1.0","deadline_ms":9,"now":"n"}"#,
        ] {
            let read = Event::read(json.as_bytes()).unwrap();
            assert_eq!(read, serde_json::from_str(json).unwrap());
            // As nobody writes it, and as JSON allows it.
            let last = json.replacen(r#""event":"#, r#""first":0, "event" : "#, 1);
            assert_eq!(read, Event::read(last.as_bytes()).unwrap());
        }
        for json in ["", "[]", r#"{"event":"response","ms":4}"#, r#"{"event":"line","ms":4,"line":"cut"#] {
            assert!(Event::read(json.as_bytes()).is_err(), "{json}");
        }
    }
}
