//! Rules of sessions as pure functions: the same events give the same effects, wherever and beside whatever they run.

use std::time::{Duration, Instant, SystemTime};

use super::{
    Kit, Rule, Test, Verdict,
    base::{self, Base},
    corpus,
    drive::Live,
    play::Play,
    world::{Twist, When},
};
use crate::{
    event::Event,
    table::{AIM_ERROR, AimPlugin},
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "same_events_same_effects",
        says: "a session is a pure function of its events: byte for byte, at another time too",
        section: "rule 1",
        test: Test::Once(same),
    },
    Rule {
        name: "sessions_do_not_meet",
        says: "two sessions whose steps take turns say what each says alone",
        section: "1, threads",
        test: Test::Once(interleaved),
    },
    Rule {
        name: "sessions_move_between_threads",
        says: "a session whose every step is on another thread says the same",
        section: "1, threads",
        test: Test::Once(moved),
    },
    Rule {
        name: "sessions_run_concurrently",
        says: "sessions on several threads at once say what each says alone",
        section: "1, threads",
        test: Test::Once(concurrent),
    },
    Rule {
        name: "sessions_can_be_many",
        says: "1,000 sessions can be alive at once",
        section: "1, function table",
        test: Test::Once(many),
    },
    Rule {
        name: "cancelled_after_any_step",
        says: "`destroy` is allowed before `start`, after any step and after the end",
        section: "1, function table",
        test: Test::Once(cancelled),
    },
    Rule {
        name: "cancelled_sessions_leave_nothing",
        says: "memory does not grow by sessions that were destroyed",
        section: "1, ownership",
        test: Test::Once(no_growth),
    },
    Rule {
        name: "step_heeds_the_limit",
        says: "`step` gives AIM_ERROR where the sink is full, and stops writing",
        section: "1, function table",
        test: Test::Once(full_sink),
    },
    Rule {
        name: "does_no_io",
        says: "no file, socket, process or environment: no call does anything but compute",
        section: "rule 1",
        test: Test::Once(no_io),
    },
];

/// What all these rules play: some sessions, each with what was said when it ran alone.
struct Stage {
    table: &'static AimPlugin,
    plays: Vec<Play>,
}

fn stage(kit: &Kit) -> Result<Stage, Verdict> {
    let (table, manifest) = kit.ready()?;
    let bases: Vec<Base> = base::all(kit, &manifest);
    let plays = bases.iter().map(|base| corpus::one(table, base, Twist::Good, When::All)).collect();
    Ok(Stage { table, plays })
}

/// Plays a play's events again.
fn again(table: &'static AimPlugin, play: &Play) -> Result<(), String> {
    let mut live = Live::new(table)?;
    for (i, step) in play.steps.iter().enumerate() {
        let said = live.step(&step.text).out.bytes;
        if said != step.said {
            return Err(differs(play, i, &said));
        }
    }
    Ok(())
}

fn differs(play: &Play, step: usize, said: &[u8]) -> String {
    let short = |bytes: &[u8]| super::play::short(&String::from_utf8_lossy(bytes));
    let before = play.written().get(step).map(|said| short(said)).unwrap_or_default();
    format!("step {step}: once {before}, then {}\n    in: {}", short(said), play.told)
}

/// Waits until the clock shows another second, so that who looks at it is seen.
fn next_second() {
    let second = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (first, begun) = (second(), Instant::now());
    while second() == first && begun.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn run(kit: &Kit, test: impl FnOnce(&Stage) -> Result<String, String>) -> Verdict {
    match stage(kit) {
        Ok(stage) => Verdict::of(test(&stage)),
        Err(verdict) => verdict,
    }
}

fn same(kit: &Kit) -> Verdict {
    run(kit, |stage| {
        next_second();
        stage.plays.iter().try_for_each(|play| again(stage.table, play))?;
        Ok(format!("{} sessions", stage.plays.len()))
    })
}

fn interleaved(kit: &Kit) -> Verdict {
    run(kit, |stage| {
        let mut lives = Vec::new();
        for _ in &stage.plays {
            lives.push(Live::new(stage.table)?);
        }
        let longest = stage.plays.iter().map(|play| play.steps.len()).max().unwrap_or_default();
        for turn in 0..longest {
            for (play, live) in stage.plays.iter().zip(&mut lives) {
                if let Some(step) = play.steps.get(turn) {
                    let said = live.step(&step.text).out.bytes;
                    if said != step.said {
                        return Err(differs(play, turn, &said));
                    }
                }
            }
        }
        Ok(format!("{} sessions in turns", stage.plays.len()))
    })
}

fn moved(kit: &Kit) -> Verdict {
    run(kit, |stage| {
        for play in &stage.plays {
            let mut live = Live::new(stage.table)?;
            for (i, step) in play.steps.iter().enumerate() {
                let said = std::thread::scope(|scope| {
                    let live = &mut live;
                    scope.spawn(move || live.step(&step.text).out.bytes).join()
                });
                let said = said.map_err(|_| "a thread panicked".to_owned())?;
                if said != step.said {
                    return Err(differs(play, i, &said));
                }
            }
        }
        Ok(format!("{} sessions", stage.plays.len()))
    })
}

fn concurrent(kit: &Kit) -> Verdict {
    const THREADS: usize = 4;
    const ROUNDS: usize = 10;
    run(kit, |stage| {
        // What was written is compared; the events themselves may be shared.
        let all = || (0..ROUNDS).try_for_each(|_| stage.plays.iter().try_for_each(|play| again(stage.table, play)));
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(all)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".into())))
        })?;
        Ok(format!("{} sessions on {THREADS} threads", THREADS * ROUNDS * stage.plays.len()))
    })
}

