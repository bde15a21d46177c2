//! Calls into a plugin that have begun and not come back, for who guards against one that never does.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

static UNDER_WAY: Mutex<BTreeMap<u64, (&'static str, Instant)>> = Mutex::new(BTreeMap::new());

fn under_way() -> MutexGuard<'static, BTreeMap<u64, (&'static str, Instant)>> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs one call of a function of the plugin's table.
pub(super) fn call<T>(function: &'static str, run: impl FnOnce() -> T) -> T {
    let number = {
        let mut calls = under_way();
        let number = calls.last_key_value().map_or(0, |(last, _)| last + 1);
        calls.insert(number, (function, Instant::now()));
        number
    };
    let done = run();
    under_way().remove(&number);
    done
}

/// The function of the plugin's table whose call began before so long and has not come back, if there is one.
pub fn stuck(longer_than: Duration) -> Option<&'static str> {
    under_way().values().find(|(_, begun)| begun.elapsed() > longer_than).map(|(function, _)| *function)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_not_come_back_is_stuck() {
        let name = "only for this test";
        let seen = call(name, || {
            std::thread::sleep(Duration::from_millis(2));
            stuck(Duration::from_millis(1))
        });
        // Others' calls may be under way, too.
        assert!(seen.is_some());
        assert!(under_way().values().all(|(function, _)| *function != name));
    }
}
