//! What a running policy says next. The only face of the Lua room that the others see.

use serde::{Deserialize, Serialize};

use crate::incident::act::ActCall;

/// One step of a policy: what it wants, until it ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    Act(ActCall),
    /// `leave "reason"`
    Leave {
        reason: String,
        line: String,
    },
    /// `give_up "reason"`
    GiveUp {
        reason: String,
        line: String,
    },
    /// The function ended without an ending.
    End,
    /// An error or a spent budget (`budget: instructions`). Final.
    Failed {
        error: String,
    },
}
