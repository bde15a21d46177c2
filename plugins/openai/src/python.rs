//! What is peculiar to llama-cpp-python's server, which has no more routes than the protocol.
//!
//! Every route that touches its models, `GET /v1/models` too, waits for the answer that it is giving, and unless it was
//! started with `--interrupt_requests false` breaks that answer off: its user's stream ends as if it were whole
//! (measured with 0.3.36, read in app.py). So it is known by the description of its own API, its model by its command
//! line, and it cannot be seen whether it works on something. Identification tells its variant before the first probe;
//! where it could not (the description is not to be had), the probe asks for the models as of any other server.

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::{Depth, Outcome, Process, Start},
    report::{Model, ModelState, Phase},
};
use plugin_parts::{answer, process};
use serde_json::Value;

use crate::is_absent;

/// The module that it is started by: `python -m llama_cpp.server`.
const MODULE: &str = "llama_cpp.server";
const DESCRIPTION: &str = "/openapi.json";

/// Asks for the description of its API, which touches no model. Fills in version and phase.
pub async fn front(io: &mut Io, timeout_ms: u64) -> Result<(), Stop> {
    let answer =
        io.request(Request::get(DESCRIPTION, timeout_ms).of(Depth::Liveness).max_bytes(answer::LIST_BYTES)).await?;
    if is_absent(answer.outcome) {
        io.judge(&answer, Outcome::Foreign, format!("no {DESCRIPTION} here: this is not llama-cpp-python"));
    }
    let body = answer::json::<Value>(io, &answer).ok_or(Stop::Enough)?;
    let text = |pointer| body.pointer(pointer).and_then(Value::as_str);
    if !text("/info/title").is_some_and(|title| title.contains("llama.cpp Python API")) {
        io.judge(&answer, Outcome::Foreign, "another program's description of its API");
        return Err(Stop::Enough);
    }
    io.report.version = text("/info/version").map(str::to_owned);
    io.report.phase = Some(Phase::Ready);
    Ok(())
}

/// Its one model, where its command line names it; with a configuration file there may be several.
pub fn models(start: &Start) -> Option<Vec<Model>> {
    let id = model(server(start)?)?;
    Some(vec![Model { id: id.to_owned(), state: Some(ModelState::Loaded), ..Model::default() }])
}

/// The model that may be asked for, or why none may.
pub fn fit<'a>(start: &'a Start, wanted: Option<&str>) -> Result<&'a str, String> {
    let lets_finish = |server: &&Process| {
        let value = process::argument(&server.args, "--interrupt_requests");
        value.is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "false" | "0" | "no" | "off"))
    };
    let server = server(start).filter(lets_finish).ok_or(
        "any request breaks off the answer that it may be giving, unless its command line has \
         `--interrupt_requests false`",
    )?;
    let model = model(server).ok_or("which models it has is not known: naming one could throw another out")?;
    match wanted {
        Some(wanted) if wanted != model => Err(format!("{wanted} is not among its models")),
        _ => Ok(model),
    }
}

fn server(start: &Start) -> Option<&Process> {
    start.processes.iter().flatten().find(|process| process.args.iter().any(|arg| arg == MODULE))
}

fn model(server: &Process) -> Option<&str> {
    let argument = |name| process::argument(&server.args, name);
    match argument("--config_file") {
        Some(_) => None,
        None => argument("--model_alias").or_else(|| argument("--model")),
    }
}
