//! The life of an incident, from a confirmed fault to its verified end: a pure machine that wants one thing at a time.
//!
//! The monitor does what is wanted and says what it got. The same machine runs live, in tests with time in hand, and
//! when a heal that was cut short is taken up again.

use std::time::Duration;

use serde_json::Value;

use super::{
    act::{ActCall, Outcome},
    budget::Budget,
    guards::{self, Ruling, Standing},
};
use crate::{
    config::model::HealSettings,
    health::{
        fault::{Fault, FaultClass},
        machine::Verdict,
        signals::Owner,
        state::State,
    },
    journal::record::{Ended, Record, Spent},
    policy::step::Step,
    time::Now,
};

/// Acts in an incident, class changes in an incident (policy-api, section 5).
pub const MOST_ACTS: usize = 100;
const MOST_CHANGES: u32 = 5;
/// A look that decides nothing (loading, plugin failing) is repeated so long before the incident is left.
const UNDECIDED: Duration = Duration::from_secs(60);

/// A backoff is counted by the wall clock and waited for by the other: what is left by their difference is nothing.
const CLOCKS_DIFFER: Duration = Duration::from_millis(50);

/// What the incident wants next. One thing at a time.
#[derive(Debug, Clone, PartialEq)]
pub enum Wants {
    /// Begin the ladder of this class.
    Enter(FaultClass),
    /// Begin the debug part of the file whose ladder ended.
    EnterDebug,
    /// The policy failed: the shipped default takes over.
    TakeOver,
    /// Run the policy until its next step.
    Resume(Option<Outcome>),
    /// Its turn: one act per target, `at_once` on this machine.
    Turn,
    /// Until this time (monotonic), looking at the target meanwhile.
    WaitUntil(Duration),
    Act(ActCall),
    /// Look again until the look decides something. With an outcome: as deep as the act could have broken.
    Look {
        after: Option<String>,
    },
    End,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Got {
    /// Into which file's ladder, and why that one. `None`: there is no debug part.
    Entered(Option<(String, String)>),
    Stepped(Step),
    /// `waited`: others had theirs first, and the world went on meanwhile.
    Turn {
        waited: bool,
    },
    /// The time is over.
    Waited,
    Acted(Outcome),
    Looked(Verdict),
    /// A person asks for this heal while it is under way: what waits goes on at once.
    Person {
        force: bool,
    },
    /// The target is no longer ours to heal: the user's word, in words.
    Withdrawn(String),
}

/// An act that was tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    pub call: ActCall,
    pub outcome: Outcome,
    pub class: FaultClass,
    pub at: Now,
}

#[derive(Debug, Clone, PartialEq)]
enum Phase {
    Policy,
    /// The policy's own `wait`.
    Waiting {
        call: ActCall,
        began: Duration,
        until: Duration,
    },
    Quiet {
        call: ActCall,
        until: Duration,
    },
    Turn {
        call: ActCall,
    },
    Backoff {
        call: ActCall,
    },
    /// Guards and fault are looked at anew after any waiting.
    BeforeAct {
        call: ActCall,
    },
    Acting {
        call: ActCall,
        began: Duration,
    },
    AfterAct {
        outcome: Outcome,
        undecided_since: Option<Duration>,
    },
    Ended,
}

/// One incident.
#[derive(Debug, Clone)]
pub struct Incident {
    pub fault: Fault,
    pub opened: Now,
    pub owner: Owner,
    pub settings: HealSettings,
    pub debug: bool,
    pub by_person: bool,
    pub force: bool,
    pub verdict: Verdict,
    pub tried: Vec<Tried>,
    pub ended: Option<(Ended, String, Option<String>)>,
    changes: u32,
    in_debug_part: bool,
    default_took_over: bool,
    phase: Phase,
}

impl Incident {
    pub fn new(fault: Fault, verdict: Verdict, owner: Owner, settings: HealSettings, now: Now) -> Incident {
        Incident {
            fault,
            opened: now,
            owner,
            settings,
            debug: false,
            by_person: false,
            force: false,
            verdict,
            tried: Vec::new(),
            ended: None,
            changes: 0,
            in_debug_part: false,
            default_took_over: false,
            phase: Phase::Policy,
        }
    }

