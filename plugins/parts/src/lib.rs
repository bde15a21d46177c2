//! What several bundled plugins share: reading answers, llama.cpp's server, processes, streams of tokens, known error texts.

pub mod answer;
pub mod generation;
pub mod llama_server;
pub mod metrics;
pub mod models;
pub mod percent;
pub mod process;
pub mod repair;
pub mod signature;
