//! The shipped default: every class has its ladder, and no outcome of any act leads to an error.

use super::*;
use crate::policy::{PolicyStore, run::Why, walk::walk};

fn acts(class: FaultClass, result: &str) -> (Vec<String>, Step) {
    let mut run = PolicyRun::start_shipped_default(json!({ "grace": 10, "attempts": 3 })).unwrap();
    run_through(&mut run, class, result)
}

#[test]
fn it_has_a_ladder_of_its_own_for_every_class_but_the_hosts() {
    let mut run = PolicyRun::start_shipped_default(json!({})).unwrap();
    for class in FaultClass::ALL.iter().filter(|c| **c != FaultClass::SelfInflicted) {
        assert_eq!(run.enter(*class).unwrap().why, Why::Own, "{class}");
    }
    assert!(run.enter_debug().unwrap().is_some());
}

#[test]
fn ladders_climb_from_the_least_harm() {
    for (class, result, expected) in [
        (FaultClass::Dead, "not_ready", &["reap", "start", "start"][..]),
        (FaultClass::Unresponsive, "survived", &["end_runner", "restart"]),
        (FaultClass::Stalled, "nothing", &["cancel", "reload{within=5}", "end_runner", "restart"]),
        (FaultClass::FrontOnly, "failed", &["load", "reap", "restart"]),
        (FaultClass::StuckState, "nothing", &["end_runner", "restart"]),
        (FaultClass::PortConflict, "foreign", &["adopt", "hand_over", "reap", "start{other_port=true}"]),
        (FaultClass::PortConflict, "done", &["adopt", "hand_over", "reap", "start", "start{other_port=true}"]),
        (FaultClass::Access, "done", &[]),
        (FaultClass::DeviceBroken, "done", &[]),
        (
            FaultClass::Erring,
            "failed",
            &["wait{seconds=30}", "wait{seconds=30}", "wait{seconds=30}", "reload", "restart"],
        ),
        (FaultClass::Store, "failed", &["clean_temp", "pull"]),
        (FaultClass::ModelMissing, "failed", &["load", "pull"]),
        (FaultClass::OrphanMemory, "survived", &["reap"]),
        (FaultClass::CpuFallback, "failed", &["reload", "restart", "reload_driver"]),
        (FaultClass::BadOutput, "failed", &["reload", "restart"]),
        (FaultClass::Degraded, "no_window", &["reload", "wait{window=true}"]),
        (FaultClass::Degraded, "done", &["reload", "wait{window=true}", "restart"]),
    ] {
        assert_eq!(acts(class, result).0, expected, "{class}");
    }
}

#[test]
fn a_stranger_on_the_port_is_named() {
    let (_, end) = acts(FaultClass::PortConflict, "foreign");
    assert!(matches!(&end, Step::GiveUp { reason, .. } if reason == "the port is held by sample"), "{end:?}");
}

#[test]
fn an_unresponsive_server_without_a_runner_to_blame_is_restarted_at_once() {
    let mut run = PolicyRun::start_shipped_default(json!({})).unwrap();
    run.enter(FaultClass::Unresponsive).unwrap();
    let mut incident = sample::incident(FaultClass::Unresponsive);
    incident["evidence"]["runner"] = json!(false);
    assert_eq!(act(run.resume(&incident, None)).act, "restart");
}

#[test]
fn attempts_bound_the_starts_and_the_last_is_kept_for_the_debug_part() {
    let mut run = PolicyRun::start_shipped_default(json!({ "attempts": 1 })).unwrap();
    assert_eq!(run_through(&mut run, FaultClass::Dead, "exited").0, ["reap"]);
    run.enter_debug().unwrap().unwrap();
    let mut debug = Vec::new();
    let mut step = run.resume(&stalled(), None);
    while let Step::Act(call) = &step {
        debug.push(call.sentence());
        step = run.resume(&stalled(), Some(&Outcome::new("unsupported", "")));
    }
    assert_eq!(debug, ["collect", "reap", "clean_temp", "restart{debug=true}"]);
}

#[test]
fn no_outcome_of_any_act_leads_to_an_error() {
    let sources = PolicyStore::shipped_default();
    let walk = walk(&sources, &json!({ "grace": 10, "attempts": 3 }), 5000).unwrap();
    assert_eq!((walk.problems, walk.cut_short), (vec![], false));
    // A path per class and one for the debug part; `port_conflict` and `degraded` each look at one result.
    assert_eq!(walk.paths, 16 + 5 + 3);
    // Every line with an act is reached.
    let with_acts: std::collections::BTreeSet<String> = sources.files[0]
        .text
        .lines()
        .enumerate()
        .filter(|(_, line)| line.split("--").next().is_some_and(|code| code.contains("act.")))
        .map(|(n, _)| format!("default.lua:{}", n + 1))
        .collect();
    assert_eq!(walk.act_lines.into_iter().collect::<std::collections::BTreeSet<_>>(), with_acts);
}

#[test]
fn a_walk_finds_what_only_some_outcomes_reach_and_ladders_that_never_end() {
    let sources = sources(
        "function heal.dead()\n  local first = act.start {}\n  if act.reap {}.result == \"survived\" and first.result == \"no_memory\" then act.oops {} end\nend\nfunction heal.stalled() while true do act.cancel {} end end",
    );
    let walk = walk(&sources, &json!({}), 300).unwrap();
    assert!(!walk.cut_short);
    let acts = "cancel→done, ".repeat(100);
    assert_eq!(
        walk.problems,
        [
            "dead: start→no_memory, reap→survived: mine.lua:4: there is no act 'oops' (acts: wait, collect, notify, cancel, adopt, start, reap, clean_temp, load, pull, unload, reload, end_runner, hand_over, restart, reload_driver)".to_owned(),
            format!("stalled: {}: budget: acts (more than 100 acts in one incident), at mine.lua:6", acts.trim_end_matches(", ")),
        ]
    );
}

#[test]
fn a_walk_without_end_is_cut_short() {
    let sources = sources("function heal.stalled() while not act.cancel {}.ok do end end");
    assert!(walk(&sources, &json!({}), 20).unwrap().cut_short);
}
