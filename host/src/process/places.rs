//! Places that a manifest names, on this machine: its log files, and the free space where its models lie.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// A folder of logs is looked through so deep, and so many logs and folders of it are looked at.
const DEEP: usize = 3;
const ENTRIES_MAX: usize = 4_000;

/// A path of a manifest: `~/…` is in the user's home, `{NAME}/…` in the folder that a variable names, `{tmp}/…` in that
/// for temporary files. `None`: there is no such place here.
pub fn expand(path: &str) -> Option<PathBuf> {
    let inside = |folder: PathBuf, rest: &str| Some(folder.join(rest.trim_start_matches(['/', '\\'])));
    if let Some(rest) = path.strip_prefix("~/") {
        return inside(directories::BaseDirs::new()?.home_dir().to_owned(), rest);
    }
    if let Some((name, rest)) = path.strip_prefix('{').and_then(|path| path.split_once('}')) {
        return match name {
            "tmp" => inside(std::env::temp_dir(), rest),
            name => inside(std::env::var_os(name).filter(|value| !value.is_empty())?.into(), rest),
        };
    }
    Path::new(path).is_absolute().then(|| path.into())
}

/// The newest log file at or below a place; `None`: there is none. Only files that are called `.log` are taken, so that
/// a manifest cannot name what is no log. Where there are more than the bound, those are looked at whose folder changed
/// last, and of one folder those whose names are last, as dates and numbers are.
pub fn newest_log(place: &Path) -> Option<PathBuf> {
    newest_within(place, ENTRIES_MAX)
}

fn newest_within(place: &Path, most: usize) -> Option<PathBuf> {
    let mut newest: Option<(SystemTime, PathBuf)> = None;
    let mut take = |path: PathBuf| {
        let Some(written) = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file).map(|meta| written(&meta))
        else {
            return;
        };
        if newest.as_ref().is_none_or(|(newest, _)| *newest < written) {
            newest = Some((written, path));
        }
    };
    if is_log(place) {
        take(place.to_owned());
    }
    let mut left = most;
    let mut level = vec![place.to_owned()];
    for _ in 0..DEEP {
        let mut below = Vec::new();
        for folder in std::mem::take(&mut level) {
            let (logs, folders) = last_by_name(&folder, left);
            left -= logs.len();
            logs.into_iter().for_each(&mut take);
            below.extend(folders);
        }
        let mut dated: Vec<_> = below
            .into_iter()
            .filter_map(|folder| Some((written(&fs::symlink_metadata(&folder).ok()?), folder)))
            .collect();
        dated.sort_unstable_by(|a, b| b.cmp(a));
        dated.truncate(left);
        left -= dated.len();
        level = dated.into_iter().map(|(_, folder)| folder).collect();
    }
    newest.map(|(_, path)| path)
}

/// The logs and the folders in a folder: of each at most so many, the last by name. Links are not followed.
fn last_by_name(folder: &Path, most: usize) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut logs, mut folders) = (BinaryHeap::new(), BinaryHeap::new());
    // A link in place of the folder would lead elsewhere.
    let is_folder = fs::symlink_metadata(folder).is_ok_and(|meta| meta.is_dir());
    for entry in is_folder.then(|| fs::read_dir(folder).ok()).into_iter().flatten().flatten().flatten() {
        let path = entry.path();
        let kept = match entry.file_type() {
            Ok(kind) if kind.is_dir() => &mut folders,
            Ok(kind) if kind.is_file() && is_log(&path) => &mut logs,
            _ => continue,
        };
        kept.push(Reverse(path));
        if kept.len() > most {
            kept.pop();
        }
    }
    let paths = |kept: BinaryHeap<Reverse<PathBuf>>| kept.into_iter().map(|Reverse(path)| path).collect();
    (paths(logs), paths(folders))
}

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "log")
}

fn written(meta: &fs::Metadata) -> SystemTime {
    meta.modified().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Bytes that this user may still write where `path` lies; `None`: not known.
#[cfg(unix)]
pub fn free_bytes(path: &Path) -> Option<u64> {
    let system = rustix::fs::statvfs(path).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}

#[cfg(windows)]
pub fn free_bytes(path: &Path) -> Option<u64> {
    use std::os::windows::ffi::OsStrExt;

    use windows_sys::Win32::Storage::FileSystem::GetDiskFreeSpaceExW;

    let name: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
    let mut free = 0;
    // SAFETY: the name ends with a zero, `free` is writable during the call, and the two other results are not wanted.
    let told = unsafe { GetDiskFreeSpaceExW(name.as_ptr(), &mut free, std::ptr::null_mut(), std::ptr::null_mut()) };
    (told != 0).then_some(free)
}

#[cfg(not(any(unix, windows)))]
pub fn free_bytes(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn places_are_found_by_home_and_variables() {
        let home = directories::BaseDirs::new().expect("a home").home_dir().to_owned();
        assert_eq!(expand("~/.ollama/logs/server.log"), Some(home.join(".ollama/logs/server.log")));
        assert_eq!(expand("{tmp}/x"), Some(std::env::temp_dir().join("x")));
        assert_eq!(expand("{NO_SUCH_VARIABLE_HERE}/x"), None);
        assert_eq!(expand("relative/x"), None);
    }

    #[test]
    fn the_newest_log_is_found_in_folders_and_nothing_that_is_no_log() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("server-logs/2026-11")).expect("a folder");
        for (name, age) in
            [("server-logs/2026-11/1.log", 60), ("server-logs/2026-11/2.log", 10), ("server-logs/id_rsa", 0)]
        {
            let file = fs::File::create(at(name)).expect("a file");
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).expect("its time");
        }
        assert_eq!(newest_log(&at("server-logs")), Some(at("server-logs/2026-11/2.log")));
        assert_eq!(newest_log(&at("server-logs/2026-11/1.log")), Some(at("server-logs/2026-11/1.log")));
        assert_eq!(newest_log(&at("server-logs/id_rsa")), None);
        assert_eq!(newest_log(&at("nothing")), None);
        assert!(free_bytes(folder.path()).is_some_and(|free| free > 0));
        assert_eq!(free_bytes(&at("nothing")), None);
    }

    #[test]
    fn the_newest_of_more_logs_than_are_looked_at_is_found() {
        const MOST: usize = 10;
        let folder = tempfile::tempdir().expect("a folder for the test");
        let at = |name: &str| folder.path().join(name);
        let aged = |path: &Path, age: usize| {
            let file = fs::File::open(path).expect("it");
            file.set_modified(SystemTime::now() - Duration::from_secs(age as u64)).expect("its time");
        };
        // Whose folder changed last is read first, and of it the last names.
        for (month, age) in [("01", 300), ("02", 100), ("03", 200)] {
            fs::create_dir(at(month)).expect("a folder");
            for n in 0..=MOST {
                let log = at(&format!("{month}/{n:05}.log"));
                fs::write(&log, "").expect("a log");
                aged(&log, age + MOST - n);
            }
            aged(&at(month), age);
        }
        // What is no log counts for nothing.
        for n in 0..2 * MOST {
            fs::write(at(&format!("{n}.txt")), "").expect("a file");
        }
        assert_eq!(newest_within(folder.path(), MOST), Some(at(&format!("02/{MOST:05}.log"))));
        assert_eq!(newest_within(&at("03"), MOST), Some(at(&format!("03/{MOST:05}.log"))));
        assert_eq!(newest_log(folder.path()), Some(at(&format!("02/{MOST:05}.log"))));
    }
}
