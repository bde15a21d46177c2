//! What the host itself measured beside the probes. Absent means not known.

use std::{net::SocketAddr, time::Duration};

use ai_monitor_plugin_api::{event::Role, manifest::LostEngine};
use serde::{Deserialize, Serialize};

use super::observation::Identity;

/// A process for certain: its number and when it started (so a number used again is another process).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessId {
    pub pid: u32,
    /// In the system's own ticks (Linux: field 22 of `/proc/PID/stat`; Windows: creation time).
    pub start: u64,
}

impl std::fmt::Display for ProcessId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.pid)
    }
}

/// The system's word for what a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    Running,
    Sleeping,
    /// Uninterruptible (D): common while loading.
    Disk,
    /// Stopped by a signal (T).
    Stopped,
    /// Somebody debugs it (t).
    Traced,
    Zombie,
    Other,
}

/// One process of the target's tree at one moment. `cpu` and `read_bytes` count from its start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TreeProcess {
    pub id: ProcessId,
    pub parent: Option<u32>,
    pub role: Role,
    /// Of an engine: what the manifest says of losing one of its kind; `None`: what it says of the backend.
    pub lost_engine: Option<LostEngine>,
    /// File name of the executable.
    pub exe: String,
    pub state: RunState,
    pub cpu: Option<Duration>,
    pub read_bytes: Option<u64>,
    pub memory_bytes: Option<u64>,
    /// Loopback addresses at which it is reached, one for each port that it listens on.
    pub addresses: Vec<SocketAddr>,
    /// The id it had in the `start.processes` of this look's sessions.
    pub session_id: String,
}

/// Who holds the target's port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "held", rename_all = "snake_case")]
pub enum PortHolder {
    /// Not looked, remote, or not permitted.
    Unknown,
    Nobody,
    /// A process of the target's own tree.
    Target,
    /// A process that is not the target's.
    Other {
        id: ProcessId,
        name: String,
        /// A unit, container or app that looks after it.
        supervisor: Option<String>,
        /// It only passes traffic on (ssh, docker-proxy, …).
        forwarder: bool,
        /// Seen in this target's tree before, or the same engine file, with no living server above.
        ours: bool,
    },
}

/// Whose the server is (design.md, *What is whose*).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "owner", content = "by", rename_all = "snake_case")]
pub enum Owner {
    /// Started by this monitor.
    Child,
    /// Our configured command's executable, and nobody else's.
    Command,
    Unit(String),
    Container(String),
    Service(String),
    /// Has a living parent that is neither a shell nor a reaper of orphans.
    Parent(String),
    /// Found, and nothing is configured for it.
    Found,
    /// Another user's process: it cannot be read.
    NotPermitted,
    /// A remote address, or no process is known.
    None,
}

impl Owner {
    /// May acts above `look` be done?
    pub fn is_ours(&self) -> bool {
        matches!(self, Owner::Child | Owner::Command)
    }
}

/// All that the host measured for one look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signals {
    /// `None`: not known (remote, not permitted). Empty: looked, none lives.
    pub tree: Option<Vec<TreeProcess>>,
    pub port: PortHolder,
    /// Who answers, where it was asked in this look.
    pub identity: Option<Identity>,
    /// Requests of ours that were open at the target when the look began.
    pub own_requests: u32,
    pub owner: Owner,
}
