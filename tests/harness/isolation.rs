//! Each test runs in a machine of its own: a network where the ports of the user's servers are free, and a process
//! table where nobody else's processes can be seen or ended, and where nothing survives the test.
//!
//! The test binary runs itself again for one test, as that machine's first process. Where the system does not permit
//! such namespaces it says so, and the test runs on free ports; what it started is found by a mark in its environment.

use std::{
    env, fs,
    io::{Read, Write},
    process::{Command, ExitStatus, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitOptions};

/// Holds the mark of a run; every process that a test starts inherits it. It must not look like a setting of the
/// monitor, which refuses unknown ones.
pub const MARK: &str = "END_TO_END_RUN";
const STAGE: &str = "END_TO_END_STAGE";
/// `ports`: as if namespaces were not permitted.
const FORCED: &str = "END_TO_END_ISOLATION";
/// Far above what any scenario takes, and below the patience of who watches.
const LONGEST: Duration = Duration::from_secs(240);

/// How much a test has for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Network and processes.
    Machine,
    /// Free ports and folders of its own on the user's machine.
    Ports,
}

/// Runs the body of the test `name` (see `test_name!`) isolated, or fails with what it printed.
pub fn isolated(name: &str, body: impl FnOnce(Isolation)) {
    if let Some(printed) = isolated_output(name, body) {
        assert!(printed.contains("test result: ok. 1 passed"), "{name} was not run:\n{printed}");
    }
}

/// As [`isolated`], for what is no test, and gives what the body printed; `None` within the isolated process.
pub fn isolated_output(name: &str, body: impl FnOnce(Isolation)) -> Option<String> {
    match env::var(STAGE).as_deref() {
        Ok("first") => be_first(),
        Ok("machine") => body(Isolation::Machine),
        Ok("ports") => body(Isolation::Ports),
        _ => return Some(run_again(name)),
    }
    None
}

/// Prints past the test runner's capture: what was left out must be seen.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "end to end: {line}");
}

fn permitted() -> Isolation {
    static PERMITTED: OnceLock<Isolation> = OnceLock::new();
    *PERMITTED.get_or_init(|| {
        let forced = env::var(FORCED).is_ok_and(|v| v == "ports");
        let tried = || namespaces().arg("true").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !forced && tried().is_ok_and(|s| s.success()) {
            return Isolation::Machine;
        }
        say("namespaces are not permitted here: tests run on free ports of this machine, and those that need the \
             servers' usual ports are left out");
        Isolation::Ports
    })
}

/// User, network, process and mount namespaces, with a `/proc` to match.
fn namespaces() -> Command {
    let mut command = Command::new("unshare");
    command.args(["-Urnpf", "--mount-proc", "--kill-child", "--"]);
    command
}

/// Gives what it printed.
fn run_again(name: &str) -> String {
    let isolation = permitted();
    let exe = env::current_exe().expect("the test binary's own path");
    let mut command = match isolation {
        Isolation::Machine => {
            let mut command = namespaces();
            command.arg(&exe).env(STAGE, "first");
            command
        }
        Isolation::Ports => {
            let mut command = Command::new(&exe);
            command.env(STAGE, "ports");
            command
        }
    };
    // As the test runner names it: without the crate.
    let short = name.split_once("::").map_or(name, |(_, rest)| rest);
    // A name copied from another test would run that one twice, and this one never. On one thread all are `main`.
    if let Some(own) = std::thread::current().name().filter(|own| *own != "main") {
        assert_eq!(own, short, "the name that this test gives is another one's");
    }
    let mark = format!("{}-{}", std::process::id(), short.replace("::", "-"));
    command.args([short, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(MARK, &mark).stdin(Stdio::null());

    // To a file and not to a pipe: a server that outlives the test would keep a pipe open.
    let log = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a file for the test's output");
    let file = || Stdio::from(log.reopen().and_then(|f| f.try_clone()).expect("the test's output"));
    let append = fs::OpenOptions::new().append(true).open(log.path()).expect("the test's output");
    command.stdout(append.try_clone().map_or_else(|_| file(), Stdio::from)).stderr(Stdio::from(append));

    let mut child = command.spawn().expect("the test binary runs again");
    let ended = wait_at_most(&mut child, LONGEST);
    if isolation == Isolation::Ports {
        end_marked(&mark);
    }
    let mut output = String::new();
    let _ = fs::File::open(log.path()).and_then(|mut f| f.read_to_string(&mut output));
    for line in output.lines().filter(|l| l.starts_with("end to end: ")) {
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }
    match ended {
        Some(status) if status.success() => output,
        Some(status) => panic!("{short} failed ({status}):\n{output}"),
        None => panic!("{short} was not over after {LONGEST:?}:\n{output}"),
    }
}

fn wait_at_most(child: &mut std::process::Child, limit: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if let Some(status) = child.try_wait().expect("the test's process is ours") {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// The first process of a new machine: brings its network up, runs the test, and buries orphans as any init does.
#[expect(clippy::zombie_processes, reason = "the loop below waits for every child, also for those it inherits")]
fn be_first() {
    network::bring_loopback_up().expect("the loopback interface of a network of our own");
    let test = Command::new(env::current_exe().expect("the test binary's own path"))
        .args(env::args_os().skip(1))
        .env(STAGE, "machine")
        .spawn()
        .expect("the test binary runs again");
    let test = Pid::from_child(&test);
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == test => std::process::exit(status.exit_status().unwrap_or(101)),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => panic!("waiting for the test: {e}"),
        }
    }
}

/// Ends all processes that carry the mark: what a test started, and nothing else.
fn end_marked(mark: &str) {
    let wanted = format!("{MARK}={mark}");
    let own = std::process::id();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let marked = environment.split(|b| *b == 0).any(|variable| variable == wanted.as_bytes());
        if marked
            && pid.unsigned_abs() != own
            && let Some(pid) = Pid::from_raw(pid)
        {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}

mod network {
    //! `ip link set lo up`, without needing `ip`.

    use rustix::{
        io,
        ioctl::{self, Opcode, Setter},
        net::{AddressFamily, SocketType, socket},
    };

    /// `struct ifreq` of Linux, with its flags.
    #[repr(C)]
    struct InterfaceFlags {
        name: [u8; 16],
        flags: i16,
        rest: [u8; 22],
    }

    const SET_FLAGS: Opcode = 0x8914;
    const UP: i16 = 1;

    pub fn bring_loopback_up() -> io::Result<()> {
        let mut request = InterfaceFlags { name: [0; 16], flags: UP, rest: [0; 22] };
        request.name[..2].copy_from_slice(b"lo");
        let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
        // SAFETY: SIOCSIFFLAGS reads one `struct ifreq` through its pointer, and `InterfaceFlags` has its layout and
        // its whole size (40 bytes).
        unsafe { ioctl::ioctl(socket, Setter::<SET_FLAGS, InterfaceFlags>::new(request)) }
    }
}
