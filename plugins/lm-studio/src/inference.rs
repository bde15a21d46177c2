//! A few tokens from a model that is in memory. Naming one that is not loads it, and may unload another that works
//! (lmstudio-bug-tracker#671); so only an instance that the list has just shown is named.

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::{InferenceAsk, Start},
    report::Inference,
};
use plugin_parts::{
    answer,
    generation::{self, not_begun, skipped},
};
use serde_json::{Value, json};

use crate::{
    GREETING_MS, greeting,
    list::{self, Entry, Instance},
    named,
};

pub async fn probe(io: &mut Io, start: &Start, ask: &InferenceAsk) -> Result<(), Stop> {
    greeting(io, GREETING_MS).await?;
    if ask.scheduled {
        let why = "asking would restart the timer that unloads a model which was loaded on demand";
        io.report.inference = Some(skipped(ask.model.as_deref(), why));
        return Ok(());
    }
    let Some(entries) = list::ask(io).await? else { return Ok(()) };
    let inference = match choose(&entries, ask.model.as_deref()) {
        Ok(fit) => from_model(io, start, ask, fit).await?,
        Err(unfit) => skipped(unfit.name, unfit.why),
    };
    generation::report(io, inference);
    Ok(())
}

/// A model that may be asked, and which of its instances.
struct Fit<'a> {
    entry: &'a Entry,
    instance: &'a Instance,
}

/// A model that may not be asked, and why.
struct Unfit<'a> {
    name: Option<&'a str>,
    why: String,
}

/// The model that was asked for, or the first that is fit.
fn choose<'a>(entries: &'a [Entry], wanted: Option<&'a str>) -> Result<Fit<'a>, Unfit<'a>> {
    match wanted {
        None => entries
            .iter()
            .find_map(|entry| fit(entry, None).ok())
            .ok_or_else(|| Unfit { name: None, why: "no model is loaded that could be asked".into() }),
        Some(wanted) => match named(entries, wanted) {
            Some(entry) => fit(entry, Some(wanted)),
            None => Err(Unfit { name: Some(wanted), why: format!("{wanted} is not among its models") }),
        },
    }
}

fn fit<'a>(entry: &'a Entry, wanted: Option<&str>) -> Result<Fit<'a>, Unfit<'a>> {
    let unfit = |why: &str| Unfit { name: Some(&entry.key), why: format!("{} {why}", entry.key) };
    let Some(instances) = &entry.instances else {
        return Err(unfit("may not be loaded, which this version does not tell: asking could load it"));
    };
    let meant = instances.iter().find(|instance| Some(instance.id.as_str()) == wanted);
    let Some(instance) = meant.or(instances.first()) else { return Err(unfit("is not loaded")) };
    if entry.is_mlx() {
        // lmstudio-bug-tracker#2255
        return Err(unfit("is an MLX model: a second request can crash it, and whether it works on one is not told"));
    }
    if entry.can("completion") != Some(true) && entry.can("embedding") != Some(true) {
        return Err(unfit("is of a kind that cannot be asked for text or a vector"));
    }
    Ok(Fit { entry, instance })
}

async fn from_model(io: &mut Io, start: &Start, ask: &InferenceAsk, fit: Fit<'_>) -> Result<Inference, Stop> {
    let Fit { entry, instance } = fit;
    let mut inference = if entry.can("completion") == Some(true) {
        // No option but the limit; above all no `ttl`, which would overwrite the user's.
        let body = generation::chat_body(Some(&instance.id), &ask.prompt, ask.max_tokens);
        let request = Request::post_json("/v1/chat/completions", &body, start.deadline_ms)
            .note(format!("a token from {}", instance.id));
        generation::chat(io, request, None).await?
    } else {
        vector(io, start, ask, instance).await?
    };
    // With one model loaded, LM Studio serves any name with it (lmstudio-bug-tracker#619): who answered is for the
    // host to compare.
    inference.model = Some(match inference.model {
        Some(other) if !is_one(entry, &other) => other,
        _ => entry.key.clone(),
    });
    Ok(inference)
}

/// Whether the name in an answer is one of the model's. Answers may add the variant behind an `@`.
fn is_one(entry: &Entry, name: &str) -> bool {
    entry.is_named(name) || name.split_once('@').is_some_and(|(base, _)| entry.is_named(base))
}

/// A vector of a model that makes no text.
async fn vector(io: &mut Io, start: &Start, ask: &InferenceAsk, instance: &Instance) -> Result<Inference, Stop> {
    let body = json!({"model": instance.id, "input": ask.prompt});
    let request =
        Request::post_json("/v1/embeddings", &body, start.deadline_ms).note(format!("a vector from {}", instance.id));
    let answer = io.request(request).await?;
    let Some(body) = answer::json::<Value>(io, &answer) else { return Ok(not_begun(None, &answer)) };
    Ok(generation::vector_of(io, &answer, &body))
}
