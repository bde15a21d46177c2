//! Nothing is done to a healthy server, however slow, full or silent it is.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};

use crate::{
    harness::{
        Backend, Bed, Monitor, Server, Tier, User, http,
        user::{Heard, one_answer},
        wait_until,
    },
    tiers,
};

const SOON: Duration = Duration::from_secs(30);

tiers! {
    demo = Demo {
        a_long_generation(Ollama),
        a_long_generation_of_llama(Llama),
        a_long_prompt(Ollama),
        a_long_prompt_of_llama(Llama),
        a_model_that_loads_slowly(Ollama),
        a_server_that_loads_slowly_at_its_start(Llama),
        a_full_queue(Ollama),
        a_sleeping_server_stays_asleep(Llama),
        twenty_rounds_of_probes_move_no_expiry_and_load_nothing(Ollama),
    }
    real = Real {
        a_long_generation(Ollama),
        a_long_generation_of_llama(Llama),
        a_long_prompt_of_llama(Llama),
        a_full_queue(Ollama),
        a_sleeping_server_stays_asleep(Llama),
        twenty_rounds_of_probes_move_no_expiry_and_load_nothing(Ollama),
    }
}

/// A server that is ours to mend and that runs already.
fn watched(bed: &Bed, backend: &Backend) -> (Monitor, Server) {
    let server = Server::start(bed, backend, bed.free_address());
    let monitor = Monitor::start(bed, &backend.target("it", server.address, ""));
    monitor.wait_state("it", "online", SOON);
    (monitor, server)
}

fn assert_untouched(monitor: &Monitor, server: &Server) {
    monitor.assert_no_incident("it");
    assert!(server.process.lives(), "the server was to be left alone");
}

fn a_long_generation(bed: &Bed, backend: &Backend) {
    let (monitor, server) = watched(bed, backend);
    backend.load(server.address, backend.slow_model(), "30m");
    let user = User::asks(backend, server.address, backend.slow_model(), 4000);
    generation_goes_on(&monitor, &server, &user);
    let runner = backend.runner(&server.process).expect("a runner");
    assert!(runner.lives());
}

fn a_long_generation_of_llama(bed: &Bed, backend: &Backend) {
    let backend = slow(backend);
    let (monitor, server) = watched(bed, &backend);
    let user = User::asks(&backend, server.address, backend.model(), 4000);
    generation_goes_on(&monitor, &server, &user);
}

/// A llama.cpp server whose model takes its time.
fn slow(backend: &Backend) -> Backend {
    match backend.tier {
        Tier::Demo => backend.clone(),
        Tier::Real => {
            let model = backend.models().join("slow.gguf").display().to_string();
            backend.clone().with_arguments(&["-m", &model, "-c", "4096"])
        }
    }
}

/// Longer than `stall_after` and many checks.
fn generation_goes_on(monitor: &Monitor, server: &Server, user: &User) {
    user.wait_token(SOON);
    monitor.wait_state("it", "busy", SOON);
    monitor.wait_checks("it", 10, SOON);
    let heard = user.heard_so_far();
    assert!(heard.len() > 10 && heard.iter().all(|h| matches!(h, Heard::Token(_))), "{heard:?}");
    user.wait_token(SOON);
    assert_untouched(monitor, server);
}

/// Measured on a real one: for 14 s of prompt processing no counter moved; only the processor did.
fn a_long_prompt(bed: &Bed, backend: &Backend) {
    let backend = backend.clone().with_faults(&json!([{"fault": "prompt", "seconds": 12, "in": "engine"}]));
    let (monitor, server) = watched(bed, &backend);
    backend.load(server.address, backend.model(), "30m");
    let user = User::asks(&backend, server.address, backend.model(), 20);
    monitor.wait_state("it", "busy", SOON);
    user.wait_token(SOON);
    assert_untouched(&monitor, &server);
}

/// 3,463 tokens: 17 s on an idle core of 2026, 40 s on a busy one (measured).
fn a_long_prompt_of_llama(bed: &Bed, backend: &Backend) {
    let backend = match backend.tier {
        Tier::Demo => backend.clone().with_faults(&json!([{"fault": "prompt", "seconds": 12, "in": "engine"}])),
        Tier::Real => slow(backend),
    };
    let (monitor, server) = watched(bed, &backend);
    let prompt = "the of and to in is you that it he was for ".repeat(80);
    let user = User::asks_about(&backend, server.address, backend.model(), &prompt, 20);
    monitor.wait_state("it", "busy", SOON);
    user.wait_token(4 * SOON);
    assert_untouched(&monitor, &server);
}

