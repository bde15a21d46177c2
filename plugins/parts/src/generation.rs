//! Asking for a few tokens and judging what came: OpenAI's event stream here, other forms fed line by line.

use ai_monitor_plugin_api::{
    Io, Next, Stop,
    effect::Request,
    event::{Outcome, Response},
    report::{Inference, InferenceResult, Symptom, TEXT_MAX, Tokens, cut},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{answer, signature};

/// What has come of an answer so far.
#[derive(Debug, Default)]
pub struct Generation {
    /// The name in the answer.
    pub model: Option<String>,
    pub finish: Option<String>,
    /// Tokens as the backend counts them.
    pub counted: Option<u64>,
    /// Tokens per second as the backend measured it.
    pub decode_tps: Option<f64>,
    /// An error inside the stream.
    pub error: Option<String>,
    tokens: Tokens,
    first_ms: Option<u64>,
    text: String,
}

/// In which channel a piece of text came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    Content,
    Thinking,
}

impl Generation {
    /// Takes one piece of text that came `ms` after sending. A piece counts as one token: at least so many.
    pub fn piece(&mut self, ms: u64, channel: Channel, text: &str) {
        if text.is_empty() {
            return;
        }
        self.first_ms.get_or_insert(ms);
        match channel {
            Channel::Content => self.tokens.content += 1,
            Channel::Thinking => self.tokens.thinking += 1,
        }
        if self.text.len() < TEXT_MAX {
            self.text.push_str(text);
        }
    }

    /// The verdict on a stream that ended with `outcome`.
    pub fn finished(self, outcome: Outcome) -> Inference {
        let pieces = self.tokens.content + self.tokens.thinking;
        let (result, told) = match (&self.error, outcome) {
            (Some(error), _) => (InferenceResult::Failed, Some(cut(error).to_owned())),
            (None, Outcome::Ok) if pieces > 0 => (InferenceResult::Output, None),
            (None, Outcome::Ok) => (InferenceResult::Empty, None),
            (None, Outcome::Timeout | Outcome::Deadline) => (InferenceResult::Timeout, None),
            (None, _) => (InferenceResult::Failed, Some("the stream broke off".to_owned())),
        };
        let text = told.or_else(|| (!self.text.is_empty()).then(|| cut(&self.text).to_owned()));
        Inference {
            model: self.model,
            result: Some(result),
            text,
            tokens: Some(Tokens { total: self.counted.unwrap_or(pieces).max(pieces), ..self.tokens }),
            first_token_ms: self.first_ms,
            // One token has no rate: backends then divide by next to nothing.
            decode_tps: self.decode_tps.filter(|tps| tps.is_finite() && self.counted.is_some_and(|n| n >= 2)),
            finish: self.finish,
        }
    }
}

/// An inference that was not asked for.
pub fn skipped(model: Option<&str>, why: impl Into<String>) -> Inference {
    Inference { model: model.map(str::to_owned), text: Some(why.into()), ..only(InferenceResult::Skipped) }
}

/// The verdict where no stream began: the head itself is a failure.
pub fn not_begun(model: Option<&str>, head: &Response) -> Inference {
    let result = match head.outcome {
        Outcome::Timeout | Outcome::Deadline => InferenceResult::Timeout,
        // A full queue says nothing about the model: it was not asked.
        Outcome::Overloaded => InferenceResult::Skipped,
        _ => InferenceResult::Failed,
    };
    Inference { model: model.map(str::to_owned), text: Some(answer::words(head)), ..only(result) }
}

/// The verdict on the answer of a model that makes vectors.
pub fn vector(model: &str, filled: bool, ms: u64) -> Inference {
    let result = if filled { InferenceResult::Output } else { InferenceResult::Empty };
    Inference { model: Some(model.to_owned()), first_token_ms: filled.then_some(ms), ..only(result) }
}

/// The verdict on a whole answer of `POST /v1/embeddings`. An error inside 200 is judged.
pub fn vector_of(io: &mut Io, answer: &Response, body: &Value) -> Inference {
    if let Some(error) = answer::error_of(body) {
        io.judge(answer, Outcome::Failed, error.clone());
        return Inference { text: Some(error), ..only(InferenceResult::Failed) };
    }
    let filled = body.pointer("/data/0/embedding").and_then(Value::as_array).is_some_and(|vector| !vector.is_empty());
    let model = body.get("model").and_then(Value::as_str).map(str::to_owned);
    let result = if filled { InferenceResult::Output } else { InferenceResult::Empty };
    Inference { model, first_token_ms: filled.then_some(answer.ms), ..only(result) }
}

