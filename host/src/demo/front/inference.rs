//! From a request to tokens: a place at a runner, the runner's stream, and what it says.

use std::{pin::Pin, time::Instant};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use serde_json::{Value, json};

use super::{
    Front,
    keep_alive::KeepAlive,
    models::{Model, Refusal},
    scheduler::{BUSY, Lease},
};

/// What a user asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    pub prompt: String,
    /// At most so many tokens; `None` or negative: to the end of the context.
    pub limit: Option<i64>,
    pub keep: Option<KeepAlive>,
    /// `options.num_ctx`: another one than the runner's starts it anew.
    pub context: Option<u64>,
}

/// What comes of it, piece by piece.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    Token(String),
    End(Summary),
    /// The runner ended in the middle.
    Broken(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    pub prompt_tokens: u64,
    pub tokens: u64,
    pub load_ns: u64,
    pub total_ns: u64,
}

/// Waits for a place and for the runner's first word, then gives its tokens as they come. Dropping the stream frees
/// the place.
pub async fn ask(front: &Front, model: &Model, ask: &Ask) -> Result<Generation, Refusal> {
    if front.faults.now().busy {
        return Err(Refusal::new(503, BUSY));
    }
    let started = Instant::now();
    let lease = front.scheduler.acquire(model, ask.keep, ask.context).await?;
    let load_ns = nanoseconds(started);
    let mut request = json!({"prompt": ask.prompt, "stream": true});
    if let Some(limit) = ask.limit {
        request["n_predict"] = json!(limit);
    }
    let answer = front.http.post(lease.runner.url("/completion")).body(request.to_string()).send().await;
    let answer = answer.map_err(|_| Refusal::new(500, BROKEN))?;
    if !answer.status().is_success() {
        return Err(Refusal::new(500, format!("{BROKEN}: {}", answer.status())));
    }
    let bytes = Box::pin(answer.bytes_stream());
    Ok(Generation { bytes, read: BytesMut::new(), started, load_ns, over: false, _lease: lease })
}

const BROKEN: &str = "an error was encountered while running the model: unexpected EOF";

/// A generation under way.
pub struct Generation {
    bytes: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    read: BytesMut,
    started: Instant,
    load_ns: u64,
    over: bool,
    _lease: Lease,
}

impl Generation {
    /// The next piece; `None` after the end.
    pub async fn next(&mut self) -> Option<Piece> {
        if self.over {
            return None;
        }
        loop {
            while let Some(end) = self.read.iter().position(|b| *b == b'\n') {
                let line = self.read.split_to(end + 1);
                let Some(event) = line.strip_prefix(b"data: ") else { continue };
                let Ok(event) = serde_json::from_slice::<Value>(event) else { continue };
                if event["stop"] != json!(true) {
                    return Some(Piece::Token(event["content"].as_str().unwrap_or_default().to_owned()));
                }
                self.over = true;
                return Some(Piece::End(Summary {
                    prompt_tokens: event["tokens_evaluated"].as_u64().unwrap_or(0),
                    tokens: event["tokens_predicted"].as_u64().unwrap_or(0),
                    load_ns: self.load_ns,
                    total_ns: nanoseconds(self.started),
                }));
            }
            match self.bytes.next().await {
                Some(Ok(bytes)) => self.read.extend_from_slice(&bytes),
                Some(Err(_)) | None => {
                    self.over = true;
                    return Some(Piece::Broken(BROKEN.to_owned()));
                }
            }
        }
    }

    /// The pieces as a stream.
    pub fn pieces(self) -> impl Stream<Item = Piece> + Send {
        futures_util::stream::unfold(self, |mut generation| async move {
            let piece = generation.next().await;
            piece.map(|piece| (piece, generation))
        })
    }

    /// All of it at once.
    pub async fn whole(mut self) -> Result<(String, Summary), Refusal> {
        let mut text = String::new();
        while let Some(piece) = self.next().await {
            match piece {
                Piece::Token(token) => text.push_str(&token),
                Piece::End(summary) => return Ok((text, summary)),
                Piece::Broken(why) => return Err(Refusal::new(500, why)),
            }
        }
        Err(Refusal::new(500, BROKEN))
    }
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
