//! llama.cpp's server: what its slots tell about the work that goes on.

use ai_monitor_plugin_api::report::{Counter, Engine};
use serde::Deserialize;

/// The most slots whose counters are reported: two each, below the border's limit for counters.
const SLOTS_MAX: usize = 128;

/// One place where a request runs, from `GET /slots`.
#[derive(Debug, Clone, Deserialize)]
pub struct Slot {
    pub id: u64,
    pub is_processing: bool,
    /// The request that it serves, or the last one that it served.
    #[serde(default)]
    id_task: Option<i64>,
    #[serde(default)]
    n_prompt_tokens_processed: Option<u64>,
    /// An array since 2025, an object before.
    #[serde(default)]
    next_token: Option<NextToken>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum NextToken {
    Many(Vec<Decoded>),
    One(Decoded),
}

#[derive(Debug, Clone, Deserialize)]
struct Decoded {
    #[serde(default)]
    n_decoded: Option<u64>,
}

impl Slot {
    fn decoded(&self) -> Option<u64> {
        match self.next_token.as_ref()? {
            NextToken::Many(many) => many.first()?.n_decoded,
            NextToken::One(one) => one.n_decoded,
        }
    }
}

/// Whether it was started to make vectors.
pub fn embeds(args: &[String]) -> bool {
    args.iter().any(|arg| matches!(arg.as_str(), "--embedding" | "--embeddings"))
}

/// Whether a request would run at once.
pub fn has_free_slot(slots: &[Slot]) -> bool {
    slots.iter().any(|slot| !slot.is_processing)
}

/// Fills in what slots tell of an engine: requests at work, how many at once, and a counter of prompt and one of
/// output tokens for each task.
pub fn describe(engine: &mut Engine, slots: &[Slot]) {
    engine.running = Some(slots.iter().filter(|slot| slot.is_processing).count() as u64);
    engine.capacity = Some(slots.len() as u64);
    let mut counters = Vec::new();
    for slot in slots.iter().take(SLOTS_MAX) {
        let Some(task) = slot.id_task.filter(|task| *task >= 0) else { continue };
        for (kind, value) in [("prompt", slot.n_prompt_tokens_processed), ("decode", slot.decoded())] {
            if let Some(value) = value {
                counters.push(Counter { id: format!("slot{}/{task}/{kind}", slot.id), kind: kind.into(), value });
            }
        }
    }
    engine.counters.get_or_insert_default().extend(counters);
}
