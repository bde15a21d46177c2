//! Processes as `/proc` shows them, always with their start time, and signals to them.

use std::{fs, path::PathBuf, time::Duration};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

use super::wait::{is, wait_until};

/// One process, not only its number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    pub pid: u32,
    /// Field 22 of its `stat`.
    pub start: u64,
}

/// What `/proc/PID/stat` says.
#[derive(Debug, Clone)]
pub struct Stat {
    pub name: String,
    pub state: char,
    pub parent: u32,
    start: u64,
}

impl Process {
    pub fn find(pid: u32) -> Option<Process> {
        stat(pid).filter(|s| s.state != 'Z').map(|s| Process { pid, start: s.start })
    }

    /// Is it this very process, and not a zombie?
    pub fn lives(&self) -> bool {
        Process::find(self.pid).is_some_and(|p| p.start == self.start)
    }

    pub fn stat(&self) -> Option<Stat> {
        stat(self.pid).filter(|s| s.start == self.start)
    }

    pub fn exe(&self) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/exe", self.pid)).ok()
    }

    /// Resident memory, bytes.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
    }

    pub fn children(&self) -> Vec<Process> {
        all().filter(|p| p.stat().is_some_and(|s| s.parent == self.pid)).collect()
    }

    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        assert!(self.lives(), "process {} is to get {signal:?}, and does not live", self.pid);
        let pid = Pid::from_raw(i32::try_from(self.pid).expect("a pid")).expect("a pid");
        kill_process(pid, signal).unwrap_or_else(|e| panic!("{signal:?} to {}: {e}", self.pid));
    }

    #[track_caller]
    pub fn wait_gone(&self, within: Duration) {
        wait_until(within, &format!("the end of process {}", self.pid), || is(!self.lives(), self.stat()));
    }

    /// SIGSTOP, and until it has stopped.
    #[track_caller]
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        wait_until(Duration::from_secs(5), "state T", || {
            let state = self.stat().map(|s| s.state);
            is(state == Some('T'), state)
        });
    }
}

/// All processes that live and can be seen.
pub fn all() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|e| Process::find(e.file_name().to_str()?.parse().ok()?))
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything, also parentheses.
    let (head, rest) = text.rsplit_once(") ")?;
    let name = head.split_once(" (")?.1.to_owned();
    let fields: Vec<&str> = rest.split(' ').collect();
    let number = |i: usize| fields.get(i)?.parse::<u64>().ok();
    Some(Stat {
        name,
        state: fields.first()?.chars().next()?,
        parent: u32::try_from(number(1)?).ok()?,
        start: number(19)?,
    })
}
