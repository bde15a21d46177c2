//! `rotating-file`, wrapped: its own file per start, its panics, its hidden buffer and its missing retention are mended
//! here.

use std::{
    ffi::OsString,
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use rotating_file::RotatingFile;

/// One log: `NAME.log`, a hard link to the newest of `NAME-TIME.log`.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    /// A file is followed by the next one before it is larger.
    pub kib: usize,
    /// Full files that are kept beside the newest.
    pub kept: usize,
}

pub const MONITOR: Kind = Kind { name: "ai_monitor", kib: 10 * 1024, kept: 5 };
pub const RECOVERY: Kind = Kind { name: "ai_recovery", kib: 5 * 1024, kept: 3 };

impl Kind {
    /// The name under which the log is always found.
    pub fn live(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{}.log", self.name))
    }

    fn prefix(&self) -> String {
        format!("{}-", self.name)
    }

    fn age_of(&self, path: &Path) -> Option<Age> {
        age_of(path, self.name)
    }
}

/// Takes lines and brings them to the file at each flush. It never panics; a folder that is gone is made again.
pub struct RotatingLog {
    dir: PathBuf,
    kind: Kind,
    open: Option<Open>,
    /// The start of a line whose end has not come yet.
    partial: Vec<u8>,
    /// A failure was told, and nothing has worked since.
    complained: bool,
}

struct Open {
    file: RotatingFile,
    path: PathBuf,
    /// Bytes taken over from the last run: the crate does not count them.
    before: usize,
    /// What the crate has counted in this file.
    written: usize,
}

impl RotatingLog {
    /// Nothing is touched before the first line.
    pub fn new(dir: &Path, kind: Kind) -> RotatingLog {
        RotatingLog { dir: dir.to_owned(), kind, open: None, partial: Vec::new(), complained: false }
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        // The file itself may be gone with its folder; what were written to it would be lost without a sign.
        if self.open.as_ref().is_some_and(|o| !o.path.exists()) {
            self.open = None;
        }
        let limit = self.kind.kib * 1024;
        let length = line.len() + 1;
        let full = |o: &Open| o.before > 0 && o.before + o.written + length >= limit;
        let open = match self.open.take() {
            Some(open) if full(&open) => self.begin(false)?,
            Some(open) => open,
            None => self.begin(true)?,
        };
        // As the crate reckons: it will begin a new file for this line.
        let rotates = open.written + length >= limit;
        let known = if rotates { self.files() } else { Vec::new() };
        // After a panic inside, its lock is poisoned for ever: it is dropped then, and made anew at the next line.
        let written = catch_unwind(AssertUnwindSafe(|| open.file.writeln(line)));
        let mut open = match written {
            Ok(Ok(())) => open,
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(io::Error::other("the log file could not be changed for the next one")),
        };
        if rotates {
            open.path = self.newer_than(&known)?;
            (open.before, open.written) = (0, 0);
            self.settle(&open.path)?;
        }
        open.written += length;
        self.open = Some(open);
        Ok(())
    }

    /// Opens a file; with `go_on` what the last run left in a file with room is taken over into it, so that starts alone
    /// push no old file out.
    fn begin(&self, go_on: bool) -> io::Result<Open> {
        std::fs::create_dir_all(&self.dir)?;
        // The crate panics where it cannot open a file: found out before.
        tempfile::NamedTempFile::new_in(&self.dir)?;
        let dir = self.dir.to_str().ok_or_else(|| io::Error::other("the log folder's name is not Unicode"))?;
        let known = self.files();
        let make = || RotatingFile::new(dir, Some(self.kind.kib), None, None, None, Some(self.kind.prefix()), None);
        let file = catch_unwind(make).map_err(|_| io::Error::other("no log file could be opened"))?;
        let mut path = self.newer_than(&known)?;
        let mut before = 0;
        if let Some(last) = known.last().filter(|_| go_on)
            && std::fs::metadata(last)?.len() < self.kind.kib as u64 * 1024 * 7 / 8
        {
            // The crate has its file open for appending, and has written nothing yet.
            let mut to = std::fs::OpenOptions::new().append(true).open(&path)?;
            before = io::copy(&mut std::fs::File::open(last)?, &mut to)? as usize;
            std::fs::rename(&path, last)?;
            path.clone_from(last);
        }
        self.settle(&path)?;
        Ok(Open { file, path, before, written: 0 })
    }

