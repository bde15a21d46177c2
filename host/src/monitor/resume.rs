//! Takes a heal up again that the monitor's own end cut short: the policy is run again over its recorded outcomes, up
//! to the act that was under way. That act is taken up, not repeated.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::Value;

use super::{heal::Heal, target::TargetTask};
use crate::{
    act::Loaded,
    health::{fault::Fault, machine::Verdict, signals::ProcessId},
    incident::{
        act::{ActCall, Outcome},
        life::{Incident, Wants},
    },
    journal::record::{Ended, Entry, IncidentRow, Record},
    policy::{PolicyRun, PolicySources, PolicyStore, resume_watched, step::Step},
    time::Now,
};

/// Away for longer, the world is another: the incident ends, and what is still wrong opens a new one.
const AWAY: SignedDuration = SignedDuration::from_mins(10);

/// How far the record goes.
struct Open {
    /// The act that was asked last and has no outcome.
    call: Option<ActCall>,
    /// What it may touch, if its intent was written.
    touches: Option<Vec<ProcessId>>,
    started: Option<ProcessId>,
    /// The outcome that the policy has not been told yet.
    outcome: Option<Outcome>,
    /// The current ladder was entered.
    entered: bool,
}

impl TargetTask {
    /// The open incident of this target, if there is one.
    pub(super) async fn take_up(&mut self) {
        for (row, entries) in self.core.journal.open_incidents() {
            if row.target != self.config.name {
                continue;
            }
            match self.replay(&row, &entries).await {
                Ok((heal, wants)) => {
                    tracing::warn!(target: "recovery", "{}: incident #{} is taken up again", self.config.name, row.id);
                    self.drive(heal, wants).await;
                }
                Err(reason) => {
                    self.incident = None;
                    self.abandon(&row, reason);
                }
            }
        }
    }

    /// What is not watched is not healed: a heal that was cut short must not stay open, nor come back later.
    pub(super) fn abandon_all(&mut self) {
        let reason = self.control.borrow().why_not();
        for (row, _) in self.core.journal.open_incidents() {
            if row.target == self.config.name {
                self.abandon(&row, reason.into());
            }
        }
    }

    fn abandon(&mut self, row: &IncidentRow, reason: String) {
        tracing::warn!(target: "recovery", "{}: incident #{} is abandoned: {reason}", self.config.name, row.id);
        let record = Record::Ended { ended: Ended::Abandoned, reason, by: None };
        if let Err(error) = self.core.journal.append(row.id, self.core.clock.now().wall, &record) {
            self.core.board.trouble("journal", Some(error.to_string()));
        }
        self.last_incident = Some(row.id);
    }

    async fn replay(&mut self, row: &IncidentRow, entries: &[Entry]) -> Result<(Heal, Wants), String> {
        let now = self.core.clock.now();
        let Some(Record::Opened { fault, policy, sources, settings, boot, debug, by_person, .. }) =
            entries.first().map(|e| &e.record)
        else {
            return Err("its record has no beginning".into());
        };
        if *boot != self.core.boot {
            return Err("the machine was started anew".into());
        }
        let away = entries.last().map_or(SignedDuration::ZERO, |e| now.wall.duration_since(e.at));
        if away > AWAY {
            return Err(format!("the monitor was away for {} minutes", away.as_mins()));
        }
        let hashes: Vec<String> = sources.iter().map(|(_, hash)| hash.clone()).collect();
        let sources = PolicySources { name: policy.clone(), files: self.core.journal.sources(&hashes) };
        let loaded: Vec<Loaded> =
            settings.get("loaded").and_then(|l| serde_json::from_value(l.clone()).ok()).unwrap_or_default();
        let run = PolicyRun::start(&sources, self.policy_settings()).map_err(|e| format!("its policy: {e}"))?;
        let opened = Now { mono: now.mono.saturating_sub(elapsed(row.opened, now)), wall: row.opened };
        let mut incident =
            Incident::new(fault.clone(), not_yet(fault), self.watch.owner().clone(), self.config.heal.clone(), opened);
        incident.debug = *debug;
        incident.by_person = *by_person;
        let mut heal = Heal::new(row.id, policy.clone(), Some(run), loaded);
        let open = self.walk(&mut heal, &mut incident, entries, now).await?;

        // The journal may know more of the started process than this look does.
        if let Some(started) = open.started.filter(|id| crate::process::is_alive(*id)) {
            self.watch.started(started);
        }
        // What is known of the target now: acts stand on it.
        let verdict = self.look(super::look::Wish { infer: None, port: true }).await;
        incident.verdict = verdict;
        incident.owner = self.watch.owner().clone();
        let wants = match open.call {
            Some(call) if open.touches.is_some() => {
                heal.resumed = open.touches;
                incident.take_up(call, now)
            }
            // Asked and not begun: it passes the guards as if it had just been asked.
            Some(call) => incident.on(
                crate::incident::life::Got::Stepped(Step::Act(call)),
                now,
                &mut self.budget,
                &mut Vec::new(),
            ),
            None if !open.entered => Wants::Enter(incident.class()),
            // Whether the last act helped was perhaps not measured any more: it is looked at before the next rung.
            None => match open.outcome {
                Some(outcome) if outcome.changed => incident.look_after(outcome),
                outcome => Wants::Resume(outcome),
            },
        };
        self.incident = Some((row.id, incident));
        Ok((heal, wants))
    }

