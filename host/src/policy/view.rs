//! What a policy sees of an incident, as a Rust type: exactly the fields of the table in [`super::incident_shape`].

use ai_monitor_plugin_api::event::Depth;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::health::{
    fault::{Evidence, EvidenceLine, FaultClass},
    signals::Owner,
};

/// Seconds, bytes and shares (0 to 1) are all numbers. Serialized, it is the `incident` of a ladder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IncidentView {
    pub id: String,
    /// A fault class, or `upkeep`.
    pub fault: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    pub target: TargetView,
    pub evidence: EvidenceView,
    pub models: Vec<ModelView>,
    /// Absent while none lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessView>,
    pub vitals: VitalsView,
    pub time: TimeView,
    /// Oldest first.
    pub tried: Vec<TriedView>,
    /// Newest first, 30 days, at most 100.
    pub past: Vec<PastView>,
    pub left: LeftView,
    pub upstream: Vec<UpstreamView>,
}

impl IncidentView {
    /// The table of fields as JSON: the `incident` that [`super::PolicyRun::resume`] takes.
    pub fn to_value(&self) -> Value {
        // Plain structs with text keys: serializing them cannot fail.
        serde_json::to_value(self).unwrap_or_default()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TargetView {
    pub name: String,
    pub backend: String,
    pub tags: Vec<String>,
    /// s between checks.
    pub interval: f64,
    /// `child`, `unit`, `container`, `service`, `found`, `none`.
    pub owner: &'static str,
}

/// The word of a policy for who owns the process.
pub fn owner_word(owner: &Owner) -> &'static str {
    match owner {
        Owner::Child | Owner::Command => "child",
        Owner::Unit(_) => "unit",
        Owner::Container(_) => "container",
        Owner::Service(_) => "service",
        Owner::Parent(_) | Owner::Found | Owner::NotPermitted => "found",
        Owner::None => "none",
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvidenceView {
    /// Unix seconds of the first sign.
    pub since: f64,
    /// Looks in a row that showed it.
    pub failures: u32,
    pub depth: Depth,
    pub also: Vec<FaultClass>,
    pub symptoms: Vec<String>,
    pub lines: Vec<EvidenceLine>,
    /// The facts of the class, beside the others.
    #[serde(flatten)]
    pub facts: Map<String, Value>,
}

impl From<&Evidence> for EvidenceView {
    fn from(e: &Evidence) -> EvidenceView {
        EvidenceView {
            since: e.since.as_millisecond() as f64 / 1000.0,
            failures: e.failures,
            depth: e.depth,
            also: e.also.clone(),
            symptoms: e.symptoms.clone(),
            lines: e.lines.clone(),
            facts: e.facts.clone(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelView {
    pub id: String,
    pub aliases: Vec<String>,
    /// As the plugin reports it: `loaded`, `loading`, …
    pub state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_bytes: Option<u64>,
    /// s since the last known use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProcessView {
    pub uptime: f64,
    pub memory: u64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct VitalsView {
    pub memory_free: u64,
    pub gpus: Vec<GpuView>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GpuView {
    pub name: String,
    pub memory_free: u64,
    pub memory_total: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimeView {
    /// Unix seconds, as `opened`.
    pub unix: f64,
    pub opened: f64,
    /// Local.
    pub hour: u8,
    pub minute: u8,
    /// 1 = Monday.
    pub weekday: u8,
    /// A window is open.
    pub in_window: bool,
}

impl TimeView {
    /// `now` in the zone of `zoned`, the incident opened at `opened`.
    pub fn at(now: &jiff::ZonedDateTime, opened: jiff::Timestamp, in_window: bool) -> TimeView {
        TimeView {
            unix: now.timestamp().as_millisecond() as f64 / 1000.0,
            opened: opened.as_millisecond() as f64 / 1000.0,
            hour: now.hour().unsigned_abs(),
            minute: now.minute().unsigned_abs(),
            weekday: now.weekday().to_monday_one_offset().unsigned_abs(),
            in_window,
        }
    }
}

/// An act of this incident.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TriedView {
    pub act: String,
    pub result: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    pub fault: String,
    /// s since it ended.
    pub ago: f64,
    pub took: f64,
}

/// An earlier incident of this target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PastView {
    pub fault: String,
    pub ended: String,
    /// The act that healed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    pub ago: f64,
    pub took: f64,
}

/// What the budgets still give, and the acts that this incident still has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LeftView {
    pub starts: u32,
    pub repairs: u32,
    pub acts: u32,
}

/// A target that this one depends on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UpstreamView {
    pub name: String,
    pub state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uptime: Option<f64>,
}