    /// The file that was not there before.
    fn newer_than(&self, known: &[PathBuf]) -> io::Result<PathBuf> {
        let new = self.files().into_iter().find(|f| !known.contains(f));
        new.ok_or_else(|| io::Error::other("the new log file cannot be found"))
    }

    /// Gives the newest file its lasting name, and removes the oldest.
    fn settle(&self, newest: &Path) -> io::Result<()> {
        let files = self.files();
        let superfluous = files.len().saturating_sub(self.kind.kept + 1);
        // The crate gives a free name of this second again, and the order would be lost: those go the next time.
        let second = |path: &Path| self.kind.age_of(path).map(|age| age.0);
        for old in files.iter().take(superfluous).filter(|f| second(f) != second(newest)) {
            std::fs::remove_file(old)?;
        }
        let mut beside = OsString::from(newest);
        beside.push(".link");
        let _ = std::fs::remove_file(&beside);
        // Some file systems have no hard links: the log is then found under its long name alone.
        if std::fs::hard_link(newest, &beside).is_ok() {
            std::fs::rename(&beside, self.kind.live(&self.dir))?;
            let _ = std::fs::remove_file(&beside);
        }
        Ok(())
    }

    fn files(&self) -> Vec<PathBuf> {
        files(&self.dir, self.kind.name)
    }

    /// Told once, to where it can be read: the log itself cannot take it.
    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.complained, true) {
            eprintln!("ai-monitor: cannot write the log {}: {error}", self.kind.live(&self.dir).display());
        }
    }
}

/// The files of a log, the oldest first.
pub fn files(dir: &Path, name: &str) -> Vec<PathBuf> {
    let with_age = |entry: io::Result<std::fs::DirEntry>| {
        let path = entry.ok()?.path();
        Some((age_of(&path, name)?, path))
    };
    let mut files: Vec<(Age, PathBuf)> = std::fs::read_dir(dir).into_iter().flatten().filter_map(with_age).collect();
    files.sort();
    files.into_iter().map(|(_, path)| path).collect()
}

/// `2026-11-24-12-00-00` and, within a second, 0, 1, 2, …
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Age(String, u32);

/// `None`: it is no file of this log.
fn age_of(path: &Path, name: &str) -> Option<Age> {
    const TIME: usize = "2026-11-24-12-00-00".len();
    let stamp = path.file_name()?.to_str()?.strip_prefix(name)?.strip_prefix('-')?.strip_suffix(".log")?;
    let (time, index) = stamp.split_at_checked(TIME)?;
    let digits = time.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let index = if index.is_empty() { 0 } else { index.strip_prefix('-')?.parse().ok()? };
    digits.then(|| Age(time.into(), index))
}

