//! Who could have put other bytes into a file: only we and root may.

use std::{
    fs::{File, Metadata},
    path::Path,
};

use crate::plugin::Refusal;

/// The folder itself: who may write there may replace every file in it.
pub(super) fn folder(path: &Path) -> Result<(), Refusal> {
    let open = File::open(path).and_then(|file| file.metadata());
    match open {
        Ok(meta) => not_writable_by_others(path, &meta),
        Err(error) => Err(refused(path, error.to_string(), "make the folder readable for this user".into())),
    }
}

/// An opened file: it is regular, and nobody else could have written it.
pub(super) fn file(path: &Path, file: &File) -> Result<(), Refusal> {
    not_writable_by_others(path, &regular(path, file)?)
}

/// An opened file that has an end: no pipe, no device.
pub(super) fn regular(path: &Path, file: &File) -> Result<Metadata, Refusal> {
    let meta = file.metadata().map_err(|e| refused(path, e.to_string(), "make it readable for this user".into()))?;
    if !meta.is_file() {
        return Err(refused(path, "it is no regular file".into(), "put a copy of the library there".into()));
    }
    Ok(meta)
}

fn refused(path: &Path, why: String, remedy: String) -> Refusal {
    Refusal::Permissions { path: path.to_owned(), why, remedy }
}

#[cfg(unix)]
fn not_writable_by_others(path: &Path, meta: &Metadata) -> Result<(), Refusal> {
    use std::os::unix::fs::MetadataExt;
    let own = rustix::process::geteuid().as_raw();
    if meta.uid() != own && meta.uid() != 0 {
        let why = format!("it belongs to user {}, neither to this user nor to root", meta.uid());
        return Err(refused(path, why, format!("if you trust it: sudo chown {own} {}", quoted(path))));
    }
    if meta.mode() & 0o022 != 0 {
        let why = format!("others than its owner can write it (mode {:o})", meta.mode() & 0o7777);
        return Err(refused(path, why, format!("if you trust it: chmod go-w {}", quoted(path))));
    }
    Ok(())
}

/// Windows keeps rights in access lists; what this user's folders inherit lets nobody else write. Not read yet.
#[cfg(not(unix))]
fn not_writable_by_others(_: &Path, _: &Metadata) -> Result<(), Refusal> {
    Ok(())
}

/// A path as a shell takes it.
#[cfg(unix)]
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
