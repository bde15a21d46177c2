//! Isolation: a plugin of a library runs in child processes, so that it ends nothing but its own session.
//!
//! The child is this same program, started again with [`COMMAND`]: it opens the library, under a sandbox
//! ([`super::sandbox`]), and answers frames ([`frame`]) over its standard input and output. The host keeps a small
//! [`pool`] of such children per plugin, holds each call to a limit ([`patience`]), and says why one ended
//! ([`reason`]). Nothing here blocks a thread of the runtime.

mod frame;
mod inside;
mod last_words;
mod patience;
mod pool;
mod process;
mod reason;
mod refused;
mod spawner;
mod stderr;
mod stdio;

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

pub use inside::as_plugin_child;
#[cfg_attr(not(target_os = "linux"), allow(unused_imports, reason = "only there a child hears of its death"))]
pub(super) use last_words::LastWords;
pub(super) use pool::{OPENED_WITHIN, Pool, Seat};

/// The hidden command of a plugin's child, in front of the library's path and the host's process id.
const COMMAND: &str = "plugin-child";

/// Which program the children of plugins are.
#[derive(Debug, Clone)]
pub struct Isolation {
    program: PathBuf,
}

impl Isolation {
    /// The running program, which must call [`as_plugin_child`] first of all, as `ai-monitor` does. On Linux it is
    /// the very file that runs, even where another version has been put in its place since.
    pub fn this_program() -> Isolation {
        let running = PathBuf::from("/proc/self/exe");
        if cfg!(target_os = "linux") && running.exists() {
            return Isolation { program: running };
        }
        // Without a path of its own it can start nothing: the error of starting says so.
        Isolation { program: std::env::current_exe().unwrap_or_else(|_| "ai-monitor".into()) }
    }

    /// Its path.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Another program: for tests, whose own does not call [`as_plugin_child`].
    pub fn with_program(program: impl Into<PathBuf>) -> Isolation {
        Isolation { program: program.into() }
    }
}

impl Default for Isolation {
    fn default() -> Isolation {
        Isolation::this_program()
    }
}

/// Says in the log, once, what this system cannot keep from a plugin.
fn tell_once(missing: &str) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if !TOLD.swap(true, Ordering::Relaxed) {
        tracing::warn!(missing, "plugins run in processes of their own, but this system cannot fence these in wholly");
    }
}
