//! Reading an answer, and judging it where it is not what its route promises.

use ai_monitor_plugin_api::{
    Io,
    event::{Outcome, Response},
    report::cut,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// For long lists, in bytes: some 10,000 models of a backend, and as much as a host reads.
pub const LIST_BYTES: u64 = 4 * 1024 * 1024;

/// What an answer really was, where the host's outcome is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub outcome: Outcome,
    pub text: String,
}

impl Verdict {
    pub fn new(outcome: Outcome, text: impl Into<String>) -> Verdict {
        Verdict { outcome, text: text.into() }
    }
}

/// The answer's body as `T`, where it is `ok`. Otherwise `None`, and an `ok` that cannot be read is judged:
/// JSON that breaks off, or has other fields, is `malformed`; what is no JSON at all came from another program.
pub fn json<T: DeserializeOwned>(io: &mut Io, answer: &Response) -> Option<T> {
    match parsed(answer) {
        Ok(value) => Some(value),
        Err(verdict) => {
            if let Some(Verdict { outcome, text }) = verdict {
                io.judge(answer, outcome, text);
            }
            None
        }
    }
}

/// [`json`] without a report to judge in. The error is what the answer really was; `None`: the host's outcome is
/// right.
pub fn parsed<T: DeserializeOwned>(answer: &Response) -> Result<T, Option<Verdict>> {
    if answer.outcome != Outcome::Ok {
        return Err(None);
    }
    let body = answer.body.as_deref().unwrap_or_default();
    serde_json::from_str(body).map_err(|error| {
        let outcome = if body.trim_start().starts_with(['{', '[']) { Outcome::Malformed } else { Outcome::Foreign };
        Some(Verdict::new(outcome, error.to_string()))
    })
}

/// The backend's own words for a failure, as far as the body has them: `{"error":"…"}`, `{"error":{"message":"…"}}`
/// and `{"detail":"…"}` are in use.
pub fn error_text(body: &str) -> Option<String> {
    let value: Value = serde_json::from_str(body).ok()?;
    error_of(&value)
}

/// [`error_text`] of a body that has been read.
pub fn error_of(value: &Value) -> Option<String> {
    let text = match value.get("error") {
        Some(Value::String(text)) => text,
        Some(error) => error.get("message")?.as_str()?,
        None => value.get("detail")?.as_str()?,
    };
    Some(cut(text).to_owned())
}

/// Words for an answer that is not what was wanted: the backend's, the system's, or the host's.
pub fn words(answer: &Response) -> String {
    let told = answer.body.as_deref().and_then(error_text).or_else(|| answer.text.clone());
    match (told, answer.status) {
        (Some(text), _) => text,
        (None, Some(status)) => format!("HTTP {status}"),
        (None, None) => match answer.outcome {
            Outcome::Timeout | Outcome::Deadline => format!("no answer in {} ms", answer.ms),
            Outcome::Refused => "the connection was refused".into(),
            Outcome::Reset => "the connection broke off".into(),
            Outcome::Unreachable => "the address cannot be reached".into(),
            Outcome::TooLarge => "the answer is too large".into(),
            _ => "the answer cannot be used".into(),
        },
    }
}

/// An answer that came with a status, whatever it is.
pub fn answered(answer: &Response) -> bool {
    answer.status.is_some() && answer.at.is_none()
}

/// The time given passed without a whole answer. The next question to the same server would most likely cost as much,
/// so a session stops asking at the first silence: what was not asked is unknown.
pub fn silent(answer: &Response) -> bool {
    matches!(answer.outcome, Outcome::Timeout | Outcome::Deadline)
}

/// For a token of a server that was silent to a look before it, in ms: two routes that hang are enough.
pub const BEHIND_SILENCE_MS: u64 = 5_000;

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told<T> {
    Value(T),
    /// No answer in its time: see [`silent`].
    Silent,
    /// An answer, and not what was asked for.
    Nothing,
}

impl<T> Told<T> {
    pub fn value(self) -> Option<T> {
        match self {
            Told::Value(value) => Some(value),
            Told::Silent | Told::Nothing => None,
        }
    }

    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Told<U> {
        match self {
            Told::Value(value) => Told::Value(f(value)),
            Told::Silent => Told::Silent,
            Told::Nothing => Told::Nothing,
        }
    }
}

/// The whole text of an answer that is `ok`.
pub fn text(answer: Response) -> Told<String> {
    match answer.body {
        Some(text) if answer.outcome == Outcome::Ok => Told::Value(text),
        _ if silent(&answer) => Told::Silent,
        _ => Told::Nothing,
    }
}

/// [`json`], with silence told apart.
pub fn told<T: DeserializeOwned>(io: &mut Io, answer: &Response) -> Told<T> {
    match json(io, answer) {
        Some(value) => Told::Value(value),
        None if silent(answer) => Told::Silent,
        None => Told::Nothing,
    }
}
