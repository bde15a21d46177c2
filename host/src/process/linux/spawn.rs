//! What a started server must not share with us: the session, and files that we have open.

use std::{os::unix::process::CommandExt, process::Command};

/// A session of its own (no terminal's signal reaches it, our end neither), and no file of ours beyond the three that
/// it is given.
pub fn detach(command: &mut Command) {
    // SAFETY: between fork and exec only calls that are safe in a signal handler may be made: these two are plain
    // system calls, and nothing is allocated or locked.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            // Marked, not closed: the standard library still needs its pipe for the error of exec. Rust opens its own
            // files this way already; this is for those of C libraries and of who started us. Kernels before 5.11
            // refuse it, then those few stay open.
            libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            Ok(())
        });
    }
}
