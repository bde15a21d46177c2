//! What watching costs while all is well: time to the first verdict, memory, and CPU per probe.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use ai_monitor::journal::Journal;
use ai_monitor_plugin_api::event::Depth;
use jiff::Timestamp;
use serde_json::Value;

use super::{
    fleet::{Fleet, folder_of_monitor},
    harness::{Bed, Monitor, http, monitor, wait::is, wait_until},
    report,
};

/// How long the CPU is measured. It is counted in hundredths of a second.
const WINDOW: Duration = Duration::from_secs(20);
/// After the first looks, which ask more.
const SETTLING: Duration = Duration::from_secs(3);
const STARTS: usize = 5;

/// Time to the first verdict, then memory after some rounds.
pub fn five_targets(bed: &Bed) {
    let fleet = Fleet::start(bed, 5);
    let (mut first, mut all) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let folder = folder_of_monitor(bed, &fleet.config("30s"));
        let (one, every) = verdicts_after_start(&folder, bed.free_address(), fleet.addresses.len());
        first.push(one);
        all.push(every);
    }
    report::line("start to the first verdict (5 targets)", &report::spread(&first));
    report::line("start to a verdict on each of them", &report::spread(&all));

    let monitor = watch(bed, &fleet.config("250ms"));
    for index in 0..fleet.addresses.len() {
        monitor.wait_checks(&format!("server-{index}"), 20, Duration::from_secs(30));
    }
    let pid = monitor.process().pid;
    let [resident, anonymous] = ["VmRSS:", "RssAnon:"].map(|name| report::mebibytes(memory(pid, name)));
    report::line("resident memory, 5 targets", &format!("{resident}, of which {anonymous} are not the binary's file"));
}

/// CPU that the monitor alone uses for its probes.
pub fn hundred_targets(bed: &Bed) {
    let fleet = Fleet::start(bed, 100);
    let cost = watched(bed, &fleet, Duration::from_secs(1), WINDOW, None);
    report::line("CPU per 1,000 probes, 100 targets", &cost.cpu());
    report::line("resident memory, 100 targets", &report::mebibytes(cost.resident));
}

/// As many as a monitor should ever have, on one core, and whether each is looked at when its time comes.
pub fn thousand_targets(bed: &Bed) {
    let fleet = Fleet::start(bed, 1000);
    let interval = Duration::from_secs(10);
    let cost = watched(bed, &fleet, interval, 3 * interval, Some(0));
    report::line("CPU per 1,000 probes, 1,000 targets on one core", &format!("{}; goal: under 0.15 s", cost.cpu()));
    report::line("resident memory, 1,000 targets", &report::mebibytes(cost.resident));
    let lateness =
        format!("{} (of {} looks; looks missing: {})", report::spread(&cost.late), cost.late.len(), cost.missing);
    report::line("later than the schedule allows (10 s and a tenth)", &lateness);
}

/// What was measured of a monitor with a fleet.
struct Cost {
    cpu: Duration,
    window: Duration,
    /// Probes of one depth each, good and bad.
    probes: usize,
    bad: usize,
    /// Bytes.
    resident: u64,
    /// By how much the time between two looks at a target was over the interval and the tenth that the schedule spreads
    /// them by.
    late: Vec<Duration>,
    /// Looks that there was time for and that did not come.
    missing: usize,
}

impl Cost {
    fn cpu(&self) -> String {
        let per_thousand = self.cpu.as_secs_f64() / self.probes as f64 * 1000.0;
        let failed = if self.bad == 0 { String::new() } else { format!(", {} of them failed", self.bad) };
        format!("{per_thousand:.3} s ({} probes in {} s{failed})", self.probes, self.window.as_secs())
    }
}

