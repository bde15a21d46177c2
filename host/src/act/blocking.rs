//! Work that waits for disks: off the runtime's threads, and for a limited time. A network share that went away answers
//! no call, and none of the calls that wait for it can be broken off.

use std::time::Duration;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfinished {
    #[error(
        "{what} took longer than {} s: a disk or a network share does not answer (`df` stops at the one that does not)",
        limit.as_secs_f64()
    )]
    Late { what: &'static str, limit: Duration },
    #[error("{what} broke off: {source}")]
    Broken {
        what: &'static str,
        #[source]
        source: tokio::task::JoinError,
    },
}

/// Does `work`, which `what` names in words, and waits for it so long at most.
///
/// # Errors
/// It is late, or it panicked. What is late goes on by itself, and nobody hears of its end: work that changes something
/// must look at the time itself.
pub(super) async fn blocking<T: Send + 'static>(
    limit: Duration,
    what: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unfinished> {
    match tokio::time::timeout(limit, tokio::task::spawn_blocking(work)).await {
        Ok(done) => done.map_err(|source| Unfinished::Broken { what, source }),
        Err(_) => Err(Unfinished::Late { what, limit }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_is_done_in_time_is_handed_over() {
        let done = blocking(Duration::from_secs(60), "counting", || 1 + 1).await;
        assert!(matches!(done, Ok(2)), "{done:?}");
    }

    #[tokio::test]
    async fn what_never_ends_is_said_and_not_waited_for() {
        let (end, ended) = mpsc::channel::<()>();
        let late = blocking(Duration::from_millis(10), "reading a share", move || ended.recv()).await;
        let said = late.expect_err("nobody lets it end").to_string();
        assert!(said.starts_with("reading a share took longer than 0.01 s: "), "{said}");
        drop(end);
    }

    #[tokio::test]
    async fn a_panic_of_the_work_ends_the_work_alone() {
        let broken = blocking::<()>(Duration::from_secs(60), "counting", || panic!("one too many")).await;
        let said = broken.expect_err("it panicked").to_string();
        assert!(said.starts_with("counting broke off: ") && said.contains("panic"), "{said}");
    }
}
