//! llama.cpp's server as a router: no model of its own, and a child for each that is loaded.
//!
//! A request that names a model loads it and may throw another out, unless it says `autoload=false`; one that wakes a
//! sleeping child or is posted also counts as use, by which the router chooses what it throws out (read in
//! server-models.cpp, measured). So children are asked on their own ports, which the router does not see.

use ai_monitor_plugin_api::{
    Io, Stop,
    event::{Process, Role, Start},
    report::{Engine, Phase, Symptom, cut},
};
use plugin_parts::{llama_server, process};

use crate::{
    api::{List, Listed},
    llama_cpp::{self, Place},
    models,
};

/// More are listed, but not asked.
const ASKED_MAX: usize = 6;

/// What the children work on.
pub async fn progress(io: &mut Io, start: &Start) -> Result<(), Stop> {
    let Some(children) = children(start) else {
        return progress_behind_router(io, start).await;
    };
    let mut engines: Vec<Engine> = children.iter().map(|child| engine(child)).collect();
    for (engine, child) in engines.iter_mut().zip(&children).take(ASKED_MAX) {
        let Some(address) = process::address(child) else { continue };
        let is_silent = llama_cpp::child(io, &Place::child(address), llama_cpp::falls_asleep(start), engine).await?;
        // That is enough to know, and each of them costs its whole time: the others are only listed.
        if is_silent {
            break;
        }
    }
    io.report.engines = Some(engines);
    Ok(())
}

/// Where its processes are not known (another machine, another user), the router passes questions on.
async fn progress_behind_router(io: &mut Io, start: &Start) -> Result<(), Stop> {
    let Some(list) = models::ask(io).await?.value() else { return Ok(()) };
    let (mut engines, mut asked) = (Vec::new(), 0);
    for model in list.models() {
        let mut engine = Engine { id: model.id.clone(), model: Some(model.id.clone()), ..Engine::default() };
        match status(model) {
            Some("loaded") if asked < ASKED_MAX => {
                let place = Place::behind_router(&model.id);
                let is_silent = llama_cpp::child(io, &place, sleeps(start, model), &mut engine).await?;
                asked = if is_silent { ASKED_MAX } else { asked + 1 };
            }
            Some("loaded") => {}
            Some("loading") => engine.phase = Some(Phase::Loading),
            Some("sleeping") => engine.phase = Some(Phase::Sleeping),
            _ => continue,
        }
        engines.push(engine);
    }
    io.report.engines = Some(engines);
    Ok(())
}

/// Its processes that have a model; `None` where its processes are not known.
pub fn children(start: &Start) -> Option<Vec<&Process>> {
    let processes = start.processes.as_deref()?;
    Some(processes.iter().filter(|process| process.role == Role::Engine).collect())
}

/// The process of a model.
pub fn child_of<'a>(start: &'a Start, model: &str) -> Option<&'a Process> {
    children(start)?.into_iter().find(|child| process::argument(&child.args, "--alias") == Some(model))
}

fn engine(child: &Process) -> Engine {
    Engine { model: process::argument(&child.args, "--alias").map(str::to_owned), ..process::engine(child) }
}

/// A word of the router's for the state of a model.
pub fn status(model: &Listed) -> Option<&str> {
    model.status.as_ref()?.value.as_deref()
}

/// Whether a child that is left alone falls asleep.
pub fn sleeps(start: &Start, model: &Listed) -> bool {
    llama_cpp::falls_asleep(start) || model.status.as_ref().is_some_and(|s| llama_cpp::args_say_asleep(&s.args))
}

/// Whether its process was started to make vectors.
pub fn embeds(model: &Listed) -> bool {
    model.status.as_ref().is_some_and(|status| llama_server::embeds(&status.args))
}

/// Models whose process ended with an error. The router says that they failed, and not whether at loading or at work;
/// the next request starts them anew, so this is shown and is no fault of the server.
pub fn note_failed(io: &mut Io, list: &List) {
    const SHOWN_MAX: usize = 16;
    let failed = list.models().iter().filter(|model| model.status.as_ref().is_some_and(|status| status.failed));
    for model in failed.take(SHOWN_MAX) {
        let code = model.status.as_ref().and_then(|status| status.exit_code);
        let code = code.map_or(String::new(), |code| format!(" with exit code {code}"));
        let text = cut(&format!("the process of {} ended{code}", model.id)).to_owned();
        io.report.symptoms.push(Symptom {
            id: "model_failed".into(),
            text,
            model: Some(model.id.clone()),
            engine: None,
        });
    }
}
