//! Why there is no plugin for a target now: the words that stand beside its state `unknown`.

use std::time::Duration;

use super::Refusal;

/// A plugin's absence says nothing about the target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Absent {
    #[error("there is no plugin named {id:?}; put it into {folder}, or use one of: {known}")]
    Unknown { id: String, folder: String, known: String },
    #[error("the plugin {id} is being loaded")]
    Loading { id: String },
    #[error("the plugin {id} was removed from {folder}; put it back, or remove the target")]
    Removed { id: String, folder: String },
    #[error("the plugin {id} is not loaded: {why}. What to do: {remedy}")]
    Refused { id: String, why: String, remedy: String },
    #[error("the plugin {id} waits for consent: it asks for {more}. If you grant that: ai-monitor plugin consent {id}")]
    Consent { id: String, more: String },
    #[error(
        "the plugin {id} is quarantined, for {reason}. Replace it, or try it again: ai-monitor plugin release {id}"
    )]
    Quarantined { id: String, reason: String },
    #[error("the plugin {id} failed and is tried again soon: {reason}")]
    BackingOff { id: String, reason: String, again: Duration },
}

impl Absent {
    pub(super) fn refused(id: &str, refusal: &Refusal) -> Absent {
        let id = id.to_owned();
        match refusal {
            Refusal::Consent { more, .. } => Absent::Consent { id, more: more.to_string() },
            Refusal::Quarantined { reason, .. } => Absent::Quarantined { id, reason: reason.clone() },
            other => Absent::Refused { id, why: other.to_string(), remedy: other.remedy() },
        }
    }

    /// It may be over by itself: whoever waits need not give up.
    pub fn is_passing(&self) -> bool {
        matches!(self, Absent::Loading { .. } | Absent::BackingOff { .. })
    }

    /// When to ask again, where no change will tell.
    pub fn again(&self) -> Option<Duration> {
        match self {
            Absent::BackingOff { again, .. } => Some(*again),
            _ => None,
        }
    }
}
