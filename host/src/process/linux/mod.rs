//! Linux: everything from `/proc`, `pidfd` and one netlink question.

mod cgroup;
mod family;
mod pidfd;
mod proc;
mod remembered;
mod sockets;
mod spawn;

pub use cgroup::supervisor;
pub use family::{refresh, session_members};
pub use pidfd::{exited, signal};
pub use proc::{all, boot_id, executing, find, memory, moment, working_directory};
pub use sockets::listeners;
pub use spawn::detach;

/// Are names of executables compared without regard to case?
pub const IGNORE_CASE: bool = false;
