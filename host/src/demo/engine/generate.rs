//! The making of tokens: words from a list, one after another, at the pace that was ordered.

use std::sync::{Arc, atomic::Ordering};

use futures_util::{Stream, stream};

use super::{Engine, burn, slots::Task, spin_briefly};

/// Enough different words that no output looks degenerate.
const WORDS: &[&str] = &[
    "the", "of", "and", "to", "in", "is", "you", "that", "it", "he", "was", "for", "on", "are", "as", "with", "his",
    "they", "at", "be", "this", "have", "from", "or", "one", "had", "by", "word", "but", "not", "what", "all", "were",
    "we", "when", "your", "can", "said", "there", "use", "an", "each", "which", "she", "do", "how", "their",
];

/// A generation that has its slot and has read its prompt.
#[derive(Debug)]
pub struct Generation {
    engine: Arc<Engine>,
    task: Task,
    pub prompt_tokens: u64,
    pub limit: u64,
    made: u64,
}

impl Generation {
    /// Waits for a slot and works the prompt off. `limit` below 0 or absent: to the end of the context.
    pub async fn begin(engine: &Arc<Engine>, prompt: &str, limit: Option<i64>) -> Generation {
        let prompt_tokens = 20 + prompt.split_whitespace().count() as u64;
        let room = engine.args.context.saturating_sub(prompt_tokens).max(1);
        let limit = limit.and_then(|n| u64::try_from(n).ok()).map_or(room, |n| n.min(room));
        engine.wake();
        let task = engine.slots.take(prompt_tokens, limit).await;
        engine.wake();
        burn(engine.faults.now().prompt).await;
        task.prompt_done();
        Generation { engine: engine.clone(), task, prompt_tokens, limit, made: 0 }
    }

    pub fn slot(&self) -> usize {
        self.task.slot()
    }

    pub fn task(&self) -> u64 {
        self.task.id
    }

    /// The next token, or `None` at the limit.
    async fn next(&mut self) -> Option<String> {
        if self.made >= self.limit {
            return None;
        }
        let faults = &self.engine.faults;
        while faults.now().spin {
            spin_briefly();
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(faults.now().pace).await;
        faults.while_true(|a| a.hang || a.stall).await;
        // A fixed walk through the list: the same for every run, and not the list's own order.
        let word = WORDS[((self.made * 7 + self.task.id) % WORDS.len() as u64) as usize];
        self.made += 1;
        self.task.token_done();
        self.engine.decoded.fetch_add(1, Ordering::SeqCst);
        self.engine.wake();
        Some(format!(" {word}"))
    }

    /// All tokens, as they come. Dropping the stream frees the slot.
    pub fn tokens(self) -> impl Stream<Item = String> + Send {
        stream::unfold(self, |mut generation| async move {
            let token = generation.next().await;
            if token.is_none() {
                generation.engine.predicted.fetch_add(generation.made, Ordering::SeqCst);
            }
            token.map(|token| (token, generation))
        })
    }
}
