//! A few tokens by the request of the settings, where nothing speaks against asking.

use ai_monitor_plugin_api::{
    Io, Next, Stop,
    effect::Request,
    event::{Depth, InferenceAsk, Outcome, Response, Start},
    report::{Inference, InferenceResult, ModelState, Tokens, cut},
};
use plugin_parts::{
    answer,
    generation::{self, Channel, Generation, not_begun, skipped},
};
use serde_json::Value;

use crate::{
    FRONT_MS, facts,
    fill::{self, Values},
    judge, liveness,
    settings::{self, Settings},
};

pub async fn probe(io: &mut Io, start: &Start, settings: &Settings, ask: &InferenceAsk) -> Result<(), Stop> {
    let Some(how) = &settings.inference else {
        io.report.inference =
            Some(skipped(ask.model.as_deref(), "not configured: [target.settings.inference] says how to ask"));
        return Ok(());
    };
    liveness(io, settings, FRONT_MS).await?;
    let model = match choose(io, settings, how, ask).await? {
        Ok(model) => model,
        Err(why) => {
            let wanted = ask.model.as_deref().or(how.model.as_deref());
            io.report.inference = Some(skipped(wanted, why));
            return Ok(());
        }
    };
    if let Some(why) = busy(io, settings).await? {
        io.report.inference = Some(skipped(model.as_deref(), why));
        return Ok(());
    }
    let values = Values { model: model.as_deref(), prompt: Some(&ask.prompt), max_tokens: Some(ask.max_tokens) };
    let inference = match how.ask.request_for(&values, start.deadline_ms) {
        Err(why) => skipped(model.as_deref(), why),
        Ok(request) if how.stream => streamed(io, request, how, model.as_deref()).await?,
        Ok(request) => whole(io, request, how, model.as_deref()).await?,
    };
    generation::report(io, inference);
    Ok(())
}

/// The model to name, if any, or why none may be asked: where the settings say how to know, it must be loaded.
async fn choose(
    io: &mut Io,
    settings: &Settings,
    how: &settings::Inference,
    ask: &InferenceAsk,
) -> Result<Result<Option<String>, String>, Stop> {
    let wanted = ask.model.clone().or_else(|| how.model.clone());
    let readiness = settings.readiness.as_ref().filter(|readiness| readiness.models.is_some());
    let Some(readiness) = readiness else {
        let needed = how.ask.wants(fill::MODEL) && wanted.is_none();
        return Ok(if needed {
            Err("which model is meant is not known: the setting `inference.model`".into())
        } else {
            Ok(wanted)
        });
    };
    facts::ask_readiness(io, readiness, Depth::Readiness).await?;
    let Some(models) = &io.report.models else {
        return Ok(Err("its models are not known: asking could load one".into()));
    };
    let is_loaded = |state: Option<ModelState>| state == Some(ModelState::Loaded) || !settings.knows_states();
    Ok(match wanted {
        Some(wanted) => match models.iter().find(|model| model.id == wanted) {
            None => Err(format!("{wanted} is not among its models")),
            Some(model) if !is_loaded(model.state) => Err(format!("{wanted} is not loaded")),
            Some(_) => Ok(Some(wanted)),
        },
        None => match models.iter().find(|model| is_loaded(model.state)) {
            Some(model) => Ok(Some(model.id.clone())),
            None => Err("no model is loaded".into()),
        },
    })
}

/// Why a request would have to wait, where the settings say how to know.
async fn busy(io: &mut Io, settings: &Settings) -> Result<Option<String>, Stop> {
    let Some(progress) = &settings.progress else { return Ok(None) };
    if progress.queued.is_none() && (progress.running.is_none() || progress.capacity.is_none()) {
        return Ok(None);
    }
    facts::ask_progress(io, progress, Depth::Progress).await?;
    let Some(engine) = io.report.engines.as_ref().and_then(|engines| engines.first()) else {
        return Ok(Some("whether it has a free slot cannot be known".into()));
    };
    Ok(match (engine.queued, engine.running.zip(engine.capacity)) {
        (Some(queued), _) if queued > 0 => Some(format!("{queued} requests wait already")),
        (_, Some((running, capacity))) if running >= capacity => Some("no free slot".into()),
        _ => None,
    })
}

