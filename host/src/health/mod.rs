//! Pure: observations, events and vitals become a state and a fault with evidence. No clock, no I/O, no lock.

pub mod candidate;
pub mod fault;
pub mod look;
pub mod machine;
pub mod movement;
pub mod observation;
pub mod signals;
pub mod state;
#[cfg(test)]
mod tests;
