//! What goes wrong is seen as what it is, mended by the least act, and told.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use serde_json::json;

use crate::{
    harness::{
        Backend, Bed, Monitor, Server, User, http,
        process::Signal,
        user::{Heard, one_answer},
    },
    tiers,
};

/// Start of a server, its load, and the checks around it, on a machine that builds something else beside.
const HEALED: Duration = Duration::from_secs(60);

tiers! {
    demo = Demo {
        a_server_that_does_not_run_is_started_once(Ollama),
        a_killed_server_is_started_again(Llama),
        a_killed_ollama_is_started_again_with_what_it_had_loaded(Ollama),
        a_stopped_server_is_restarted(Llama),
        a_stopped_ollama_is_restarted(Ollama),
        a_runner_stopped_in_mid_answer_is_ended_and_not_the_server(Ollama),
        an_idle_runner_that_hangs_is_loaded_anew(Ollama),
        a_dry_run_shows_the_ladder_and_does_nothing(Ollama),
        a_server_that_ignores_sigterm_is_killed(Ollama),
        a_working_instance_is_taken_on(Ollama),
        a_stranger_on_the_port_is_named_and_left_alone(Llama),
    }
    real = Real {
        a_server_that_does_not_run_is_started_once(Ollama),
        a_killed_server_is_started_again(Llama),
        a_killed_ollama_is_started_again_with_what_it_had_loaded(Ollama),
        a_stopped_server_is_restarted(Llama),
        a_stopped_ollama_is_restarted(Ollama),
        a_runner_stopped_in_mid_answer_is_ended_and_not_the_server(Ollama),
        a_server_that_outlives_sigterm_is_killed(Llama),
        a_working_instance_is_taken_on(Ollama),
        a_stranger_on_the_port_is_named_and_left_alone(Llama),
    }
}

/// A monitor that has started its server, `it`: the first incident.
fn started(bed: &Bed, backend: &Backend) -> (Monitor, SocketAddr) {
    let address = bed.free_address();
    let monitor = Monitor::start(bed, &backend.target("it", address, ""));
    monitor.wait_incident("it", 1, HEALED).assert_healed("dead", "start");
    monitor.wait_state("it", "online", HEALED);
    (monitor, address)
}

/// Loads a model and waits until the monitor has seen it.
fn load(monitor: &Monitor, backend: &Backend, address: SocketAddr, model: &str) {
    backend.load(address, model, "30m");
    monitor.wait_for(HEALED, "the monitor to see the loaded model", |monitor| {
        let models = monitor.target("it")["models"].clone();
        let mut all = models.as_array().into_iter().flatten();
        let seen = all.any(|m| m["id"] == json!(model) && m["state"] == json!("loaded"));
        if seen { Ok(()) } else { Err(models.to_string()) }
    });
}

fn a_server_that_does_not_run_is_started_once(bed: &Bed, backend: &Backend) {
    let (monitor, address) = started(bed, backend);
    let server = monitor.process_of("it");
    monitor.wait_checks("it", 5, HEALED);
    assert_eq!(monitor.process_of("it"), server, "not started again");
    assert_eq!(monitor.incidents("it").len(), 1);
    one_answer(backend, address, backend.model(), HEALED).expect("an answer");
}

fn a_killed_server_is_started_again(bed: &Bed, backend: &Backend) {
    let (monitor, address) = started(bed, backend);
    let server = monitor.process_of("it");
    server.signal(Signal::KILL);
    let incident = monitor.wait_incident("it", 2, HEALED);
    incident.assert_healed("dead", "start").assert_acts(&["reap", "start"]).assert_tells(&["SIGKILL", "start"]);
    assert_ne!(monitor.process_of("it"), server);
    one_answer(backend, address, backend.model(), HEALED).expect("an answer");

    // The command line tells the same tale; without a number, the newest.
    for arguments in [vec!["explain"], vec!["explain", &incident.id().to_string()]] {
        let (status, said) = monitor.run(&arguments);
        assert!(status.success(), "{said}");
        for line in incident.text.lines().map(str::trim).filter(|l| !l.is_empty()) {
            assert!(said.contains(line), "{arguments:?} does not say {line:?}: {said}");
        }
    }
}