    pub fn class(&self) -> FaultClass {
        self.fault.class
    }

    /// The act that is under way or waits, and in words what for.
    pub fn step_text(&self) -> Option<String> {
        match &self.phase {
            Phase::Policy | Phase::Ended => None,
            Phase::Waiting { call, .. } => Some(format!("waits, as the policy asked ({})", call.line)),
            Phase::Quiet { call, .. } => Some(format!("{} waits for a quiet moment", call.act)),
            Phase::Turn { call } => Some(format!("{} waits for its turn", call.act)),
            Phase::Backoff { call } | Phase::BeforeAct { call } => Some(format!("{} waits for its backoff", call.act)),
            Phase::Acting { call, .. } => Some(call.sentence()),
            Phase::AfterAct { .. } => Some("looks again".into()),
        }
    }

    /// Did an act of this incident change something, and which one last?
    fn healed_by(&self) -> Option<String> {
        self.tried.iter().rev().find(|t| t.outcome.changed).map(|t| t.call.act.clone())
    }

    /// Takes what came of the last want, gives the next; what must be journalled before it is done is pushed to `log`.
    pub fn on(&mut self, got: Got, now: Now, budget: &mut Budget, log: &mut Vec<Record>) -> Wants {
        if let Got::Withdrawn(reason) = got {
            return self.end(Ended::Withdrawn, reason, None, log);
        }
        if let Got::Person { force } = got {
            return self.person(force, now, budget, log);
        }
        match (self.phase.clone(), got) {
            (Phase::Policy, Got::Entered(Some((file, why)))) => {
                log.push(Record::Ladder { class: self.ladder_name(), file, why });
                Wants::Resume(None)
            }
            (Phase::Policy, Got::Entered(None)) => {
                self.end(Ended::GaveUp, "the ladder is at its end, and there is no debug part".into(), None, log)
            }
            (Phase::Policy, Got::Stepped(step)) => self.stepped(step, now, budget, log),
            (Phase::Waiting { call, began, until }, Got::Waited) if now.mono >= until => {
                let outcome =
                    Outcome { took: now.mono.saturating_sub(began), ..Outcome::new("done", "the time is over") };
                self.acted(call, outcome, now, budget, log)
            }
            (Phase::Waiting { until, .. }, Got::Waited) => Wants::WaitUntil(until),
            (Phase::Waiting { until, .. }, Got::Looked(verdict)) => {
                self.looked(verdict, now, log).unwrap_or(Wants::WaitUntil(until))
            }
            (Phase::Quiet { call, until }, Got::Looked(verdict)) => match self.looked(verdict, now, log) {
                Some(wants) => wants,
                None => self.guard(call, now, budget, Some(until), log),
            },
            (Phase::Quiet { call, until }, Got::Waited) => self.guard(call, now, budget, Some(until), log),
            (Phase::Turn { call }, Got::Turn { waited: false }) => self.act(call, now),
            (Phase::Turn { call }, Got::Turn { waited: true }) => {
                self.phase = Phase::BeforeAct { call };
                Wants::Look { after: None }
            }
            (Phase::Backoff { call }, Got::Waited) => {
                self.phase = Phase::BeforeAct { call };
                Wants::Look { after: None }
            }
            (Phase::Backoff { call }, Got::Looked(verdict)) => match self.looked(verdict, now, log) {
                Some(wants) => wants,
                None => Wants::WaitUntil(now.mono + self.backoff(&call, now, budget)),
            },
            (Phase::BeforeAct { call }, Got::Looked(verdict)) => match self.looked(verdict, now, log) {
                Some(wants) => wants,
                None if self.verdict.fault.is_some() => self.guard(call, now, budget, None, log),
                // Nothing is done on a look that proves nothing.
                None => {
                    self.phase = Phase::Backoff { call };
                    Wants::WaitUntil(now.mono + Duration::from_secs(1))
                }
            },
            (Phase::Acting { call, began }, Got::Acted(mut outcome)) => {
                outcome.took = now.mono.saturating_sub(began);
                self.acted(call, outcome, now, budget, log)
            }
            (Phase::AfterAct { outcome, undecided_since }, Got::Looked(verdict)) => {
                self.looked_after(outcome, undecided_since, verdict, now, log)
            }
            (Phase::AfterAct { .. }, Got::Waited) => self.look_again(),
            (Phase::Ended, _) => Wants::End,
            // A bug of ours must not end in a heal that never ends.
            (phase, got) => {
                let reason = format!("the monitor lost its place ({phase:?} got {got:?}); please report this");
                self.end(Ended::Abandoned, reason, None, log)
            }
        }
    }

