//! Landlock: as a library is opened, only libraries can be read. Otherwise its initialisers could read a user's files
//! and a later request carry them away.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::Path,
};

/// Where systems keep shared libraries, and the loader's index of them.
const LIBRARIES: &[&str] = &[
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/nix/store",
    "/gnu/store",
    "/run/current-system",
    "/etc/ld.so.cache",
];

const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
/// All rights of files in the first version; later ones are refused to a plugin by the filter.
const ALL: u64 = (1 << 13) - 1;
const RULE_PATH_BENEATH: u32 = 1;

#[repr(C)]
struct Ruleset {
    handled_files: u64,
}

#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: i32,
}

/// For this thread, which is the only one, for good. It needs that new privileges were given up.
pub(super) fn restrict(library: &Path) -> io::Result<()> {
    let ruleset = Ruleset { handled_files: ALL };
    // SAFETY: the kernel reads the ruleset, of the size that is said, and gives a file descriptor.
    let fd =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const ruleset, size_of::<Ruleset>(), 0u32) };
    let fd = i32::try_from(checked(fd)?).map_err(io::Error::other)?;
    // SAFETY: it is ours alone.
    let rules = unsafe { OwnedFd::from_raw_fd(fd) };
    for path in LIBRARIES {
        // Not every system has each.
        if let Ok(parent) = File::open(path) {
            allow(&rules, &parent)?;
        }
    }
    // One that cannot be opened is told by the loader.
    if let Ok(file) = File::open(library) {
        allow(&rules, &file)?;
    }
    // SAFETY: plain numbers.
    checked(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0u32) }).map(drop)
}

fn allow(rules: &OwnedFd, parent: &File) -> io::Result<()> {
    let rights = if parent.metadata()?.is_dir() { READ_FILE | READ_DIR } else { READ_FILE };
    let rule = PathBeneath { allowed: rights, parent: parent.as_raw_fd() };
    // SAFETY: the kernel reads the rule, which has its layout.
    let added = unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, rules.as_raw_fd(), RULE_PATH_BENEATH, &raw const rule, 0u32)
    };
    checked(added).map(drop)
}

fn checked(result: i64) -> io::Result<i64> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
