//! Time as the pure rooms see it: handed in, never asked for.

use std::time::Duration;

use jiff::Timestamp;

/// One moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since an arbitrary start of this process; it never jumps.
    pub mono: Duration,
    /// For people and the journal.
    pub wall: Timestamp,
}

/// Gives the time. The real one is [`SystemClock`]; tests hold their own in hand.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Now;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: std::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now { mono: self.start.elapsed(), wall: Timestamp::now() }
    }
}
