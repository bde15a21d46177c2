//! Real children for the tests: they misbehave on command, and ten of them only look like the one that is meant.

use std::{
    io::{BufRead, BufReader},
    os::{
        fd::{AsRawFd, BorrowedFd},
        unix::process::CommandExt,
    },
    process::{Command, Stdio},
};

use rustix::io::{FdFlags, fcntl_setfd};

use super::{find, identify, imp, signal::Signal};
use crate::health::signals::{ProcessId, RunState};

/// A process that ends with the test, and all of its session with it.
pub struct Child {
    pub id: ProcessId,
    process: std::process::Child,
    lines: std::sync::Mutex<Option<BufReader<std::process::ChildStdout>>>,
}

impl Child {
    /// `sh -c SCRIPT` in a session of its own.
    pub fn shell(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Child::run(command)
    }

    /// The same, with this socket of ours open in it, too.
    pub fn heir(script: &str, socket: &impl AsRawFd) -> Child {
        let fd = socket.as_raw_fd();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        // SAFETY: one plain system call between fork and exec, on a descriptor that is open there. Done in the child, so
        // that no other test's child inherits it, too.
        unsafe {
            command.pre_exec(move || Ok(fcntl_setfd(BorrowedFd::borrow_raw(fd), FdFlags::empty())?));
        }
        Child::run(command)
    }

    pub fn run(mut command: Command) -> Child {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        // SAFETY: setsid is a plain system call, safe between fork and exec.
        unsafe {
            command.pre_exec(|| Ok(rustix::process::setsid().map(drop)?));
        }
        let mut process = command.spawn().unwrap();
        let lines = std::sync::Mutex::new(process.stdout.take().map(BufReader::new));
        Child { id: imp::moment(process.id()).unwrap().0, process, lines }
    }

    /// The next line that it writes: the event to wait for before it is mistreated.
    pub async fn line(&self) -> String {
        let mut reader = self.lines.lock().unwrap().take().unwrap();
        let (reader, line) = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            (reader, line)
        })
        .await
        .unwrap();
        *self.lines.lock().unwrap() = Some(reader);
        line.trim().to_owned()
    }

    pub fn wait_for(&self, state: RunState) {
        until(&format!("{state:?}"), || (super::state(self.id) == Some(state)).then_some(()));
    }
}

/// Of what the kernel tells no event, and what takes microseconds.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = std::time::Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed().as_secs() < 20, "never {what}");
        std::thread::yield_now();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        // Not reaped yet, so the number of its session is still its own.
        end_session(self.id);
        let _ = self.process.wait();
    }
}

/// The leader must be dead: it starts nobody any more.
fn end_session(leader: ProcessId) {
    loop {
        let members = imp::session_members(leader);
        if members.is_empty() {
            return;
        }
        for id in members {
            let _ = super::signal(id, Signal::Kill);
        }
    }
}

/// A process that is not our child.
pub struct Orphan {
    pub id: ProcessId,
}

impl Drop for Orphan {
    fn drop(&mut self) {
        let _ = super::signal(self.id, Signal::Kill);
        end_session(self.id);
    }
}

/// What an [`Orphan`]'s shell runs: it tells its number to the file `$1`, then does `$2`.
pub const OUT_OF_REACH: &str = r#"echo $$ > "$1"; eval "$2""#;

/// `sh -c SCRIPT` in a session of its own, whose parent has gone. It returns when the script closes its stdout
/// (`exec >&-`), which says that it is ready.
pub fn out_of_reach(script: &str) -> Orphan {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    // The middle shell ends at once; the pipe ends when nobody of the session has it open any more.
    let output = Command::new("sh")
        .args(["-c", r#"setsid sh -c "$3" sh "$1" "$2" & "#, "sh"])
        .arg(&file)
        .arg(script)
        .arg(OUT_OF_REACH)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success());
    let pid: u32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    Orphan { id: identify(pid).unwrap() }
}

/// Ten that have the same name, the same words in the command line, or the same parent.
pub struct Lookalikes(Vec<Child>);

impl Lookalikes {
    pub fn ten() -> Lookalikes {
        Lookalikes(
            (0..10).map(|n| Child::shell(&format!("trap '' TERM; : ollama serve {n}; sleep 1000 & wait"))).collect(),
        )
    }

    pub fn all_live(&self) {
        for child in &self.0 {
            assert!(super::is_alive(child.id), "{} was harmed", child.id);
            assert!(find(child.id.pid).is_some_and(|p| p.state != RunState::Stopped));
        }
    }
}
