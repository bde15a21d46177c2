//! The real monitor: started, asked through its API, ended, and started again over the same data.

use std::{
    cell::RefCell,
    fs::{self, OpenOptions},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    bed::{Bed, MONITOR},
    http::{self, Open},
    isolation::MARK,
    process::{Process, Signal},
    story::Incident,
    wait::{Look, wait_until, wait_with},
};

/// How long the API may take for an answer that it has.
const ANSWER: Duration = Duration::from_secs(5);
/// Between looks at what sends no event (the journal's rows).
const WITHOUT_EVENT: Duration = Duration::from_millis(250);

/// A running monitor. It is killed at the end; if the test failed, its log is printed first.
pub struct Monitor {
    pub listen: SocketAddr,
    pub folder: PathBuf,
    child: Child,
    events: RefCell<Option<Open>>,
}

/// The monitor's command line in this folder, with nothing of the user's environment but what it needs.
pub fn command(folder: &std::path::Path, arguments: &[&str]) -> Command {
    let mut command = bare(folder);
    command.args(arguments).arg("--config").arg(folder.join("config.toml"));
    command.arg("--data-dir").arg(folder.join("data"));
    command
}

/// As a new user types it: no configuration, the usual port; only its home is the test's own.
pub fn bare(folder: &std::path::Path) -> Command {
    let mut command = Command::new(MONITOR);
    let kept = ["PATH", MARK].map(|name| (name, std::env::var_os(name).unwrap_or_default()));
    command.env_clear().envs(kept).env("HOME", folder).stdin(Stdio::null());
    command
}

impl Monitor {
    /// Writes the configuration, starts the monitor and waits until its API answers.
    pub fn start(bed: &Bed, config: &str) -> Monitor {
        Monitor::start_in(bed, "monitor", config)
    }

    /// The same, in a folder of this name: for a second one beside it.
    pub fn start_in(bed: &Bed, name: &str, config: &str) -> Monitor {
        let folder = bed.folder(name);
        fs::write(folder.join("config.toml"), config).expect("the monitor's configuration");
        Monitor::start_again(folder, bed.free_address())
    }

    /// Starts it over what is in the folder already.
    pub fn start_again(folder: PathBuf, listen: SocketAddr) -> Monitor {
        Monitor::start_with(folder, listen, &[])
    }

    /// The same, with more arguments.
    pub fn start_with(folder: PathBuf, listen: SocketAddr, more: &[&str]) -> Monitor {
        let mut command = command(&folder, &["--listen", &listen.to_string(), "--log-level", "debug"]);
        command.args(more);
        Monitor::spawn(command, folder, listen)
    }

    /// As a new user starts it: see [`bare`].
    pub fn start_bare(bed: &Bed) -> Monitor {
        let folder = bed.folder("monitor");
        Monitor::spawn(bare(&folder), folder, SocketAddr::from(([127, 0, 0, 1], 5000)))
    }

    /// Runs the command line and waits until its API answers.
    pub fn spawn(mut command: Command, folder: PathBuf, listen: SocketAddr) -> Monitor {
        let log = OpenOptions::new().create(true).append(true).open(folder.join("stderr.log"));
        let log = log.expect("the monitor's log");
        command.stdout(log.try_clone().expect("the log")).stderr(log);
        let child = command.spawn().expect("the monitor starts");
        let mut monitor = Monitor { listen, folder, child, events: RefCell::new(None) };
        wait_until(Duration::from_secs(20), "the monitor's API to answer", || {
            if let Ok(Some(status)) = monitor.child.try_wait() {
                panic!("the monitor ended at its start ({status}):\n{}", monitor.log());
            }
            http::get(listen, "/api/health", ANSWER).map(drop).map_err(|e| e.to_string())
        });
        monitor
    }

    pub fn process(&self) -> Process {
        Process::find(self.child.id()).expect("the monitor lives")
    }

