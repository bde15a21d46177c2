//! A server that was there before the monitor: started from a shell, as a user does.

use std::{
    fs::OpenOptions,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{
    backend::{Backend, Kind},
    bed::Bed,
    http,
    process::{Process, Signal},
    wait::wait_until,
};

/// Ends with the test, together with its shell.
pub struct Server {
    pub process: Process,
    pub address: SocketAddr,
    pub log: PathBuf,
    shell: Child,
}

impl Server {
    /// Starts it and waits until it answers.
    pub fn start(bed: &Bed, backend: &Backend, address: SocketAddr) -> Server {
        let server = Server::start_unready(bed, backend, address);
        let path = match backend.kind {
            Kind::Ollama => "/api/version",
            Kind::Llama => "/health",
        };
        wait_until(Duration::from_secs(20), "the server to answer", || {
            match http::get(address, path, Duration::from_secs(1)) {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(answer.body),
                Err(e) => Err(format!("{e}; its log: {}", std::fs::read_to_string(&server.log).unwrap_or_default())),
            }
        });
        server
    }

    /// Starts it and waits only until its process is there.
    pub fn start_unready(bed: &Bed, backend: &Backend, address: SocketAddr) -> Server {
        Server::run(bed, address, backend.command(address), backend.environment(address))
    }

    /// Starts any command from a shell, and waits until its process is there.
    pub fn run(bed: &Bed, address: SocketAddr, command: Vec<String>, environment: Vec<(String, String)>) -> Server {
        let log = bed.path().join(format!("server-{}.log", address.port()));
        let file = OpenOptions::new().create(true).append(true).open(&log).expect("the server's log");
        let mut shell = Command::new("sh");
        shell.args(["-c", "\"$@\" & wait", "sh"]).args(&command);
        shell.envs(environment).stdin(Stdio::null());
        let shell = shell.stdout(file.try_clone().expect("the log")).stderr(file).spawn().expect("the server's shell");
        let parent = Process::find(shell.id()).expect("the server's shell");
        let program = Path::new(&command[0]).file_name().and_then(|n| n.to_str()).unwrap_or_default();
        // The system keeps so much of a name.
        let program: String = program.chars().take(15).collect();
        let process = wait_until(Duration::from_secs(5), "the server's process", || {
            let children = parent.children();
            let server = children.iter().find(|c| c.stat().is_some_and(|s| s.name == program));
            server.cloned().ok_or_else(|| format!("{children:?}"))
        });
        Server { process, address, log, shell }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.lives() {
            self.process.signal(Signal::KILL);
        }
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
