//! What users of model servers reported, played by the demo server: each test has its report's number.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};

use crate::{
    harness::{
        Backend, Bed, Monitor, Server, User,
        process::Signal,
        user::{Heard, one_answer},
    },
    tiers,
};

const SOON: Duration = Duration::from_secs(60);

tiers! {
    demo = Demo {
        mlx_lm_1834_the_server_answers_and_its_generation_stands_still(Llama),
        llama_cpp_27388_slots_hang_health_is_well_and_sigterm_is_ignored(Llama),
        ollama_3552_no_token_and_a_busy_processor_is_left_alone(Llama),
        ollama_7779_an_unload_that_is_accepted_and_not_done(Ollama),
        ollama_8271_every_answer_is_an_error(Ollama),
        vllm_48966_the_server_ends_with_code_0(Llama),
        llama_cpp_15128_a_load_that_takes_its_time_is_not_cut_short(Llama),
        a_lost_engine_that_the_next_request_replaces_is_no_fault(Ollama),
        engines_that_end_at_every_load_are_told(Ollama),
    }
}

fn started(bed: &Bed, backend: &Backend) -> (Monitor, SocketAddr) {
    let address = bed.free_address();
    let monitor = Monitor::start(bed, &backend.target("it", address, ""));
    monitor.wait_incident("it", 1, SOON).assert_healed("dead", "start");
    monitor.wait_state("it", "online", SOON);
    (monitor, address)
}

/// An order to the engine, which of a llama.cpp server is the server itself.
fn order(backend: &Backend, address: SocketAddr, fault: Value) {
    backend.order(address, &fault);
}

fn mlx_lm_1834_the_server_answers_and_its_generation_stands_still(bed: &Bed, backend: &Backend) {
    let (monitor, address) = started(bed, backend);
    let server = monitor.process_of("it");
    let user = User::asks(backend, address, backend.model(), 400);
    user.wait_token(SOON);
    order(backend, address, json!({"fault": "stall"}));
    let incident = monitor.wait_incident("it", 2, SOON);
    incident.assert_healed("stalled", "restart").assert_tells(&["in flight", "restart", "done"]);
    assert!(!server.lives());
    assert!(matches!(user.wait_over(SOON), Heard::Error(_)));
    one_answer(backend, address, backend.model(), SOON).expect("an answer");
}

fn llama_cpp_27388_slots_hang_health_is_well_and_sigterm_is_ignored(bed: &Bed, backend: &Backend) {
    let backend = backend.clone().with_faults(&json!([{"fault": "ignore_sigterm", "in": "engine"}]));
    let (monitor, address) = started(bed, &backend);
    let server = monitor.process_of("it");
    let user = User::asks(&backend, address, backend.model(), 400);
    user.wait_token(SOON);
    // That somebody is at work must be known: with that unknown, only an inference probe of a minute could tell.
    monitor.wait_state("it", "busy", SOON);
    order(&backend, address, json!({"fault": "stall"}));
    order(&backend, address, json!({"fault": "slots_hang"}));
    let incident = monitor.wait_incident("it", 2, SOON);
    incident.assert_healed("stalled", "restart").assert_tells(&["/slots", "outlived its grace and was killed"]);
    assert!(!server.lives());
    one_answer(&backend, address, backend.model(), SOON).expect("an answer");
}

/// On a processor, counters alone never prove a stall: prompt processing looks the same (faults.md).
fn ollama_3552_no_token_and_a_busy_processor_is_left_alone(bed: &Bed, backend: &Backend) {
    let (monitor, address) = started(bed, backend);
    let user = User::asks(backend, address, backend.model(), 400);
    user.wait_token(SOON);
    order(backend, address, json!({"fault": "spin"}));
    monitor.wait_state("it", "busy", SOON);
    monitor.wait_checks("it", 10, SOON);
    assert_eq!(monitor.incidents("it").len(), 1, "only the one of its start");
}

fn ollama_7779_an_unload_that_is_accepted_and_not_done(bed: &Bed, backend: &Backend) {
    let (monitor, address) = started(bed, backend);
    backend.load(address, backend.model(), "30m");
    let server = monitor.process_of("it");
    let runner = backend.runner(&server).expect("a runner");
    backend.order(address, &json!({"fault": "keep_loaded"}));
    runner.stop();
    let incident = monitor.wait_incident("it", 2, SOON);
    incident.assert_healed("stalled", "end_runner").assert_tells(&["reload", "still_loaded", "end_runner", "done"]);
    assert!(server.lives() && !runner.lives());
    one_answer(backend, address, backend.model(), SOON).expect("an answer");
}

fn ollama_8271_every_answer_is_an_error(bed: &Bed, backend: &Backend) {
    let (monitor, address) = started(bed, backend);
    let server = monitor.process_of("it");
    order(backend, address, json!({"fault": "errors", "everywhere": true}));
    let incident = monitor.wait_incident("it", 2, SOON);
    incident.assert_healed("erring", "restart").assert_tells(&["wait", "restart", "done"]);
    assert!(!server.lives());
    one_answer(backend, address, backend.model(), SOON).expect("an answer");
}

/// The exit code does not say whether somebody wanted it.
fn vllm_48966_the_server_ends_with_code_0(bed: &Bed, backend: &Backend) {
    let (monitor, address) = started(bed, backend);
    order(backend, address, json!({"fault": "exit", "code": 0}));
    monitor.wait_incident("it", 2, SOON).assert_healed("dead", "start");
    one_answer(backend, address, backend.model(), SOON).expect("an answer");
}

fn llama_cpp_15128_a_load_that_takes_its_time_is_not_cut_short(bed: &Bed, backend: &Backend) {
    let backend = backend.clone().with_faults(&json!([{"fault": "slow_load", "seconds": 6, "in": "engine"}]));
    let server = Server::start_unready(bed, &backend, bed.free_address());
    let monitor = Monitor::start(bed, &backend.target("it", server.address, ""));
    monitor.wait_state("it", "loading", SOON);
    monitor.wait_state("it", "online", SOON);
    assert!(server.process.lives());
    monitor.assert_no_incident("it");
}

fn a_lost_engine_that_the_next_request_replaces_is_no_fault(bed: &Bed, backend: &Backend) {
    let (monitor, address) = started(bed, backend);
    backend.load(address, backend.model(), "30m");
    monitor.wait_checks("it", 2, SOON);
    let runner = backend.runner(&monitor.process_of("it")).expect("a runner");
    runner.signal(Signal::KILL);
    monitor.wait_checks("it", 6, SOON);
    assert_eq!(monitor.incidents("it").len(), 1, "only the one of its start");
    assert_eq!(backend.runner(&monitor.process_of("it")), None, "and nobody loaded it again");
}

/// A user's request is refused each time; the monitor may find nothing loaded, but it must not restart in circles.
fn engines_that_end_at_every_load_are_told(bed: &Bed, backend: &Backend) {
    let backend = backend.clone().with_faults(&json!([{"fault": "load_fails", "in": "engine"}]));
    let (monitor, address) = started(bed, &backend);
    for _ in 0..4 {
        let refused = one_answer(&backend, address, backend.model(), SOON).expect_err("the engine ends as it loads");
        assert!(refused.contains("llama-server process has terminated"), "{refused}");
    }
    monitor.wait_checks("it", 6, SOON);
    let starts: usize = monitor.incidents("it").len();
    assert!(starts <= 2, "restarted in circles: {:?}", monitor.incidents("it"));
    assert!(monitor.process_of("it").lives());
}
