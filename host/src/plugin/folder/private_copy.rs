//! Libraries are opened from private copies: the same path again would give the old code on Linux, Windows locks the
//! file that is in use, and what was checked cannot be changed any more.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// The folder of the copies, for this user alone.
#[derive(Debug)]
pub struct Copies {
    folder: PathBuf,
    next: AtomicU64,
}

impl Copies {
    /// In the data folder; what an earlier monitor left there is removed.
    pub fn in_data(data: &Path) -> io::Result<Copies> {
        let folder = data.join("plugin-copies");
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        make_private(&folder)?;
        Ok(Copies { folder, next: AtomicU64::new(0) })
    }

    /// Copies what is left to read of `library`. The copy keeps the file's name, which the crate's symbol may bear.
    pub fn make(&self, library: &mut File, name: &Path) -> io::Result<PrivateCopy> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.join(number.to_string());
        make_private(&folder)?;
        let path = folder.join(name.file_name().unwrap_or("plugin".as_ref()));
        let copy = PrivateCopy { folder, path };
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o500);
        let mut file = options.open(&copy.path)?;
        io::copy(library, &mut file)?;
        Ok(copy)
    }
}

/// One copy; it is removed with this value, once no session and no child needs it any more.
#[derive(Debug)]
pub struct PrivateCopy {
    folder: PathBuf,
    path: PathBuf,
}

impl PrivateCopy {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PrivateCopy {
    fn drop(&mut self) {
        // What Windows still holds open goes at the next start.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[cfg(unix)]
fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make_private(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_its_name_lives_as_long_as_it_is_held_and_leaves_nothing() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(data.path().join("plugin-copies/7")).unwrap();
        let copies = Copies::in_data(data.path()).unwrap();
        let folder = data.path().join("plugin-copies");
        let left = || std::fs::read_dir(&folder).unwrap().count();
        assert_eq!(left(), 0, "what an earlier monitor left is removed");
        let original = data.path().join("libmine.so");
        std::fs::write(&original, "code").unwrap();
        let make = || copies.make(&mut File::open(&original).unwrap(), &original).unwrap();
        let (one, two) = (make(), make());
        assert_ne!(one.path(), two.path());
        assert_eq!(one.path().file_name(), original.file_name());
        assert_eq!(std::fs::read(one.path()).unwrap(), b"code");
        drop(one);
        assert_eq!(left(), 1);
        drop(two);
        assert_eq!(left(), 0);
    }
}