    /// A person's heal is the yes to what the settings would ask, and clears backoff and what the budgets have used.
    fn person(&mut self, force: bool, now: Now, budget: &mut Budget, log: &mut Vec<Record>) -> Wants {
        self.by_person = true;
        self.force |= force;
        budget.clear(now.wall);
        match self.phase.clone() {
            Phase::Backoff { call } => {
                self.phase = Phase::BeforeAct { call };
                Wants::Look { after: None }
            }
            Phase::Quiet { call, until } => self.guard(call, now, budget, Some(until), log),
            Phase::Waiting { until, .. } => Wants::WaitUntil(until),
            Phase::Turn { .. } => Wants::Turn,
            Phase::AfterAct { .. } => self.look_again(),
            Phase::BeforeAct { .. } => Wants::Look { after: None },
            Phase::Acting { call, .. } => Wants::Act(call),
            Phase::Policy => Wants::Resume(None),
            Phase::Ended => Wants::End,
        }
    }

    fn ladder_name(&self) -> String {
        if self.in_debug_part { "debug".into() } else { self.fault.class.to_string() }
    }

    fn stepped(&mut self, step: Step, now: Now, budget: &mut Budget, log: &mut Vec<Record>) -> Wants {
        match step {
            Step::Act(call) => {
                if self.tried.len() >= MOST_ACTS {
                    let error = format!("budget: acts (more than {MOST_ACTS} in one incident)");
                    return self.policy_failed(error, log);
                }
                self.guard(call, now, budget, None, log)
            }
            Step::Leave { reason, .. } => self.end(Ended::Left, reason, None, log),
            Step::GiveUp { reason, .. } => self.end(Ended::GaveUp, reason, None, log),
            Step::End if self.in_debug_part => {
                self.end(Ended::GaveUp, "the debug part is at its end".into(), None, log)
            }
            Step::End if self.settings.escalate || self.debug => {
                self.in_debug_part = true;
                Wants::EnterDebug
            }
            Step::End => self.end(Ended::GaveUp, "the ladder is at its end".into(), None, log),
            Step::Failed { error } => self.policy_failed(error, log),
        }
    }

    fn policy_failed(&mut self, error: String, log: &mut Vec<Record>) -> Wants {
        log.push(Record::PolicyFailed { policy: String::new(), error: error.clone() });
        if self.default_took_over {
            return self.end(Ended::GaveUp, format!("the shipped default policy failed: {error}"), None, log);
        }
        self.default_took_over = true;
        self.in_debug_part = false;
        Wants::TakeOver
    }

    fn standing<'a>(&'a self, now: Now, budget: &'a Budget) -> Standing<'a> {
        Standing {
            settings: &self.settings,
            owner: &self.owner,
            class: self.fault.class,
            verdict: &self.verdict,
            budget,
            by_person: self.by_person,
            force: self.force,
            now,
        }
    }

    fn backoff(&self, call: &ActCall, now: Now, budget: &Budget) -> Duration {
        guards::backoff(call, &self.standing(now, budget))
    }

