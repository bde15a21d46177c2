//! The simulators do what is published about the real ones: what the other tests stand on.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};

use super::{Fault, Kind, Simulator, process};
use crate::{
    harness::{
        Bed, Server,
        http::{self, Open},
        isolated,
        looker::Looker,
        process::{Process, Signal},
        wait_until,
    },
    test_name,
};

const SOON: Duration = Duration::from_secs(10);
const LOADS_FOR_EVER: Fault = Fault::SlowLoad { seconds: 1000.0 };

/// Waits until the server answers anything.
fn answering(server: &Server) {
    wait_until(SOON, "the simulator to answer", || {
        let log = || std::fs::read_to_string(&server.log).unwrap_or_default();
        http::get(server.address, "/", SOON).map(drop).map_err(|e| format!("{e}; {}", log()))
    });
}

fn get(address: SocketAddr, path: &str) -> (u16, Value) {
    let answer = http::get(address, path, SOON).unwrap_or_else(|e| panic!("GET {path}: {e}"));
    (answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::String(answer.body)))
}

fn order(address: SocketAddr, fault: &Fault) {
    let answer = http::post(address, "/demo/fault", &json!(fault), SOON).expect("ordering a fault");
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// A user's endless request, streamed.
fn asks(address: SocketAddr) -> Open {
    let body = json!({"model": "tiny", "messages": [{"role": "user", "content": "a story"}], "stream": true});
    Open::send(address, "POST", "/v1/chat/completions", Some(&body), Duration::from_secs(60)).expect("a stream")
}

fn engines(server: &Server) -> Vec<Process> {
    server.process.children()
}

#[test]
fn lm_studio_answers_200_to_everything_and_lists_what_is_loaded() {
    isolated(test_name!(lm_studio_answers_200_to_everything_and_lists_what_is_loaded), |isolation| {
        let bed = Bed::new(isolation);
        let server = Simulator::new(&bed, Kind::LmStudio).start(&bed, bed.free_address());
        answering(&server);
        assert_eq!(get(server.address, "/lmstudio-greeting"), (200, json!({"lmstudio": true})));
        let (status, body) = get(server.address, "/health");
        assert_eq!(status, 200);
        assert!(body["error"].as_str().is_some_and(|e| e.starts_with("Unexpected endpoint or method. (GET /health)")));
        let loaded = || {
            let models = get(server.address, "/api/v1/models").1["models"].as_array().cloned().unwrap_or_default();
            let loaded = models.iter().filter(|m| m["loaded_instances"].as_array().is_some_and(|i| !i.is_empty()));
            loaded.map(|m| m["key"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        };
        wait_until(SOON, "its model", || if loaded() == ["tiny"] { Ok(()) } else { Err(format!("{:?}", loaded())) });
        let worker = engines(&server).pop().expect("a worker");
        assert_eq!(worker.stat().map(|s| s.name).as_deref(), Some("node"));
        let unload = http::post(server.address, "/api/v1/models/unload", &json!({"instance_id": "tiny"}), SOON);
        assert_eq!(unload.expect("an answer").json(), json!({"instance_id": "tiny"}));
        worker.wait_gone(SOON);
        assert_eq!(loaded(), Vec::<String>::new());
    });
}

#[test]
fn localai_counts_where_there_is_a_limit_and_imitates_ollama() {
    isolated(test_name!(localai_counts_where_there_is_a_limit_and_imitates_ollama), |isolation| {
        let bed = Bed::new(isolation);
        let simulator = Simulator::new(&bed, Kind::LocalAiWithLimits);
        let starting = simulator.clone().with_faults(&[LOADS_FOR_EVER]).start(&bed, bed.free_address());
        answering(&starting);
        assert_eq!(get(starting.address, "/healthz").0, 200);
        assert_eq!(get(starting.address, "/readyz").0, 503, "its preload is in progress");
        drop(starting);
        let server = simulator.start(&bed, bed.free_address());
        answering(&server);
        let ready = || get(server.address, "/readyz").0;
        wait_until(SOON, "readiness", || if ready() == 200 { Ok(()) } else { Err(ready().to_string()) });
        let counts = |running: u64| {
            let limits = get(server.address, "/api/middleware/status").1["admission"]["models"].take();
            let mut tiny = limits.as_array().into_iter().flatten().filter(|model| model["name"] == "tiny");
            if tiny.any(|model| model["in_flight"] == json!(running)) { Ok(()) } else { Err(limits.to_string()) }
        };
        assert_eq!(counts(0), Ok(()));
        let user = asks(server.address);
        wait_until(SOON, "its backend to be busy", || counts(1));
        // llama.cpp's backend says the same, idle or at work: that it has no state to tell.
        let monitor = |model: &str| {
            let (status, answer) = get(server.address, &format!("/backend/monitor?model={model}"));
            (status, answer["error"]["message"].as_str().unwrap_or_default().to_owned())
        };
        let (status, text) = monitor("tiny");
        assert!(status == 500 && text.contains("code = Unimplemented"), "{status} {text}");
        drop(user);
        wait_until(SOON, "its backend to be idle", || counts(0));
        assert_eq!(monitor("other"), (500, "backend other is not currently loaded".into()));
        assert_eq!(get(server.address, "/api/version"), (200, json!({"version": "0.9.0"})));
        let loaded = || get(server.address, "/system").1["loaded_models"].clone();
        assert_eq!(loaded(), json!([{"id": "tiny", "backend": "llama-cpp"}]));
        // What is loaded after its start does not make it unready, and is not told of until it is there.
        let worker = engines(&server).pop().expect("a backend");
        let stopped = http::post(server.address, "/backend/shutdown", &json!({"model": "tiny"}), SOON);
        assert_eq!(stopped.expect("an answer").json(), json!({"message": "model stopped"}));
        worker.wait_gone(SOON);
        order(server.address, &LOADS_FOR_EVER);
        let address = server.address;
        std::thread::spawn(move || http::post(address, "/backend/load", &json!({"model": "tiny"}), SOON));
        wait_until(SOON, "its engine", || if engines(&server).is_empty() { Err("none".into()) } else { Ok(()) });
        assert_eq!((ready(), loaded()), (200, json!([])));
        assert_eq!(monitor("tiny"), (500, "backend tiny is not currently loaded".into()));
    });
}

/// `/v1` alone is behind the key.
#[test]
fn vllm_with_a_key_is_known_by_what_needs_none() {
    isolated(test_name!(vllm_with_a_key_is_known_by_what_needs_none), |isolation| {
        let bed = Bed::new(isolation);
        let server = Simulator::new(&bed, Kind::Vllm).start(&bed, bed.free_address());
        answering(&server);
        order(server.address, &Fault::Unauthorised);
        assert_eq!(get(server.address, "/v1/models").0, 401);
        Looker::new("openai", Some("vllm"), server.address);
    });
}

#[test]
fn vllm_listens_when_its_engine_is_ready_and_counts_while_it_works() {
    isolated(test_name!(vllm_listens_when_its_engine_is_ready_and_counts_while_it_works), |isolation| {
        let bed = Bed::new(isolation);
        let simulator = Simulator::new(&bed, Kind::Vllm);
        let loading = simulator.clone().with_faults(&[LOADS_FOR_EVER]).start(&bed, bed.free_address());
        let engine = || if engines(&loading).is_empty() { Err("none".into()) } else { Ok(()) };
        wait_until(SOON, "its engine", engine);
        let refused = http::get(loading.address, "/health", SOON).expect_err("refused while it loads");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        drop(loading);
        let server = simulator.start(&bed, bed.free_address());
        answering(&server);
        assert_eq!(get(server.address, "/v1/models").1["data"][0]["owned_by"], json!("vllm"));
        let count = |name: &str| {
            let (_, text) = get(server.address, "/metrics");
            let text = text.as_str().unwrap_or_default().to_owned();
            let line = text.lines().find(|l| l.starts_with(&format!("vllm:{name}{{"))).unwrap_or_default().to_owned();
            line.rsplit(' ').next().and_then(|v| v.parse::<f64>().ok()).unwrap_or(-1.0)
        };
        let user = asks(server.address);
        wait_until(SOON, "tokens", || if count("generation_tokens_total") > 3.0 { Ok(()) } else { Err(String::new()) });
        order(server.address, &Fault::Stall);
        let then = count("generation_tokens_total");
        std::thread::sleep(Duration::from_millis(200));
        assert!(count("generation_tokens_total") <= then + 1.0, "one may have been under way");
        assert_eq!(count("num_requests_running"), 1.0);
        drop(user);
        // vllm#55510: its engine outlives it, and the port is free.
        let engine = engines(&server).pop().expect("an engine");
        server.process.signal(Signal::KILL);
        server.process.wait_gone(SOON);
        assert!(engine.lives());
        assert!(http::get(server.address, "/health", SOON).is_err());
        engine.signal(Signal::KILL);
    });
}

#[test]
fn each_way_of_spoiling_an_answer_is_seen_on_the_wire() {
    isolated(test_name!(each_way_of_spoiling_an_answer_is_seen_on_the_wire), |isolation| {
        let bed = Bed::new(isolation);
        let server = Simulator::new(&bed, Kind::LmStudio).start(&bed, bed.free_address());
        answering(&server);
        let address = server.address;
        let greeting = |within| http::get(address, "/lmstudio-greeting", within);
        order(address, &Fault::BrokenJson);
        assert_eq!(greeting(SOON).expect("half an answer").body, r#"{"lmstud"#);
        order(address, &Fault::WrongTypes);
        assert_eq!(greeting(SOON).expect("an answer").json(), json!({"lmstudio": []}));
        order(address, &Fault::Reset);
        let reset = greeting(SOON).expect_err("a reset").kind();
        assert_eq!(reset, std::io::ErrorKind::ConnectionReset);
        order(address, &Fault::Errors { everywhere: true });
        assert_eq!(greeting(SOON).expect("an answer").status, 500);
        order(address, &Fault::Unauthorised);
        assert_eq!(greeting(SOON).expect("an answer").status, 200, "the greeting needs no key");
        assert_eq!(get(address, "/api/v1/models").0, 401);
        for silent in [Fault::Drip, Fault::Hang] {
            order(address, &Fault::Clear);
            order(address, &silent);
            let late = greeting(Duration::from_millis(300)).expect_err("no whole answer").kind();
            assert!(
                matches!(late, std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock),
                "{silent:?}: {late}"
            );
        }
        order(address, &Fault::Clear);
        assert_eq!(greeting(SOON).expect("an answer").json(), json!({"lmstudio": true}));
    });
}

#[test]
fn sigterm_takes_the_engines_along_and_an_order_ends_the_server() {
    process::be_what_the_variable_says();
    isolated(test_name!(sigterm_takes_the_engines_along_and_an_order_ends_the_server), |isolation| {
        let bed = Bed::new(isolation);
        for kind in [Kind::LmStudio, Kind::LocalAi, Kind::Vllm, Kind::LlamaRouter] {
            let server = Simulator::new(&bed, kind).start(&bed, bed.free_address());
            answering(&server);
            let engine = engines(&server).pop().expect("an engine");
            server.process.signal(Signal::TERM);
            server.process.wait_gone(SOON);
            assert!(!engine.lives(), "{kind:?}");
        }
        let server = Simulator::new(&bed, Kind::Plain).start(&bed, bed.free_address());
        answering(&server);
        let _ = http::post(server.address, "/demo/fault", &json!({"fault": "exit"}), SOON);
        server.process.wait_gone(SOON);
    });
}
