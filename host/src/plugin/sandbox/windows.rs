//! Windows: a job object that limits memory, starts no process, and ends the child with the host.

use std::{
    fs::File,
    io,
    os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle},
    path::Path,
    process::ExitStatus,
};

use windows_sys::Win32::System::{
    JobObjects::{
        AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_ACTIVE_PROCESS,
        JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
        JOB_OBJECT_LIMIT_PROCESS_MEMORY, JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectExtendedLimitInformation,
        SetInformationJobObject,
    },
    Threading::{CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW},
};

use super::MEMORY_MAX;

/// What the child itself commits before it opens a library, with room: the limit counts it in.
const OWN_MEMORY: u64 = 32 * 1024 * 1024;

/// In the host: no window, and no Ctrl-C of ours.
pub(in crate::plugin) fn before_start(command: &mut tokio::process::Command) {
    command.creation_flags(CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP);
}

/// In the host: the job; closed (also by the host's death) it ends the child.
pub(crate) struct Tie {
    _job: OwnedHandle,
}

impl Tie {
    /// A process that is not fenced in, with all that it starts.
    pub(crate) fn to_its_end(child: &tokio::process::Child) -> io::Result<Tie> {
        Tie::with(child, |limits| limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE)
    }

    /// Before the child is told to open its library.
    pub(in crate::plugin) fn of(child: &tokio::process::Child) -> io::Result<Tie> {
        Tie::with(child, |limits| {
            limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
                | JOB_OBJECT_LIMIT_ACTIVE_PROCESS
                | JOB_OBJECT_LIMIT_PROCESS_MEMORY
                | JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION;
            limits.BasicLimitInformation.ActiveProcessLimit = 1;
            limits.ProcessMemoryLimit = usize::try_from(OWN_MEMORY + MEMORY_MAX).unwrap_or(usize::MAX);
        })
    }

    fn with(
        child: &tokio::process::Child,
        limit: impl FnOnce(&mut JOBOBJECT_EXTENDED_LIMIT_INFORMATION),
    ) -> io::Result<Tie> {
        // SAFETY: no attributes, no name.
        let job = unsafe { CreateJobObjectW(std::ptr::null(), std::ptr::null()) };
        if job.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it is ours alone.
        let job = unsafe { OwnedHandle::from_raw_handle(job) };
        // SAFETY: all-zero is a valid value of this structure of numbers.
        let mut limits: JOBOBJECT_EXTENDED_LIMIT_INFORMATION = unsafe { std::mem::zeroed() };
        limit(&mut limits);
        // SAFETY: the structure belongs to this class of information and has the size that is said.
        let set = unsafe {
            SetInformationJobObject(
                job.as_raw_handle(),
                JobObjectExtendedLimitInformation,
                (&raw const limits).cast(),
                size_of::<JOBOBJECT_EXTENDED_LIMIT_INFORMATION>() as u32,
            )
        };
        if set == 0 {
            return Err(io::Error::last_os_error());
        }
        let process = child.raw_handle().ok_or_else(|| io::Error::other("the child has ended"))?;
        // SAFETY: both handles are open.
        if unsafe { AssignProcessToJobObject(job.as_raw_handle(), process) } == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Tie { _job: job })
    }
}

/// In a process that the host has started: its job does it.
pub(crate) fn end_with(_host: u32) -> io::Result<()> {
    Ok(())
}

/// In the child: the host has done it.
pub(in crate::plugin) fn at_start(_host: u32) -> io::Result<()> {
    Ok(())
}

/// In the child.
pub(in crate::plugin) struct Fence;

impl Fence {
    pub(in crate::plugin) fn new(_orders: &File, _answers: &File, _library: &Path) -> Fence {
        Fence
    }

    pub(in crate::plugin) fn before_opening(&mut self) {}

    pub(in crate::plugin) fn before_running(&mut self) {}

    pub(in crate::plugin) fn missing(&self) -> Option<String> {
        Some("a job limits their memory and processes, but they could open files and connections as you can".into())
    }
}

/// `access violation`, `exit code 3`.
pub(in crate::plugin) fn end_name(status: ExitStatus) -> String {
    let Some(code) = status.code() else { return status.to_string() };
    let name = match code.cast_unsigned() {
        0xc000_0005 => "access violation",
        0xc000_001d => "illegal instruction",
        0xc000_0094 => "division by zero",
        0xc000_00fd => "stack overflow",
        0xc000_0374 => "heap corruption",
        0xc000_0409 => "abort",
        0xc000_0017 => "no memory",
        _ => return format!("exit code {code}"),
    };
    format!("{name} ({:#010x})", code.cast_unsigned())
}

/// No call is refused here.
pub(in crate::plugin) fn call_name(number: i32) -> String {
    format!("system call {number}")
}