/// ollama#5642: its runner survives it, and is reaped before the start.
fn a_killed_ollama_is_started_again_with_what_it_had_loaded(bed: &Bed, backend: &Backend) {
    let (monitor, address) = started(bed, backend);
    load(&monitor, backend, address, backend.model());
    let (server, row) = (monitor.process_of("it"), backend.loaded(address)[0].clone());
    let runner = backend.runner(&server).expect("a runner");
    server.signal(Signal::KILL);

    let incident = monitor.wait_incident("it", 2, HEALED);
    incident.assert_healed("dead", "start").assert_acts(&["reap", "start"]);
    assert_eq!(incident.acts()[0].1, "done", "the runner was a leftover: {incident}");
    assert!(!runner.lives(), "the runner that was left behind");
    assert_ne!(monitor.process_of("it"), server);
    let again = backend.loaded(address);
    assert_eq!(again.len(), 1, "what was loaded is loaded again: {again:?}");
    let moved = expiry(&again[0]).duration_since(expiry(&row)).as_secs().abs();
    assert!(moved <= 10, "with the expiry that it had left; it moved by {moved} s");
    one_answer(backend, address, backend.model(), HEALED).expect("an answer");
}

fn expiry(row: &serde_json::Value) -> jiff::Timestamp {
    row["expires_at"].as_str().and_then(|t| t.parse().ok()).unwrap_or_else(|| panic!("no expiry: {row}"))
}

/// Its port accepts, nothing answers, and SIGTERM waits until it goes on: never.
fn a_stopped_server_is_restarted(bed: &Bed, backend: &Backend) {
    let (monitor, address) = started(bed, backend);
    let server = monitor.process_of("it");
    server.stop();
    let incident = monitor.wait_incident("it", 2, HEALED);
    incident.assert_healed("unresponsive", "restart");
    assert!(!server.lives(), "the server that was stopped");
    assert_ne!(monitor.process_of("it"), server);
    one_answer(backend, address, backend.model(), HEALED).expect("an answer");
}

fn a_stopped_ollama_is_restarted(bed: &Bed, backend: &Backend) {
    let (monitor, address) = started(bed, backend);
    load(&monitor, backend, address, backend.model());
    let server = monitor.process_of("it");
    let runner = backend.runner(&server).expect("a runner");
    server.stop();
    let incident = monitor.wait_incident("it", 2, HEALED);
    incident.assert_healed("unresponsive", "restart");
    assert!(!server.lives() && !runner.lives(), "the whole tree is gone");
    assert_eq!(backend.loaded(address).len(), 1, "what was loaded is loaded again");
    one_answer(backend, address, backend.model(), HEALED).expect("an answer");
}

/// The front answers, a user waits, no token comes: the runner is what hangs.
fn a_runner_stopped_in_mid_answer_is_ended_and_not_the_server(bed: &Bed, backend: &Backend) {
    let (monitor, address) = started(bed, backend);
    load(&monitor, backend, address, backend.slow_model());
    let server = monitor.process_of("it");
    let user = User::asks(backend, address, backend.slow_model(), 1500);
    user.wait_token(HEALED);
    let runner = backend.runner(&server).expect("a runner");
    runner.stop();

    let incident = monitor.wait_incident("it", 2, 2 * HEALED);
    incident.assert_healed("stalled", "end_runner");
    assert!(server.lives(), "the server itself was not to be touched: {incident}");
    assert!(!runner.lives());
    match user.wait_over(HEALED) {
        Heard::Error(_) => {}
        other => panic!("the user's answer broke off, but heard was {other:?}"),
    }
    one_answer(backend, address, backend.slow_model(), HEALED).expect("an answer");
}

/// ollama#15950: the runner accepts, and the request never reaches its loop; nobody waits for it.
fn an_idle_runner_that_hangs_is_loaded_anew(bed: &Bed, backend: &Backend) {
    let (monitor, address) = started(bed, backend);
    load(&monitor, backend, address, backend.model());
    let server = monitor.process_of("it");
    let runner = backend.runner(&server).expect("a runner");
    backend.order(address, &json!({"fault": "hang", "in": "engine"}));
    let incident = monitor.wait_incident("it", 2, 2 * HEALED);
    incident.assert_healed("stalled", "reload");
    assert!(server.lives() && !runner.lives(), "{incident}");
    one_answer(backend, address, backend.model(), HEALED).expect("an answer");
}

