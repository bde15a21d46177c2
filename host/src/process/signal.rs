//! Asking a process to end, ending it, letting it go on.

use std::io;

use super::imp;
use crate::health::signals::ProcessId;

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// A polite request to end (SIGTERM; CTRL_BREAK on Windows).
    Terminate,
    /// The end, without a chance to save anything (SIGKILL; TerminateProcess).
    Kill,
    /// Goes on after a stop (SIGCONT).
    Continue,
    /// Stands still and cannot start children meanwhile (SIGSTOP).
    Freeze,
}

/// Why nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    #[error("the process has ended already")]
    Gone,
    #[error("process {pid} belongs to another user: ai-monitor may not signal it; run ai-monitor as that user")]
    NotPermitted { pid: u32 },
    #[error("process {pid} cannot be signalled: {error}")]
    Other { pid: u32, error: io::Error },
}

/// Sends it to exactly this process: where another one has its number now, the answer is [`SignalError::Gone`].
pub fn signal(id: ProcessId, signal: Signal) -> Result<(), SignalError> {
    // Never init, never ourselves: an id that says so was made up from nothing (0) or is a mistake.
    if id.pid <= 1 || id.pid == std::process::id() {
        let error = io::Error::other("ai-monitor never signals init or itself");
        return Err(SignalError::Other { pid: id.pid, error });
    }
    imp::signal(id, signal)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::{
        health::signals::RunState,
        process::{bystanders::Child, exited, is_alive, state},
    };

    #[tokio::test]
    async fn a_number_used_again_is_not_signalled() {
        let child = Child::shell("exec sleep 1000");
        let before = ProcessId { start: child.id.start - 1, ..child.id };
        assert!(matches!(signal(before, Signal::Kill), Err(SignalError::Gone)));
        assert!(is_alive(child.id));
        signal(child.id, Signal::Kill).unwrap();
        exited(child.id).await;
        assert!(matches!(signal(child.id, Signal::Kill), Err(SignalError::Gone)), "a zombie is gone");
    }

    #[test]
    fn a_stopped_process_goes_on() {
        let child = Child::shell("exec sleep 1000");
        signal(child.id, Signal::Freeze).unwrap();
        child.wait_for(RunState::Stopped);
        signal(child.id, Signal::Continue).unwrap();
        child.wait_for(RunState::Sleeping);
        assert_eq!(state(child.id), Some(RunState::Sleeping));
    }

    #[test]
    fn init_and_ourselves_are_refused() {
        let own = crate::process::own_id().unwrap();
        assert!(matches!(signal(own, Signal::Continue), Err(SignalError::Other { .. })));
        for pid in [0, 1] {
            assert!(signal(ProcessId { pid, start: 0 }, Signal::Kill).is_err());
        }
    }
}
