//! What a person switches off stays off, also over the monitor's end; what a person asks for is done at once.

use std::{net::SocketAddr, time::Duration};

use serde_json::json;

use crate::{
    harness::{Backend, Bed, Monitor, Server, process::Process, process::Signal, user::one_answer},
    tiers,
};

const SOON: Duration = Duration::from_secs(60);

tiers! {
    demo = Demo {
        a_disabled_target_is_not_started_until_it_is_enabled(Ollama),
        stopped_monitoring_heals_nothing_until_it_is_started(Ollama),
        a_heal_of_a_healthy_target_does_nothing(Ollama),
        a_heal_of_an_observed_target_is_refused_with_its_reason(Ollama),
        a_dry_run_shows_the_ladder_and_does_nothing(Ollama),
    }
}

fn started(bed: &Bed, backend: &Backend) -> (Monitor, SocketAddr) {
    let address = bed.free_address();
    let monitor = Monitor::start(bed, &backend.target("it", address, ""));
    monitor.wait_incident("it", 1, SOON).assert_healed("dead", "start");
    monitor.wait_state("it", "online", SOON);
    (monitor, address)
}

/// Switches something off, kills the server, restarts the monitor, switches it on again.
fn off_and_on(bed: &Bed, backend: &Backend, off: &str, state: &str, on: &str) {
    let (mut monitor, address) = started(bed, backend);
    let server = monitor.process_of("it");
    assert_eq!(monitor.post(off, &json!({})).status, 200);
    monitor.wait_state("it", state, SOON);
    server.signal(Signal::KILL);
    server.wait_gone(SOON);
    let folder = monitor.folder.clone();
    monitor.terminate();
    drop(monitor);

    let monitor = Monitor::start_again(folder, bed.free_address());
    monitor.wait_state("it", state, SOON);
    assert!(std::net::TcpStream::connect(address).is_err(), "it was switched off, and somebody started it");
    assert_eq!(monitor.post(on, &json!({})).status, 200);
    monitor.wait_incident("it", 2, SOON).assert_healed("dead", "start");
    one_answer(backend, address, backend.model(), SOON).expect("an answer");
}

fn a_disabled_target_is_not_started_until_it_is_enabled(bed: &Bed, backend: &Backend) {
    off_and_on(bed, backend, "models/it/disable", "disabled", "models/it/enable");
}

fn stopped_monitoring_heals_nothing_until_it_is_started(bed: &Bed, backend: &Backend) {
    off_and_on(bed, backend, "stop", "paused", "start");
}

fn a_heal_of_a_healthy_target_does_nothing(bed: &Bed, backend: &Backend) {
    let (monitor, _) = started(bed, backend);
    let server = monitor.process_of("it");
    let answer = monitor.post("heal", &json!({"model": "it"}));
    assert_eq!((answer.status, &answer.json()["success"]), (200, &json!(true)), "{}", answer.body);
    let answer = monitor.post("heal-now", &json!({}));
    assert_eq!(answer.json()["offline_models"], json!([]), "{}", answer.body);
    assert_eq!(monitor.process_of("it"), server);
    assert_eq!(monitor.incidents("it").len(), 1, "only the one of its start");
}

fn a_heal_of_an_observed_target_is_refused_with_its_reason(bed: &Bed, backend: &Backend) {
    let server = Server::start(bed, backend, bed.free_address());
    let monitor = Monitor::start(bed, &backend.observed("it", server.address, ""));
    monitor.wait_state("it", "online", SOON);
    server.process.signal(Signal::KILL);
    monitor.wait_state("it", "offline", SOON);
    let answer = monitor.post("heal", &json!({"model": "it"}));
    let json = answer.json();
    assert_eq!((&json["status"], &json["success"]), (&json!("warning"), &json!(false)), "{}", answer.body);
    assert!(json["message"].as_str().is_some_and(|m| m.contains("observed")), "{}", answer.body);
    assert!(std::net::TcpStream::connect(server.address).is_err(), "nobody started it");
}

fn a_dry_run_shows_the_ladder_and_does_nothing(bed: &Bed, backend: &Backend) {
    let server = Server::start(bed, backend, bed.free_address());
    let config = backend.target("it", server.address, "") + "dry_run = true\n";
    let monitor = Monitor::start(bed, &config);
    monitor.wait_state("it", "online", SOON);
    server.process.signal(Signal::KILL);
    let incident = monitor.wait_incident("it", 1, SOON);
    assert_eq!(incident.row["class"], json!("dead"), "{incident}");
    incident.assert_tells(&["reap", "start"]);
    assert!(std::net::TcpStream::connect(server.address).is_err(), "a dry run starts nothing");
    let others = crate::harness::process::all().filter(|p: &Process| p.exe().is_some_and(|e| e == backend.program()));
    assert_eq!(others.count(), 0);
}
