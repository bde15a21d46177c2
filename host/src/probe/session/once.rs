//! The same question, asked by several depths of one look, goes to the server once.
//!
//! Sessions know nothing of each other, and each rightly puts its liveness route in front, so a look of three depths
//! would ask some routes three times within milliseconds: most of what watching costs, and load on the user's server.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ai_monitor_plugin_api::{effect::Method, event::Outcome};
use tokio::time::Instant;

use crate::probe::http::{Answer, Call, To};

/// An answer older than this is not given again: what it says may have changed.
const FRESH: Duration = Duration::from_secs(1);

/// The good answers of one look. Only whole `ok` answers to plain GETs at the target are kept: a failure is always
/// asked about again, and what the target's processes say is never taken from before.
#[derive(Debug, Default)]
pub struct LookAnswers(Mutex<BTreeMap<String, (Instant, Answer)>>);

impl LookAnswers {
    /// What the same question got a moment ago.
    pub(super) fn get(&self, call: &Call) -> Option<Answer> {
        let path = question(call)?;
        let (at, answer) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned()?;
        (at.elapsed() < FRESH && answer.bytes <= call.max_bytes as u64).then_some(answer)
    }

    pub(super) fn keep(&self, call: &Call, answer: &Answer) {
        if let (Some(path), Outcome::Ok, None) = (question(call), answer.outcome, answer.at) {
            let kept = (Instant::now(), answer.clone());
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), kept);
        }
    }
}

/// The path of a plain question to the target; `None`: a request that is always done.
fn question(call: &Call) -> Option<&str> {
    let plain = call.method == Method::Get && call.to == To::Target && !call.stream;
    (plain && call.headers.is_empty() && call.body.is_none()).then(|| call.path.as_str())
}
