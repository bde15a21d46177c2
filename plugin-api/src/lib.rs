//! The border between ai-monitor and its probe plugins.
//!
//! A session is a pure function of its events: an event in, one effect out. The host does the effect and answers
//! with the next event. See `docs/` and the contract's own words in each module.

pub mod effect;
pub mod event;
pub mod manifest;
pub mod report;
pub mod table;
