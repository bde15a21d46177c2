//! Layers, checks, messages with carets, and what is persisted.

pub mod model;
