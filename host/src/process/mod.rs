//! Who is the target: identity, exit events, trees, ports, owners; and the four things done to processes: start,
//! signal, wait for the end, end a whole tree.
//!
//! A process is always a [`ProcessId`]: its number and its start. Every function that touches one compares the start
//! first, so that a number used again is never taken for the process that had it before. Nothing here searches by a
//! part of a name.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::health::signals::{ProcessId, RunState};

mod command;
mod end;
mod exit;
pub mod output;
mod owner;
pub mod places;
mod ports;
mod rivals;
mod roles;
mod session_view;
mod signal;
pub mod stale;
mod start;
pub mod survey;
pub mod watch;

#[cfg(target_os = "linux")]
#[path = "linux/mod.rs"]
mod imp;
#[cfg(windows)]
#[path = "windows.rs"]
mod imp;
#[cfg(not(any(target_os = "linux", windows)))]
#[path = "other.rs"]
mod imp;
#[cfg(not(target_os = "linux"))]
mod portable;

#[cfg(all(test, target_os = "linux"))]
mod bystanders;

pub use command::Program;
pub use end::{EndedTree, Survivor, end_tree};
pub use exit::{Exit, exited};
pub use owner::{Supervisor, owner};
pub use ports::{Holder, Listener, holder, holder_near, is_local, listeners, listens, ports_of};
pub use rivals::enabled_rival;
pub use roles::{is_forwarder, is_interpreter, is_main_name, is_reaper, is_shell, lost_engine, names, role};
pub use session_view::mask;
pub use signal::{Signal, SignalError, signal};
pub use start::{Launch, StartError, Started, is_own_child, start};

/// One process as the system showed it at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub id: ProcessId,
    /// `None`: the system shows none (pid 1, or the parent is outside of what we can see).
    pub parent: Option<u32>,
    /// The executable's file. `None`: not permitted, or it has none (a kernel thread). An executable that was replaced
    /// on disk while it runs (an upgrade) keeps its old path.
    pub exe: Option<PathBuf>,
    /// File name of the executable, else the system's short name.
    pub name: String,
    /// The system's short name, at most 15 bytes on Linux; a process may change it. Empty where there is none.
    pub comm: String,
    /// `argv[0]`: how it was called, or what it calls itself.
    pub title: String,
    /// Arguments without the program's name.
    pub args: Vec<String>,
    pub state: RunState,
    /// User and system time of all its threads since its start.
    pub cpu: Option<Duration>,
    /// Read from storage since its start. `None`: not permitted.
    pub read_bytes: Option<u64>,
    pub memory_bytes: Option<u64>,
    /// Numeric user id; `None` on Windows.
    pub user: Option<u32>,
    /// The session (`setsid`) it belongs to; on Windows the login session.
    pub session: Option<u32>,
}

/// The machine's memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    pub total: u64,
    /// What a new process could get without swapping.
    pub available: u64,
}

/// All processes in one pass, in no promised order. Processes that end while it runs are left out.
pub fn all() -> io::Result<Vec<Process>> {
    imp::all()
}

/// All processes that execute this file, which must be named without links. Cheaper than [`all`]: of the others nothing
/// else is read.
pub fn executing(exe: &Path) -> io::Result<Vec<Process>> {
    imp::executing(exe)
}

/// The process that has this number now.
pub fn find(pid: u32) -> Option<Process> {
    imp::find(pid)
}

/// The identity of the process that has this number now; cheaper than [`find`]. A zombie has none.
pub fn identify(pid: u32) -> Option<ProcessId> {
    imp::moment(pid).filter(|(_, state)| *state != RunState::Zombie).map(|(id, _)| id)
}

/// Does it live, as itself? A zombie is dead; so is a number used again.
pub fn is_alive(id: ProcessId) -> bool {
    state(id).is_some()
}

/// What it does now; `None`: it is gone (a zombie is gone).
pub fn state(id: ProcessId) -> Option<RunState> {
    imp::moment(id.pid).filter(|(now, state)| *now == id && *state != RunState::Zombie).map(|(_, state)| state)
}

/// This process.
pub fn own_id() -> Option<ProcessId> {
    identify(std::process::id())
}

/// The machine's memory; `None` where it cannot be read.
pub fn memory() -> Option<Memory> {
    imp::memory()
}

/// Changes when a [`ProcessId`] of before can no longer be compared: with the machine's boot on Linux; never where
/// starts are absolute times.
pub fn boot_id() -> String {
    imp::boot_id()
}

/// The tree below `root` as `all` has it, root first, parents before children. Empty when the root is not in it.
pub fn tree(all: &[Process], root: ProcessId) -> Vec<Process> {
    let Some(top) = all.iter().find(|p| p.id == root) else { return Vec::new() };
    let mut tree = vec![top.clone()];
    tree.extend(descendants(all, root));
    tree
}

/// All below `root`, parents before children, without the root.
pub fn descendants(all: &[Process], root: ProcessId) -> Vec<Process> {
    let mut found: Vec<Process> = Vec::new();
    let mut seen = BTreeSet::from([root.pid]);
    // The start of each parent: where the system does not re-parent orphans (Windows), a child that is older than
    // what has its parent's number is not its child.
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for p in all.iter().filter(|p| p.parent == Some(parent.pid) && p.id.start >= parent.start) {
            if seen.insert(p.id.pid) {
                parents.push(p.id);
                found.push(p.clone());
            }
        }
    }
    found
}

/// From the parent upwards. Ends where the parent is not in `all`.
pub fn ancestors(all: &[Process], of: &Process) -> Vec<Process> {
    let mut found: Vec<Process> = Vec::new();
    let mut child = of;
    while let Some(parent) = parent(all, child) {
        if found.iter().any(|p| p.id == parent.id) {
            break;
        }
        found.push(parent.clone());
        child = parent;
    }
    found
}

/// The living parent.
pub fn parent<'a>(all: &'a [Process], of: &Process) -> Option<&'a Process> {
    let pid = of.parent?;
    all.iter().find(|p| p.id.pid == pid && p.id.start <= of.id.start && p.state != RunState::Zombie)
}

/// The tree of a known root, measured anew without a look at all processes: the root (when it lives), its descendants,
/// then those of `known` that live on but are no longer below it (orphans of a dead parent), with theirs.
pub fn refresh(root: ProcessId, known: &[ProcessId]) -> Vec<Process> {
    imp::refresh(root, known)
}

/// Who lives in the session that `leader` made, without itself. Empty where the system has no such sessions.
pub fn session_members(leader: ProcessId) -> Vec<ProcessId> {
    imp::session_members(leader)
}

/// [`refresh`] from a list of all processes.
fn gather(all: &[Process], root: ProcessId, known: &[ProcessId]) -> Vec<Process> {
    let mut found: Vec<Process> = Vec::new();
    for start in std::iter::once(&root).chain(known) {
        for process in tree(all, *start) {
            if process.state != RunState::Zombie && !found.iter().any(|p| p.id == process.id) {
                found.push(process);
            }
        }
    }
    found
}
