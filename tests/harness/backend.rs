//! The servers that scenarios run against: ours that fails on command, and the real ones, by the same words.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    bed::{Bed, MONITOR},
    http,
    process::Process,
    wait::wait_until,
};

/// Which protocol and process tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `ollama serve` with a runner child.
    Ollama,
    /// `llama-server`, its own engine.
    Llama,
}

/// Whose programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// This project's own server.
    Demo,
    /// llama.cpp's and Ollama's, from the folder that [`REAL_SERVERS`] names.
    Real,
}

/// Names the folder that `.ci/real-servers.sh` made.
pub const REAL_SERVERS: &str = "AI_MONITOR_REAL_SERVERS";

/// The folder of the real servers, if there is one.
pub fn real_servers() -> Result<PathBuf, String> {
    match std::env::var_os(REAL_SERVERS).map(PathBuf::from) {
        Some(folder) if folder.join("bin/ollama").exists() => Ok(folder),
        Some(folder) => Err(format!("{REAL_SERVERS}={} has no bin/ollama: run .ci/real-servers.sh", folder.display())),
        None => Err(format!("{REAL_SERVERS} is not set: run .ci/real-servers.sh and set it to the folder")),
    }
}

/// One kind of server as a test uses it.
#[derive(Debug, Clone)]
pub struct Backend {
    pub kind: Kind,
    pub tier: Tier,
    program: PathBuf,
    home: PathBuf,
    models: PathBuf,
    /// Arguments and variables beside the usual ones.
    more: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Backend {
    /// Its programs and models, for this test alone.
    pub fn new(bed: &Bed, kind: Kind, tier: Tier) -> Backend {
        let home = bed.folder("server-home");
        let name = match kind {
            Kind::Ollama => "ollama",
            Kind::Llama => "llama-server",
        };
        let (program, models) = match tier {
            Tier::Demo => {
                let programs = ai_monitor::demo::install(Path::new(MONITOR), &bed.folder("server")).expect("the demo");
                let models = bed.folder("server").join("models");
                if kind == Kind::Llama {
                    std::fs::create_dir_all(&models).expect("the demo's models");
                    std::fs::write(models.join("tiny.gguf"), "a model of the demo").expect("the demo's model");
                }
                (if kind == Kind::Ollama { programs.front } else { programs.engine }, models)
            }
            Tier::Real => {
                let servers = real_servers().expect("asked before the test began");
                let models = match kind {
                    Kind::Llama => servers.join("models"),
                    Kind::Ollama => copy_of_store(&servers.join("ollama-models"), &bed.folder("store")),
                };
                (servers.join("bin").join(name), models)
            }
        };
        Backend { kind, tier, program, home, models, more: Vec::new(), variables: Vec::new() }
    }

    /// With these arguments at the end of its command.
    pub fn with_arguments(mut self, arguments: &[&str]) -> Backend {
        self.more.extend(arguments.iter().map(|a| (*a).to_owned()));
        self
    }

    pub fn with_variable(mut self, name: &str, value: &str) -> Backend {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// From its start on it does this wrong (the demo's alone): `{"fault": …, "in": "engine"}`.
    pub fn with_faults(self, faults: &Value) -> Backend {
        assert_eq!(self.tier, Tier::Demo, "a real server does not fail on command");
        self.with_variable(ai_monitor::demo::fault::VARIABLE, &faults.to_string())
    }

    /// The plugin that knows it.
    pub fn plugin(&self) -> &'static str {
        match self.kind {
            Kind::Ollama => "ollama",
            Kind::Llama => "openai",
        }
    }

    /// A model that loads and answers at once.
    pub fn model(&self) -> &'static str {
        match (self.kind, self.tier) {
            (Kind::Ollama, Tier::Demo) => "demo:latest",
            (Kind::Ollama, Tier::Real) => "tiny:latest",
            (Kind::Llama, _) => "tiny",
        }
    }

    /// A model that takes its time per token, so that a generation is long.
    pub fn slow_model(&self) -> &'static str {
        match (self.kind, self.tier) {
            (Kind::Ollama, Tier::Real) => "slow:latest",
            _ => self.model(),
        }
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Where its models lie.
    pub fn models(&self) -> &Path {
        &self.models
    }

