//! The monitor's own end, polite or not, costs nobody anything.

use std::{io::Read, net::TcpListener, time::Duration};

use serde_json::json;

use crate::{
    harness::{Backend, Bed, Monitor, process, process::Process, user::one_answer},
    tiers,
};

const SOON: Duration = Duration::from_secs(60);

tiers! {
    demo = Demo {
        a_started_server_that_logs_outlives_the_monitors_crash(Ollama),
        a_heal_that_a_crash_cut_short_is_finished_once(Ollama),
        a_start_that_a_crash_cut_short_is_not_done_twice(Llama),
        the_end_by_sigterm_is_quick_and_says_who_keeps_running(Ollama),
        one_monitor_per_data_folder(Ollama),
    }
    real = Real {
        a_started_server_that_logs_outlives_the_monitors_crash(Ollama),
    }
}

/// The servers of this backend's program that live now.
fn servers(backend: &Backend) -> Vec<Process> {
    process::all().filter(|p| p.exe().is_some_and(|e| e == backend.program())).collect()
}

/// A Go server that logs to a pipe whose reader is gone dies of SIGPIPE; the demo's does the same on purpose.
fn a_started_server_that_logs_outlives_the_monitors_crash(bed: &Bed, backend: &Backend) {
    let address = bed.free_address();
    let mut monitor = Monitor::start(bed, &backend.target("it", address, ""));
    monitor.wait_incident("it", 1, SOON).assert_healed("dead", "start");
    monitor.wait_state("it", "online", SOON);
    let server = monitor.process_of("it");
    let folder = monitor.folder.clone();
    monitor.kill();

    // Each answer is a line of its log.
    for _ in 0..20 {
        one_answer(backend, address, backend.model(), SOON).expect("the server answers on");
    }
    assert!(server.lives());
    drop(monitor);
    let monitor = Monitor::start_again(folder, bed.free_address());
    let target = monitor.wait_state("it", "online", SOON);
    assert_eq!(monitor.process_of("it"), server, "found again");
    assert_eq!(target["owner"]["owner"], json!("child"), "as the one that it started: {target}");
    monitor.wait_checks("it", 3, SOON);
    assert_eq!(monitor.incidents("it").len(), 1, "not started twice");
    assert_eq!(servers(backend), [server]);
}

/// Killed in the grace of a restart: the server that ignores SIGTERM still lives, and nothing new was started.
fn a_heal_that_a_crash_cut_short_is_finished_once(bed: &Bed, backend: &Backend) {
    let backend = backend.clone().with_faults(&json!([{"fault": "ignore_sigterm"}]));
    let address = bed.free_address();
    let config = backend.target("it", address, "").replace("grace = \"2s\"", "grace = \"4s\"");
    let mut monitor = Monitor::start(bed, &config);
    monitor.wait_incident("it", 1, SOON).assert_healed("dead", "start");
    monitor.wait_state("it", "online", SOON);
    let server = monitor.process_of("it");
    backend.order(address, &json!({"fault": "hang"}));
    let id = monitor.wait_for(SOON, "the restart to be under way", |monitor| {
        let rows = monitor.incidents("it");
        let Some(row) = rows.first().filter(|row| row["closed"].is_null()) else { return Err(format!("{rows:?}")) };
        let id = row["id"].as_i64().unwrap_or_default();
        let incident = monitor.incident(id);
        let under_way = incident.acts().contains(&("restart".into(), "under".into()));
        if under_way && incident.text.contains("about to") { Ok(id) } else { Err(incident.to_string()) }
    });
    let folder = monitor.folder.clone();
    monitor.kill();
    assert!(server.lives(), "the crash came in the middle");
    drop(monitor);

    let monitor = Monitor::start_again(folder, bed.free_address());
    let incident = monitor.wait_incident("it", 2, SOON);
    assert_eq!(incident.id(), id, "the same incident goes on");
    incident.assert_healed("unresponsive", "restart");
    let restarts = incident.acts().iter().filter(|(act, _)| act == "restart").count();
    assert_eq!(restarts, 1, "{incident}");
    assert!(!server.lives());
    monitor.wait_checks("it", 3, SOON);
    assert_eq!(monitor.incidents("it").len(), 2);
    assert_eq!(servers(&backend), [monitor.process_of("it")], "started once");
}

/// Killed while the new server still loads: it runs, and nobody had seen it ready.
fn a_start_that_a_crash_cut_short_is_not_done_twice(bed: &Bed, backend: &Backend) {
    let backend = backend.clone().with_faults(&json!([{"fault": "slow_load", "seconds": 5, "in": "engine"}]));
    let mut monitor = Monitor::start(bed, &backend.target("it", bed.free_address(), ""));
    monitor.wait_for(SOON, "the start to be under way", |monitor| {
        let row = monitor.incidents("it").first().cloned().ok_or("no incident")?;
        let incident = monitor.incident(row["id"].as_i64().unwrap_or_default());
        if incident.text.contains("was started") { Ok(()) } else { Err(incident.to_string()) }
    });
    let server = servers(&backend);
    assert_eq!(server.len(), 1);
    let folder = monitor.folder.clone();
    monitor.kill();
    drop(monitor);

    let monitor = Monitor::start_again(folder, bed.free_address());
    let incident = monitor.wait_incident("it", 1, SOON);
    incident.assert_healed("dead", "start");
    monitor.wait_state("it", "online", SOON);
    monitor.wait_checks("it", 3, SOON);
    assert_eq!(servers(&backend), server, "started once: {incident}");
    assert_eq!(monitor.incidents("it").len(), 1);
}

fn the_end_by_sigterm_is_quick_and_says_who_keeps_running(bed: &Bed, backend: &Backend) {
    // A server that takes a question and is silent: no answer is waited for, whatever time it has left.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = silent.local_addr().expect("its address");
    let asks =
        format!("[[target]]\nname = \"silent\"\nbackend = \"ollama\"\nurl = \"http://{url}\"\ntimeout = \"60s\"\n");
    let mut monitor = Monitor::start(bed, &format!("{asks}{}", backend.target("it", bed.free_address(), "")));
    let (mut question, _) = silent.accept().expect("the monitor asks");
    question.read_exact(&mut [0; 4]).expect("a request");
    monitor.wait_incident("it", 1, SOON).assert_healed("dead", "start");
    monitor.wait_state("it", "online", SOON);
    let server = monitor.process_of("it");
    let status = monitor.terminate();
    assert!(status.success(), "{status}\n{}", monitor.log());
    assert!(server.lives());
    let log = monitor.log();
    let said = log.lines().rev().take(20).any(|line| line.contains("it") && line.contains(&server.pid.to_string()));
    assert!(said, "it was to say that {} keeps running:\n{log}", server.pid);
}

fn one_monitor_per_data_folder(bed: &Bed, backend: &Backend) {
    let address = bed.free_address();
    let monitor = Monitor::start(bed, &backend.observed("it", address, ""));
    let elsewhere = bed.free_address().to_string();
    let output = crate::harness::monitor::command(&monitor.folder, &["--listen", &elsewhere]).output();
    let output = output.expect("a second monitor");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&monitor.process().pid.to_string()), "it was to name who holds the folder: {said}");
}
