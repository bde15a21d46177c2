//! Places that a manifest names, on this machine: its log files, and the free space where its models lie.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// A folder of logs is looked through so deep, and to so many entries.
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
/// a manifest cannot name what is no log.
pub fn newest_log(place: &Path) -> Option<PathBuf> {
    let mut newest: Option<(SystemTime, PathBuf)> = None;
    let mut left = ENTRIES_MAX;
    let mut folders = vec![(place.to_owned(), 0)];
    while let Some((path, depth)) = folders.pop() {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if meta.is_dir() && depth < DEEP {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            for entry in entries {
                left = left.checked_sub(1)?;
                folders.push((entry.path(), depth + 1));
            }
        } else if meta.is_file() && path.extension().is_some_and(|ending| ending == "log") {
            let written = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            if newest.as_ref().is_none_or(|(newest, _)| *newest < written) {
                newest = Some((written, path));
            }
        }
    }
    newest.map(|(_, path)| path)
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
}
