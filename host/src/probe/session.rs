//! Sessions: a plugin's steps, done one effect at a time, give an observation or the outcome of a repair.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use ai_monitor_plugin_api::{
    event::{Depth, Event, InferenceAsk, Process, SessionKind, Start},
    manifest::Manifest,
    report::{RepairReport, Report, cut as cut_text},
    table::CONTRACT,
};
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use serde_json::{Map, Value};

use super::http::{TargetClient, millis};
use crate::{
    health::observation::{Observation, RequestRecord, SessionEnd},
    plugin::{Ended, Plugin, PluginSession, Said, StepError, Wanted},
};

mod grant;
mod once;
mod report;
mod run;
mod scene;

use grant::Grant;
pub use once::LookAnswers;
use run::Session;
pub use scene::Scene;

#[cfg(test)]
mod tests;

/// The longest that a session of each kind may take, whatever manifest and configuration say.
const LONGEST_LOOK: Duration = Duration::from_secs(60);
const LONGEST_INFERENCE: Duration = Duration::from_secs(10 * 60);
const LONGEST_REPAIR: Duration = Duration::from_secs(30 * 60);
/// For so long a session may go on after its deadline: many times what it needs to end, on a busy machine too.
const LATE: Duration = Duration::from_secs(30);

/// Something that takes an event and wants an effect: a plugin's session, or a scripted one in tests.
pub trait Steps: Send {
    /// After an error only dropping may follow.
    fn step(&mut self, event: &Event) -> impl Future<Output = Result<Wanted, StepError>> + Send;
}

impl Steps for PluginSession {
    fn step(&mut self, event: &Event) -> impl Future<Output = Result<Wanted, StepError>> + Send {
        PluginSession::step(self, event)
    }
}

/// What a probe is to look at.
#[derive(Debug, Clone)]
pub struct ProbeAsk {
    pub depth: Depth,
    /// With depth `inference` only.
    pub inference: Option<InferenceAsk>,
    /// For the whole session; cut to what the contract allows for the depth.
    pub deadline: Duration,
    /// The target's settings, checked, defaults filled in.
    pub settings: Map<String, Value>,
    /// The flavour that identification found.
    pub variant: Option<String>,
    /// Handed on only to a plugin that declares the need. `None`: the target's processes are not known.
    pub processes: Option<Vec<Process>>,
    /// Where the addresses named in `processes` are. Others, and any that is not loopback, are not reachable.
    pub addresses: BTreeMap<String, SocketAddr>,
    /// What this look asked already. `None`: every request is done (inference looks immediately before it asks).
    pub answers: Option<Arc<LookAnswers>>,
}

/// What a repair is to do.
#[derive(Debug, Clone)]
pub struct RepairAsk {
    /// One of the manifest's `repairs`.
    pub repair: String,
    pub args: Map<String, Value>,
    pub deadline: Duration,
    pub settings: Map<String, Value>,
    pub variant: Option<String>,
    pub processes: Option<Vec<Process>>,
    pub addresses: BTreeMap<String, SocketAddr>,
}

/// How a repair session went. Whether it helped is measured elsewhere, from `report.expect`.
#[derive(Debug, Clone, PartialEq)]
pub struct RepairRun {
    pub at: Timestamp,
    pub took: Duration,
    pub end: SessionEnd,
    /// Absent when the session did not end well.
    pub report: Option<RepairReport>,
    pub requests: Vec<RequestRecord>,
    /// The last step that was begun, in words: what a cancelled repair had reached.
    pub reached: Option<String>,
}

impl TargetClient {
    /// One look through `plugin`. Cancelled when dropped, and by [`TargetClient::cancel_all`].
    pub async fn probe(&self, plugin: &Plugin, ask: ProbeAsk) -> Observation {
        let manifest = plugin.manifest();
        let at = Timestamp::now();
        let begun = std::time::Instant::now();
        let depth = ask.depth;
        let (end, report, requests) = self.probe_by(manifest, plugin.session(), ask).await;
        let took = begun.elapsed();
        self.tell(plugin, depth.as_str(), took, &end);
        Observation {
            depth,
            at,
            took,
            plugin: manifest.id.clone(),
            plugin_version: manifest.version.clone(),
            end,
            requests,
            report,
        }
    }

    /// One look by these steps: for who wants to see each of them. They are made first, which is cancelled as the rest
    /// is; the deadline counts from when they are there.
    pub async fn probe_by<S: Steps>(
        &self,
        manifest: &Manifest,
        steps: impl Future<Output = Result<S, StepError>>,
        ask: ProbeAsk,
    ) -> (SessionEnd, Option<Report>, Vec<RequestRecord>) {
        let Some(spec) = manifest.probes.get(&ask.depth) else {
            let end = SessionEnd::ProtocolError(format!("the manifest has no depth {}", ask.depth));
            return (end, None, Vec::new());
        };
        let kind = SessionKind::Probe { depth: ask.depth, inference: ask.inference };
        let longest = if ask.depth == Depth::Inference { LONGEST_INFERENCE } else { LONGEST_LOOK };
        let deadline = ask.deadline.min(longest);
        let plan = Plan {
            of: Some(ask.depth),
            deadline,
            late: LATE,
            grant: Grant::new(&spec.routes),
            start: start(kind, Timestamp::now(), deadline, ask.settings, ask.variant),
            answers: ask.answers,
        }
        .with_processes(&spec.needs, ask.processes, &ask.addresses);
        self.run(steps, plan).await.into_probe()
    }

