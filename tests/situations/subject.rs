//! The servers of the matrix, one for each row, by the same words for all of them.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};

use crate::{
    harness::{
        Backend, Bed, Kind, Server, Tier,
        http::{self, Open},
        wait_until,
    },
    simulators::{self, Fault, Simulator},
};

const SOON: Duration = Duration::from_secs(20);

/// Whose server stands in a row.
#[derive(Debug, Clone)]
pub enum Subject {
    /// Of the harness: this project's own, or a real one.
    Harness(Backend),
    /// A simulator.
    Played(Simulator),
}

/// The rows, in the order of the table. The name is the target's; the settings are TOML under `[target]`.
pub fn all(bed: &Bed) -> Vec<(&'static str, Subject, &'static str)> {
    let played = |kind| Subject::Played(Simulator::new(bed, kind));
    vec![
        ("ollama", Subject::Harness(Backend::new(bed, Kind::Ollama, Tier::Demo)), ""),
        ("llama.cpp", Subject::Harness(Backend::new(bed, Kind::Llama, Tier::Demo)), ""),
        ("llama.cpp-router", played(simulators::Kind::LlamaRouter), ""),
        ("vllm", played(simulators::Kind::Vllm), ""),
        ("llama-cpp-python", played(simulators::Kind::LlamaCppPython), ""),
        ("text-generation-webui", played(simulators::Kind::TextGenerationWebui), ""),
        ("other-v1", played(simulators::Kind::Plain), ""),
        ("lm-studio", played(simulators::Kind::LmStudio), ""),
        ("localai", played(simulators::Kind::LocalAi), ""),
        ("localai-with-limits", played(simulators::Kind::LocalAiWithLimits), ""),
        ("custom", played(simulators::Kind::Own), CUSTOM),
    ]
}

/// The rows whose servers can be had.
pub fn real(bed: &Bed) -> Vec<(&'static str, Subject, &'static str)> {
    vec![
        ("ollama", Subject::Harness(Backend::new(bed, Kind::Ollama, Tier::Real)), ""),
        ("llama.cpp", Subject::Harness(Backend::new(bed, Kind::Llama, Tier::Real)), ""),
    ]
}

/// What a user writes for the simulator's own protocol.
const CUSTOM: &str = r#"
[target.settings.liveness]
path = "/status"
expect = { pointer = "/state", equals = "up" }
loading = { pointer = "/state", equals = "warming" }
[target.settings.readiness]
path = "/status"
version = "/version"
models = { list = "/models", id = "/name", state = "/loaded", states = { loaded = [true], unloaded = [false] } }
[target.settings.progress]
path = "/status"
running = "/queue/running"
queued = "/queue/waiting"
counters = { decode = "/tokens" }
"#;

impl Subject {
    fn command(&self, address: SocketAddr) -> Vec<String> {
        match self {
            Subject::Harness(backend) => backend.command(address),
            Subject::Played(simulator) => simulator.command(address),
        }
    }

    /// A user's server: started from a shell.
    pub fn start(&self, bed: &Bed, address: SocketAddr) -> Server {
        match self {
            Subject::Harness(backend) => Server::start_unready(bed, backend, address),
            Subject::Played(simulator) => simulator.start(bed, address),
        }
    }

    /// A target without a command: observed only.
    pub fn observed(&self, name: &str, address: SocketAddr, more: &str) -> String {
        match self {
            Subject::Harness(backend) => backend.observed(name, address, more),
            Subject::Played(simulator) => simulator.observed(name, address, more),
        }
    }

    /// The same with its command, so that its process is known before it listens; nothing is started.
    pub fn known(&self, name: &str, address: SocketAddr, more: &str) -> String {
        let process = format!("[target.process]\ncommand = {}\nautostart = false\n", json!(self.command(address)));
        format!("{}\n{process}", self.observed(name, address, more))
    }

