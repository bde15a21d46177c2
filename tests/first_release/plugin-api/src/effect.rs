//! What a session wants next: one effect per step.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{event::Depth, or_default};

/// One effect: what the host is to do. It answers with the next event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// Send a request. Answered by `response`.
    Request(Request),
    /// After `response` or `line` of a stream: go on. Answered by `line` or `end`. Any other effect closes the stream.
    Read,
    /// Sleep. Answered by `waited`.
    Wait {
        /// How long, in ms.
        ms: u64,
        /// What for, shown in the trace and as progress of a repair.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// End the session.
    Report {
        /// Of a probe: an observation's report. Of a repair: a repair's report. Each has a schema of its own.
        report: Value,
    },
}

/// A request to the target, or to an address of its process tree. The host adds the target's own authorisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query, from the target's base URL; without `..`. A route of the manifest must allow it.
    pub path: String,
    /// `target`, or an address of `start.processes`: `1/49361`.
    #[serde(default = "target", deserialize_with = "or_target", skip_serializing_if = "is_target")]
    pub to: String,
    /// The depth that it is evidence for; the session's own if absent. A repair's requests are evidence for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Depth>,
    /// Name → value. The host's to set are `host`, `authorization`, `cookie`, `connection`, `content-length`,
    /// `transfer-encoding` and `proxy-*`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// At most 256 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Answer line by line: `response` gives the head, each `read` a line.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "std::ops::Not::not")]
    pub stream: bool,
    /// For the whole answer, in ms: connecting, headers and body.
    pub timeout_ms: u64,
    /// The largest body that is taken, in bytes; 1 MiB if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// What it is for, shown in the trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Request {
    /// Of the path and the headers together, each header as `name: value` and line end.
    pub fn head_bytes(&self) -> usize {
        self.path.len() + self.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>()
    }

    /// A GET to the target.
    pub fn get(path: impl Into<String>, timeout_ms: u64) -> Request {
        Request {
            method: Method::Get,
            path: path.into(),
            to: target(),
            of: None,
            headers: BTreeMap::new(),
            body: None,
            stream: false,
            timeout_ms,
            max_bytes: None,
            note: None,
        }
    }

    /// A POST of JSON to the target.
    pub fn post_json(path: impl Into<String>, body: &Value, timeout_ms: u64) -> Request {
        Request {
            method: Method::Post,
            headers: BTreeMap::from([("content-type".into(), "application/json".into())]),
            body: Some(body.to_string()),
            ..Request::get(path, timeout_ms)
        }
    }

    /// To an address of `start.processes` instead.
    pub fn to(mut self, address: impl Into<String>) -> Request {
        self.to = address.into();
        self
    }

    /// As evidence for another depth than the session's own.
    pub fn of(mut self, depth: Depth) -> Request {
        self.of = Some(depth);
        self
    }

    /// Answered line by line: go on with [`crate::Io::read`].
    pub fn streamed(mut self) -> Request {
        self.stream = true;
        self
    }

    /// The largest body that is taken, in bytes; 1 MiB without it, at most 4 MiB.
    pub fn max_bytes(mut self, bytes: u64) -> Request {
        self.max_bytes = Some(bytes);
        self
    }

    /// What it is for, shown in the trace.
    pub fn note(mut self, note: impl Into<String>) -> Request {
        self.note = Some(note.into());
        self
    }
}

fn target() -> String {
    "target".into()
}

fn or_target<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_else(target))
}

fn is_target(to: &str) -> bool {
    to == "target"
}

/// The methods that a session may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// Fetches.
    #[serde(rename = "GET")]
    Get,
    /// Fetches the head alone.
    #[serde(rename = "HEAD")]
    Head,
    /// Asks for work; in a probe only where the route's cost is known.
    #[serde(rename = "POST")]
    Post,
}

impl Method {
    /// The word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
        }
    }
}
