//! A few tokens from a model that is in memory, where a request loads, wakes and throws out nothing.

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::{InferenceAsk, Start},
    report::{Inference, InferenceResult},
};
use plugin_parts::{
    answer,
    generation::{self, not_begun, skipped},
    llama_server, metrics,
};
use serde_json::{Value, json};

use crate::{FRONT_MS, Flavour, api::List, front, llama_cpp, models, vllm};

pub async fn probe(io: &mut Io, start: &Start, ask: &InferenceAsk) -> Result<(), Stop> {
    let front = front(io, start, FRONT_MS).await?;
    let wanted = ask.model.as_deref();
    // Before the list is asked for: what says no at once.
    let busy = match front.flavour {
        Flavour::LlamaCpp => llama_cpp_is_unfit(io).await?,
        Flavour::Vllm => vllm::waiting(io).await?.filter(|n| *n > 0).map(|n| format!("{n} requests wait already")),
        Flavour::LlamaCppPython | Flavour::Other => None,
    };
    if let Some(why) = busy {
        io.report.inference = Some(skipped(wanted, why));
        return Ok(());
    }
    let list = match front.list {
        Some(list) => list,
        None => match models::ask(io).await? {
            Some(list) => list,
            None => return Ok(()),
        },
    };
    let inference = match choose(front.flavour, &list, wanted, start) {
        Ok(model) => from_model(io, start, ask, &list, model).await?,
        Err(why) => skipped(wanted, why),
    };
    generation::report(io, inference);
    Ok(())
}

/// Why llama.cpp's server may not be asked now.
async fn llama_cpp_is_unfit(io: &mut Io) -> Result<Option<String>, Stop> {
    let Some(props) = llama_cpp::props(io).await? else {
        return Ok(Some("whether it sleeps cannot be known: asking could wake it".into()));
    };
    if props.is_router() {
        return Ok(Some("a router loads what it is asked for and throws others out".into()));
    }
    if props.is_sleeping {
        return Ok(Some("it sleeps: asking would wake it".into()));
    }
    if let Some(slots) = llama_cpp::slots(io, &props).await? {
        return Ok((!llama_server::has_free_slot(&slots)).then(|| "no free slot".into()));
    }
    let running = llama_cpp::metrics(io, &props).await?;
    let running = running.and_then(|text| metrics::sum(&text, "llamacpp:requests_processing"));
    let full = running.zip(props.total_slots).is_some_and(|(running, slots)| running >= slots);
    Ok(full.then(|| "no free slot".into()))
}

/// The model to name, or why none may be named.
fn choose<'a>(flavour: Flavour, list: &'a List, wanted: Option<&'a str>, start: &Start) -> Result<&'a str, String> {
    let Some(first) = list.models().first() else { return Err("it has no model".into()) };
    let is_listed =
        |name: &str| list.models().iter().any(|model| model.id == name || model.aliases.iter().any(|a| a == name));
    match flavour {
        // It serves any name with its one model, and says which that is.
        Flavour::LlamaCpp => return Ok(wanted.unwrap_or(&first.id)),
        Flavour::Vllm => {}
        Flavour::LlamaCppPython if list.models().len() > 1 => {
            return Err("it has several models in turn: naming one could throw another out".into());
        }
        Flavour::LlamaCppPython => {}
        Flavour::Other if models::always_loaded(start) => {}
        Flavour::Other => {
            return Err("whether naming a model loads it cannot be known; the setting `always_loaded` says so".into());
        }
    }
    match wanted {
        Some(wanted) if !is_listed(wanted) => Err(format!("{wanted} is not among its models")),
        wanted => Ok(wanted.unwrap_or(&first.id)),
    }
}

async fn from_model(
    io: &mut Io,
    start: &Start,
    ask: &InferenceAsk,
    list: &List,
    model: &str,
) -> Result<Inference, Stop> {
    let capable = |what: &str| list.capabilities(model).map(|all| all.iter().any(|capability| capability == what));
    if capable("embedding") == Some(true) && capable("completion") == Some(false) {
        return vector(io, start, ask, model).await;
    }
    let body = generation::chat_body(Some(model), &ask.prompt, ask.max_tokens);
    let request =
        Request::post_json("/v1/chat/completions", &body, start.deadline_ms).note(format!("a token from {model}"));
    let mut inference = generation::chat(io, request, None).await?;
    if inference.result == Some(InferenceResult::Failed) && inference.text.as_deref() == Some("Loading model") {
        // It began to load after we had looked.
        inference.result = Some(InferenceResult::Skipped);
    }
    inference.model.get_or_insert_with(|| model.to_owned());
    Ok(inference)
}

/// A vector of a model that makes no text.
async fn vector(io: &mut Io, start: &Start, ask: &InferenceAsk, model: &str) -> Result<Inference, Stop> {
    let body = json!({"model": model, "input": ask.prompt});
    let request = Request::post_json("/v1/embeddings", &body, start.deadline_ms).note(format!("a vector from {model}"));
    let answer = io.request(request).await?;
    let Some(body) = answer::json::<Value>(io, &answer) else { return Ok(not_begun(Some(model), &answer)) };
    let filled = body.pointer("/data/0/embedding").and_then(Value::as_array).is_some_and(|vector| !vector.is_empty());
    Ok(generation::vector(model, filled, answer.ms))
}
