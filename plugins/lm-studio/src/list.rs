//! Which models there are: three routes of three ages, made one list.

use std::collections::BTreeMap;

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::{Depth, Outcome, Response},
};
use plugin_parts::answer::{self, Verdict};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    LIST_MS,
    api::{CapabilitiesV1, ListOpenAi, ListV0, ListV1, ModelV0, ModelV1},
};

/// A model, as far as the route tells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entry {
    pub key: String,
    /// Another name that it answers to: its chosen variant.
    pub variant: Option<String>,
    /// `None`: not known. Empty: it is not loaded.
    pub instances: Option<Vec<Instance>>,
    /// `gguf` or `mlx`.
    pub format: Option<String>,
    /// On disk.
    pub disk_bytes: Option<u64>,
    pub capabilities: Option<Vec<String>>,
    pub info: BTreeMap<String, String>,
}

/// A model in memory. One model may be there several times.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    pub id: String,
    pub context: Option<u64>,
    /// How many requests run at once.
    pub parallel: Option<u64>,
}

impl Entry {
    pub fn is_named(&self, name: &str) -> bool {
        self.key == name
            || self.variant.as_deref() == Some(name)
            || self.instances.iter().flatten().any(|instance| instance.id == name)
    }

    pub fn is_mlx(&self) -> bool {
        self.format.as_deref().is_some_and(|format| format.eq_ignore_ascii_case("mlx"))
    }

    pub fn can(&self, what: &str) -> Option<bool> {
        self.capabilities.as_ref().map(|all| all.iter().any(|capability| capability == what))
    }
}

/// What one route gave.
pub enum Got<T> {
    Value(T),
    /// This version does not have the route.
    NoRoute(Verdict),
    /// What the answer really was; `None`: the host's outcome is right.
    Nothing(Option<Verdict>),
}

/// All models, by the newest route that this version has. `None`: not known.
pub async fn ask(io: &mut Io) -> Result<Option<Vec<Entry>>, Stop> {
    let answer = get(io, "/api/v1/models").await?;
    match judged(io, &answer, v1(&answer)) {
        Got::NoRoute(_) => {}
        got => return Ok(value(got)),
    }
    let answer = get(io, "/api/v0/models").await?;
    match judged(io, &answer, v0(&answer)) {
        Got::NoRoute(_) => {}
        got => return Ok(value(got)),
    }
    let answer = get(io, "/v1/models").await?;
    let got = judged(io, &answer, read::<ListOpenAi>(&answer, "any version"));
    let bare = |id| Entry { key: id, ..Entry::default() };
    Ok(value(got).map(|list| list.data.into_iter().map(|model| bare(model.id)).collect()))
}

/// The question itself, of a list.
pub fn request(path: &str) -> Request {
    Request::get(path, LIST_MS).max_bytes(answer::LIST_BYTES)
}

/// Whatever the session looks for, a list is evidence of what could be served, not of how work goes on.
async fn get(io: &mut Io, path: &str) -> Result<Response, Stop> {
    io.request(request(path).of(Depth::Readiness)).await
}

/// Reads `GET /api/v1/models`.
pub fn v1(answer: &Response) -> Got<Vec<Entry>> {
    map(read::<ListV1>(answer, "0.4.0"), |list| list.models.into_iter().map(from_v1).collect())
}

fn v0(answer: &Response) -> Got<Vec<Entry>> {
    map(read::<ListV0>(answer, "0.3.6"), |list| list.data.into_iter().map(from_v0).collect())
}

/// LM Studio's words for a route that it does not have (lmstudio-bug-tracker#618, #1323).
pub fn is_no_such_route(error: &str) -> bool {
    error.starts_with("Unexpected endpoint or method")
}

