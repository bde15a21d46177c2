//! What a 503 of LocalAI means: too much work, a load under way, or one that failed (core/http/app.go).

use ai_monitor_plugin_api::event::{Outcome, Response};
use plugin_parts::answer;
use serde_json::Value;

/// Why a request was put off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOff {
    /// It works, and has too much of it.
    Capacity,
    /// The model is on its way into memory.
    Loading,
}

/// `None`: it was not, or its last load failed (then it stays `unavailable`, and its words tell).
pub fn put_off(answer: &Response) -> Option<PutOff> {
    if answer.outcome != Outcome::Unavailable {
        return None;
    }
    let body = answer.body.as_deref().unwrap_or_default();
    let kind = serde_json::from_str::<Value>(body)
        .ok()
        .and_then(|body| body.pointer("/error/type").and_then(Value::as_str).map(str::to_owned));
    let comes_again = answer.headers.contains_key("retry-after");
    match kind.as_deref() {
        Some("model_loading") => Some(PutOff::Loading),
        // core/http/middleware/admission.go
        Some("admission_rejected") => Some(PutOff::Capacity),
        // core/backend/global_admission.go. With opaque errors it says when to come again, and not why.
        _ if comes_again && !answer::words(answer).contains("in cooldown") => Some(PutOff::Capacity),
        _ => None,
    }
}
