//! The API over real HTTP at 127.0.0.1, in front of a monitor that is not real.

mod browser;
mod contract;
mod documented;
pub(crate) mod fake;
mod gate;
mod limits;
mod own;
mod pages;
mod wire;
