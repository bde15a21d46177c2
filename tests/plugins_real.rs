//! The bundled plugins at all depths against real servers: what they see, and that nothing moves because they look.

use std::{collections::BTreeSet, io::ErrorKind, net::SocketAddr, path::Path, time::Duration};

use ai_monitor_plugin_api::event::Depth;
use serde_json::{Value, json};

use crate::{
    harness::{
        Backend, Bed, Kind, Monitor, Server, Tier, User, backend,
        http::{self, Open},
        isolated,
        isolation::Isolation,
        looker::Looker,
        process::Process,
        say,
        user::{Heard, one_answer},
        wait_until,
    },
    test_name,
};

const SOON: Duration = Duration::from_secs(30);
const ROUNDS: usize = 20;

mod real {
    use super::{play, test_name};

    macro_rules! tests {
        ($($name:ident),* $(,)?) => { $(#[test] fn $name() { play(test_name!($name), super::$name); })* };
    }

    tests! {
        ollama_at_every_depth_and_no_expiry_moves,
        ollama_a_model_that_makes_vectors,
        ollama_a_schedule_moves_no_expiry,
        ollama_a_download_without_a_network_says_so,
        llama_server_at_every_depth,
        llama_server_without_metrics,
        llama_server_that_makes_vectors,
        llama_server_falls_asleep_while_it_is_watched,
        a_router_loads_and_evicts_nothing,
        a_router_is_watched_for_a_while,
        a_router_is_mended,
        llama_cpp_python_at_every_depth,
        llama_cpp_python_goes_on_while_it_is_first_seen,
    }
}

fn play(name: &str, body: fn(&Bed)) {
    if let Err(why) = backend::real_servers() {
        return say(&format!("{name} is left out: {why}"));
    }
    isolated(name, |isolation| body(&Bed::new(isolation)));
}

fn ollama(bed: &Bed) -> (Backend, Server, Looker) {
    let backend = Backend::new(bed, Kind::Ollama, Tier::Real);
    let server = Server::start(bed, &backend, bed.free_address());
    let looker = Looker::new("ollama", None, server.address);
    (backend, server, looker)
}

fn model<'a>(report: &'a Value, id: &str) -> &'a Value {
    let models = report["models"].as_array().unwrap_or_else(|| panic!("no models in {report}"));
    models.iter().find(|model| model["id"] == id).unwrap_or_else(|| panic!("no {id} in {report}"))
}

fn ollama_at_every_depth_and_no_expiry_moves(bed: &Bed) {
    let (backend, server, mut looker) = ollama(bed);
    assert_eq!(looker.look(Depth::Liveness), json!({"version": "0.32.15", "phase": "ready"}));
    for _ in 0..ROUNDS {
        looker.round();
    }
    assert_eq!(looker.infer(None, true)["result"], "skipped");
    assert_eq!(looker.infer(Some("tiny"), false)["text"], "tiny is not loaded");
    assert_eq!(backend.loaded(server.address), Vec::<Value>::new(), "a look loaded a model");
    assert_eq!(looker.look(Depth::Progress)["engines"], json!([]));

    // Durations of the user's own, one of them for ever.
    backend.load(server.address, "tiny", "30m");
    backend.load(server.address, "tinyb", "-1m");
    let before = backend.settled(server.address);
    for _ in 0..ROUNDS {
        let questions = looker.round();
        // version ×3, tags, ps ×2, and of each runner health and slots, and whose it is; a look shares its answers.
        assert!(questions <= 12, "{questions} questions in one round");
    }
    let ready = looker.look(Depth::Readiness);
    assert_eq!(
        (&model(&ready, "tiny:latest")["state"], &model(&ready, "tinyb:latest")["expires_at"]),
        (&json!("loaded"), &json!("never"))
    );
    assert_eq!(model(&ready, "slow:latest")["state"], "unloaded");
    let progress = looker.look(Depth::Progress);
    let mut named: Vec<_> =
        progress["engines"].as_array().expect("engines").iter().map(|e| e["model"].as_str()).collect();
    named.sort();
    assert_eq!(named, [Some("tiny:latest"), Some("tinyb:latest")], "{progress}");
    assert_eq!(backend.loaded(server.address), before, "an expiry moved, or something was loaded");

    // While its user waits, its work is counted, and it is not asked for more.
    backend.load(server.address, "slow", "30m");
    let user = User::asks(&backend, server.address, "slow", 4000);
    user.wait_token(SOON);
    let decoded = |looker: &mut Looker| {
        let progress = looker.look(Depth::Progress);
        let engines = progress["engines"].as_array().cloned().unwrap_or_default();
        let busy = engines.iter().find(|engine| engine["running"] == 1)?;
        let decode = busy["counters"].as_array()?.iter().find(|counter| counter["kind"] == "decode")?;
        decode["value"].as_u64()
    };
    let first = wait_until(SOON, "work", || decoded(&mut looker).ok_or_else(|| "none".into()));
    wait_until(SOON, "more work", || match decoded(&mut looker) {
        Some(later) if later > first => Ok(()),
        later => Err(format!("{first} and then {later:?}")),
    });
    let busy = looker.infer(Some("slow"), false);
    assert_eq!((&busy["result"], &busy["text"]), (&json!("skipped"), &json!("no free slot")));
}

