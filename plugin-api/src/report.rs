//! What a session says at its end: the plugin's half of an observation, or the result of a repair.
//!
//! Absent or `null` means *not known*; `[]`, `0` and `false` mean *looked, and there is none*.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{event::Outcome, lenient};

/// What a probe saw. Every field is optional.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The backend's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Of the whole server.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub phase: Option<Phase>,
    /// What answers *with a status* really were, where the host's outcome is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub judged: Vec<Judged>,
    /// All models that the backend would serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<Model>>,
    /// The places where tokens are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engines: Option<Vec<Engine>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference: Option<Inference>,
    /// Signatures of this backend's own known failures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub symptoms: Vec<Symptom>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Starting,
    /// Cannot serve yet.
    Loading,
    Ready,
    /// Will serve, at the price of a load.
    Sleeping,
    /// Says so itself.
    Failed,
}

/// A plugin's reading of one answer of this session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Number of the request, from 0.
    pub request: u32,
    pub outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Model {
    pub id: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub state: Option<ModelState>,
    /// In memory; on disk while unloaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// The part of it in GPU memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_bytes: Option<u64>,
    /// RFC 3339, or `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Open list: `completion`, `embedding`, `vision`, `remote`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<String>>,
    /// For display only, at most 16 entries.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub info: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    Unloaded,
    Loading,
    Loaded,
    Sleeping,
    Stopping,
    Failed,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Engine {
    /// Stable between observations while it is the same engine; best `name/port`.
    pub id: String,
    /// Id of a process of `start.processes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Requests at work: at least so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<u64>,
    /// Requests that wait: at least so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<u64>,
    /// How many run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub phase: Option<Phase>,
    /// Values that change only by work and while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<Vec<Counter>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// A task's counter carries the task in its id.
    pub id: String,
    /// Open list; `prompt` and `decode` count tokens.
    pub kind: String,
    pub value: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inference {
    /// Which model answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub result: Option<InferenceResult>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// From sending to the first text in any channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<u64>,
    /// Tokens per second while generating.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode_tps: Option<f64>,
    /// As the backend says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InferenceResult {
    /// At least one token in any channel, or a vector of an embedding model.
    Output,
    /// Ended without a token.
    Empty,
    Failed,
    Timeout,
    /// Not asked; `text` says why.
    Skipped,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    #[serde(default)]
    pub content: u64,
    #[serde(default)]
    pub thinking: u64,
    #[serde(default)]
    pub total: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symptom {
    /// `engine_dead`, `model_crashed`, `device_error`, `out_of_memory`, `load_failed`, `load_timeout`,
    /// `model_corrupt`, `no_space`, `not_installed`; an id that the host does not know is shown and decides nothing.
    pub id: String,
    /// The backend's words.
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
}

/// What a repair session says at its end. Whether it worked is measured by the host, from `expect`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RepairReport {
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub result: Option<RepairResult>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<Expect>,
    /// All of `expect` must hold within this time, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub symptoms: Vec<Symptom>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepairResult {
    /// The backend accepted.
    Done,
    Already,
    /// It will not now.
    Refused,
    Unsupported,
    Failed,
}

/// Something that must hold after a repair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Expect {
    /// The model is in one of these states.
    Model { model: String, state: Vec<ModelState> },
    /// The process of `start.processes` is gone.
    Process { process: String, gone: bool },
}

/// The longest text of a report, in bytes; the host cuts what is longer.
pub const TEXT_MAX: usize = 512;

/// A text of at most [`TEXT_MAX`] bytes, cut between characters.
pub fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
