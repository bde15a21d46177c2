//! What a target is, in one word, and the v4.3 word for it.

use serde::{Deserialize, Serialize};

/// The state of a target, as the dashboard shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not looked at yet, or nothing could be inspected.
    Unknown,
    Online,
    /// Queue or slow, and it progresses: left alone.
    Busy,
    /// Will serve, at the price of a load.
    Sleeping,
    /// It serves, outside its own usual range.
    Slow,
    /// A first failure of what was online, second look under way.
    Checking,
    /// Started, before its first ready.
    Loading,
    /// An act of an incident runs, or waits for its turn or backoff.
    Healing,
    /// A confirmed fault that nobody mends now, or not running.
    Offline,
    /// Given up, still looked at.
    Failed,
    /// Alive, but refuses our key.
    KeyRefused,
    /// This server was ended by a person on purpose.
    Stopped,
    /// All monitoring is stopped.
    Paused,
    /// This target is switched off.
    Disabled,
}

impl State {
    /// The word on every border.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Unknown => "unknown",
            State::Online => "online",
            State::Busy => "busy",
            State::Sleeping => "sleeping",
            State::Slow => "slow",
            State::Checking => "checking",
            State::Loading => "loading",
            State::Healing => "healing",
            State::Offline => "offline",
            State::Failed => "failed",
            State::KeyRefused => "key_refused",
            State::Stopped => "stopped",
            State::Paused => "paused",
            State::Disabled => "disabled",
        }
    }

    /// The status that a v4.3 client knows (contract-v4.3, *Statuses*).
    pub fn v43(self) -> &'static str {
        match self {
            State::Online | State::Busy | State::Sleeping | State::Slow | State::Checking => "online",
            State::Loading | State::Healing => "recovering",
            State::Offline => "offline",
            State::Failed => "failed",
            State::Unknown | State::KeyRefused | State::Stopped | State::Paused | State::Disabled => "unknown",
        }
    }
}
