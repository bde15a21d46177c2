//! Servers that cannot be had here are mended end to end: killed, stalled, silent.

use std::time::Duration;

use serde_json::json;

use super::{Fault, Kind, Simulator};
use crate::{
    harness::{
        Bed, Monitor,
        http::{self, Open},
        isolated,
        process::{Process, Signal},
        wait_until,
    },
    test_name,
};

const SOON: Duration = Duration::from_secs(60);

/// Started by the monitor, because a command asks for it.
fn started(bed: &Bed, kind: Kind) -> (Monitor, std::net::SocketAddr) {
    let address = bed.free_address();
    let monitor = Monitor::start(bed, &Simulator::new(bed, kind).target("it", address, ""));
    monitor.wait_incident("it", 1, SOON).assert_healed("dead", "start");
    monitor.wait_state("it", "online", SOON);
    (monitor, address)
}

fn engine(server: &Process) -> Process {
    wait_until(SOON, "an engine", || server.children().pop().ok_or_else(|| "no child".to_owned()))
}

fn order(address: std::net::SocketAddr, fault: &Fault) {
    let answer = http::post(address, "/demo/fault", &json!(fault), SOON).expect("ordering a fault");
    assert_eq!(answer.status, 200, "{}", answer.body);
}

fn asks(address: std::net::SocketAddr) -> Open {
    let body = json!({"model": "tiny", "messages": [{"role": "user", "content": "a story"}], "stream": true});
    wait_until(SOON, "a stream of tokens", || {
        let answer = Open::send(address, "POST", "/v1/chat/completions", Some(&body), Duration::from_secs(200));
        answer
            .map_err(|e| e.to_string())
            .and_then(|a| if a.status() == 200 { Ok(a) } else { Err(a.status().to_string()) })
    })
}

/// Its engine would hold the memory that the next start needs (vllm#55510, LM Studio#588): it is ended first.
fn killed_and_started_again(kind: Kind, leaves_its_engine: bool) -> impl FnOnce(&Bed) {
    move |bed| {
        let (monitor, address) = started(bed, kind);
        let server = monitor.process_of("it");
        let engine = engine(&server);
        monitor.wait_checks("it", 2, SOON);
        server.signal(Signal::KILL);
        let incident = monitor.wait_incident("it", 2, SOON);
        incident.assert_healed("dead", "start").assert_tells(&["SIGKILL", "reap", "start"]);
        assert!(!engine.lives(), "its engine was left behind");
        if leaves_its_engine {
            incident.assert_tells(&["left behind"]);
        }
        monitor.wait_state("it", "online", SOON);
        assert_ne!(monitor.process_of("it"), server);
        drop(asks(address));
    }
}

macro_rules! played {
    ($($name:ident = $body:expr;)*) => {
        $(#[test]
        fn $name() {
            isolated(test_name!($name), |isolation| ($body)(&Bed::new(isolation)));
        })*
    };
}

played! {
    a_killed_lm_studio_is_started_again = killed_and_started_again(Kind::LmStudio, true);
    a_killed_localai_is_started_again = killed_and_started_again(Kind::LocalAi, false);
    vllm_55510_a_killed_vllm_is_started_again_after_its_engine_is_gone = killed_and_started_again(Kind::Vllm, true);
    vllm_17972_one_running_and_no_token_is_started_again = one_running_and_no_token;
    a_silent_localai_is_restarted = silent_localai;
    a_lost_worker_of_lm_studio_is_no_fault = lost_worker;
}

/// It has no way to load a model again, and ends with its engine: what is left is a restart.
fn one_running_and_no_token(bed: &Bed) {
    let (monitor, address) = started(bed, Kind::Vllm);
    let server = monitor.process_of("it");
    let _user = asks(address);
    monitor.wait_state("it", "busy", SOON);
    order(address, &Fault::Stall);
    let incident = monitor.wait_incident("it", 2, SOON);
    incident.assert_healed("stalled", "start").assert_tells(&["in flight", "end_runner", "dead", "start"]);
    assert!(!server.lives());
    monitor.wait_state("it", "online", SOON);
}

fn silent_localai(bed: &Bed) {
    let (monitor, address) = started(bed, Kind::LocalAi);
    let server = monitor.process_of("it");
    let backend = engine(&server);
    order(address, &Fault::Hang);
    let incident = monitor.wait_incident("it", 2, 2 * SOON);
    incident.assert_healed("unresponsive", "restart").assert_tells(&["/healthz", "timeout", "restart", "done"]);
    assert!(!server.lives() && !backend.lives());
}

/// LM Studio loads a model again when it is asked for.
fn lost_worker(bed: &Bed) {
    let (monitor, address) = started(bed, Kind::LmStudio);
    let server = monitor.process_of("it");
    engine(&server);
    monitor.wait_checks("it", 2, SOON);
    order(address, &Fault::LoseEngines);
    monitor.wait_checks("it", 8, SOON);
    assert_eq!(monitor.incidents("it").len(), 1, "only the one of its start");
    assert!(server.lives() && server.children().is_empty(), "and nobody loaded it again");
}