    /// With loads that do not end.
    pub fn that_loads_for_ever(self) -> Subject {
        const LONG: f64 = 1000.0;
        match self {
            Subject::Harness(backend) => {
                let fault = json!([{"fault": "slow_load", "seconds": LONG, "in": "engine"}]);
                Subject::Harness(backend.with_faults(&fault))
            }
            Subject::Played(simulator) => Subject::Played(simulator.with_faults(&[Fault::SlowLoad { seconds: LONG }])),
        }
    }

    /// A real one that wants a key.
    pub fn with_key(self) -> Subject {
        match self {
            Subject::Harness(backend) => Subject::Harness(backend.with_arguments(&["--api-key", "secret"])),
            played => played,
        }
    }

    /// Stops the process that answers, or the one that makes the tokens.
    #[track_caller]
    pub fn stop(&self, server: &Server, engine: bool) {
        match self {
            Subject::Harness(backend) if engine => backend.runner(&server.process).expect("a runner").stop(),
            _ => server.process.stop(),
        }
    }

    /// With tokens that come slowly enough that no answer is at its end while it is watched.
    pub fn at_leisure(self) -> Subject {
        match self {
            Subject::Harness(backend) if backend.tier == Tier::Demo => {
                Subject::Harness(backend.with_faults(&json!([{"fault": "pace", "ms": 300, "in": "engine"}])))
            }
            Subject::Harness(backend) if backend.kind == Kind::Llama => {
                let model = backend.models().join("slow.gguf").display().to_string();
                Subject::Harness(backend.with_arguments(&["-m", &model, "-c", "4096"]))
            }
            played => played,
        }
    }

    fn model(&self) -> &str {
        match self {
            Subject::Harness(backend) => backend.slow_model(),
            Subject::Played(_) => "tiny",
        }
    }

    fn is_ollama(&self) -> bool {
        matches!(self, Subject::Harness(backend) if backend.kind == Kind::Ollama)
    }

    /// Waits until it answers, and has its model in memory.
    #[track_caller]
    pub fn ready(&self, address: SocketAddr) {
        self.answers(address);
        if let (Subject::Harness(backend), true) = (self, self.is_ollama()) {
            backend.load(address, self.model(), "30m");
        }
    }

    /// Waits until it answers at all.
    #[track_caller]
    pub fn answers(&self, address: SocketAddr) {
        wait_until(SOON, "an answer", || http::get(address, "/", SOON).map(drop).map_err(|e| e.to_string()));
    }

    /// A user's endless answer, streamed; it ends when this is dropped. Without waiting for anything of it.
    pub fn asked(&self, address: SocketAddr) -> std::thread::JoinHandle<std::io::Result<Open>> {
        let message = json!({"role": "user", "content": "Tell me a long story"});
        let body = json!({"model": self.model(), "messages": [message], "stream": true});
        std::thread::spawn(move || {
            Open::send(address, "POST", "/v1/chat/completions", Some(&body), Duration::from_secs(200))
        })
    }

    /// The same, once a token has come out.
    #[track_caller]
    pub fn working(&self, address: SocketAddr) -> Open {
        wait_until(SOON, "a token", || {
            let asked = self.asked(address).join().map_err(|_| "the user panicked".to_owned())?;
            let mut answer = asked.map_err(|e| e.to_string())?;
            let mut heard = Vec::new();
            while let Some(line) = answer.next_line().map_err(|e| e.to_string())? {
                let event = line.strip_prefix("data: ").and_then(|l| serde_json::from_str::<Value>(l).ok());
                let content = event.as_ref().and_then(|event| event["choices"][0]["delta"]["content"].as_str());
                if content.is_some_and(|content| !content.is_empty()) {
                    return Ok(answer);
                }
                heard.push(line);
            }
            // It may have had no model yet.
            Err(heard.concat())
        })
    }

    /// Orders a fault: of what answers, or of what makes the tokens.
    #[track_caller]
    pub fn order(&self, address: SocketAddr, fault: &str, of_engine: bool) {
        let mut order = json!({"fault": fault, "everywhere": true});
        if of_engine && self.is_ollama() {
            order["in"] = json!("engine");
        }
        let answer = http::post(address, "/demo/fault", &order, SOON).expect("ordering a fault");
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}
