//! Acts by what they leave behind: a model that is fetched, stale files that are gone or were left alone; and a heal that
//! may not act any more.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde_json::json;

use crate::{
    harness::{
        Backend, Bed, Kind, Monitor, Server, Tier, isolated, isolation::Isolation, monitor, process::Signal, say,
        small_plugin::Small,
    },
    simulators::{self, Simulator},
    test_name,
};

const SOON: Duration = Duration::from_secs(60);
const TWO_DAYS: Duration = Duration::from_secs(2 * 86_400);

/// A monitor over this configuration, with this policy as `own`, and with a folder for temporary files of its own.
fn monitor_with_policy(bed: &Bed, config: &str, policy: &str) -> Monitor {
    let folder = bed.folder("monitor");
    let policies = bed.folder("monitor/policies");
    fs::write(policies.join("own.lua"), policy).expect("a policy");
    fs::write(folder.join("config.toml"), config).expect("the configuration");
    let listen = bed.free_address();
    let arguments = ["--listen", &listen.to_string(), "--policy-dir", &policies.display().to_string()];
    let mut command = monitor::command(&folder, &arguments);
    command.env("TMPDIR", bed.folder("temp"));
    Monitor::spawn(command, folder, listen)
}

#[test]
fn a_required_model_that_is_not_there_is_fetched() {
    isolated(test_name!(a_required_model_that_is_not_there_is_fetched), |isolation| {
        let bed = Bed::new(isolation);
        let simulator = Simulator::new(&bed, simulators::Kind::LmStudio);
        let server = simulator.start(&bed, bed.free_address());
        let target = simulator.target("it", server.address, "models = [\"fetched\"]");
        let monitor = Monitor::start(&bed, &format!("{target}allow = [\"pull\"]\n"));
        let incident = monitor.wait_incident("it", 1, SOON);
        incident.assert_healed("model_missing", "pull").assert_acts(&["load", "pull"]);
        incident.assert_tells(&["fetched is not among its 2 models", "fetched is listed: downloaded"]);
        let models = monitor.target("it")["models"].clone();
        let mut all = models.as_array().into_iter().flatten();
        assert!(all.any(|m| m["id"] == "fetched" && m["state"] == "unloaded"), "{models}");
        assert!(server.process.lives(), "the server was not to be touched");
        monitor.wait_state("it", "online", SOON);
    });
}

/// A folder as a crash leaves it, written to so long ago.
fn left_behind(temp: &Path, name: &str, age: Duration) -> PathBuf {
    let folder = temp.join(name);
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("runner"), "x").expect("a file");
    for path in [folder.join("runner"), folder.clone()] {
        File::open(path).and_then(|it| it.set_modified(SystemTime::now() - age)).expect("its time");
    }
    folder
}

const CLEANS: &str = "policy { api = 1, about = \"room first\" }\n\
    function heal.dead(incident)\n  act.clean_temp {}\n  act.start {}\nend\n";

/// ollama#7012: every crash leaves a folder. Two servers share the place: the one's is not the other's to clean.
#[test]
fn stale_files_go_when_no_server_of_their_kind_runs() {
    isolated(test_name!(stale_files_go_when_no_server_of_their_kind_runs), |isolation| {
        if isolation == Isolation::Ports {
            return say("stale_files_go_when_no_server_of_their_kind_runs is left out: the user's own would count");
        }
        let bed = Bed::new(isolation);
        let backend = Backend::new(&bed, Kind::Ollama, Tier::Demo);
        let temp = bed.folder("temp");
        let stale = left_behind(&temp, "ollama123", TWO_DAYS);
        let young = left_behind(&temp, "ollama456", Duration::ZERO);
        let foreign = left_behind(&temp, "other", TWO_DAYS);
        let neighbour = Server::start(&bed, &backend, bed.free_address());
        let config = backend.target("it", bed.free_address(), "policy = \"own\"");
        let monitor = monitor_with_policy(&bed, &config, CLEANS);

        let incident = monitor.wait_incident("it", 1, SOON);
        incident.assert_healed("dead", "start").assert_acts(&["clean_temp", "start"]);
        assert_eq!(incident.acts()[0].1, "nothing", "{incident}");
        let who = format!("ollama ({}) runs", neighbour.process.pid);
        incident.assert_tells(&["touched only while it is stopped", &who]);
        assert!(stale.exists(), "the neighbour may use it");

        neighbour.process.signal(Signal::KILL);
        neighbour.process.wait_gone(SOON);
        monitor.process_of("it").signal(Signal::KILL);
        let incident = monitor.wait_incident("it", 2, SOON);
        incident.assert_healed("dead", "start").assert_acts(&["clean_temp", "start"]);
        incident.assert_tells(&[&format!("removed {}", stale.display())]);
        assert!(!stale.exists() && young.exists() && foreign.exists());
    });
}

const WAITS: &str = "policy { api = 1, about = \"patience\" }\n\
    function heal.dead(incident)\n  act.wait { seconds = 3600 }\n  act.start {}\nend\n";

/// It is not left as if it were being mended.
#[test]
fn a_heal_whose_plugin_the_settings_no_longer_fit_is_withdrawn() {
    isolated(test_name!(a_heal_whose_plugin_the_settings_no_longer_fit_is_withdrawn), |isolation| {
        let bed = Bed::new(isolation);
        let config = format!(
            "[[target]]\nname = \"it\"\nbackend = \"small\"\nurl = \"http://{}\"\ncheck_interval = \"200ms\"\n\
             policy = \"own\"\n[target.process]\ncommand = [\"sleep\", \"3600\"]\n",
            bed.free_address()
        );
        let monitor = monitor_with_policy(&bed, &config, WAITS);
        let drop_in = |plugin: &Small| plugin.drop_into(&bed.folder("built"), &monitor.folder.join("data/plugins"));
        drop_in(&Small::new("small", "1"));
        monitor.wait_state("it", "healing", SOON);
        drop_in(&Small::new("small", "2").wanting("place"));
        let incident = monitor.wait_incident("it", 1, SOON);
        incident.assert_ended("dead", "withdrawn").assert_tells(&["do not fit the plugin small 2", "place"]);
        let it = monitor.wait_state("it", "unknown", SOON);
        assert_eq!(it["incident"], json!(null), "{it}");
    });
}
