//! What a session says at its end: the plugin's half of an observation, or the result of a repair.
//!
//! Absent or `null` means *not known*; `[]`, `0` and `false` mean *looked, and there is none*.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};

use crate::{event::Outcome, lenient, or_default};

/// What a probe saw: the plugin's half of an observation. Every field is optional, unknown keys are ignored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// The backend's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The state of the whole server.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub phase: Option<Phase>,
    /// What answers *with a status* really were, where the host's outcome is wrong: 200 is `malformed` or `foreign`,
    /// 503 is `overloaded`. Where no status came, the outcome stands.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub judged: Vec<Judged>,
    /// All models that the backend would serve, or absent: a part of them is not known.
    #[cfg_attr(test, schemars(length(max = 2000)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<Model>>,
    /// The places where tokens are made: a runner's process, or the server itself. `[]`: looked, and there is none.
    #[cfg_attr(test, schemars(length(max = 256)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engines: Option<Vec<Engine>>,
    /// What came of asking for tokens; of an `inference` probe alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference: Option<Inference>,
    /// Signatures of this backend's own known failures, never guesses from a status.
    #[cfg_attr(test, schemars(length(max = 32)))]
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub symptoms: Vec<Symptom>,
}

/// The state of a server or an engine. A closed list: the host reads a value that it does not know as absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Started, and not yet able to say more.
    Starting,
    /// Cannot serve yet.
    Loading,
    /// Can serve.
    Ready,
    /// Will serve, at the price of a load.
    Sleeping,
    /// Says so itself.
    Failed,
}

/// A plugin's reading of one answer of this session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Judged {
    /// Number of the request, from 0.
    pub request: u32,
    /// What it really was.
    pub outcome: Outcome,
    /// Why, in words of at most 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// A model that the backend serves or would serve.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Model {
    /// The name that the backend takes in a request.
    pub id: String,
    /// Other names that it takes for the same model.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Absent while it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub state: Option<ModelState>,
    /// Its bytes in memory; on disk while unloaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// The part of `size_bytes` that lies in GPU memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_bytes: Option<u64>,
    /// When the backend will unload it: RFC 3339, or `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// What it can do. Open list: `completion`, `embedding`, `vision`, `remote`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<String>>,
    /// Text → text, at most 16 entries, for display only: nothing is decided by it.
    #[cfg_attr(test, schemars(extend("maxProperties" = 16)))]
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub info: BTreeMap<String, String>,
}

/// The state of a model. A closed list: the host reads a value that it does not know as absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    /// On disk only.
    Unloaded,
    /// On its way into memory.
    Loading,
    /// In memory, ready to be asked.
    Loaded,
    /// Will be loaded by the next request.
    Sleeping,
    /// On its way out of memory.
    Stopping,
    /// Could not be loaded, or broke.
    Failed,
}

/// A place where tokens are made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Engine {
    /// Stable between observations while it is the same engine; best `name/port`.
    pub id: String,
    /// Its process: an id of `start.processes`. The host joins CPU, memory and GPU by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// The model that it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Requests at work: at least so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<u64>,
    /// Requests that wait: at least so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<u64>,
    /// How many requests can run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u64>,
    /// The state of this engine.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub phase: Option<Phase>,
    /// Values that change only by work, and while it goes on. At most 1,024 in a report.
    #[cfg_attr(test, schemars(length(max = 1024)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<Vec<Counter>>,
}

/// A number that changes only by work (no clock, no average) and while the work goes on: any difference is movement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Counter {
    /// Stable between observations. A task's counter carries the task in its id.
    pub id: String,
    /// Open list; `prompt` and `decode` count tokens.
    pub kind: String,
    /// Its value now.
    pub value: u64,
}

/// What came of asking for tokens.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Inference {
    /// Which model answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub result: Option<InferenceResult>,
    /// What was generated, or why nothing was, at most 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// How many tokens came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// From sending the request to the first text in any channel, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<u64>,
    /// Tokens per second while generating.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode_tps: Option<f64>,
    /// Why the generation ended, in the backend's word: `stop`, `length`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish: Option<String>,
}

/// How an inference ended. A closed list: the host reads a value that it does not know as absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum InferenceResult {
    /// At least one token in any channel, or a vector of an embedding model.
    Output,
    /// Ended without a token.
    Empty,
    /// The backend said that it failed, or broke off.
    Failed,
    /// No token came in time.
    Timeout,
    /// Not asked; `text` says why.
    Skipped,
}

