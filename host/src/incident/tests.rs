//! Incidents with time in hand: a ladder as a list of steps, a world that answers, and what came of it in order.

use std::time::Duration;

use ai_monitor_plugin_api::event::Depth;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, json};

use super::{
    act::{ActCall, BudgetKind, Outcome, Rung},
    budget::Budget,
    life::{Got, Incident, Wants},
};
use crate::{
    config::model::HealSettings,
    health::{
        fault::{Evidence, Fault, FaultClass},
        machine::{Again, Verdict},
        signals::Owner,
        state::State,
    },
    journal::record::{Ended, Record, Spent},
    policy::step::Step,
    time::Now,
};

fn fault(class: FaultClass) -> Fault {
    Fault {
        class,
        model: None,
        evidence: Evidence {
            since: Timestamp::UNIX_EPOCH,
            failures: 2,
            depth: Depth::Liveness,
            also: Vec::new(),
            symptoms: Vec::new(),
            lines: Vec::new(),
            facts: Map::new(),
        },
    }
}

fn broken(class: FaultClass) -> Verdict {
    Verdict {
        state: State::Offline,
        why: "broken".into(),
        fault: Some(fault(class)),
        suspect: None,
        again: Again::AtInterval,
        moving: None,
        in_flight: false,
    }
}

fn well() -> Verdict {
    Verdict { state: State::Online, why: "a token came".into(), fault: None, ..broken(FaultClass::Dead) }
}

fn moving(class: FaultClass) -> Verdict {
    Verdict { moving: Some("counters move".into()), in_flight: true, ..broken(class) }
}

fn call(act: &str) -> ActCall {
    ActCall { act: act.into(), args: Map::new(), because: None, ask: false, line: "test.lua:1".into() }
}

fn ask(act: &str) -> Step {
    Step::Act(call(act))
}

/// One incident on a stage.
struct Stage {
    incident: Incident,
    budget: Budget,
    ms: u64,
    /// What the policy says, in order; then it is at its end.
    ladder: Vec<Step>,
    debug_part: Option<Vec<Step>>,
    /// What acts answer, in order; then `done`, changed.
    answers: Vec<Outcome>,
    /// What looks see, in order; the last one stays.
    looks: Vec<Verdict>,
    /// All that was really done, in order.
    done: Vec<String>,
    /// After which act each look was asked for.
    depths: Vec<Option<String>>,
    log: Vec<Record>,
}

