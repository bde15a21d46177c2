//! Loading and unloading a model, over the REST API that LM Studio has since 0.4.0. Whether it worked is measured by
//! the host, from what is expected here.

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::{Outcome, Response, SessionKind, Start},
    report::{ModelState, RepairReport, RepairResult, cut},
};
use plugin_parts::{
    answer,
    repair::{done, failed},
};
use serde_json::{Value, json};

use crate::{
    api::Load,
    list::{self, Entry, Got},
    named, pull,
};

/// For one instance; unloading frees memory and waits for nothing that is known.
const UNLOAD_MS: u64 = 25_000;
/// A model in memory so many times is none that a person loaded, and a session has 64 requests.
const UNLOADED_MAX: usize = 32;
/// In this time the list shows it.
const WITHIN_MS: u64 = 20_000;

pub async fn repair(io: &mut Io<RepairReport>, start: &Start) -> Result<(), Stop> {
    let SessionKind::Repair { repair, args } = &start.session else {
        return Err(Stop::GiveUp("a probe came as a repair".into()));
    };
    let Some(model) = args.get("model").and_then(Value::as_str) else {
        return Err(Stop::GiveUp(format!("the repair `{repair}` needs `model`")));
    };
    match repair.as_str() {
        "unload" => match entry(io, repair, model).await? {
            Some(entry) => unload(io, &entry).await,
            None => Ok(()),
        },
        "load" => match entry(io, repair, model).await? {
            Some(entry) => load(io, start, &entry).await,
            None => Ok(()),
        },
        "pull" => pull::pull(io, model).await,
        _ => {
            io.report.result = Some(RepairResult::Unsupported);
            Ok(())
        }
    }
}

/// The model, where it is there; else the report says what is wrong. Loading one that is loaded would make a second
/// instance, and unloading needs the instances' names; so the list comes first, and without it nothing is done.
async fn entry(io: &mut Io<RepairReport>, repair: &str, model: &str) -> Result<Option<Entry>, Stop> {
    let answer = io.request(list::request("/api/v1/models")).await?;
    match list::v1(&answer) {
        Got::Value(entries) => match named(&entries, model) {
            Some(entry) => return Ok(Some(entry.clone())),
            None => failed(io, model, &format!("{model} is not among its models")),
        },
        Got::NoRoute(_) => {
            io.report.result = Some(RepairResult::Unsupported);
            io.report.text = Some(format!("LM Studio before 0.4.0 has no route for it; `lms {repair}` does it"));
        }
        Got::Nothing(verdict) => {
            io.report.result = Some(RepairResult::Failed);
            let why = verdict.map_or_else(|| answer::words(&answer), |verdict| verdict.text);
            io.report.text = Some(format!("its models cannot be known: {why}"));
        }
    }
    Ok(None)
}

async fn unload(io: &mut Io<RepairReport>, entry: &Entry) -> Result<(), Stop> {
    let instances = entry.instances.as_deref().unwrap_or_default();
    if instances.is_empty() {
        io.report.result = Some(RepairResult::Already);
        io.report.text = Some(format!("{} is not loaded", entry.key));
        return Ok(());
    }
    for instance in instances.iter().take(UNLOADED_MAX) {
        let request = Request::post_json("/api/v1/models/unload", &json!({"instance_id": instance.id}), UNLOAD_MS)
            .note(format!("unloading {}", instance.id));
        let answer = io.request(request).await?;
        // Gone since the list was made.
        if answer.outcome == Outcome::NotFound {
            continue;
        }
        if let Err(why) = accepted::<Value>(&answer) {
            failed(io, &entry.key, &why);
            return Ok(());
        }
    }
    let text = match instances.len() {
        1 => "unloaded".into(),
        n if n > UNLOADED_MAX => {
            failed(io, &entry.key, &format!("{UNLOADED_MAX} of its {n} instances were unloaded"));
            return Ok(());
        }
        n => format!("{n} instances unloaded"),
    };
    loaded_or_not(io, entry, &text, ModelState::Unloaded);
    Ok(())
}

async fn load(io: &mut Io<RepairReport>, start: &Start, entry: &Entry) -> Result<(), Stop> {
    if entry.instances.as_ref().is_some_and(|instances| !instances.is_empty()) {
        io.report.result = Some(RepairResult::Already);
        io.report.text = Some(format!("{} is loaded", entry.key));
        return Ok(());
    }
    let request = Request::post_json("/api/v1/models/load", &json!({"model": entry.key}), start.deadline_ms)
        .note(format!("loading {}", entry.key));
    let answer = io.request(request).await?;
    match accepted::<Load>(&answer) {
        Ok(load) if load.status.as_deref() == Some("loaded") => {
            let instance = load.instance_id.unwrap_or_else(|| entry.key.clone());
            let text = match load.load_time_seconds {
                Some(seconds) => format!("loaded as {instance} in {seconds:.1} s"),
                None => format!("loaded as {instance}"),
            };
            loaded_or_not(io, entry, &text, ModelState::Loaded);
        }
        Ok(load) => {
            let status = load.status.unwrap_or_else(|| "nothing".into());
            failed(io, &entry.key, &format!("LM Studio said {status} where `loaded` was expected"));
        }
        Err(why) => failed(io, &entry.key, &why),
    }
    Ok(())
}

/// The answer, where it is one and no error stands in it.
pub fn accepted<T: serde::de::DeserializeOwned>(answer: &Response) -> Result<T, String> {
    if answer.outcome != Outcome::Ok {
        return Err(answer::words(answer));
    }
    match list::read(answer, "0.4.0") {
        Got::Value(value) => Ok(value),
        Got::NoRoute(verdict) | Got::Nothing(Some(verdict)) => Err(verdict.text),
        Got::Nothing(None) => Err(answer::words(answer)),
    }
}

fn loaded_or_not(io: &mut Io<RepairReport>, entry: &Entry, text: &str, state: ModelState) {
    done(io, &entry.key, vec![state], WITHIN_MS);
    io.report.text = Some(cut(text).to_owned());
}
