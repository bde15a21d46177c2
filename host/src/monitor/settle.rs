//! Looks in a row, until one decides something: after an act, and when a person asks.

use std::time::Duration;

use super::{look::Wish, target::TargetTask};
use crate::health::machine::{Again, SECOND_LOOK, Verdict};

/// So long work may show no movement yet; then it is well or suspected (health calls nothing flat before a second).
const UNMEASURED: Duration = Duration::from_secs(3);
/// So much longer than the time that proves a stall may it take until a look decides something.
const UNDECIDED: Duration = Duration::from_secs(30);

impl TargetTask {
    /// Looks until the look decides something, or a bound is reached. What `wish` asks to infer is inferred in each look.
    pub(super) async fn settle(&mut self, wish: Wish) -> Verdict {
        let mut series = Series::new(self.core.clock.now().mono, self.config.stall_after, wish.infer.is_some());
        let mut next = wish.clone();
        loop {
            let verdict = self.look(next).await;
            // Of a server whose processes are not known nothing more will show.
            let shows = !self.known.tree.is_empty();
            next = Wish { infer: wish.infer.clone(), port: false };
            match series.goes_on(&verdict, shows, self.core.clock.now().mono) {
                None | Some(Again::AtInterval) => return verdict,
                Some(Again::After(wait)) => {
                    if self.pause(wait).await {
                        return verdict;
                    }
                }
                Some(Again::Infer) => next.infer = next.infer.or_else(|| self.inference_due(true)),
            }
        }
    }

    /// Until the next look. True: the monitor ends, and it was cut short.
    async fn pause(&self, wait: Duration) -> bool {
        let mut control = self.control.clone();
        tokio::select! {
            _ = control.wait_for(|c| c.shutting_down) => true,
            () = tokio::time::sleep(wait) => false,
        }
    }
}

/// When a series of looks is over.
#[derive(Debug)]
struct Series {
    began: Duration,
    stall_after: Duration,
    /// A token is proof of its own; without one, what the first look calls movement is against the time before the act,
    /// and the act itself may be it.
    is_movement_proof: bool,
}

impl Series {
    fn new(began: Duration, stall_after: Duration, infers: bool) -> Series {
        Series { began, stall_after, is_movement_proof: infers }
    }

    /// When the next look of the series is wanted; `None`: it is over. `shows`: work would show in its processes.
    fn goes_on(&mut self, verdict: &Verdict, shows: bool, now: Duration) -> Option<Again> {
        let took = now.saturating_sub(self.began);
        let moves = verdict.moving.is_some() && self.is_movement_proof;
        self.is_movement_proof = true;
        // It has work, and nothing shows yet that the work goes on: that it answers proves nothing, for a front answers
        // on while its engine is gone.
        if verdict.is_sound() && verdict.in_flight && !moves && shows && took < UNMEASURED {
            return Some(Again::After(SECOND_LOOK));
        }
        (verdict.is_undecided() && took <= self.stall_after + UNDECIDED).then(|| verdict.again.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{fault::FaultClass, state::State};

    const T: Duration = Duration::from_secs(10);
    /// Health calls nothing flat in a shorter time.
    const SHORTEST_FLAT: Duration = Duration::from_secs(1);

    fn busy(moving: Option<&str>) -> Verdict {
        Verdict {
            state: State::Busy,
            why: String::new(),
            fault: None,
            suspect: None,
            again: Again::AtInterval,
            moving: moving.map(str::to_owned),
            in_flight: true,
        }
    }

    fn suspected(again: Again) -> Verdict {
        Verdict { suspect: Some(FaultClass::Stalled), again, ..busy(None) }
    }

    /// Looks without end at the same; how long it took until the series was over.
    fn length(mut series: Series, verdict: &Verdict, shows: bool) -> Duration {
        let mut now = Duration::ZERO;
        for _ in 0..1000 {
            match series.goes_on(verdict, shows, now) {
                Some(Again::After(wait)) => now += wait,
                _ => return now,
            }
        }
        panic!("no bound")
    }

    #[test]
    fn work_that_nothing_shows_is_looked_at_until_health_could_call_it_flat() {
        for infers in [false, true] {
            let took = length(Series::new(Duration::ZERO, T, infers), &busy(None), true);
            assert!(took > SHORTEST_FLAT && took < 2 * UNMEASURED, "{took:?}");
            assert_eq!(length(Series::new(Duration::ZERO, T, infers), &busy(None), false), Duration::ZERO);
        }
    }

    #[test]
    fn movement_in_the_first_look_proves_something_beside_a_token_alone() {
        let moving = busy(Some("slot0/1/decode"));
        assert_eq!(length(Series::new(Duration::ZERO, T, false), &moving, true), SECOND_LOOK);
        assert_eq!(length(Series::new(Duration::ZERO, T, true), &moving, true), Duration::ZERO);
    }

    #[test]
    fn what_is_suspected_is_looked_at_as_health_wants_it_up_to_a_bound() {
        let series = |infers| Series::new(Duration::ZERO, T, infers);
        for infers in [false, true] {
            let verdict = suspected(Again::After(Duration::from_secs(4)));
            let took = length(series(infers), &verdict, true);
            assert!(took > T + UNDECIDED && took < T + 2 * UNDECIDED, "{took:?}");
            let infer = suspected(Again::Infer);
            assert_eq!(series(infers).goes_on(&infer, true, Duration::ZERO), Some(Again::Infer));
            let decided = Verdict { suspect: None, in_flight: false, ..infer };
            assert_eq!(series(infers).goes_on(&decided, true, Duration::ZERO), None);
        }
    }
}
