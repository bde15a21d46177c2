//! What the monitor costs and how fast it mends, measured on the real binary: `cargo bench -p ai-monitor`.
//!
//! It runs in a network and a process table of its own, as the end-to-end tests do, among processes that do nothing,
//! as a user's machine has them. The load is printed beside the figures: they are of this machine at this time.

#[cfg(target_os = "linux")]
#[path = "../../../tests/harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use the rest of it")]
mod harness;

#[cfg(target_os = "linux")]
mod cost;
#[cfg(target_os = "linux")]
mod fleet;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod successor;

#[cfg(target_os = "linux")]
fn main() {
    // `cargo test --all-targets` runs benchmarks too, without this argument. Isolated, this program runs once more.
    let isolated = std::env::var_os(harness::isolation::MARK).is_some();
    if !isolated && !std::env::args().any(|argument| argument == "--bench") {
        return println!("nothing measured: run cargo bench -p ai-monitor");
    }
    if let Some(printed) = harness::isolation::isolated_output("monitor::bench", measure) {
        print!("{printed}");
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("nothing measured: processes are counted through /proc, so this runs on Linux alone");
}

#[cfg(target_os = "linux")]
fn measure(isolation: harness::isolation::Isolation) {
    use fleet::{Neighbours, end_at};
    use harness::Bed;

    end_at(std::time::Duration::from_secs(230));
    let neighbours = Neighbours::start(300);
    report::machine(isolation, neighbours.count());
    report::binary(harness::bed::MONITOR);

    // One of them alone, as BENCH_ONLY=thousand.
    let only = std::env::var("BENCH_ONLY").ok();
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    if wanted("successor") {
        successor::of_an_idle_server(&Bed::new(isolation), 20).print();
        successor::of_a_server_with_a_model(&Bed::new(isolation), 10).print();
    }
    if wanted("five") {
        cost::five_targets(&Bed::new(isolation));
    }
    if wanted("hundred") {
        cost::hundred_targets(&Bed::new(isolation));
    }
    if wanted("thousand") {
        cost::thousand_targets(&Bed::new(isolation));
    }
    report::load("load after");
}
