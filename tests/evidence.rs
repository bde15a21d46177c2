//! Evidence that a policy asks for: a folder with what was seen and the logs that the plugin's manifest names.

use std::{fs, time::Duration};

use serde_json::Value;

use crate::{
    harness::{Bed, Monitor, isolated},
    simulators::{Kind, Simulator},
    test_name,
};

const HEALED: Duration = Duration::from_secs(60);
const POLICY: &str = "policy { api = 1, about = \"evidence first\" }\n\
    function heal.dead(incident)\n  act.collect { note = \"it is gone\" }\n  act.start {}\nend\n";

#[test]
fn a_bundle_has_what_was_seen_and_the_backend_s_own_log_without_its_secrets() {
    isolated(test_name!(a_bundle_has_what_was_seen_and_the_backend_s_own_log_without_its_secrets), |isolation| {
        let bed = Bed::new(isolation);
        let policies = bed.folder("monitor/policies");
        fs::write(policies.join("own.lua"), POLICY).expect("a policy");
        let folder = bed.folder("monitor");
        // The monitor's home is its folder.
        let logs = bed.folder("monitor/.lmstudio/server-logs/2026-11");
        fs::write(logs.join("2026-11-24.1.log"), "POST /v1/models\nAuthorization: Bearer sk-lm-abcdefghijkl\n")
            .expect("a log");
        bed.folder("monitor/.lmstudio/models");
        let simulator = Simulator::new(&bed, Kind::LmStudio);
        let config = simulator.target("it", bed.free_address(), "policy = \"own\"");
        fs::write(folder.join("config.toml"), config).expect("the configuration");
        let monitor =
            Monitor::start_with(folder.clone(), bed.free_address(), &["--policy-dir", &policies.display().to_string()]);
        let incident = monitor.wait_incident("it", 1, HEALED);
        incident.assert_healed("dead", "start");
        let acts = incident.acts();
        let (_, result) = acts.iter().find(|(act, _)| act == "collect").expect("it collects");
        assert_eq!(result, "done", "{incident}");

        let bundle = fs::read_dir(folder.join("data/bundles")).expect("bundles").flatten().next().expect("one").path();
        let read = |name: &str| fs::read_to_string(bundle.join(name)).expect("a file of the bundle");
        let evidence: Value = serde_json::from_str(&read("evidence.json")).expect("JSON");
        assert_eq!(evidence["note"], "it is gone");
        assert_eq!(evidence["fault"]["class"], "dead");
        assert_eq!(evidence["target"]["backend"], "lm-studio");
        assert!(evidence["disks"][0]["free_bytes"].as_u64().is_some_and(|free| free > 0), "{evidence}");
        let log = read("log-1.log");
        assert!(log.contains("POST /v1/models") && log.contains("Bearer ***") && !log.contains("sk-lm"), "{log}");
    });
}
