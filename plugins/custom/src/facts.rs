//! What an answer tells beside being good: version, models, requests in flight, counters.

use ai_monitor_plugin_api::{
    Io, Stop,
    event::{Depth, Outcome, Response},
    report::{Counter, Engine, Model},
};
use plugin_parts::models::whole;
use serde_json::Value;

use crate::{
    FRONT_MS,
    expect::same,
    fill::Values,
    judge, liveness,
    place::{Body, Place},
    settings::{Models, Progress, Readiness, Settings, State},
};

pub async fn readiness(io: &mut Io, settings: &Settings) -> Result<(), Stop> {
    let Some(readiness) = &settings.readiness else { return Ok(()) };
    liveness(io, settings, FRONT_MS).await?;
    ask_readiness(io, readiness, Depth::Readiness).await
}

pub async fn progress(io: &mut Io, settings: &Settings) -> Result<(), Stop> {
    let Some(progress) = &settings.progress else { return Ok(()) };
    liveness(io, settings, FRONT_MS).await?;
    ask_progress(io, progress, Depth::Progress).await
}

/// Version and models go into the report, as far as they are there.
pub async fn ask_readiness(io: &mut Io, readiness: &Readiness, of: Depth) -> Result<(), Stop> {
    let answer = io.request(readiness.ask.request(&Values::default(), FRONT_MS).of(of)).await?;
    if !judge(io, &readiness.ask, &answer) || (readiness.version.is_none() && readiness.models.is_none()) {
        return Ok(());
    }
    let json: Value = match serde_json::from_str(answer.body.as_deref().unwrap_or_default()) {
        Ok(json) => json,
        Err(error) => {
            io.judge(&answer, Outcome::Malformed, format!("no JSON: {error}"));
            return Ok(());
        }
    };
    let version = readiness.version.as_deref().and_then(|pointer| json.pointer(pointer));
    io.report.version = version.map(crate::expect::shown);
    if let Some(places) = &readiness.models {
        match models(&json, places) {
            Ok(models) => io.report.models = whole(models),
            Err(why) => io.judge(&answer, Outcome::Malformed, why),
        }
    }
    Ok(())
}

/// All models, or what is not as the settings say: then the list is not known.
fn models(json: &Value, places: &Models) -> Result<Vec<Model>, String> {
    let place = if places.list.is_empty() { "the answer" } else { &places.list };
    let list = json.pointer(&places.list).ok_or_else(|| format!("nothing is at {place}"))?;
    match list {
        Value::Array(entries) => entries
            .iter()
            .enumerate()
            .map(|(index, entry)| match entry {
                Value::String(name) => Ok(model(name.clone(), entry, places)),
                entry => match entry.pointer(&places.id) {
                    Some(Value::String(name)) => Ok(model(name.clone(), entry, places)),
                    _ => Err(format!("{place}/{index} has no text at {}", places.id)),
                },
            })
            .collect(),
        Value::Object(entries) => Ok(entries.iter().map(|(name, entry)| model(name.clone(), entry, places)).collect()),
        Value::String(name) => Ok(vec![model(name.clone(), list, places)]),
        // Some servers write "none" so.
        Value::Null => Ok(Vec::new()),
        other => Err(format!("{place} is {}, and no list of models", crate::expect::shown(other))),
    }
}

fn model(id: String, entry: &Value, places: &Models) -> Model {
    let state = match (&places.all, &places.state) {
        (Some(all), _) => Some(*all),
        (None, Some(pointer)) => entry.pointer(pointer).and_then(|word| state(word, places)),
        (None, None) => None,
    };
    let size = places.size_bytes.as_deref().and_then(|pointer| entry.pointer(pointer)?.as_u64());
    Model { id, state: state.map(Into::into), size_bytes: size, ..Model::default() }
}

/// The state that the server's word stands for. Without a list of words they are the contract's own.
fn state(word: &Value, places: &Models) -> Option<State> {
    if places.states.is_empty() {
        return serde_json::from_value(word.clone()).ok();
    }
    let found = places.states.iter().find(|(_, words)| words.iter().any(|known| same(known, word)));
    found.map(|(state, _)| *state)
}

/// Requests in flight and counters go into the report as one engine: the server.
pub async fn ask_progress(io: &mut Io, progress: &Progress, of: Depth) -> Result<(), Stop> {
    let answer = io.request(progress.ask.request(&Values::default(), FRONT_MS).of(of)).await?;
    if judge(io, &progress.ask, &answer) {
        match engine(&answer, progress) {
            Ok(Some(engine)) => io.report.engines = Some(vec![engine]),
            Ok(None) => {}
            Err(why) => io.judge(&answer, Outcome::Malformed, why),
        }
    }
    Ok(())
}

/// `None`: the settings name nothing of it.
fn engine(answer: &Response, progress: &Progress) -> Result<Option<Engine>, String> {
    let places = [&progress.running, &progress.queued, &progress.capacity];
    if places.iter().all(|place| place.is_none()) && progress.counters.is_empty() {
        return Ok(None);
    }
    let body = Body::of(answer.body.as_deref().unwrap_or_default());
    let number = |place: &Option<Place>| match place {
        Some(place) => place.number(&body),
        None => Ok(None),
    };
    let mut counters = Vec::new();
    for (name, place) in &progress.counters {
        if let Some(value) = place.number(&body)? {
            counters.push(Counter { id: name.clone(), kind: name.clone(), value });
        }
    }
    Ok(Some(Engine {
        id: "server".into(),
        running: number(&progress.running)?,
        queued: number(&progress.queued)?,
        capacity: number(&progress.capacity)?,
        // Looked for: a counter that is not there is one that has gone.
        counters: (!progress.counters.is_empty()).then_some(counters),
        ..Engine::default()
    }))
}