impl Stage {
    fn new(class: FaultClass, ladder: Vec<Step>) -> Stage {
        let now = Now { mono: Duration::ZERO, wall: Timestamp::UNIX_EPOCH };
        let settings = HealSettings { backoff: Duration::from_secs(10), ..HealSettings::default() };
        Stage {
            incident: Incident::new(fault(class), broken(class), Owner::Command, settings, now),
            budget: Budget::default(),
            ms: 0,
            ladder,
            debug_part: None,
            answers: Vec::new(),
            looks: vec![broken(class)],
            done: Vec::new(),
            depths: Vec::new(),
            log: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        let ms = i64::try_from(self.ms).expect("a play is short");
        Now { mono: Duration::from_millis(self.ms), wall: Timestamp::UNIX_EPOCH + SignedDuration::from_millis(ms) }
    }

    fn see(&mut self) -> Verdict {
        if self.looks.len() > 1 { self.looks.remove(0) } else { self.looks[0].clone() }
    }

    /// Plays to the end; looks come every 5 s while something waits.
    fn play(&mut self) -> (Ended, String) {
        let mut wants = Wants::Enter(self.incident.class());
        for _ in 0..2000 {
            let got = match wants {
                Wants::End => {
                    let (ended, reason, _) = self.incident.ended.clone().expect("it has ended");
                    return (ended, reason);
                }
                Wants::Enter(class) => {
                    self.done.push(format!("ladder {class}"));
                    Got::Entered(Some(("test.lua".into(), "own".into())))
                }
                Wants::TakeOver => {
                    self.done.push("default takes over".into());
                    Got::Entered(Some(("default.lua".into(), "the default's".into())))
                }
                Wants::EnterDebug => match self.debug_part.take() {
                    Some(steps) => {
                        self.ladder = steps;
                        Got::Entered(Some(("test.lua".into(), "own".into())))
                    }
                    None => Got::Entered(None),
                },
                Wants::Resume(_) => {
                    let step = if self.ladder.is_empty() { Step::End } else { self.ladder.remove(0) };
                    Got::Stepped(step)
                }
                Wants::Turn => Got::Turn { waited: false },
                Wants::WaitUntil(until) => {
                    let until = u64::try_from(until.as_millis()).expect("a play is short");
                    if until > self.ms + 5000 {
                        self.ms += 5000;
                        Got::Looked(self.see())
                    } else {
                        self.ms = self.ms.max(until);
                        Got::Waited
                    }
                }
                Wants::Act(call) => {
                    self.done.push(call.act.clone());
                    self.ms += 100;
                    Got::Acted(if self.answers.is_empty() { Outcome::done("") } else { self.answers.remove(0) })
                }
                Wants::Look { after } => {
                    self.depths.push(after);
                    Got::Looked(self.see())
                }
            };
            let now = self.now();
            wants = self.incident.on(got, now, &mut self.budget, &mut self.log);
        }
        panic!("it never ends: {:?}", self.done);
    }

    fn refusals(&self) -> Vec<String> {
        let refused = |r: &'_ Record| -> Option<String> {
            match r {
                Record::Guard { guard, did, .. } if did == "refused" => Some(guard.clone()),
                _ => None,
            }
        };
        self.log.iter().filter_map(refused).collect()
    }
}

#[test]
fn the_rest_of_the_ladder_does_not_run_when_the_fault_is_gone() {
    let mut stage = Stage::new(FaultClass::Dead, vec![ask("reap"), ask("start"), ask("restart")]);
    stage.answers = vec![Outcome::new("nothing", ""), Outcome::done("")];
    stage.looks = vec![well()];
    assert_eq!(stage.play().0, Ended::Healed);
    assert_eq!(stage.done, ["ladder dead", "reap", "start"]);
    assert_eq!(stage.incident.ended.as_ref().and_then(|e| e.2.as_deref()), Some("start"));
}

#[test]
fn a_ladder_that_simply_ends_is_not_a_heal() {
    let mut stage = Stage::new(FaultClass::Dead, vec![ask("start")]);
    assert_eq!(stage.play().0, Ended::GaveUp);
    let mut stage = Stage::new(FaultClass::Dead, vec![ask("start")]);
    stage.debug_part = Some(vec![ask("reap")]);
    stage.looks = vec![broken(FaultClass::Dead), well()];
    assert_eq!(stage.play().0, Ended::Healed);
    assert_eq!(stage.done, ["ladder dead", "start", "reap"]);
}

#[test]
fn an_act_that_changed_nothing_heals_nothing() {
    let mut stage = Stage::new(FaultClass::Erring, vec![ask("wait")]);
    stage.looks = vec![well()];
    assert_eq!(stage.play().0, Ended::Recovered);
}

#[test]
fn nothing_above_look_is_done_to_what_is_not_ours() {
    let mut stage = Stage::new(FaultClass::Stalled, vec![ask("notify"), ask("cancel"), ask("restart")]);
    stage.incident.owner = Owner::Unit("ollama.service".into());
    assert_eq!(stage.play().0, Ended::GaveUp);
    assert_eq!(stage.done, ["ladder stalled", "notify"]);
    assert_eq!(stage.refusals(), ["not_owned", "not_owned"]);
}

