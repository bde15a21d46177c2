//! The two seccomp filters. What they do not allow raises SIGSYS, and the child dies of it; system calls of another
//! architecture (32-bit ones) end it at once.
//!
//! The first is the border to hostile code, which runs from a library's initialisers on and could keep the second from
//! being raised: it would gain to read shared libraries (Landlock), on an old kernel whatever the user can read.

use std::{collections::BTreeMap, io, os::fd::RawFd};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Is, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// The child's pipes to the host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pipes {
    pub orders: RawFd,
    pub answers: RawFd,
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// While the library is opened: the loader reads and maps files.
///
/// Nothing here writes, but to our pipe and standard error; nothing sends, starts or signals.
pub(super) fn opening(pipes: Pipes) -> io::Result<BpfProgram> {
    let mut rules = computing(pipes)?;
    for call in [libc::SYS_read, libc::SYS_pread64, libc::SYS_close, libc::SYS_lseek, libc::SYS_fstat] {
        rules.insert(call, vec![]);
    }
    for call in [
        libc::SYS_newfstatat,
        libc::SYS_statx,
        libc::SYS_faccessat,
        libc::SYS_faccessat2,
        libc::SYS_readlinkat,
        libc::SYS_getcwd,
    ] {
        rules.insert(call, vec![]);
    }
    // Read-only, and neither made nor emptied.
    let forbidden = (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | (libc::O_TMPFILE & !libc::O_DIRECTORY)) as u64;
    let read_only = |argument| all(vec![arg(argument, Is::MaskedEq(forbidden), libc::O_RDONLY as u64)?]);
    rules.insert(libc::SYS_openat, vec![read_only(2)?]);
    #[cfg(target_arch = "x86_64")]
    {
        rules.insert(libc::SYS_open, vec![read_only(1)?]);
        for call in [libc::SYS_stat, libc::SYS_lstat, libc::SYS_access, libc::SYS_readlink] {
            rules.insert(call, vec![]);
        }
    }
    // Code is mapped, and made read-only once it is bound.
    rules.insert(libc::SYS_mmap, vec![all(vec![counted()?])?]);
    rules.insert(libc::SYS_mprotect, vec![]);
    // The second filter is still to come. No flags: one of them hands refused calls to whoever listens.
    let plain = vec![arg(0, Is::Eq, u64::from(libc::SECCOMP_SET_MODE_FILTER))?, arg(1, Is::Eq, 0)?];
    rules.insert(libc::SYS_seccomp, vec![all(plain)?]);
    let no_new_privileges = arg(0, Is::Eq, libc::PR_SET_NO_NEW_PRIVS as u64)?;
    rules.insert(libc::SYS_prctl, vec![all(vec![no_new_privileges])?]);
    compiled(rules)
}

/// While the plugin runs: memory, and one pipe to read from and one to write to.
pub(super) fn running(pipes: Pipes) -> io::Result<BpfProgram> {
    let mut rules = computing(pipes)?;
    rules.insert(libc::SYS_read, vec![all(vec![arg(0, Is::Eq, pipes.orders as u64)?])?]);
    // What the signal handler reads of this process's memory; nothing else was left open.
    rules.insert(libc::SYS_pread64, vec![]);
    // Memory of no file, and no new code.
    let no_code = |argument| arg(argument, Is::MaskedEq(libc::PROT_EXEC as u64), 0);
    let of_no_file = arg(3, Is::MaskedEq(libc::MAP_ANONYMOUS as u64), libc::MAP_ANONYMOUS as u64)?;
    rules.insert(libc::SYS_mmap, vec![all(vec![no_code(2)?, of_no_file, counted()?])?]);
    rules.insert(libc::SYS_mprotect, vec![all(vec![no_code(2)?])?]);
    compiled(rules)
}

/// What both allow.
fn computing(pipes: Pipes) -> io::Result<Rules> {
    let mut rules: Rules = [
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_sched_yield,
        // A plugin has no use for it; the hash maps of Rust, Go and others do.
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_clock_getres,
        libc::SYS_gettimeofday,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ]
    .into_iter()
    .map(|call| (call, vec![]))
    .collect();
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_time, vec![]);
    let to = |fd: RawFd| all(vec![arg(0, Is::Eq, fd as u64)?]);
    let outputs = || Ok::<_, io::Error>(vec![to(pipes.answers)?, to(libc::STDOUT_FILENO)?, to(libc::STDERR_FILENO)?]);
    rules.insert(libc::SYS_write, outputs()?);
    rules.insert(libc::SYS_writev, outputs()?);
    // A signal to itself: how `abort` ends.
    let own = u64::from(std::process::id());
    rules.insert(libc::SYS_tgkill, vec![all(vec![arg(0, Is::Eq, own)?])?]);
    Ok(rules)
}

/// What the limit of memory counts: private mappings, with flags that change nothing of that. Shared memory and stacks
/// that grow (`MAP_GROWSDOWN`) are not counted, and huge pages are taken from what the whole machine shares.
fn counted() -> io::Result<SeccompCondition> {
    const HARMLESS: libc::c_int = libc::MAP_ANONYMOUS
        | libc::MAP_FIXED
        | libc::MAP_FIXED_NOREPLACE
        | libc::MAP_NORESERVE
        | libc::MAP_POPULATE
        | libc::MAP_NONBLOCK
        | libc::MAP_STACK
        | libc::MAP_DENYWRITE
        | libc::MAP_EXECUTABLE;
    arg(3, Is::MaskedEq(u64::from(!HARMLESS.cast_unsigned())), libc::MAP_PRIVATE as u64)
}

/// All arguments that the kernel takes as 32 bits are compared as such: it ignores the others.
fn arg(index: u8, is: Is, value: u64) -> io::Result<SeccompCondition> {
    SeccompCondition::new(index, Length::Dword, is, value).map_err(io::Error::other)
}

fn all(conditions: Vec<SeccompCondition>) -> io::Result<SeccompRule> {
    SeccompRule::new(conditions).map_err(io::Error::other)
}

fn compiled(rules: Rules) -> io::Result<BpfProgram> {
    let this = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Trap, SeccompAction::Allow, this);
    filter.and_then(TryInto::try_into).map_err(io::Error::other)
}

/// For this thread, which is the only one, for good.
pub(super) fn apply(program: BpfProgram) -> io::Result<()> {
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_filters_compile_for_this_machine() {
        let pipes = Pipes { orders: 3, answers: 4 };
        assert!(!opening(pipes).unwrap().is_empty());
        assert!(!running(pipes).unwrap().is_empty());
    }

    #[test]
    fn while_a_plugin_runs_nothing_opens_sends_starts_or_signals() {
        let pipes = Pipes { orders: 3, answers: 4 };
        let allowed = computing(pipes).unwrap();
        for call in [
            libc::SYS_openat,
            libc::SYS_socket,
            libc::SYS_clone,
            libc::SYS_clone3,
            libc::SYS_execve,
            libc::SYS_kill,
            libc::SYS_ptrace,
            libc::SYS_io_uring_setup,
            libc::SYS_rt_sigaction,
            libc::SYS_nanosleep,
            libc::SYS_seccomp,
        ] {
            assert!(!allowed.contains_key(&call), "{call}");
        }
    }
}
