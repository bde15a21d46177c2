//! A server that is started by asking another program for it: `lms server start` ends, and llmster is there.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use serde_json::json;

use crate::{
    harness::{Bed, Monitor, isolated, process::Signal},
    simulators::{Kind, Simulator},
    test_name,
};

const HEALED: Duration = Duration::from_secs(60);

#[test]
fn a_program_that_asks_for_the_server_and_ends_has_started_it() {
    isolated(test_name!(a_program_that_asks_for_the_server_and_ends_has_started_it), |isolation| {
        let bed = Bed::new(isolation);
        let simulator = Simulator::new(&bed, Kind::LmStudio);
        let address = bed.free_address();
        let lms = bed.folder("bin").join("lms");
        let server: Vec<String> = simulator.command(address).iter().map(|a| format!("'{a}'")).collect();
        // What the real one does, too: the server outlives it in a session of its own.
        let script = format!("#!/bin/sh\nsetsid {} </dev/null >/dev/null 2>&1 &\nexit 0\n", server.join(" "));
        fs::write(&lms, script).expect("the launcher");
        fs::set_permissions(&lms, fs::Permissions::from_mode(0o755)).expect("it may be run");

        let variables: Vec<String> = simulator
            .environment(address)
            .into_iter()
            .map(|(name, value)| format!("{name} = {}", json!(value)))
            .collect();
        let config = format!(
            "{}\n[target.process]\ncommand = {}\nenv = {{ {} }}\n[target.heal]\nbackoff = \"200ms\"\n",
            simulator.observed("it", address, ""),
            json!([lms, "server", "start", "--port", address.port().to_string()]),
            variables.join(", "),
        );
        let monitor = Monitor::start(&bed, &config);
        monitor.wait_incident("it", 1, HEALED).assert_healed("dead", "start");
        monitor.wait_state("it", "online", HEALED);
        let first = monitor.process_of("it");
        assert_eq!(first.stat().map(|s| s.name).as_deref(), Some("llmster"));

        // It is ours to mend, though its parent is not this monitor.
        first.signal(Signal::KILL);
        monitor.wait_incident("it", 2, HEALED).assert_healed("dead", "start");
        monitor.wait_state("it", "online", HEALED);
        assert_ne!(monitor.process_of("it"), first);
    });
}
