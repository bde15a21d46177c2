//! How long a call may take: not for ever, and not less because the machine has no time for the child.

use std::{pin::pin, time::Duration};

use tokio::time::timeout;

/// A look at a child that is late takes this long.
const LOOK: Duration = Duration::from_millis(250);
/// A child that got no time is waited for this much longer at most.
const LOOKS: u32 = 20;

/// The most that [`within`] waits beyond its limit.
pub(super) const LONGER: Duration = LOOK.saturating_mul(LOOKS);

/// The future's output, or `None` when it took longer than `limit`. While the child is ready to run and gets less
/// than half of a core, what is late is the machine, and it is waited for a while longer.
pub(super) async fn within<F: Future>(limit: Duration, process: Option<u32>, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    if let Ok(output) = timeout(limit, &mut future).await {
        return Some(output);
    }
    for _ in 0..LOOKS {
        let before = process.and_then(ready_and_used)?;
        if let Ok(output) = timeout(LOOK, &mut future).await {
            return Some(output);
        }
        let after = process.and_then(ready_and_used)?;
        if after.saturating_sub(before) >= LOOK / 2 {
            return None;
        }
    }
    None
}

/// The processor time of a process that is ready to run or reads from a disk; `None` if it waits for something else.
#[cfg(target_os = "linux")]
fn ready_and_used(process: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // After the name, which may hold anything: state is field 3, user and system ticks are 14 and 15.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    if !matches!(*fields.first()?, "R" | "D") {
        return None;
    }
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let per_second = rustix::param::clock_ticks_per_second();
    Some(Duration::from_millis(ticks * 1000 / per_second.max(1)))
}

/// Not looked at here: the limit holds as it is.
#[cfg(not(target_os = "linux"))]
fn ready_and_used(_process: u32) -> Option<Duration> {
    None
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn what_is_ready_is_not_waited_for() {
        assert_eq!(within(Duration::ZERO, None, ready(7)).await, Some(7));
    }

    #[tokio::test]
    async fn a_process_that_waits_for_something_is_given_no_more_time() {
        let begun = std::time::Instant::now();
        assert_eq!(within(Duration::from_millis(1), None, pending::<()>()).await, None);
        assert!(begun.elapsed() < LOOK * LOOKS);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_time_of_a_process_that_runs_is_read() {
        assert!(ready_and_used(std::process::id()).is_none_or(|used| used < Duration::from_secs(3600)));
        assert_eq!(ready_and_used(u32::MAX), None);
        let sleeper = std::process::Command::new("sleep").arg("60").spawn();
        let Ok(mut sleeper) = sleeper else { return };
        while std::fs::read_to_string(format!("/proc/{}/stat", sleeper.id())).is_ok_and(|stat| !stat.contains(") S ")) {
            std::thread::yield_now();
        }
        assert_eq!(ready_and_used(sleeper.id()), None, "it waits");
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }
}
