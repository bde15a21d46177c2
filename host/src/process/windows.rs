//! Windows: processes by handles, whose creation time is the start; ends by a wait of the system's thread pool.

use std::{
    ffi::c_void,
    io,
    os::windows::{
        io::{AsRawHandle, FromRawHandle, OwnedHandle},
        process::CommandExt,
    },
    path::PathBuf,
    process::Command,
    ptr,
    sync::Arc,
    time::Duration,
};

use sysinfo::ProcessesToUpdate;
use tokio::sync::Notify;
use windows_sys::Win32::{
    Foundation::{
        ERROR_ACCESS_DENIED, ERROR_INVALID_PARAMETER, ERROR_MORE_DATA, FILETIME, HANDLE, INVALID_HANDLE_VALUE,
    },
    System::{
        Console::{CTRL_BREAK_EVENT, GenerateConsoleCtrlEvent},
        Services::{
            CloseServiceHandle, ENUM_SERVICE_STATUS_PROCESSW, EnumServicesStatusExW, OpenSCManagerW,
            SC_ENUM_PROCESS_INFO, SC_HANDLE, SC_MANAGER_ENUMERATE_SERVICE, SERVICE_ACTIVE, SERVICE_WIN32,
        },
        Threading::{
            CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW, GetExitCodeProcess, GetProcessTimes, INFINITE, OpenProcess,
            PROCESS_ACCESS_RIGHTS, PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE, PROCESS_TERMINATE,
            RegisterWaitForSingleObject, TerminateProcess, UnregisterWaitEx, WT_EXECUTEONLYONCE, WaitForSingleObject,
        },
    },
};

pub use super::portable::{executing, listeners, memory};
use super::{Exit, Process, Signal, SignalError, Supervisor, gather, portable};
use crate::health::signals::{ProcessId, RunState};

/// Are names of executables compared without regard to case?
pub const IGNORE_CASE: bool = true;

/// A process that may not be opened has no start that we could know; it is never acted on either.
const START_NOT_KNOWN: u64 = 0;

fn open(pid: u32, rights: PROCESS_ACCESS_RIGHTS) -> io::Result<OwnedHandle> {
    // SAFETY: a plain call; null is its answer when it fails.
    let handle = unsafe { OpenProcess(rights, 0, pid) };
    if handle.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle is valid and nobody else owns it.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// When the process was created, in units of 100 ns since 1601.
fn created(process: &OwnedHandle) -> io::Result<u64> {
    let zero = FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 };
    let [mut created, mut ended, mut kernel, mut user] = [zero; 4];
    // SAFETY: the handle lives through the call and the four places are ours.
    let ok = unsafe { GetProcessTimes(process.as_raw_handle(), &mut created, &mut ended, &mut kernel, &mut user) };
    if ok == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::from(created.dwHighDateTime) << 32 | u64::from(created.dwLowDateTime))
}

