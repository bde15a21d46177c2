//! The child's signal handler: tells the host of what it dies, then dies of it.
//!
//! It runs in the midst of anything, so it uses system calls and its own stack alone.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, IntoRawFd, RawFd},
    sync::atomic::{AtomicI32, AtomicU64, Ordering},
};

use crate::plugin::child::LastWords;

/// Where to write.
static ANSWERS: AtomicI32 = AtomicI32::new(-1);
/// `/proc/self/statm`, opened while that was allowed.
static STATM: AtomicI32 = AtomicI32::new(-1);
/// The most memory of data, in bytes.
static LIMIT: AtomicU64 = AtomicU64::new(u64::MAX);

/// How much memory this process uses.
pub(super) struct Memory(File);

impl Memory {
    pub(super) fn open() -> Option<Memory> {
        File::open("/proc/self/statm").ok().map(Memory)
    }

    /// Bytes of data, as the limit counts them.
    pub(super) fn used(&self) -> Option<u64> {
        data_bytes(self.0.as_raw_fd())
    }
}

/// Handles the signals that plugins die of. `memory` stays open for good.
pub(super) fn listen(answers: RawFd, memory: Memory, limit: u64) -> io::Result<()> {
    ANSWERS.store(answers, Ordering::Relaxed);
    STATM.store(memory.0.into_raw_fd(), Ordering::Relaxed);
    LIMIT.store(limit, Ordering::Relaxed);
    for signal in [libc::SIGSYS, libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT] {
        // SAFETY: all-zero is a valid `sigaction`; its fields are set below.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler as *const () as usize;
        // On the stack that the standard library gave this thread for signals, for its own may be used up. Once only,
        // and not held back meanwhile: the second time it kills.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESETHAND | libc::SA_NODEFER;
        // SAFETY: the handler keeps to what may be called at any time.
        if unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The part of `siginfo_t` that SIGSYS fills.
#[repr(C)]
struct RefusedCall {
    signal: i32,
    errno: i32,
    code: i32,
    address: *const libc::c_void,
    call: i32,
    architecture: u32,
}

/// `si_code` of a SIGSYS that a filter raised; anybody may raise another one.
const SYS_SECCOMP: i32 = 1;

extern "C" fn handler(signal: i32, info: *const libc::siginfo_t, _context: *const libc::c_void) {
    let mut call = -1;
    if signal == libc::SIGSYS {
        // SAFETY: the kernel passes a whole `siginfo_t`, of which this is the beginning for this signal.
        let refused = unsafe { &*info.cast::<RefusedCall>() };
        if refused.code == SYS_SECCOMP {
            call = refused.call;
        }
    }
    let used = data_bytes(STATM.load(Ordering::Relaxed));
    let memory_left = used.map_or(u64::MAX, |used| LIMIT.load(Ordering::Relaxed).saturating_sub(used));
    let words = LastWords { call, memory_left }.frame();
    // SAFETY: the frame lives on this stack. If it cannot be written, the signal alone must do.
    unsafe { libc::write(ANSWERS.load(Ordering::Relaxed), words.as_ptr().cast(), words.len()) };
    // SAFETY: signals of this thread; the handler is gone, so this one ends the process.
    unsafe {
        libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), signal);
        libc::_exit(128 + signal);
    }
}

/// Field 6 of statm (data and stack, in pages) in bytes. Without allocation.
fn data_bytes(statm: RawFd) -> Option<u64> {
    let mut text = [0u8; 128];
    // SAFETY: the buffer is as long as is said.
    let read = unsafe { libc::pread(statm, text.as_mut_ptr().cast(), text.len(), 0) };
    let text = text.get(..usize::try_from(read).ok()?)?;
    let field = text.split(|byte| *byte == b' ').nth(5)?;
    let pages = field.iter().take_while(|b| b.is_ascii_digit()).fold(0u64, |n, b| n * 10 + u64::from(b - b'0'));
    // SAFETY: asks for a constant.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Some(pages * u64::try_from(page).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_this_process_is_read() {
        let memory = Memory::open().unwrap();
        let before = memory.used().unwrap();
        let block = vec![1u8; 32 << 20];
        let after = memory.used().unwrap();
        assert!(after >= before + (16 << 20), "{before} {after} {}", block[7]);
        assert_eq!(data_bytes(-1), None);
    }
}