    pub fn command(&self, address: SocketAddr) -> Vec<String> {
        let mut command = vec![self.program.display().to_string()];
        match self.kind {
            Kind::Ollama => command.push("serve".into()),
            Kind::Llama => {
                // One thread: two that spin on two shared cores are fifty times slower (measured).
                let fixed = ["--host", "127.0.0.1", "-t", "1", "-np", "1", "--alias", self.model()];
                command.extend(fixed.map(str::to_owned));
                command.extend(["--port".into(), address.port().to_string()]);
                if !self.more.iter().any(|a| a == "-m") {
                    let model = self.models.join("tiny.gguf").display().to_string();
                    command.extend(["-m".into(), model, "-c".into(), "512".into()]);
                }
            }
        }
        command.extend(self.more.iter().cloned());
        command
    }

    pub fn environment(&self, address: SocketAddr) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = vec![("HOME".into(), self.home.display().to_string())];
        if self.kind == Kind::Ollama {
            all.push(("OLLAMA_HOST".into(), address.to_string()));
            all.push(("OLLAMA_MODELS".into(), self.models.display().to_string()));
            all.push(("OLLAMA_NO_CLOUD".into(), "1".into()));
            all.push(("OLLAMA_NOPRUNE".into(), "1".into()));
        }
        all.extend(self.variables.iter().cloned());
        all
    }

    /// A `[[target]]` that asks often and waits little. `more` is put under the target itself; tables follow it.
    pub fn target(&self, name: &str, address: SocketAddr, more: &str) -> String {
        let target = self.observed(name, address, more);
        let variables = self.environment(address).into_iter();
        let variables: Vec<String> = variables.map(|(name, value)| format!("{name} = {}", json!(value))).collect();
        format!(
            "{target}\n[target.process]\ncommand = {}\nenv = {{ {} }}\n\
             [target.heal]\ngrace = \"2s\"\nbackoff = \"200ms\"\n",
            json!(self.command(address)),
            variables.join(", ")
        )
    }

    /// The same without a command: observed only.
    pub fn observed(&self, name: &str, address: SocketAddr, more: &str) -> String {
        format!(
            "[[target]]\nname = {}\nbackend = {}\nurl = \"http://{address}\"\ncheck_interval = \"500ms\"\n\
             timeout = \"2s\"\nstall_after = \"3s\"\n{more}\n",
            json!(name),
            json!(self.plugin())
        )
    }

    /// Loads the model as its user does, to stay for so long.
    #[track_caller]
    pub fn load(&self, address: SocketAddr, model: &str, keep_alive: &str) {
        assert_eq!(self.kind, Kind::Ollama, "the other kind has its model from its start");
        let body = json!({"model": model, "keep_alive": keep_alive});
        let answer = http::post(address, "/api/generate", &body, Duration::from_secs(30)).expect("loading a model");
        assert_eq!((answer.status, &answer.json()["done_reason"]), (200, &json!("load")), "{}", answer.body);
    }

    /// The rows of `/api/ps`.
    #[track_caller]
    pub fn loaded(&self, address: SocketAddr) -> Vec<Value> {
        let answer = http::get(address, "/api/ps", Duration::from_secs(30)).expect("/api/ps");
        answer.json()["models"].as_array().cloned().unwrap_or_default()
    }

    /// The same, once it is told alike twice: after a request the real Ollama computes the expiry anew for each answer,
    /// until its scheduler has set it.
    #[track_caller]
    pub fn settled(&self, address: SocketAddr) -> Vec<Value> {
        wait_until(Duration::from_secs(30), "the expiries to be set", || {
            let (one, two) = (self.loaded(address), self.loaded(address));
            if one == two { Ok(two) } else { Err(format!("{one:?}, then {two:?}")) }
        })
    }

    /// The runner of a server: its child that makes the tokens.
    pub fn runner(&self, server: &Process) -> Option<Process> {
        server.children().into_iter().find(|c| c.stat().is_some_and(|s| s.name == "llama-server"))
    }

    /// Orders a fault of a running demo server.
    #[track_caller]
    pub fn order(&self, address: SocketAddr, fault: &Value) {
        assert_eq!(self.tier, Tier::Demo, "a real server does not fail on command");
        let answer = http::post(address, "/demo/fault", fault, Duration::from_secs(5)).expect("ordering a fault");
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

/// Hard links where possible: the store of the slow model alone is 0.4 GB. Nobody writes into its files.
fn copy_of_store(store: &Path, to: &Path) -> PathBuf {
    let copy = to.join("models");
    let run = |flags: &str| Command::new("cp").arg(flags).arg(store).arg(&copy).output().expect("cp");
    if !run("-al").status.success() {
        let _ = std::fs::remove_dir_all(&copy);
        let copied = run("-a");
        assert!(copied.status.success(), "copying {}: {}", store.display(), String::from_utf8_lossy(&copied.stderr));
    }
    copy
}