/// A real llama-server with a request in flight closes its port at SIGTERM and lives on until that client gives up
/// (35 s, 55 s measured).
fn a_server_that_outlives_sigterm_is_killed(bed: &Bed, backend: &Backend) {
    let slow = backend.models().join("slow.gguf").display().to_string();
    let backend = backend.clone().with_arguments(&["-m", &slow, "-c", "4096"]);
    let (monitor, address) = started(bed, &backend);
    let server = monitor.process_of("it");
    let asked = std::thread::spawn(move || {
        let body = json!({"messages": [{"role": "user", "content": "Tell a long story"}], "max_tokens": 4000});
        http::post(address, "/v1/chat/completions", &body, Duration::from_secs(120)).map(|a| a.status)
    });
    monitor.wait_state("it", "busy", HEALED);
    server.stop();
    let incident = monitor.wait_incident("it", 2, HEALED);
    incident.assert_healed("unresponsive", "restart").assert_tells(&["restart", "outlived its grace and was killed"]);
    assert!(!server.lives());
    assert!(asked.join().expect("the user").is_err(), "the user's answer broke off with the server");
    one_answer(&backend, address, backend.model(), HEALED).expect("an answer");
}

fn a_dry_run_shows_the_ladder_and_does_nothing(bed: &Bed, backend: &Backend) {
    let address = bed.free_address();
    let monitor = Monitor::start(bed, &format!("{}dry_run = true\n", backend.target("it", address, "")));
    let incident = monitor.wait_incident("it", 1, HEALED);
    incident
        .assert_ended("dead", "gave_up")
        .assert_tells(&["dry run: reap was not done", "dry run: start was not done"]);
    assert!(http::get(address, "/api/version", Duration::from_secs(2)).is_err(), "nothing was started: {incident}");
    assert_eq!(monitor.target("it")["restart_count"], json!(0), "no counter moves");
}

/// Told to end, Ollama obeys, so only the demo shows it; a stopped one (above) is the real one's case of it.
fn a_server_that_ignores_sigterm_is_killed(bed: &Bed, backend: &Backend) {
    let backend = backend.clone().with_faults(&json!([{"fault": "ignore_sigterm"}]));
    let (monitor, address) = started(bed, &backend);
    let server = monitor.process_of("it");
    backend.order(address, &json!({"fault": "hang"}));
    let incident = monitor.wait_incident("it", 2, HEALED);
    incident.assert_healed("unresponsive", "restart").assert_tells(&["restart", "outlived its grace and was killed"]);
    assert!(!server.lives());
    one_answer(&backend, address, backend.model(), HEALED).expect("an answer");
}

/// ollama#707: "address already in use", because it was already running.
fn a_working_instance_is_taken_on(bed: &Bed, backend: &Backend) {
    let server = Server::start(bed, backend, bed.free_address());
    let monitor = Monitor::start(bed, &backend.target("it", server.address, ""));
    let target = monitor.wait_state("it", "online", HEALED);
    assert_eq!(target["process_id"], json!(server.process.pid));
    assert_eq!(target["owner"]["owner"], json!("command"), "{target}");
    monitor.wait_checks("it", 3, HEALED);
    monitor.assert_no_incident("it");

    // From now on it is looked after like one that the monitor started.
    server.process.signal(Signal::KILL);
    monitor.wait_incident("it", 1, HEALED).assert_healed("dead", "start");
    one_answer(backend, server.address, backend.model(), HEALED).expect("an answer");
}

fn a_stranger_on_the_port_is_named_and_left_alone(bed: &Bed, backend: &Backend) {
    let address = bed.free_address();
    let stranger = TcpListener::bind(address).expect("the stranger's port");
    let own_name = std::env::current_exe().ok().and_then(|p| p.file_name()?.to_str().map(str::to_owned));
    let own_name = own_name.expect("the stranger is this process, and has a name");
    std::thread::spawn(move || {
        for client in stranger.incoming() {
            let Ok(mut client) = client else { return };
            let _ = client.read(&mut [0; 4096]);
            let page = "<h1>something else</h1>";
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", page.len());
            let _ = client.write_all(format!("{head}{page}").as_bytes());
        }
    });
    let monitor = Monitor::start(bed, &backend.target("it", address, ""));
    let incident = monitor.wait_incident("it", 1, HEALED);
    incident.assert_ended("port_conflict", "gave_up").assert_tells(&[&own_name[..15]]);
    let done: Vec<_> = incident.acts().into_iter().filter(|(_, result)| result == "done").collect();
    assert_eq!(done, [], "nothing was to be done: {incident}");
    monitor.wait_state("it", "failed", HEALED);
}
