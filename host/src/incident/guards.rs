//! The guards that an act must pass, in their order. A policy can neither see past nor switch them off.

use std::time::Duration;

use super::{
    act::{ActCall, BudgetKind, Outcome, Rung},
    budget::Budget,
};
use crate::{
    config::model::HealSettings,
    health::{fault::FaultClass, machine::Verdict, signals::Owner},
    time::Now,
};

/// What the guards know.
#[derive(Debug)]
pub struct Standing<'a> {
    pub settings: &'a HealSettings,
    pub owner: &'a Owner,
    pub class: FaultClass,
    /// The newest look.
    pub verdict: &'a Verdict,
    pub budget: &'a Budget,
    /// A person asked for this heal: the yes to all that the settings would ask.
    pub by_person: bool,
    /// A person said that a busy server may be disturbed.
    pub force: bool,
    pub now: Now,
}

/// What a guard says.
#[derive(Debug, Clone, PartialEq)]
pub enum Ruling {
    Pass,
    Refused(Outcome),
    /// The answer is `done` and nothing happens.
    DryRun,
    /// Something progresses: wait for a quiet moment, at most `patience`.
    WaitForQuiet(String),
}

/// Guards 1 to 5: whose it is, dry run, progress, budget, autonomy. Turn and backoff come after.
pub fn rule(call: &ActCall, standing: &Standing<'_>) -> Ruling {
    let spec = call.spec();
    let settings = standing.settings;
    if spec.rung == Rung::Look {
        return Ruling::Pass;
    }
    if !standing.owner.is_ours() {
        return refused("not_owned", format!("{} is not ours to mend: {}", call.act, whose(standing.owner)));
    }
    if matches!(spec.name, "pull" | "reload_driver") && !settings.allow.iter().any(|a| a == spec.name) {
        return refused("opt_in", format!("{} is not in allow", spec.name));
    }
    if settings.dry_run {
        return Ruling::DryRun;
    }
    if spec.rung >= Rung::Model
        && standing.class != FaultClass::BadOutput
        && !standing.force
        && let Some(moving) = &standing.verdict.moving
        && (standing.verdict.in_flight || standing.verdict.fault.is_none())
    {
        return Ruling::WaitForQuiet(moving.clone());
    }
    if standing.budget.left(spec.budget, settings, standing.now.wall) == Some(0) {
        return refused("budget", budget_text(spec.budget, settings));
    }
    let may = if standing.by_person { settings.ask } else { settings.auto };
    if spec.rung > may {
        let text = format!("{} is above what may be done unasked ({})", spec.rung.as_str(), may.as_str());
        return refused("autonomy", text);
    }
    if call.ask && !standing.by_person {
        return refused("no_answer", "the policy wants a person to be asked; heal it by hand to say yes".into());
    }
    Ruling::Pass
}

/// May this heal go as far as a kill?
pub fn may_kill(settings: &HealSettings, by_person: bool) -> bool {
    (if by_person { settings.ask } else { settings.auto }) >= Rung::Kill
}

/// How long an act waits before its start.
pub fn backoff(call: &ActCall, standing: &Standing<'_>) -> Duration {
    match call.spec().budget {
        BudgetKind::Starts => standing.budget.wait_before_start(standing.settings, standing.now.wall),
        _ => Duration::ZERO,
    }
}

fn refused(by: &str, detail: String) -> Ruling {
    Ruling::Refused(Outcome::refused(by, detail))
}

fn budget_text(kind: BudgetKind, settings: &HealSettings) -> String {
    match kind {
        BudgetKind::Starts => {
            format!("{} starts in {} s are used up", settings.attempts, settings.attempts_window.as_secs())
        }
        _ => format!("{} repairs in {} s are used up", settings.repairs, settings.repairs_window.as_secs()),
    }
}

/// Whose a server is, in words.
pub fn whose(owner: &Owner) -> String {
    match owner {
        Owner::Child => "this monitor started it".into(),
        Owner::Command => "it runs the configured command".into(),
        Owner::Unit(unit) => format!("{unit} looks after it"),
        Owner::Container(name) => format!("it runs in the container {name}"),
        Owner::Service(name) => format!("the service {name} looks after it"),
        Owner::Parent(name) => format!("{name} started it and lives"),
        Owner::Found => "it was found running, and no command is configured for it".into(),
        Owner::NotPermitted => "its process belongs to another user and cannot be read".into(),
        Owner::None => "no process of this machine stands behind it".into(),
    }
}