/// How many tokens were generated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Tokens {
    /// In the answer's text.
    #[serde(default, deserialize_with = "or_default")]
    pub content: u64,
    /// In the channel of reasoning.
    #[serde(default, deserialize_with = "or_default")]
    pub thinking: u64,
    /// Of all channels, as the backend counts.
    #[serde(default, deserialize_with = "or_default")]
    pub total: u64,
}

/// A failure that this backend is known for, recognised by its own words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Symptom {
    /// `engine_dead`, `model_crashed`, `device_error`, `out_of_memory`, `load_failed`, `load_timeout`,
    /// `model_corrupt`, `no_space`, `not_installed`; an id that the host does not know is shown and decides nothing.
    pub id: String,
    /// The backend's words, at most 512 bytes.
    pub text: String,
    /// The model that it befell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The id of the engine that it befell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
}

/// What a repair session says at its end. Whether it worked is measured by the host, from `expect`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RepairReport {
    /// What the backend said to the request.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub result: Option<RepairResult>,
    /// Its words, at most 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What must hold afterwards, all of it. Absent: the signal of the fault alone counts.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<Expect>,
    /// All of `expect` must hold within this time, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_ms: Option<u64>,
    /// As in an observation: a load that fails is the only place where a broken file shows.
    #[cfg_attr(test, schemars(length(max = 32)))]
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub symptoms: Vec<Symptom>,
}

/// What a backend said to a repair. A closed list: the host reads a value that it does not know as absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RepairResult {
    /// The backend accepted.
    Done,
    /// Nothing was to be done.
    Already,
    /// It will not now.
    Refused,
    /// This backend, or this version of it, cannot.
    Unsupported,
    /// It tried, and said that it failed.
    Failed,
}

/// Something that must hold after a repair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Expect {
    /// The model is in one of these states.
    Model {
        /// The model's id.
        model: String,
        /// The states that are right.
        #[serde(deserialize_with = "known")]
        state: Vec<ModelState>,
    },
    /// The process of `start.processes` is gone.
    Process {
        /// The process's id.
        process: String,
        /// True: it must be gone.
        gone: bool,
    },
}

/// The values of a closed list that this build knows; others are left out.
fn known<'de, D: Deserializer<'de>, T: DeserializeOwned>(d: D) -> Result<Vec<T>, D::Error> {
    let values = Vec::<serde_json::Value>::deserialize(d)?;
    Ok(values.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect())
}

/// The most models of a report.
pub const MODELS_MAX: usize = 2000;
/// The most engines of a report.
pub const ENGINES_MAX: usize = 256;
/// The most counters of a report, of all engines together.
pub const COUNTERS_MAX: usize = 1024;
/// The most symptoms of a report.
pub const SYMPTOMS_MAX: usize = 32;
/// The most entries of a model's `info`.
pub const INFO_MAX: usize = 16;

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

/// Keeps a report within the contract's limits, so that no plugin needs to think of them: texts and what is for display
/// are cut; of a list that is too long nothing is said, for half a list would say that the rest is gone.
pub(crate) trait WithinLimits {
    fn keep_within_limits(&mut self);
}

impl WithinLimits for Report {
    fn keep_within_limits(&mut self) {
        shorten(self.version.as_mut());
        self.models.take_if(|models| models.len() > MODELS_MAX);
        self.engines.take_if(|engines| engines.len() > ENGINES_MAX);
        let engines = self.engines.iter_mut().flatten();
        if engines.filter_map(|engine| engine.counters.as_ref()).map(Vec::len).sum::<usize>() > COUNTERS_MAX {
            self.engines.iter_mut().flatten().for_each(|engine| engine.counters = None);
        }
        self.symptoms.truncate(SYMPTOMS_MAX);
        self.judged.iter_mut().for_each(|judged| shorten(judged.text.as_mut()));
        for model in self.models.iter_mut().flatten() {
            while model.info.len() > INFO_MAX {
                model.info.pop_last();
            }
            model.info.values_mut().for_each(|value| shorten(Some(value)));
        }
        if let Some(inference) = &mut self.inference {
            shorten(inference.text.as_mut());
            shorten(inference.finish.as_mut());
        }
        self.symptoms.iter_mut().for_each(|symptom| shorten(Some(&mut symptom.text)));
    }
}

impl WithinLimits for RepairReport {
    fn keep_within_limits(&mut self) {
        shorten(self.text.as_mut());
        self.symptoms.truncate(SYMPTOMS_MAX);
        self.symptoms.iter_mut().for_each(|symptom| shorten(Some(&mut symptom.text)));
    }
}

fn shorten(text: Option<&mut String>) {
    if let Some(text) = text {
        text.truncate(cut(text).len());
    }
}
