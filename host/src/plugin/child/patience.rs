//! How long a call may take: not for ever, and not less because the machine has no time for the child.

use std::{pin::pin, time::Duration};

use tokio::time::timeout;

use super::stderr::Printed;

/// A look at a child that is late takes this long.
const LOOK: Duration = Duration::from_millis(250);
/// A child that got no time is waited for this much longer at most.
const LOOKS: u32 = 20;

/// The most that [`within`] waits beyond its limit.
pub(super) const LONGER: Duration = LOOK.saturating_mul(LOOKS);

/// The future's output, or `None` when it took longer than `limit`. While the child gets less than half of a core, and is
/// ready to run or waits for us to take what it `printed`, what is late is the machine or we: it is waited for a while
/// longer.
pub(super) async fn within<F: Future>(
    limit: Duration,
    process: Option<u32>,
    printed: &Printed,
    future: F,
) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut known = printed.bytes();
    if let Ok(output) = timeout(limit, &mut future).await {
        return Some(output);
    }
    for _ in 0..LOOKS {
        let before = process.and_then(seen)?;
        if !before.ready && printed.bytes() == known {
            return None;
        }
        known = printed.bytes();
        if let Ok(output) = timeout(LOOK, &mut future).await {
            return Some(output);
        }
        let after = process.and_then(seen)?;
        if after.used.saturating_sub(before.used) >= LOOK / 2 {
            return None;
        }
    }
    None
}

/// A process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only there a process is looked at"))]
struct Seen {
    /// It is ready to run, or reads from a disk; else it waits for something.
    ready: bool,
    /// Its processor time so far.
    used: Duration,
}

#[cfg(target_os = "linux")]
fn seen(process: u32) -> Option<Seen> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // After the name, which may hold anything: state is field 3, user and system ticks are 14 and 15.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ready = matches!(*fields.first()?, "R" | "D");
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let per_second = rustix::param::clock_ticks_per_second();
    Some(Seen { ready, used: Duration::from_millis(ticks * 1000 / per_second.max(1)) })
}

/// Not looked at here: the limit holds as it is.
#[cfg(not(target_os = "linux"))]
fn seen(_process: u32) -> Option<Seen> {
    None
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    use std::future::pending;
    use std::future::ready;

    use super::*;

    /// A process that waits.
    #[cfg(target_os = "linux")]
    fn sleeper() -> std::process::Child {
        let sleeper = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        while std::fs::read_to_string(format!("/proc/{}/stat", sleeper.id())).is_ok_and(|stat| !stat.contains(") S ")) {
            std::thread::yield_now();
        }
        sleeper
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn who_waits_for_us_to_take_what_it_prints_is_given_time() {
        let mut sleeper = sleeper();
        let printed = Printed::default();
        let mut looks = 0;
        // It is asked at each look, and has printed more at each.
        let prints = std::future::poll_fn(|_| {
            printed.add(1);
            looks += 1;
            if looks == 6 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        });
        assert_eq!(within(Duration::from_millis(1), Some(sleeper.id()), &printed, prints).await, Some(()));
        let silent = within(Duration::from_millis(1), Some(sleeper.id()), &printed, pending::<()>());
        assert_eq!(silent.await, None, "what it printed before is no reason");
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }

    #[tokio::test]
    async fn what_is_ready_is_not_waited_for() {
        assert_eq!(within(Duration::ZERO, None, &Printed::default(), ready(7)).await, Some(7));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_process_that_waits_for_something_is_given_no_more_time() {
        let mut sleeper = sleeper();
        let begun = std::time::Instant::now();
        for process in [Some(sleeper.id()), None] {
            assert_eq!(within(Duration::from_millis(1), process, &Printed::default(), pending::<()>()).await, None);
        }
        assert!(begun.elapsed() < LONGER);
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_time_of_a_process_that_runs_is_read() {
        assert!(seen(std::process::id()).is_some_and(|seen| seen.used < Duration::from_secs(3600)));
        assert_eq!(seen(u32::MAX), None);
        let mut sleeper = sleeper();
        assert_eq!(seen(sleeper.id()).map(|seen| seen.ready), Some(false), "it waits");
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }
}
