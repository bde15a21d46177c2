//! Rules of repairs: what may be said to be done, and what the host is told to measure.

use serde_json::Map;

use super::{
    Kit, Rule, Test, Verdict, base, corpus,
    play::{End, Scene},
    world::{Twist, When},
};
use crate::{
    event::{SessionKind, Start},
    report::{Expect, RepairReport, RepairResult},
};

const NONE: &str = "the plugin has no repairs";

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "unknown_repair_is_unsupported",
        says: "a repair that it does not have is `unsupported`, and nothing is sent",
        section: "6",
        test: Test::Once(unknown),
    },
    Rule {
        name: "missing_arguments_do_no_harm",
        says: "without its arguments a repair sends nothing that works, and does not panic",
        section: "6",
        test: Test::Once(missing_arguments),
    },
    Rule {
        name: "repairs_have_a_result",
        says: "a repair's report has a `result`",
        section: "6",
        test: Test::Each { check: result, unless: NONE },
    },
    Rule {
        name: "done_only_after_success",
        says: "`done` only where the backend answered with 2xx",
        section: "6",
        test: Test::Each { check: done, unless: NONE },
    },
    Rule {
        name: "expectations_can_be_measured",
        says: "`expect` names a model and states, or a given process, and comes with `within_ms`",
        section: "6, expect",
        test: Test::Each { check: expectations, unless: "no repair expected anything" },
    },
];

fn report(scene: &Scene<'_>) -> Option<RepairReport> {
    (!scene.play.is_probe()).then(|| serde::Deserialize::deserialize(scene.play.report()?).ok())?
}

fn result(scene: &Scene<'_>) -> Result<bool, String> {
    match report(scene) {
        None => Ok(false),
        Some(report) if report.result.is_none() => Err("the report has no `result`".into()),
        Some(_) => Ok(true),
    }
}

fn done(scene: &Scene<'_>) -> Result<bool, String> {
    let Some(report) = report(scene) else { return Ok(false) };
    if report.result == Some(RepairResult::Done) && !scene.play.something_answered() {
        return Err("`done`, and no answer was 2xx".into());
    }
    Ok(true)
}

fn expectations(scene: &Scene<'_>) -> Result<bool, String> {
    let Some(report) = report(scene) else { return Ok(false) };
    if report.expect.is_empty() {
        return Ok(false);
    }
    if report.within_ms.is_none_or(|ms| ms == 0) {
        return Err("`expect` without `within_ms`".into());
    }
    let given = scene.play.start.processes.as_deref().unwrap_or_default();
    for expect in &report.expect {
        match expect {
            Expect::Model { model, state } if model.is_empty() || state.is_empty() => {
                return Err("`expect` has an empty model or no state".into());
            }
            Expect::Process { process, .. } if !given.iter().any(|one| one.id == *process) => {
                return Err(format!("`expect` names the process {process:?}, which was not given"));
            }
            _ => {}
        }
    }
    Ok(true)
}

fn repair(name: &str) -> Start {
    let args = Map::from_iter([("model".to_owned(), base::MODEL.into())]);
    Start::new(SessionKind::Repair { repair: name.into(), args }, 30_000, base::NOW)
}

fn unknown(kit: &Kit) -> Verdict {
    let (table, manifest) = match kit.ready() {
        Ok(ready) => ready,
        Err(verdict) => return verdict,
    };
    // A host asks for none then.
    if manifest.repairs.is_empty() {
        return Verdict::DoesNotApply(NONE.into());
    }
    let base = base::made_up(&manifest, base::with_defaults(&manifest, repair("no-such-repair-of-the-kit")));
    let play = corpus::one(table, &base, Twist::Good, When::All);
    if let Some((request, _)) = play.requests().next() {
        return Verdict::failed(format!("it sent {} for a repair that it does not have", request.path));
    }
    let report: Option<RepairReport> = play.report().and_then(|report| serde::Deserialize::deserialize(report).ok());
    Verdict::of(match report.and_then(|report| report.result) {
        Some(RepairResult::Unsupported) => Ok("1 session".into()),
        other => Err(format!("it reported {other:?} ({:?}), not `unsupported`", play.end)),
    })
}

fn missing_arguments(kit: &Kit) -> Verdict {
    let (table, manifest) = match kit.ready() {
        Ok(ready) => ready,
        Err(verdict) => return verdict,
    };
    let mut looked_at = 0;
    for (name, spec) in &manifest.repairs {
        if spec.args.as_ref().and_then(|args| args.pointer("/required/0")).is_none() {
            continue;
        }
        let mut start = base::repair(&manifest, name);
        start.session = SessionKind::Repair { repair: name.clone(), args: Map::new() };
        let play = corpus::one(table, &base::made_up(&manifest, start), Twist::Good, When::All);
        if let End::Failed("panic", text) = &play.end {
            return Verdict::failed(format!("{name}: it panicked: {text}"));
        }
        if let Some((request, _)) = play.requests().find(|(request, _)| super::duties::is_work(request)) {
            return Verdict::failed(format!("{name}: it sent POST {} without what to do it to", request.path));
        }
        looked_at += 1;
    }
    match looked_at {
        0 => Verdict::DoesNotApply("no repair requires an argument".into()),
        n => Verdict::Passed(format!("{n} repairs")),
    }
}
