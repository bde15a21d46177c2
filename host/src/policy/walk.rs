//! Walks every ladder of a policy with every result of every act: errors, spent budgets, ladders that never end.

use std::collections::HashSet;

use serde_json::Value;

use super::{PolicyError, PolicyRun, PolicySources, sample, step::Step};
use crate::{
    health::fault::FaultClass,
    incident::act::{ActCall, Outcome, spec},
};

/// What a walk found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Walk {
    /// Ways through ladders, each with other outcomes that the policy looked at.
    pub paths: usize,
    /// There were more paths than `most_paths` of one ladder.
    pub cut_short: bool,
    /// Each with the acts that led there: `dead: reap→nothing, start→exited: mine.lua:7: …`.
    pub problems: Vec<String>,
    /// The lines whose acts were asked, `mine.lua:7`, sorted.
    pub act_lines: Vec<String>,
}

/// A class, or the part that is entered when a ladder has ended.
#[derive(Debug, Clone, Copy)]
enum Part {
    Class(FaultClass),
    Debug,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Part::Class(class) => class.as_str(),
            Part::Debug => "debug",
        }
    }
}

/// Every result that an act can come back with.
pub fn results_of(act: &str) -> impl Iterator<Item = &'static str> {
    let own = spec(act).map_or(&[][..], |s| s.results);
    ["done", "unsupported", "refused"].into_iter().chain(own.iter().copied())
}

/// Walks the ladder of every class, and the debug part. `most_paths`: of each.
///
/// # Errors
/// The policy cannot be started at all.
pub fn walk(sources: &PolicySources, settings: &Value, most_paths: usize) -> Result<Walk, PolicyError> {
    let mut walk = Walk::default();
    let classes = FaultClass::ALL.iter().filter(|c| **c != FaultClass::SelfInflicted);
    for part in classes.map(|c| Part::Class(*c)).chain([Part::Debug]) {
        walk_part(&mut walk, sources, settings, part, most_paths)?;
    }
    walk.act_lines.sort();
    walk.act_lines.dedup();
    walk.problems.dedup();
    Ok(walk)
}

/// Each path is run anew from its beginning, so that nothing is left over from the one before. A result that the policy
/// never read cannot have mattered, so only those that it read are tried in all their values.
fn walk_part(
    walk: &mut Walk,
    sources: &PolicySources,
    settings: &Value,
    part: Part,
    most_paths: usize,
) -> Result<(), PolicyError> {
    let mut open: Vec<Vec<&'static str>> = vec![Vec::new()];
    let mut seen: HashSet<Vec<&'static str>> = HashSet::new();
    let mut paths = 0;
    while let Some(given) = open.pop() {
        if paths >= most_paths {
            walk.cut_short = true;
            break;
        }
        paths += 1;
        let mut run = PolicyRun::start(sources, settings.clone())?;
        run.watch_reads();
        let incident = match part {
            Part::Class(class) => {
                run.enter(class)?;
                sample::incident(class)
            }
            Part::Debug if run.enter_debug()?.is_none() => return Ok(()),
            Part::Debug => sample::incident(FaultClass::Dead),
        };
        let path = walk_path(&mut run, &incident, given);
        if let Some(error) = path.error {
            let acts: Vec<String> = path.asked.iter().map(|(call, result)| format!("{}→{result}", call.act)).collect();
            walk.problems.push(format!("{}: {}: {error}", part.name(), acts.join(", ")));
        }
        for (act, asked_by_then) in run.reads() {
            let results: Vec<&'static str> = path.asked.iter().take(asked_by_then).map(|(_, r)| *r).collect();
            let Some((call, _)) = path.asked.get(act) else { continue };
            seen.insert(results.clone());
            for other in results_of(&call.act).filter(|r| *r != results[act]) {
                let mut other_path = results.clone();
                other_path[act] = other;
                if seen.insert(other_path.clone()) {
                    open.push(other_path);
                }
            }
        }
        walk.act_lines.extend(path.asked.into_iter().map(|(call, _)| call.line));
    }
    walk.act_lines.sort();
    walk.act_lines.dedup();
    walk.paths += paths;
    Ok(())
}

/// One way through a ladder: what was asked, with the result that it got.
struct Path {
    asked: Vec<(ActCall, &'static str)>,
    error: Option<String>,
}

/// Answers the first acts with `given`, the rest with `done`.
fn walk_path(run: &mut PolicyRun, incident: &Value, given: Vec<&'static str>) -> Path {
    let mut path = Path { asked: Vec::new(), error: None };
    let mut outcome = None;
    loop {
        match run.resume(incident, outcome.as_ref()) {
            Step::Act(call) => {
                let result = given.get(path.asked.len()).copied().unwrap_or("done");
                outcome = Some(match result {
                    "refused" => Outcome::refused("budget", "sample"),
                    result => Outcome::new(result, "sample"),
                });
                path.asked.push((call, result));
            }
            Step::Failed { error } => {
                path.error = Some(error);
                return path;
            }
            Step::End | Step::Leave { .. } | Step::GiveUp { .. } => return path,
        }
    }
}
