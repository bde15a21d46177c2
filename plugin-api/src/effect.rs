//! What a session wants next: one effect per step.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::Depth;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    Request(Request),
    /// After `response` or `line` of a stream: go on.
    Read,
    Wait {
        ms: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// Ends the session: a [`crate::report::Report`] or a [`crate::report::RepairReport`].
    Report {
        report: Value,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub method: Method,
    /// From the target's base URL; starts with `/`.
    pub path: String,
    /// `target`, or an address of `start.processes`.
    #[serde(default = "target", skip_serializing_if = "is_target")]
    pub to: String,
    /// The depth that it is evidence for; default: the session's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Depth>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Answer line by line.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stream: bool,
    /// For the whole answer: connecting, headers and body.
    pub timeout_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// Shown in the trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Request {
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

fn is_target(to: &str) -> bool {
    to == "target"
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    #[serde(rename = "GET")]
    Get,
    #[serde(rename = "HEAD")]
    Head,
    #[serde(rename = "POST")]
    Post,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
        }
    }
}
