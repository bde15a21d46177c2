//! Loading and unloading, where a server can: llama.cpp's router and text-generation-webui.
//!
//! Whether it worked is measured by the host, from what is expected here; a load is waited for, because only its end
//! tells that a file is broken.

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::{Outcome, Response, SessionKind, Start},
    report::{Expect, ModelState, RepairReport, RepairResult, cut},
};
use plugin_parts::{
    answer,
    repair::{done, ended, failed},
};
use serde_json::{Value, json};

use crate::{
    CHEAP_MS,
    api::{List, Props, WebuiInfo},
    router, webui,
};

/// For requests that are answered at once.
const ACCEPT_MS: u64 = 10_000;
/// For the router's and the webui's own way to end a model's process: 10 s of patience, then by force.
const WITHIN_MS: u64 = 20_000;
/// Between two looks at a load: a part of what it has taken, so that a long one needs few.
const FIRST_WAIT_MS: u64 = 250;
const LONGEST_WAIT_MS: u64 = 40_000;
/// So often its list is asked for: a session has 64 requests, and with these waits they last beyond its deadline.
const ASKED_MAX: usize = 60;

pub async fn repair(io: &mut Io<RepairReport>, start: &Start) -> Result<(), Stop> {
    let SessionKind::Repair { repair, args } = &start.session else {
        return Err(Stop::GiveUp("a probe came as a repair".into()));
    };
    let Some(model) = args.get("model").and_then(Value::as_str) else {
        return Err(Stop::GiveUp(format!("the repair `{repair}` needs `model`")));
    };
    let load = match repair.as_str() {
        "load" => true,
        "unload" => false,
        _ => return unsupported(io, "there is no such repair"),
    };
    match start.variant.as_deref() {
        Some("text-generation-webui") if load => load_webui(io, start, model).await,
        Some("text-generation-webui") => unload_webui(io, start, model).await,
        Some("llama.cpp" | "llama.cpp-router") => {
            let answer = io.request(Request::get("/props", CHEAP_MS).max_bytes(answer::LIST_BYTES)).await?;
            match answer::parsed::<Props>(&answer) {
                Ok(props) if !props.is_router() => unsupported(io, "it has one model, from its start to its end"),
                Ok(_) if load => load_routed(io, model).await,
                Ok(_) => unload_routed(io, start, model).await,
                Err(_) => {
                    failed(io, model, &answer::words(&answer));
                    Ok(())
                }
            }
        }
        _ => unsupported(io, "this server cannot be asked to load or unload a model"),
    }
}

fn unsupported(io: &mut Io<RepairReport>, why: &str) -> Result<(), Stop> {
    end(io, RepairResult::Unsupported, why)
}

fn end(io: &mut Io<RepairReport>, result: RepairResult, text: &str) -> Result<(), Stop> {
    ended(io, result, text);
    Ok(())
}

/// The router answers at once, for a broken file, too; then its list tells how it went.
async fn load_routed(io: &mut Io<RepairReport>, model: &str) -> Result<(), Stop> {
    let request = Request::post_json("/models/load", &json!({"model": model}), ACCEPT_MS);
    let answer = io.request(request.note(format!("loading {model}"))).await?;
    let already = says(&answer, "already running");
    if answer.outcome != Outcome::Ok && !already {
        failed(io, model, &answer::words(&answer));
        return Ok(());
    }
    let (mut wait_ms, mut waited_ms) = (FIRST_WAIT_MS, 0);
    for _ in 0..ASKED_MAX {
        let answer = io.request(Request::get("/v1/models", CHEAP_MS).max_bytes(answer::LIST_BYTES)).await?;
        if answer.outcome == Outcome::Deadline {
            break;
        }
        if answer.outcome == Outcome::Refused {
            failed(io, model, &format!("the router is gone: {}", answer::words(&answer)));
            return Ok(());
        }
        // Without a list it is asked again: the load goes on meanwhile.
        let list = answer::parsed::<List>(&answer).ok();
        let listed = list.as_ref().and_then(|list| list.find(model));
        match listed.and_then(router::status) {
            Some("loaded" | "sleeping") if already && waited_ms == 0 => {
                return end(io, RepairResult::Already, &format!("{model} is running"));
            }
            Some("loaded") => {
                done(io, model, vec![ModelState::Loaded], WITHIN_MS);
                io.report.text = Some(cut(&format!("{model} is loaded")).to_owned());
                return Ok(());
            }
            None if list.is_some() => {
                failed(io, model, &format!("{model} is not among the models any more"));
                return Ok(());
            }
            Some("unloaded") => {
                let code = listed.and_then(|model| model.status.as_ref()?.exit_code);
                let text = format!("model name={model} failed to load");
                failed(io, model, &text);
                if let Some(code) = code {
                    io.report.text = Some(cut(&format!("{text}: its process ended with exit code {code}")).to_owned());
                }
                return Ok(());
            }
            _ => {}
        }
        io.wait(wait_ms, Some(format!("{model} is loading"))).await?;
        waited_ms += wait_ms;
        wait_ms = (wait_ms * 2).min(LONGEST_WAIT_MS);
    }
    failed(io, model, &format!("{model} is still loading after {} s", waited_ms / 1000));
    Ok(())
}

