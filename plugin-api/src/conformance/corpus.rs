//! All the sessions that rules look at: each base with each thing that can go wrong, at each request, and with each
//! place of each good answer wrong by itself.

use std::{collections::BTreeSet, ops::ControlFlow};

use super::{
    Kit, Verdict,
    base::{self, Base},
    places,
    play::{Play, STEP_MAX, Scene, play},
    world::{HEAVY, TWISTS, Twist, When, World},
};
use crate::{event::Outcome, recording::Recording, table::AimPlugin};

/// Later requests of a session are broken in company only.
const PLACES: u32 = 4;

type Check = fn(&Scene<'_>) -> Result<bool, String>;

/// Puts checks to the test on every session. One verdict for each, in order.
pub(super) fn test(kit: &Kit, checks: &[(Check, &'static str)]) -> Vec<Verdict> {
    struct State {
        looked_at: u64,
        failed: Option<(String, Recording)>,
    }
    let (table, manifest) = match kit.ready() {
        Ok(ready) => ready,
        Err(verdict) => return vec![verdict; checks.len()],
    };
    let mut states: Vec<State> = checks.iter().map(|_| State { looked_at: 0, failed: None }).collect();
    let bases = base::all(kit, &manifest);
    let _ = each(table, &bases, &mut |play| {
        let scene = Scene { manifest: &manifest, play };
        for (state, (check, _)) in states.iter_mut().zip(checks) {
            if state.failed.is_some() {
                continue;
            }
            match check(&scene) {
                Ok(applies) => state.looked_at += u64::from(applies),
                Err(why) => state.failed = Some((format!("{why}\n    in: {}", play.told), play.recording(&manifest))),
            }
        }
        if states.iter().all(|state| state.failed.is_some()) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    states
        .into_iter()
        .zip(checks)
        .map(|(state, (_, unless))| match state.failed {
            Some((why, session)) => Verdict::Failed { why, session: Some(Box::new(session)) },
            None if state.looked_at == 0 => Verdict::DoesNotApply((*unless).to_owned()),
            None => Verdict::Passed(format!("{} sessions", state.looked_at)),
        })
        .collect()
}

/// Plays every session once.
pub(super) fn each(
    table: &'static AimPlugin,
    bases: &[Base],
    look: &mut dyn FnMut(&Play) -> ControlFlow<()>,
) -> ControlFlow<()> {
    for base in bases {
        let good = one(table, base, Twist::Good, When::All);
        look(&good)?;
        let places = good.requests().count().min(PLACES as usize) as u32;
        let streams = good.steps.iter().any(|step| matches!(step.event, crate::event::Event::Line(_)));
        for twist in TWISTS.iter().copied().filter(|twist| streams || !twist.is_of_streams()) {
            look(&one(table, base, twist, When::All))?;
            // With one request, "all" is "the first"; and a session has one stream.
            for place in (0..places).filter(|_| places > 1 && !twist.is_of_streams()) {
                look(&one(table, base, twist, When::Only(place)))?;
                let lasts =
                    matches!(twist, Twist::Outcome(Outcome::Deadline | Outcome::Timeout | Outcome::Refused, ..));
                if lasts && place > 0 {
                    look(&one(table, base, twist, When::From(place)))?;
                }
            }
        }
        // The target's processes make no difference to these.
        if base.start.processes.is_some() && !base.recorded {
            continue;
        }
        for twist in HEAVY.iter().copied().filter(|twist| streams || !twist.is_of_streams()) {
            look(&one(table, base, twist, When::All))?;
        }
        let mut seen = BTreeSet::new();
        for (number, request, texts) in good.good_answers() {
            // Asked again and answered the same: the same code reads it.
            if !seen.insert((request.method.as_str(), &request.path, &request.to, texts.clone())) {
                continue;
            }
            for twist in places::twists(&texts) {
                look(&one(table, base, twist, When::Only(number)))?;
            }
        }
    }
    ControlFlow::Continue(())
}

/// Plays one session. What was slow is played again: a machine that was busy is no plugin's fault.
pub(super) fn one(table: &'static AimPlugin, base: &Base, twist: Twist, when: When) -> Play {
    const TRIES: usize = 3;
    let once = || play(table, &base.start, &base.name, &mut World::new(base, twist, when), &mut |text| text);
    let mut played = once();
    for _ in 1..TRIES {
        if played.slowest() <= STEP_MAX {
            break;
        }
        played = once();
    }
    played
}
