//! `[target.settings]` as the plugin uses it, every mistake named with its place: `settings.liveness.path: …`.

use std::collections::BTreeMap;

use ai_monitor_plugin_api::{effect::Method, report::ModelState};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    expect::{Expect, ExpectSettings},
    fill,
    place::{Place, check_pointer},
    request::{Ask, AskSettings, duration},
};

const COUNTERS_MAX: usize = 64;
const NAME_MAX: usize = 128;

/// All that is asked.
#[derive(Debug, Clone)]
pub struct Settings {
    pub liveness: Liveness,
    pub readiness: Option<Readiness>,
    pub progress: Option<Progress>,
    pub inference: Option<Inference>,
    pub load: Option<Repair>,
    pub unload: Option<Repair>,
}

#[derive(Debug, Clone)]
pub struct Liveness {
    pub ask: Ask,
    pub loading: Option<Expect>,
}

#[derive(Debug, Clone)]
pub struct Readiness {
    pub ask: Ask,
    /// Pointer.
    pub version: Option<String>,
    pub models: Option<Models>,
}

/// Where the models stand in an answer. All but `list` are pointers from one of its objects.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Models {
    pub list: String,
    #[serde(default = "id")]
    pub id: String,
    pub size_bytes: Option<String>,
    pub state: Option<String>,
    /// The server's words for each.
    #[serde(default)]
    pub states: BTreeMap<State, Vec<Value>>,
    pub all: Option<State>,
}

/// A state by its word in the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Unloaded,
    Loading,
    Loaded,
    Sleeping,
    Stopping,
    Failed,
}

