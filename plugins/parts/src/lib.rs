//! What several bundled plugins share: reading answers, llama.cpp's server, processes, streams of tokens, known error texts.

pub mod answer;
pub mod generation;
pub mod llama_server;
pub mod metrics;
pub mod process;
pub mod repair;
pub mod signature;

/// The most models that a report may list. A longer list is left out: a part of it would read as the whole.
pub const MODELS_MAX: usize = 2000;
