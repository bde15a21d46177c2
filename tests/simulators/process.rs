//! A simulator's process: how it is put into a folder, how it knows what it is to be, and how it ends.

use std::{
    ffi::OsStr,
    fs, io,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Command,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    Fault, Kind, engine, llama_router, lm_studio, localai, plain, python, vllm,
    wire::{self, Backend},
    world::World,
};

/// Holds what the process is to be: JSON of a [`Stage`].
pub const VARIABLE: &str = "END_TO_END_SIMULATOR";

/// What a process is to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "be", rename_all = "snake_case")]
enum Stage {
    Server(Options),
    Engine(engine::Stage),
}

/// A server's start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Options {
    pub kind: Kind,
    pub address: SocketAddr,
    /// Downloaded models, each with whether it is loaded from the start.
    pub models: Vec<(String, bool)>,
    /// These hold from the start.
    pub faults: Vec<Fault>,
}

pub fn server_stage(options: &Options) -> String {
    stage(&Stage::Server(options.clone()))
}

pub fn engine_stage(engine: engine::Stage) -> String {
    stage(&Stage::Engine(engine))
}

fn stage(stage: &Stage) -> String {
    serde_json::to_string(stage).expect("plain data")
}

/// Links `file` to be another name of `binary`, or copies it where the file system cannot.
pub fn place(binary: &Path, file: &Path) -> io::Result<()> {
    if file.exists() || fs::hard_link(binary, file).is_ok() || file.exists() {
        return Ok(());
    }
    fs::copy(binary, file).map(drop)
}

/// The arguments that make the test binary run a test that begins with [`be_what_the_variable_says`]; after them, those
/// of the real program, which the test runner takes for names of tests that there are not.
pub fn arguments(command: &mut Command, of_the_real: impl IntoIterator<Item = impl AsRef<OsStr>>) {
    command.args(ARGUMENTS).args(of_the_real);
}

pub const ARGUMENTS: &[&str] = &[
    "--exact",
    "--nocapture",
    "simulators::tests::sigterm_takes_the_engines_along_and_an_order_ends_the_server",
    "--",
    "simulated",
];

/// Does not return where it says anything.
pub fn be_what_the_variable_says() {
    let Ok(text) = std::env::var(VARIABLE) else { return };
    match serde_json::from_str(&text).expect("a stage") {
        Stage::Engine(stage) => engine::run(stage),
        Stage::Server(options) => serve(options),
    }
    std::process::exit(0);
}

/// Serves until SIGTERM.
fn serve(options: Options) {
    let backend: Arc<dyn Backend> = match options.kind {
        Kind::LmStudio => Arc::<lm_studio::LmStudio>::default(),
        Kind::LocalAi | Kind::LocalAiWithLimits => Arc::new(localai::LocalAi),
        Kind::Vllm => Arc::new(vllm::Vllm),
        Kind::LlamaRouter => Arc::new(llama_router::Router),
        Kind::LlamaCppPython => Arc::new(python::LlamaCppPython),
        Kind::TextGenerationWebui => Arc::new(python::TextGenerationWebui),
        Kind::Plain => Arc::new(plain::Plain),
        Kind::Own => Arc::new(plain::Own),
        Kind::Website => Arc::new(plain::Website),
    };
    let world = World::begin(&options);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let ends = world.clone();
    std::thread::spawn(move || {
        // These listen only when their model is there (vLLM binds before and does not listen, which refuses as well).
        if matches!(options.kind, Kind::Vllm | Kind::LlamaCppPython | Kind::TextGenerationWebui) {
            world.wait_loaded();
        }
        match TcpListener::bind(options.address) {
            Ok(listener) => wire::serve(&listener, &world, &backend),
            Err(e) => eprintln!("listen tcp {}: bind: {e}", options.address),
        }
        std::process::exit(1);
    });
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be waited for");
        loop {
            terminate.recv().await;
            if !ends.faults().ignore_sigterm {
                break;
            }
        }
    });
    ends.end_engines();
}
