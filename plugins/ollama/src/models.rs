//! Ollama's models: those on disk and those in memory, made one list.

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::Outcome,
    report::{Model, ModelState},
};
use plugin_parts::{
    answer::{self, Told},
    models::whole,
};

use crate::{
    DISK_MS,
    api::{Loaded, Ps, Tag, Tags, full_name},
    expiry, judge_busy,
};

/// The models on disk.
pub async fn tags(io: &mut Io) -> Result<Told<Vec<Tag>>, Stop> {
    let answer = io.request(Request::get("/api/tags", DISK_MS).max_bytes(answer::LIST_BYTES)).await?;
    judge_busy(io, &answer);
    let tags = answer::told::<Tags>(io, &answer);
    Ok(tags.map(|tags| tags.models.unwrap_or_default()))
}

/// The models in memory, or `None` where they cannot be known.
pub async fn loaded(io: &mut Io, timeout_ms: u64) -> Result<Option<Vec<Loaded>>, Stop> {
    let answer = io.request(Request::get("/api/ps", timeout_ms)).await?;
    judge_busy(io, &answer);
    if answer.outcome == Outcome::NotFound {
        io.judge(&answer, Outcome::Unsupported, "no /api/ps here: Ollama before 0.1.38");
    }
    let ps = answer::json::<Ps>(io, &answer);
    Ok(ps.map(|ps| ps.models.unwrap_or_default()))
}

/// All models with their states. Where only the disk is known, their states are not; where only the memory is
/// known, there is no whole list.
pub fn merged(tags: Option<Vec<Tag>>, loaded: Option<&[Loaded]>, now: &str) -> Option<Vec<Model>> {
    let tags = tags?;
    // A model that was deleted while it is in memory is listed there alone.
    let undisked = loaded.unwrap_or_default().iter().filter(|model| !tags.iter().any(|tag| tag.name == model.name));
    let undisked: Vec<Model> = undisked.map(|model| in_memory(base(&model.name), model, now)).collect();
    let mut models: Vec<Model> = tags.iter().map(|tag| on_disk(tag, loaded, now)).collect();
    models.extend(undisked);
    whole(models)
}

fn on_disk(tag: &Tag, loaded: Option<&[Loaded]>, now: &str) -> Model {
    let mut capabilities = tag.capabilities.clone();
    if tag.is_remote() {
        capabilities.get_or_insert_default().push("remote".into());
    }
    let model = Model { size_bytes: tag.size, capabilities, info: tag.details.info(), ..base(&tag.name) };
    match loaded {
        None => model,
        Some(loaded) => match loaded.iter().find(|loaded| loaded.name == tag.name) {
            Some(loaded) => in_memory(model, loaded, now),
            // What runs elsewhere is never in memory here.
            None if tag.is_remote() => model,
            None => Model { state: Some(ModelState::Unloaded), ..model },
        },
    }
}

fn in_memory(mut model: Model, loaded: &Loaded, now: &str) -> Model {
    model.state = Some(if is_stopping(loaded, now) { ModelState::Stopping } else { ModelState::Loaded });
    model.size_bytes = loaded.size;
    model.gpu_bytes = loaded.size_vram;
    model.expires_at = loaded.expires_at.as_deref().and_then(expiry::reported);
    if model.info.is_empty() {
        model.info = loaded.details.info();
    }
    if let Some(context) = loaded.context_length {
        model.info.insert("context".into(), context.to_string());
    }
    model
}

/// Ollama's own command line calls a listed model whose time is over "Stopping...".
pub fn is_stopping(loaded: &Loaded, now: &str) -> bool {
    loaded.expires_at.as_deref().and_then(|time| expiry::is_past(time, now)).unwrap_or(false)
}

fn base(name: &str) -> Model {
    let aliases = name.strip_suffix(":latest").map(|short| vec![short.to_owned()]).unwrap_or_default();
    Model { id: full_name(name), aliases, ..Model::default() }
}
