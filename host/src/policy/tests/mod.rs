//! The sandbox's rules, one by one.

mod attacks;
mod default_policy;
mod rules;
mod soup;
mod store;

use serde_json::{Value, json};

use super::{PolicyError, PolicyRun, PolicySources, meter::Limits, sample, step::Step};
use crate::{
    health::fault::FaultClass,
    incident::act::{ActCall, Outcome},
};

const HEAD: &str = "policy { api = 1, about = \"test\" }\n";

/// A policy whose first line is the `policy { … }` call.
fn sources(text: &str) -> PolicySources {
    PolicySources::from_texts("mine", &[("mine.lua", &format!("{HEAD}{text}"))])
}

fn start(text: &str) -> Result<PolicyRun, PolicyError> {
    PolicyRun::start(&sources(text), json!({ "grace": 10, "attempts": 3 }))
}

/// The words of the error that loading gives.
fn load_error(text: &str) -> String {
    start(text).expect_err("this must not load").to_string()
}

/// Runs the body of `heal.stalled` to its first step.
fn first_step(body: &str) -> Step {
    first_step_of(&format!("function heal.stalled(incident)\n{body}\nend"))
}

fn first_step_of(text: &str) -> Step {
    let mut run = start(text).expect("loads");
    run.enter(FaultClass::Stalled).expect("enters");
    run.resume(&stalled(), None)
}

/// The error of the body of `heal.stalled`, which begins in line 3.
fn run_error(body: &str) -> String {
    match first_step(body) {
        Step::Failed { error } => error,
        other => panic!("{body}: expected an error, got {other:?}"),
    }
}

fn stalled() -> Value {
    sample::incident(FaultClass::Stalled)
}

fn act(step: Step) -> ActCall {
    match step {
        Step::Act(call) => call,
        other => panic!("expected an act, got {other:?}"),
    }
}

/// Runs a ladder to its end, every act answered with `result`; gives the acts and the last step.
fn run_through(run: &mut PolicyRun, class: FaultClass, result: &str) -> (Vec<String>, Step) {
    run.enter(class).expect("enters");
    let incident = sample::incident(class);
    let mut acts = Vec::new();
    let mut step = run.resume(&incident, None);
    while let Step::Act(call) = &step {
        acts.push(call.sentence());
        step = run.resume(&incident, Some(&Outcome::new(result, "")));
    }
    (acts, step)
}

/// Limits whose wall clock never matters: for what must be stopped by counting.
fn patient() -> Limits {
    let long = std::time::Duration::from_secs(600);
    Limits { load: long, burst: long, ..Limits::default() }
}
