//! One look at a target: the probes of one round and what the host measured beside them.

use ai_monitor_plugin_api::{
    event::{At, Depth, Outcome},
    report::{Engine, InferenceResult, Model, Phase, Symptom},
};

use super::{
    observation::{Observation, RequestRecord, SessionEnd},
    signals::Signals,
};
use crate::time::Now;

/// The probes of one round, shallowest first and at most one per depth, with the host's signals.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    pub now: Now,
    pub observations: Vec<Observation>,
    pub signals: Signals,
}

/// What one depth said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Said<'a> {
    /// Not asked, or the session had no report: no evidence either way.
    Nothing,
    Ok(&'a RequestRecord),
    /// The record that failed.
    Failed(&'a RequestRecord),
}

impl Observation {
    /// What it said of its own depth: the first request that failed, else the last that went well. A route that this
    /// version of the backend does not have is no failure where another one answered.
    pub fn said(&self) -> Said<'_> {
        if self.end != SessionEnd::Report {
            return Said::Nothing;
        }
        let records = || self.requests.iter().filter(|r| r.of == Some(self.depth));
        let well = records().rfind(|r| !is_failure(r));
        let counts = |r: &RequestRecord| is_failure(r) && (well.is_none() || r.outcome != Outcome::Unsupported);
        match (records().find(|r| counts(r)), well) {
            (Some(failed), _) => Said::Failed(failed),
            (None, Some(well)) => Said::Ok(well),
            (None, None) => Said::Nothing,
        }
    }
}

impl Look {
    pub fn at(&self, depth: Depth) -> Option<&Observation> {
        self.observations.iter().find(|o| o.depth == depth)
    }

    /// What a depth's own session said of this depth.
    pub fn said(&self, depth: Depth) -> Said<'_> {
        self.at(depth).map_or(Said::Nothing, Observation::said)
    }

    /// Did the plugin itself fail in every session of this look? Then nothing could be inspected.
    pub fn plugin_failure(&self) -> Option<String> {
        let failures: Vec<_> = self.observations.iter().filter(|o| o.end != SessionEnd::Report).collect();
        if failures.is_empty() || failures.len() < self.observations.len() {
            return None;
        }
        Some(match &failures[0].end {
            SessionEnd::PluginError(e) => format!("the plugin {} failed: {e}", failures[0].plugin),
            SessionEnd::ProtocolError(e) => format!("the plugin {} spoke out of protocol: {e}", failures[0].plugin),
            SessionEnd::Crashed(e) => format!("the plugin {} crashed: {e}", failures[0].plugin),
            SessionEnd::Overrun(e) => format!("the plugin {} overran: {e}", failures[0].plugin),
            SessionEnd::Cancelled | SessionEnd::Report => "the look was cancelled".to_owned(),
        })
    }

    /// The newest value that a report of this look gives.
    fn newest<'a, T>(&'a self, get: impl Fn(&'a Observation) -> Option<T>) -> Option<T> {
        self.observations.iter().rev().find_map(get)
    }

    pub fn phase(&self) -> Option<Phase> {
        self.newest(|o| o.report.as_ref()?.phase)
    }

    pub fn version(&self) -> Option<&str> {
        self.newest(|o| o.report.as_ref()?.version.as_deref())
    }

    pub fn models(&self) -> Option<&[Model]> {
        self.newest(|o| o.report.as_ref()?.models.as_deref())
    }

    pub fn engines(&self) -> Option<&[Engine]> {
        self.newest(|o| o.report.as_ref()?.engines.as_deref())
    }

    pub fn symptoms(&self) -> impl Iterator<Item = &Symptom> {
        self.observations.iter().filter_map(|o| o.report.as_ref()).flat_map(|r| &r.symptoms)
    }

    pub fn inference(&self) -> Option<InferenceResult> {
        self.at(Depth::Inference)?.report.as_ref()?.inference.as_ref()?.result
    }

    pub fn any(&self, outcome: Outcome) -> Option<&RequestRecord> {
        self.observations.iter().flat_map(|o| &o.requests).find(|r| r.outcome == outcome)
    }
}

/// Is this an answer that the depth cannot be well with? A full queue is an answer of a server that works.
fn is_failure(r: &RequestRecord) -> bool {
    !matches!(r.outcome, Outcome::Ok | Outcome::Overloaded)
}

/// Does an outcome mean that the server errs, rather than that it is gone, silent or closed to us?
pub fn errs(r: &RequestRecord) -> bool {
    match r.outcome {
        Outcome::Failed
        | Outcome::Reset
        | Outcome::Malformed
        | Outcome::Foreign
        | Outcome::TooLarge
        | Outcome::Redirect
        | Outcome::Rejected
        | Outcome::NotFound
        | Outcome::Unsupported
        | Outcome::Unavailable
        | Outcome::Unknown => true,
        // Began to answer, then stopped: a drip, not silence.
        Outcome::Timeout => r.at == Some(At::Body),
        _ => false,
    }
}

/// Did the server say nothing at all?
pub fn silent(r: &RequestRecord) -> bool {
    r.outcome == Outcome::Timeout && r.at != Some(At::Body)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn observation(outcomes: &[Outcome]) -> Observation {
        let record = |(n, outcome): (usize, &Outcome)| RequestRecord {
            of: Some(Depth::Readiness),
            to: "target".into(),
            method: "GET".into(),
            path: format!("/{n}"),
            status: Some(200),
            outcome: *outcome,
            at: None,
            ms: 1,
            bytes: 2,
            text: None,
        };
        Observation {
            depth: Depth::Readiness,
            at: Timestamp::UNIX_EPOCH,
            took: std::time::Duration::ZERO,
            plugin: "p".into(),
            plugin_version: "1".into(),
            end: SessionEnd::Report,
            requests: outcomes.iter().enumerate().map(record).collect(),
            report: None,
        }
    }

    /// The path of the record that decided, and whether it failed.
    fn said(outcomes: &[Outcome]) -> Option<(String, bool)> {
        match observation(outcomes).said() {
            Said::Nothing => None,
            Said::Ok(record) => Some((record.path.clone(), true)),
            Said::Failed(record) => Some((record.path.clone(), false)),
        }
    }

    #[test]
    fn a_route_that_a_version_lacks_is_no_failure_where_another_answers() {
        use Outcome::{Failed, NotFound, Ok, Overloaded, Unsupported};
        let is = |path: &str, well| Some((path.to_owned(), well));
        assert_eq!(said(&[]), None);
        assert_eq!(said(&[Ok, Ok]), is("/1", true));
        assert_eq!(said(&[Unsupported, Ok]), is("/1", true));
        assert_eq!(said(&[Ok, Unsupported]), is("/0", true));
        assert_eq!(said(&[Overloaded, Unsupported]), is("/0", true));
        assert_eq!(said(&[Unsupported, Unsupported]), is("/0", false));
        assert_eq!(said(&[Unsupported, Failed, Ok]), is("/1", false));
        assert_eq!(said(&[Ok, NotFound]), is("/1", false));
    }
}
