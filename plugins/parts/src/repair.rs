//! The ends of a repair that several plugins share.

use ai_monitor_plugin_api::{
    Io,
    report::{RepairReport, RepairResult, Symptom, cut},
};

use crate::signature;

/// It failed, with the backend's words and the symptom that they stand for.
pub fn failed(io: &mut Io<RepairReport>, model: &str, text: &str) {
    let text = cut(text).to_owned();
    io.report.result = Some(RepairResult::Failed);
    if let Some(id) = signature::symptom(&text) {
        let symptom = Symptom { id: id.into(), text: text.clone(), model: Some(model.to_owned()), engine: None };
        io.report.symptoms.push(symptom);
    }
    io.report.text = Some(text);
}
