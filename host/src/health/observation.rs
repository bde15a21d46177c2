//! What one probe saw: the host's half, and the plugin's report.

use std::time::Duration;

use ai_monitor_plugin_api::{
    event::{At, Depth, Outcome},
    manifest::Confidence,
    report::Report,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One probe's outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    pub depth: Depth,
    pub at: Timestamp,
    /// How long the whole session took.
    pub took: Duration,
    /// Plugin id and version.
    pub plugin: String,
    pub plugin_version: String,
    pub end: SessionEnd,
    pub requests: Vec<RequestRecord>,
    /// Absent when the session did not end well.
    pub report: Option<Report>,
}

/// How a session ended. All but `Report` are the plugin's own fault or the host's doing, never evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", content = "reason", rename_all = "snake_case")]
pub enum SessionEnd {
    Report,
    PluginError(String),
    ProtocolError(String),
    Crashed(String),
    Overrun(String),
    Cancelled,
}

impl SessionEnd {
    /// Why there is no report, in words; `None`: there is one.
    pub fn failure(&self) -> Option<String> {
        match self {
            SessionEnd::Report => None,
            SessionEnd::PluginError(e) => Some(format!("it failed: {e}")),
            SessionEnd::ProtocolError(e) => Some(format!("it spoke out of protocol: {e}")),
            SessionEnd::Crashed(e) => Some(format!("it crashed: {e}")),
            SessionEnd::Overrun(e) => Some(format!("it overran: {e}")),
            SessionEnd::Cancelled => Some("it was cancelled".to_owned()),
        }
    }
}

/// One request of a session, as the host measured it and (where it had a status) as the plugin judged it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// The depth that it is evidence for; `None` in a repair.
    pub of: Option<Depth>,
    /// `target`, or an address of the tree.
    pub to: String,
    pub method: String,
    pub path: String,
    pub status: Option<u16>,
    /// The host's outcome, replaced by the plugin's where it judged the answer.
    pub outcome: Outcome,
    pub at: Option<At>,
    pub ms: u64,
    pub bytes: u64,
    /// The system's or the plugin's words.
    pub text: Option<String>,
}

impl RequestRecord {
    /// "GET /api/version: timeout, no headers, 5000 ms": the words of evidence lines and stories.
    pub fn sentence(&self) -> String {
        let mut s = format!("{} {}", self.method, self.path);
        if self.to != "target" {
            s.push_str(" on the runner");
        }
        let outcome = serde_json::to_value(self.outcome).ok().and_then(|v| v.as_str().map(str::to_owned));
        s.push_str(": ");
        s.push_str(&outcome.unwrap_or_default().replace('_', " "));
        if let Some(status) = self.status {
            s.push_str(&format!(" ({status})"));
        }
        match self.at {
            Some(At::Connect) => s.push_str(", no connection"),
            Some(At::Send) => s.push_str(", not sent"),
            Some(At::Headers) => s.push_str(", no headers"),
            Some(At::Body) => s.push_str(", broke off in the body"),
            None => {}
        }
        s.push_str(&format!(", {} ms", self.ms));
        if let Some(text) = &self.text {
            s.push_str(&format!(" ({text})"));
        }
        s
    }
}

/// Who answers at an address, by the manifests' rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Plugin id.
    pub backend: String,
    pub confidence: Confidence,
    pub variant: Option<String>,
}
