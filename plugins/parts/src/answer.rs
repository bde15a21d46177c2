//! Reading an answer, and judging it where it is not what its route promises.

use ai_monitor_plugin_api::{
    Io,
    event::{Outcome, Response},
    report::cut,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The answer's body as `T`, where it is `ok`. Otherwise `None`, and an `ok` that cannot be read is judged:
/// JSON that breaks off, or has other fields, is `malformed`; what is no JSON at all came from another program.
pub fn json<T: DeserializeOwned>(io: &mut Io, answer: &Response) -> Option<T> {
    if answer.outcome != Outcome::Ok {
        return None;
    }
    let body = answer.body.as_deref().unwrap_or_default();
    match serde_json::from_str(body) {
        Ok(value) => Some(value),
        Err(error) => {
            let outcome = if body.trim_start().starts_with(['{', '[']) { Outcome::Malformed } else { Outcome::Foreign };
            io.judge(answer, outcome, error.to_string());
            None
        }
    }
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
