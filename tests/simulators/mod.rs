//! Model servers that cannot be had here, played: LM Studio, LocalAI, vLLM and others that speak OpenAI's protocol.
//!
//! Each is written from what is published about the real one (the sources stand in each file's head), speaks real
//! HTTP/1.1 over TCP, has real child processes where the real one has them, and fails on command, by the same orders
//! as this project's own server (`POST /demo/fault`, see [`fault`]). It shares no code with what it tests.
//!
//! A simulator is a process of its own: the test binary, linked under the exact file name that the real program has
//! (that is what the monitor's rules see), runs itself again as [`process`] says.

mod chat;
mod engine;
pub mod fault;
mod handle;
mod healing;
mod llama_router;
mod lm_studio;
mod localai;
mod plain;
mod process;
mod python;
mod tests;
mod vllm;
mod wire;
mod world;

use serde::{Deserialize, Serialize};

pub use self::{fault::Fault, handle::Simulator};

/// What is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Headless: `llmster`, with a worker per loaded model.
    LmStudio,
    /// `local-ai`, with a gRPC backend per loaded model.
    LocalAi,
    /// The same, with a limit on the requests of each model in its configuration: only then does it count them.
    LocalAiWithLimits,
    /// `vllm serve`, with its engine core.
    Vllm,
    /// `llama-server` without a model of its own, with a child per loaded model.
    LlamaRouter,
    /// `python -m llama_cpp.server`.
    LlamaCppPython,
    /// `python server.py --api`.
    TextGenerationWebui,
    /// Any other server of `/v1`.
    Plain,
    /// A server of nobody's protocol, for the plugin that is configured: `/status`, `/chat`.
    Own,
    /// No model server at all: the same page for every path.
    Website,
}
