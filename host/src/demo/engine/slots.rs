//! The engine's slots: who generates, how far it is, who waits.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

#[derive(Debug, Clone, Default)]
struct Slot {
    processing: bool,
    /// The last task; `None`: it never had one.
    task: Option<u64>,
    prompt: u64,
    processed: u64,
    decoded: u64,
    limit: u64,
}

/// All slots of an engine.
#[derive(Debug)]
pub struct Slots {
    slots: Arc<Mutex<Vec<Slot>>>,
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    next_task: AtomicU64,
    context: u64,
}

impl Slots {
    pub fn new(count: usize, context: u64) -> Slots {
        Slots {
            slots: Arc::new(Mutex::new(vec![Slot::default(); count])),
            free: Arc::new(Semaphore::new(count)),
            waiting: AtomicUsize::new(0),
            next_task: AtomicU64::new(0),
            context,
        }
    }

    /// Waits for a slot, first come, first served. Dropping the task frees it.
    pub async fn take(&self, prompt: u64, limit: u64) -> Task {
        let waiting = Waiting::begin(&self.waiting);
        // Never closed; were it, the worst is one task too many.
        let permit = self.free.clone().acquire_owned().await.ok();
        drop(waiting);
        let id = self.next_task.fetch_add(1, Ordering::SeqCst);
        let mut slots = lock(&self.slots);
        let slot = slots.iter().position(|s| !s.processing).unwrap_or(0);
        slots[slot] = Slot { processing: true, task: Some(id), prompt, processed: 0, decoded: 0, limit };
        Task { slots: self.slots.clone(), slot, id, _permit: permit }
    }

    pub fn is_busy(&self) -> bool {
        self.processing() > 0 || self.waiting() > 0
    }

    pub fn processing(&self) -> usize {
        lock(&self.slots).iter().filter(|s| s.processing).count()
    }

    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// `GET /slots`.
    pub fn to_json(&self) -> Value {
        lock(&self.slots).iter().enumerate().map(|(id, slot)| slot.to_json(id, self.context)).collect()
    }
}

impl Slot {
    fn to_json(&self, id: usize, context: u64) -> Value {
        let mut json = json!({"id": id, "n_ctx": context, "speculative": false, "is_processing": self.processing});
        let (Some(task), Some(fields)) = (self.task, json.as_object_mut()) else { return json };
        let remaining = self.limit.saturating_sub(self.decoded);
        fields.insert("id_task".into(), json!(task));
        fields.insert("n_prompt_tokens".into(), json!(self.prompt));
        fields.insert("n_prompt_tokens_processed".into(), json!(self.processed));
        fields.insert("n_prompt_tokens_cache".into(), json!(0));
        fields.insert("params".into(), json!({"n_predict": self.limit, "max_tokens": self.limit, "stream": true}));
        // An idle slot keeps its last task's number, and forgets how far it was (measured).
        let next = if self.processing {
            json!({"has_next_token": true, "has_new_line": false, "n_remain": remaining, "n_decoded": self.decoded})
        } else {
            json!({"has_next_token": false, "has_new_line": false, "n_remain": -1, "n_decoded": 0})
        };
        fields.insert("next_token".into(), json!([next]));
        json
    }
}

/// A request that holds a slot.
#[derive(Debug)]
pub struct Task {
    slots: Arc<Mutex<Vec<Slot>>>,
    slot: usize,
    pub id: u64,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Task {
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// The prompt is worked off.
    pub fn prompt_done(&self) {
        let mut slots = lock(&self.slots);
        let slot = &mut slots[self.slot];
        slot.processed = slot.prompt;
    }

    pub fn token_done(&self) {
        lock(&self.slots)[self.slot].decoded += 1;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        lock(&self.slots)[self.slot].processing = false;
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Waiting<'a> {
        count.fetch_add(1, Ordering::SeqCst);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The state is plain numbers, whole after every line: a panic elsewhere does not spoil it.
fn lock(slots: &Mutex<Vec<Slot>>) -> MutexGuard<'_, Vec<Slot>> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slot_counts_its_tokens_and_is_free_again_when_its_task_is_dropped() {
        let slots = Slots::new(1, 256);
        assert_eq!(slots.to_json(), json!([{"id": 0, "n_ctx": 256, "speculative": false, "is_processing": false}]));
        let task = slots.take(28, 100).await;
        task.prompt_done();
        task.token_done();
        task.token_done();
        let shown = slots.to_json();
        assert_eq!(shown[0]["is_processing"], json!(true));
        assert_eq!(shown[0]["next_token"][0]["n_decoded"], json!(2));
        assert_eq!(shown[0]["next_token"][0]["n_remain"], json!(98));
        drop(task);
        assert!(!slots.is_busy());
        assert_eq!(slots.take(1, 1).await.id, 1, "each task has its own number");
    }

    #[tokio::test]
    async fn who_finds_no_slot_waits_and_is_counted() {
        let slots = Slots::new(1, 256);
        let first = slots.take(1, 1).await;
        let second = slots.take(1, 1);
        tokio::pin!(second);
        assert!(futures_util::poll!(&mut second).is_pending());
        assert_eq!((slots.processing(), slots.waiting()), (1, 1));
        drop(first);
        second.await;
        assert_eq!((slots.processing(), slots.waiting()), (0, 0));
    }
}
