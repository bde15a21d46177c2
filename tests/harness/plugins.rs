//! Plugins as libraries: compiled from C, and looked through as the monitor does, with its own loader and HTTP driver.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use ai_monitor::{
    health::observation::{Observation, SessionEnd},
    plugin::{Isolation, Plugin, load_library},
    probe::{
        http::Driver,
        session::{ProbeAsk, RepairAsk, RepairRun},
    },
};
use ai_monitor_plugin_api::{
    conformance::Kit,
    event::{Depth, InferenceAsk},
    table::AimPlugin,
};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::bed::MONITOR;

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the host's folder is in the root").to_owned()
}

/// The library that cargo built of a crate that the tests depend on: it lies beside the test.
pub fn built_library(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test binary's own path");
    let folder = test.parent().expect("the test binary is in a folder");
    folder.join(format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX))
}

/// Compiles one C file to a library, with every warning an error.
pub fn compile_c(source: &Path, include: &Path, library: &Path) {
    let output = Command::new("cc")
        .args([
            "-std=c99",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pedantic",
            "-shared",
            "-fPIC",
            "-fvisibility=hidden",
        ])
        .arg("-I")
        .arg(include)
        .arg("-o")
        .args([library, source])
        .output()
        .unwrap_or_else(|e| panic!("the C compiler `cc` is not there; the README asks for one: {e}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A library's plugin, loaded in both ways: into this process, and into a child of its own as drop-ins are.
pub fn loaded(library: &Path) -> [Plugin; 2] {
    let not_loaded = |e| panic!("{}: {e}", library.display());
    let isolation = Isolation::with_program(MONITOR);
    let in_child = shared().0.block_on(Plugin::isolated(library, &isolation)).unwrap_or_else(not_loaded);
    assert!(!in_child.is_in_process());
    [load_library(library).unwrap_or_else(not_loaded), in_child]
}

/// The conformance kit over a library and the manifest beside it.
pub fn kit(library: &Path, symbol: &str, manifest: &Path) -> Kit {
    // SAFETY: these libraries are built from this repository; what they run as they are opened is nothing.
    let opened = unsafe { libloading::Library::new(library) }.unwrap_or_else(|e| panic!("{}: {e}", library.display()));
    let symbol_of = |e| panic!("{symbol}: {e}");
    // SAFETY: the symbol is data; only its address is taken, and not what its type says.
    let table = unsafe { opened.get::<*const AimPlugin>(symbol.as_bytes()).unwrap_or_else(symbol_of).try_as_raw_ptr() };
    let table = table.expect("an address").cast_const();
    // The table lives in it for ever.
    std::mem::forget(opened);
    // SAFETY: the contract's symbol is a table of the contract, and its library stays.
    unsafe { Kit::from_pointer(table.cast()) }.file(fs::read(manifest).expect("the manifest"))
}

/// One look through a plugin at a server.
pub fn look(plugin: &Plugin, url: &str, depth: Depth) -> Observation {
    let inference = InferenceAsk { model: None, prompt: "Say: ok".into(), max_tokens: 8, scheduled: false };
    let ask = ProbeAsk {
        depth,
        inference: (depth == Depth::Inference).then_some(inference),
        deadline: Duration::from_secs(20),
        settings: Default::default(),
        variant: None,
        processes: None,
        addresses: Default::default(),
        answers: None,
    };
    let (runtime, driver) = shared();
    runtime.block_on(driver.target(&url.parse().expect("an URL"), None).probe(plugin, ask))
}

/// One repair through a plugin.
pub fn repair(plugin: &Plugin, url: &str, repair: &str, args: Value) -> RepairRun {
    let ask = RepairAsk {
        repair: repair.into(),
        args: args.as_object().cloned().unwrap_or_default(),
        deadline: Duration::from_secs(20),
        settings: Default::default(),
        variant: None,
        processes: None,
        addresses: Default::default(),
    };
    let (runtime, driver) = shared();
    runtime.block_on(driver.target(&url.parse().expect("an URL"), None).repair(plugin, ask))
}

/// The report as JSON; fails the test where the session did not end well.
#[track_caller]
pub fn report(observation: &Observation) -> Value {
    assert_eq!(observation.end, SessionEnd::Report, "{observation:?}");
    serde_json::to_value(observation.report.as_ref().expect("a session that ended well has one")).expect("JSON")
}

/// As in the monitor, one of each for all targets.
fn shared() -> &'static (Runtime, Driver) {
    static SHARED: OnceLock<(Runtime, Driver)> = OnceLock::new();
    SHARED.get_or_init(|| {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        (runtime, Driver::new().expect("an HTTP client"))
    })
}
