//! How a plugin stands: pure, with time handed in. Sessions that end without a report count against it.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::time::Now;

/// So many failures in a row, of one kind of session, and a plugin is quarantined.
pub const QUARANTINE_AFTER: u32 = 3;
/// After the first failure; doubled after each that follows.
pub const FIRST_BACKOFF: Duration = Duration::from_secs(1);
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// The newest failure, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub at: Timestamp,
    /// A depth, or a repair's name.
    pub session: String,
    /// How it ended, in words.
    pub reason: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.session, self.reason)
    }
}

/// Why a plugin is not to be used now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// Until then (monotonic).
    BackingOff {
        until: Duration,
    },
    Quarantined,
}

/// What a session's end led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    None,
    /// Failures came or went; it may be backing off.
    Counted,
    Quarantined,
}

/// One plugin's standing; a bundled plugin has one per target, so that a hostile server blinds nobody else.
#[derive(Debug, Clone)]
pub struct Standing {
    may_quarantine: bool,
    /// Failures in a row by kind of session: one that crashes at `readiness` is not excused by a good `liveness`.
    in_a_row: BTreeMap<String, u32>,
    last: Option<(Duration, Failure)>,
    until: Option<Duration>,
    quarantined: bool,
}

impl Standing {
    /// `may_quarantine`: not of bundled plugins, whose targets must not be lost to sight for good.
    pub fn new(may_quarantine: bool) -> Standing {
        Standing { may_quarantine, in_a_row: BTreeMap::new(), last: None, until: None, quarantined: false }
    }

    /// A session ended that had begun at `began` (monotonic). `failure`: why there is no report.
    pub fn ended(&mut self, session: &str, began: Duration, failure: Option<&str>, now: Now) -> Change {
        let Some(reason) = failure else {
            let had = self.in_a_row.remove(session).is_some();
            if had && self.in_a_row.is_empty() {
                self.until = None;
            }
            return if had { Change::Counted } else { Change::None };
        };
        // Sessions that were under way together fail together, as a child's end takes all of its sessions: that is one.
        let together = self.last.as_ref().is_some_and(|(at, _)| began < *at) && self.in_a_row.contains_key(session);
        let failure = Failure { at: now.wall, session: session.to_owned(), reason: reason.to_owned() };
        if together {
            return Change::None;
        }
        self.last = Some((now.mono, failure));
        *self.in_a_row.entry(session.to_owned()).or_default() += 1;
        let worst = self.failures();
        self.until = Some(now.mono + backoff(worst));
        if self.may_quarantine && worst >= QUARANTINE_AFTER && !self.quarantined {
            self.quarantined = true;
            return Change::Quarantined;
        }
        Change::Counted
    }

    pub fn held(&self, now: Duration) -> Option<Held> {
        if self.quarantined {
            return Some(Held::Quarantined);
        }
        self.until.filter(|until| now < *until).map(|until| Held::BackingOff { until })
    }

    /// In a row, of the kind of session that fails most.
    pub fn failures(&self) -> u32 {
        self.in_a_row.values().copied().max().unwrap_or(0)
    }

    /// The newest failure, also when good sessions came after it.
    pub fn last(&self) -> Option<&Failure> {
        self.last.as_ref().map(|(_, failure)| failure)
    }
}

fn backoff(failures: u32) -> Duration {
    FIRST_BACKOFF.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now { mono: Duration::from_millis(ms), wall: Timestamp::UNIX_EPOCH }
    }

    fn fail(standing: &mut Standing, session: &str, ms: u64) -> Change {
        standing.ended(session, at(ms - 1).mono, Some("it crashed"), at(ms))
    }

    #[test]
    fn three_in_a_row_quarantine_and_the_backoff_doubles_until_then() {
        let mut standing = Standing::new(true);
        assert_eq!(fail(&mut standing, "liveness", 1000), Change::Counted);
        assert_eq!(standing.held(at(1999).mono), Some(Held::BackingOff { until: at(2000).mono }));
        assert_eq!(standing.held(at(2000).mono), None);
        assert_eq!(fail(&mut standing, "liveness", 3000), Change::Counted);
        assert_eq!(standing.held(at(4999).mono), Some(Held::BackingOff { until: at(5000).mono }));
        assert_eq!(fail(&mut standing, "liveness", 6000), Change::Quarantined);
        assert_eq!(standing.held(at(9_999_999).mono), Some(Held::Quarantined));
        standing.ended("liveness", at(6001).mono, None, at(6002));
        assert_eq!(standing.held(at(6003).mono), Some(Held::Quarantined), "a person releases it, nothing else");
    }

    #[test]
    fn a_good_session_clears_its_kind_and_no_other() {
        let mut standing = Standing::new(true);
        for round in 1..=2 {
            standing.ended("liveness", at(round * 5000).mono, None, at(round * 5000 + 1));
            assert_eq!(fail(&mut standing, "readiness", round * 5000 + 10), Change::Counted);
        }
        assert_eq!(standing.failures(), 2, "a good liveness does not excuse readiness");
        assert_eq!(standing.ended("readiness", at(20_000).mono, None, at(20_001)), Change::Counted);
        assert_eq!(standing.failures(), 0);
        assert_eq!(standing.held(at(20_002).mono), None);
        assert_eq!(fail(&mut standing, "readiness", 30_000), Change::Counted);
        assert_eq!(standing.failures(), 1, "counted anew");
    }

    #[test]
    fn sessions_that_fail_together_count_once() {
        let mut standing = Standing::new(true);
        for _ in 0..50 {
            standing.ended("liveness", at(100).mono, Some("it crashed"), at(200));
        }
        assert_eq!(standing.failures(), 1);
    }

    #[test]
    fn a_bundled_plugin_only_backs_off_up_to_a_bound() {
        let mut standing = Standing::new(false);
        let mut now = 1000;
        for _ in 0..40 {
            assert_eq!(fail(&mut standing, "progress", now), Change::Counted);
            let Some(Held::BackingOff { until }) = standing.held(at(now).mono) else { panic!("it backs off") };
            assert!(until - at(now).mono <= LONGEST_BACKOFF);
            now += 61_000;
        }
        assert_eq!(standing.held(at(now).mono), None);
    }
}