    /// One repair of `plugin`. The host never repeats it by itself.
    pub async fn repair(&self, plugin: &Plugin, ask: RepairAsk) -> RepairRun {
        let at = Timestamp::now();
        let begun = std::time::Instant::now();
        let repair = ask.repair.clone();
        let (end, report, requests, reached) = self.repair_by(plugin.manifest(), plugin.session(), ask).await;
        let took = begun.elapsed();
        self.tell(plugin, &format!("repair {repair}"), took, &end);
        RepairRun { at, took, end, report, requests, reached }
    }

    /// One repair by these steps. The last value: the last step that was begun, in words.
    pub async fn repair_by<S: Steps>(
        &self,
        manifest: &Manifest,
        steps: impl Future<Output = Result<S, StepError>>,
        ask: RepairAsk,
    ) -> (SessionEnd, Option<RepairReport>, Vec<RequestRecord>, Option<String>) {
        let Some(spec) = manifest.repairs.get(&ask.repair) else {
            let end = SessionEnd::ProtocolError(format!("the manifest has no repair {:?}", ask.repair));
            return (end, None, Vec::new(), None);
        };
        let kind = SessionKind::Repair { repair: ask.repair, args: ask.args };
        let deadline = ask.deadline.min(LONGEST_REPAIR);
        let plan = Plan {
            of: None,
            deadline,
            late: LATE,
            grant: Grant::new(&spec.routes),
            start: start(kind, Timestamp::now(), deadline, ask.settings, ask.variant),
            answers: None,
        }
        .with_processes(&spec.needs, ask.processes, &ask.addresses);
        self.run(steps, plan).await.into_repair()
    }

    /// Tells who keeps the plugin's standing how a session of it ended.
    fn tell(&self, plugin: &Plugin, session: &str, took: Duration, end: &SessionEnd) {
        if *end != SessionEnd::Cancelled {
            plugin.ended(&Ended { target: self.url().as_str(), session, took, failure: end.failure() });
        }
    }

    /// Runs a session to its end, or to its cancellation.
    async fn run<S: Steps>(&self, steps: impl Future<Output = Result<S, StepError>>, plan: Plan) -> Run {
        let cancelled = self.cancellation();
        let steps = tokio::select! {
            biased;
            () = cancelled.cancelled() => Err(SessionEnd::Cancelled),
            steps = steps => steps.map_err(run::end_of),
        };
        let mut steps = match steps {
            Ok(steps) => steps,
            Err(end) => return Run { ended: Err(end), requests: Vec::new(), reached: None },
        };
        let start = Event::Start(plan.start);
        let mut session = Session::new(self, &mut steps, plan.grant, plan.of, plan.deadline, plan.late, plan.answers);
        let ended = tokio::select! {
            biased;
            () = cancelled.cancelled() => Err(SessionEnd::Cancelled),
            ended = session.run(start) => ended,
        };
        let (requests, reached) = session.into_trace();
        Run { ended, requests, reached }
    }
}

/// What a session gets and may do.
struct Plan {
    start: Start,
    /// The depth that its requests are evidence for; `None` in a repair.
    of: Option<Depth>,
    deadline: Duration,
    /// It is stopped so long after its deadline.
    late: Duration,
    grant: Grant,
    answers: Option<Arc<LookAnswers>>,
}

impl Plan {
    /// Hands the target's processes over, and opens their addresses, if the plugin declares the need.
    fn with_processes(
        mut self,
        needs: &[String],
        processes: Option<Vec<Process>>,
        addresses: &BTreeMap<String, SocketAddr>,
    ) -> Plan {
        if needs.iter().any(|need| need == "processes") {
            let named = processes.iter().flatten().flat_map(|process| &process.addresses);
            self.grant = self.grant.with_addresses(named.filter_map(|name| addresses.get_key_value(name)));
            self.start.processes = processes;
        }
        self
    }
}

fn start(
    session: SessionKind,
    at: Timestamp,
    deadline: Duration,
    settings: Map<String, Value>,
    variant: Option<String>,
) -> Start {
    let seconds = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Trunc);
    Start {
        contract: CONTRACT.into(),
        session,
        deadline_ms: millis(deadline),
        now: at.round(seconds).unwrap_or(at).to_string(),
        settings,
        variant,
        effects: ["request", "read", "wait", "report"].map(String::from).to_vec(),
        processes: None,
    }
}

/// A session that is over.
struct Run {
    ended: Result<Said, SessionEnd>,
    requests: Vec<RequestRecord>,
    reached: Option<String>,
}

impl Run {
    fn into_probe(mut self) -> (SessionEnd, Option<Report>, Vec<RequestRecord>) {
        match self.ended {
            Ok(Said::Observed(report)) => {
                let report = report::observation(*report);
                report::judge(&mut self.requests, &report.judged);
                (SessionEnd::Report, Some(report), self.requests)
            }
            Ok(Said::Repaired(_)) => (another("a repair's"), None, self.requests),
            Err(end) => (end, None, self.requests),
        }
    }

    fn into_repair(self) -> (SessionEnd, Option<RepairReport>, Vec<RequestRecord>, Option<String>) {
        match self.ended {
            Ok(Said::Repaired(report)) => {
                (SessionEnd::Report, Some(report::repair(*report)), self.requests, self.reached)
            }
            Ok(Said::Observed(_)) => (another("a probe's"), None, self.requests, self.reached),
            Err(end) => (end, None, self.requests, self.reached),
        }
    }
}

/// A report of the other kind of session.
fn another(kind: &str) -> SessionEnd {
    SessionEnd::ProtocolError(format!("the report is {kind}"))
}

/// As much of a text of a plugin or a server as is kept, cut between characters.
pub(super) fn cut(text: &str) -> String {
    cut_text(text).to_owned()
}