    /// `GET /api/ai-monitor/…` that must succeed.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let answer = http::get(self.listen, &format!("/api/ai-monitor/{path}"), ANSWER);
        let answer = answer.unwrap_or_else(|e| panic!("GET {path}: {e}\n{}", self.log()));
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.body);
        answer.json()
    }

    /// `POST /api/ai-monitor/…`, with whatever status; heals answer when they are done.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> http::Answer {
        let answer = http::post(self.listen, &format!("/api/ai-monitor/{path}"), body, Duration::from_secs(120));
        answer.unwrap_or_else(|e| panic!("POST {path}: {e}\n{}", self.log()))
    }

    /// The whole snapshot.
    #[track_caller]
    pub fn snapshot(&self) -> Value {
        self.get("targets")["data"].clone()
    }

    /// One target of the snapshot; null while it is not there.
    #[track_caller]
    pub fn target(&self, name: &str) -> Value {
        let snapshot = self.snapshot();
        let mut targets = snapshot["targets"].as_array().into_iter().flatten();
        targets.find(|t| t["name"] == json!(name)).cloned().unwrap_or(Value::Null)
    }

    /// Waits for something about the monitor; wakes with each of its events.
    #[track_caller]
    pub fn wait_for<T>(&self, within: Duration, what: &str, mut look: impl FnMut(&Monitor) -> Look<T>) -> T {
        wait_with(within, what, &mut || look(self), |left| self.pause(left.min(WITHOUT_EVENT)))
    }

    /// Until the next event, or so long.
    fn pause(&self, at_most: Duration) {
        let mut events = self.events.borrow_mut();
        if events.is_none() {
            *events = Open::send(self.listen, "GET", "/api/ai-monitor/events", None, Duration::from_secs(600)).ok();
        }
        let Some(stream) = events.as_mut() else { return std::thread::sleep(at_most) };
        let end = Instant::now() + at_most;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            match stream.next_line_within(left) {
                Ok(Some(line)) if line.starts_with("data:") => return,
                Ok(Some(_)) => {}
                Err(e) if matches!(e.kind(), std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock) => return,
                // The stream is over, with the monitor or without: a new one next time.
                Ok(None) | Err(_) => return *events = None,
            }
        }
    }

    /// Waits until the target is in this state; gives its view.
    #[track_caller]
    pub fn wait_state(&self, name: &str, state: &str, within: Duration) -> Value {
        self.wait_for(within, &format!("{name} to be {state}"), |monitor| {
            let target = monitor.target(name);
            if target["state"] == json!(state) {
                Ok(target)
            } else {
                Err(format!("{}: {} {}", target["state"], target["why"], target["error_message"]))
            }
        })
    }

    /// Waits until so many more checks of the target were made.
    #[track_caller]
    pub fn wait_checks(&self, name: &str, count: usize, within: Duration) {
        let mut last = self.target(name)["last_check"].clone();
        let mut seen = 0;
        self.wait_for(within, &format!("{count} checks of {name}"), |monitor| {
            let now = monitor.target(name)["last_check"].clone();
            if now != last {
                last = now;
                seen += 1;
            }
            if seen >= count { Ok(()) } else { Err(format!("{seen}, the last at {last}")) }
        });
    }

    /// The server's process as the monitor knows it.
    #[track_caller]
    pub fn process_of(&self, name: &str) -> Process {
        let target = self.target(name);
        let pid = target["process_id"].as_u64().and_then(|p| u32::try_from(p).ok());
        let pid = pid.unwrap_or_else(|| panic!("{name} has no process: {target}"));
        Process::find(pid).unwrap_or_else(|| panic!("process {pid} of {name} does not live"))
    }

    /// Rows of incidents of the target, newest first.
    #[track_caller]
    pub fn incidents(&self, name: &str) -> Vec<Value> {
        let rows = self.get("incidents?limit=100")["incidents"].as_array().cloned().unwrap_or_default();
        rows.into_iter().filter(|row| row["target"] == json!(name)).collect()
    }

    #[track_caller]
    pub fn incident(&self, id: i64) -> Incident {
        Incident::read(&self.get(&format!("incidents/{id}")))
    }

    /// Waits until the target's incident number `count` (from 1) has ended.
    #[track_caller]
    pub fn wait_incident(&self, name: &str, count: usize, within: Duration) -> Incident {
        let id = self.wait_for(within, &format!("the end of incident {count} of {name}"), |monitor| {
            let rows = monitor.incidents(name);
            let nth = rows.len().checked_sub(count).and_then(|i| rows.get(i));
            match nth {
                Some(row) if !row["closed"].is_null() => Ok(row["id"].as_i64().unwrap_or_default()),
                Some(row) => Err(monitor.incident(row["id"].as_i64().unwrap_or_default()).to_string()),
                None => Err(format!("no such incident; target: {}", monitor.target(name))),
            }
        });
        self.incident(id)
    }

    /// Fails if the target ever had an incident.
    #[track_caller]
    pub fn assert_no_incident(&self, name: &str) {
        if let Some(row) = self.incidents(name).first() {
            panic!("{name} was to be left alone: {}", self.incident(row["id"].as_i64().unwrap_or_default()));
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.events.replace(None);
    }

    /// SIGTERM; gives how it ended, which it must do before long.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.process().signal(Signal::TERM);
        let child = &mut self.child;
        let status = wait_until(Duration::from_secs(10), "the monitor to end", || {
            child.try_wait().map_err(|e| e.to_string())?.ok_or_else(|| "it runs".to_owned())
        });
        self.events.replace(None);
        status
    }

    /// What it wrote to stderr and stdout.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("stderr.log")).unwrap_or_default()
    }

    /// Runs another of its commands over the same folder: status and all that it printed.
    pub fn run(&self, arguments: &[&str]) -> (ExitStatus, String) {
        let mut command = command(&self.folder, arguments);
        let output = command.args(["--listen", &self.listen.to_string()]).output().expect("the command runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status, String::from_utf8_lossy(&text).into_owned())
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            println!("--- the monitor's log, its last lines");
            for line in &lines[lines.len().saturating_sub(150)..] {
                println!("{line}");
            }
            for entry in fs::read_dir(self.folder.join("data/logs/servers")).into_iter().flatten().flatten() {
                let text = fs::read_to_string(entry.path()).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                println!("--- {}", entry.path().display());
                println!("{}", lines[lines.len().saturating_sub(30)..].join("\n"));
            }
        }
        self.kill();
    }
}
