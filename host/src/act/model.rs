//! `load`, `unload`, `reload`: a model comes and goes by the plugin's repairs; whether it worked is measured.

use std::time::{Duration, Instant};

use ai_monitor_plugin_api::{
    event::Depth,
    report::{Expect, Model, ModelState, RepairReport, RepairResult},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Ground, seconds, text};
use crate::{
    health::signals::TreeProcess,
    incident::act::{ActCall, Outcome},
    probe::session::RepairRun,
    process,
};

/// A model that was loaded when the fault was seen, and when that would have ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    pub id: String,
    pub keep: Keep,
}

/// How long a model was to stay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The backend tells nothing.
    Unknown,
    Never,
    /// So much was left when it was last seen well.
    Left(SignedDuration),
}

impl Loaded {
    /// What is loaded of these models, with the expiry left at `seen`.
    pub fn of(models: &[Model], seen: Timestamp) -> Vec<Loaded> {
        models
            .iter()
            .filter(|m| m.state == Some(ModelState::Loaded))
            .map(|m| Loaded { id: m.id.clone(), keep: keep_of(m.expires_at.as_deref(), seen) })
            .collect()
    }

    /// It would be gone by itself by now.
    pub fn has_expired(&self) -> bool {
        matches!(self.keep, Keep::Left(left) if left <= SignedDuration::ZERO)
    }

    /// The arguments of the `load` repair that give back what the user had.
    pub fn load_args(&self, now: Timestamp) -> Map<String, Value> {
        let mut args = Map::new();
        args.insert("model".into(), json!(self.id));
        match self.keep {
            Keep::Unknown => {}
            Keep::Never => {
                args.insert("expires_at".into(), json!("never"));
            }
            Keep::Left(left) => {
                let until = now.checked_add(left).unwrap_or(now);
                args.insert("expires_at".into(), json!(until.to_string()));
            }
        }
        args
    }
}

/// What an `expires_at` leaves from `seen` on.
pub fn keep_of(expires_at: Option<&str>, seen: Timestamp) -> Keep {
    match expires_at {
        None => Keep::Unknown,
        Some("never") => Keep::Never,
        Some(text) => text.parse::<Timestamp>().map_or(Keep::Unknown, |at| Keep::Left(at.duration_since(seen))),
    }
}

pub(super) fn model_of(ground: &Ground<'_>, call: &ActCall) -> Result<String, Outcome> {
    text(call, "model")
        .map(str::to_owned)
        .or_else(|| ground.fault.model.clone())
        .or_else(|| only(&ground.loaded))
        .ok_or_else(|| {
            Outcome::new("unsupported", "which model is meant is not known: name one, act.load { model = … }")
        })
}

/// With one model loaded it is clear which one is meant.
fn only(loaded: &[Loaded]) -> Option<String> {
    match loaded {
        [one] => Some(one.id.clone()),
        _ => None,
    }
}

pub(super) async fn load(ground: &mut Ground<'_>, call: &ActCall) -> Outcome {
    match model_of(ground, call) {
        Ok(model) => load_model(ground, &model).await,
        Err(outcome) => outcome,
    }
}

async fn load_model(ground: &mut Ground<'_>, model: &str) -> Outcome {
    let was = ground.loaded.iter().find(|l| l.id == model).cloned();
    let loaded = was.unwrap_or(Loaded { id: model.to_owned(), keep: Keep::Unknown });
    ground.notes.intent("load", Vec::new(), format!("loads {model}"));
    let Some(run) = ground.repair("load", loaded.load_args(Timestamp::now())).await else {
        return Outcome::new("unsupported", "this backend cannot be asked to load");
    };
    match accepted(&run, "failed") {
        Err(outcome) => outcome,
        Ok(report) => {
            let expect = Expected::of(&report, model, ModelState::Loaded);
            match holds(ground, &expect, within(&report, Duration::from_secs(60))).await {
                Ok(()) => Outcome::done(format!("{model} is loaded")),
                Err(why) => Outcome { changed: true, ..Outcome::new("failed", why) },
            }
        }
    }
}

pub(super) async fn unload(ground: &mut Ground<'_>, call: &ActCall) -> Outcome {
    match model_of(ground, call) {
        Ok(model) => unload_model(ground, &model, None).await,
        Err(outcome) => outcome,
    }
}

async fn unload_model(ground: &mut Ground<'_>, model: &str, limit: Option<Duration>) -> Outcome {
    let engines: Vec<TreeProcess> = ground.tree.clone();
    let touches =
        engines.iter().filter(|p| p.role == ai_monitor_plugin_api::event::Role::Engine).map(|p| p.id).collect();
    ground.notes.intent("unload", touches, format!("unloads {model}"));
    let mut args = Map::new();
    args.insert("model".into(), json!(model));
    let Some(run) = ground.repair("unload", args).await else {
        return Outcome::new("unsupported", "this backend cannot be asked to unload");
    };
    match accepted(&run, "failed") {
        Err(outcome) => outcome,
        Ok(report) if report.result == Some(RepairResult::Already) => {
            Outcome::new("nothing", format!("{model} was not loaded"))
        }
        Ok(report) => {
            let expect = Expected::of(&report, model, ModelState::Unloaded);
            let within = limit.unwrap_or_else(|| within(&report, Duration::from_secs(20)));
            match holds(ground, &expect, within).await {
                Ok(()) => Outcome::done(format!("{model} is unloaded")),
                Err(why) => Outcome { changed: true, ..Outcome::new("still_loaded", why) },
            }
        }
    }
}