impl Write for RotatingLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.partial.extend_from_slice(bytes);
        while let Some(end) = self.partial.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            match self.line(&String::from_utf8_lossy(&line[..end])) {
                Ok(()) => self.complained = false,
                Err(error) => self.complain(&error),
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        // Its `close` is the flush that it lacks: the file stays open.
        if catch_unwind(AssertUnwindSafe(|| open.file.close())).is_err() {
            self.open = None;
            return Err(io::Error::other("the log could not be written out"));
        }
        // It tells of no failure: only the file does.
        let expected = (open.before + open.written) as u64;
        if std::fs::metadata(&open.path).is_ok_and(|m| m.len() < expected) {
            self.complain(&io::Error::other("lines are missing in it; is the disk full?"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Kind = Kind { name: "small", kib: 1, kept: 2 };

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    /// A line of 100 bytes with its end.
    fn line(n: usize) -> String {
        format!("{n:0>99}\n")
    }

    fn log(dir: &Path, kind: Kind, lines: std::ops::Range<usize>) {
        let mut log = RotatingLog::new(dir, kind);
        for n in lines {
            log.write_all(line(n).as_bytes()).unwrap();
        }
        log.flush().unwrap();
    }

    #[test]
    fn a_flush_brings_lines_to_the_lasting_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = RotatingLog::new(dir.path(), SMALL);
        log.write_all(b"one\ntwo\nhal").unwrap();
        log.flush().unwrap();
        assert_eq!(read(&SMALL.live(dir.path())), "one\ntwo\n");
        log.write_all(b"f\n").unwrap();
        log.flush().unwrap();
        assert_eq!(read(&SMALL.live(dir.path())), "one\ntwo\nhalf\n");
    }

    #[test]
    fn full_files_follow_each_other_without_a_lost_line() {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path(), Kind { kept: 99, ..SMALL }, 0..55);
        let files = files(dir.path(), "small");
        assert!(files.iter().all(|f| std::fs::metadata(f).unwrap().len() <= 1024));
        assert_eq!(read(&SMALL.live(dir.path())), read(files.last().unwrap()));
        let all: String = files.iter().map(|f| read(f)).collect();
        assert_eq!(all, (0..55).map(line).collect::<String>());
    }

    #[test]
    fn the_oldest_files_go() {
        let dir = tempfile::tempdir().unwrap();
        let old = |n: usize| dir.path().join(format!("small-2026-01-0{n}-00-00-00.log"));
        for n in 1..=5 {
            std::fs::write(old(n), line(n).repeat(10)).unwrap();
        }
        log(dir.path(), SMALL, 0..1);
        let files = files(dir.path(), "small");
        assert_eq!((files.len(), &files[..2]), (3, &[old(4), old(5)][..]), "the newest and two");
    }

    #[test]
    fn starts_alone_push_nothing_out() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..8 {
            log(dir.path(), SMALL, n..n + 1);
        }
        assert_eq!(files(dir.path(), "small").len(), 1);
        assert_eq!(read(&SMALL.live(dir.path())), (0..8).map(line).collect::<String>());
        log(dir.path(), SMALL, 8..20);
        let all: String = files(dir.path(), "small").iter().map(|f| read(f)).collect();
        assert_eq!(all, (0..20).map(line).collect::<String>());
        assert!(files(dir.path(), "small").iter().all(|f| std::fs::metadata(f).unwrap().len() <= 1024));
    }

    #[test]
    fn a_folder_that_is_gone_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("logs");
        let mut log = RotatingLog::new(&logs, SMALL);
        log.write_all(b"one\n").unwrap();
        log.flush().unwrap();
        std::fs::remove_dir_all(&logs).unwrap();
        log.write_all(b"two\n").unwrap();
        log.flush().unwrap();
        assert_eq!(read(&SMALL.live(&logs)), "two\n");
    }

    #[test]
    fn a_folder_that_cannot_be_had_ends_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("logs");
        std::fs::write(&logs, "a file").unwrap();
        let mut log = RotatingLog::new(&logs, SMALL);
        log.write_all(b"one\n").unwrap();
        log.flush().unwrap();
        assert!(log.complained);
        std::fs::remove_file(&logs).unwrap();
        log.write_all(b"two\n").unwrap();
        log.flush().unwrap();
        assert_eq!(read(&SMALL.live(&logs)), "two\n");
        assert!(!log.complained);
    }

    #[test]
    fn only_its_own_files_are_ever_removed() {
        let dir = tempfile::tempdir().unwrap();
        let others = [
            "small-notes.log",
            "small-2026.log",
            "smaller-2026-01-01-00-00-00.log",
            "small-2026-01-01-00-00-00.log.bak",
        ];
        for name in others {
            std::fs::write(dir.path().join(name), "mine").unwrap();
        }
        for n in 1..=5 {
            std::fs::write(dir.path().join(format!("small-2026-01-0{n}-00-00-00.log")), line(n).repeat(10)).unwrap();
        }
        log(dir.path(), SMALL, 0..1);
        assert_eq!(files(dir.path(), "small").len(), 3);
        assert!(others.iter().all(|name| read(&dir.path().join(name)) == "mine"));
    }

    #[test]
    fn files_of_one_second_are_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["a-2026-01-01-00-00-00.log", "a-2026-01-01-00-00-00-2.log", "a-2026-01-01-00-00-00-10.log"];
        for name in names.iter().rev() {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(files(dir.path(), "a"), names.map(|n| dir.path().join(n)));
    }
}
