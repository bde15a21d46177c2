//! The one room that talks to backends: the HTTP driver, the stepping of sessions into observations, identification
//! by the manifests' rules, discovery, and the schedule.

pub mod discover;
pub mod http;
pub mod identify;
pub mod schedule;
pub mod session;

#[cfg(test)]
mod testing;
