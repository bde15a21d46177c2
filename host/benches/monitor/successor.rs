//! From SIGKILL of a server to the moment at which its successor executes the same program.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{
    fleet::{folder_of_monitor, target},
    harness::{
        Backend, Bed, Kind, Monitor, Tier, monitor,
        process::{Process, Signal},
    },
    report,
};

const GOAL: Duration = Duration::from_millis(50);
/// Between two looks for the successor: the error of one measurement.
const LOOK_EVERY: Duration = Duration::from_micros(200);
const NAME: &str = "server";

/// What was measured.
pub struct Successor {
    what: &'static str,
    times: Vec<Duration>,
}

impl Successor {
    pub fn print(&self) {
        let goal = format!("goal: under {} ms", GOAL.as_millis());
        report::line(self.what, &format!("{}; {goal}", report::spread(&self.times)));
    }
}

/// A server that has no model loaded: nothing is left behind that would have to end first.
pub fn of_an_idle_server(bed: &Bed, kills: usize) -> Successor {
    let what = "SIGKILL of a server to its successor";
    Successor { what, times: kill_again_and_again(bed, kills, |_, _| {}) }
}

/// Its runner outlives it and holds memory: it is ended before the successor starts.
pub fn of_a_server_with_a_model(bed: &Bed, kills: usize) -> Successor {
    let what = "the same, with its runner to be ended before";
    let load = |backend: &Backend, address| backend.load(address, backend.model(), "10m");
    Successor { what, times: kill_again_and_again(bed, kills, load) }
}

fn kill_again_and_again(bed: &Bed, kills: usize, once_ready: fn(&Backend, std::net::SocketAddr)) -> Vec<Duration> {
    let backend = Backend::new(bed, Kind::Ollama, Tier::Demo);
    let address = bed.free_address();
    // No backoff, and a budget that is not used up; the rest as every user has it.
    let heal = "[defaults.heal]\nbackoff = \"0s\"\nattempts = 1000\n";
    let folder = folder_of_monitor(bed, &format!("{heal}{}", target(&backend, NAME, address)));
    let listen = bed.free_address();
    let command = monitor::command(&folder, &["--listen", &listen.to_string()]);
    let monitor = Monitor::spawn(command, folder, listen);

    // It starts the server itself: its first incident.
    let mut server = healed(&monitor, backend.program(), 1);
    once_ready(&backend, address);
    // What is loaded is seen by the next look; a heal that finds nothing to do looks.
    monitor.post("heal", &serde_json::json!({ "model": NAME }));
    let mut times = Vec::new();
    for kill in 0..kills {
        let births = Births::after_now();
        let began = Instant::now();
        server.signal(Signal::KILL);
        let seen = births.first_of(backend.program(), Duration::from_secs(20));
        times.push(seen.saturating_duration_since(began));
        server = healed(&monitor, backend.program(), kill + 2);
    }
    times
}

/// Waits for the end of incident `number` (from 1), and until the server is watched as a healthy one is.
fn healed(monitor: &Monitor, program: &Path, number: usize) -> Process {
    let incident = monitor.wait_incident(NAME, number, Duration::from_secs(20));
    monitor.wait_state(NAME, "online", Duration::from_secs(10));
    let server = monitor.process_of(NAME);
    assert_eq!(server.exe().as_deref(), Some(program), "{incident}");
    server
}

/// Finds new processes without an event and without a look at all of them: the kernel tells the newest number.
struct Births {
    known: u32,
}

impl Births {
    fn after_now() -> Births {
        Births { known: newest() }
    }

    /// When a new process executes this program.
    #[track_caller]
    fn first_of(mut self, program: &Path, within: Duration) -> Instant {
        let end = Instant::now() + within;
        // Born, and not this program yet: between fork and exec, or a thread.
        let mut others: Vec<u32> = Vec::new();
        while Instant::now() < end {
            let newest = newest();
            others.extend(self.known + 1..=newest);
            self.known = self.known.max(newest);
            if others.iter().any(|pid| executes(*pid).as_deref() == Some(program)) {
                return Instant::now();
            }
            thread::sleep(LOOK_EVERY);
        }
        panic!("no successor after {within:?}");
    }
}

/// The number that was given last in this process table; threads have numbers too.
fn newest() -> u32 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().last().and_then(|pid| pid.parse().ok()).expect("/proc/loadavg ends with a process's number")
}

fn executes(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}
