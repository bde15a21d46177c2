//! What the host tells a session.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::lenient;

/// One event. Its JSON form has `event` as its first key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    Start(Start),
    Response(Response),
    Line(Line),
    End(End),
    Waited(Waited),
}

impl Event {
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// Newest minor of the contract that the host speaks.
    pub contract: String,
    #[serde(flatten)]
    pub session: SessionKind,
    /// For the whole session.
    pub deadline_ms: u64,
    /// RFC 3339, UTC.
    pub now: String,
    /// The target's settings, checked, defaults filled in.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// The flavour that identification found.
    #[serde(default)]
    pub variant: Option<String>,
    /// Effects that this host takes.
    #[serde(default)]
    pub effects: Vec<String>,
    /// `None`: the host does not know the target's processes. Empty: it looked and there are none.
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "session", rename_all = "snake_case")]
pub enum SessionKind {
    Probe {
        depth: Depth,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inference: Option<InferenceAsk>,
    },
    Repair {
        repair: String,
        #[serde(default)]
        args: Map<String, Value>,
    },
}

/// What an inference probe is to ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InferenceAsk {
    /// `None`: the first model that is fit.
    #[serde(default)]
    pub model: Option<String>,
    pub prompt: String,
    pub max_tokens: u32,
    /// Asked by the clock: it may not even prolong.
    #[serde(default)]
    pub scheduled: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Lives for this session only.
    pub id: String,
    #[serde(default)]
    pub parent: Option<String>,
    pub role: Role,
    /// File name of the executable.
    pub exe: String,
    /// Arguments without the program's name, secrets masked.
    #[serde(default)]
    pub args: Vec<String>,
    /// `process/port`: loopback listeners proven to belong to the target's tree.
    #[serde(default)]
    pub addresses: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Main,
    Engine,
    #[serde(other)]
    Other,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// Number of the request, from 0.
    pub request: u32,
    /// Since the request was sent.
    pub ms: u64,
    pub outcome: Outcome,
    /// Where it broke off.
    #[serde(default, deserialize_with = "lenient")]
    pub at: Option<At>,
    #[serde(default)]
    pub status: Option<u16>,
    /// Names in lower case.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub body: Option<String>,
    /// False: bad bytes of the body were replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utf8: Option<bool>,
    /// The system's words for a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Since the request was sent.
    pub ms: u64,
    pub line: String,
}

/// The end of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// Since the request was sent.
    pub ms: u64,
    pub outcome: Outcome,
    #[serde(default, deserialize_with = "lenient")]
    pub at: Option<At>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waited {
    pub ms: u64,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// 2xx.
    Ok,
    Refused,
    /// No route, name or TLS.
    Unreachable,
    /// Closed before the answer was whole.
    Reset,
    Timeout,
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

/// Where a request broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum At {
    Connect,
    Send,
    Headers,
    Body,
}
