//! ai-monitor: the self-healing monitor for local AI model servers.
//!
//! Plugins observe. Policies decide. The host acts. See `docs/architecture.md` for the rooms and their directions.

pub mod act;
pub mod api;
pub mod cli;
pub mod config;
pub mod dashboard;
pub mod demo;
pub mod health;
pub mod incident;
pub mod journal;
pub mod logs;
pub mod monitor;
pub mod plugin;
pub mod policy;
pub mod probe;
pub mod process;
pub mod secrets;
mod signal_name;
pub mod time;

/// Says what a test leaves out on this machine, past the test runner's capture.
#[cfg(test)]
fn left_out(what: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "left out: {what}");
}
