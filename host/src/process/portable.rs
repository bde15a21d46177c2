//! What Windows and macOS share: the list of processes, sockets and memory through crates that know both.

use std::{ffi::OsStr, io, net::SocketAddr, path::Path, time::Duration};

use netstat2::{AddressFamilyFlags, ProtocolFlags, ProtocolSocketInfo, TcpState, get_sockets_info};
use sysinfo::{Pid, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};

use super::{Listener, Memory, Process, command::file_name, ports::Scope};
use crate::health::signals::{ProcessId, RunState};

/// The processes asked for. `start_of` gives a start in the system's own ticks for a number; `None`: gone meanwhile.
pub fn list(
    which: ProcessesToUpdate<'_>,
    start_of: impl Fn(&sysinfo::Process) -> Option<u64>,
) -> io::Result<Vec<Process>> {
    let wanted = ProcessRefreshKind::nothing()
        .with_cpu()
        .with_memory()
        .with_disk_usage()
        .with_user(UpdateKind::Always)
        .with_exe(UpdateKind::Always)
        .with_cmd(UpdateKind::Always);
    let mut system = System::new().map_err(io::Error::other)?;
    system.refresh_processes_specifics(which, true, wanted);
    Ok(system.processes().values().filter_map(|p| Some(describe(p, start_of(p)?))).collect())
}

pub fn executing(exe: &Path) -> io::Result<Vec<Process>> {
    Ok(super::all()?
        .into_iter()
        .filter(|p| p.exe.as_deref().is_some_and(|e| super::command::is_same_file(e, exe)))
        .collect())
}

/// The one with this number.
pub fn one(pid: u32, start_of: impl Fn(&sysinfo::Process) -> Option<u64>) -> Option<Process> {
    list(ProcessesToUpdate::Some(&[Pid::from_u32(pid)]), start_of).ok()?.pop()
}

fn describe(seen: &sysinfo::Process, start: u64) -> Process {
    let text = |s: &OsStr| s.to_string_lossy().into_owned();
    let exe = seen.exe().map(std::path::Path::to_owned);
    let comm = text(seen.name());
    let mut words = seen.cmd().iter().map(|word| text(word));
    Process {
        id: ProcessId { pid: seen.pid().as_u32(), start },
        parent: seen.parent().map(Pid::as_u32),
        name: exe.as_deref().map(file_name).unwrap_or_else(|| comm.clone()),
        exe,
        comm,
        title: words.next().unwrap_or_default(),
        args: words.collect(),
        state: match seen.status() {
            ProcessStatus::Run => RunState::Running,
            ProcessStatus::Sleep | ProcessStatus::Idle => RunState::Sleeping,
            ProcessStatus::Stop => RunState::Stopped,
            ProcessStatus::Zombie => RunState::Zombie,
            _ => RunState::Other,
        },
        cpu: Some(Duration::from_millis(seen.accumulated_cpu_time())),
        read_bytes: Some(seen.disk_usage().total_read_bytes),
        memory_bytes: Some(seen.memory()),
        user: user(seen),
        session: seen.session_id().map(Pid::as_u32),
    }
}

#[cfg(unix)]
fn user(seen: &sysinfo::Process) -> Option<u32> {
    seen.user_id().map(|user| **user)
}

/// Windows has no numbers for users.
#[cfg(not(unix))]
fn user(_: &sysinfo::Process) -> Option<u32> {
    None
}

/// Listening TCP sockets with those holders that are within the scope.
pub fn listeners(scope: Scope<'_>) -> io::Result<Vec<Listener>> {
    let in_scope = |pid: &u32| match scope {
        Scope::All | Scope::Port(_) => true,
        Scope::Processes(ids) => ids.iter().any(|id| id.pid == *pid),
    };
    let of_port = |port: u16| !matches!(scope, Scope::Port(asked) if asked != port);
    let families = AddressFamilyFlags::IPV4 | AddressFamilyFlags::IPV6;
    let sockets = get_sockets_info(families, ProtocolFlags::TCP).map_err(io::Error::other)?;
    let listening = sockets.into_iter().filter_map(|socket| match socket.protocol_socket_info {
        ProtocolSocketInfo::Tcp(tcp) if tcp.state == TcpState::Listen && of_port(tcp.local_port) => Some(Listener {
            addr: SocketAddr::new(tcp.local_addr.to_canonical(), tcp.local_port),
            // Windows' sockets take one family each unless told otherwise; neither system tells of one.
            v6_only: cfg!(windows),
            user: None,
            pids: socket.associated_pids.into_iter().filter(in_scope).collect(),
        }),
        _ => None,
    });
    Ok(listening.collect())
}

pub fn memory() -> Option<Memory> {
    let mut system = System::new().ok()?;
    system.refresh_memory();
    Some(Memory { total: system.total_memory(), available: system.available_memory() })
}

pub fn working_directory(pid: u32) -> Option<std::path::PathBuf> {
    let mut system = System::new().ok()?;
    let pid = Pid::from_u32(pid);
    let wanted = ProcessRefreshKind::nothing().with_cwd(UpdateKind::Always);
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, wanted);
    system.process(pid)?.cwd().map(std::path::Path::to_owned)
}
