//! Reads a library and its manifest from the folder, checked before anything of the library is run.

use std::{
    fs::File,
    io::{Read, Seek},
    path::{Path, PathBuf},
    sync::Arc,
};

use ai_monitor_plugin_api::{limits::MANIFEST_MAX, manifest::Manifest};
use sha2::{Digest, Sha256};

use super::{manifest_of, permissions, platform};
use crate::plugin::{ManifestError, Refusal, check as manifest_check};

/// More than any plugin needs; a disk image named by mistake ends here.
const LIBRARY_MAX: u64 = 256 * 1024 * 1024;

/// A library that may be opened, with the manifest beside it.
#[derive(Debug)]
pub struct Checked {
    pub manifest: Arc<Manifest>,
    /// The opened file, at its beginning: what was checked is what is copied.
    pub library: File,
    /// SHA-256 of its bytes, in hexadecimal.
    pub hash: String,
}

/// A manifest's file, checked as the contract asks; who may write it is not looked at.
pub fn read_manifest(path: &Path) -> Result<Manifest, Refusal> {
    Ok(read_manifest_and_text(path)?.0)
}

/// The same, with the bytes that it was read from.
pub fn read_manifest_and_text(path: &Path) -> Result<(Manifest, Vec<u8>), Refusal> {
    parse_manifest(path, open(path, path)?)
}

/// Is this file a library for this system and processor? Who may write it is not looked at.
pub fn check_platform(library: &Path) -> Result<(), Refusal> {
    is_for_this_platform(&mut File::open(library).map_err(cannot_open)?)
}

impl Checked {
    /// Nothing is wrong with the file, and for this reason it may not be opened all the same.
    pub fn rejected(self, refusal: Refusal) -> Rejected {
        Rejected { refusal, manifest: Some(self.manifest), hash: Some(self.hash) }
    }
}

/// A library that may not be opened.
#[derive(Debug)]
pub struct Rejected {
    /// The first reason.
    pub refusal: Refusal,
    /// Where it could be read: it names whose targets are concerned.
    pub manifest: Option<Arc<Manifest>>,
    /// As [`Checked::hash`], where the library could be read: it says which file was looked at.
    pub hash: Option<String>,
}

/// Everything that can be told before the library is opened: manifest, permissions, platform.
pub fn check(library: &Path) -> Result<Checked, Rejected> {
    let folder = library.parent().unwrap_or(Path::new("."));
    let opened = open_library(library, folder);
    let hash = opened.as_ref().ok().map(|(_, hash)| hash.clone());
    let manifest = match check_manifest(library, folder) {
        Ok(manifest) => Arc::new(manifest),
        Err(refusal) => return Err(Rejected { refusal, manifest: None, hash }),
    };
    let checked = opened.and_then(|(mut file, hash)| {
        permissions::file(library, &file)?;
        is_for_this_platform(&mut file)?;
        file.rewind().map_err(cannot_open)?;
        Ok(Checked { manifest: manifest.clone(), library: file, hash })
    });
    checked.map_err(|refusal| Rejected { refusal, manifest: Some(manifest), hash })
}

fn check_manifest(library: &Path, folder: &Path) -> Result<Manifest, Refusal> {
    let path = manifest_of(library);
    permissions::folder(folder)?;
    let file = open(&inside(&path, folder)?, &path)?;
    permissions::file(&path, &file)?;
    Ok(parse_manifest(&path, file)?.0)
}

/// A library at its beginning, and the SHA-256 of its bytes.
fn open_library(library: &Path, folder: &Path) -> Result<(File, String), Refusal> {
    let real = inside(library, folder)?;
    let mut file = open_plain(&real).map_err(cannot_open)?;
    permissions::regular(library, &file)?;
    let len = file.metadata().map_err(cannot_open)?.len();
    if len > LIBRARY_MAX {
        return Err(Refusal::CannotOpen { why: format!("it has {len} bytes, more than {LIBRARY_MAX}") });
    }
    let hash = hash(&mut file).map_err(cannot_open)?;
    file.rewind().map_err(cannot_open)?;
    Ok((file, hash))
}

fn cannot_open(error: std::io::Error) -> Refusal {
    Refusal::CannotOpen { why: error.to_string() }
}

/// SHA-256 of all that is left to read, in hexadecimal; as much as a library may have.
pub fn hash(from: &mut impl Read) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut rest = from.take(LIBRARY_MAX);
    let mut buffer = [0; 64 * 1024];
    loop {
        match rest.read(&mut buffer)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            n => hash.update(&buffer[..n]),
        }
    }
}

fn is_for_this_platform(file: &mut File) -> Result<(), Refusal> {
    let mut head = Vec::new();
    let read = file.take(platform::HEAD as u64).read_to_end(&mut head);
    read.map_err(|error| Refusal::CannotOpen { why: error.to_string() })?;
    match (platform::of(&head), platform::ours()) {
        (None, _) => Err(Refusal::CannotOpen { why: "it is no library of any known format".into() }),
        (Some(found), Some(ours)) if !found.contains(&ours) => {
            let found = found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
            Err(Refusal::OtherPlatform { found, needed: ours.to_string() })
        }
        _ => Ok(()),
    }
}

