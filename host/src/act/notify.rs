//! `notify`: tell a person. In this version: the monitor's log and the journal.

use super::{Ground, text};
use crate::incident::act::{ActCall, Outcome};

pub(super) fn notify(ground: &mut Ground<'_>, call: &ActCall) -> Outcome {
    let message = text(call, "text").unwrap_or_default();
    let level = text(call, "level").unwrap_or("warn");
    let target = &ground.target.name;
    match level {
        "info" => tracing::info!(target: "recovery", "{target}: {message}"),
        "urgent" => tracing::error!(target: "recovery", "{target}: {message}"),
        _ => tracing::warn!(target: "recovery", "{target}: {message}"),
    }
    ground.notes.notified(level, message);
    Outcome::new("done", "written to the log and the journal")
}
