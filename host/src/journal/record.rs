//! What the journal keeps of an incident: one typed record per thing that happened, in order.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    health::{
        fault::{Fault, FaultClass},
        signals::ProcessId,
    },
    incident::act::{ActCall, Outcome},
};

/// The number of an incident. Shown as `#17`.
pub type IncidentId = i64;

/// How an incident ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// An act of this incident changed something, and the fault is gone.
    Healed,
    /// The fault is gone, by no act of ours.
    Recovered,
    /// The policy said that nothing (more) is to be done.
    Left,
    GaveUp,
    /// By the user.
    Withdrawn,
    /// The host was away too long, or record and policy disagree.
    Abandoned,
}

impl Ended {
    pub fn as_str(self) -> &'static str {
        match self {
            Ended::Healed => "healed",
            Ended::Recovered => "recovered",
            Ended::Left => "left",
            Ended::GaveUp => "gave_up",
            Ended::Withdrawn => "withdrawn",
            Ended::Abandoned => "abandoned",
        }
    }
}

/// The sources that an incident runs with: kept by hash, so that it can be run again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// `default.lua`
    pub name: String,
    /// SHA-256, hex.
    pub hash: String,
    pub text: String,
}

/// One record of an incident. Time and sequence stand beside it in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    Opened {
        fault: Fault,
        policy: String,
        /// Name → hash of every source.
        sources: Vec<(String, String)>,
        settings: Value,
        /// The `incident` table that the policy began with.
        incident: Value,
        /// Of the machine's boot: another one ends the incident `abandoned`.
        boot: String,
        debug: bool,
        /// A person asked for it.
        by_person: bool,
    },
    /// A ladder was entered: which file has it, and why it is that one.
    Ladder {
        class: String,
        file: String,
        why: String,
    },
    Asked {
        call: ActCall,
        incident: Value,
    },
    /// A guard waited, asked or refused.
    Guard {
        guard: String,
        did: String,
        text: String,
    },
    /// Written before the act is done.
    Intent {
        act: String,
        touches: Vec<ProcessId>,
        text: String,
    },
    /// A step inside an act that later steps build on: a process that was started, a tree that is gone.
    Phase {
        text: String,
        started: Option<ProcessId>,
    },
    Acted {
        act: String,
        outcome: Outcome,
    },
    /// The look after an act: what was measured.
    Looked {
        text: String,
        fault: Option<Fault>,
    },
    ClassChanged {
        from: FaultClass,
        fault: Fault,
    },
    Log {
        text: String,
        line: String,
    },
    PolicyFailed {
        policy: String,
        error: String,
    },
    Notified {
        level: String,
        text: String,
    },
    /// What would have come next.
    WouldHave {
        text: String,
    },
    Ended {
        ended: Ended,
        reason: String,
        by: Option<String>,
    },
}

/// A fault for which no incident was opened, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NonDecision {
    pub target: String,
    pub at: Timestamp,
    pub class: Option<FaultClass>,
    /// `one failure only`, `busy`, `observed only`, `quiet`, `monitoring stopped`, …
    pub why: String,
    pub text: String,
}

/// A record with its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub seq: i64,
    pub incident: IncidentId,
    pub at: Timestamp,
    #[serde(flatten)]
    pub record: Record,
}

/// One line of the list of incidents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentRow {
    pub id: IncidentId,
    pub target: String,
    pub class: FaultClass,
    pub opened: Timestamp,
    pub closed: Option<Timestamp>,
    pub ended: Option<Ended>,
    /// The act that healed.
    pub by: Option<String>,
    pub reason: Option<String>,
}

/// A probe's sample, as rolled up later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub target: String,
    pub at: Timestamp,
    pub depth: ai_monitor_plugin_api::event::Depth,
    pub ok: bool,
    pub ms: Option<u64>,
    /// The state after it.
    pub state: String,
    /// The probe's own words where it failed.
    pub text: Option<String>,
}

/// A process that this monitor started for a target: found again after our own end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedProcess {
    pub target: String,
    pub process: ProcessId,
    pub boot: String,
    pub command: Vec<String>,
    pub at: Timestamp,
}

/// What a budget has used: an act that counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    pub act: String,
    pub budget: crate::incident::act::BudgetKind,
    pub at: Timestamp,
    pub took: Duration,
}
