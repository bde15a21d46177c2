//! Reads `/proc`: one process, all of them, the children of one.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use rustix::fs::{AtFlags, Mode, OFlags, openat, readlinkat, statat};

use super::remembered::Remembered;
use crate::{
    health::signals::{ProcessId, RunState},
    process::{Memory, Process},
};

/// A longer command line is cut: a process may make its own as long as it likes.
const LONGEST_FILE: u64 = 256 * 1024;

/// Most files here are much shorter.
const PAGE: usize = 4096;

/// `/proc/PID`, opened: what is read through it is of one process, also when the number is used again meanwhile.
pub struct Folder(OwnedFd);

impl Folder {
    pub fn open(pid: u32) -> io::Result<Folder> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Folder(rustix::fs::open(format!("/proc/{pid}"), flags, Mode::empty())?))
    }

    pub fn read(&self, file: &str) -> io::Result<Vec<u8>> {
        let fd = openat(&self.0, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut buffer = [0; PAGE];
        let length = rustix::io::read(&fd, &mut buffer)?;
        let mut bytes = buffer[..length].to_vec();
        // The kernel writes these files whole where they fit; only lists may come in pieces.
        if length == PAGE || file.ends_with("children") && length > 0 {
            fs::File::from(fd).take(LONGEST_FILE).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }

    pub fn link(&self, file: &str) -> io::Result<Vec<u8>> {
        Ok(readlinkat(&self.0, file, Vec::new())?.into_bytes())
    }

    pub fn list(&self, folder: &str) -> io::Result<Vec<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(&self.0, folder, flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(fd)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name.first() != Some(&b'.') {
                names.push(name);
            }
        }
        Ok(names)
    }

    pub fn stat(&self, pid: u32) -> Option<Stat> {
        Stat::parse(pid, &self.read("stat").ok()?)
    }

    fn user(&self) -> Option<u32> {
        statat(self.0.as_fd(), "", AtFlags::EMPTY_PATH).ok().map(|s| s.st_uid)
    }
}

/// What `/proc/PID/stat` says.
#[derive(Debug, PartialEq, Eq)]
pub struct Stat {
    pub id: ProcessId,
    pub comm: String,
    pub state: RunState,
    pub parent: Option<u32>,
    pub session: u32,
    pub threads: u32,
    pub cpu: Duration,
    pub memory_bytes: u64,
    /// Where its stack began: chosen anew by each `exec`. 0: not permitted.
    pub stack: u64,
}

impl Stat {
    /// The name stands in parentheses and may hold spaces, parentheses and newlines itself: fields count from the last
    /// `)`.
    pub fn parse(pid: u32, line: &[u8]) -> Option<Stat> {
        let open = line.iter().position(|b| *b == b'(')?;
        let close = line.iter().rposition(|b| *b == b')')?;
        let comm = String::from_utf8_lossy(line.get(open + 1..close)?).into_owned();
        let fields: Vec<&str> = std::str::from_utf8(line.get(close + 1..)?).ok()?.split_ascii_whitespace().collect();
        // The manual counts from 1 and the name is field 2, so `fields[0]` is field 3.
        let field = |number: usize| fields.get(number - 3).copied();
        let number = |at: usize| field(at).and_then(|f| f.parse::<u64>().ok());
        let threads = number(20)? as u32;
        let state = match field(3)? {
            "R" => RunState::Running,
            "S" | "I" => RunState::Sleeping,
            "D" => RunState::Disk,
            "T" => RunState::Stopped,
            "t" => RunState::Traced,
            // A main thread that ended before the others shows Z while the process works on.
            "Z" if threads > 1 => RunState::Other,
            "Z" | "X" | "x" => RunState::Zombie,
            _ => RunState::Other,
        };
        let ticks = number(14)? + number(15)?;
        Some(Stat {
            id: ProcessId { pid, start: number(22)? },
            comm,
            state,
            parent: number(4).filter(|p| *p != 0).map(|p| p as u32),
            session: number(6)? as u32,
            threads,
            cpu: Duration::from_nanos(ticks * (1_000_000_000 / rustix::param::clock_ticks_per_second().max(1))),
            memory_bytes: number(24)? * rustix::param::page_size() as u64,
            stack: number(28).unwrap_or_default(),
        })
    }
}

/// Who has this number now, and what it does.
pub fn moment(pid: u32) -> Option<(ProcessId, RunState)> {
    let bytes = read_short(&format!("/proc/{pid}/stat"))?;
    Stat::parse(pid, &bytes).map(|s| (s.id, s.state))
}

pub fn find(pid: u32) -> Option<Process> {
    let folder = Folder::open(pid).ok()?;
    let stat = folder.stat(pid)?;
    Some(describe(&folder, stat))
}

pub fn all() -> io::Result<Vec<Process>> {
    Ok(pids()?.into_iter().filter_map(find).collect())
}

pub fn executing(exe: &Path) -> io::Result<Vec<Process>> {
    let runs = |pid: &u32| {
        let link = rustix::fs::readlink(format!("/proc/{pid}/exe"), Vec::new());
        link.is_ok_and(|link| file_behind(link.as_bytes()) == exe)
    };
    Ok(pids()?.into_iter().filter(runs).filter_map(find).collect())
}

pub fn describe(folder: &Folder, stat: Stat) -> Process {
    let program = program(folder, &stat);
    Process {
        id: stat.id,
        parent: stat.parent,
        name: program.name.unwrap_or_else(|| stat.comm.clone()),
        exe: program.exe,
        comm: stat.comm,
        title: program.title,
        args: program.args,
        state: stat.state,
        cpu: Some(stat.cpu),
        read_bytes: folder.read("io").ok().and_then(|io| read_bytes(&io)),
        memory_bytes: Some(stat.memory_bytes),
        user: program.user,
        session: Some(stat.session),
    }
}

