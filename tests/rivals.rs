//! Who else starts a server may come and go while the monitor runs.

use std::time::Duration;

use crate::{
    discover::forwarder,
    harness::{Bed, Monitor, isolated, isolation::Isolation, say, wait_until},
    test_name,
};

const SOON: Duration = Duration::from_secs(30);

/// A server that never ran is started at the monitor's start, unless somebody else will do it. Once nobody will, it is
/// the monitor's to start.
#[test]
fn a_server_is_started_once_its_launcher_is_gone() {
    isolated(test_name!(a_server_is_started_once_its_launcher_is_gone), |isolation| {
        if isolation != Isolation::Machine {
            return say("the launcher is left out: on the user's machine another one may run");
        }
        let bed = Bed::new(isolation);
        let (server, elsewhere) = (bed.free_address(), bed.free_address());
        let launcher = forwarder(&bed, "local-ai-launcher", elsewhere, server);
        let started = bed.path().join("started");
        let config = format!(
            "[[target]]\nname = \"it\"\nbackend = \"localai\"\nurl = \"http://{server}\"\ncheck_interval = \"200ms\"\n\
             [target.process]\ncommand = [\"sh\", \"-c\", \"touch '{}'; exec sleep 600\"]\n",
            started.display()
        );
        let monitor = Monitor::start(&bed, &config);
        monitor.wait_checks("it", 5, SOON);
        assert!(!started.exists(), "its launcher may only be slower");
        monitor.assert_no_incident("it");
        drop(launcher);
        wait_until(SOON, "the start", || if started.exists() { Ok(()) } else { Err(monitor.target("it").to_string()) });
    });
}