async fn unload_routed(io: &mut Io<RepairReport>, start: &Start, model: &str) -> Result<(), Stop> {
    let request = Request::post_json("/models/unload", &json!({"model": model}), ACCEPT_MS);
    let answer = io.request(request.note(format!("unloading {model}"))).await?;
    if says(&answer, "not running") {
        return end(io, RepairResult::Already, &answer::words(&answer));
    }
    if answer.outcome != Outcome::Ok {
        failed(io, model, &answer::words(&answer));
        return Ok(());
    }
    // A process that had to be ended by force leaves its model as failed.
    done(io, model, vec![ModelState::Unloaded, ModelState::Failed], WITHIN_MS);
    if let Some(child) = router::child_of(start, model) {
        io.report.expect.push(Expect::Process { process: child.id.clone(), gone: true });
    }
    Ok(())
}

fn says(answer: &Response, text: &str) -> bool {
    answer.outcome == Outcome::Rejected && answer::words(answer).contains(text)
}

/// What the webui has loaded; `Err`: it did not say.
async fn webui_info(io: &mut Io<RepairReport>, model: &str) -> Result<Result<WebuiInfo, ()>, Stop> {
    let answer = io.request(Request::get(webui::INFO, CHEAP_MS)).await?;
    Ok(answer::parsed::<WebuiInfo>(&answer).map_err(|_| failed(io, model, &answer::words(&answer))))
}

/// Answered when the model is loaded. It would throw out the one that is loaded.
async fn load_webui(io: &mut Io<RepairReport>, start: &Start, model: &str) -> Result<(), Stop> {
    let Ok(info) = webui_info(io, model).await? else { return Ok(()) };
    match info.loaded() {
        Some(loaded) if loaded == model => return end(io, RepairResult::Already, &format!("{model} is loaded")),
        Some(loaded) => {
            return end(
                io,
                RepairResult::Refused,
                &format!("{loaded} is loaded, and loading {model} would throw it out"),
            );
        }
        None => {}
    }
    let body = json!({"model_name": model});
    let request = Request::post_json("/v1/internal/model/load", &body, start.deadline_ms);
    let answer = io.request(request.note(format!("loading {model}"))).await?;
    if answer.outcome != Outcome::Ok {
        failed(io, model, &answer::words(&answer));
        return Ok(());
    }
    done(io, model, vec![ModelState::Loaded], WITHIN_MS);
    Ok(())
}

/// It has one model, and unloads that whatever its name is.
async fn unload_webui(io: &mut Io<RepairReport>, start: &Start, model: &str) -> Result<(), Stop> {
    let Ok(info) = webui_info(io, model).await? else { return Ok(()) };
    if info.loaded() != Some(model) {
        return end(io, RepairResult::Already, &format!("{model} is not loaded"));
    }
    let request = Request::post_json("/v1/internal/model/unload", &json!({}), ACCEPT_MS);
    let answer = io.request(request.note(format!("unloading {model}"))).await?;
    if answer.outcome != Outcome::Ok {
        failed(io, model, &answer::words(&answer));
        return Ok(());
    }
    done(io, model, vec![ModelState::Unloaded], WITHIN_MS);
    if let Some((child, _)) = webui::child(start.processes.as_deref().unwrap_or_default()) {
        io.report.expect.push(Expect::Process { process: child.id.clone(), gone: true });
    }
    Ok(())
}
