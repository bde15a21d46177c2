//! What a new user meets, without a configuration file.

use std::{net::TcpListener, time::Duration};

use serde_json::json;

use crate::{
    harness::{
        Backend, Bed, Kind, Monitor, Server, Tier, http, isolated,
        isolation::Isolation,
        monitor::bare,
        process::{self, Signal},
        say, wait_until,
    },
    test_name,
};

const SOON: Duration = Duration::from_secs(30);

/// Runs a test that needs the usual ports of the servers and of the monitor, or says that it cannot.
pub fn on_usual_ports(name: &str, play: fn(&Bed)) {
    isolated(name, |isolation| match isolation {
        Isolation::Machine => play(&Bed::new(isolation)),
        Isolation::Ports => say(&format!("{name} is left out: it needs the servers' usual ports")),
    });
}

/// Waits until the monitor has said all of these.
fn says(monitor: &Monitor, parts: &[&str]) {
    wait_until(SOON, "the words of the first minutes", || {
        let log = monitor.log();
        match parts.iter().find(|part| !log.contains(**part)) {
            None => Ok(()),
            Some(part) => Err(format!("{part:?} is not said:\n{log}")),
        }
    });
}

fn usual(address: &str) -> std::net::SocketAddr {
    address.parse().expect("an address")
}

#[test]
fn a_running_ollama_is_found_and_only_observed() {
    on_usual_ports(test_name!(a_running_ollama_is_found_and_only_observed), |bed| {
        let backend = Backend::new(bed, Kind::Ollama, Tier::Demo);
        let server = Server::start(bed, &backend, usual("127.0.0.1:11434"));
        backend.load(server.address, backend.model(), "30m");
        let monitor = Monitor::start_bare(bed);
        let target = monitor.wait_state("ollama", "online", SOON);
        assert_eq!(target["found"], json!(true), "{target}");
        assert_eq!(target["version"], json!("0.32.15-demo"), "{target}");
        assert_eq!(target["url"], json!("http://127.0.0.1:11434"), "{target}");
        assert_eq!(target["process_id"], json!(server.process.pid), "{target}");
        assert!(target["hint"].is_string(), "the line that would let the monitor mend it: {target}");
        says(&monitor, &["Ollama", "0.32.15-demo", "127.0.0.1:11434", "demo:latest", "http://127.0.0.1:5000"]);
        server.process.signal(Signal::KILL);
        monitor.wait_state("ollama", "offline", SOON);
        assert!(std::net::TcpStream::connect(server.address).is_err(), "observed only");
    });
}

#[test]
fn where_nothing_runs_it_says_where_it_looked_and_what_to_do() {
    on_usual_ports(test_name!(where_nothing_runs_it_says_where_it_looked_and_what_to_do), |bed| {
        let monitor = Monitor::start_bare(bed);
        says(&monitor, &["11434", "8080", "30 s", "ai-monitor demo", "[[target]]"]);
    });
}

#[test]
fn a_taken_port_is_refused_before_any_target_is_touched() {
    on_usual_ports(test_name!(a_taken_port_is_refused_before_any_target_is_touched), |bed| {
        let backend = Backend::new(bed, Kind::Ollama, Tier::Demo);
        let _holder = TcpListener::bind("127.0.0.1:5000").expect("the monitor's usual port");
        let target = bed.free_address();
        let folder = bed.folder("monitor");
        std::fs::write(folder.join("config.toml"), backend.target("it", target, "")).expect("a configuration");
        let output = crate::harness::monitor::command(&folder, &[]).output().expect("the monitor runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{said}");
        let own_name = std::env::current_exe().ok().and_then(|p| p.file_name()?.to_str().map(|n| n[..15].to_owned()));
        let own_name = own_name.expect("the holder is this process");
        for part in ["127.0.0.1:5000", &own_name, &std::process::id().to_string(), "--listen 127.0.0.1:5050"] {
            assert!(said.contains(part), "{part:?} was to be said: {said}");
        }
        assert!(std::net::TcpStream::connect(target).is_err(), "the target was not to be started");
    });
}

#[test]
fn a_second_start_says_that_it_is_already_running() {
    on_usual_ports(test_name!(a_second_start_says_that_it_is_already_running), |bed| {
        let monitor = Monitor::start_bare(bed);
        // The same folder and the same port: the user has forgotten that it runs.
        let output = bare(&monitor.folder).output().expect("the monitor runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{said}");
        assert!(said.contains("already running") && said.contains("http://127.0.0.1:5000"), "{said}");
        http::get(monitor.listen, "/api/health", SOON).expect("the first one is not disturbed");
    });
}

#[test]
fn the_demo_breaks_heals_and_explains_within_30_seconds() {
    on_usual_ports(test_name!(the_demo_breaks_heals_and_explains_within_30_seconds), |bed| {
        let folder = bed.folder("monitor");
        let log = folder.join("demo.log");
        let out = std::fs::File::create(&log).expect("the demo's output");
        let err = out.try_clone().expect("the demo's output");
        let mut demo = bare(&folder).arg("demo").stdout(out).stderr(err).spawn().expect("the demo runs");
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        let status =
            wait_until(SOON, "the end of the demo", || demo.try_wait().map_err(|e| e.to_string())?.ok_or_else(said));
        assert!(status.success(), "{status}: {}", said());
        for part in ["dead", "stalled", "healed by start", "healed by end_runner"] {
            assert!(said().contains(part), "{part:?} was to be told: {}", said());
        }
        let left: Vec<_> = process::all().filter(|p| p.exe().is_some_and(|e| e.ends_with("ollama"))).collect();
        assert_eq!(left, [], "the demo's server was to end with it");
    });
}

#[test]
fn a_demo_that_is_broken_off_ends_its_server() {
    on_usual_ports(test_name!(a_demo_that_is_broken_off_ends_its_server), |bed| {
        let folder = bed.folder("monitor");
        let log = folder.join("demo.log");
        let out = std::fs::File::create(&log).expect("the demo's output");
        let mut demo = bare(&folder).arg("demo").stdout(out).spawn().expect("the demo runs");
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        let asked = |part: &str| if said().contains(part) { Ok(()) } else { Err(said()) };
        wait_until(SOON, "the first fault", || asked("fault 1"));
        process::Process::find(demo.id()).expect("the demo lives").signal(Signal::INT);
        let status =
            wait_until(SOON, "the end of the demo", || demo.try_wait().map_err(|e| e.to_string())?.ok_or_else(said));
        assert!(status.success(), "{status}: {}", said());
        assert!(!said().contains("healed by end_runner"), "it went on to its end: {}", said());
        let of_demo =
            |p: &process::Process| p.exe().is_some_and(|exe| exe.ends_with("ollama") || exe.ends_with("llama-server"));
        let left: Vec<_> = process::all().filter(of_demo).collect();
        assert_eq!(left, [], "its server, or what that left, lives on");
    });
}
