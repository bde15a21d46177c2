//! The models of `GET /v1/models`.

use std::collections::BTreeMap;

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::{Outcome, Response, Start},
    report::{Model, ModelState},
};
use plugin_parts::{
    answer::{self, Told},
    models::whole,
};
use serde::Deserialize as _;
use serde_json::Value;

use crate::{
    CHEAP_MS,
    api::{List, Listed, Props},
    router,
};

pub async fn ask(io: &mut Io) -> Result<Told<List>, Stop> {
    let answer = io.request(Request::get("/v1/models", CHEAP_MS).max_bytes(answer::LIST_BYTES)).await?;
    Ok(match list(io, &answer) {
        Some(list) => Told::Value(list),
        None if answer::silent(&answer) => Told::Silent,
        None => Told::Nothing,
    })
}

/// Reads the list, and judges what is none.
pub fn list(io: &mut Io, answer: &Response) -> Option<List> {
    let value = answer::json::<Value>(io, answer)?;
    match List::deserialize(&value) {
        Ok(list) if list.object.as_deref() == Some("list") || list.has_data() => Some(list),
        Ok(_) => {
            let text = answer::error_of(&value).unwrap_or_else(|| "JSON that is no list of models".into());
            io.judge(answer, Outcome::Foreign, text);
            None
        }
        Err(error) => {
            io.judge(answer, Outcome::Malformed, error.to_string());
            None
        }
    }
}

/// The list that has come already, or a new one.
pub async fn or_ask(io: &mut Io, list: Option<List>) -> Result<Told<List>, Stop> {
    match list {
        Some(list) => Ok(Told::Value(list)),
        None => ask(io).await,
    }
}

/// The state that all models of llama.cpp's server share; a router's have one each.
pub fn state_by_props(props: &Props) -> Option<ModelState> {
    match props {
        props if props.is_router() => None,
        props if props.is_sleeping => Some(ModelState::Sleeping),
        _ => Some(ModelState::Loaded),
    }
}

/// What the user says of a server that does not tell.
pub fn state_by_user(start: &Start) -> Option<ModelState> {
    let always = start.settings.get("always_loaded").and_then(Value::as_bool).unwrap_or(false);
    always.then_some(ModelState::Loaded)
}

pub fn reported(list: &List, common: Option<ModelState>) -> Option<Vec<Model>> {
    whole(list.models().iter().map(|listed| model(listed, list.capabilities(&listed.id), common)).collect())
}

fn model(listed: &Listed, capabilities: Option<&[String]>, common: Option<ModelState>) -> Model {
    let mut info = BTreeMap::new();
    if let Some(meta) = &listed.meta {
        info.extend(meta.n_ctx.map(|n| ("context".to_owned(), n.to_string())));
        info.extend(meta.n_params.map(|n| ("parameters".to_owned(), n.to_string())));
        info.extend(meta.ftype.clone().map(|ftype| ("quantization".to_owned(), ftype)));
    }
    info.extend(listed.max_model_len.map(|n| ("context".to_owned(), n.to_string())));
    if let Some(code) = listed.status.as_ref().and_then(|status| status.exit_code) {
        info.insert("exit code".into(), code.to_string());
    }
    Model {
        id: listed.id.clone(),
        aliases: listed.aliases.iter().filter(|alias| **alias != listed.id).cloned().collect(),
        state: router_state(listed).or(common),
        size_bytes: listed.meta.as_ref().and_then(|meta| meta.size),
        capabilities: capabilities.map(<[_]>::to_vec),
        info,
        ..Model::default()
    }
}

fn router_state(listed: &Listed) -> Option<ModelState> {
    let failed = listed.status.as_ref().is_some_and(|status| status.failed);
    match router::status(listed)? {
        // A model whose process ended with an error is "unloaded", with a mark.
        "unloaded" if failed => Some(ModelState::Failed),
        "unloaded" => Some(ModelState::Unloaded),
        "loading" => Some(ModelState::Loading),
        "loaded" => Some(ModelState::Loaded),
        "sleeping" => Some(ModelState::Sleeping),
        _ => None,
    }
}