#[test]
fn in_a_dry_run_nothing_happens_and_the_whole_ladder_is_shown() {
    let mut stage = Stage::new(FaultClass::Stalled, vec![ask("cancel"), ask("end_runner"), ask("restart")]);
    stage.incident.settings.dry_run = true;
    assert_eq!(stage.play().0, Ended::GaveUp);
    assert_eq!(stage.done, ["ladder stalled"]);
    let shown = stage.log.iter().filter(|r| matches!(r, Record::Guard { guard, .. } if guard == "dry_run")).count();
    assert_eq!(shown, 3);
    assert_eq!(stage.budget, Budget::default(), "no counter moves");
}

/// gpustack#3189: a check restarted healthy servers at the peak.
#[test]
fn what_progresses_is_waited_for_and_then_left_alone() {
    let mut stage = Stage::new(FaultClass::Erring, vec![ask("restart")]);
    stage.incident.verdict = moving(FaultClass::Erring);
    stage.looks = vec![moving(FaultClass::Erring)];
    assert_eq!(stage.play().0, Ended::GaveUp);
    assert_eq!(stage.done, ["ladder erring"]);
    assert_eq!(stage.refusals(), ["progress"]);
    assert!(stage.ms >= 600_000, "it waited for all of its patience: {} ms", stage.ms);
}

#[test]
fn a_quiet_moment_lets_the_act_go_on() {
    let mut stage = Stage::new(FaultClass::Erring, vec![ask("restart")]);
    stage.incident.verdict = moving(FaultClass::Erring);
    stage.looks = vec![moving(FaultClass::Erring), broken(FaultClass::Erring), well()];
    assert_eq!(stage.play().0, Ended::Healed);
    assert_eq!(stage.done, ["ladder erring", "restart"]);
}

#[test]
fn force_skips_the_progress_guard_alone() {
    let mut stage = Stage::new(FaultClass::Erring, vec![ask("restart")]);
    stage.incident.verdict = moving(FaultClass::Erring);
    (stage.incident.by_person, stage.incident.force) = (true, true);
    stage.looks = vec![well()];
    assert_eq!(stage.play().0, Ended::Healed);
    assert_eq!(stage.ms, 100);
}

#[test]
fn starts_wait_longer_each_time_and_end_with_their_budget() {
    let mut stage = Stage::new(FaultClass::Dead, (0..5).map(|_| ask("start")).collect());
    assert_eq!(stage.play().0, Ended::GaveUp);
    assert_eq!(stage.done, ["ladder dead", "start", "start", "start"]);
    assert_eq!(stage.refusals(), ["budget", "budget"]);
    assert!((30_000..36_000).contains(&stage.ms), "10 s, then 20 s, with up to a tenth: {} ms", stage.ms);
}

#[test]
fn the_fault_is_looked_at_anew_after_a_backoff() {
    let mut stage = Stage::new(FaultClass::Dead, vec![ask("start"), ask("start")]);
    stage.looks = vec![broken(FaultClass::Dead), well()];
    assert_eq!(stage.play().0, Ended::Healed);
    assert_eq!(stage.done, ["ladder dead", "start"], "the second start was not needed any more");
}

#[test]
fn above_auto_nothing_is_done_unasked_and_a_person_s_heal_is_the_yes() {
    let ladder = || vec![ask("end_runner"), ask("restart")];
    let mut stage = Stage::new(FaultClass::Stalled, ladder());
    stage.incident.settings.auto = Rung::Runner;
    assert_eq!(stage.play().0, Ended::GaveUp);
    assert_eq!(stage.done, ["ladder stalled", "end_runner"]);
    assert_eq!(stage.refusals(), ["autonomy"]);
    let mut stage = Stage::new(FaultClass::Stalled, ladder());
    stage.incident.settings.auto = Rung::Look;
    stage.incident.by_person = true;
    assert_eq!(stage.play().0, Ended::GaveUp);
    assert_eq!(stage.done, ["ladder stalled", "end_runner", "restart"]);
}

