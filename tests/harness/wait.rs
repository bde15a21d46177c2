//! Waiting for a condition, with a deadline and words for what did not come.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

/// Between two looks at something that announces nothing.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// What a look found: the thing waited for, or what is there instead.
pub type Look<T> = Result<T, String>;

/// Looks until it is there; fails the test with the last thing seen.
#[track_caller]
pub fn wait_until<T>(within: Duration, what: &str, mut look: impl FnMut() -> Look<T>) -> T {
    wait_with(within, what, &mut look, |left| std::thread::sleep(left.min(BETWEEN_LOOKS)))
}

/// As [`wait_until`], with a way to wait between looks that is told how much time is left.
#[track_caller]
pub fn wait_with<T>(
    within: Duration,
    what: &str,
    look: &mut dyn FnMut() -> Look<T>,
    mut pause: impl FnMut(Duration),
) -> T {
    let end = Instant::now() + within;
    loop {
        match look() {
            Ok(found) => return found,
            Err(instead) => {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    panic!("waited {within:?} for {what}; last seen: {instead}");
                }
                pause(left);
            }
        }
    }
}

/// Is it so? With what was seen, for the message.
pub fn is(condition: bool, seen: impl Debug) -> Look<()> {
    if condition { Ok(()) } else { Err(format!("{seen:?}")) }
}