fn only(result: InferenceResult) -> Inference {
    Inference {
        model: None,
        result: Some(result),
        text: None,
        tokens: None,
        first_token_ms: None,
        decode_tps: None,
        finish: None,
    }
}

/// Puts an inference into the report, with the symptom that its words stand for.
pub fn report(io: &mut Io, inference: Inference) {
    if inference.result == Some(InferenceResult::Failed)
        && let Some(text) = &inference.text
        && let Some(id) = signature::symptom(text)
    {
        let symptom = Symptom { id: id.into(), text: text.clone(), model: inference.model.clone(), engine: None };
        io.report.symptoms.push(symptom);
    }
    io.report.inference = Some(inference);
}

/// The body of a chat of one user turn, streamed, with a token limit and no other option.
pub fn chat_body(model: Option<&str>, prompt: &str, max_tokens: u32) -> Value {
    let mut body = json!({
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": max_tokens,
        "stream": true,
    });
    if let Some(model) = model {
        body["model"] = model.into();
    }
    body
}

/// Sends a streamed chat completion and reads it to its end. `name`: the model as people know it, where the answer
/// calls it otherwise.
pub async fn chat(io: &mut Io, request: Request, name: Option<&str>) -> Result<Inference, Stop> {
    let head = io.request(request.streamed()).await?;
    if head.outcome != Outcome::Ok {
        return Ok(not_begun(name, &head));
    }
    let mut inference = stream(io, &head).await?;
    if let Some(name) = name {
        inference.model = Some(name.to_owned());
    }
    Ok(inference)
}

/// Reads a stream of a chat completion, whose head is `ok`, to its end.
pub async fn stream(io: &mut Io, head: &Response) -> Result<Inference, Stop> {
    let mut generation = Generation::default();
    let outcome = loop {
        match io.read().await? {
            Next::End(end) => break end.outcome,
            Next::Line(line) => match line.line.strip_prefix("data:").map(str::trim) {
                // Some servers answer 200 with a plain JSON error.
                None if line.line.starts_with('{') => event(&mut generation, line.ms, &line.line),
                // Comments (pings) and the blank lines between events.
                None => {}
                Some("[DONE]") => break Outcome::Ok,
                Some(data) => event(&mut generation, line.ms, data),
            },
        }
    };
    if outcome == Outcome::Ok && generation.error.is_none() && generation.model.is_none() {
        io.judge(head, Outcome::Malformed, "no event of a chat completion in it");
        generation.error = Some("the answer is no stream of a chat completion".into());
    } else if let Some(error) = &generation.error {
        io.judge(head, Outcome::Failed, error.clone());
    }
    Ok(generation.finished(outcome))
}

/// One event of OpenAI's stream.
#[derive(Deserialize)]
struct Chunk {
    model: Option<String>,
    #[serde(default)]
    choices: Vec<Choice>,
    /// llama.cpp's own, in the last one.
    timings: Option<Timings>,
}

#[derive(Deserialize)]
struct Choice {
    /// In a stream.
    #[serde(default)]
    delta: Delta,
    /// Of a server that streams nothing.
    #[serde(default)]
    message: Delta,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Delta {
    content: Option<String>,
    /// llama.cpp and vLLM.
    reasoning_content: Option<String>,
    /// Newer vLLM and Ollama.
    reasoning: Option<String>,
}

#[derive(Deserialize)]
struct Timings {
    predicted_n: Option<u64>,
    predicted_per_second: Option<f64>,
}

fn event(generation: &mut Generation, ms: u64, data: &str) {
    let Ok(value) = serde_json::from_str::<Value>(data) else { return };
    if let Some(error) = answer::error_of(&value) {
        generation.error = Some(error);
        return;
    }
    let Ok(chunk) = Chunk::deserialize(value) else { return };
    generation.model = chunk.model.or(generation.model.take());
    for choice in chunk.choices {
        for delta in [choice.delta, choice.message] {
            for thinking in [delta.reasoning_content, delta.reasoning].into_iter().flatten() {
                generation.piece(ms, Channel::Thinking, &thinking);
            }
            generation.piece(ms, Channel::Content, delta.content.as_deref().unwrap_or_default());
        }
        generation.finish = choice.finish_reason.or(generation.finish.take());
    }
    if let Some(timings) = chunk.timings {
        generation.counted = timings.predicted_n;
        generation.decode_tps = timings.predicted_per_second;
    }
}
