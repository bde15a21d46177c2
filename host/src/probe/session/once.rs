//! The same question, asked by several depths of one look, goes to the server once.
//!
//! Sessions know nothing of each other, and each rightly puts its liveness route in front, so a look of three depths
//! would ask some routes three times within milliseconds: most of what watching costs, and load on the user's server.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ai_monitor_plugin_api::{effect::Method, event::Outcome};
use tokio::time::Instant;

use crate::probe::http::{Answer, Call, To};

/// An answer older than this is not given again: what it says may have changed.
const FRESH: Duration = Duration::from_secs(1);
/// Larger answers are not kept, in bytes: what several depths ask for is short.
const ONE_MAX: usize = 64 * 1024;
/// Of all together, in bytes; the oldest make room.
const ALL_MAX: usize = 1024 * 1024;

/// The good answers of one look. Only whole `ok` answers to plain GETs at the target are kept: a failure is always
/// asked about again, and what the target's processes say is never taken from before.
#[derive(Debug, Default)]
pub struct LookAnswers(Mutex<VecDeque<Kept>>);

#[derive(Debug)]
struct Kept {
    path: String,
    at: Instant,
    answer: Answer,
}

impl LookAnswers {
    /// What the same question got a moment ago.
    pub(super) fn get(&self, call: &Call) -> Option<Answer> {
        let path = question(call)?;
        let all = self.all();
        let kept = all.iter().find(|kept| kept.path == path)?;
        (kept.at.elapsed() < FRESH && kept.answer.bytes <= call.max_bytes as u64).then(|| kept.answer.clone())
    }

    pub(super) fn keep(&self, call: &Call, answer: &Answer) {
        if let (Some(path), Outcome::Ok, None) = (question(call), answer.outcome, answer.at)
            && size(answer) <= ONE_MAX
        {
            let mut all = self.all();
            all.retain(|kept| kept.path != path);
            all.push_back(Kept { path: path.to_owned(), at: Instant::now(), answer: answer.clone() });
            while all.iter().map(|kept| size(&kept.answer)).sum::<usize>() > ALL_MAX {
                all.pop_front();
            }
        }
    }

    fn all(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of its headers and its body.
fn size(answer: &Answer) -> usize {
    let headers: usize = answer.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    headers + answer.body.as_ref().map_or(0, |body| body.text.len())
}

/// The path of a plain question to the target; `None`: a request that is always done.
fn question(call: &Call) -> Option<&str> {
    let plain = call.method == Method::Get && call.to == To::Target && !call.stream;
    (plain && call.headers.is_empty() && call.body.is_none()).then(|| call.path.as_str())
}
