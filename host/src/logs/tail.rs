//! The last lines of a log, read from its end.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use super::rotating::files;

/// Lines that are given at most.
const MAX_LINES: usize = 10_000;
/// Bytes that are read at most, of all files together.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
const BLOCK: u64 = 64 * 1024;

/// The last `lines` lines of `…/NAME.log`, the newest last, going back into earlier files where the newest has too few.
/// What cannot be read has no lines.
pub fn tail(path: &Path, lines: usize) -> Vec<String> {
    try_tail(path, lines).unwrap_or_default()
}

/// The same.
///
/// # Errors
/// Why nothing of it can be read.
pub fn try_tail(path: &Path, lines: usize) -> io::Result<Vec<String>> {
    let lines = lines.min(MAX_LINES);
    let mut files = match (path.parent(), path.file_stem().and_then(|s| s.to_str())) {
        (Some(dir), Some(name)) => files(dir, name),
        _ => Vec::new(),
    };
    if files.is_empty() {
        files.push(path.to_owned());
    }
    let mut budget = MAX_BYTES;
    let mut newest_first = Vec::new();
    let mut unread = None;
    for file in files.iter().rev() {
        if newest_first.len() >= lines || budget == 0 {
            break;
        }
        // A file that was rotated away in between is no reason to give nothing.
        match last_lines(file, lines - newest_first.len(), &mut budget) {
            Ok(found) => newest_first.extend(found.into_iter().rev()),
            Err(error) => unread = unread.or(Some(error)),
        }
    }
    newest_first.reverse();
    match unread {
        Some(error) if newest_first.is_empty() => Err(error),
        _ => Ok(newest_first),
    }
}

fn last_lines(path: &Path, lines: usize, budget: &mut u64) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let mut start = file.seek(SeekFrom::End(0))?;
    let mut bytes: Vec<u8> = Vec::new();
    // One more end of a line than lines: the one before the first.
    while start > 0 && *budget > 0 && bytes.iter().filter(|b| **b == b'\n').count() <= lines {
        let size = BLOCK.min(start).min(*budget);
        start -= size;
        *budget -= size;
        let mut block = vec![0; size as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut block)?;
        block.append(&mut bytes);
        bytes = block;
    }
    let text = String::from_utf8_lossy(&bytes);
    let mut all: Vec<&str> = text.lines().collect();
    // Where the budget ended in the middle of a line, its rest is none.
    if start > 0 && all.len() > 1 {
        all.remove(0);
    }
    let first = all.len().saturating_sub(lines);
    Ok(all[first..].iter().map(|l| (*l).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_go_back_over_rotated_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("a-2026-01-01-00-00-00.log"), "1\n2\n").unwrap();
        std::fs::write(path("a-2026-01-01-00-00-01.log"), "3\n4\n5\n").unwrap();
        std::fs::hard_link(path("a-2026-01-01-00-00-01.log"), path("a.log")).unwrap();
        assert_eq!(tail(&path("a.log"), 2), ["4", "5"]);
        assert_eq!(tail(&path("a.log"), 4), ["2", "3", "4", "5"]);
        assert_eq!(tail(&path("a.log"), 99), ["1", "2", "3", "4", "5"]);
        assert_eq!(tail(&path("a.log"), 0), [""; 0]);
        assert_eq!(tail(&path("none.log"), 9), [""; 0]);
        assert_eq!(try_tail(&path("none.log"), 9).map_err(|e| e.kind()), Err(io::ErrorKind::NotFound));
        // One that cannot be read does not hide those that can.
        std::fs::create_dir(path("a-2026-01-01-00-00-02.log")).unwrap();
        assert_eq!(try_tail(&path("a.log"), 2).expect("the others"), ["4", "5"]);
    }

    #[test]
    fn a_plain_file_is_read_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.log");
        std::fs::write(&path, b"one\nbad \xff byte\nlast without an end").unwrap();
        assert_eq!(tail(&path, 2), ["bad \u{fffd} byte", "last without an end"]);
    }

    #[test]
    fn a_large_file_is_read_from_its_end_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let line = "x".repeat(1000);
        std::fs::write(&path, format!("{line}\n").repeat(10_000)).unwrap();
        let all = tail(&path, usize::MAX);
        assert!(all.len() > 4000 && all.len() < 4500, "{}", all.len());
        assert!(all.iter().all(|l| *l == line), "no part of a line");
    }
}