/// The file behind a path, links followed, if it lies in the folder.
fn inside(path: &Path, folder: &Path) -> Result<PathBuf, Refusal> {
    let missing = |error: std::io::Error| match path.extension() {
        Some(e) if e == "json" => unreadable(path, &error),
        _ => Refusal::CannotOpen { why: error.to_string() },
    };
    let real = path.canonicalize().map_err(missing)?;
    let folder = folder.canonicalize().map_err(missing)?;
    if real.starts_with(&folder) {
        return Ok(real);
    }
    Err(Refusal::Permissions {
        path: path.to_owned(),
        why: format!("it is a link out of the folder, to {}", real.display()),
        remedy: "put a copy there instead of a link".into(),
    })
}

fn open(real: &Path, shown: &Path) -> Result<File, Refusal> {
    open_plain(real).map_err(|error| unreadable(shown, &error))
}

fn unreadable(manifest: &Path, error: &std::io::Error) -> Refusal {
    match error.kind() {
        std::io::ErrorKind::NotFound => Refusal::NoManifest { path: manifest.to_owned() },
        _ => Refusal::BadManifest { path: manifest.to_owned(), why: ManifestError::Unreadable(error.to_string()) },
    }
}

/// Without waiting for a writer, should it be a pipe, and without following a link that came after the check.
#[cfg(unix)]
fn open_plain(path: &Path) -> std::io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

#[cfg(not(unix))]
fn open_plain(path: &Path) -> std::io::Result<File> {
    File::open(path)
}

fn parse_manifest(path: &Path, file: File) -> Result<(Manifest, Vec<u8>), Refusal> {
    let bad = |why| Refusal::BadManifest { path: path.to_owned(), why };
    let max = MANIFEST_MAX;
    let mut bytes = Vec::new();
    let read = file.take(max as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| bad(ManifestError::Unreadable(error.to_string())))?;
    if bytes.len() > max {
        return Err(bad(ManifestError::Unreadable(format!("it is over {max} bytes"))));
    }
    Ok((manifest_check::parse(&bytes).map_err(bad)?, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"{"contract":"1.0","abi":1,"id":"small","version":"1","label":"Small",
        "probes":{"liveness":{"routes":["GET /"],"deadline_ms":100}}}"#;

    /// A file that has the head of a library of this system.
    fn library(folder: &Path) -> PathBuf {
        let path = folder.join("libsmall.so");
        std::fs::copy(std::env::current_exe().unwrap(), &path).unwrap();
        set_mode(&path, 0o644);
        std::fs::write(path.with_extension("json"), MANIFEST).unwrap();
        set_mode(&path.with_extension("json"), 0o644);
        path
    }

    #[cfg(unix)]
    fn set_mode(path: &Path, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[cfg(not(unix))]
    fn set_mode(_: &Path, _: u32) {}

    fn refusal(library: &Path) -> Refusal {
        check(library).expect_err("it is refused").refusal
    }

    #[test]
    fn a_good_pair_is_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = library(folder.path());
        let checked = check(&path).unwrap();
        assert_eq!((checked.manifest.id.as_str(), checked.hash.len()), ("small", 64));
        let mut bytes = Vec::new();
        (&checked.library).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, std::fs::metadata(&path).unwrap().len(), "at its beginning");
    }

    #[test]
    fn what_is_wrong_before_loading_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = library(folder.path());
        let manifest = path.with_extension("json");
        std::fs::write(&path, "no library").unwrap();
        let rejected = check(&path).expect_err("no library");
        assert_eq!(rejected.refusal.code(), "cannot_open");
        assert_eq!(rejected.manifest.map(|m| m.id.clone()), Some("small".into()), "the manifest tells whose it is");
        assert_eq!(rejected.hash, Some(hash(&mut &b"no library"[..]).unwrap()), "and this which file it was");
        std::fs::write(&path, [0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 243, 0]).unwrap();
        assert_eq!(refusal(&path).code(), "other_platform");
        std::fs::write(&manifest, "{}").unwrap();
        assert_eq!(refusal(&path).code(), "bad_manifest");
        std::fs::write(&manifest, vec![b' '; MANIFEST_MAX + 1]).unwrap();
        assert!(refusal(&path).to_string().contains("is over"), "{}", refusal(&path));
        std::fs::remove_file(&manifest).unwrap();
        let refusal = refusal(&path);
        assert_eq!(refusal.code(), "no_manifest");
        assert!(refusal.remedy().contains("libsmall.json"), "{}", refusal.remedy());
    }

    #[cfg(unix)]
    #[test]
    fn what_others_can_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = library(folder.path());
        let manifest = path.with_extension("json");
        for (place, mode, good) in
            [(path.as_path(), 0o664, 0o644), (&manifest, 0o646, 0o644), (folder.path(), 0o777, 0o755)]
        {
            set_mode(place, mode);
            let refusal = refusal(&path);
            assert_eq!(refusal.code(), "permissions", "{refusal}");
            assert!(refusal.remedy().contains("chmod go-w"), "{}", refusal.remedy());
            set_mode(place, good);
        }
        assert!(check(&path).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn links_may_not_lead_out_of_the_folder_and_pipes_are_no_files() {
        use std::os::unix::fs::symlink;
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = library(folder.path());
        let away = elsewhere.path().join("real.so");
        std::fs::rename(&path, &away).unwrap();
        symlink(&away, &path).unwrap();
        assert!(refusal(&path).to_string().contains("link out of the folder"), "{}", refusal(&path));
        std::fs::remove_file(&path).unwrap();
        std::fs::copy(&away, folder.path().join("small.so.1")).unwrap();
        symlink("small.so.1", &path).unwrap();
        assert!(check(&path).is_ok(), "within the folder is well");
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(refusal(&path).to_string().contains("no regular file"), "{}", refusal(&path));
    }
}