fn ollama_a_schedule_moves_no_expiry(bed: &Bed) {
    let (backend, server, mut looker) = ollama(bed);
    backend.load(server.address, "tiny", "30m");
    backend.load(server.address, "tinyb", "-1m");
    let before = backend.settled(server.address);
    for model in ["tiny", "tinyb:latest"].iter().cycle().take(ROUNDS) {
        let inference = looker.infer(Some(model), true);
        assert_eq!(inference["result"], "output", "{inference}");
    }
    assert_eq!(backend.loaded(server.address), before, "an expiry moved");
    // Over a runner that died Ollama would load the model anew.
    let runners: Vec<Process> = server.process.children();
    runners.iter().for_each(|runner| runner.signal(crate::harness::process::Signal::KILL));
    runners.iter().for_each(|runner| runner.wait_gone(SOON));
    let inference = looker.infer(Some("tiny"), false);
    assert!(inference["text"].as_str().is_some_and(|text| text.starts_with("no runner of tiny")), "{inference}");

    // And the whole monitor, by a configuration that asks for it.
    backend.load(server.address, "tiny", "30m");
    let runner = wait_until(SOON, "the new runner", || backend.runner(&server.process).ok_or_else(|| "none".into()));
    let before = backend.settled(server.address);
    let schedule = "inference = { every = \"1s\", model = \"tiny\" }";
    let monitor = Monitor::start(bed, &backend.observed("it", server.address, schedule));
    let task = || {
        let port = port_of(&runner);
        let slots = http::get(SocketAddr::from(([127, 0, 0, 1], port)), "/slots", SOON).expect("/slots").json();
        slots[0]["id_task"].as_i64().unwrap_or(-1)
    };
    // A slot keeps the number of the last request that it served.
    let mut tasks = BTreeSet::from([task()]);
    wait_until(4 * SOON, "three tokens by the clock", || {
        tasks.insert(task());
        if tasks.len() > 3 { Ok(()) } else { Err(format!("{tasks:?}")) }
    });
    monitor.wait_checks("it", 10, SOON);
    assert_eq!(backend.loaded(server.address), before, "an expiry moved");
    monitor.assert_no_incident("it");
}

/// Where a child of a server listens, by its command line.
fn port_of(process: &Process) -> u16 {
    let line = std::fs::read(format!("/proc/{}/cmdline", process.pid)).expect("a command line");
    let args: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let at = args.iter().position(|arg| arg == "--port").expect("--port");
    args[at + 1].parse().expect("a port")
}

