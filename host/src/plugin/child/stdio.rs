//! The child's pipes, out of the plugin's way: what it prints goes to standard error and harms no frame.

use std::{fs::File, io};

/// Orders and answers. Afterwards standard input is empty, and standard output is standard error.
#[cfg(unix)]
pub(super) fn take() -> io::Result<(File, File)> {
    use std::os::fd::AsFd;
    let orders = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let answers = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    #[cfg(target_os = "linux")]
    ready_to_print();
    Ok((orders, answers))
}

/// Gives the C library its buffer for standard output now: later it would ask what kind of file that is, which a
/// plugin may not, and die of a mere `printf`.
#[cfg(target_os = "linux")]
fn ready_to_print() {
    unsafe extern "C" {
        static stdout: *mut libc::FILE;
    }
    static mut BUFFER: [libc::c_char; 4096] = [0; 4096];
    // SAFETY: nothing has been printed yet, this is the only thread, and the buffer lives for ever and is used by the
    // C library alone.
    unsafe { libc::setvbuf(stdout, (&raw mut BUFFER).cast(), libc::_IOLBF, 4096) };
}

/// Orders and answers. Here a plugin that prints to standard output is out of protocol: what the C library took as its
/// output when the process began cannot be taken away from it.
#[cfg(windows)]
pub(super) fn take() -> io::Result<(File, File)> {
    use std::os::windows::io::AsHandle;
    let orders = File::from(io::stdin().as_handle().try_clone_to_owned()?);
    let answers = File::from(io::stdout().as_handle().try_clone_to_owned()?);
    Ok((orders, answers))
}
