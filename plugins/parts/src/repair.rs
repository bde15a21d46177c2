//! The ends of a repair that several plugins share.

use ai_monitor_plugin_api::{
    Io,
    report::{Expect, ModelState, RepairReport, RepairResult, Symptom, cut},
};

use crate::signature;

/// It ended so.
pub fn ended(io: &mut Io<RepairReport>, result: RepairResult, text: &str) {
    io.report.result = Some(result);
    io.report.text = Some(cut(text).to_owned());
}

/// The backend accepted; within this time the host is to see the model in one of these states.
pub fn done(io: &mut Io<RepairReport>, model: &str, state: Vec<ModelState>, within_ms: u64) {
    io.report.result = Some(RepairResult::Done);
    // A model that the backend gave no name cannot be looked for.
    if !model.is_empty() {
        io.report.within_ms = Some(within_ms);
        io.report.expect.push(Expect::Model { model: model.to_owned(), state });
    }
}

/// It failed, with the backend's words and the symptom that they stand for.
pub fn failed(io: &mut Io<RepairReport>, model: &str, text: &str) {
    ended(io, RepairResult::Failed, text);
    note_symptom(io, model, text);
}

/// The symptom that the backend's words stand for, if any.
pub fn note_symptom(io: &mut Io<RepairReport>, model: &str, text: &str) {
    if let Some(id) = signature::symptom(text) {
        let text = cut(text).to_owned();
        io.report.symptoms.push(Symptom { id: id.into(), text, model: Some(model.to_owned()), engine: None });
    }
}