fn ollama_a_model_that_makes_vectors(bed: &Bed) {
    let (backend, server, mut looker) = ollama(bed);
    let load = json!({"model": "embed", "input": [], "keep_alive": "30m"});
    let answer = http::post(server.address, "/api/embed", &load, SOON).expect("loading a model");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let before = backend.settled(server.address);
    assert_eq!(before.len(), 1);
    for _ in 0..ROUNDS {
        looker.round();
        let inference = looker.infer(None, true);
        assert_eq!(
            (&inference["result"], &inference["model"]),
            (&json!("output"), &json!("embed:latest")),
            "{inference}"
        );
    }
    assert_eq!(backend.loaded(server.address), before, "an expiry moved");
    assert_eq!(model(&looker.look(Depth::Readiness), "embed:latest")["capabilities"], json!(["embedding"]));
    // Unloaded and loaded again, as its user had it.
    let unloaded = looker.repair("unload", json!({"model": "embed"}));
    assert_eq!(unloaded["result"], "done", "{unloaded}");
    wait_until(SOON, "the unload", || {
        if backend.loaded(server.address).is_empty() { Ok(()) } else { Err("there".into()) }
    });
    let loaded = looker.repair("load", json!({"model": "embed", "expires_at": "never"}));
    assert_eq!(loaded["result"], "done", "{loaded}");
    assert_eq!(model(&looker.look(Depth::Readiness), "embed:latest")["expires_at"], "never");
}

/// In words, by the plugin and in the story of the incident; a download is an act that a user allows.
fn ollama_a_download_without_a_network_says_so(bed: &Bed) {
    let (backend, server, mut looker) = ollama(bed);
    let pulled = looker.repair("pull", json!({"model": "no-such-model"}));
    let text = pulled["text"].as_str().unwrap_or_default();
    assert_eq!(pulled["result"], "failed", "{pulled}");
    assert!(text.starts_with("pull model manifest: ") && text.contains("network is unreachable"), "{pulled}");
    assert_eq!(looker.repair("pull", json!({"model": "not/a name"}))["text"], "invalid model name");

    // The last table is the target's `heal`.
    let target = backend.target("it", server.address, "models = [\"no-such-model\"]");
    let monitor = Monitor::start(bed, &format!("{target}allow = [\"pull\"]\n"));
    let incident = monitor.wait_for(4 * SOON, "the download to be tried", |monitor| {
        let row = monitor.incidents("it").first().cloned().ok_or("no incident")?;
        let incident = monitor.incident(row["id"].as_i64().unwrap_or_default());
        let tried = incident.acts().into_iter().any(|(act, result)| act == "pull" && result == "failed");
        if tried { Ok(incident) } else { Err(incident.to_string()) }
    });
    assert_eq!(incident.row["class"], "model_missing", "{incident}");
    incident.assert_tells(&["pull", "pull model manifest: ", "network is unreachable"]);
}

fn llama(bed: &Bed, more: &[&str]) -> (Backend, Server, Looker) {
    let backend = Backend::new(bed, Kind::Llama, Tier::Real).with_arguments(more);
    let server = Server::start(bed, &backend, bed.free_address());
    let looker = Looker::new("openai", Some("llama.cpp"), server.address);
    (backend, server, looker)
}

