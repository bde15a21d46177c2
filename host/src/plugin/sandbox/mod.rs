//! What stands between a plugin's code and the system, each system's own way.
//!
//! Linux: no new privileges, small limits, its death with the host's, Landlock over the files, and a seccomp filter
//! in two stages: while the library is opened (its initialisers run then) files may be read; afterwards only what
//! pure computing needs is allowed. A call that is refused ends the child. Windows: a job object. Elsewhere: limits
//! alone, and that is said in the log.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as system;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as system;

#[cfg(not(any(target_os = "linux", windows)))]
mod other;
#[cfg(not(any(target_os = "linux", windows)))]
use other as system;

/// What a child may allocate beyond what it has when it opens its library, in bytes.
pub(super) const MEMORY_MAX: u64 = 64 * 1024 * 1024;

pub(super) use system::{Fence, at_start, before_start, call_name, end_name};
pub(crate) use system::{Tie, end_with};
