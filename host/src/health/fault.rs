//! The closed list of what can be wrong, and its evidence.

use ai_monitor_plugin_api::event::Depth;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

macro_rules! classes {
    ($($variant:ident = $name:literal),* $(,)?) => {
        /// A class of what is wrong. Asked from top to bottom; the first that holds is the fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum FaultClass { $($variant),* }

        impl FaultClass {
            pub const ALL: &'static [FaultClass] = &[$(FaultClass::$variant),*];

            pub fn as_str(self) -> &'static str {
                match self { $(FaultClass::$variant => $name),* }
            }
        }
    };
}

classes! {
    PortConflict = "port_conflict",
    Dead = "dead",
    Unresponsive = "unresponsive",
    Access = "access",
    SelfInflicted = "self_inflicted",
    DeviceBroken = "device_broken",
    FrontOnly = "front_only",
    StuckState = "stuck_state",
    Stalled = "stalled",
    Erring = "erring",
    Store = "store",
    ModelMissing = "model_missing",
    OrphanMemory = "orphan_memory",
    CpuFallback = "cpu_fallback",
    BadOutput = "bad_output",
    Degraded = "degraded",
}

impl std::fmt::Display for FaultClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A class with what proves it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    pub class: FaultClass,
    /// The model concerned, where it is one.
    pub model: Option<String>,
    pub evidence: Evidence,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The first sign.
    pub since: Timestamp,
    /// Looks in a row that showed it.
    pub failures: u32,
    /// The depth that failed.
    pub depth: Depth,
    /// Other classes that hold.
    #[serde(default)]
    pub also: Vec<FaultClass>,
    /// Ids of the backend's own symptoms.
    #[serde(default)]
    pub symptoms: Vec<String>,
    pub lines: Vec<EvidenceLine>,
    /// The facts of the class (policy-api, section 2): `exit_code`, `signal`, `flat_for`, `holder`, …
    #[serde(default)]
    pub facts: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceLine {
    /// `liveness`, `readiness`, `progress`, `inference`, `exit`, `tree`, `ports`, `cpu`, …
    pub from: String,
    pub text: String,
}
