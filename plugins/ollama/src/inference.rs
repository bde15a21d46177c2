//! A few tokens from a model that is in memory, without loading one, and where it can be without prolonging it.

use ai_monitor_plugin_api::{
    Io, Next, Stop,
    effect::Request,
    event::{Depth, InferenceAsk, Outcome, Process, Response, Start},
    report::Inference,
};
use plugin_parts::{
    answer::{self, Told},
    generation::{self, Channel, Generation, not_begun, skipped},
    llama_server::{self, Slot},
    process,
};
use serde_json::{Value, json};

use crate::{
    PS_MS, VERSION_MS,
    api::{Chunk, Loaded, Tag, full_name},
    judge_busy, liveness, models,
    runners::{self, RUNNER_MS},
};

pub async fn probe(io: &mut Io, start: &Start, ask: &InferenceAsk) -> Result<(), Stop> {
    liveness(io, VERSION_MS).await?;
    let Some(loaded) = models::loaded(io, PS_MS).await? else { return Ok(()) };
    let inference = match choose(&loaded, ask.model.as_deref(), &start.now) {
        Ok(model) => from_model(io, start, ask, &loaded, model).await?,
        Err(unfit) => skipped(unfit.name, unfit.why),
    };
    generation::report(io, inference);
    Ok(())
}

/// A model that may not be asked, and why.
struct Unfit<'a> {
    name: Option<&'a str>,
    why: String,
}

/// The model that was asked for, or the first that stays in memory.
fn choose<'a>(loaded: &'a [Loaded], wanted: Option<&'a str>, now: &str) -> Result<&'a str, Unfit<'a>> {
    let fit = |model: &'a Loaded| match models::is_stopping(model, now) {
        true => Err(Unfit { name: Some(&model.name), why: format!("{} is being unloaded", model.name) }),
        false => Ok(model.name.as_str()),
    };
    match wanted {
        None => loaded
            .iter()
            .find_map(|model| fit(model).ok())
            .ok_or_else(|| Unfit { name: None, why: "no model is loaded that could be asked".into() }),
        Some(wanted) => match loaded.iter().find(|model| full_name(&model.name) == full_name(wanted)) {
            Some(model) => fit(model),
            None => Err(Unfit { name: Some(wanted), why: format!("{wanted} is not loaded") }),
        },
    }
}

/// Of its runner, and only on suspicion of Ollama: what the clock asks for may not restart the expiry timer.
async fn from_model(
    io: &mut Io,
    start: &Start,
    ask: &InferenceAsk,
    loaded: &[Loaded],
    model: &str,
) -> Result<Inference, Stop> {
    let known = runners::all(start);
    let runners = known.clone().unwrap_or_default();
    let runner = match runners[..] {
        [only] if loaded.len() == 1 => Some(only),
        _ => runners::of_model(io, &runners, model).await?,
    };
    // A runner that died leaves its model listed; asking Ollama would then load it anew.
    if known.is_some() && runner.is_none() {
        return Ok(skipped(Some(model), format!("no runner of {model} is to be found: asking could load it")));
    }
    if let Some(runner) = runner.filter(|runner| runners::is_llama_server(runner) && runners::may_be_asked(start))
        && let Some(address) = process::address(runner)
        && let Some(inference) = from_runner(io, start, ask, model, runner, address).await?
    {
        return Ok(inference);
    }
    if ask.scheduled {
        let why = "its runner cannot be asked, and asking Ollama would restart its expiry timer";
        return Ok(skipped(Some(model), why));
    }
    let tags = match models::tags(io).await? {
        Told::Silent => return Ok(skipped(Some(model), "what kind of model it is cannot be known: Ollama is silent")),
        told => told.value().unwrap_or_default(),
    };
    let tag = tags.iter().find(|tag| full_name(&tag.name) == full_name(model));
    if tag.is_some_and(Tag::is_remote) {
        return Ok(skipped(Some(model), format!("{model} runs elsewhere: asking it may cost money")));
    }
    match tag.is_some_and(Tag::is_embedding_only) {
        true => vector(io, start, ask, model).await,
        false => chat(io, start, ask, model).await,
    }
}

