//! What the host must know before, beside and without running the plugin.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::Depth;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Newest minor of the contract that the plugin was written to.
    pub contract: String,
    pub abi: u32,
    /// `[a-z][a-z0-9-]*`; equals `backend` in the configuration.
    pub id: String,
    pub version: String,
    /// For people.
    pub label: String,
    /// Where discovery looks.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// JSON Schema of `[target.settings]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Value>,
    #[serde(default)]
    pub identify: Vec<Rule>,
    pub probes: BTreeMap<Depth, ProbeSpec>,
    #[serde(default)]
    pub repairs: BTreeMap<String, RepairSpec>,
    #[serde(default)]
    pub process: ProcessSpec,
    #[serde(default)]
    pub start: Vec<StartSpec>,
    #[serde(default)]
    pub debug: DebugSpec,
    #[serde(default)]
    pub files: Files,
    #[serde(default)]
    pub rivals: Vec<Rival>,
}

/// The first rule whose `all` hold gives the confidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    pub is: Confidence,
    pub all: Vec<Check>,
    /// A flavour, handed to sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Speaks the protocol.
    Possible,
    /// Others imitate it.
    Likely,
    /// No other backend does this.
    Certain,
}

/// At least one of `header`, `contains`, `has`, `equals`: a 200 alone proves nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Check {
    pub get: String,
    /// Default `[200]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Vec<u16>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// JSON pointers that must exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub has: Vec<String>,
    /// JSON pointer → value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub equals: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeSpec {
    /// `METHOD /path`, a trailing `*` is a prefix, `local ` in front: on an address of the target's tree.
    pub routes: Vec<String>,
    #[serde(default)]
    pub needs: Vec<String>,
    pub deadline_ms: u64,
    /// What each inference costs the user; where it is set, a schedule is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side_effect: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RepairSpec {
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Value>,
    pub routes: Vec<String>,
    #[serde(default)]
    pub needs: Vec<String>,
    pub deadline_ms: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// Exact file names of the server.
    #[serde(default)]
    pub main: Vec<String>,
    #[serde(default)]
    pub engines: Vec<EngineSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_engine: Option<LostEngine>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EngineSpec {
    /// Exact file names.
    #[serde(default)]
    pub exe: Vec<String>,
    /// Exact titles, of a process that renames itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub title: Vec<String>,
    /// Each must equal an argument, or the file name of one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostEngine {
    /// The backend starts a new one by itself.
    NextRequest,
    /// Dead for good.
    Never,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StartSpec {
    /// `{host}` and `{port}` are filled in; never a shell.
    pub argv: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
}

/// Added to the start command in a debug start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DebugSpec {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Files {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<Stale>,
}

/// What may be removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stale {
    pub glob: String,
    pub older_s: u64,
    /// `stopped`: only while the server does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<String>,
}

/// Who else may restart this server. One of the fields is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rival {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub systemd: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exe: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}
