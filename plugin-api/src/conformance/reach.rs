//! How far the kit's answers lead: what lies behind an answer that a plugin does not take is not put to the test, and
//! that is told.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Kit, Rule, Test, Verdict,
    base::{self, Base},
    corpus,
    play::Play,
    world::{Twist, When, word},
};
use crate::{
    event::{Outcome, SessionKind},
    manifest::Manifest,
    report::{Judged, RepairReport, RepairResult, Report},
    route::Route,
    table::AimPlugin,
};

/// The name of the rule that tells what was not put to the test.
pub const REACH: &str = "answers_lead_everywhere";

pub(super) const RULES: &[Rule] = &[Rule {
    name: REACH,
    says: "the answers that the kit has lead to every route of the manifest, and are taken for the backend's",
    section: "2, routes",
    test: Test::Once(reach),
}];

/// How far a session came with a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum How {
    Never,
    Asked,
    /// It got a good answer, which was taken for the backend's.
    Taken,
}

/// All sessions of one depth, or of one repair.
#[derive(Default)]
struct Reached<'a> {
    /// The routes of the manifest, each with how far a session came with it.
    routes: BTreeMap<&'a str, How>,
    /// Some session took all its answers for the backend's.
    taken: bool,
    /// The real server's answers were given for it.
    recorded: bool,
    /// What else became of answers: `GET /path was judged foreign`.
    judged: BTreeSet<String>,
}

fn reach(kit: &Kit) -> Verdict {
    let (table, manifest) = match kit.ready() {
        Ok(ready) => ready,
        Err(verdict) => return verdict,
    };
    let all = reached(table, &manifest, &base::all(kit, &manifest));
    let not_reached: Vec<String> = all.iter().filter_map(|(name, reached)| missing(name, reached)).collect();
    let given = match kit.recordings.len() {
        0 => "no recording of the real server was given".to_owned(),
        1 => "1 recording was given".to_owned(),
        n => format!("{n} recordings were given"),
    };
    if not_reached.is_empty() {
        let routes: usize = all.values().map(|reached| reached.routes.len()).sum();
        return Verdict::Passed(format!("{routes} routes of {} kinds of sessions; {given}", all.len()));
    }
    Verdict::DoesNotApply(format!(
        "the kit's answers did not lead everywhere ({given}), and what the plugin does further on was not put to the \
         test:\n{}\nGive the kit what the real server says, a recording for each line above (one of another depth says \
         nothing to it): `ai-monitor plugin run LIBRARY --url URL --depth DEPTH \
         --record FILE` (a repair: `--repair NAME`) while it is idle, busy, loading…; then `ai-monitor plugin check \
         LIBRARY --recording FILE`, or `.recordings_in(FOLDER)` in a test",
        not_reached.join("\n")
    ))
}

/// What the recordings alone do not lead to, in words.
pub(super) fn by_recordings(kit: &Kit) -> Vec<String> {
    let (table, manifest) = match kit.ready() {
        Ok(ready) => ready,
        Err(verdict) => return vec![format!("{verdict:?}")],
    };
    let mut bases = base::all(kit, &manifest);
    bases.retain(|base| base.recorded);
    reached(table, &manifest, &bases).iter().filter_map(|(name, reached)| missing(name, reached)).collect()
}

fn reached<'a>(table: &'static AimPlugin, manifest: &'a Manifest, bases: &[Base]) -> BTreeMap<String, Reached<'a>> {
    let mut all = declared(manifest);
    for base in bases {
        let play = corpus::one(table, base, Twist::Good, When::All);
        let Some(reached) = all.get_mut(&name(&play.start.session)) else { continue };
        reached.recorded |= base.recorded;
        reached.taken |= takes_all(&play);
        let judged = judged(&play);
        for ((request, answer), number) in play.requests().zip(0..) {
            let is_good = answer.is_some_and(|answer| answer.outcome == Outcome::Ok);
            let is_judged = judged.iter().any(|judged| judged.request == number);
            let how = if is_good && !is_judged { How::Taken } else { How::Asked };
            let path = request.path.split('?').next().unwrap_or_default();
            for (route, so_far) in &mut reached.routes {
                if Route::parse(route).is_some_and(|route| route.grants(request.to != "target", request.method, path)) {
                    *so_far = how.max(*so_far);
                }
            }
        }
        reached.judged.extend(judged.iter().filter_map(|judged| told(&play, judged)));
    }
    all
}

fn declared(manifest: &Manifest) -> BTreeMap<String, Reached<'_>> {
    let probes = manifest.probes.iter().map(|(depth, spec)| (depth.to_string(), &spec.routes));
    let repairs = manifest.repairs.iter().map(|(name, spec)| (format!("repair {name}"), &spec.routes));
    probes
        .chain(repairs)
        .map(|(name, routes)| {
            let routes = routes.iter().map(|route| (route.as_str(), How::Never)).collect();
            (name, Reached { routes, ..Reached::default() })
        })
        .collect()
}

fn name(session: &SessionKind) -> String {
    match session {
        SessionKind::Probe { depth, .. } => depth.to_string(),
        SessionKind::Repair { repair, .. } => format!("repair {repair}"),
    }
}

/// Whether a session took each answer for what it should be: a probe judged none, a repair was done.
fn takes_all(play: &Play) -> bool {
    let Some(report) = play.report() else { return false };
    if play.is_probe() {
        let judged = report.get("judged").and_then(serde_json::Value::as_array);
        return judged.is_none_or(Vec::is_empty);
    }
    let result = <RepairReport as serde::Deserialize>::deserialize(report).ok().and_then(|report| report.result);
    matches!(result, Some(RepairResult::Done | RepairResult::Already))
}

/// The answers of a session that were judged to be something else than what was asked for.
fn judged(play: &Play) -> Vec<Judged> {
    let Some(report) = play.report().filter(|_| play.is_probe()) else { return Vec::new() };
    <Report as serde::Deserialize>::deserialize(report).map(|report| report.judged).unwrap_or_default()
}

/// Such an answer in words.
fn told(play: &Play, judged: &Judged) -> Option<String> {
    let (request, _) = play.requests().nth(judged.request as usize)?;
    Some(format!("`{} {}` was judged {}", request.method.as_str(), request.path, word(&judged.outcome)))
}

/// In words, if something is.
fn missing(name: &str, reached: &Reached<'_>) -> Option<String> {
    let only = |how: How| {
        let routes: Vec<String> = reached
            .routes
            .iter()
            .filter(|(_, so_far)| **so_far == how)
            .map(|(route, _)| format!("`{route}`"))
            .collect();
        (!routes.is_empty()).then(|| routes.join(", "))
    };
    let mut parts = Vec::new();
    parts.extend(only(How::Never).map(|routes| format!("it never asked for {routes}")));
    // Where no session was taken, the reason is told below.
    parts.extend(only(How::Asked).filter(|_| reached.taken).map(|routes| format!("it took no answer to {routes}")));
    if !reached.taken {
        // Some few say enough.
        let judged: Vec<_> = reached.judged.iter().take(3).cloned().collect();
        parts.push(if judged.is_empty() { "it never came to a good end".into() } else { judged.join(", ") });
    }
    let recorded = if reached.recorded { "" } else { " (not recorded)" };
    (!parts.is_empty()).then(|| format!("{name}: {}{recorded}", parts.join("; ")))
}