/// What stays the same until a process executes another program or renames itself.
#[derive(Clone)]
struct Program {
    exe: Option<PathBuf>,
    name: Option<String>,
    title: String,
    args: Vec<String>,
    user: Option<u32>,
}

/// What was read of a process, and its name and stack then.
type Known = Remembered<(String, u64, Program)>;

static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

/// Read once per process and `exec`: it is more than half of the cost of a look.
fn program(folder: &Folder, stat: &Stat) -> Program {
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((comm, stack, program)) = known().get(&stat.id)
        && (comm, *stack) == (&stat.comm, stat.stack)
    {
        return program.clone();
    }
    let exe = folder.link("exe").ok().map(|link| file_behind(&link).to_owned());
    let (title, args) = arguments(&folder.read("cmdline").unwrap_or_default());
    let name = exe.as_deref().and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned());
    let program = Program { exe, name, title, args, user: folder.user() };
    // Without a stack nothing would tell of an `exec`; a child that has not executed yet is about to.
    if stat.stack != 0 && program.exe.is_some() {
        known().insert(stat.id, (stat.comm.clone(), stat.stack, program.clone()));
    }
    program
}

/// The file that a link `exe` names, also when it was replaced since.
fn file_behind(link: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(link.strip_suffix(b" (deleted)").unwrap_or(link)))
}

/// `argv[0]` and the rest. A process that wrote a title of its own over its arguments fills what is left with NULs.
fn arguments(line: &[u8]) -> (String, Vec<String>) {
    let end = line.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    // One NUL ends the last argument, two end an empty one; more are padding.
    let padded = line.len() > end + 2;
    let line = if padded { &line[..end] } else { line.strip_suffix(&[0]).unwrap_or(line) };
    let mut parts = line.split(|b| *b == 0).map(|part| String::from_utf8_lossy(part).into_owned());
    (parts.next().unwrap_or_default(), parts.collect())
}

/// Storage alone: what a process reads from sockets would count our own requests as its progress.
fn read_bytes(io: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(io).ok()?;
    text.lines().find_map(|line| line.strip_prefix("read_bytes:"))?.trim().parse().ok()
}

/// The numbers of all processes.
pub fn pids() -> io::Result<Vec<u32>> {
    Ok(fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// One `read`: the kernel gives such files whole.
pub fn read_short(path: &str) -> Option<Vec<u8>> {
    let mut buffer = [0; 2048];
    let length = fs::File::open(path).ok()?.read(&mut buffer).ok()?;
    Some(buffer[..length].to_vec())
}

pub fn working_directory(id: ProcessId) -> Option<PathBuf> {
    let folder = Folder::open(id.pid).ok()?;
    folder.stat(id.pid).filter(|s| s.id == id)?;
    folder.link("cwd").ok().map(|bytes| PathBuf::from(OsStr::from_bytes(&bytes)))
}

pub fn memory() -> Option<Memory> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kib = |key: &str| -> Option<u64> {
        let line = text.lines().find_map(|l| l.strip_prefix(key))?;
        line.trim().trim_end_matches("kB").trim().parse().ok()
    };
    Some(Memory { total: kib("MemTotal:")? * 1024, available: kib("MemAvailable:")? * 1024 })
}

pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|s| s.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let line = b"77 (a) R (b c) T 5 77 66 0 -1 4194304 0 0 0 0 250 50 0 0 20 0 3 0 12345 1000 10 0 0 0";
        let stat = Stat::parse(77, line).unwrap();
        assert_eq!(stat.comm, "a) R (b c");
        assert_eq!(stat.state, RunState::Stopped);
        assert_eq!(stat.id, ProcessId { pid: 77, start: 12345 });
        assert_eq!((stat.parent, stat.session, stat.threads), (Some(5), 66, 3));
        assert_eq!(stat.cpu, Duration::from_secs(3));
    }

    #[test]
    fn a_stat_line_that_breaks_off_is_no_process() {
        let line = b"77 (sh) S 5 77 66 0 -1 4194304 0 0 0 0 250 50 0 0 20 0 3 0 12345 1000 10";
        for end in 0..line.len() - 10 {
            assert_eq!(Stat::parse(77, &line[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn a_main_thread_that_ended_first_is_not_a_dead_process() {
        let with = |threads: u32| format!("7 (x) Z 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 {threads} 0 5 0 0");
        assert_eq!(Stat::parse(7, with(4).as_bytes()).unwrap().state, RunState::Other);
        assert_eq!(Stat::parse(7, with(1).as_bytes()).unwrap().state, RunState::Zombie);
    }

    #[test]
    fn arguments_keep_empty_ones_and_lose_padding() {
        assert_eq!(arguments(b"a\0b\0\0"), ("a".into(), vec!["b".into(), "".into()]));
        assert_eq!(arguments(b"a\0"), ("a".into(), vec![]));
        assert_eq!(arguments(b"VLLM::EngineCore\0\0\0\0\0\0"), ("VLLM::EngineCore".into(), vec![]));
        assert_eq!(arguments(b""), ("".into(), vec![]));
    }

    #[test]
    fn our_own_process_is_described() {
        let own = find(std::process::id()).unwrap();
        assert_eq!(own.exe.as_deref(), std::env::current_exe().ok().as_deref());
        assert_eq!(own.user, Some(rustix::process::geteuid().as_raw()));
        assert!(own.memory_bytes.unwrap() > 0 && own.read_bytes.is_some());
        assert!(all().unwrap().iter().any(|p| p.id == own.id));
        assert!(executing(own.exe.as_deref().unwrap()).unwrap().iter().any(|p| p.id == own.id));
        assert_eq!(executing(Path::new("/no/such/program")).unwrap(), []);
    }
}
