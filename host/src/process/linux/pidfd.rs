//! A process held by a file descriptor: its end is an event, and a signal cannot reach another one.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal},
};
use tokio::io::{Interest, unix::AsyncFd};

use super::proc::moment;
use crate::{
    health::signals::{ProcessId, RunState},
    process::{Exit, Signal, SignalError, is_alive},
};

/// How often is asked where the kernel has no pidfd (before 5.3) or a sandbox forbids it.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// The process, if it is still the one that is meant. The start is compared after opening: what is open then is that
/// process for good.
fn open(id: ProcessId) -> Result<OwnedFd, Errno> {
    let pid = i32::try_from(id.pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    let fd = pidfd_open(pid, PidfdFlags::NONBLOCK).or_else(|error| match error {
        // NONBLOCK came with 5.10.
        Errno::INVAL => pidfd_open(pid, PidfdFlags::empty()),
        other => Err(other),
    })?;
    match moment(id.pid) {
        Some((now, state)) if now == id && state != RunState::Zombie => Ok(fd),
        _ => Err(Errno::SRCH),
    }
}

/// Returns when the process has ended; at once if it has.
pub async fn exited(id: ProcessId) -> Exit {
    wait(id).await;
    // How it ended is only told to its parent.
    Exit::default()
}

async fn wait(id: ProcessId) {
    match open(id) {
        Ok(fd) => {
            // SAFETY: an `OwnedFd` names the same open file until it is dropped, and the `AsyncFd` owns it.
            let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
            if let Ok(fd) = registered
                && fd.readable().await.is_ok()
            {
                return;
            }
        }
        Err(Errno::SRCH) => return,
        Err(_) => {}
    }
    while is_alive(id) {
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Sends it, if the process is still the one that is meant.
pub fn signal(id: ProcessId, signal: Signal) -> Result<(), SignalError> {
    let number = match signal {
        Signal::Terminate => rustix::process::Signal::TERM,
        Signal::Kill => rustix::process::Signal::KILL,
        Signal::Continue => rustix::process::Signal::CONT,
        Signal::Freeze => rustix::process::Signal::STOP,
    };
    let sent = match open(id) {
        Ok(fd) => pidfd_send_signal(&fd, number),
        Err(Errno::NOSYS | Errno::PERM) if is_alive(id) => {
            let pid = i32::try_from(id.pid).ok().and_then(Pid::from_raw).ok_or(SignalError::Gone)?;
            rustix::process::kill_process(pid, number)
        }
        Err(error) => Err(error),
    };
    match sent {
        Ok(()) => Ok(()),
        Err(Errno::SRCH) => Err(SignalError::Gone),
        Err(Errno::PERM | Errno::ACCESS) => Err(SignalError::NotPermitted { pid: id.pid }),
        Err(error) => Err(SignalError::Other { pid: id.pid, error: io::Error::from(error) }),
    }
}
