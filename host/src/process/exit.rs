//! How a process ended, told as an event.

use std::fmt;

use super::{imp, start};
use crate::{health::signals::ProcessId, signal_name::signal_name};

/// How a process ended. Both `None`: it ended, and how is not known (only of our own children it is).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exit {
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exited with code {code}"),
            (None, Some(signal)) => write!(f, "ended by {}", signal_name(signal)),
            (None, None) => f.write_str("ended, how is not known"),
        }
    }
}

/// Waits for the end of a process, a child of ours or not; returns at once if it is gone already. Must be called inside
/// a Tokio runtime. Cancelling it leaves nothing behind.
pub async fn exited(id: ProcessId) -> Exit {
    match start::ended_child(id) {
        Some(child) => child.await,
        None => imp::exited(id).await,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::process::bystanders::{Child, out_of_reach};

    #[tokio::test]
    async fn the_end_of_a_process_that_is_not_our_child_is_an_event() {
        let orphan = out_of_reach("exec >&-; exec sleep 1000");
        let waiting = tokio::spawn(exited(orphan.id));
        crate::process::signal(orphan.id, crate::process::Signal::Kill).unwrap();
        assert_eq!(waiting.await.unwrap(), Exit::default());
        assert!(!crate::process::is_alive(orphan.id));
    }

    #[tokio::test]
    async fn what_is_gone_or_was_never_this_process_ends_at_once() {
        let child = Child::shell("exec sleep 1000");
        let reused = ProcessId { start: child.id.start - 1, ..child.id };
        assert_eq!(exited(reused).await, Exit::default());
        assert!(crate::process::is_alive(child.id));
        assert_eq!(exited(ProcessId { pid: u32::MAX, start: 1 }).await, Exit::default());
    }

    #[tokio::test]
    async fn a_zombie_is_dead() {
        let child = Child::shell("exit 0");
        exited(child.id).await;
        // Its parent (this test) has not reaped it.
        assert!(std::path::Path::new(&format!("/proc/{}", child.id.pid)).exists());
        assert!(!crate::process::is_alive(child.id));
    }

    #[test]
    fn ends_are_told_in_words() {
        assert_eq!(Exit { code: Some(0), signal: None }.to_string(), "exited with code 0");
        assert_eq!(Exit { code: None, signal: Some(9) }.to_string(), "ended by SIGKILL");
    }
}
