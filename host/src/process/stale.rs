//! Stale files: which a manifest's pattern means, whether nobody uses them any more, and their removal.
//!
//! A manifest may come with a plugin of anyone's, so a pattern reaches no further than one level below the folder for
//! temporary files, and must name what it means by at least three letters. Links are neither followed nor removed.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// In so many entries the age of a folder can be told; a larger one is left alone.
const ENTRIES_MAX: usize = 10_000;
/// The fewest letters that a pattern begins with.
const LETTERS_MIN: usize = 3;

/// Names in one folder that begin and end so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    folder: PathBuf,
    begins: String,
    ends: Option<String>,
}

impl Pattern {
    /// `{tmp}/NAME`, with one `*` at most. `None`: it means another place, or too much.
    pub fn of(glob: &str) -> Option<Pattern> {
        let pattern = Pattern::within(glob, std::env::temp_dir());
        if pattern.is_none() {
            tracing::warn!(glob, "a manifest's pattern of stale files reaches too far and is not used");
        }
        pattern
    }

    fn within(glob: &str, folder: PathBuf) -> Option<Pattern> {
        let name = glob.strip_prefix("{tmp}/")?;
        let (begins, ends) = match name.split_once('*') {
            Some((begins, ends)) => (begins, Some(ends)),
            None => (name, None),
        };
        let plain = |part: &str| !part.contains(['/', '\\', '*', '?', '[', '{']);
        let letters = begins.chars().filter(|c| c.is_alphanumeric()).count();
        (letters >= LETTERS_MIN && plain(begins) && ends.is_none_or(plain)).then(|| Pattern {
            folder,
            begins: begins.to_owned(),
            ends: ends.map(str::to_owned),
        })
    }

    /// What it means and was not written to since `before`, of this user's own.
    pub fn find(&self, before: SystemTime) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let meant = entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| self.matches(name)));
        let mut found: Vec<PathBuf> = meant.map(|entry| entry.path()).filter(|path| is_stale(path, before)).collect();
        found.sort();
        found
    }

    fn matches(&self, name: &str) -> bool {
        match (&self.ends, name.strip_prefix(&self.begins)) {
            (_, None) => false,
            (None, Some(rest)) => rest.is_empty(),
            (Some(ends), Some(rest)) => rest.ends_with(ends.as_str()),
        }
    }
}

/// Removes a file, or a folder with all in it.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path)?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

/// Whether it and all in it are this user's, on one file system, and older. What cannot be looked at is not stale.
fn is_stale(path: &Path, before: SystemTime) -> bool {
    let Ok(top) = fs::symlink_metadata(path) else { return false };
    if top.is_symlink() {
        return false;
    }
    let mut folders = vec![(path.to_owned(), top.clone())];
    let mut seen = 0;
    while let Some((path, meta)) = folders.pop() {
        seen += 1;
        let old = meta.modified().is_ok_and(|written| written < before);
        if seen > ENTRIES_MAX || !old || !is_own(&meta) || !on_one_file_system(&meta, &top) {
            return false;
        }
        if meta.is_dir() {
            let Ok(entries) = fs::read_dir(&path) else { return false };
            for entry in entries {
                // Links in it go with it, and what they point to does not.
                match entry.and_then(|entry| Ok((entry.path(), entry.metadata()?))) {
                    Ok(inner) => folders.push(inner),
                    Err(_) => return false,
                }
            }
        }
    }
    true
}

#[cfg(unix)]
fn is_own(meta: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    meta.uid() == rustix::process::geteuid().as_raw()
}

/// The folder for temporary files is each user's own.
#[cfg(not(unix))]
fn is_own(_: &fs::Metadata) -> bool {
    true
}

/// Something may be mounted in it.
#[cfg(unix)]
fn on_one_file_system(meta: &fs::Metadata, top: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    meta.dev() == top.dev()
}

#[cfg(not(unix))]
fn on_one_file_system(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn pattern(glob: &str, folder: &Path) -> Option<Pattern> {
        Pattern::within(glob, folder.to_owned())
    }

    #[test]
    fn a_pattern_reaches_no_further_than_temporary_files() {
        let folder = Path::new("/tmp");
        for glob in [
            "~/.ollama/*",
            "/tmp/ollama*",
            "{tmp}/*",
            "{tmp}/ol*",
            "{tmp}/../home/me*",
            "{tmp}/ollama/*",
            "{tmp}/",
            "{tmp}/ollama*/x",
            "{tmp}/ollama**",
            "{tmp}/---*",
            "{tmp}/{HOME}*",
            "{tmp}/..",
        ] {
            assert_eq!(pattern(glob, folder), None, "{glob}");
        }
        assert!(pattern("{tmp}/ollama*", folder).is_some_and(|p| p.matches("ollama123") && !p.matches("my-ollama")));
        assert!(pattern("{tmp}/mark*.bin", folder).is_some_and(|p| p.matches("mark1.bin") && !p.matches("mark1.txt")));
        assert!(pattern("{tmp}/exact", folder).is_some_and(|p| p.matches("exact") && !p.matches("exactly")));
    }

    #[test]
    fn only_what_is_old_all_through_is_found_and_a_link_never() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("ollama1/inner")).expect("a folder");
        fs::write(at("ollama1/inner/file"), "x").expect("a file");
        fs::write(at("ollama2"), "x").expect("a file");
        fs::write(at("keep"), "x").expect("a file");
        #[cfg(unix)]
        std::os::unix::fs::symlink(at("keep"), at("ollama3")).expect("a link");
        let pattern = pattern("{tmp}/ollama*", folder.path()).expect("a pattern");

        let later = SystemTime::now() + Duration::from_secs(60);
        assert_eq!(pattern.find(later), [at("ollama1"), at("ollama2")]);
        assert_eq!(pattern.find(SystemTime::now() - Duration::from_secs(60)), Vec::<PathBuf>::new());

        // One young file deep inside keeps the whole.
        let young = fs::File::options().write(true).open(at("ollama1/inner/file")).expect("the file");
        young.set_modified(later + Duration::from_secs(1)).expect("its time");
        assert_eq!(pattern.find(later), [at("ollama2")]);

        remove(&at("ollama1")).expect("a folder goes with all in it");
        remove(&at("ollama2")).expect("a file goes");
        assert!(!at("ollama1").exists() && !at("ollama2").exists() && at("keep").exists());
    }
}
