//! A few tokens from a model that is in memory. Naming another loads it, and may throw one out; so only what `/system`
//! has just shown is named.

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::{InferenceAsk, Outcome, Response, Start},
    report::Inference,
};
use plugin_parts::{
    answer,
    generation::{self, not_begun, skipped},
};
use serde_json::{Value, json};

use crate::{
    FRONT_MS, admission,
    api::{Listed, Loaded},
    front, models,
    overload::{PutOff, put_off},
    system,
};

/// Its front itself: a token would say no more of the model.
const SILENT: &str = "LocalAI gave no answer to a question before";

pub async fn probe(io: &mut Io, start: &Start, ask: &InferenceAsk) -> Result<(), Stop> {
    front(io, FRONT_MS).await?;
    let wanted = ask.model.as_deref();
    if ask.scheduled {
        let why = "asking would restart the watchdog's idle timer, which unloads what nobody uses";
        io.report.inference = Some(skipped(wanted, why));
        return Ok(());
    }
    let Some(loaded) = system::loaded(io).await?.value() else {
        io.report.inference = Some(skipped(wanted, "what is loaded cannot be known: asking could load it"));
        return Ok(());
    };
    if loaded.is_empty() || wanted.is_some_and(|wanted| !loaded.iter().any(|model| model.id == wanted)) {
        let why = wanted.map_or("no model is loaded".into(), |wanted| format!("{wanted} is not loaded"));
        io.report.inference = Some(skipped(wanted, why));
        return Ok(());
    }
    let Some(capable) = models::capable(io).await? else {
        io.report.inference = Some(skipped(wanted, SILENT));
        return Ok(());
    };
    let inference = match choose(&loaded, &capable, wanted) {
        Ok((model, kind)) => from_model(io, start, ask, model, kind).await?,
        Err(why) => skipped(wanted, why),
    };
    generation::report(io, inference);
    Ok(())
}

async fn from_model(
    io: &mut Io,
    start: &Start,
    ask: &InferenceAsk,
    model: &str,
    kind: Kind,
) -> Result<Inference, Stop> {
    let Some(limited) = admission::limited(io).await? else { return Ok(skipped(Some(model), SILENT)) };
    if admission::of(&limited, model).is_some_and(|limited| limited.in_flight >= limited.max_concurrent) {
        return Ok(skipped(Some(model), "no free slot"));
    }
    match kind {
        Kind::Text => chat(io, start, ask, model).await,
        Kind::Vector => vector(io, start, ask, model).await,
    }
}

/// What a model makes, of that which is asked for here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Vector,
}

/// The model that was asked for, or the first that is fit. `loaded` has the one that was asked for.
fn choose<'a>(loaded: &'a [Loaded], capable: &[Listed], wanted: Option<&'a str>) -> Result<(&'a str, Kind), String> {
    match wanted {
        // Who names a model of an older version, which does not tell, says that it makes text.
        Some(wanted) => match capabilities(capable, wanted) {
            None => Ok((wanted, Kind::Text)),
            Some(all) => match kind(all) {
                Some(kind) => Ok((wanted, kind)),
                None => Err(format!("{wanted} makes neither text nor vectors")),
            },
        },
        None => loaded
            .iter()
            .find_map(|model| Some((model.id.as_str(), kind(capabilities(capable, &model.id)?)?)))
            .ok_or_else(|| "no loaded model is known to make text or vectors; name one".into()),
    }
}

fn capabilities<'a>(capable: &'a [Listed], id: &str) -> Option<&'a [String]> {
    capable.iter().find(|listed| listed.id == id)?.capabilities.as_deref()
}

fn kind(capabilities: &[String]) -> Option<Kind> {
    let common = models::in_common_words(capabilities);
    let can = |what: &str| common.iter().any(|capability| capability == what);
    match () {
        () if can("completion") => Some(Kind::Text),
        () if can("embedding") => Some(Kind::Vector),
        () => None,
    }
}

async fn chat(io: &mut Io, start: &Start, ask: &InferenceAsk, model: &str) -> Result<Inference, Stop> {
    // No option but the limit.
    let body = generation::chat_body(Some(model), &ask.prompt, ask.max_tokens);
    let request =
        Request::post_json("/v1/chat/completions", &body, start.deadline_ms).note(format!("a token from {model}"));
    let head = io.request(request.streamed()).await?;
    if head.outcome != Outcome::Ok {
        return Ok(refused(io, model, &head));
    }
    let mut inference = generation::stream(io, &head).await?;
    inference.model.get_or_insert_with(|| model.to_owned());
    Ok(inference)
}

/// A vector of a model that makes no text.
async fn vector(io: &mut Io, start: &Start, ask: &InferenceAsk, model: &str) -> Result<Inference, Stop> {
    let body = json!({"model": model, "input": ask.prompt});
    let request = Request::post_json("/v1/embeddings", &body, start.deadline_ms).note(format!("a vector from {model}"));
    let answer = io.request(request).await?;
    let Some(body) = answer::json::<Value>(io, &answer) else { return Ok(refused(io, model, &answer)) };
    let mut inference = generation::vector_of(io, &answer, &body);
    inference.model.get_or_insert_with(|| model.to_owned());
    Ok(inference)
}

/// The verdict on an answer that is none.
fn refused(io: &mut Io, model: &str, answer: &Response) -> Inference {
    match put_off(answer) {
        Some(PutOff::Capacity) => {
            io.judge(answer, Outcome::Overloaded, answer::words(answer));
            skipped(Some(model), answer::words(answer))
        }
        Some(PutOff::Loading) => skipped(Some(model), answer::words(answer)),
        None => not_begun(Some(model), answer),
    }
}
