//! The demo server does what a real Ollama was measured to do: what the other tests stand on.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    harness::{
        Backend, Bed, Server, User, http,
        process::Signal,
        user::{Heard, one_answer},
        wait_until,
    },
    tiers,
};

const SOON: Duration = Duration::from_secs(10);

tiers! {
    demo = Demo {
        a_model_stays_loaded_as_long_as_its_user_said(Ollama),
        a_killed_runner_stays_listed_until_the_next_request(Ollama),
        a_stopped_idle_runner_is_unloaded_at_once(Ollama),
        a_runner_stopped_in_mid_answer_survives_its_unload(Ollama),
        sigterm_takes_the_runner_along_and_sigkill_leaves_it(Ollama),
        wrong_routes_answer_as_the_recordings(Ollama),
    }
    real = Real {
        a_model_stays_loaded_as_long_as_its_user_said(Ollama),
        a_killed_runner_stays_listed_until_the_next_request(Ollama),
        a_stopped_idle_runner_is_unloaded_at_once(Ollama),
        a_runner_stopped_in_mid_answer_survives_its_unload(Ollama),
        sigterm_takes_the_runner_along_and_sigkill_leaves_it(Ollama),
        wrong_routes_answer_as_the_recordings(Ollama),
    }
}

fn a_model_stays_loaded_as_long_as_its_user_said(bed: &Bed, backend: &Backend) {
    let server = Server::start(bed, backend, bed.free_address());
    let expiry = || seconds_left(&backend.loaded(server.address)[0]);
    assert_eq!(backend.loaded(server.address), Vec::<Value>::new(), "nothing is loaded at the start");

    backend.load(server.address, backend.model(), "30m");
    assert!((1790..=1800).contains(&expiry()), "{}", expiry());
    one_answer(backend, server.address, backend.model(), SOON).expect("an answer");
    assert!((1790..=1800).contains(&expiry()), "an answer keeps the stored duration: {}", expiry());
    backend.load(server.address, backend.model(), "-1s");
    assert!(expiry() > 200 * 365 * 24 * 3600, "for ever: {}", expiry());
}

fn a_killed_runner_stays_listed_until_the_next_request(bed: &Bed, backend: &Backend) {
    let server = Server::start(bed, backend, bed.free_address());
    backend.load(server.address, backend.model(), "30m");
    let runner = backend.runner(&server.process).expect("a runner");
    runner.signal(Signal::KILL);
    runner.wait_gone(SOON);
    assert_eq!(backend.loaded(server.address).len(), 1, "still listed");
    one_answer(backend, server.address, backend.model(), SOON).expect("an answer by a new runner");
    let second = backend.runner(&server.process).expect("a new runner");
    assert_ne!(runner, second);
}

fn a_stopped_idle_runner_is_unloaded_at_once(bed: &Bed, backend: &Backend) {
    let server = Server::start(bed, backend, bed.free_address());
    backend.load(server.address, backend.model(), "30m");
    let runner = backend.runner(&server.process).expect("a runner");
    runner.stop();
    let waited = one_answer(backend, server.address, backend.model(), Duration::from_secs(2));
    assert!(waited.is_err(), "a stopped runner answered: {waited:?}");
    http::get(server.address, "/api/version", Duration::from_secs(1)).expect("the front answers all the while");

    let unload = json!({"model": backend.model(), "keep_alive": 0});
    let answer = http::post(server.address, "/api/generate", &unload, SOON).expect("unloading");
    assert_eq!(answer.json()["done_reason"], json!("unload"), "{}", answer.body);
    runner.wait_gone(SOON);
    assert_eq!(backend.loaded(server.address), Vec::<Value>::new());
}

fn a_runner_stopped_in_mid_answer_survives_its_unload(bed: &Bed, backend: &Backend) {
    let server = Server::start(bed, backend, bed.free_address());
    backend.load(server.address, backend.slow_model(), "30m");
    let user = User::asks(backend, server.address, backend.slow_model(), 500);
    user.wait_token(SOON);
    let runner = backend.runner(&server.process).expect("a runner");
    runner.stop();

    let unload = json!({"model": backend.slow_model(), "keep_alive": 0});
    let answer = http::post(server.address, "/api/generate", &unload, SOON).expect("unloading");
    assert_eq!(answer.json()["done_reason"], json!("unload"), "it says that it is done: {}", answer.body);
    assert!(runner.lives(), "and it is not");

    runner.signal(Signal::KILL);
    match user.wait_over(SOON) {
        Heard::Error(text) => assert!(text.contains("an error was encountered while running the model"), "{text}"),
        other => panic!("the user heard {other:?}"),
    }
    one_answer(backend, server.address, backend.model(), SOON).expect("an answer by a new runner");
}

fn sigterm_takes_the_runner_along_and_sigkill_leaves_it(bed: &Bed, backend: &Backend) {
    let address = bed.free_address();
    let server = Server::start(bed, backend, address);
    backend.load(address, backend.model(), "30m");
    let runner = backend.runner(&server.process).expect("a runner");
    server.process.signal(Signal::TERM);
    server.process.wait_gone(SOON);
    runner.wait_gone(SOON);

    let server = Server::start(bed, backend, address);
    backend.load(address, backend.model(), "30m");
    let runner = backend.runner(&server.process).expect("a runner");
    server.process.signal(Signal::KILL);
    server.process.wait_gone(SOON);
    let parent = wait_until(SOON, "another parent of the orphan", || match runner.stat() {
        Some(stat) if stat.parent != server.process.pid => Ok(stat.parent),
        other => Err(format!("{other:?}")),
    });
    assert_ne!(parent, server.process.pid);
    assert!(runner.lives(), "ollama#5642: the runner stays with its memory");
    runner.signal(Signal::KILL);
}

fn wrong_routes_answer_as_the_recordings(bed: &Bed, backend: &Backend) {
    let server = Server::start(bed, backend, bed.free_address());
    let get = |path: &str| http::get(server.address, path, SOON).expect("an answer");
    assert_eq!(get("/").body, "Ollama is running");
    assert_eq!((get("/health").status, get("/health").body.as_str()), (404, "404 page not found"));
    let wrong_method = get("/api/chat");
    assert_eq!((wrong_method.status, wrong_method.body.as_str()), (405, "405 method not allowed"));
    assert_eq!(wrong_method.header("allow"), Some("POST"));

    let missing = json!({"model": "nope", "messages": [{"role": "user", "content": "x"}]});
    let native = http::post(server.address, "/api/chat", &missing, SOON).expect("an answer");
    assert_eq!((native.status, native.json()), (404, json!({"error": "model 'nope' not found"})));
    let v1 = http::post(server.address, "/v1/chat/completions", &missing, SOON).expect("an answer");
    let error = json!({"message": "model 'nope' not found", "type": "not_found_error", "param": null, "code": null});
    assert_eq!((v1.status, v1.json()), (404, json!({ "error": error })));
}

fn seconds_left(row: &Value) -> i64 {
    let text = row["expires_at"].as_str().unwrap_or_default();
    let expires: jiff::Timestamp = text.parse().unwrap_or_else(|e| panic!("expires_at {text:?}: {e}"));
    expires.duration_since(jiff::Timestamp::now()).as_secs()
}