    /// Runs the policy over the record: while it asks what was asked, it gets what was answered.
    async fn walk(
        &self,
        heal: &mut Heal,
        incident: &mut Incident,
        entries: &[Entry],
        now: Now,
    ) -> Result<Open, String> {
        let mut open = Open { call: None, touches: None, started: None, outcome: None, entered: false };
        for entry in entries {
            match &entry.record {
                Record::Ladder { class, .. } => {
                    let run = heal.run.as_mut().ok_or("its policy stopped")?;
                    if class == "debug" {
                        run.enter_debug().map_err(|e| e.to_string())?;
                        incident.replayed_part(true, false);
                    } else {
                        run.enter(incident.class()).map_err(|e| e.to_string())?;
                    }
                    (open.outcome, open.entered) = (None, true);
                }
                Record::Asked { call, incident: view } => {
                    let step = self.step(heal, view, open.outcome.take()).await;
                    match step {
                        Step::Act(asked) if asked.act == call.act && asked.args == call.args => {
                            open.call = Some(call.clone());
                        }
                        other => return Err(format!("record and policy disagree: {other:?} for {}", call.sentence())),
                    }
                }
                Record::Intent { touches, .. } => {
                    let all = open.touches.get_or_insert_with(Vec::new);
                    all.extend(touches.iter().copied());
                }
                Record::Phase { started, .. } => open.started = started.or(open.started),
                Record::Acted { outcome, .. } => {
                    let at = Now { mono: now.mono.saturating_sub(elapsed(entry.at, now)), wall: entry.at };
                    if let Some(call) = open.call.take() {
                        if call.act == "unload" && outcome.ok() {
                            heal.taken_out.extend(call.args.get("model").and_then(|m| m.as_str()).map(str::to_owned));
                        }
                        incident.replayed(call, outcome.clone(), at);
                    }
                    (open.touches, open.started) = (None, None);
                    open.outcome = Some(outcome.clone());
                }
                Record::ClassChanged { fault, .. } => {
                    incident.replayed_change(fault.clone());
                    (open.outcome, open.entered) = (None, false);
                }
                Record::PolicyFailed { .. } => {
                    let sources = PolicyStore::shipped_default();
                    heal.run = PolicyRun::start(&sources, self.policy_settings()).ok();
                    incident.replayed_part(false, true);
                    (open.outcome, open.entered) = (None, false);
                }
                _ => {}
            }
        }
        Ok(open)
    }

    async fn step(&self, heal: &mut Heal, view: &Value, outcome: Option<Outcome>) -> Step {
        let Some(run) = heal.run.take() else { return Step::Failed { error: "its policy stopped".into() } };
        let (run, step) = resume_watched(run, view.clone(), outcome).await;
        heal.run = run;
        if let Some(run) = heal.run.as_mut() {
            run.take_logs();
        }
        step
    }
}

fn elapsed(since: jiff::Timestamp, now: Now) -> Duration {
    Duration::try_from(now.wall.duration_since(since)).unwrap_or_default()
}

/// Before the first look: the fault as it was recorded.
fn not_yet(fault: &Fault) -> Verdict {
    Verdict {
        state: crate::health::state::State::Offline,
        why: "not looked at yet".into(),
        fault: Some(fault.clone()),
        suspect: None,
        again: crate::health::machine::Again::AtInterval,
        moving: None,
        in_flight: false,
    }
}