async fn whole(
    io: &mut Io,
    request: Request,
    how: &settings::Inference,
    model: Option<&str>,
) -> Result<Inference, Stop> {
    let answer = io.request(request.note("a few tokens")).await?;
    let good = judge(io, &how.ask, &answer);
    if !good && answer.outcome != Outcome::Ok {
        return Ok(not_begun(model, &answer));
    }
    if !good {
        let text = io.report.judged.last().and_then(|judged| judged.text.clone());
        return Ok(failed(model, text.unwrap_or_else(|| answer::words(&answer))));
    }
    let json: Value = match serde_json::from_str(answer.body.as_deref().unwrap_or_default()) {
        Ok(json) => json,
        Err(error) => {
            io.judge(&answer, Outcome::Malformed, format!("no JSON: {error}"));
            return Ok(failed(model, format!("the answer is no JSON: {error}")));
        }
    };
    Ok(made(&json, &answer, how, model))
}

/// What is at `text` and at `tokens`.
fn made(json: &Value, answer: &Response, how: &settings::Inference, model: Option<&str>) -> Inference {
    let at = |pointer: &Option<String>| pointer.as_deref().and_then(|pointer| json.pointer(pointer));
    let text = at(&how.text);
    if let Some(Value::Array(vector)) = text {
        let vector = generation::vector("", !vector.is_empty(), answer.ms);
        return Inference { model: model.map(str::to_owned), ..vector };
    }
    let text = text.and_then(Value::as_str).unwrap_or_default();
    let counted = at(&how.tokens).and_then(Value::as_u64);
    // A text is at least one token.
    let total = counted.unwrap_or(0).max(u64::from(!text.is_empty()));
    Inference {
        model: model.map(str::to_owned),
        result: Some(if total > 0 { InferenceResult::Output } else { InferenceResult::Empty }),
        text: (!text.is_empty()).then(|| cut(text).to_owned()),
        tokens: Some(Tokens { total, ..Tokens::default() }),
        // The whole answer came at once: when its first token was made is not known.
        first_token_ms: None,
        decode_tps: None,
        finish: None,
    }
}

async fn streamed(
    io: &mut Io,
    request: Request,
    how: &settings::Inference,
    model: Option<&str>,
) -> Result<Inference, Stop> {
    let head = io.request(request.note("a few tokens").streamed()).await?;
    if head.outcome != Outcome::Ok {
        return Ok(not_begun(model, &head));
    }
    if !judge(io, &how.ask, &head) {
        return Ok(failed(model, answer::words(&head)));
    }
    let mut generation = Generation::default();
    generation.model = model.map(str::to_owned);
    let outcome = loop {
        match io.read().await? {
            Next::End(end) => break end.outcome,
            Next::Line(line) => {
                let data = line.line.strip_prefix("data:").unwrap_or(&line.line).trim();
                if data == "[DONE]" {
                    break Outcome::Ok;
                }
                let Ok(json) = serde_json::from_str::<Value>(data) else { continue };
                generation.error = answer::error_of(&json).or(generation.error.take());
                let at = |pointer: &Option<String>| pointer.as_deref().and_then(|pointer| json.pointer(pointer));
                generation.piece(line.ms, Channel::Content, at(&how.text).and_then(Value::as_str).unwrap_or_default());
                generation.counted = at(&how.tokens).and_then(Value::as_u64).or(generation.counted);
            }
        }
    };
    if let Some(error) = &generation.error {
        io.judge(&head, Outcome::Failed, error.clone());
    }
    Ok(generation.finished(outcome))
}

fn failed(model: Option<&str>, text: String) -> Inference {
    Inference { result: Some(InferenceResult::Failed), ..skipped(model, cut(&text)) }
}