#[test]
fn another_class_begins_its_own_ladder_in_the_same_incident() {
    let mut stage = Stage::new(FaultClass::Dead, vec![ask("start"), ask("adopt")]);
    stage.answers = vec![Outcome { result: "port_conflict".into(), ..Outcome::done("") }];
    stage.looks = vec![broken(FaultClass::PortConflict), well()];
    assert_eq!(stage.play().0, Ended::Healed);
    assert_eq!(stage.done, ["ladder dead", "start", "ladder port_conflict", "adopt"]);
    assert_eq!(stage.incident.tried.len(), 2);
}

#[test]
fn classes_that_change_for_ever_end() {
    let mut stage = Stage::new(FaultClass::Dead, (0..50).map(|_| ask("reap")).collect());
    stage.looks = (0..50).map(|n| broken(if n % 2 == 0 { FaultClass::Erring } else { FaultClass::Dead })).collect();
    let (ended, reason) = stage.play();
    assert_eq!(ended, Ended::GaveUp);
    assert!(reason.contains("5 times"), "{reason}");
}

#[test]
fn a_policy_that_fails_hands_over_to_the_default_and_that_one_only_once() {
    let failed = || Step::Failed { error: "budget: instructions".into() };
    let mut stage = Stage::new(FaultClass::Dead, vec![failed(), ask("start")]);
    stage.looks = vec![well()];
    assert_eq!(stage.play().0, Ended::Healed);
    assert_eq!(stage.done, ["ladder dead", "default takes over", "start"]);
    let mut stage = Stage::new(FaultClass::Dead, vec![failed(), failed()]);
    assert_eq!(stage.play().0, Ended::GaveUp);
}

#[test]
fn leave_and_give_up_end_with_their_reason() {
    let step = Step::Leave { reason: "a person must".into(), line: "x:1".into() };
    assert_eq!(Stage::new(FaultClass::Access, vec![step]).play(), (Ended::Left, "a person must".into()));
    let step = Step::GiveUp { reason: "no use".into(), line: "x:1".into() };
    let mut stage = Stage::new(FaultClass::Dead, vec![step]);
    stage.debug_part = Some(vec![ask("start")]);
    assert_eq!(stage.play(), (Ended::GaveUp, "no use".into()), "an explicit give_up does not go on to the debug part");
}

#[test]
fn a_user_s_word_ends_it_at_any_time() {
    let mut stage = Stage::new(FaultClass::Dead, vec![]);
    let wants = stage.incident.on(
        Got::Withdrawn("the target was disabled".into()),
        stage.now(),
        &mut stage.budget,
        &mut stage.log,
    );
    assert_eq!(wants, Wants::End);
    assert_eq!(stage.incident.ended.as_ref().map(|e| e.0), Some(Ended::Withdrawn));
}

#[test]
fn a_person_clears_the_backoff_under_way() {
    let mut stage = Stage::new(FaultClass::Dead, vec![]);
    let now = stage.now();
    stage.budget.spend(Spent { act: "start".into(), budget: BudgetKind::Starts, at: now.wall, took: Duration::ZERO });
    let on = |got, stage: &mut Stage| stage.incident.on(got, now, &mut stage.budget, &mut stage.log);
    on(Got::Entered(Some(("x".into(), "own".into()))), &mut stage);
    assert!(matches!(on(Got::Stepped(ask("start")), &mut stage), Wants::WaitUntil(_)));
    assert_eq!(on(Got::Person { force: false }, &mut stage), Wants::Look { after: None });
    assert_eq!(on(Got::Looked(broken(FaultClass::Dead)), &mut stage), Wants::Turn);
    assert_eq!(on(Got::Turn { waited: false }, &mut stage), Wants::Act(call("start")));
}

