//! Lua: the sandbox, the acts, one driver for live and replayed incidents.

pub mod step;