pub(super) async fn reload(ground: &mut Ground<'_>, call: &ActCall) -> Outcome {
    if !ground.plugin.manifest().repairs.contains_key("unload")
        || !ground.plugin.manifest().repairs.contains_key("load")
    {
        return Outcome::new("unsupported", "this backend cannot be asked to unload and load");
    }
    let model = match model_of(ground, call) {
        Ok(model) => model,
        Err(outcome) => return outcome,
    };
    let unloaded = unload_model(ground, &model, seconds(call, "within")).await;
    match unloaded.result.as_str() {
        "done" | "nothing" => {}
        "failed" => return Outcome { result: "still_loaded".into(), ..unloaded },
        _ => return unloaded,
    }
    ground.notes.phase(unloaded.detail.clone(), None);
    let loaded = load_model(ground, &model).await;
    if loaded.ok() {
        return Outcome::done(format!("{}; {}", unloaded.detail, loaded.detail));
    }
    let mut outcome = Outcome::done(format!("{}; {}", unloaded.detail, loaded.detail));
    outcome.result = "load_failed".into();
    outcome
}

/// The report of a repair that the backend took; else the outcome that says why not.
pub(super) fn accepted(run: &RepairRun, failed: &str) -> Result<RepairReport, Outcome> {
    let Some(report) = &run.report else {
        return Err(Outcome::new(failed, format!("the repair gave no report: {:?}", run.end)));
    };
    let why = || {
        let words = report.text.clone().unwrap_or_default();
        let record = run.requests.iter().rev().find(|r| r.outcome != ai_monitor_plugin_api::event::Outcome::Ok);
        match record {
            Some(record) => format!("{words} {}", record.sentence()).trim().to_owned(),
            None => words,
        }
    };
    match report.result {
        Some(RepairResult::Done | RepairResult::Already) => Ok(report.clone()),
        Some(RepairResult::Unsupported) => Err(Outcome::new("unsupported", why())),
        Some(RepairResult::Refused | RepairResult::Failed) | None => Err(Outcome::new(failed, why())),
    }
}

/// What must hold after a repair.
struct Expected {
    all: Vec<Expect>,
    /// The plugin names it. Where it names nothing, the model's state is looked at as far as it is told: a backend that
    /// tells none is judged by the fault's own signal alone.
    by_plugin: bool,
}

impl Expected {
    fn of(report: &RepairReport, model: &str, state: ModelState) -> Expected {
        match report.expect.is_empty() {
            true => {
                let model = Expect::Model { model: model.to_owned(), state: vec![state] };
                Expected { all: vec![model], by_plugin: false }
            }
            false => Expected { all: report.expect.clone(), by_plugin: true },
        }
    }
}

fn within(report: &RepairReport, default: Duration) -> Duration {
    report.within_ms.map_or(default, Duration::from_millis).min(Duration::from_secs(30 * 60))
}

/// Waits until all holds, measured by a readiness probe and the process tree.
async fn holds(ground: &mut Ground<'_>, expect: &Expected, within: Duration) -> Result<(), String> {
    let began = Instant::now();
    let before = ground.tree.clone();
    let mut pause = Duration::from_millis(20);
    loop {
        let mut missing = None;
        let models = match ground.probe(Depth::Readiness).await {
            Some(observation) => observation.report.and_then(|r| r.models),
            None => None,
        };
        for one in &expect.all {
            match one {
                Expect::Model { model, state } => {
                    let is =
                        models.as_ref().and_then(|m| m.iter().find(|m| &m.id == model || m.aliases.contains(model)));
                    let is_in = match (is, &models) {
                        (Some(m), _) => m.state.map_or(!expect.by_plugin, |s| state.contains(&s)),
                        (None, Some(_)) => state.contains(&ModelState::Unloaded),
                        (None, None) => !expect.by_plugin,
                    };
                    if !is_in {
                        let now =
                            is.and_then(|m| m.state).map_or("not known".into(), |s| format!("{s:?}").to_lowercase());
                        missing = Some(format!("{model} is {now} after {} s", began.elapsed().as_secs()));
                    }
                }
                Expect::Process { process: id, gone } => {
                    let was = before.iter().find(|p| &p.session_id == id);
                    if let Some(was) = was
                        && process::is_alive(was.id) == *gone
                    {
                        missing = Some(format!("{} ({}) lives after {} s", was.exe, was.id, began.elapsed().as_secs()));
                    }
                }
            }
        }
        let Some(missing) = missing else { return Ok(()) };
        if began.elapsed() >= within {
            return Err(missing);
        }
        // A backend has no event for "unloaded": it is asked, ever less often.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}
