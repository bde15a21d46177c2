//! SQLite: schema, writers, questions.

pub mod record;

/// Opened once per data folder.
pub struct Journal {}
