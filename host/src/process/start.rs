//! Starting a server so that it outlives us: a session of its own, output to a file, nothing of ours inherited.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
};

use tokio::sync::watch;

use super::{Exit, command::find_in_path, imp, output};
use crate::health::signals::ProcessId;

/// What systemd tells us alone: a child must not answer in our name.
const NOT_FOR_CHILDREN: &[&str] = &[
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// The ends of so many children are kept for those who ask later.
const REMEMBERED: usize = 256;

/// What is to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The program (a path, or a name looked up in `PATH`) and its arguments. Never a shell's line.
    pub command: Vec<String>,
    /// On top of our own environment.
    pub env: BTreeMap<String, String>,
    /// File that its stdout and stderr are appended to; made, with its folder, where it is not there.
    pub output: PathBuf,
    /// `None`: ours.
    pub cwd: Option<PathBuf>,
}

/// What was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    pub id: ProcessId,
    /// Length of the output file before: what is behind is this process's output ([`output::since`]).
    pub output_from: u64,
}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the command is empty: give the program and its arguments, such as [\"ollama\", \"serve\"]")]
    Empty,
    #[error("`{command}` was not found: install it, or give its full path in `process.command`")]
    NotFound { command: String },
    #[error("`{command}` is there, but the interpreter that its first line names (or its loader) is not: install that")]
    NoInterpreter { command: String },
    #[error("`{command}` may not be run: check that it is an executable file and that this user may run it")]
    NotPermitted { command: String },
    #[error("the folder {} to start in cannot be used: {error}", path.display())]
    Folder { path: PathBuf, error: io::Error },
    #[error("the output file {} cannot be written: {error}; nothing was started", path.display())]
    Output { path: PathBuf, error: io::Error },
    #[error("`{command}` could not be started: {error}")]
    Other { command: String, error: io::Error },
}

static CHILDREN: LazyLock<Mutex<HashMap<ProcessId, watch::Receiver<Option<Exit>>>>> = LazyLock::new(Mutex::default);

fn children() -> MutexGuard<'static, HashMap<ProcessId, watch::Receiver<Option<Exit>>>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts it. It reads nothing, writes to its file, gets no terminal's signals, and lives on when we end or crash. It
/// is reaped in the background; [`super::exited`] tells how it ended.
pub fn start(launch: &Launch) -> Result<Started, StartError> {
    let [program, arguments @ ..] = launch.command.as_slice() else { return Err(StartError::Empty) };
    let (file, output_from) =
        output::open(&launch.output).map_err(|error| StartError::Output { path: launch.output.clone(), error })?;
    let second = file.try_clone().map_err(|error| StartError::Output { path: launch.output.clone(), error })?;
    let mut command = Command::new(program);
    command.args(arguments);
    for name in NOT_FOR_CHILDREN {
        command.env_remove(name);
    }
    command.envs(&launch.env).stdin(Stdio::null()).stdout(file).stderr(second);
    if let Some(path) = &launch.cwd {
        // Checked first: the system's answer to a missing folder is the same as to a missing program.
        std::fs::read_dir(path).map_err(|error| StartError::Folder { path: path.clone(), error })?;
        command.current_dir(path);
    }
    imp::detach(&mut command);
    let child = spawn(&mut command).map_err(|error| why_not(program, error))?;
    let failed = |error| StartError::Other { command: program.clone(), error };
    // Not reaped yet, so its number is its own: also when it has ended already.
    let (id, _) = imp::moment(child.id())
        .ok_or_else(|| failed(io::Error::other("it was started and then could not be found")))?;
    watch_child(id, child).map_err(failed)?;
    Ok(Started { id, output_from })
}

/// The system's answer alone misleads: it says "not found" of a script whose interpreter is missing, and "permission
/// denied" of a missing program when a folder of `PATH` may not be searched.
fn why_not(program: &str, error: io::Error) -> StartError {
    let command = program.to_owned();
    let is_there = find_in_path(program).is_some();
    match error.kind() {
        io::ErrorKind::NotFound if is_there => StartError::NoInterpreter { command },
        io::ErrorKind::PermissionDenied if is_there || Path::new(program).exists() => {
            StartError::NotPermitted { command }
        }
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => StartError::NotFound { command },
        _ => StartError::Other { command, error },
    }
}

/// Once more where another thread's fork holds a script open for writing ("text file busy").
fn spawn(command: &mut Command) -> io::Result<Child> {
    for _ in 0..3 {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => thread::yield_now(),
            other => return other,
        }
    }
    command.spawn()
}

