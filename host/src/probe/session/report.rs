//! A session's report (its limits were checked as it was read): texts cut to size, and its judgements laid over what
//! the host measured.

use ai_monitor_plugin_api::{
    event::Outcome,
    report::{Judged, RepairReport, Report},
};

use super::cut;
use crate::health::observation::RequestRecord;

/// Entries of a model's `info`.
const MAX_INFO: usize = 16;

/// An observation's report.
pub(super) fn observation(mut report: Report) -> Report {
    shorten(&mut report.version);
    for judged in &mut report.judged {
        shorten(&mut judged.text);
    }
    for model in report.models.iter_mut().flatten() {
        while model.info.len() > MAX_INFO {
            model.info.pop_last();
        }
        for value in model.info.values_mut() {
            *value = cut(value);
        }
    }
    if let Some(inference) = &mut report.inference {
        shorten(&mut inference.text);
        shorten(&mut inference.finish);
    }
    for symptom in &mut report.symptoms {
        symptom.text = cut(&symptom.text);
    }
    report
}

/// A repair's report.
pub(super) fn repair(mut report: RepairReport) -> RepairReport {
    shorten(&mut report.text);
    for symptom in &mut report.symptoms {
        symptom.text = cut(&symptom.text);
    }
    report
}

/// Where an answer had a status, the plugin knows better than the status what it was. Where none came, or the word is
/// none for an answer, what the host measured stands.
pub(super) fn judge(requests: &mut [RequestRecord], judged: &[Judged]) {
    for judgement in judged {
        let request = usize::try_from(judgement.request).ok().and_then(|number| requests.get_mut(number));
        let Some(record) = request.filter(|record| record.status.is_some()) else { continue };
        if !is_about_an_answer(judgement.outcome) {
            continue;
        }
        record.outcome = judgement.outcome;
        if judgement.text.is_some() {
            record.text.clone_from(&judgement.text);
        }
    }
}

fn is_about_an_answer(outcome: Outcome) -> bool {
    !matches!(
        outcome,
        Outcome::Refused
            | Outcome::Unreachable
            | Outcome::Reset
            | Outcome::Timeout
            | Outcome::TooLarge
            | Outcome::Deadline
            | Outcome::Unknown
    )
}

fn shorten(text: &mut Option<String>) {
    if let Some(text) = text {
        *text = cut(text);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(status: Option<u16>, outcome: Outcome) -> RequestRecord {
        RequestRecord {
            of: None,
            to: "target".into(),
            method: "GET".into(),
            path: "/".into(),
            status,
            outcome,
            at: None,
            ms: 1,
            bytes: 0,
            text: None,
        }
    }

    #[test]
    fn a_judgement_replaces_the_outcome_only_where_a_status_came() {
        let mut requests = [record(Some(503), Outcome::Unavailable), record(None, Outcome::Timeout)];
        let judge_all = |outcome| [0, 1, 7].map(|request| Judged { request, outcome, text: Some("busy".into()) });
        judge(&mut requests, &judge_all(Outcome::Overloaded));
        assert_eq!(requests[0].outcome, Outcome::Overloaded);
        assert_eq!(requests[0].text.as_deref(), Some("busy"));
        assert_eq!(requests[1].outcome, Outcome::Timeout);
        judge(&mut requests, &judge_all(Outcome::Refused));
        judge(&mut requests, &judge_all(Outcome::Unknown));
        assert_eq!(requests[0].outcome, Outcome::Overloaded, "no answer can be that");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let report = json!({"symptoms": [{"id": "x", "text": "ä".repeat(400)}]});
        let report = observation(serde_json::from_value(report).unwrap());
        assert_eq!(report.symptoms[0].text, "ä".repeat(256));
    }
}
