//! `pull`: a model is fetched again, and is listed afterwards. Opt-in: it takes disk, time and the network.

use ai_monitor_plugin_api::event::Depth;
use serde_json::{Map, json};

use super::{Ground, model};
use crate::incident::act::{ActCall, Outcome};

pub(super) async fn pull(ground: &mut Ground<'_>, call: &ActCall) -> Outcome {
    let model = match model::model_of(ground, call) {
        Ok(model) => model,
        Err(outcome) => return outcome,
    };
    // Taken up after the monitor's own end: what the backend went on with may have come in.
    if ground.resumed.is_some() && is_listed(ground, &model).await == Some(true) {
        return Outcome::done(format!("{model} is listed"));
    }
    ground.notes.intent("pull", Vec::new(), format!("fetches {model}"));
    let args = Map::from_iter([("model".to_owned(), json!(model))]);
    let Some(run) = ground.repair("pull", args).await else {
        return Outcome::new("unsupported", "this backend cannot be asked to fetch a model");
    };
    let report = match model::accepted(&run, "failed") {
        Ok(report) => report,
        Err(outcome) => return outcome,
    };
    let words = report.text.map(|text| format!(": {text}")).unwrap_or_default();
    match is_listed(ground, &model).await {
        Some(true) => Outcome::done(format!("{model} is listed{words}")),
        Some(false) => Outcome::new("failed", format!("{model} is not listed afterwards{words}")),
        None => Outcome::new("failed", format!("whether {model} is listed afterwards cannot be known{words}")),
    }
}

/// `None`: the list cannot be known.
async fn is_listed(ground: &mut Ground<'_>, model: &str) -> Option<bool> {
    let models = ground.probe(Depth::Readiness).await?.report?.models?;
    Some(models.iter().any(|m| m.id == model || m.aliases.iter().any(|alias| alias == model)))
}
