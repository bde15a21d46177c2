//! The lines that are printed: one figure each, with what it was measured on.

use std::{fs, time::Duration};

use super::harness::isolation::Isolation;

/// A name of a figure takes so many columns.
const COLUMN: usize = 52;

pub fn line(name: &str, figure: &str) {
    println!("{name:<COLUMN$} {figure}");
}

/// What the figures depend on.
pub fn machine(isolation: Isolation, neighbours: usize) {
    let build = if cfg!(debug_assertions) { "DEBUG build: these figures say little" } else { "release build" };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let where_ = match isolation {
        Isolation::Machine => "in a network and a process table of its own",
        Isolation::Ports => "on free ports of this machine (namespaces are not permitted)",
    };
    println!("ai-monitor {}, {build}, {cores} cores, {where_}", env!("CARGO_PKG_VERSION"));
    line("other processes", &neighbours.to_string());
    load("load before");
}

/// The machine's, of 1, 5 and 15 minutes: it knows no namespaces.
pub fn load(when: &str) {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let three: Vec<&str> = text.split(' ').take(3).collect();
    line(when, &three.join(" "));
}

pub fn binary(path: &str) {
    let bytes = fs::metadata(path).map_or(0, |m| m.len());
    line("size of the binary", &mebibytes(bytes));
}

pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

pub fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// Median, least and most of what was measured several times.
pub fn spread(times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort();
    let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else { return "nothing was measured".into() };
    let (least, most) = (milliseconds(*least), milliseconds(*most));
    format!("{} (median of {}; {least} to {most})", milliseconds(median(&sorted)), sorted.len())
}

/// Of sorted ones.
fn median(sorted: &[Duration]) -> Duration {
    match sorted {
        [] => Duration::ZERO,
        _ => (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2,
    }
}
