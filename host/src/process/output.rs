//! The file that a started server writes to: opened for appending, rotated by copy and truncate.
//!
//! The server keeps its own handle, so the file cannot be renamed away from it; and it is never a pipe to us, because a
//! writer without a reader dies.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// From this size on a file is rotated.
pub const ROTATE_AT: u64 = 10 * 1024 * 1024;

/// So many rotated files are kept: `ollama.log.1` is the newest.
pub const KEPT: u32 = 3;

/// `<logs>/<target>.log`. What a file name cannot hold everywhere becomes `_`.
pub fn path(logs: &Path, target: &str) -> PathBuf {
    let safe = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let name: String = target.chars().map(safe).collect();
    // Neither hidden nor a way upwards.
    logs.join(format!("{}.log", if name.starts_with('.') { format!("_{name}") } else { name }))
}

/// Opens it for appending, made with its folder where it is not there (readable by its owner alone), and tells its
/// length.
pub fn open(path: &Path) -> io::Result<(File, u64)> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    // Servers may log prompts.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// Rotates the file if it is larger than [`ROTATE_AT`]; true: it was. What is written between the copy and the
/// truncation is lost. When the copy fails (a full disk), nothing is truncated.
pub fn rotate_if_large(path: &Path) -> io::Result<bool> {
    rotate_above(path, ROTATE_AT)
}

fn rotate_above(path: &Path, size: u64) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(meta) if meta.len() >= size => {}
        Ok(_) => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    // Copied beside first: the oldest is only given up once the newest is safe.
    let copy = numbered(path, 0);
    fs::copy(path, &copy)?;
    for number in (0..KEPT).rev() {
        let from = numbered(path, number);
        if from.exists() {
            fs::rename(from, numbered(path, number + 1))?;
        }
    }
    OpenOptions::new().write(true).open(path)?.set_len(0)?;
    Ok(true)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// At most the last `limit` bytes of what was written behind `from`. A file that was rotated meanwhile is read from its
/// beginning. What is not UTF-8 is replaced.
pub fn since(path: &Path, from: u64, limit: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let from = if from > length { 0 } else { from };
    let begin = from.max(length.saturating_sub(limit));
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_large_file_is_rotated_under_its_writer_and_three_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), "ollama");
        let (mut writer, from) = open(&path).unwrap();
        assert_eq!(from, 0);
        for round in 0..5 {
            assert!(!rotate_above(&path, 8).unwrap());
            writeln!(writer, "round {round}").unwrap();
            assert!(rotate_above(&path, 8).unwrap());
        }
        write!(writer, "now").unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).ok();
        assert_eq!(read("ollama.log").as_deref(), Some("now"));
        assert_eq!(read("ollama.log.1").as_deref(), Some("round 4\n"));
        assert_eq!(read("ollama.log.3").as_deref(), Some("round 2\n"));
        assert_eq!(read("ollama.log.4"), None);
        assert_eq!(read("ollama.log.0"), None);
    }

    #[test]
    fn nothing_is_cut_off_when_it_cannot_be_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), "ollama");
        fs::write(&path, "0123456789").unwrap();
        // A folder is in the way of the copy.
        fs::create_dir(folder.path().join("ollama.log.0")).unwrap();
        assert!(rotate_above(&path, 8).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "0123456789");
        assert!(!rotate_above(&folder.path().join("missing.log"), 8).unwrap());
    }

    #[test]
    fn a_name_stays_within_the_folder() {
        let logs = Path::new("logs");
        assert_eq!(path(logs, "../../etc/passwd"), logs.join("_.._.._etc_passwd.log"));
        assert_eq!(path(logs, "GPU box: 2"), logs.join("GPU_box__2.log"));
    }

    #[test]
    fn only_what_came_after_is_read_and_not_too_much() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.log");
        fs::write(&file, "old\nnew\n").unwrap();
        assert_eq!(since(&file, 4, 100).unwrap(), "new\n");
        assert_eq!(since(&file, 0, 4).unwrap(), "new\n");
        assert_eq!(since(&file, 99, 100).unwrap(), "old\nnew\n");
    }
}