/// With two turns on a machine, two targets that crash in a loop would keep all others from being healed.
#[test]
fn the_backoff_is_waited_for_without_a_turn() {
    let mut stage = Stage::new(FaultClass::Dead, vec![]);
    let now = stage.now();
    stage.budget.spend(Spent { act: "start".into(), budget: BudgetKind::Starts, at: now.wall, took: Duration::ZERO });
    let on = |got, stage: &mut Stage| stage.incident.on(got, now, &mut stage.budget, &mut stage.log);
    on(Got::Entered(Some(("x".into(), "own".into()))), &mut stage);
    assert!(matches!(on(Got::Stepped(ask("start")), &mut stage), Wants::WaitUntil(_)), "not its turn yet");
}

#[test]
fn guards_and_fault_are_looked_at_anew_after_any_waiting() {
    let open = |stage: &mut Stage| {
        let now = stage.now();
        let (incident, budget) = (&mut stage.incident, &mut stage.budget);
        incident.on(Got::Entered(Some(("x".into(), "own".into()))), now, budget, &mut stage.log);
        assert_eq!(incident.on(Got::Stepped(ask("start")), now, budget, &mut stage.log), Wants::Turn);
        let wants = incident.on(Got::Turn { waited: true }, now, budget, &mut stage.log);
        assert_eq!(wants, Wants::Look { after: None }, "others had their turn first");
    };
    let mut stage = Stage::new(FaultClass::Dead, vec![]);
    open(&mut stage);
    let now = stage.now();
    let wants = stage.incident.on(Got::Looked(well()), now, &mut stage.budget, &mut stage.log);
    assert_eq!(wants, Wants::End, "it is well by now");

    let mut stage = Stage::new(FaultClass::Dead, vec![]);
    open(&mut stage);
    stage.incident.owner = Owner::Unit("ollama.service".into());
    let wants = stage.incident.on(Got::Looked(broken(FaultClass::Dead)), now, &mut stage.budget, &mut stage.log);
    assert!(matches!(wants, Wants::Resume(Some(o)) if o.by.as_deref() == Some("not_owned")), "somebody took it over");
}

#[test]
fn a_look_that_is_repeated_while_nothing_is_decided_goes_as_deep_and_is_told_once() {
    let mut stage = Stage::new(FaultClass::Dead, vec![ask("start")]);
    let loading = Verdict { state: State::Loading, fault: None, why: "loading".into(), ..broken(FaultClass::Dead) };
    stage.looks = vec![loading.clone(), loading.clone(), loading, well()];
    assert_eq!(stage.play().0, Ended::Healed);
    let looked = stage.log.iter().filter(|r| matches!(r, Record::Looked { .. })).count();
    assert_eq!(looked, 2, "loading, then well");
    assert!(stage.depths.iter().all(|after| after.as_deref() == Some("start")), "{:?}", stage.depths);
}

#[test]
fn a_policy_that_asks_for_ever_is_stopped() {
    let mut stage = Stage::new(FaultClass::Dead, (0..300).map(|_| ask("cancel")).collect());
    stage.answers = (0..300).map(|_| Outcome::new("nothing", "")).collect();
    assert_eq!(stage.play().0, Ended::GaveUp);
    assert_eq!(stage.incident.tried.len(), 100);
}

#[test]
fn what_cannot_be_told_is_left_not_healed_on() {
    let mut stage = Stage::new(FaultClass::Erring, vec![ask("cancel"), ask("restart")]);
    stage.looks =
        vec![Verdict { state: State::Unknown, fault: None, why: "no plugin".into(), ..broken(FaultClass::Dead) }];
    assert_eq!(stage.play().0, Ended::Left);
    assert_eq!(stage.done, ["ladder erring", "cancel"]);
}

#[test]
fn the_record_tells_every_step_in_order() {
    let mut stage = Stage::new(FaultClass::Dead, vec![ask("start")]);
    stage.looks = vec![well()];
    stage.play();
    let names: Vec<String> = stage.log.iter().map(|r| json!(r)["record"].as_str().unwrap_or_default().into()).collect();
    assert_eq!(names, ["ladder", "acted", "looked", "ended"]);
}