impl From<State> for ModelState {
    fn from(state: State) -> ModelState {
        match state {
            State::Unloaded => ModelState::Unloaded,
            State::Loading => ModelState::Loading,
            State::Loaded => ModelState::Loaded,
            State::Sleeping => ModelState::Sleeping,
            State::Stopping => ModelState::Stopping,
            State::Failed => ModelState::Failed,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Progress {
    pub ask: Ask,
    pub running: Option<Place>,
    pub queued: Option<Place>,
    pub capacity: Option<Place>,
    /// By name.
    pub counters: BTreeMap<String, Place>,
}

#[derive(Debug, Clone)]
pub struct Inference {
    pub ask: Ask,
    pub model: Option<String>,
    /// Pointers.
    pub text: Option<String>,
    pub tokens: Option<String>,
    pub stream: bool,
}

#[derive(Debug, Clone)]
pub struct Repair {
    pub ask: Ask,
    pub after: Option<Vec<ModelState>>,
    pub within_ms: Option<u64>,
}

impl Settings {
    /// The error begins with the place, as `settings.liveness.path: …`.
    pub fn read(map: &Map<String, Value>) -> Result<Settings, String> {
        let known = ["liveness", "readiness", "progress", "inference", "load", "unload"];
        if let Some(other) = map.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(format!("settings.{other}: there is no such setting; there are {}", known.join(", ")));
        }
        let section = |name: &str| map.get(name).cloned();
        Ok(Settings {
            liveness: liveness(section("liveness").unwrap_or_else(|| Value::Object(Map::new())))?,
            readiness: section("readiness").map(readiness).transpose()?,
            progress: section("progress").map(progress).transpose()?,
            inference: section("inference").map(inference).transpose()?,
            load: section("load").map(|value| repair(value, "settings.load")).transpose()?,
            unload: section("unload").map(|value| repair(value, "settings.unload")).transpose()?,
        })
    }

    /// Does a look tell in which state a model is?
    pub fn knows_states(&self) -> bool {
        let models = self.readiness.as_ref().and_then(|readiness| readiness.models.as_ref());
        models.is_some_and(|models| models.state.is_some() || models.all.is_some())
    }
}

fn liveness(value: Value) -> Result<Liveness, String> {
    #[derive(Deserialize)]
    struct Raw {
        #[serde(flatten)]
        ask: AskSettings,
        loading: Option<ExpectSettings>,
    }
    let at = "settings.liveness";
    let raw: Raw = section(value, at)?;
    let ask = Ask::read(raw.ask, at, Method::Get, &[])?;
    let loading = raw.loading.map(|loading| Expect::read(loading, "settings.liveness.loading")).transpose()?;
    Ok(Liveness { ask, loading })
}

fn readiness(value: Value) -> Result<Readiness, String> {
    #[derive(Deserialize)]
    struct Raw {
        #[serde(flatten)]
        ask: AskSettings,
        version: Option<String>,
        models: Option<Models>,
    }
    let at = "settings.readiness";
    let raw: Raw = section(value, at)?;
    let ask = Ask::read(raw.ask, at, Method::Get, &[])?;
    check_pointers([("version", &raw.version)], at)?;
    if let Some(models) = &raw.models {
        let at = "settings.readiness.models";
        let (list, id) = (Some(models.list.clone()), Some(models.id.clone()));
        check_pointers(
            [("list", &list), ("id", &id), ("size_bytes", &models.size_bytes), ("state", &models.state)],
            at,
        )?;
        if models.all.is_some() && models.state.is_some() {
            return Err(format!("{at}.all: the state of each is at `state` already"));
        }
        if !models.states.is_empty() && models.state.is_none() {
            return Err(format!("{at}.states: without `state` there is no word to look up"));
        }
    }
    Ok(Readiness { ask, version: raw.version, models: raw.models })
}

fn progress(value: Value) -> Result<Progress, String> {
    #[derive(Deserialize)]
    struct Raw {
        #[serde(flatten)]
        ask: AskSettings,
        running: Option<String>,
        queued: Option<String>,
        capacity: Option<String>,
        #[serde(default)]
        counters: BTreeMap<String, String>,
    }
    let at = "settings.progress";
    let raw: Raw = section(value, at)?;
    let ask = Ask::read(raw.ask, at, Method::Get, &[])?;
    let place =
        |name: &str, text: Option<String>| text.map(|text| Place::read(&text, &format!("{at}.{name}"))).transpose();
    if raw.counters.len() > COUNTERS_MAX {
        return Err(format!("{at}.counters: more than {COUNTERS_MAX}"));
    }
    let mut counters = BTreeMap::new();
    for (name, text) in raw.counters {
        if name.is_empty() || name.len() > NAME_MAX {
            return Err(format!("{at}.counters: a name has 1 to {NAME_MAX} bytes"));
        }
        let place = Place::read(&text, &format!("{at}.counters.{name}"))?;
        counters.insert(name, place);
    }
    Ok(Progress {
        ask,
        running: place("running", raw.running)?,
        queued: place("queued", raw.queued)?,
        capacity: place("capacity", raw.capacity)?,
        counters,
    })
}

fn inference(value: Value) -> Result<Inference, String> {
    #[derive(Deserialize)]
    struct Raw {
        #[serde(flatten)]
        ask: AskSettings,
        model: Option<String>,
        text: Option<String>,
        tokens: Option<String>,
        #[serde(default)]
        stream: bool,
    }
    let at = "settings.inference";
    let raw: Raw = section(value, at)?;
    let ask = Ask::read(raw.ask, at, Method::Post, &[fill::MODEL, fill::PROMPT, fill::MAX_TOKENS])?;
    check_pointers([("text", &raw.text), ("tokens", &raw.tokens)], at)?;
    match (&raw.text, &raw.tokens) {
        (None, None) => {
            return Err(format!(
                "{at}: `text` or `tokens` must say where in the answer it shows that a token came out"
            ));
        }
        (None, Some(_)) if raw.stream => return Err(format!("{at}: a stream needs `text`")),
        _ => {}
    }
    if raw.stream && ask.expect.reads_body() {
        return Err(format!("{at}.expect: of a stream only `status` can be wanted"));
    }
    Ok(Inference { ask, model: raw.model, text: raw.text, tokens: raw.tokens, stream: raw.stream })
}

fn repair(value: Value, at: &str) -> Result<Repair, String> {
    #[derive(Deserialize)]
    struct Raw {
        #[serde(flatten)]
        ask: AskSettings,
        after: Option<Vec<State>>,
        within: Option<String>,
    }
    let raw: Raw = section(value, at)?;
    let ask = Ask::read(raw.ask, at, Method::Post, &[fill::MODEL])?;
    if !ask.wants(fill::MODEL) {
        return Err(format!("{at}: {{model}} must stand in `path` or `body`, or any model would be meant"));
    }
    let after = raw.after.map(|after| after.into_iter().map(ModelState::from).collect());
    let within_ms = raw.within.map(|text| duration(&text, &format!("{at}.within"))).transpose()?;
    Ok(Repair { ask, after, within_ms })
}

fn section<T: DeserializeOwned>(value: Value, at: &str) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| format!("{at}: {error}"))
}

fn check_pointers<'a>(
    pointers: impl IntoIterator<Item = (&'static str, &'a Option<String>)>,
    at: &str,
) -> Result<(), String> {
    for (name, pointer) in pointers {
        if let Some(pointer) = pointer {
            check_pointer(pointer, &format!("{at}.{name}"))?;
        }
    }
    Ok(())
}

fn id() -> String {
    "/id".into()
}