fn llama_server_at_every_depth(bed: &Bed) {
    let slow = slow_model();
    let (backend, server, mut looker) = llama(bed, &["-m", &slow, "-c", "4096", "--metrics"]);
    assert_eq!(looker.look(Depth::Liveness), json!({}));
    let ready = looker.look(Depth::Readiness);
    assert_eq!(
        (&ready["phase"], &ready["models"][0]["id"], &ready["models"][0]["state"]),
        (&json!("ready"), &json!("tiny"), &json!("loaded"))
    );
    let idle = looker.look(Depth::Progress)["engines"].take();
    assert_eq!((&idle[0]["running"], &idle[0]["queued"], &idle[0]["capacity"]), (&json!(0), &json!(0), &json!(1)));
    assert!(idle[0]["process"].is_string(), "{idle}");
    let token = looker.infer(None, true);
    assert_eq!((&token["result"], &token["model"]), (&json!("output"), &json!("tiny")), "{token}");

    let user = User::asks(&backend, server.address, "tiny", 4000);
    user.wait_token(SOON);
    let work = |looker: &mut Looker| looker.look(Depth::Progress)["engines"][0].take();
    let first = work(&mut looker);
    assert_eq!(first["running"], 1, "{first}");
    wait_until(SOON, "more work", || {
        let later = work(&mut looker);
        if later["running"] == 1 && later["counters"] != first["counters"] { Ok(()) } else { Err(later.to_string()) }
    });
    assert_eq!(looker.infer(None, false)["text"], "no free slot");
    let refused = looker.repair("unload", json!({"model": "tiny"}));
    assert_eq!(refused["result"], "unsupported");
    assert!(user.heard_so_far().iter().all(|heard| matches!(heard, Heard::Token(_))));
}

fn llama_server_without_metrics(bed: &Bed) {
    let (backend, server, mut looker) = llama(bed, &[]);
    let idle = looker.look(Depth::Progress)["engines"].take();
    assert_eq!((&idle[0]["running"], &idle[0]["capacity"]), (&json!(0), &json!(1)), "{idle}");
    assert_eq!(looker.infer(Some("any name"), true)["result"], "output");
    assert_eq!(one_answer(&backend, server.address, "tiny", SOON).map(drop), Ok(()));
}

/// Its list says of every model that it makes text.
fn llama_server_that_makes_vectors(bed: &Bed) {
    let (_, server, mut looker) = llama(bed, &["--embeddings", "--pooling", "mean"]);
    let list = http::get(server.address, "/v1/models", SOON).expect("/v1/models").json();
    assert_eq!(list["models"][0]["capabilities"], json!(["completion"]), "{list}");
    let vector = looker.infer(None, true);
    assert_eq!(vector["result"], "output", "{vector}");
    assert!(vector.get("tokens").is_none(), "{vector}");
    drop(server);
    // Without pooling it gives no vectors by OpenAI's route, and a request for text ends its process.
    let (_, server, mut looker) = llama(bed, &["--embeddings"]);
    let none = looker.infer(None, true);
    assert_eq!(none["result"], "skipped", "{none}");
    assert_eq!(http::get(server.address, "/health", SOON).map(|answer| answer.status).ok(), Some(200), "it ended");
}

fn slow_model() -> String {
    let servers = backend::real_servers().expect("asked before the test began");
    servers.join("models/slow.gguf").display().to_string()
}

/// `GET /slots` restarts the timer: a monitor that asks for them keeps the server awake for ever.
fn llama_server_falls_asleep_while_it_is_watched(bed: &Bed) {
    for more in [&["--sleep-idle-seconds", "2", "--metrics"][..], &["--sleep-idle-seconds", "2"]] {
        let (backend, server, mut looker) = llama(bed, more);
        one_answer(&backend, server.address, "tiny", SOON).expect("an answer");
        let sleeps = |address| {
            let props = http::get(address, "/props", SOON).expect("/props").json();
            if props["is_sleeping"] == json!(true) { Ok(()) } else { Err(props["is_sleeping"].to_string()) }
        };
        wait_until(SOON, "it to fall asleep", || {
            looker.round();
            assert_eq!(looker.infer(None, true)["result"], "skipped");
            sleeps(server.address)
        });
        for _ in 0..ROUNDS {
            looker.round();
            assert_eq!(looker.infer(None, false)["text"], "it sleeps: asking would wake it");
        }
        assert_eq!(sleeps(server.address), Ok(()), "a look woke it");
        let ready = looker.look(Depth::Readiness);
        assert_eq!((&ready["phase"], &ready["models"][0]["state"]), (&json!("sleeping"), &json!("sleeping")));
    }
}

