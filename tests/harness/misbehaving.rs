//! A folder of misbehaving plugins, one for each way, and beside each its manifest: as a user would drop them in.
//!
//! All but one are compiled from `tests/misbehaving/plugin.c`; the one that panics is a crate of this workspace.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::plugins::{compile_c, root};

/// A way to misbehave, and what becomes of it.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    /// Also its plugin's id, with `-` for `_`.
    pub name: &'static str,
    pub comes_to: ComesTo,
}

/// What a plugin comes to. The words are parts of the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComesTo {
    /// It is loaded, and each look gives a report.
    Good,
    /// It is not loaded.
    NotLoaded(&'static str),
    /// It is loaded, and a look ends so.
    PluginError(&'static str),
    ProtocolError(&'static str),
    Crashed(&'static str),
    Overrun(&'static str),
}

use ComesTo::{Crashed, Good, NotLoaded, Overrun, PluginError, ProtocolError};

/// All of them. Those whose end needs the system's filter of calls are marked by what they say.
pub const WAYS: &[Way] = &[
    way("good", Good),
    way("prints", Good),
    way("crashes_in_destroy", Good),
    way("hangs_in_destroy", Good),
    way("segfaults", Crashed("SIGSEGV")),
    way("overflows_its_stack", Crashed("SIGSEGV")),
    way("aborts", Crashed("SIGABRT")),
    way("divides_by_zero", Crashed("SIGFPE")),
    way("exits", Crashed("exit code 3")),
    way("says_why_and_exits", Crashed("exit code 4: the table of moons is empty")),
    way("leaks", Crashed("over its 64 MiB of memory")),
    way("takes_shared_memory", Crashed("called mmap")),
    way("takes_stacks", Crashed("called mmap")),
    way("opens_a_file", Crashed("called openat")),
    way("opens_a_socket", Crashed("called socket")),
    way("forks", Crashed("called clone")),
    way("runs_a_program", Crashed("called execve")),
    way("sends_a_signal", Crashed("called kill")),
    way("sleeps", Crashed("called clock_nanosleep")),
    way("crashes_in_create", Crashed("SIGSEGV")),
    way("spins", Overrun("step")),
    way("never_returns", Overrun("step")),
    way("floods_the_sink", Overrun("step")),
    way("hangs_in_create", Overrun("create")),
    way("writes_too_large_an_effect", ProtocolError("the effect is over 1048576 bytes")),
    way("floods_requests", ProtocolError("more than 64 requests")),
    way("floods_waits", ProtocolError("more than 256 waits")),
    way("answers_no_json", ProtocolError("the effect cannot be read")),
    way("answers_invalid_utf8", ProtocolError("not UTF-8")),
    way("wants_an_unknown_effect", ProtocolError("the effect `run` is none of")),
    way("says_nothing", ProtocolError("the effect cannot be read")),
    way("reports_too_many_models", ProtocolError("2001 models, over 2000")),
    way("asks_for_another_route", ProtocolError("POST /delete is not among the routes")),
    way("refuses_to_create", PluginError("not today")),
    way("refuses_in_invalid_utf8", PluginError("no: \u{fffd}")),
    way("gives_up", PluginError("too hard")),
    way(PANICS, PluginError("panicked: a planet has moons")),
    way("crashes_in_initialiser", NotLoaded("SIGSEGV")),
    way("hangs_in_initialiser", NotLoaded("while it was opened")),
    way("writes_in_initialiser", NotLoaded("called open")),
    way("forks_in_initialiser", NotLoaded("called clone")),
    way("takes_shared_memory_in_initialiser", NotLoaded("called mmap")),
    way("speaks_for_its_process", NotLoaded("out of order")),
    way("crashes_in_manifest", NotLoaded("SIGSEGV")),
    way("hangs_in_manifest", NotLoaded("while its manifest was read")),
];

const PANICS: &str = "panics";

const fn way(name: &'static str, comes_to: ComesTo) -> Way {
    Way { name, comes_to }
}

/// The way of this name.
pub fn named(name: &str) -> Way {
    *WAYS.iter().find(|way| way.name == name).unwrap_or_else(|| panic!("there is no way named {name:?}"))
}

impl Way {
    /// The plugin's id.
    pub fn id(&self) -> String {
        self.name.replace('_', "-")
    }

    /// The manifest's text, which library and file share.
    pub fn manifest(&self) -> String {
        if self.name == PANICS {
            return fs::read_to_string(root().join("tests/misbehaving/panics/src/manifest.json")).expect("a manifest");
        }
        serde_json::json!({
            "contract": "1.0", "abi": 1, "id": self.id(), "version": "1.0.0",
            "label": format!("Misbehaving: {}", self.name.replace('_', " ")),
            "probes": {"liveness": {"routes": ["GET /version"], "deadline_ms": 10_000}},
        })
        .to_string()
    }

    /// Puts the library and the manifest beside it into `folder`; gives the library's path.
    pub fn build(&self, folder: &Path) -> PathBuf {
        let library = if self.name == PANICS { panicking(folder) } else { self.compile(folder) };
        fs::write(library.with_extension("json"), self.manifest()).expect("the manifest beside the library");
        library
    }

    fn compile(&self, folder: &Path) -> PathBuf {
        let generated = tempfile::tempdir().expect("a folder for what is generated");
        // A string of JSON is one of C, too.
        let literal = serde_json::to_string(&self.manifest()).expect("a text");
        let header = format!("#define WAY_{} 1\n#define MANIFEST {literal}\n", self.name);
        fs::write(generated.path().join("manifest.h"), header).expect("the generated header");
        let source = generated.path().join("plugin.c");
        // Beside its header: what is included in quotes is looked for there first.
        fs::copy(root().join("tests/misbehaving/plugin.c"), &source).expect("the source");
        let library = folder.join(format!("{}.so", self.name));
        compile_c(&source, &root().join("plugin-api/include"), &library);
        library
    }
}

/// The crate's library, which cargo has built beside this test; its name is a part of its symbol.
fn panicking(folder: &Path) -> PathBuf {
    let built = std::env::current_exe().expect("the test's own path").with_file_name("libpanics.so");
    let library = folder.join("libpanics.so");
    fs::copy(&built, &library).unwrap_or_else(|e| panic!("{} was not built: {e}", built.display()));
    library
}

/// Builds them all into `folder`.
pub fn build_all(folder: &Path) -> Vec<(Way, PathBuf)> {
    WAYS.iter().map(|way| (*way, way.build(folder))).collect()
}
