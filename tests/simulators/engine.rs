//! An engine: a child process that uses a processor while there is work, and none while there is none.

use std::{
    io::{self, BufRead, Write},
    net::TcpListener,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::process;

/// What an engine is told, a line each.
const WORK: &str = "work";
const REST: &str = "rest";

/// A running engine. Dropping it ends it.
pub struct Engine {
    pub model: String,
    child: Child,
    orders: ChildStdin,
    working: bool,
}

/// How an engine's process looks to who lists processes.
#[derive(Debug, Clone)]
pub struct Looks {
    /// The file's name.
    pub file: &'static str,
    /// `argv[0]`, if it renames itself.
    pub title: Option<&'static str>,
    /// Arguments; `{port}` is a port that it listens on.
    pub arguments: &'static [&'static str],
    /// Outlives its server, if that is killed.
    pub outlives: bool,
}

impl Engine {
    /// Starts one from the folder of the server's own file.
    pub fn start(looks: &Looks, model: &str) -> io::Result<Engine> {
        let own = std::env::current_exe()?;
        let file = own.with_file_name(looks.file);
        process::place(&own, &file)?;
        let port = match looks.arguments.iter().any(|a| a.contains("{port}")) {
            true => Some(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port()),
            false => None,
        };
        let number = port.map(|p| p.to_string()).unwrap_or_default();
        let arguments = looks.arguments.iter().map(|a| a.replace("{port}", &number).replace("{model}", model));
        let mut command = engine_command(&file, looks.title);
        process::arguments(&mut command, arguments);
        command.env(process::VARIABLE, process::engine_stage(port, looks.outlives));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let orders = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Engine { model: model.to_owned(), child, orders, working: false })
    }

    /// Tells it whether there is work, if that is news.
    pub fn set_working(&mut self, working: bool) {
        if self.working != working {
            self.working = working;
            // One that has ended works no more.
            let _ = writeln!(self.orders, "{}", if working { WORK } else { REST });
        }
    }
}

fn engine_command(file: &Path, title: Option<&str>) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(file);
    if let Some(title) = title {
        command.arg0(title);
    }
    command
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child's own side. It ends with its server's end of the pipe, unless it is one that outlives it.
pub fn run(port: Option<u16>, outlives: bool) {
    let _listener = port.and_then(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    let working = Arc::new(AtomicBool::new(false));
    let seen = working.clone();
    let worker = std::thread::spawn(move || {
        loop {
            if !seen.load(Ordering::SeqCst) {
                std::thread::park();
            } else {
                // A twentieth of a processor: more than what counts as idle, and many fit on one machine.
                let end = Instant::now() + Duration::from_millis(1);
                while Instant::now() < end {
                    std::hint::spin_loop();
                }
                std::thread::sleep(Duration::from_millis(19));
            }
        }
    });
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        working.store(line == WORK, Ordering::SeqCst);
        worker.thread().unpark();
    }
    while outlives {
        std::thread::park();
    }
}