fn many(kit: &Kit) -> Verdict {
    const MANY: usize = 1000;
    run(kit, |stage| {
        let mut lives = Vec::new();
        for _ in 0..MANY {
            lives.push(Live::new(stage.table)?);
        }
        let Some(play) = stage.plays.first() else { return Ok("no session".into()) };
        for live in &mut lives {
            let said = live.step(&play.steps[0].text).out.bytes;
            if said != play.steps[0].said {
                return Err(differs(play, 0, &said));
            }
        }
        Ok(format!("{MANY} sessions"))
    })
}

/// Each session broken off after each of its steps.
fn break_off(stage: &Stage) -> Result<usize, String> {
    let mut ended = 0;
    for play in &stage.plays {
        for steps in 0..=play.steps.len() {
            let mut live = Live::new(stage.table)?;
            for step in &play.steps[..steps] {
                live.step(&step.text);
            }
            drop(live);
            ended += 1;
        }
    }
    Ok(ended)
}

fn cancelled(kit: &Kit) -> Verdict {
    run(kit, |stage| {
        let ended = break_off(stage)?;
        stage.plays.iter().try_for_each(|play| again(stage.table, play))?;
        Ok(format!("{ended} sessions"))
    })
}

fn no_growth(kit: &Kit) -> Verdict {
    /// Less than a hundredth of what a child may have. An allocator keeps some.
    const SLACK: u64 = 2 * 1024 * 1024;
    const SESSIONS: usize = 20_000;
    if !kit.alone {
        return Verdict::DoesNotApply("others use this process too: `ai-monitor plugin check` measures it".into());
    }
    run(kit, |stage| {
        let rounds = |sessions: usize| -> Result<(), String> {
            let mut ended = 0;
            while ended < sessions {
                ended += break_off(stage)?.max(1);
            }
            Ok(())
        };
        rounds(SESSIONS / 4)?;
        let Some(before) = resident() else { return Ok("its memory cannot be read here".into()) };
        rounds(SESSIONS)?;
        let grown = resident().unwrap_or(before).saturating_sub(before);
        if grown > SLACK {
            return Err(format!("{} KiB more after {SESSIONS} sessions that were destroyed", grown / 1024));
        }
        Ok(format!("{SESSIONS} sessions, {} KiB more", grown / 1024))
    })
}

/// The memory of this process, in bytes; `None` where it cannot be read.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = status.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

fn full_sink(kit: &Kit) -> Verdict {
    run(kit, |stage| {
        for play in &stage.plays {
            let mut live = Live::new(stage.table)?;
            let stepped = live.step_into(&play.steps[0].text, 1);
            if stepped.code != AIM_ERROR {
                return Err(format!("with a full sink it gave code {}, not AIM_ERROR", stepped.code));
            }
            if stepped.out.after_full > 0 {
                return Err(format!("it wrote {} times after the sink had refused", stepped.out.after_full));
            }
        }
        Ok(format!("{} sessions", stage.plays.len()))
    })
}

/// A process that can only compute is the host's to make: see [`Kit::sessions`].
fn no_io(_: &Kit) -> Verdict {
    Verdict::DoesNotApply("only `ai-monitor plugin check` takes all but computing away".into())
}

pub(super) fn sessions(kit: &Kit) -> Result<Vec<Vec<Event>>, String> {
    match stage(kit) {
        Ok(stage) => {
            Ok(stage.plays.into_iter().map(|play| play.steps.into_iter().map(|step| step.event).collect()).collect())
        }
        Err(Verdict::DoesNotApply(why) | Verdict::Failed { why, .. } | Verdict::Passed(why)) => Err(why),
    }
}