fn router(bed: &Bed) -> (Server, Looker) {
    let servers = backend::real_servers().expect("asked before the test began");
    let address = bed.free_address();
    let models = servers.join("models").display().to_string();
    let program = servers.join("bin/llama-server").display().to_string();
    let port = address.port().to_string();
    let command = [&program, "--host", "127.0.0.1", "--port", &port, "-t", "1", "-c", "512", "-np", "1"];
    let more = ["--models-dir", &models, "--models-max", "2", "--metrics"];
    let command = command.iter().chain(&more).map(|arg| (*arg).to_owned()).collect();
    let home = ("HOME".to_owned(), bed.folder("home").display().to_string());
    let server = Server::run(bed, address, command, vec![home]);
    wait_answer(address, "/health");
    let looker = Looker::new("openai", Some("llama.cpp-router"), address);
    (server, looker)
}

fn wait_answer(address: SocketAddr, path: &str) {
    wait_until(2 * SOON, "the server to answer", || match http::get(address, path, Duration::from_secs(1)) {
        Ok(answer) if answer.status == 200 => Ok(()),
        Ok(answer) => Err(answer.body),
        Err(e) => Err(e.to_string()),
    });
}

/// The router's own words: model and state.
fn states(address: SocketAddr) -> Vec<(String, String)> {
    let list = http::get(address, "/models", SOON).expect("/models").json();
    let state = |model: &Value| Some((model["id"].as_str()?.to_owned(), model["status"]["value"].as_str()?.to_owned()));
    list["data"].as_array().expect("a list").iter().filter_map(state).collect()
}

/// As its user does: by a request that needs it.
fn use_model(address: SocketAddr, model: &str) {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2});
    let answer = http::post(address, "/v1/chat/completions", &body, SOON).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
}

fn state_of(address: SocketAddr, model: &str) -> String {
    states(address).into_iter().find(|(id, _)| id == model).map(|(_, state)| state).unwrap_or_default()
}

