//! A policy on a thread of its own, watched: one that does not come back in time is given up with its thread.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

use super::{PolicyError, PolicyRun, PolicySources, error::Budget, step::Step};
use crate::incident::act::Outcome;

/// The machine stops itself long before this; whatever does not is given up.
const PATIENCE: Duration = Duration::from_secs(2);
/// The Luau parser may nest deep.
const STACK: usize = 8 << 20;

/// [`PolicyRun::resume`] on a thread of its own. `None` instead of the run: it did not come back within 2 s, and is
/// lost with its thread.
pub async fn resume_watched(run: PolicyRun, incident: Value, outcome: Option<Outcome>) -> (Option<PolicyRun>, Step) {
    let resumed = watched(PATIENCE, move || {
        let mut run = run;
        let step = run.resume(&incident, outcome.as_ref());
        (run, step)
    });
    match resumed.await {
        Ok((run, step)) => (Some(run), step),
        Err(error) => (None, Step::Failed { error }),
    }
}

/// [`PolicyRun::start`] on a thread of its own.
///
/// # Errors
/// Those of `start`; one that did not come back within 2 s.
pub async fn start_watched(sources: PolicySources, settings: Value) -> Result<PolicyRun, PolicyError> {
    watched(PATIENCE, move || PolicyRun::start(&sources, settings)).await.map_err(PolicyError::Spent)?
}

/// Runs `work` on a thread that nobody waits for longer than `patience`: unlike a blocking task of the runtime, it
/// does not hold up the monitor's own end.
async fn watched<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (done, result) = oneshot::channel();
    let thread = std::thread::Builder::new().name("policy".into()).stack_size(STACK).spawn(move || {
        let _ = done.send(work());
    });
    if let Err(error) = thread {
        return Err(format!("no thread for the policy: {error}"));
    }
    match tokio::time::timeout(patience, result).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) => Err("the policy's thread panicked".into()),
        Err(_) => Err(format!("budget: {} (did not come back within {} s)", Budget::Time, patience.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_that_does_not_come_back_is_given_up() {
        let (_hold, wait) = std::sync::mpsc::channel::<()>();
        let lost = watched(Duration::from_millis(20), move || wait.recv().is_ok()).await;
        assert_eq!(lost, Err("budget: time (did not come back within 0 s)".into()));
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let lost = watched(PATIENCE, || -> () { std::panic::resume_unwind(Box::new("bug")) }).await;
        assert_eq!(lost, Err("the policy's thread panicked".into()));
    }
}
