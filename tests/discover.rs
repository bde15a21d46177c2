//! `ai-monitor discover` and the first start: what runs on a machine is found, told apart, and never an engine offered.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    first_minutes::on_usual_ports,
    harness::{
        Backend, Bed, Kind, Monitor, Server, Tier,
        canned::{Canned, answer},
        http,
        isolation::Isolation,
        monitor,
        process::Signal,
        say, wait_until,
    },
    test_name, tiers,
};

const SOON: Duration = Duration::from_secs(30);

tiers! {
    demo = Demo { a_runner_is_not_offered(Ollama) }
    real = Real { a_runner_is_not_offered(Ollama), a_routers_child_is_not_offered(Llama), what_is_left_behind_is_not_offered(Ollama) }
}

/// A look around on the user's own machine would find, and ask, the user's own servers.
fn is_alone(bed: &Bed) -> bool {
    let alone = bed.isolation == Isolation::Machine;
    if !alone {
        say("a look around is left out: it would ask the servers of this machine");
    }
    alone
}

fn at(address: &str) -> SocketAddr {
    address.parse().expect("an address")
}

/// Runs the command in this folder: did it succeed, and what it printed.
fn discover(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = monitor::command(folder, &[&["discover"], arguments].concat()).output().expect("the command runs");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.success(), said)
}