/// Asks the runner itself, which leaves Ollama's timer alone. `None`: it has no such route.
async fn from_runner(
    io: &mut Io,
    start: &Start,
    ask: &InferenceAsk,
    model: &str,
    runner: &Process,
    address: &str,
) -> Result<Option<Inference>, Stop> {
    let answer = io.request(Request::get("/slots", RUNNER_MS).to(address).of(Depth::Progress)).await?;
    let timeout_ms = match answer.outcome {
        Outcome::Unavailable => return Ok(Some(skipped(Some(model), "it is loading"))),
        Outcome::Timeout => answer::BEHIND_SILENCE_MS,
        _ if answer::answered(&answer) => match answer::json::<Vec<Slot>>(io, &answer) {
            Some(slots) if !llama_server::has_free_slot(&slots) => {
                return Ok(Some(skipped(Some(model), "no free slot")));
            }
            Some(_) => start.deadline_ms,
            None => return Ok(None),
        },
        _ => return Ok(Some(skipped(Some(model), "its runner cannot be reached: asking Ollama could load it anew"))),
    };
    if llama_server::embeds(&runner.args) {
        let body = json!({"input": ask.prompt});
        let request = Request::post_json("/v1/embeddings", &body, timeout_ms).to(address);
        let request = request.note(format!("a vector from {model}, of its runner {}", runner.id));
        let answer = io.request(request).await?;
        return Ok(Some(read_vector(io, model, &answer, "/data/0/embedding")));
    }
    let body = generation::chat_body(None, &ask.prompt, ask.max_tokens);
    let request = Request::post_json("/v1/chat/completions", &body, timeout_ms)
        .to(address)
        .note(format!("a token from {model}, of its runner {}", runner.id));
    let inference = generation::chat(io, request, Some(model)).await?;
    Ok(Some(inference))
}

/// Asks Ollama, which restarts the model's expiry timer.
async fn chat(io: &mut Io, start: &Start, ask: &InferenceAsk, model: &str) -> Result<Inference, Stop> {
    // No option but the limit: another context or batch size would start a new runner, and a `keep_alive` would
    // overwrite the user's.
    let body = json!({
        "model": model,
        "messages": [{"role": "user", "content": ask.prompt}],
        "options": {"num_predict": ask.max_tokens},
    });
    let request = Request::post_json("/api/chat", &body, start.deadline_ms).note(format!("a token from {model}"));
    let mut head = io.request(request.streamed()).await?;
    if head.outcome != Outcome::Ok {
        if judge_busy(io, &head) {
            head.outcome = Outcome::Overloaded;
        }
        return Ok(not_begun(Some(model), &head));
    }
    let mut generation = Generation::default();
    let mut lines = 0;
    let outcome = loop {
        match io.read().await? {
            Next::End(end) => break end.outcome,
            Next::Line(line) if line.line.trim().is_empty() => {}
            Next::Line(line) => match serde_json::from_str(&line.line) {
                Ok(chunk) => {
                    lines += 1;
                    take(&mut generation, line.ms, chunk);
                }
                Err(error) => {
                    io.judge(&head, Outcome::Malformed, error.to_string());
                    generation.error = Some("the answer is no stream of a chat".into());
                    break Outcome::Malformed;
                }
            },
        }
    };
    if let Some(error) = generation.error.as_ref().filter(|_| outcome != Outcome::Malformed) {
        io.judge(&head, Outcome::Failed, error.clone());
    } else if lines == 0 && outcome == Outcome::Ok {
        io.judge(&head, Outcome::Malformed, "an empty stream");
    }
    generation.model.get_or_insert_with(|| model.to_owned());
    Ok(generation.finished(outcome))
}

fn take(generation: &mut Generation, ms: u64, chunk: Chunk) {
    generation.piece(ms, Channel::Thinking, &chunk.message.thinking);
    generation.piece(ms, Channel::Content, &chunk.message.content);
    generation.model = chunk.model.map(|name| full_name(&name)).or(generation.model.take());
    generation.finish = chunk.done_reason.or(generation.finish.take());
    generation.error = chunk.error.or(generation.error.take());
    if let (Some(count), Some(ns)) = (chunk.eval_count, chunk.eval_duration) {
        generation.counted = Some(count);
        generation.decode_tps = Some(count as f64 * 1e9 / ns as f64);
    }
}

/// A vector of a model that makes no text.
async fn vector(io: &mut Io, start: &Start, ask: &InferenceAsk, model: &str) -> Result<Inference, Stop> {
    let body = json!({"model": model, "input": ask.prompt});
    let request = Request::post_json("/api/embed", &body, start.deadline_ms).note(format!("a vector from {model}"));
    let mut answer = io.request(request).await?;
    if judge_busy(io, &answer) {
        answer.outcome = Outcome::Overloaded;
    }
    Ok(read_vector(io, model, &answer, "/embeddings/0"))
}

/// The vector stands at `pointer`.
fn read_vector(io: &mut Io, model: &str, answer: &Response, pointer: &str) -> Inference {
    let Some(body) = answer::json::<Value>(io, answer) else { return not_begun(Some(model), answer) };
    let filled = body.pointer(pointer).and_then(Value::as_array).is_some_and(|vector| !vector.is_empty());
    generation::vector(model, filled, answer.ms)
}
