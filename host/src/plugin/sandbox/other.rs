//! Systems where a plugin's process can be limited, but not fenced in.

use std::{fs::File, io, path::Path, process::ExitStatus, time::Duration};

/// In the host, before a child is started.
pub(in crate::plugin) fn before_start(_command: &mut tokio::process::Command) {}

/// In the host: what must be kept as long as the child.
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

/// In the child, first of all: a session of its own, and an end within a second of the host's.
pub(in crate::plugin) fn at_start(host: u32) -> io::Result<()> {
    let _ = rustix::process::setsid();
    end_with(host)
}

/// In a process that the host has started: it ends within a second of the host.
pub(crate) fn end_with(host: u32) -> io::Result<()> {
    let host = i32::try_from(host).ok();
    std::thread::Builder::new().name("host-watch".into()).spawn(move || {
        // Its parent is another one once the host is gone.
        while rustix::process::getppid().map(rustix::process::Pid::as_raw_pid) == host {
            std::thread::sleep(Duration::from_secs(1));
        }
        std::process::exit(0);
    })?;
    Ok(())
}

/// In the child.
pub(in crate::plugin) struct Fence {
    missing: Option<io::Error>,
}

impl Fence {
    pub(in crate::plugin) fn new(_orders: &File, _answers: &File, _library: &Path) -> Fence {
        Fence { missing: None }
    }

    pub(in crate::plugin) fn before_opening(&mut self) {
        use rustix::process::{Resource, Rlimit, setrlimit};
        for (resource, most) in [(Resource::Core, 0), (Resource::Fsize, 0), (Resource::Nofile, 32)] {
            if let Err(error) = setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }) {
                self.missing = Some(error.into());
            }
        }
    }

    pub(in crate::plugin) fn before_running(&mut self) {}

    pub(in crate::plugin) fn missing(&self) -> Option<String> {
        let limits = self.missing.as_ref().map(|error| format!("; without limits: {error}")).unwrap_or_default();
        Some(format!("without a filter of system calls and a limit of memory: this system has none for us{limits}"))
    }
}

/// `SIGSEGV`, `exit code 3`.
pub(in crate::plugin) fn end_name(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.signal(), status.code()) {
        (Some(signal), _) => crate::signal_name::signal_name(signal),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => status.to_string(),
    }
}

/// No call is refused here.
pub(in crate::plugin) fn call_name(number: i32) -> String {
    format!("system call {number}")
}