    /// `quiet_until`: it waits for a quiet moment already, until then.
    fn guard(
        &mut self,
        call: ActCall,
        now: Now,
        budget: &mut Budget,
        quiet_until: Option<Duration>,
        log: &mut Vec<Record>,
    ) -> Wants {
        match guards::rule(&call, &self.standing(now, budget)) {
            Ruling::Refused(outcome) => {
                let guard = outcome.by.clone().unwrap_or_default();
                log.push(Record::Guard { guard, did: "refused".into(), text: outcome.detail.clone() });
                self.acted(call, outcome, now, budget, log)
            }
            Ruling::DryRun => {
                let text = format!("dry run: {} was not done", call.sentence());
                log.push(Record::Guard { guard: "dry_run".into(), did: "answered".into(), text: text.clone() });
                self.acted(call, Outcome::new("done", text), now, budget, log)
            }
            Ruling::WaitForQuiet(moving) => {
                let until = quiet_until.unwrap_or(now.mono + self.settings.patience);
                if now.mono >= until {
                    let text = format!("something progressed for all of the patience: {moving}");
                    log.push(Record::Guard { guard: "progress".into(), did: "refused".into(), text: text.clone() });
                    return self.acted(call, Outcome::refused("progress", text), now, budget, log);
                }
                if quiet_until.is_none() {
                    let text = format!("{} waits for a quiet moment: {moving}", call.act);
                    log.push(Record::Guard { guard: "progress".into(), did: "waits".into(), text });
                }
                self.phase = Phase::Quiet { call, until };
                Wants::WaitUntil(until)
            }
            Ruling::Pass if call.act == "wait" => {
                if call.args.get("window") == Some(&Value::Bool(true)) {
                    let outcome = Outcome::new("no_window", "no window is configured");
                    return self.acted(call, outcome, now, budget, log);
                }
                let seconds = call.args.get("seconds").and_then(Value::as_f64).unwrap_or(0.0);
                let wait =
                    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).min(self.settings.patience * 6);
                let until = now.mono + wait;
                self.phase = Phase::Waiting { call, began: now.mono, until };
                Wants::WaitUntil(until)
            }
            Ruling::Pass if call.spec().rung == super::act::Rung::Look => self.act(call, now),
            Ruling::Pass => self.backoff_then_turn(call, now, budget, log),
        }
    }

    /// The turn comes last: who waits for its backoff (up to `backoff_max`) must not keep others from theirs.
    fn backoff_then_turn(&mut self, call: ActCall, now: Now, budget: &Budget, log: &mut Vec<Record>) -> Wants {
        let wait = self.backoff(&call, now, budget);
        if wait < CLOCKS_DIFFER {
            self.phase = Phase::Turn { call };
            return Wants::Turn;
        }
        let text = format!("{} waits {:.0} s between starts", call.act, wait.as_secs_f64().ceil());
        log.push(Record::Guard { guard: "backoff".into(), did: "waits".into(), text });
        self.phase = Phase::Backoff { call };
        Wants::WaitUntil(now.mono + wait)
    }

    fn act(&mut self, call: ActCall, now: Now) -> Wants {
        self.phase = Phase::Acting { call: call.clone(), began: now.mono };
        Wants::Act(call)
    }

    /// An act has its outcome: spend, remember, look again or go on.
    fn acted(
        &mut self,
        call: ActCall,
        outcome: Outcome,
        now: Now,
        budget: &mut Budget,
        log: &mut Vec<Record>,
    ) -> Wants {
        log.push(Record::Acted { act: call.act.clone(), outcome: outcome.clone() });
        if outcome.changed {
            budget.spend(Spent { act: call.act.clone(), budget: call.spec().budget, at: now.wall, took: outcome.took });
        }
        let looks_again = outcome.changed || call.act == "wait";
        self.tried.push(Tried { call, outcome: outcome.clone(), class: self.fault.class, at: now });
        if looks_again {
            self.phase = Phase::AfterAct { outcome, undecided_since: None };
            return self.look_again();
        }
        self.phase = Phase::Policy;
        Wants::Resume(Some(outcome))
    }

    /// A look while something waits. `None`: the fault is still there, go on.
    fn looked(&mut self, verdict: Verdict, now: Now, log: &mut Vec<Record>) -> Option<Wants> {
        self.verdict = verdict;
        if self.verdict.is_sound() {
            return Some(self.fault_is_gone(log));
        }
        let fault = self.verdict.fault.clone()?;
        if fault.class == self.fault.class {
            self.fault = fault;
            return None;
        }
        Some(self.class_changed(fault, now, log))
    }

    fn looked_after(
        &mut self,
        outcome: Outcome,
        undecided_since: Option<Duration>,
        verdict: Verdict,
        now: Now,
        log: &mut Vec<Record>,
    ) -> Wants {
        // A look that is repeated while nothing is decided is told once.
        if undecided_since.is_none() || verdict.is_sound() || verdict.fault.is_some() {
            log.push(Record::Looked { text: verdict.why.clone(), fault: verdict.fault.clone() });
        }
        if let Some(wants) = self.looked(verdict, now, log) {
            return wants;
        }
        if self.verdict.fault.is_some() {
            self.phase = Phase::Policy;
            return Wants::Resume(Some(outcome));
        }
        // Neither gone nor proven: loading, or nothing could be inspected. Nothing is done on that.
        let since = undecided_since.unwrap_or(now.mono);
        let bound = if self.verdict.state == State::Loading { self.settings.patience } else { UNDECIDED };
        if now.mono.saturating_sub(since) >= bound {
            let reason = format!("whether it is still broken cannot be told: {}", self.verdict.why);
            return self.end(Ended::Left, reason, None, log);
        }
        self.phase = Phase::AfterAct { outcome, undecided_since: Some(since) };
        Wants::WaitUntil(now.mono + Duration::from_secs(1))
    }

    fn fault_is_gone(&mut self, log: &mut Vec<Record>) -> Wants {
        let by = self.healed_by();
        let reason = self.verdict.why.clone();
        let ended = if by.is_some() { Ended::Healed } else { Ended::Recovered };
        self.end(ended, reason, by, log)
    }

    fn class_changed(&mut self, fault: Fault, _now: Now, log: &mut Vec<Record>) -> Wants {
        let from = self.fault.class;
        let class = fault.class;
        log.push(Record::ClassChanged { from, fault: fault.clone() });
        self.fault = fault;
        self.changes += 1;
        if self.changes > MOST_CHANGES {
            let reason = format!("it became another fault more than {MOST_CHANGES} times");
            return self.end(Ended::GaveUp, reason, None, log);
        }
        self.in_debug_part = false;
        self.phase = Phase::Policy;
        Wants::Enter(class)
    }

    fn end(&mut self, ended: Ended, reason: String, by: Option<String>, log: &mut Vec<Record>) -> Wants {
        log.push(Record::Ended { ended, reason: reason.clone(), by: by.clone() });
        self.ended = Some((ended, reason, by));
        self.phase = Phase::Ended;
        Wants::End
    }

    /// Takes a recorded act up again after the monitor's own end: its outcome is known.
    pub fn replayed(&mut self, call: ActCall, outcome: Outcome, at: Now) {
        self.tried.push(Tried { call, outcome, class: self.fault.class, at });
    }

    /// Takes a recorded change of class up again.
    pub fn replayed_change(&mut self, fault: Fault) {
        self.fault = fault;
        self.changes += 1;
        self.in_debug_part = false;
    }

    /// Takes a recorded debug part or takeover by the default up again.
    pub fn replayed_part(&mut self, debug_part: bool, default_took_over: bool) {
        self.in_debug_part = debug_part;
        self.default_took_over |= default_took_over;
    }

    /// Goes on after an act whose effect may not have been measured any more.
    pub fn look_after(&mut self, outcome: Outcome) -> Wants {
        self.phase = Phase::AfterAct { outcome, undecided_since: None };
        self.look_again()
    }

    fn look_again(&self) -> Wants {
        Wants::Look { after: self.tried.last().map(|t| t.call.act.clone()) }
    }

    /// The acts that changed something: a look that finds it well must go as deep as they could have broken.
    pub fn changed_by(&self) -> impl Iterator<Item = &str> {
        self.tried.iter().filter(|t| t.outcome.changed).map(|t| t.call.act.as_str())
    }

    /// Goes on with the act that was under way when the monitor ended.
    pub fn take_up(&mut self, call: ActCall, now: Now) -> Wants {
        self.act(call, now)
    }
}
