//! When to look next, as a pure function of seed and count; and how many looks may go on at a time.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Between the first looks of two targets: together they would open all connections at the same moment.
const STAGGER: Duration = Duration::from_millis(20);
/// Looks of all targets begin at multiples of this part of the interval, and of no more than `RASTER_MAX`: those that
/// fall together share what they read of the system and wake the machine once.
const RASTERS: u32 = 50;
const RASTER_MAX: Duration = Duration::from_millis(250);
/// Looks at a time, of all targets.
pub const DEFAULT_AT_ONCE: usize = 32;

/// The times of one target's looks. Two schedules of the same seed give the same times.
#[derive(Debug, Clone)]
pub struct Schedule {
    interval: Duration,
    seed: u64,
    looks: u64,
}

impl Schedule {
    /// `seed`: another one per target, so that targets with the same interval drift apart.
    pub fn new(interval: Duration, seed: u64) -> Schedule {
        Schedule { interval, seed, looks: 0 }
    }

    /// How long after the start the first look of the `index`th of `count` targets is due: one soon after the other,
    /// all within one interval.
    pub fn first(&self, index: usize, count: usize) -> Duration {
        let count = u32::try_from(count.max(1)).unwrap_or(u32::MAX);
        let index = u32::try_from(index).unwrap_or(u32::MAX).min(count - 1);
        STAGGER.min(self.interval / count) * index
    }

    /// When the look after the one that began at `began` is due: the interval, give or take a tenth, on the raster.
    pub fn next(&mut self, began: Duration) -> Duration {
        self.looks += 1;
        let raster = (self.interval / RASTERS).min(RASTER_MAX).as_nanos().max(1);
        let earliest = (began + self.interval.mul_f64(0.9)).as_nanos().div_ceil(raster);
        let latest = (began + self.interval.mul_f64(1.1)).as_nanos() / raster;
        let random = u128::from(mix(self.seed ^ mix(self.looks)));
        let due = earliest + random % (latest.saturating_sub(earliest) + 1);
        Duration::from_nanos(u64::try_from(due * raster).unwrap_or(u64::MAX))
    }
}

/// SplitMix64's finaliser: every bit of the input changes about half of the output's.
fn mix(mut n: u64) -> u64 {
    n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// Bounds how many looks go on at a time. Clones share the bound.
#[derive(Debug, Clone)]
pub struct AtOnce {
    slots: Arc<Semaphore>,
}

/// A look's place; free again when dropped.
#[derive(Debug)]
pub struct Slot {
    /// `None` only if the semaphore were closed, which nobody does.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Default for AtOnce {
    fn default() -> AtOnce {
        AtOnce::new(DEFAULT_AT_ONCE)
    }
}

impl AtOnce {
    /// At least one.
    pub fn new(limit: usize) -> AtOnce {
        AtOnce { slots: Arc::new(Semaphore::new(limit.clamp(1, Semaphore::MAX_PERMITS))) }
    }

    /// Waits for a place, first come, first served.
    pub async fn enter(&self) -> Slot {
        Slot { _permit: self.slots.clone().acquire_owned().await.ok() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    #[test]
    fn looks_keep_the_interval_give_or_take_a_tenth_and_spread_over_it() {
        let mut schedule = Schedule::new(INTERVAL, 7);
        let mut now = Duration::ZERO;
        let gaps: Vec<Duration> = (0..1000)
            .map(|_| {
                let due = schedule.next(now);
                let gap = due - now;
                now = due;
                gap
            })
            .collect();
        let (min, max) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
        assert!(*min >= INTERVAL.mul_f64(0.9) && *min < INTERVAL.mul_f64(0.91), "{min:?}");
        assert!(*max <= INTERVAL.mul_f64(1.1) && *max > INTERVAL.mul_f64(1.09), "{max:?}");
        let mean = now / 1000;
        assert!(mean > INTERVAL.mul_f64(0.99) && mean < INTERVAL.mul_f64(1.01), "{mean:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_times_and_another_seed_others() {
        let times = |seed| {
            let mut schedule = Schedule::new(INTERVAL, seed);
            (0..10).map(|_| schedule.next(Duration::ZERO)).collect::<Vec<_>>()
        };
        assert_eq!(times(1), times(1));
        assert_ne!(times(1), times(2));
    }

    #[test]
    fn looks_of_different_targets_fall_together() {
        let times = |seed| {
            let mut schedule = Schedule::new(INTERVAL, seed);
            let began = Duration::from_nanos(123_456_789 * seed);
            (0..200).map(|_| schedule.next(began)).collect::<std::collections::BTreeSet<_>>()
        };
        let all: std::collections::BTreeSet<_> = (1..20).flat_map(times).collect();
        assert!(all.iter().all(|due| due.as_millis() % 250 == 0 && due.subsec_nanos() % 1_000_000 == 0), "{all:?}");
    }

    #[test]
    fn intervals_of_any_length_have_a_next_look_within_a_tenth() {
        for interval in
            [Duration::from_nanos(1), Duration::from_millis(1), Duration::from_secs(1), Duration::from_secs(86_400)]
        {
            let mut schedule = Schedule::new(interval, 3);
            for began in [Duration::ZERO, Duration::from_micros(1_234_567), Duration::from_secs(40_000_000)] {
                let gap = schedule.next(began) - began;
                assert!(gap >= interval.mul_f64(0.9) && gap <= interval.mul_f64(1.1), "{interval:?}: {gap:?}");
            }
        }
    }

    #[test]
    fn first_looks_come_one_by_one_and_soon() {
        let schedule = Schedule::new(INTERVAL, 1);
        let five: Vec<_> = (0..5).map(|n| schedule.first(n, 5).as_millis()).collect();
        assert_eq!(five, [0, 20, 40, 60, 80]);
        assert!(schedule.first(9_999, 10_000) < INTERVAL);
        assert_eq!(schedule.first(0, 0), Duration::ZERO);
    }

    #[tokio::test]
    async fn no_more_looks_than_places_go_on_at_a_time() {
        let at_once = AtOnce::new(2);
        let first = at_once.enter().await;
        let _second = at_once.enter().await;
        let mut third = std::pin::pin!(at_once.enter());
        // Polled by hand, so that no time passes.
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(third.as_mut().poll(&mut context).is_pending());
        drop(first);
        assert!(third.as_mut().poll(&mut context).is_ready());
    }
}
