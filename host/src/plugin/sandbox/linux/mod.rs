//! Linux: limits, Landlock, and the seccomp filter in two stages.

mod calls;
mod filter;
mod landlock;
mod last_words;

use std::{
    fs::File,
    io,
    os::{fd::AsRawFd, unix::process::ExitStatusExt},
    path::{Path, PathBuf},
    process::ExitStatus,
};

use rustix::process::{Pid, Resource, Rlimit, Signal};

use super::MEMORY_MAX;
use crate::signal_name::signal_name;

pub(in crate::plugin) use calls::name as call_name;

/// Files that a child may have open: its pipes, and those of the libraries that the loader reads.
const OPEN_FILES_MAX: u64 = 32;

/// In the host, before a child is started: nothing, for a child does all of it to itself.
pub(in crate::plugin) fn before_start(_command: &mut tokio::process::Command) {}

/// In the host: what must be kept as long as the child. It ends with the host by itself.
pub(crate) struct Tie;

impl Tie {
    /// A process that is not fenced in, and ends with the host by itself.
    pub(crate) fn to_its_end(_child: &tokio::process::Child) -> io::Result<Tie> {
        Ok(Tie)
    }

    pub(in crate::plugin) fn of(_child: &tokio::process::Child) -> io::Result<Tie> {
        Ok(Tie)
    }
}

/// In the child, first of all: it ends with the host, takes no signal of its terminal, leaves no core behind, and
/// shares no file.
pub(in crate::plugin) fn at_start(host: u32) -> io::Result<()> {
    end_with(host)?;
    let _ = rustix::process::setsid();
    // Else `ps` shows how it was started: `exe`.
    let _ = rustix::thread::set_name(c"ai-mon-plugin");
    // Also where a program gathers cores, which asks for no limit.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    // Files that whoever started the host left open for all of its children. Kernels before 5.9 lack it.
    // SAFETY: a plain system call; this process has no file open beyond the three yet.
    unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0) };
    Ok(())
}

/// In a process that the host has started: it ends with the host, however that ends.
pub(crate) fn end_with(host: u32) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before that.
    if rustix::process::getppid().map(Pid::as_raw_pid) != i32::try_from(host).ok() {
        return Err(io::Error::other("the host is gone"));
    }
    Ok(())
}

/// In the child: raised in two steps around the opening of the library.
pub(in crate::plugin) struct Fence {
    pipes: filter::Pipes,
    library: PathBuf,
    missing: Vec<String>,
}

impl Fence {
    pub(in crate::plugin) fn new(orders: &File, answers: &File, library: &Path) -> Fence {
        let pipes = filter::Pipes { orders: orders.as_raw_fd(), answers: answers.as_raw_fd() };
        Fence { pipes, library: library.to_owned(), missing: Vec::new() }
    }

    /// From here on the plugin's code may run: it can read what libraries need, and nothing else of the system.
    pub(in crate::plugin) fn before_opening(&mut self) {
        let memory = last_words::Memory::open();
        let limit = memory.as_ref().and_then(|memory| memory.used()).map(|used| used + MEMORY_MAX);
        self.note("a limit of memory", limit.ok_or(io::ErrorKind::NotFound.into()).and_then(limits));
        self.note("no new privileges", rustix::thread::set_no_new_privs(true).map_err(Into::into));
        if let (Some(memory), Some(limit)) = (memory, limit) {
            self.note("reasons of crashes", last_words::listen(self.pipes.answers, memory, limit));
        }
        // An older kernel has it not: then the filter stands alone.
        self.note("Landlock (it may read your files as it is opened)", landlock::restrict(&self.library));
        self.note("a seccomp filter", filter::opening(self.pipes).and_then(filter::apply));
    }

    /// From here on it can only compute.
    pub(in crate::plugin) fn before_running(&mut self) {
        self.note("a seccomp filter", filter::running(self.pipes).and_then(filter::apply));
    }

    /// What is not there, for the log.
    pub(in crate::plugin) fn missing(&self) -> Option<String> {
        (!self.missing.is_empty()).then(|| self.missing.join("; "))
    }

    fn note(&mut self, what: &str, raised: io::Result<()>) {
        if let Err(error) = raised {
            self.missing.push(format!("without {what}: {error}"));
        }
    }
}

/// `memory`: of data, in bytes, the child's own included.
fn limits(memory: u64) -> io::Result<()> {
    for (resource, most) in
        [(Resource::Core, 0), (Resource::Fsize, 0), (Resource::Nofile, OPEN_FILES_MAX), (Resource::Data, memory)]
    {
        rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

/// `SIGSEGV`, `exit code 3`.
pub(in crate::plugin) fn end_name(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => signal_name(signal),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => status.to_string(),
    }
}