/// A thread per child, because it needs no runtime and cannot be late: it does nothing but wait.
fn watch_child(id: ProcessId, mut child: Child) -> io::Result<()> {
    let (tell, ended) = watch::channel(None);
    {
        let mut children = children();
        if children.len() >= REMEMBERED {
            let oldest =
                children.iter().filter(|(_, end)| end.borrow().is_some()).map(|(id, _)| *id).min_by_key(|id| id.start);
            oldest.map(|id| children.remove(&id));
        }
        children.insert(id, ended);
    }
    thread::Builder::new()
        .name(format!("wait for {id}"))
        .stack_size(128 * 1024)
        .spawn(move || {
            let exit = child.wait().map(exit_of).unwrap_or_default();
            tell.send_replace(Some(exit));
        })
        .map(drop)
}

#[cfg(unix)]
fn exit_of(status: ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt;
    Exit { code: status.code(), signal: status.signal() }
}

#[cfg(not(unix))]
fn exit_of(status: ExitStatus) -> Exit {
    Exit { code: status.code(), signal: None }
}

/// The end of a child of ours; `None`: it is not one that [`start`] made.
pub(super) fn ended_child(id: ProcessId) -> Option<impl Future<Output = Exit>> {
    let mut ended = children().get(&id)?.clone();
    Some(async move { ended.wait_for(Option::is_some).await.ok().and_then(|exit| *exit).unwrap_or_default() })
}

/// Did [`start`] of this run make it?
pub fn is_own_child(id: ProcessId) -> bool {
    children().contains_key(&id)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::process::{Signal, exited, find, is_alive, signal};

    fn launch(folder: &tempfile::TempDir, script: &str) -> Launch {
        Launch {
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
            env: BTreeMap::from([("GREETING".into(), "hello".into())]),
            output: folder.path().join("logs/target.log"),
            cwd: None,
        }
    }

    #[tokio::test]
    async fn a_child_writes_to_its_file_and_its_end_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let launch = launch(&folder, "echo $GREETING; echo problem >&2; exit 3");
        let started = start(&launch).unwrap();
        assert_eq!(exited(started.id).await, Exit { code: Some(3), signal: None });
        assert_eq!(std::fs::read_to_string(&launch.output).unwrap(), "hello\nproblem\n");
        // Reaped: not even a zombie is left. Asked again, the answer is the same.
        assert_eq!(find(started.id.pid).filter(|p| p.id == started.id), None);
        assert_eq!(exited(started.id).await, Exit { code: Some(3), signal: None });
        let again = start(&launch).unwrap();
        exited(again.id).await;
        assert_eq!(again.output_from, 14);
        assert_eq!(output::since(&launch.output, again.output_from, 1000).unwrap(), "hello\nproblem\n");
    }

    #[tokio::test]
    async fn a_child_has_a_session_of_its_own_and_no_files_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        // Opened as a C library might: it would be inherited.
        let leaked = std::fs::File::open("/dev/zero").unwrap();
        rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
        let started = start(&launch(&folder, "exec sleep 1000")).unwrap();
        let process = find(started.id.pid).unwrap();
        assert_eq!(process.session, Some(started.id.pid));
        assert!(is_own_child(started.id));
        let files: Vec<String> = std::fs::read_dir(format!("/proc/{}/fd", started.id.pid))
            .unwrap()
            // The shell may close one of its own in this moment.
            .filter_map(|fd| Some(std::fs::read_link(fd.ok()?.path()).ok()?.display().to_string()))
            .collect();
        let output = folder.path().join("logs/target.log").display().to_string();
        assert_eq!(files.iter().filter(|f| **f == output).count(), 2, "{files:?}");
        assert!(!files.iter().any(|f| f.contains("zero")), "{files:?}");
        signal(started.id, Signal::Kill).unwrap();
        assert_eq!(exited(started.id).await, Exit { code: None, signal: Some(9) });
        assert!(!is_alive(started.id));
    }

    #[test]
    fn what_cannot_be_started_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let mut launch = launch(&folder, "");
        launch.command = vec!["no-such-program-here".into()];
        assert!(matches!(start(&launch), Err(StartError::NotFound { command }) if command == "no-such-program-here"));
        let plain = folder.path().join("plain.txt");
        std::fs::write(&plain, "text").unwrap();
        launch.command = vec![plain.display().to_string()];
        assert!(matches!(start(&launch), Err(StartError::NotPermitted { .. })));
        let script = folder.path().join("script");
        // Written by another process: a file that a fork of another test has open for writing cannot be executed.
        let write = format!("printf '#!/no/such/interpreter\\n' > {0} && chmod 755 {0}", script.display());
        assert!(Command::new("sh").args(["-c", &write]).status().unwrap().success());
        launch.command = vec![script.display().to_string()];
        assert!(matches!(start(&launch), Err(StartError::NoInterpreter { .. })));
        launch.cwd = Some(folder.path().join("missing"));
        assert!(matches!(start(&launch), Err(StartError::Folder { .. })));
        launch.command.clear();
        assert!(matches!(start(&launch), Err(StartError::Empty)));
        launch.command = vec!["sh".into()];
        launch.output = plain.join("below-a-file.log");
        assert!(matches!(start(&launch), Err(StartError::Output { .. })));
    }
}
