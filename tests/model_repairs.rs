//! Repairs of plugins that no real server can be had for: an engine that hangs is mended by the backend's own load and
//! unload, and the server is not touched.

use std::time::Duration;

use serde_json::json;

use crate::{
    harness::{Bed, Monitor, isolated},
    simulators::{Kind, Simulator},
    test_name,
};

const HEALED: Duration = Duration::from_secs(60);

/// Stops the engine of a loaded model; only the model is loaded anew.
fn a_stopped_engine_is_loaded_anew(bed: &Bed, kind: Kind, engine: &str) {
    let simulator = Simulator::new(bed, kind);
    let monitor = Monitor::start(bed, &simulator.target("it", bed.free_address(), ""));
    monitor.wait_incident("it", 1, HEALED).assert_healed("dead", "start");
    let loaded = |monitor: &Monitor| {
        let models = monitor.target("it")["models"].clone();
        let mut all = models.as_array().into_iter().flatten();
        let is = all.any(|m| m["id"] == json!("tiny") && m["state"] == json!("loaded"));
        if is { Ok(()) } else { Err(models.to_string()) }
    };
    monitor.wait_for(HEALED, "the model to be seen loaded", loaded);
    let server = monitor.process_of("it");
    let is_engine = |p: &crate::harness::process::Process| p.stat().is_some_and(|s| engine.starts_with(&s.name));
    let hung = server.children().into_iter().find(is_engine).expect("an engine");
    hung.stop();

    let incident = monitor.wait_incident("it", 2, HEALED);
    incident.assert_healed("stalled", "reload");
    assert!(server.lives() && !hung.lives(), "{incident}");
    monitor.wait_for(HEALED, "the model to be loaded again", loaded);
    assert_eq!(monitor.process_of("it"), server);
    let new = server.children().into_iter().find(is_engine).expect("a new engine");
    assert_ne!(new, hung);
}

#[test]
fn a_worker_of_lm_studio_that_hangs_is_loaded_anew() {
    isolated(test_name!(a_worker_of_lm_studio_that_hangs_is_loaded_anew), |isolation| {
        a_stopped_engine_is_loaded_anew(&Bed::new(isolation), Kind::LmStudio, "node");
    });
}

#[test]
fn a_backend_of_localai_that_hangs_is_loaded_anew() {
    isolated(test_name!(a_backend_of_localai_that_hangs_is_loaded_anew), |isolation| {
        a_stopped_engine_is_loaded_anew(&Bed::new(isolation), Kind::LocalAi, "llama-cpp-fallback");
    });
}