fn a_model_that_loads_slowly(bed: &Bed, backend: &Backend) {
    let backend = backend.clone().with_faults(&json!([{"fault": "slow_load", "seconds": 8, "in": "engine"}]));
    let (monitor, server) = watched(bed, &backend);
    one_answer(&backend, server.address, backend.model(), SOON).expect("an answer, after the load");
    monitor.wait_checks("it", 2, SOON);
    assert_untouched(&monitor, &server);
}

fn a_server_that_loads_slowly_at_its_start(bed: &Bed, backend: &Backend) {
    let backend = backend.clone().with_faults(&json!([{"fault": "slow_load", "seconds": 8, "in": "engine"}]));
    let monitor = Monitor::start(bed, &backend.target("it", bed.free_address(), ""));
    let incident = monitor.wait_incident("it", 1, SOON);
    incident.assert_healed("dead", "start").assert_acts(&["reap", "start"]);
    monitor.wait_checks("it", 3, SOON);
    assert_eq!(monitor.incidents("it").len(), 1, "loading was no fault");
}

/// ollama#4124: 503 server busy. Its queue is of those who wait for a load.
fn a_full_queue(bed: &Bed, backend: &Backend) {
    let mut backend = backend.clone().with_variable("OLLAMA_MAX_QUEUE", "1");
    if backend.tier == Tier::Demo {
        backend = backend.with_faults(&json!([{"fault": "slow_load", "seconds": 2, "in": "engine"}]));
    }
    let (monitor, server) = watched(bed, &backend);
    let crowd: Vec<User> = (0..6).map(|_| User::asks(&backend, server.address, backend.slow_model(), 4000)).collect();
    wait_until(SOON, "somebody to be sent away", || {
        let heard: Vec<Heard> = crowd.iter().flat_map(User::heard_so_far).collect();
        let sent_away = heard.iter().any(|h| matches!(h, Heard::Error(e) if e.contains("server busy")));
        if sent_away { Ok(()) } else { Err(format!("{heard:?}")) }
    });
    monitor.wait_state("it", "busy", SOON);
    monitor.wait_checks("it", 8, SOON);
    // On a busy machine the load that the others wait for takes longer than these checks.
    wait_until(2 * SOON, "somebody to be served", || {
        let heard: Vec<Heard> = crowd.iter().flat_map(User::heard_so_far).collect();
        if heard.iter().any(|h| matches!(h, Heard::Token(_))) { Ok(()) } else { Err(format!("{heard:?}")) }
    });
    assert_untouched(&monitor, &server);
}

/// `GET /slots` and any completion wake it; the probes may not.
fn a_sleeping_server_stays_asleep(bed: &Bed, backend: &Backend) {
    let backend = backend.clone().with_arguments(&["--sleep-idle-seconds", "1"]);
    let server = Server::start(bed, &backend, bed.free_address());
    let sleeps = |address: SocketAddr| {
        let props = http::get(address, "/props", SOON).expect("/props").json();
        if props["is_sleeping"] == json!(true) { Ok(()) } else { Err(props["is_sleeping"].to_string()) }
    };
    one_answer(&backend, server.address, backend.model(), SOON).expect("an answer");
    wait_until(SOON, "the server to fall asleep", || sleeps(server.address));
    let monitor = Monitor::start(bed, &backend.target("it", server.address, ""));
    monitor.wait_state("it", "sleeping", SOON);
    for _ in 0..10 {
        monitor.wait_checks("it", 1, SOON);
        assert_eq!(sleeps(server.address), Ok(()), "a probe woke it");
    }
    assert_untouched(&monitor, &server);
}

/// ollama#2176: pings that kept a model warm were part of its load.
fn twenty_rounds_of_probes_move_no_expiry_and_load_nothing(bed: &Bed, backend: &Backend) {
    let (monitor, server) = watched(bed, backend);
    monitor.wait_checks("it", 20, SOON);
    assert_eq!(backend.loaded(server.address), Vec::<Value>::new(), "a probe loaded a model");

    backend.load(server.address, backend.model(), "30m");
    // The load itself is a user's activity, after which one inference probe is allowed (faults.md, rule 2).
    monitor.wait_checks("it", 5, SOON);
    let before = backend.settled(server.address);
    let runner = backend.runner(&server.process).expect("a runner");
    monitor.wait_checks("it", 20, SOON);
    assert_eq!(backend.loaded(server.address), before, "an expiry moved");
    assert!(runner.lives(), "and the runner is the same");
    assert_untouched(&monitor, &server);
}
