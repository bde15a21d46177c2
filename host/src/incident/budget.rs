//! How much may still be done: starts and repairs in sliding windows over all incidents, and the wait between starts.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::act::BudgetKind;
use crate::{config::model::HealSettings, journal::record::Spent};

/// What one target's acts have used. Times are wall-clock, so that it survives the monitor's own restart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Budget {
    spent: Vec<Spent>,
    /// Starts before this count for no backoff: the target was healthy for `steady` since, or a person asked.
    anew: Option<Timestamp>,
}

impl Budget {
    /// From the journal.
    pub fn from_spent(spent: Vec<Spent>) -> Budget {
        Budget { spent, anew: None }
    }

    pub fn spend(&mut self, spent: Spent) {
        self.spent.push(spent);
    }

    /// A person's own heal: what was used counts no more.
    pub fn clear(&mut self, now: Timestamp) {
        self.spent.clear();
        self.anew = Some(now);
    }

    /// The target was healthy for `steady`: the next start waits for nothing.
    pub fn steady(&mut self, now: Timestamp) {
        self.anew = Some(now);
    }

    fn used(&self, kind: BudgetKind, window: Duration, now: Timestamp) -> u32 {
        let n = self.spent.iter().filter(|s| s.budget == kind && within(s.at, window, now)).count();
        u32::try_from(n).unwrap_or(u32::MAX)
    }

    /// Starts in their window: v4.3's `restart_count`.
    pub fn starts(&self, settings: &HealSettings, now: Timestamp) -> u32 {
        self.used(BudgetKind::Starts, settings.attempts_window, now)
    }

    /// What is left of a budget; `None`: the act draws on none.
    pub fn left(&self, kind: BudgetKind, settings: &HealSettings, now: Timestamp) -> Option<u32> {
        let (limit, window) = match kind {
            BudgetKind::None => return None,
            BudgetKind::Starts => (settings.attempts, settings.attempts_window),
            BudgetKind::Repairs => (settings.repairs, settings.repairs_window),
        };
        Some(limit.saturating_sub(self.used(kind, window, now)))
    }

    /// How long the next start must wait: nothing for the first, then `backoff`, doubling up to `backoff_max`.
    /// The jitter comes from the last start's own time: it spreads targets and is the same when it is asked again.
    pub fn wait_before_start(&self, settings: &HealSettings, now: Timestamp) -> Duration {
        let counted = || {
            self.spent
                .iter()
                .filter(|s| s.budget == BudgetKind::Starts && self.anew.is_none_or(|anew| s.at >= anew))
                .filter(|s| within(s.at, settings.steady.max(settings.backoff_max), now))
        };
        let Some(last) = counted().map(|s| s.at).max() else { return Duration::ZERO };
        let doublings = u32::try_from(counted().count().saturating_sub(1)).unwrap_or(u32::MAX).min(20);
        let base = settings.backoff.saturating_mul(1 << doublings).min(settings.backoff_max);
        let tenths = u32::try_from(last.as_nanosecond().rem_euclid(997)).unwrap_or(0);
        let wait = base + base.mul_f64(0.1 * f64::from(tenths) / 997.0);
        let gone = Duration::try_from(now.duration_since(last)).unwrap_or_default();
        wait.saturating_sub(gone)
    }

    /// Forgets what no window reaches any more.
    pub fn prune(&mut self, settings: &HealSettings, now: Timestamp) {
        let longest =
            settings.attempts_window.max(settings.repairs_window).max(settings.backoff_max).max(settings.steady);
        self.spent.retain(|s| within(s.at, longest, now));
    }
}

fn within(at: Timestamp, window: Duration, now: Timestamp) -> bool {
    now.duration_since(at) < SignedDuration::try_from(window).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(at: Timestamp) -> Spent {
        Spent { act: "start".into(), budget: BudgetKind::Starts, at, took: Duration::ZERO }
    }

    fn second(n: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + n).unwrap()
    }

    #[test]
    fn starts_are_counted_in_a_sliding_window_and_come_back() {
        let settings = HealSettings::default();
        let mut budget = Budget::default();
        for n in 0..3 {
            budget.spend(start(second(n)));
        }
        assert_eq!(budget.left(BudgetKind::Starts, &settings, second(3)), Some(0));
        assert_eq!(budget.left(BudgetKind::Repairs, &settings, second(3)), Some(20));
        // v4.3's restart_count never went down: after 3 heals in its life a model was never healed again.
        assert_eq!(budget.left(BudgetKind::Starts, &settings, second(601)), Some(2));
        assert_eq!(budget.left(BudgetKind::Starts, &settings, second(603)), Some(3));
    }

    #[test]
    fn the_first_start_waits_for_nothing_and_the_wait_doubles() {
        let settings = HealSettings::default();
        let mut budget = Budget::default();
        assert_eq!(budget.wait_before_start(&settings, second(0)), Duration::ZERO);
        budget.spend(start(second(0)));
        let first = budget.wait_before_start(&settings, second(0));
        assert!(first >= Duration::from_secs(10) && first <= Duration::from_secs(11), "{first:?}");
        assert_eq!(budget.wait_before_start(&settings, second(12)), Duration::ZERO);
        budget.spend(start(second(12)));
        let next = budget.wait_before_start(&settings, second(12));
        assert!(next >= Duration::from_secs(20) && next <= Duration::from_secs(22), "{next:?}");
        budget.steady(second(13));
        assert_eq!(budget.wait_before_start(&settings, second(13)), Duration::ZERO);
    }

    #[test]
    fn a_person_clears_what_was_used() {
        let settings = HealSettings::default();
        let mut budget = Budget::default();
        for n in 0..3 {
            budget.spend(start(second(n)));
        }
        budget.clear(second(4));
        assert_eq!(budget.left(BudgetKind::Starts, &settings, second(4)), Some(3));
        assert_eq!(budget.wait_before_start(&settings, second(4)), Duration::ZERO);
    }
}
