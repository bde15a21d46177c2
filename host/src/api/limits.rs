//! How much of the server anybody may take up: every wait and every buffer has its end.

use std::time::Duration;

/// The limits in force; [`Limits::default`] says why each is as it is.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time; further callers wait in the system's own queue.
    pub connections: usize,
    /// For a whole request head; also how long an idle connection is kept.
    pub head_timeout: Duration,
    /// For all header lines together, in bytes, and how many there may be; more is 431.
    pub head_bytes: usize,
    pub headers: usize,
    /// For a whole body; more bytes are 413, more time is 408.
    pub body_bytes: usize,
    pub body_timeout: Duration,
    /// A client that takes no byte of its answer for so long is hung up on.
    pub write_timeout: Duration,
    /// Pages that listen to the event stream at a time; one more is 503.
    pub event_listeners: usize,
    /// Calls that wait for a heal at a time; one more is 503.
    pub heal_calls: usize,
    /// For answers under way when the program ends.
    pub end_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 128,
            head_timeout: Duration::from_secs(10),
            head_bytes: 32 * 1024,
            headers: 64,
            // No call needs more than a name and a switch.
            body_bytes: 64 * 1024,
            body_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            // A few browsers with a few tabs each.
            event_listeners: 32,
            // A heal can take minutes and goes on when its caller has left, so callers could pile up.
            heal_calls: 32,
            // The whole program has 2 s.
            end_timeout: Duration::from_secs(1),
        }
    }
}
