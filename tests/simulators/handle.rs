//! A simulator as a test uses it.

use std::{net::SocketAddr, path::PathBuf};

use serde_json::json;

use super::{
    Fault, Kind,
    process::{self, Options},
};
use crate::harness::{Bed, Server};

/// One kind of played server, with its file in a folder of this test.
#[derive(Debug, Clone)]
pub struct Simulator {
    pub kind: Kind,
    program: PathBuf,
    models: Vec<(String, bool)>,
    faults: Vec<Fault>,
}

impl Simulator {
    /// With two models, `tiny` loaded and `other` not, where the real one can have both.
    pub fn new(bed: &Bed, kind: Kind) -> Simulator {
        let program = bed.folder("simulators").join(file_name(kind));
        let own = std::env::current_exe().expect("the test binary's own path");
        process::place(&own, &program).expect("the simulator's file");
        let one_model = matches!(kind, Kind::Vllm | Kind::LlamaCppPython | Kind::Plain);
        let mut models = vec![("tiny".to_owned(), true)];
        if !one_model {
            models.push(("other".to_owned(), false));
        }
        Simulator { kind, program, models, faults: Vec::new() }
    }

    /// From its start on it does this wrong.
    pub fn with_faults(mut self, faults: &[Fault]) -> Simulator {
        self.faults.extend_from_slice(faults);
        self
    }

    /// The plugin that knows it.
    pub fn plugin(&self) -> &'static str {
        match self.kind {
            Kind::LmStudio => "lm-studio",
            Kind::LocalAi | Kind::LocalAiWithLimits => "localai",
            Kind::Own => "custom",
            _ => "openai",
        }
    }

    pub fn command(&self, address: SocketAddr) -> Vec<String> {
        let own = process::ARGUMENTS.iter().map(|a| (*a).to_owned());
        let real: &[&str] = match self.kind {
            Kind::LlamaCppPython => &["-m", "llama_cpp.server", "--model", "tiny"],
            _ => &[],
        };
        let own = own.chain(real.iter().map(|a| (*a).to_owned()));
        // Two of one kind are told apart by their commands.
        [self.program.display().to_string()]
            .into_iter()
            .chain(own)
            .chain([format!("port-{}", address.port())])
            .collect()
    }

    pub fn environment(&self, address: SocketAddr) -> Vec<(String, String)> {
        let options = Options { kind: self.kind, address, models: self.models.clone(), faults: self.faults.clone() };
        vec![(process::VARIABLE.into(), process::server_stage(&options))]
    }

    /// A `[[target]]` that is ours to mend. `more` is put under the target itself; tables follow it.
    pub fn target(&self, name: &str, address: SocketAddr, more: &str) -> String {
        let variables: Vec<String> =
            self.environment(address).into_iter().map(|(name, value)| format!("{name} = {}", json!(value))).collect();
        format!(
            "{}\n[target.process]\ncommand = {}\nenv = {{ {} }}\n[target.heal]\ngrace = \"2s\"\nbackoff = \"200ms\"\n",
            self.observed(name, address, more),
            json!(self.command(address)),
            variables.join(", "),
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

    /// Starts it, from a shell as a user does, and waits until its process is there.
    pub fn start(&self, bed: &Bed, address: SocketAddr) -> Server {
        Server::run(bed, address, self.command(address), self.environment(address))
    }
}

/// The exact name that the plugin's manifest names, or the interpreter's for a script.
fn file_name(kind: Kind) -> &'static str {
    match kind {
        Kind::LmStudio => "llmster",
        Kind::LocalAi | Kind::LocalAiWithLimits => "local-ai",
        Kind::Vllm => "vllm",
        Kind::LlamaRouter => "llama-server",
        Kind::LlamaCppPython | Kind::TextGenerationWebui => "python3",
        Kind::Plain => "v1-server",
        Kind::Own => "own-server",
        Kind::Website => "nginx-like",
    }
}
