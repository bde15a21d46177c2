//! The database file: its tables, their versions, and what is done with one that is broken or newer.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};

use super::error::{self, JournalError};

/// The steps from an empty file to today's; `user_version` counts those that were taken. Never change one that was
/// released: add another.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE incident (
        id INTEGER PRIMARY KEY, target TEXT NOT NULL, class TEXT NOT NULL, opened INTEGER NOT NULL,
        closed INTEGER, ended TEXT, by TEXT, reason TEXT
    );
    CREATE INDEX incident_of_target ON incident (target, id);
    CREATE INDEX incident_open ON incident (id) WHERE closed IS NULL;
    CREATE TABLE record (
        incident INTEGER NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (incident, seq)
    ) WITHOUT ROWID;
    CREATE TABLE source (hash TEXT PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE non_decision (
        id INTEGER PRIMARY KEY, target TEXT NOT NULL, at INTEGER NOT NULL, class TEXT, why TEXT NOT NULL,
        text TEXT NOT NULL
    );
    CREATE INDEX non_decision_of_target ON non_decision (target, at);
    CREATE TABLE started (
        target TEXT NOT NULL, pid INTEGER NOT NULL, start INTEGER NOT NULL, boot TEXT NOT NULL, command TEXT NOT NULL,
        at INTEGER NOT NULL, PRIMARY KEY (target, pid, start)
    ) WITHOUT ROWID;
    CREATE TABLE seen (
        target TEXT NOT NULL, pid INTEGER NOT NULL, start INTEGER NOT NULL, boot TEXT NOT NULL, at INTEGER NOT NULL,
        PRIMARY KEY (target, pid, start)
    ) WITHOUT ROWID;
    CREATE TABLE ready (target TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE spent (
        id INTEGER PRIMARY KEY, target TEXT NOT NULL, at INTEGER NOT NULL, act TEXT NOT NULL, budget TEXT NOT NULL,
        took INTEGER NOT NULL
    );
    CREATE INDEX spent_of_target ON spent (target, at);
    CREATE TABLE sample (
        target TEXT NOT NULL, at INTEGER NOT NULL, depth INTEGER NOT NULL, ok INTEGER NOT NULL, ms INTEGER,
        state TEXT NOT NULL, text TEXT, PRIMARY KEY (target, at, depth)
    ) WITHOUT ROWID;
    CREATE TABLE rollup (
        span INTEGER NOT NULL, target TEXT NOT NULL, at INTEGER NOT NULL, depth INTEGER NOT NULL, n INTEGER NOT NULL,
        ok INTEGER NOT NULL, timed INTEGER NOT NULL, ms_sum INTEGER NOT NULL, ms_max INTEGER,
        PRIMARY KEY (span, target, at, depth)
    ) WITHOUT ROWID;
"];

const FILE: &str = "journal.db";
/// How long a write waits for another program's lock.
const BUSY: Duration = Duration::from_millis(500);
/// Up to this size a file is checked at each start; above, only after an end that was not clean.
const ALWAYS_CHECKED: u64 = 16 * 1024 * 1024;

/// How much of a write must be on the disk when it returns.
#[derive(Debug, Clone, Copy)]
pub enum Durable {
    /// All of it.
    Full,
    /// The file is sound after a crash, the last writes may be gone.
    Normal,
}

pub fn file(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// Opens the file of this folder, sound and of today's version. `Some` text: a broken one was kept aside.
pub fn open(dir: &Path) -> Result<(Connection, Option<String>), JournalError> {
    let path = file(dir);
    std::fs::create_dir_all(dir).map_err(|e| JournalError::Open {
        path: path.clone(),
        why: e.to_string(),
        hint: "check that this user may write to the data folder, or name another one with --data-dir",
    })?;
    match open_sound(&path) {
        Ok(connection) => migrate(connection, &path, MIGRATIONS).map(|c| (c, None)),
        Err(e) if error::is_corrupt(&e) => {
            let aside = keep_aside(&path).map_err(|e| JournalError::Open {
                path: path.clone(),
                why: format!("it is broken, and could not be kept aside: {e}"),
                hint: "move it away by hand",
            })?;
            let connection = connect(&path, Durable::Full).map_err(|e| JournalError::open(&path, &e))?;
            let notice = format!(
                "the journal was broken ({}): it is kept as {}, and a new one was begun",
                error::why(&e),
                aside.display()
            );
            migrate(connection, &path, MIGRATIONS).map(|c| (c, Some(notice)))
        }
        Err(e) => Err(JournalError::open(&path, &e)),
    }
}

/// A second connection to a file that [`open`] has looked at.
pub fn connect(path: &Path, durable: Durable) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    // Must be set before the first table; gives pruned space back to the disk.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = match durable {
        Durable::Full => "FULL",
        Durable::Normal => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    // Else a log grown in one long read stays that long for ever.
    connection.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
    Ok(connection)
}

/// For another process than the monitor's: it can write nothing.
pub fn connect_read_only(path: &Path) -> Result<Connection, JournalError> {
    let failed = |e: rusqlite::Error| JournalError::open(path, &e);
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    let found = version(&connection).map_err(failed)?;
    if found != MIGRATIONS.len() as i64 {
        refuse_newer(path, found, MIGRATIONS)?;
        return Err(JournalError::Open {
            path: path.to_owned(),
            why: format!("it is of an earlier version ({found})"),
            hint: "start the monitor once: it takes the journal over",
        });
    }
    Ok(connection)
}

/// With today's tables, gone at its end.
pub fn in_memory() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    for step in MIGRATIONS {
        connection.execute_batch(step)?;
    }
    Ok(connection)
}

/// Asks for a whole check at the next start.
pub fn suspect(path: &Path) {
    // If this cannot be written either, the next write that fails tries again.
    let _ = std::fs::write(beside(path, ".suspect"), "");
}

fn open_sound(path: &Path) -> rusqlite::Result<Connection> {
    let suspect = beside(path, ".suspect");
    let unclean = std::fs::metadata(beside(path, "-wal")).is_ok_and(|m| m.len() > 0);
    let small = std::fs::metadata(path).map_or(true, |m| m.len() <= ALWAYS_CHECKED);
    let connection = connect(path, Durable::Full)?;
    if small || unclean || suspect.exists() {
        let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
            return Err(rusqlite::Error::SqliteFailure(code, Some(verdict)));
        }
        let _ = std::fs::remove_file(suspect);
    }
    version(&connection)?;
    Ok(connection)
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn refuse_newer(path: &Path, found: i64, steps: &[&str]) -> Result<(), JournalError> {
    let known = steps.len() as i64;
    match (0..=known).contains(&found) {
        true => Ok(()),
        false => Err(JournalError::Newer { path: path.to_owned(), found, known }),
    }
}

/// Takes the steps that the file lacks, all or none, after a copy of a file that holds something.
fn migrate(mut connection: Connection, path: &Path, steps: &[&str]) -> Result<Connection, JournalError> {
    let failed = |e: rusqlite::Error| JournalError::open(path, &e);
    let found = version(&connection).map_err(failed)?;
    refuse_newer(path, found, steps)?;
    let missing = &steps[found as usize..];
    if missing.is_empty() {
        return Ok(connection);
    }
    if found > 0 {
        connection
            .backup("main", beside(path, &format!(".before-v{}", steps.len())), None::<fn(rusqlite::backup::Progress)>)
            .map_err(failed)?;
    }
    let transaction = connection.transaction().map_err(failed)?;
    for step in missing {
        transaction.execute_batch(step).map_err(failed)?;
    }
    transaction.pragma_update(None, "user_version", steps.len() as i64).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    Ok(connection)
}

/// Moves the file and its companions to names that tell when; nothing is deleted.
fn keep_aside(path: &Path) -> std::io::Result<PathBuf> {
    let stem = format!(".corrupt-{}", Timestamp::now().strftime("%Y%m%dT%H%M%SZ"));
    let free = |n: u32| if n == 0 { stem.clone() } else { format!("{stem}-{n}") };
    let suffix = (0..1000).map(free).find(|s| !beside(path, s).exists()).unwrap_or_else(|| stem.clone());
    let aside = beside(path, &suffix);
    std::fs::rename(path, &aside)?;
    for companion in ["-wal", "-shm"] {
        match std::fs::rename(beside(path, companion), beside(&aside, companion)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    let _ = std::fs::remove_file(beside(path, ".suspect"));
    Ok(aside)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &[&str] = &["CREATE TABLE a (x)"];
    const SECOND: &[&str] = &["CREATE TABLE a (x)", "CREATE TABLE b (y)"];

    #[test]
    fn a_file_is_migrated_forward_after_a_copy() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path());
        let old = migrate(connect(&path, Durable::Full).unwrap(), &path, FIRST).unwrap();
        old.execute("INSERT INTO a VALUES (7)", []).unwrap();
        drop(old);
        let new = migrate(connect(&path, Durable::Full).unwrap(), &path, SECOND).unwrap();
        assert_eq!(version(&new).unwrap(), 2);
        assert_eq!(new.query_row("SELECT x FROM a", [], |r| r.get::<_, i64>(0)).unwrap(), 7);
        let copy = Connection::open(beside(&path, ".before-v2")).unwrap();
        assert_eq!(version(&copy).unwrap(), 1);
        assert_eq!(copy.query_row("SELECT x FROM a", [], |r| r.get::<_, i64>(0)).unwrap(), 7);
    }

    #[test]
    fn a_step_that_fails_leaves_the_file_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path());
        drop(migrate(connect(&path, Durable::Full).unwrap(), &path, FIRST).unwrap());
        let broken = &["CREATE TABLE a (x)", "CREATE TABLE b (y); CREATE TABLE a (again)"];
        assert!(migrate(connect(&path, Durable::Full).unwrap(), &path, broken).is_err());
        let after = connect(&path, Durable::Full).unwrap();
        assert_eq!(version(&after).unwrap(), 1);
        assert!(after.prepare("SELECT * FROM b").is_err());
    }

    #[test]
    fn a_newer_file_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path());
        drop(migrate(connect(&path, Durable::Full).unwrap(), &path, SECOND).unwrap());
        let error = migrate(connect(&path, Durable::Full).unwrap(), &path, FIRST).unwrap_err().to_string();
        assert!(error.contains("newer ai-monitor (version 2, this one knows 1)"), "{error}");
        assert_eq!(version(&connect(&path, Durable::Full).unwrap()).unwrap(), 2);
    }
}