/// Watches a fleet for a while; `core`: the monitor may use this one alone.
fn watched(bed: &Bed, fleet: &Fleet, interval: Duration, window: Duration, core: Option<usize>) -> Cost {
    let mut monitor = watch(bed, &fleet.config(&format!("{}ms", interval.as_millis())));
    let pid = monitor.process().pid;
    if let Some(core) = core {
        keep_to(pid, core);
    }
    // Not by its events: telling of every change is what an open dashboard costs.
    wait_until(Duration::from_secs(60), "a verdict on each target", || {
        let looked_at = looked_at(monitor.listen);
        is(looked_at == fleet.addresses.len(), looked_at)
    });
    // The first looks ask more.
    thread::sleep(SETTLING.max(interval));
    let (before, since) = (cpu(pid), Timestamp::now());
    thread::sleep(window);
    let (after, until) = (cpu(pid), Timestamp::now());
    let resident = memory(pid, "VmRSS:");
    // Its end writes what is still in its queue.
    monitor.terminate();
    let journal = Journal::open_read_only(&monitor.folder.join("data")).expect("the monitor's journal");
    let mut cost = Cost { cpu: after - before, window, probes: 0, bad: 0, resident, late: Vec::new(), missing: 0 };
    let longest = interval + interval / 10;
    let expected = usize::try_from(window.as_millis() / longest.as_millis()).unwrap_or(0);
    for index in 0..fleet.addresses.len() {
        let samples = journal.samples(&format!("server-{index}"), since, 100_000);
        let samples: Vec<_> = samples.into_iter().filter(|sample| sample.at < until).collect();
        cost.probes += samples.len();
        cost.bad += samples.iter().filter(|sample| !sample.ok).count();
        let mut looks: Vec<Timestamp> =
            samples.iter().filter(|sample| sample.depth == Depth::Liveness).map(|sample| sample.at).collect();
        looks.sort();
        cost.missing += expected.saturating_sub(looks.len());
        let gaps = looks.windows(2).map(|two| Duration::try_from(two[1].duration_since(two[0])).unwrap_or_default());
        cost.late.extend(gaps.map(|gap| gap.saturating_sub(longest)));
    }
    cost
}

/// All threads of a process to one core.
fn keep_to(pid: u32, core: usize) {
    let done =
        Command::new("taskset").args(["-acp", &core.to_string(), &pid.to_string()]).stdout(Stdio::null()).status();
    assert!(done.is_ok_and(|status| status.success()), "taskset keeps the monitor to one core");
}

fn watch(bed: &Bed, config: &str) -> Monitor {
    let listen = bed.free_address();
    let folder = folder_of_monitor(bed, config);
    Monitor::spawn(monitor::command(&folder, &["--listen", &listen.to_string()]), folder, listen)
}

/// From the start of the process until its API tells that one target, and that every one, was looked at.
fn verdicts_after_start(folder: &Path, listen: SocketAddr, targets: usize) -> (Duration, Duration) {
    let mut command = monitor::command(folder, &["--listen", &listen.to_string()]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let _monitor = Killed::at_end(&mut command);
    let mut first = None;
    while began.elapsed() < Duration::from_secs(20) {
        let looked_at = looked_at(listen);
        if looked_at > 0 {
            let first = *first.get_or_insert_with(|| began.elapsed());
            if looked_at == targets {
                return (first, began.elapsed());
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("no verdict on each of {targets} targets after 20 s");
}

/// How many targets have a verdict; 0 also while the API does not answer yet.
fn looked_at(listen: SocketAddr) -> usize {
    let Ok(answer) = http::get(listen, "/api/ai-monitor/targets", Duration::from_secs(5)) else { return 0 };
    let answer: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let targets = answer["data"]["targets"].as_array().into_iter().flatten();
    targets.filter(|target| !target["last_check"].is_null()).count()
}

/// A process that ends with this value.
struct Killed(Child);

impl Killed {
    fn at_end(command: &mut Command) -> Killed {
        Killed(command.spawn().expect("the monitor starts"))
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A line of `/proc/PID/status`, bytes.
fn memory(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// User and system time of all its threads since its start.
fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the monitor lives");
    let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name in parentheses").1.split(' ').collect();
    let ticks: u64 = [11, 12].iter().map(|field| fields[*field].parse::<u64>().expect("a number of ticks")).sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}
