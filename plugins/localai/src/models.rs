//! The models that are configured and those in memory, made one list.

use std::collections::BTreeMap;

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::{Depth, Outcome, Response},
    report::{Model, ModelState},
};
use plugin_parts::{
    answer::{self, Told},
    models::whole,
};

use crate::{
    LIST_MS,
    api::{List, Listed, Loaded},
};

/// The models that are configured.
pub async fn listed(io: &mut Io) -> Result<Told<Vec<Listed>>, Stop> {
    let answer = match with_capabilities(io).await? {
        Some(answer) => answer,
        None => io.request(Request::get("/v1/models", LIST_MS).max_bytes(answer::LIST_BYTES)).await?,
    };
    Ok(answer::told(io, &answer).map(data))
}

/// What the models can do; empty where this version does not tell. `None`: LocalAI is silent.
pub async fn capable(io: &mut Io) -> Result<Option<Vec<Listed>>, Stop> {
    let Some(answer) = with_capabilities(io).await? else { return Ok(Some(Vec::new())) };
    Ok(match answer::told(io, &answer).map(data) {
        Told::Silent => None,
        told => Some(told.value().unwrap_or_default()),
    })
}

/// The list with what each model can do. `None`: an older version, which has no such route.
async fn with_capabilities(io: &mut Io) -> Result<Option<Response>, Stop> {
    let request = Request::get("/v1/models/capabilities", LIST_MS).of(Depth::Readiness).max_bytes(answer::LIST_BYTES);
    let answer = io.request(request).await?;
    if !matches!(answer.outcome, Outcome::NotFound | Outcome::Unsupported) {
        return Ok(Some(answer));
    }
    io.judge(&answer, Outcome::Unsupported, "a LocalAI that does not tell what its models can do");
    Ok(None)
}

fn data(list: List) -> Vec<Listed> {
    list.data.unwrap_or_default()
}

/// All models with their states. Where only the configured ones are known, their states are not; where only those in
/// memory are known, there is no whole list.
pub fn merged(listed: Option<Vec<Listed>>, loaded: Option<&[Loaded]>) -> Option<Vec<Model>> {
    let listed = listed?;
    // A model whose configuration was removed while it is in memory.
    let unlisted = loaded.unwrap_or_default().iter().filter(|loaded| !listed.iter().any(|l| l.id == loaded.id));
    let unlisted: Vec<Model> = unlisted.map(|loaded| model(&loaded.id, None, Some(loaded), true)).collect();
    let in_memory = |id: &str| loaded.and_then(|all| all.iter().find(|loaded| loaded.id == id));
    let mut models: Vec<Model> = listed
        .iter()
        .map(|listed| model(&listed.id, listed.capabilities.as_deref(), in_memory(&listed.id), loaded.is_some()))
        .collect();
    models.extend(unlisted);
    whole(models)
}

fn model(id: &str, capabilities: Option<&[String]>, loaded: Option<&Loaded>, known: bool) -> Model {
    let state = if loaded.is_some() { ModelState::Loaded } else { ModelState::Unloaded };
    let backend = loaded.and_then(|loaded| loaded.backend.clone()).filter(|backend| !backend.is_empty());
    Model {
        id: id.to_owned(),
        state: known.then_some(state),
        capabilities: capabilities.map(in_common_words),
        info: BTreeMap::from_iter(backend.map(|backend| ("backend".to_owned(), backend))),
        ..Model::default()
    }
}

/// LocalAI's words for what a model can do, in those that Ollama uses where there are such.
pub fn in_common_words(capabilities: &[String]) -> Vec<String> {
    let mut common: Vec<String> = Vec::new();
    for capability in capabilities {
        let word = match capability.as_str() {
            "chat" | "completion" => "completion",
            "embeddings" => "embedding",
            other => other,
        };
        if !common.iter().any(|known| known == word) {
            common.push(word.to_owned());
        }
    }
    common
}
