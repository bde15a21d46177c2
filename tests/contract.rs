//! A client written from the v4.3 contract alone, against the running binary: with nothing to watch, with servers that
//! are well, down and observed only, and after a heal.

use std::time::Duration;

use crate::{
    harness::{Backend, Bed, Monitor},
    tiers, v43_client,
};

const WITHIN: Duration = Duration::from_secs(60);

tiers! {
    demo = Demo { a_v43_client_works_unchanged(Ollama) }
}

fn a_v43_client_works_unchanged(bed: &Bed, backend: &Backend) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (own, down) = (bed.free_address(), bed.free_address());
    let config = format!("{}{}", backend.target("it", own, ""), backend.observed("down", down, ""));
    let monitor = Monitor::start(bed, &config);
    monitor.wait_incident("it", 1, WITHIN).assert_healed("dead", "start");
    monitor.wait_state("it", "online", WITHIN);
    monitor.wait_state("down", "offline", WITHIN);
    runtime.block_on(v43_client::check_contract(&format!("http://{}", monitor.listen)));
}