/// What is asked of a router counts as use, by which it chooses what to throw out: the children are asked themselves.
fn a_router_loads_and_evicts_nothing(bed: &Bed) {
    let (server, mut looker) = router(bed);
    let address = server.address;
    let all_unloaded = states(address);
    for _ in 0..ROUNDS {
        looker.round();
        assert_eq!(looker.infer(None, true)["result"], "skipped");
        assert_eq!(looker.infer(Some("tiny"), false)["text"], "tiny is not loaded");
    }
    assert_eq!(states(address), all_unloaded, "a look loaded a model");
    assert!(all_unloaded.iter().all(|(_, state)| state == "unloaded"));
    assert_eq!(looker.look(Depth::Progress)["engines"], json!([]));

    use_model(address, "tiny");
    use_model(address, "tiny-b");
    let (before, children) = (states(address), server.process.children());
    assert_eq!(children.len(), 2);
    for _ in 0..ROUNDS {
        looker.round();
        let inference = looker.infer(Some("tiny"), true);
        assert_eq!((&inference["result"], &inference["model"]), (&json!("output"), &json!("tiny")), "{inference}");
    }
    assert_eq!(states(address), before, "a look loaded or threw out a model");
    assert_eq!(server.process.children(), children);
    let ready = looker.look(Depth::Readiness);
    assert_eq!(
        (&model(&ready, "tiny")["state"], &model(&ready, "slow")["state"]),
        (&json!("loaded"), &json!("unloaded"))
    );
    let progress = looker.look(Depth::Progress);
    let mut engines: Vec<_> = progress["engines"]
        .as_array()
        .expect("engines")
        .iter()
        .map(|e| (e["model"].as_str(), e["running"].as_u64()))
        .collect();
    engines.sort();
    assert_eq!(engines, [(Some("tiny"), Some(0)), (Some("tiny-b"), Some(0))], "{progress}");

    // The least recently used by its users is thrown out, though we had asked it last.
    use_model(address, "slow");
    wait_until(SOON, "the older model to go", || {
        match (state_of(address, "tiny").as_str(), state_of(address, "tiny-b").as_str()) {
            ("unloaded", "loaded") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

fn a_router_is_watched_for_a_while(bed: &Bed) {
    let (server, _) = router(bed);
    let address = server.address;
    use_model(address, "tiny");
    let (before, children) = (states(address), server.process.children());
    let config = format!(
        "[[target]]\nname = \"it\"\nbackend = \"openai\"\nurl = \"http://{address}\"\ncheck_interval = \"500ms\"\n\
         timeout = \"2s\"\nstall_after = \"3s\"\ninference = {{ every = \"1s\" }}\n"
    );
    let monitor = Monitor::start(bed, &config);
    monitor.wait_state("it", "online", SOON);
    monitor.wait_checks("it", ROUNDS, 2 * SOON);
    assert_eq!(states(address), before, "the monitor loaded or threw out a model");
    assert_eq!(server.process.children(), children);
    // One lost engine is no fault where the next request starts a new one.
    children[0].signal(crate::harness::process::Signal::KILL);
    children[0].wait_gone(SOON);
    monitor.wait_checks("it", 6, SOON);
    assert_eq!(monitor.target("it")["state"], "online");
    monitor.assert_no_incident("it");
    assert_eq!(server.process.children(), Vec::<Process>::new(), "a look started it again");
    use_model(address, "tiny");
}

fn a_router_is_mended(bed: &Bed) {
    let (server, mut looker) = router(bed);
    let address = server.address;
    let loaded = looker.repair("load", json!({"model": "tiny"}));
    assert_eq!(
        (&loaded["result"], &loaded["expect"]),
        (&json!("done"), &json!([{"model": "tiny", "state": ["loaded"]}]))
    );
    assert_eq!(state_of(address, "tiny"), "loaded");
    assert_eq!(looker.repair("load", json!({"model": "tiny"}))["result"], "already");
    // Slow enough that the router's first answer comes before its end.
    let slow = looker.repair("load", json!({"model": "slow"}));
    assert_eq!((&slow["result"], state_of(address, "slow").as_str()), (&json!("done"), "loaded"), "{slow}");

    // Answered with success by the router; only the end of the load shows it.
    let broken = looker.repair("load", json!({"model": "broken"}));
    assert_eq!(
        (&broken["result"], &broken["symptoms"][0]["id"]),
        (&json!("failed"), &json!("load_failed")),
        "{broken}"
    );
    let ready = looker.look(Depth::Readiness);
    assert_eq!((&ready["phase"], &model(&ready, "broken")["state"]), (&json!("ready"), &json!("failed")));
    assert_eq!(looker.infer(Some("broken"), false)["text"], "broken is not loaded");
    assert_eq!(looker.repair("load", json!({"model": "nope"}))["result"], "failed");

    let up =
        states(address).into_iter().find(|(_, state)| state == "loaded").map(|(id, _)| id).expect("a loaded model");
    let children = server.process.children();
    let unloaded = looker.repair("unload", json!({"model": up}));
    assert_eq!((&unloaded["result"], &unloaded["expect"][1]["gone"]), (&json!("done"), &json!(true)), "{unloaded}");
    wait_until(SOON, "its child to go", || {
        let left = server.process.children().len();
        if left < children.len() && state_of(address, &up) == "unloaded" { Ok(()) } else { Err(format!("{left} left")) }
    });
    assert_eq!(looker.repair("unload", json!({"model": up}))["result"], "already");
}

/// By default any request that touches its model, the list of models too, ends the stream that it is giving.
fn llama_cpp_python_at_every_depth(bed: &Bed) {
    let servers = backend::real_servers().expect("asked before the test began");
    let python = servers.join("llama-cpp-python/bin/python");
    assert!(python.exists(), "{} is not there: run .ci/real-servers.sh", python.display());
    // Only its protocol is taken from here.
    let client = Backend::new(bed, Kind::Llama, Tier::Real);

    let server = python_server(bed, &python, &[]);
    let mut looker = Looker::new("openai", Some("llama-cpp-python"), server.address);
    let alive = json!({"version": "0.3.36", "phase": "ready"});
    assert_eq!(looker.look(Depth::Liveness), alive);
    assert_eq!(looker.look(Depth::Readiness)["models"], json!([{"id": "slow", "state": "loaded"}]));
    assert_eq!(looker.look(Depth::Progress), alive);
    let user = User::asks(&client, server.address, "slow", 30);
    user.wait_token(2 * SOON);
    let mut tokens = 1;
    let end = loop {
        looker.round();
        assert_eq!(looker.infer(None, false)["result"], "skipped");
        match user.next(2 * SOON) {
            Heard::Token(_) => tokens += 1,
            end => break end,
        }
    };
    assert_eq!((end, tokens), (Heard::Done, 30), "a look broke off a user's answer");
    drop(server);

    let server = python_server(bed, &python, &["--interrupt_requests", "False"]);
    let mut looker = Looker::new("openai", Some("llama-cpp-python"), server.address);
    let token = looker.infer(None, true);
    assert_eq!((&token["result"], &token["model"]), (&json!("output"), &json!("slow")), "{token}");
}

/// First contact in every way there is: a monitor that has it as a target, and a look around that finds it.
fn llama_cpp_python_goes_on_while_it_is_first_seen(bed: &Bed) {
    let servers = backend::real_servers().expect("asked before the test began");
    let server = python_server(bed, &servers.join("llama-cpp-python/bin/python"), &[]);
    // So many tokens that they take longer than the looks.
    let messages = json!([{"role": "user", "content": "Tell me a long story"}]);
    let body = json!({"model": "slow", "messages": messages, "stream": true, "max_tokens": 300});
    let mut answer =
        Open::send(server.address, "POST", "/v1/chat/completions", Some(&body), 6 * SOON).expect("a stream");
    answer.next_line().expect("its beginning").expect("a line");

    let config = format!(
        "[[target]]\nname = \"it\"\nbackend = \"openai\"\nurl = \"http://{}\"\ncheck_interval = \"300ms\"\n",
        server.address
    );
    let monitor = Monitor::start(bed, &config);
    let it = monitor.wait_state("it", "online", SOON);
    assert_eq!(it["variant"], "llama-cpp-python", "{it}");
    monitor.wait_checks("it", 3, SOON);
    if bed.isolation == Isolation::Machine {
        let (_, said) = monitor.run(&["discover"]);
        assert!(said.contains("llama-cpp-python"), "{said}");
    }
    // One that is broken off ends as if it were whole, but for why it ended.
    let (mut heard, mut ends_after_the_looks) = (Vec::new(), false);
    loop {
        match answer.next_line_within(Duration::from_millis(20)) {
            Ok(Some(line)) => heard.push(line),
            Ok(None) => break,
            Err(e) if matches!(e.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => ends_after_the_looks = true,
            Err(e) => panic!("{e} after {heard:?}"),
        }
    }
    assert!(ends_after_the_looks, "it had ended before the looks: {heard:?}");
    let chunks = heard.iter().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
    let is_whole = chunks.into_iter().any(|chunk| chunk["choices"][0]["finish_reason"] == "length");
    assert!(is_whole, "a look broke it off: {heard:?}");
}

fn python_server(bed: &Bed, python: &Path, more: &[&str]) -> Server {
    let address = bed.free_address();
    let (model, port) = (slow_model(), address.port().to_string());
    let command = ["-m", "llama_cpp.server", "--model", &model, "--model_alias", "slow", "--host", "127.0.0.1"];
    let rest = ["--port", &port, "--n_threads", "1", "--n_ctx", "512"];
    let args = command.iter().chain(&rest).chain(more).map(|arg| (*arg).to_owned());
    let command = std::iter::once(python.display().to_string()).chain(args).collect();
    let home = ("HOME".to_owned(), bed.folder("home").display().to_string());
    let server = Server::run(bed, address, command, vec![home]);
    wait_answer(address, "/v1/models");
    server
}
