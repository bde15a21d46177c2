//! Why the journal could not do something, and what helps.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Each text names what failed, why, and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the journal {} was written by a newer ai-monitor (version {found}, this one knows {known}): use that one, or another folder with --data-dir", path.display())]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("cannot open the journal {}: {why}; {hint}", path.display())]
    Open { path: PathBuf, why: String, hint: &'static str },
    #[error("cannot read the journal: {why}; {hint}")]
    Read { why: String, hint: &'static str },
    #[error("cannot write the journal: {why}; {hint}")]
    Write { why: String, hint: &'static str },
    #[error(
        "lost: {what}. The journal cannot be written ({why}) and {kept} decisions are already kept in memory; {hint}"
    )]
    Lost { what: String, why: String, kept: usize, hint: &'static str },
    #[error("an incident begins with the record `opened`, not with `{0}`")]
    NotOpened(String),
}

impl JournalError {
    pub(super) fn open(path: &Path, error: &rusqlite::Error) -> JournalError {
        JournalError::Open { path: path.to_owned(), why: why(error), hint: hint(error) }
    }

    pub(super) fn write(error: &rusqlite::Error) -> JournalError {
        JournalError::Write { why: why(error), hint: hint(error) }
    }

    pub(super) fn read(error: &rusqlite::Error) -> JournalError {
        JournalError::Read { why: why(error), hint: hint(error) }
    }
}

/// The database's own words.
pub(super) fn why(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(text)) => text.clone(),
        other => other.to_string(),
    }
}

/// What a person can do about it.
pub(super) fn hint(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "free some space on its disk",
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "check that this user may write to the data folder, or name another one with --data-dir"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "close the other program that holds it locked",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "start the monitor again: it then keeps the broken file aside and begins a new one"
        }
        Some(ErrorCode::SystemIoFailure) => "check the disk: has it space, is it there, does it report errors?",
        _ => "see the monitor's log",
    }
}

/// Is the file itself broken?
pub(super) fn is_corrupt(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// May the same write succeed later? A broken constraint never will.
pub(super) fn is_passing(error: &rusqlite::Error) -> bool {
    !matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::TooBig
                | ErrorCode::ParameterOutOfRange
        )
    )
}