/// The process, if it is still the one that is meant.
fn open_exactly(id: ProcessId, rights: PROCESS_ACCESS_RIGHTS) -> io::Result<OwnedHandle> {
    let process = open(id.pid, rights | PROCESS_QUERY_LIMITED_INFORMATION)?;
    match created(&process)? == id.start {
        true => Ok(process),
        false => Err(io::Error::from_raw_os_error(ERROR_INVALID_PARAMETER as i32)),
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(ERROR_INVALID_PARAMETER as i32)
}

fn is_refused(error: &io::Error) -> bool {
    error.raw_os_error() == Some(ERROR_ACCESS_DENIED as i32)
}

fn start_of(pid: u32) -> Option<u64> {
    match open(pid, PROCESS_QUERY_LIMITED_INFORMATION) {
        Ok(process) => created(&process).ok(),
        Err(error) if is_refused(&error) => Some(START_NOT_KNOWN),
        Err(_) => None,
    }
}

pub fn all() -> io::Result<Vec<Process>> {
    portable::list(ProcessesToUpdate::All, |p| start_of(p.pid().as_u32()))
}

pub fn find(pid: u32) -> Option<Process> {
    portable::one(pid, |p| start_of(p.pid().as_u32()))
}

pub fn moment(pid: u32) -> Option<(ProcessId, RunState)> {
    match open(pid, PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE) {
        Ok(process) => {
            // SAFETY: the handle lives through the call; a wait of 0 ms only asks. 0 is WAIT_OBJECT_0: it has ended,
            // and somebody's handle keeps its number.
            let ended = unsafe { WaitForSingleObject(process.as_raw_handle(), 0) } == 0;
            let state = if ended { RunState::Zombie } else { RunState::Running };
            Some((ProcessId { pid, start: created(&process).ok()? }, state))
        }
        Err(error) if is_refused(&error) => Some((ProcessId { pid, start: START_NOT_KNOWN }, RunState::Other)),
        Err(_) => None,
    }
}

pub fn refresh(root: ProcessId, known: &[ProcessId]) -> Vec<Process> {
    all().map(|all| gather(&all, root, known)).unwrap_or_default()
}

/// Windows has no sessions of this kind: orphans are known by having been seen in the tree.
pub fn session_members(_: ProcessId) -> Vec<ProcessId> {
    Vec::new()
}

pub fn working_directory(id: ProcessId) -> Option<PathBuf> {
    portable::working_directory(id.pid)
}

/// A start is a point in time here: it can be compared after any boot.
pub fn boot_id() -> String {
    "absolute".into()
}

/// A wait that the system's thread pool keeps; taken back when dropped.
struct Wait {
    wait: HANDLE,
    told: *const Notify,
}

// SAFETY: the wait's handle may be used from any thread, and the `Notify` behind the pointer is shared by an `Arc`.
unsafe impl Send for Wait {}

impl Wait {
    fn on(process: &OwnedHandle, ended: &Arc<Notify>) -> io::Result<Wait> {
        let mut wait = ptr::null_mut();
        let told = Arc::into_raw(ended.clone());
        // SAFETY: the process's handle outlives the wait (`exited` drops them in that order), the context is an `Arc`
        // of its own that is given back after the wait has ended.
        let ok = unsafe {
            RegisterWaitForSingleObject(
                &mut wait,
                process.as_raw_handle(),
                Some(tell),
                told.cast::<c_void>(),
                INFINITE,
                WT_EXECUTEONLYONCE,
            )
        };
        if ok == 0 {
            let error = io::Error::last_os_error();
            // SAFETY: nobody was given the pointer.
            drop(unsafe { Arc::from_raw(told) });
            return Err(error);
        }
        Ok(Wait { wait, told })
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        // SAFETY: the wait is registered, and INVALID_HANDLE_VALUE makes the call return only when no callback runs any
        // more (ours only sets a flag), so the context can be given back.
        unsafe {
            UnregisterWaitEx(self.wait, INVALID_HANDLE_VALUE);
            drop(Arc::from_raw(self.told));
        }
    }
}

unsafe extern "system" fn tell(context: *mut c_void, _timed_out: bool) {
    // SAFETY: the context is the `Notify` of `Wait`, which lives until this callback is done.
    unsafe { &*context.cast::<Notify>() }.notify_one();
}

/// Returns when the process has ended; at once if it has. The code is known of any process that may be opened.
pub async fn exited(id: ProcessId) -> Exit {
    let process = match open_exactly(id, PROCESS_SYNCHRONIZE) {
        Ok(process) => process,
        Err(error) if is_refused(&error) => return until_gone(id).await,
        Err(_) => return Exit::default(),
    };
    let ended = Arc::new(Notify::new());
    match Wait::on(&process, &ended) {
        Ok(_wait) => ended.notified().await,
        Err(_) => return until_gone(id).await,
    }
    let mut code = 0;
    // SAFETY: the handle lives through the call and the place is ours.
    let ok = unsafe { GetExitCodeProcess(process.as_raw_handle(), &mut code) };
    Exit { code: (ok != 0).then_some(code as i32), signal: None }
}

/// Of a process that may not be opened, only its absence can be seen.
async fn until_gone(id: ProcessId) -> Exit {
    while super::is_alive(id) {
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Exit::default()
}

pub fn signal(id: ProcessId, signal: Signal) -> Result<(), SignalError> {
    let failed = |error: io::Error| match () {
        () if is_gone(&error) => SignalError::Gone,
        () if is_refused(&error) => SignalError::NotPermitted { pid: id.pid },
        () => SignalError::Other { pid: id.pid, error },
    };
    let process = open_exactly(id, PROCESS_TERMINATE | PROCESS_SYNCHRONIZE).map_err(failed)?;
    let ok = match signal {
        // SAFETY: a plain call; it reaches the console's process group of this number, which is the process's own: we
        // hold its handle, so the number cannot be another's.
        Signal::Terminate => unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, id.pid) },
        // SAFETY: the handle lives through the call.
        Signal::Kill => unsafe { TerminateProcess(process.as_raw_handle(), 1) },
        Signal::Continue | Signal::Freeze => return Err(failed(io::ErrorKind::Unsupported.into())),
    };
    match (ok, signal) {
        (0, Signal::Terminate) => {
            Err(failed(io::Error::other("it has a console of its own: it can only be ended by force")))
        }
        (0, _) => Err(failed(io::Error::last_os_error())),
        _ => Ok(()),
    }
}

