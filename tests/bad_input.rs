//! Bad input of every kind gets a clear error, the rest goes on, nothing is lost.

use std::{fs, process::Command, time::Duration};

use serde_json::json;

use crate::{
    harness::{
        Backend, Bed, Monitor, Server, isolation::Isolation, monitor::command, process::Signal, say, user::one_answer,
    },
    tiers,
};

const SOON: Duration = Duration::from_secs(60);

tiers! {
    demo = Demo {
        a_corrupt_configuration_is_refused_with_its_place(Ollama),
        a_policy_that_does_not_parse_gives_way_to_the_shipped_one(Llama),
        a_policy_that_never_ends_gives_way_to_the_shipped_one(Llama),
        a_body_of_a_gigabyte_is_not_read(Ollama),
        a_dripping_answer_is_a_fault_of_that_target_alone(Ollama),
        broken_json_is_a_fault_of_that_target_alone(Ollama),
        a_redirect_is_not_followed(Ollama),
        a_refused_key_is_no_reason_to_act(Ollama),
        a_full_disk_stops_no_heal(Llama),
    }
}

fn a_corrupt_configuration_is_refused_with_its_place(bed: &Bed, backend: &Backend) {
    let folder = bed.folder("monitor");
    let target = backend.target("it", bed.free_address(), "");
    for (config, place, words) in [
        ("[defaults\n".to_owned(), ":1", "expected"),
        (format!("[defaults]\ncheck_intervall = \"5s\"\n{target}"), ":2", "check_interval"),
        (
            format!("{target}\n[[target]]\nname = \"two\"\nbackend = \"olama\"\nurl = \"http://127.0.0.1:1\"\n"),
            "",
            "ollama",
        ),
    ] {
        fs::write(folder.join("config.toml"), &config).expect("a configuration");
        let listen = bed.free_address();
        let output = command(&folder, &["--listen", &listen.to_string()]).output().expect("the monitor runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "accepted: {config}");
        assert!(
            said.contains(&format!("config.toml{place}")) && said.contains(words),
            "{words:?} in {place:?}: {said}"
        );
        assert!(std::net::TcpStream::connect(listen).is_err(), "nobody listens");
    }
}

/// Kills a server whose policy is this text; the shipped policy must mend it, and the trouble be told.
fn with_policy(bed: &Bed, backend: &Backend, policy: &str, told: &[&str]) {
    let policies = bed.folder("monitor/policies");
    fs::write(policies.join("own.lua"), policy).expect("a policy");
    let config = backend.target("it", bed.free_address(), "policy = \"own\"");
    let folder = bed.folder("monitor");
    fs::write(folder.join("config.toml"), config).expect("the configuration");
    let monitor = Monitor::start_with(folder, bed.free_address(), &["--policy-dir", &policies.display().to_string()]);
    let incident = monitor.wait_incident("it", 1, SOON);
    incident.assert_healed("dead", "start");
    monitor.process_of("it").signal(Signal::KILL);
    let incident = monitor.wait_incident("it", 2, SOON);
    incident.assert_healed("dead", "start");
    let troubles = monitor.snapshot()["troubles"].to_string();
    let all = format!("{troubles}\n{incident}\n{}", monitor.log());
    for words in told {
        assert!(all.contains(words), "{words:?} was to be told: {all}");
    }
}

fn a_policy_that_does_not_parse_gives_way_to_the_shipped_one(bed: &Bed, backend: &Backend) {
    let policy = "policy { api = 1, about = \"broken\" }\nfunction heal.dead(incident\n  act.start {}\nend\n";
    with_policy(bed, backend, policy, &["own.lua:3"]);
}

fn a_policy_that_never_ends_gives_way_to_the_shipped_one(bed: &Bed, backend: &Backend) {
    let policy = "policy { api = 1, about = \"endless\" }\nfunction heal.dead(incident)\n  while true do end\nend\n";
    with_policy(bed, backend, policy, &["budget", "own.lua:3"]);
}

/// Two servers: one that will answer badly, and one that must not notice.
struct Pair {
    monitor: Monitor,
    bad: Server,
    good: Server,
}

/// What the bad one does to its answers is no reason to end it at once: the test looks before the ladder's end.
fn pair(bed: &Bed, backend: &Backend) -> Pair {
    let bad = Server::start(bed, backend, bed.free_address());
    let good = Server::start(bed, backend, bed.free_address());
    let config =
        format!("{}\n{}", backend.observed("bad", bad.address, ""), backend.observed("good", good.address, ""));
    let monitor = Monitor::start(bed, &config);
    monitor.wait_state("bad", "online", SOON);
    monitor.wait_state("good", "online", SOON);
    Pair { monitor, bad, good }
}

impl Pair {
    /// The bad one is told of as bad, the good one serves on, both live, and the monitor stays small.
    fn assert_bad_alone(&self, backend: &Backend, class: &str) {
        let target = self.monitor.wait_state("bad", "offline", SOON);
        assert_eq!(target["fault"]["class"], json!(class), "{target}");
        self.monitor.wait_checks("good", 3, SOON);
        assert_eq!(self.monitor.target("good")["state"], json!("online"));
        one_answer(backend, self.good.address, backend.model(), SOON).expect("an answer of the good one");
        assert!(self.bad.process.lives() && self.good.process.lives(), "observed only");
        let memory = self.monitor.process().memory();
        assert!(memory < 200 << 20, "the monitor takes {} MiB", memory >> 20);
        // It comes back by itself when the answers are good again.
        backend.order(self.bad.address, &json!({"fault": "clear"}));
        self.monitor.wait_state("bad", "online", SOON);
    }
}

fn a_body_of_a_gigabyte_is_not_read(bed: &Bed, backend: &Backend) {
    let pair = pair(bed, backend);
    backend.order(pair.bad.address, &json!({"fault": "huge_body"}));
    pair.assert_bad_alone(backend, "erring");
}

fn a_dripping_answer_is_a_fault_of_that_target_alone(bed: &Bed, backend: &Backend) {
    let pair = pair(bed, backend);
    backend.order(pair.bad.address, &json!({"fault": "drip"}));
    pair.assert_bad_alone(backend, "erring");
}

fn broken_json_is_a_fault_of_that_target_alone(bed: &Bed, backend: &Backend) {
    let pair = pair(bed, backend);
    backend.order(pair.bad.address, &json!({"fault": "broken_json"}));
    pair.assert_bad_alone(backend, "erring");
}

fn a_redirect_is_not_followed(bed: &Bed, backend: &Backend) {
    let pair = pair(bed, backend);
    backend.order(pair.bad.address, &json!({"fault": "redirect"}));
    let target = pair.monitor.wait_state("bad", "offline", SOON);
    assert!(target.to_string().contains("redirect"), "it was to be told why: {target}");
    pair.monitor.wait_checks("good", 3, SOON);
    assert_eq!(pair.monitor.target("good")["state"], json!("online"));
}

fn a_refused_key_is_no_reason_to_act(bed: &Bed, backend: &Backend) {
    let server = Server::start(bed, backend, bed.free_address());
    let monitor = Monitor::start(bed, &backend.target("it", server.address, ""));
    monitor.wait_state("it", "online", SOON);
    backend.order(server.address, &json!({"fault": "unauthorised"}));
    monitor.wait_state("it", "key_refused", SOON);
    monitor.wait_checks("it", 5, SOON);
    assert!(server.process.lives(), "it is alive, only not for us");
    backend.order(server.address, &json!({"fault": "clear"}));
    monitor.wait_state("it", "online", SOON);
}

/// The journal cannot be written, and a server dies: it is started all the same, and what was held back is kept.
fn a_full_disk_stops_no_heal(bed: &Bed, backend: &Backend) {
    if bed.isolation != Isolation::Machine {
        return say("a_full_disk_stops_no_heal is left out: a small disk of one's own needs namespaces");
    }
    let disk = bed.folder("monitor/data");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "none"]).arg(&disk).status();
    assert!(mounted.is_ok_and(|s| s.success()), "a disk of 4 MiB");
    let monitor = Monitor::start(bed, &backend.target("it", bed.free_address(), ""));
    monitor.wait_incident("it", 1, SOON).assert_healed("dead", "start");
    monitor.wait_state("it", "online", SOON);

    let filler = disk.join("filler");
    let full = fs::write(&filler, vec![0; 8 << 20]).expect_err("8 MiB on a disk of 4");
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let server = monitor.process_of("it");
    server.signal(Signal::KILL);
    server.wait_gone(SOON);
    monitor.wait_for(SOON, "the trouble to be told", |monitor| {
        let troubles = monitor.snapshot()["troubles"].clone();
        if troubles.to_string().contains("journal") { Ok(()) } else { Err(troubles.to_string()) }
    });
    monitor.wait_state("it", "online", SOON);
    assert_ne!(monitor.process_of("it"), server, "healed without a journal");

    fs::remove_file(&filler).expect("room again");
    let incident = monitor.wait_incident("it", 2, SOON);
    incident.assert_healed("dead", "start");
    monitor.wait_for(SOON, "the trouble to be over", |monitor| {
        let troubles = monitor.snapshot()["troubles"].clone();
        if troubles.to_string().contains("journal") { Err(troubles.to_string()) } else { Ok(()) }
    });
}
