//! Why a child ended, in words: its signal or exit code, the call that was refused, its memory, its last line.

use std::process::ExitStatus;

use super::last_words::LastWords;
use crate::plugin::sandbox::{self, MEMORY_MAX};

/// So little left is none: allocators ask for as much at once.
const NO_MEMORY_LEFT: u64 = 2 * 1024 * 1024;

/// `SIGSEGV`, `exit code 3`, and what else is known of it.
pub(super) fn of_end(status: ExitStatus, words: Option<LastWords>, last_line: Option<&str>) -> String {
    let how = sandbox::end_name(status);
    let mut reason = match words {
        Some(words) if words.call >= 0 => {
            format!("{how}: it called {}, and a plugin may only compute", sandbox::call_name(words.call))
        }
        Some(words) if words.memory_left < NO_MEMORY_LEFT => {
            format!("over its {} MiB of memory, then {how}", MEMORY_MAX >> 20)
        }
        _ => how,
    };
    if let Some(line) = last_line {
        reason.push_str(": ");
        reason.push_str(line);
    }
    reason
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn an_end_is_told_by_name() {
        let signal = |number| ExitStatus::from_raw(number);
        assert_eq!(of_end(signal(libc::SIGSEGV), None, None), "SIGSEGV");
        assert_eq!(of_end(signal(libc::SIGKILL), None, None), "SIGKILL");
        assert_eq!(of_end(signal(40), None, None), "signal 40");
        assert_eq!(of_end(ExitStatus::from_raw(3 << 8), None, Some("no moons")), "exit code 3: no moons");
        let words = LastWords { call: libc::SYS_openat as i32, memory_left: u64::MAX };
        assert_eq!(
            of_end(signal(libc::SIGSYS), Some(words), None),
            "SIGSYS: it called openat, and a plugin may only compute"
        );
        let words = LastWords { call: 9_999, memory_left: u64::MAX };
        assert!(of_end(signal(libc::SIGSYS), Some(words), None).contains("it called system call 9999"));
        let words = LastWords { call: -1, memory_left: 4096 };
        assert_eq!(of_end(signal(libc::SIGABRT), Some(words), None), "over its 64 MiB of memory, then SIGABRT");
    }
}
