//! Busy or hung: what moved between two looks.
//!
//! Counters alone never prove a stall (measured: during 14 s of prompt processing every counter of llama-server stood
//! still and only `cpu` moved), so a target is *flat* only when all that can be read stands still, and what exists and
//! cannot be read is not flat.

use std::{collections::BTreeMap, time::Duration};

use ai_monitor_plugin_api::event::Role;

use super::{look::Look, signals::ProcessId};

/// Below this share of a core a process does nothing (it may still answer probes).
const IDLE_SHARE: f64 = 0.02;
/// The system counts CPU time in steps of this: one of them is no sign of work, for it may have been a probe's answer.
/// What is really done shows when more looks are compared (see `Health::flat_base`).
const TICK: Duration = Duration::from_millis(10);
/// Over a shorter window nothing can be said.
const SHORTEST_WINDOW: Duration = Duration::from_millis(250);

/// What can move, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Measures {
    at: Duration,
    /// `None`: the target's processes are not known.
    processes: Option<BTreeMap<ProcessId, Process>>,
    /// `None`: the backend gave none this time.
    counters: Option<BTreeMap<(String, String), u64>>,
}

#[derive(Debug, Clone, Copy)]
struct Process {
    role: Role,
    cpu: Option<Duration>,
    read_bytes: Option<u64>,
}

/// Whose movement counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The engines' processes where there are any, else the whole tree.
    Engines,
    Tree,
}

/// What two looks say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Movement {
    /// With what moved, in words.
    Moved(String),
    Flat,
    /// Too short a window, or something that exists could not be read.
    NotKnown(&'static str),
}

impl Measures {
    pub fn of(look: &Look) -> Measures {
        let processes = look.signals.tree.as_ref().map(|tree| {
            tree.iter().map(|p| (p.id, Process { role: p.role, cpu: p.cpu, read_bytes: p.read_bytes })).collect()
        });
        let mut counters = None;
        for engine in look.engines().unwrap_or_default() {
            for counter in engine.counters.iter().flatten() {
                counters
                    .get_or_insert_with(BTreeMap::new)
                    .insert((engine.id.clone(), counter.id.clone()), counter.value);
            }
        }
        Measures { at: look.now.mono, processes, counters }
    }

    /// What moved from `earlier` to this.
    pub fn since(&self, earlier: &Measures, scope: Scope) -> Movement {
        if let (Some(now), Some(before)) = (&self.counters, &earlier.counters)
            && now != before
        {
            return Movement::Moved("the backend's counters moved".into());
        }
        let window = self.at.saturating_sub(earlier.at);
        let (Some(now), Some(before)) = (&self.processes, &earlier.processes) else {
            return Movement::NotKnown("its processes are not known");
        };
        let (now, before) = (in_scope(now, scope), in_scope(before, scope));
        if now.keys().ne(before.keys()) {
            return Movement::Moved("its processes changed".into());
        }
        for (id, process) in &now {
            let Some(earlier) = before.get(id) else { continue };
            let (Some(cpu), Some(cpu_before)) = (process.cpu, earlier.cpu) else {
                return Movement::NotKnown("its CPU time cannot be read");
            };
            let used = cpu.saturating_sub(cpu_before);
            if used > TICK + window.mul_f64(IDLE_SHARE) {
                let share = 100.0 * used.as_secs_f64() / window.as_secs_f64().max(0.001);
                return Movement::Moved(format!("process {id} used {share:.0} % of a core"));
            }
            if let (Some(read), Some(read_before)) = (process.read_bytes, earlier.read_bytes)
                && read != read_before
            {
                return Movement::Moved(format!("process {id} read {} bytes", read.saturating_sub(read_before)));
            }
        }
        if window < SHORTEST_WINDOW {
            return Movement::NotKnown("too short a time to tell");
        }
        Movement::Flat
    }
}

fn in_scope(all: &BTreeMap<ProcessId, Process>, scope: Scope) -> BTreeMap<ProcessId, Process> {
    let engines: BTreeMap<_, _> = all.iter().filter(|(_, p)| p.role == Role::Engine).map(|(id, p)| (*id, *p)).collect();
    if scope == Scope::Engines && !engines.is_empty() { engines } else { all.clone() }
}