/// A group of its own, so that our Ctrl-C is not its; and a console that is not shown instead of none, because a child
/// of a process without a console opens a window.
pub fn detach(command: &mut Command) {
    command.creation_flags(CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW);
}

/// The service that runs as this process.
pub fn supervisor(id: ProcessId) -> Option<Supervisor> {
    struct Manager(SC_HANDLE);
    impl Drop for Manager {
        fn drop(&mut self) {
            // SAFETY: opened below, and closed once.
            unsafe { CloseServiceHandle(self.0) };
        }
    }
    // SAFETY: null names this machine and its active database.
    let manager = unsafe { OpenSCManagerW(ptr::null(), ptr::null(), SC_MANAGER_ENUMERATE_SERVICE) };
    if manager.is_null() {
        return None;
    }
    let manager = Manager(manager);
    // The most that the call gives at once is 256 KiB. Aligned as the entries are.
    let mut buffer = vec![0u64; 32 * 1024];
    let mut resume = 0;
    loop {
        let (mut needed, mut returned) = (0, 0);
        // SAFETY: the buffer is as long as said, and the counters are ours.
        let ok = unsafe {
            EnumServicesStatusExW(
                manager.0,
                SC_ENUM_PROCESS_INFO,
                SERVICE_WIN32,
                SERVICE_ACTIVE,
                buffer.as_mut_ptr().cast(),
                (buffer.len() * 8) as u32,
                &mut needed,
                &mut returned,
                &mut resume,
                ptr::null(),
            )
        };
        let more = ok == 0 && io::Error::last_os_error().raw_os_error() == Some(ERROR_MORE_DATA as i32);
        if ok == 0 && !more {
            return None;
        }
        // SAFETY: the call wrote so many entries at the buffer's beginning, and the buffer is aligned for them.
        let services = unsafe {
            std::slice::from_raw_parts(buffer.as_ptr().cast::<ENUM_SERVICE_STATUS_PROCESSW>(), returned as usize)
        };
        if let Some(service) = services.iter().find(|s| s.ServiceStatusProcess.dwProcessId == id.pid) {
            // SAFETY: the name is a string in the buffer that ends with 0.
            return Some(Supervisor::Service(unsafe { wide_text(service.lpServiceName) }));
        }
        if !more || returned == 0 {
            return None;
        }
    }
}

/// # Safety
/// `text` points at UTF-16 that ends with 0.
unsafe fn wide_text(text: *const u16) -> String {
    // SAFETY: by the caller's promise every unit up to the 0 may be read.
    let length = (0..).take_while(|at| unsafe { *text.add(*at) } != 0).count();
    // SAFETY: as counted.
    String::from_utf16_lossy(unsafe { std::slice::from_raw_parts(text, length) })
}