/// Reads an answer of a route that LM Studio has since a version.
pub fn read<T: DeserializeOwned>(answer: &Response, since: &str) -> Got<T> {
    let no_route =
        |text: &str| Got::NoRoute(Verdict::new(Outcome::Unsupported, format!("LM Studio before {since}: {text}")));
    if matches!(answer.outcome, Outcome::NotFound | Outcome::Unsupported) {
        return no_route(&answer::words(answer));
    }
    let value = match answer::parsed::<Value>(answer) {
        Ok(value) => value,
        Err(verdict) => return Got::Nothing(verdict),
    };
    match answer::error_of(&value) {
        Some(text) if is_no_such_route(&text) => no_route(&text),
        Some(text) => Got::Nothing(Some(Verdict::new(Outcome::Failed, text))),
        None => match T::deserialize(value) {
            Ok(value) => Got::Value(value),
            Err(error) => Got::Nothing(Some(Verdict::new(Outcome::Malformed, error.to_string()))),
        },
    }
}

fn judged<T>(io: &mut Io, answer: &Response, got: Got<T>) -> Got<T> {
    if let Got::NoRoute(verdict) | Got::Nothing(Some(verdict)) = &got {
        io.judge(answer, verdict.outcome, verdict.text.clone());
    }
    got
}

fn value<T>(got: Got<T>) -> Option<T> {
    match got {
        Got::Value(value) => Some(value),
        Got::NoRoute(_) | Got::Nothing(_) => None,
    }
}

fn map<T, U>(got: Got<T>, f: impl FnOnce(T) -> U) -> Got<U> {
    match got {
        Got::Value(value) => Got::Value(f(value)),
        Got::NoRoute(verdict) => Got::NoRoute(verdict),
        Got::Nothing(verdict) => Got::Nothing(verdict),
    }
}

fn from_v1(model: ModelV1) -> Entry {
    let quantization = model.quantization.and_then(|quantization| quantization.name);
    let instances = model.loaded_instances.map(|instances| {
        let instance = |instance: crate::api::InstanceV1| Instance {
            id: instance.id,
            context: instance.config.as_ref().and_then(|config| config.context_length),
            parallel: instance.config.as_ref().and_then(|config| config.parallel),
        };
        instances.into_iter().map(instance).collect::<Vec<_>>()
    });
    let loaded_context = instances.as_ref().and_then(|all| all.first()?.context);
    Entry {
        capabilities: capabilities(model.kind.as_deref(), model.capabilities.as_ref()),
        info: info([
            ("architecture", model.architecture),
            ("context", loaded_context.or(model.max_context_length).map(|n| n.to_string())),
            ("format", model.format.clone()),
            ("parameters", model.params_string),
            ("quantization", quantization),
        ]),
        key: model.key,
        variant: model.selected_variant,
        instances,
        format: model.format,
        disk_bytes: model.size_bytes,
    }
}

fn from_v0(model: ModelV0) -> Entry {
    let instances = match model.state.as_deref() {
        Some("loaded") => Some(vec![Instance { id: model.id.clone(), context: None, parallel: None }]),
        Some("not-loaded") => Some(Vec::new()),
        _ => None,
    };
    let tools = model.capabilities.iter().any(|capability| capability == "tool_use");
    let told =
        CapabilitiesV1 { vision: model.kind.as_deref() == Some("vlm"), trained_for_tool_use: tools, reasoning: None };
    Entry {
        capabilities: capabilities(model.kind.as_deref(), Some(&told)),
        info: info([
            ("architecture", model.arch),
            ("context", model.max_context_length.map(|n| n.to_string())),
            ("format", model.compatibility_type.clone()),
            ("quantization", model.quantization),
        ]),
        key: model.id,
        instances,
        format: model.compatibility_type,
        ..Entry::default()
    }
}

/// In the words that Ollama uses.
fn capabilities(kind: Option<&str>, told: Option<&CapabilitiesV1>) -> Option<Vec<String>> {
    let mut all = match kind? {
        "llm" | "vlm" => vec!["completion"],
        "embedding" | "embeddings" => vec!["embedding"],
        _ => return None,
    };
    if let Some(told) = told {
        all.extend(told.vision.then_some("vision"));
        all.extend(told.trained_for_tool_use.then_some("tools"));
        all.extend(told.reasoning.as_ref().filter(|reasoning| !reasoning.is_null()).map(|_| "thinking"));
    }
    Some(all.into_iter().map(String::from).collect())
}

fn info<const N: usize>(pairs: [(&str, Option<String>); N]) -> BTreeMap<String, String> {
    pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