fn in_json(folder: &Path) -> Value {
    let output = monitor::command(folder, &["discover", "--json"]).output().expect("the command runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// What was found, by address: its backend, variant and confidence.
fn who(all: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found = all["found"].as_array().into_iter().flatten();
    let row = |f: &Value| {
        let who = &f["identity"];
        (text(&f["address"]), format!("{}/{}", text(&who["backend"]), text(&who["variant"])), text(&who["confidence"]))
    };
    found.map(row).collect()
}

fn row(address: impl ToString, who: &str, confidence: &str) -> (String, String, String) {
    (address.to_string(), who.into(), confidence.into())
}

#[track_caller]
fn found_at(all: &Value, address: SocketAddr) -> Value {
    let mut found = all["found"].as_array().into_iter().flatten();
    found.find(|f| f["address"] == json!(address)).cloned().unwrap_or_else(|| panic!("{address} is not in {all:#}"))
}

#[track_caller]
fn seen(all: &Value, address: SocketAddr) -> Value {
    let mut looked = all["looked"].as_array().into_iter().flatten();
    looked.find(|l| l["address"] == json!(address)).cloned().unwrap_or_else(|| panic!("{address} is not in {all:#}"))
}

/// A server with a loaded model: its runner is a process that a manifest names, with a port of its own.
fn a_runner_is_not_offered(bed: &Bed, backend: &Backend) {
    if !is_alone(bed) {
        return;
    }
    let server = Server::start(bed, backend, bed.free_address());
    backend.load(server.address, backend.model(), "30m");
    let runner = backend.runner(&server.process).expect("its runner");
    let folder = bed.folder("monitor");
    let all = in_json(&folder);
    let found = found_at(&all, server.address);
    assert_eq!(found["identity"]["backend"], "ollama", "{all:#}");
    assert_eq!(found["process"]["pid"], json!(server.process.pid), "{all:#}");
    assert_eq!(found["models"]["loaded"], 1, "{all:#}");
    assert!(found["version"].is_string(), "{all:#}");
    let offered = all["found"].as_array().into_iter().flatten().any(|f| f["process"]["pid"] == json!(runner.pid));
    assert!(!offered, "its runner is offered: {all:#}");
    let engine = all["looked"].as_array().into_iter().flatten().find(|l| l["process"]["pid"] == json!(runner.pid));
    assert_eq!(engine.map(|e| &e["seen"]), Some(&json!("engine")), "{all:#}");
}

/// A router on any port, with a child of the same file.
fn a_routers_child_is_not_offered(bed: &Bed, backend: &Backend) {
    if !is_alone(bed) {
        return;
    }
    let models = bed.folder("router-models");
    let tiny = backend.models().join("tiny.gguf");
    std::os::unix::fs::symlink(&tiny, models.join("tiny.gguf")).expect("the router's model");
    let address = bed.free_address();
    let mut router = Command::new(backend.program());
    router.args(["--host", "127.0.0.1", "-t", "1", "-c", "512", "-np", "1", "--models-max", "2"]);
    router.args(["--port", &address.port().to_string()]).arg("--models-dir").arg(&models);
    let router =
        Ended(router.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"));
    wait_until(SOON, "the router to answer", || match http::get(address, "/health", SOON) {
        Ok(answer) if answer.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let body = json!({"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2});
    let answer = http::post(address, "/v1/chat/completions", &body, SOON).expect("a chat");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let process = crate::harness::process::Process::find(router.0.id()).expect("the router lives");
    let child = process.children().into_iter().next().expect("the router's child");

    let all = in_json(&bed.folder("monitor"));
    assert!(who(&all).contains(&row(address, "openai/llama.cpp-router", "certain")), "{all:#}");
    let offered = all["found"].as_array().into_iter().flatten().any(|f| f["process"]["pid"] == json!(child.pid));
    assert!(!offered, "its child is offered: {all:#}");
    let engine = all["looked"].as_array().into_iter().flatten().find(|l| l["process"]["pid"] == json!(child.pid));
    assert_eq!(engine.map(|e| &e["seen"]), Some(&json!("engine")), "{all:#}");
}

/// A server that was killed leaves its runner behind, and that still answers.
fn what_is_left_behind_is_not_offered(bed: &Bed, backend: &Backend) {
    if !is_alone(bed) {
        return;
    }
    let server = Server::start(bed, backend, bed.free_address());
    backend.load(server.address, backend.model(), "30m");
    let runner = backend.runner(&server.process).expect("its runner");
    server.process.signal(Signal::KILL);
    server.process.wait_gone(SOON);
    assert!(runner.lives(), "it is left behind");
    let all = in_json(&bed.folder("monitor"));
    let offered = all["found"].as_array().into_iter().flatten().any(|f| f["process"]["pid"] == json!(runner.pid));
    assert!(!offered, "it is offered: {all:#}");
    let left = all["looked"].as_array().into_iter().flatten().find(|l| l["process"]["pid"] == json!(runner.pid));
    let text = left.map_or("", |l| l["text"].as_str().unwrap_or_default());
    assert!(text.contains("ollama left behind"), "{all:#}");
}

#[test]
fn what_runs_is_printed_with_a_configuration_that_can_be_saved_and_checked() {
    on_usual_ports(test_name!(what_runs_is_printed_with_a_configuration_that_can_be_saved_and_checked), |bed| {
        let ollama = Backend::new(bed, Kind::Ollama, Tier::Demo);
        let on_usual = Server::start(bed, &ollama, at("127.0.0.1:11434"));
        ollama.load(on_usual.address, ollama.model(), "30m");
        let llama = Backend::new(bed, Kind::Llama, Tier::Demo);
        let elsewhere = Server::start(bed, &llama, bed.free_address());
        let folder = bed.folder("monitor");

        let (good, said) = discover(&folder, &[]);
        assert!(good, "{said}");
        for part in [
            "Found 2 model servers",
            "http://127.0.0.1:11434",
            "0.32.15-demo",
            "likely",
            "certain",
            &elsewhere.address.to_string(),
            &on_usual.process.pid.to_string(),
            &elsewhere.process.pid.to_string(),
            "owner",
            "engine of ollama",
            "[[target]]",
            "# command = [",
            "--save",
        ] {
            assert!(said.contains(part), "{part:?} was to be said:\n{said}");
        }
        let file = folder.join("config.toml");
        assert!(!file.exists(), "nothing is written unasked");
        assert!(!folder.join("data").exists(), "nothing is written unasked");

        let (good, said) = discover(&folder, &["--save"]);
        assert!(good && said.contains("Saved to"), "{said}");
        let saved = std::fs::read_to_string(&file).expect("the configuration");
        let check = |file: &Path| {
            let output = monitor::bare(&folder).arg("check").arg(file).output().expect("the command runs");
            (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
        };
        let (good, said) = check(&file);
        assert!(good && said.contains("2 targets"), "{said}");
        // With its hints taken, too.
        let hint = |line: &str| match line.strip_prefix("# ") {
            Some(hint) if hint.starts_with('[') || hint.starts_with("command = ") => format!("{hint}\n"),
            _ => format!("{line}\n"),
        };
        let taken = folder.join("taken.toml");
        std::fs::write(&taken, saved.lines().map(hint).collect::<String>()).expect("a configuration");
        let (good, said) = check(&taken);
        assert!(good && said.matches("started by:").count() == 2, "{said}");

        // What is there is never written over.
        let (_, said) = discover(&folder, &[]);
        assert!(said.contains("in the configuration already") && !said.contains("[[target]]"), "{said}");
        std::fs::write(&file, "# mine\n").expect("a configuration");
        let (good, said) = discover(&folder, &["--save"]);
        assert!(!good && said.contains("add the lines above") && said.contains("[[target]]"), "{said}");
        assert_eq!(std::fs::read_to_string(&file).expect("the configuration"), "# mine\n");
    });
}

#[test]
fn who_imitates_whom_is_told_apart_without_a_key() {
    on_usual_ports(test_name!(who_imitates_whom_is_told_apart_without_a_key), |bed| {
        let list = r#"{"object":"list","data":[{"id":"m","object":"model","owned_by":"x"}]}"#;
        let not_found = || answer(404, "{}");
        // LocalAI on its own port, with all of Ollama's face.
        let localai = Canned::at(
            at("127.0.0.1:8080"),
            &[
                ("GET /.well-known/localai.json", answer(200, r#"{"version":"4.9.0","endpoints":{}}"#)),
                ("GET /", answer(200, "Ollama is running")),
                ("GET /api/version", answer(200, r#"{"version":"0.9.0"}"#)),
                ("GET /v1/models", answer(200, list)),
            ],
            not_found(),
        );
        // LM Studio answers 200 to everything.
        let studio = Canned::at(
            at("127.0.0.1:1234"),
            &[("GET /lmstudio-greeting", answer(200, r#"{"lmstudio":true}"#)), ("GET /v1/models", answer(200, list))],
            answer(200, r#"{"error":"Unexpected endpoint or method. (GET /x)"}"#),
        );
        // A server of OpenAI's protocol on Ollama's port.
        let other = Canned::at(at("127.0.0.1:11434"), &[("GET /v1/models", answer(200, list))], not_found());
        // llama.cpp's server with a key: it tells only its health, and who it is.
        let keyed = Canned::at(
            at("127.0.0.1:9931"),
            &[("GET /health", of_llama_cpp(200, r#"{"status":"ok"}"#))],
            of_llama_cpp(401, r#"{"error":{"code":401,"type":"authentication_error"}}"#),
        );
        // One of the many that answer every path with their own page, on the same port of another address.
        let stranger = Canned::at(at("[::1]:8000"), &[], answer(200, "<html>"));
        // llama-cpp-python on vLLM's port: whatever asks for its models breaks off the answer that it is giving.
        let python = Canned::at(
            at("127.0.0.1:8000"),
            &[
                (
                    "GET /openapi.json",
                    answer(200, r#"{"info":{"title":"🦙 llama.cpp Python API","version":"0.3.36"}}"#),
                ),
                ("GET /v1/models", answer(200, list)),
            ],
            not_found(),
        );
        let all = in_json(&bed.folder("monitor"));
        assert_eq!(
            who(&all),
            [
                row(studio.address, "lm-studio/", "certain"),
                row(python.address, "openai/llama-cpp-python", "certain"),
                row(localai.address, "localai/", "certain"),
                row(keyed.address, "openai/llama.cpp", "certain"),
                row(other.address, "openai/", "possible"),
            ],
            "{all:#}"
        );
        assert_eq!(seen(&all, stranger.address)["seen"], "stranger", "{all:#}");
        for server in [&localai, &studio, &other, &keyed, &stranger, &python] {
            let asked = server.heads();
            assert!(!asked.is_empty());
            let harm = std::ptr::eq(server, &python) && asked.iter().any(|head| head.starts_with("GET /v1/models"));
            assert!(!harm, "{asked:?}");
            assert!(asked.iter().all(|head| !head.to_ascii_lowercase().contains("authorization")), "{asked:?}");
            assert!(asked.iter().all(|head| head.starts_with("GET ")), "{asked:?}");
        }
    });
}

#[test]
fn a_llama_server_on_localais_port_and_a_tie_that_is_left_to_the_user() {
    on_usual_ports(test_name!(a_llama_server_on_localais_port_and_a_tie_that_is_left_to_the_user), |bed| {
        let loading = of_llama_cpp(503, r#"{"error":{"message":"Loading model"}}"#);
        let llama = Canned::at(at("127.0.0.1:8080"), &[], loading);
        let tie = Canned::at(
            at("127.0.0.1:11434"),
            &[
                ("GET /api/version", answer(200, r#"{"version":"1"}"#)),
                ("GET /v1/models", answer(200, r#"{"object":"list","data":[]}"#)),
            ],
            answer(404, ""),
        );
        let folder = bed.folder("monitor");
        let all = in_json(&folder);
        assert_eq!(who(&all)[0], row(llama.address, "openai/llama.cpp", "certain"), "{all:#}");
        let tied = found_at(&all, tie.address);
        assert_eq!(tied["identity"], Value::Null, "{all:#}");
        let candidates: Vec<_> = tied["candidates"].as_array().into_iter().flatten().map(|c| &c["backend"]).collect();
        assert_eq!(candidates, ["ollama", "openai"], "{all:#}");
        let (_, said) = discover(&folder, &["--save"]);
        assert!(said.contains("the choice is yours") && said.contains("# backend = \"ollama\""), "{said}");
        let output = monitor::command(&folder, &[]).arg("check").arg(folder.join("config.toml")).output();
        let said = String::from_utf8_lossy(&output.expect("the command runs").stdout).into_owned();
        assert!(said.contains("1 target."), "{said}");
        // The first start says it, too, and watches only what is sure.
        std::fs::remove_file(folder.join("config.toml")).expect("the configuration");
        let monitor = Monitor::start_bare(bed);
        wait_until(SOON, "the tie to be told", || {
            let log = monitor.log();
            if log.contains("could be ollama or openai") { Ok(()) } else { Err(log) }
        });
        let targets = monitor.snapshot()["targets"].as_array().map_or(0, Vec::len);
        assert_eq!(targets, 1, "{}", monitor.snapshot());
    });
}

/// The first start shows which plugin each found server is watched through.
#[test]
fn what_is_found_later_is_shown_with_its_plugin() {
    on_usual_ports(test_name!(what_is_found_later_is_shown_with_its_plugin), |bed| {
        let backend = Backend::new(bed, Kind::Ollama, Tier::Demo);
        let _server = Server::start(bed, &backend, at("127.0.0.1:11434"));
        let monitor = Monitor::start_bare(bed);
        monitor.wait_state("ollama", "online", SOON);
        monitor.wait_for(SOON, "the target beside its plugin", |monitor| {
            let snapshot = monitor.snapshot();
            let mut plugins = snapshot["plugins"]["plugins"].as_array().into_iter().flatten();
            let ollama = plugins.find(|plugin| plugin["id"] == "ollama").cloned().unwrap_or_default();
            if ollama["targets"] == json!(["ollama"]) { Ok(()) } else { Err(ollama.to_string()) }
        });
    });
}

#[test]
fn one_server_on_both_addresses_is_one_target() {
    on_usual_ports(test_name!(one_server_on_both_addresses_is_one_target), |bed| {
        let pages = [
            ("GET /", answer(200, "Ollama is running")),
            ("GET /api/version", answer(200, r#"{"version":"0.32.15"}"#)),
        ];
        let _server = Canned::at(at("[::]:11434"), &pages, answer(404, ""));
        let folder = bed.folder("monitor");
        let all = in_json(&folder);
        let found = found_at(&all, at("127.0.0.1:11434"));
        assert_eq!((&found["also"], &found["one_of_two"]), (&json!(["[::1]:11434"]), &json!(false)), "{all:#}");
        assert_eq!(who(&all).len(), 1, "{all:#}");
        let (_, said) = discover(&folder, &[]);
        assert!(said.contains("other machines may reach it") && said.matches("[[target]]").count() == 1, "{said}");
    });
}

#[test]
fn localhost_that_is_two_servers_is_two_targets() {
    on_usual_ports(test_name!(localhost_that_is_two_servers_is_two_targets), |bed| {
        let backend = Backend::new(bed, Kind::Ollama, Tier::Demo);
        let v4 = Server::start(bed, &backend, at("127.0.0.1:11434"));
        let v6 = Server::start(bed, &backend, at("[::1]:11434"));
        let folder = bed.folder("monitor");
        let all = in_json(&folder);
        for server in [&v4, &v6] {
            let found = found_at(&all, server.address);
            assert_eq!(found["one_of_two"], true, "{all:#}");
            assert_eq!(found["process"]["pid"], json!(server.process.pid), "{all:#}");
        }
        let (_, said) = discover(&folder, &[]);
        assert!(said.contains("localhost:11434 is two servers"), "{said}");
        // The first start watches both, and goes on watching one that is left.
        let monitor = Monitor::start_bare(bed);
        monitor.wait_state("ollama", "online", SOON);
        let second = monitor.wait_state("ollama-11434", "online", SOON);
        assert_eq!(second["process_id"], json!(v6.process.pid), "{second}");
        v4.process.signal(Signal::KILL);
        monitor.wait_state("ollama", "offline", SOON);
        assert_eq!(monitor.target("ollama-11434")["state"], "online");
    });
}

#[test]
fn a_port_that_is_forwarded_is_said_to_be_and_never_mended() {
    if let Ok(addresses) = std::env::var(FORWARD) {
        return pass_connections_on(&addresses);
    }
    on_usual_ports(test_name!(a_port_that_is_forwarded_is_said_to_be_and_never_mended), |bed| {
        let pages = [
            ("GET /", answer(200, "Ollama is running")),
            ("GET /api/version", answer(200, r#"{"version":"0.32.15"}"#)),
        ];
        let far = Canned::at(bed.free_address(), &pages, answer(404, ""));
        let _ssh = forwarder(bed, "ssh", at("127.0.0.1:11434"), far.address);
        let folder = bed.folder("monitor");
        let all = in_json(&folder);
        let found = found_at(&all, at("127.0.0.1:11434"));
        assert_eq!(
            (&found["process"]["name"], &found["process"]["forwarder"]),
            (&json!("ssh"), &json!(true)),
            "{all:#}"
        );
        let (_, said) = discover(&folder, &[]);
        assert!(said.contains("only forwards") && !said.contains("command ="), "{said}");
        let monitor = Monitor::start_bare(bed);
        let target = monitor.wait_state("ollama", "online", SOON);
        assert!(target["owner_text"].as_str().is_some_and(|text| text.contains("only forwards")), "{target}");
        assert_eq!((&target["hint"], &target["process_id"]), (&Value::Null, &Value::Null), "{target}");
    });
}

/// An answer with the header that only llama.cpp's server has.
fn of_llama_cpp(status: u16, body: &str) -> Vec<u8> {
    let plain = answer(status, body);
    let text = String::from_utf8_lossy(&plain);
    text.replacen("\r\n", "\r\nServer: llama.cpp\r\n", 1).into_bytes()
}

/// A child that ends with the test.
pub struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const FORWARD: &str = "END_TO_END_FORWARD";

/// A process whose executable has this name, and which passes connections on: this test binary, run again.
pub fn forwarder(bed: &Bed, name: &str, from: SocketAddr, to: SocketAddr) -> Ended {
    let program = bed.folder("forwarder").join(name);
    let own = std::env::current_exe().expect("the test's own program");
    std::fs::hard_link(&own, &program).or_else(|_| std::fs::copy(&own, &program).map(drop)).expect("a copy of it");
    let mut command = Command::new(program);
    command.args([
        "discover::a_port_that_is_forwarded_is_said_to_be_and_never_mended",
        "--exact",
        "--nocapture",
        "--test-threads=1",
    ]);
    command.env(FORWARD, format!("{from} {to}")).stdin(Stdio::null()).stdout(Stdio::null());
    let child = Ended(command.spawn().expect("the forwarder starts"));
    wait_until(SOON, "the forwarder to listen", || TcpStream::connect(from).map(drop).map_err(|e| e.to_string()));
    child
}

fn pass_connections_on(addresses: &str) {
    let (from, to) = addresses.split_once(' ').expect("two addresses");
    let listener = TcpListener::bind(from).expect("the forwarded port");
    for near in listener.incoming().flatten() {
        let Ok(far) = TcpStream::connect(to) else { continue };
        let (mut a, mut b) = (near.try_clone().expect("a socket"), far.try_clone().expect("a socket"));
        std::thread::spawn(move || pass(&mut a, &mut b));
        let (mut a, mut b) = (far, near);
        std::thread::spawn(move || pass(&mut a, &mut b));
    }
}

fn pass(from: &mut TcpStream, to: &mut TcpStream) {
    let _ = std::io::copy(from, to);
    let _ = to.shutdown(std::net::Shutdown::Write);
}
