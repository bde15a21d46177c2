//! The plugin folder: which libraries lie in it, with the manifest beside each, and whether they may be used.

mod permissions;
pub mod platform;
mod private_copy;
mod read;
mod watch;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use ai_monitor_plugin_api::manifest::Manifest;

pub use self::{
    private_copy::{Copies, PrivateCopy},
    read::{Checked, Rejected, check, check_platform, hash, read_manifest, read_manifest_and_text},
    watch::{FolderWatch, RESCAN},
};

/// File names that end like this are libraries, on whichever system they were built: so that one of another system is
/// told, and not passed over.
pub const ENDINGS: [&str; 3] = ["so", "dll", "dylib"];

/// What a file looked like, to see whether it is another now. No content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
    /// A file renamed over another may have its size and time.
    number: u64,
    rights: Rights,
}

/// Whose a file or folder is and who may write it: what was refused for that is looked at again once it is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    owner: u32,
    mode: u32,
}

impl Rights {
    #[cfg(unix)]
    fn of(meta: &std::fs::Metadata) -> Rights {
        use std::os::unix::fs::MetadataExt;
        Rights { owner: meta.uid(), mode: meta.mode() }
    }

    /// Not read here.
    #[cfg(not(unix))]
    fn of(_: &std::fs::Metadata) -> Rights {
        Rights { owner: 0, mode: 0 }
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Stamp> {
        let meta = std::fs::metadata(path).ok()?;
        #[cfg(unix)]
        let number = std::os::unix::fs::MetadataExt::ino(&meta);
        #[cfg(not(unix))]
        let number = 0;
        Some(Stamp { len: meta.len(), modified: meta.modified().ok(), number, rights: Rights::of(&meta) })
    }

    fn is_older_than(&self, age: std::time::Duration) -> bool {
        let old = |t: SystemTime| t.elapsed().is_ok_and(|elapsed| elapsed >= age);
        self.modified.is_some_and(old)
    }
}

/// A library and the manifest beside it, as they look now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub library: Option<Stamp>,
    pub manifest: Option<Stamp>,
    /// Of the folder, for who may write there may replace both.
    pub folder: Option<Rights>,
}

impl Pair {
    /// Nobody writes to either now, as far as their times tell.
    pub fn is_older_than(&self, age: std::time::Duration) -> bool {
        [&self.library, &self.manifest].into_iter().flatten().all(|stamp| stamp.is_older_than(age))
    }
}

/// The libraries of the folder by path. A folder that is not there holds none.
///
/// # Errors
/// What kept it from being read, for a folder that is there.
pub fn scan(folder: &Path) -> std::io::Result<BTreeMap<PathBuf, Pair>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let rights = std::fs::metadata(folder).ok().map(|meta| Rights::of(&meta));
    let mut found = BTreeMap::new();
    for entry in entries {
        let path = entry?.path();
        if is_librarys_name(&path) && !path.is_dir() {
            let manifest = Stamp::of(&manifest_of(&path));
            let pair = Pair { library: Stamp::of(&path), manifest, folder: rights };
            found.insert(path, pair);
        }
    }
    Ok(found)
}

/// Would a file of this name be seen in the folder?
pub fn is_librarys_name(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    !hidden && path.extension().is_some_and(|e| ENDINGS.iter().any(|ending| e.eq_ignore_ascii_case(ending)))
}

/// Where the manifest of this library lies: `libmine.so` has `libmine.json` or, as it is more readable, `mine.json`.
pub fn manifest_of(library: &Path) -> PathBuf {
    let own = library.with_extension("json");
    let name = own.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match name.strip_prefix("lib") {
        Some(short) if !own.exists() => {
            let short = library.with_file_name(short);
            if short.exists() { short } else { own }
        }
        _ => own,
    }
}

/// The manifests in the folder, by id, for checks of the configuration: no library is opened, and what is not right is
/// left out. Of two with one id the first by file name counts.
pub fn announced(folder: &Path) -> BTreeMap<String, Arc<Manifest>> {
    let mut manifests = BTreeMap::new();
    for library in scan(folder).unwrap_or_default().into_keys() {
        if let Ok(manifest) = read_manifest(&manifest_of(&library)) {
            manifests.entry(manifest.id.clone()).or_insert_with(|| Arc::new(manifest));
        }
    }
    manifests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_of_every_system_are_seen_with_the_manifest_beside_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["libone.so", "libone.json", "two.dll", "libthree.so", "three.json", "notes.txt", ".hidden.so"] {
            std::fs::write(path(name), name).unwrap();
        }
        std::fs::create_dir(path("folder.so")).unwrap();
        let found = scan(folder.path()).unwrap();
        let names: Vec<_> = found.keys().map(|p| p.file_name().unwrap().to_str().unwrap().to_owned()).collect();
        assert_eq!(names, ["libone.so", "libthree.so", "two.dll"]);
        assert!(found[&path("libone.so")].manifest.is_some());
        assert_eq!(manifest_of(&path("libthree.so")), path("three.json"));
        assert_eq!(found[&path("two.dll")].manifest, None);
        assert_eq!(scan(&path("nowhere")).unwrap().len(), 0);
    }

    #[test]
    fn a_file_put_in_the_others_place_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("a.so"), folder.path().join("b"));
        std::fs::write(&one, "same").unwrap();
        let before = scan(folder.path()).unwrap();
        std::fs::write(&two, "size").unwrap();
        let time = std::fs::metadata(&one).unwrap().modified().unwrap();
        std::fs::File::options().write(true).open(&two).unwrap().set_modified(time).unwrap();
        std::fs::rename(&two, &one).unwrap();
        assert_ne!(scan(folder.path()).unwrap(), before);
    }
}
