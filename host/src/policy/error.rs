//! What can be wrong with a policy: every text names what failed, why, and what to do.

use std::path::PathBuf;

/// A limit of the sandbox. A spent one is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    Load,
    Instructions,
    Time,
    Memory,
    Acts,
}

impl Budget {
    pub const ALL: [Budget; 5] = [Budget::Load, Budget::Instructions, Budget::Time, Budget::Memory, Budget::Acts];

    pub fn as_str(self) -> &'static str {
        match self {
            Budget::Load => "load",
            Budget::Instructions => "instructions",
            Budget::Time => "time",
            Budget::Memory => "memory",
            Budget::Acts => "acts",
        }
    }
}

impl std::fmt::Display for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A policy cannot be read, checked or run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error(
        "'{0}' is no name of a policy: use lower-case letters, digits, '-' and '_', at most 64 (it is the file's name without '.lua')"
    )]
    BadName(String),
    #[error("there is no policy '{name}': looked for {looked}{suggestion}")]
    NotFound { name: String, looked: String, suggestion: String },
    #[error("{}: cannot be read: {why}", file.display())]
    Unreadable { file: PathBuf, why: String },
    #[error("{file}: larger than {limit} KiB: split it with require")]
    TooLarge { file: String, limit: usize },
    #[error("{file}: is not UTF-8 text")]
    NotText { file: String },
    /// `text` begins with the place, `mine.lua:3:`.
    #[error("{text}")]
    Script { text: String },
    #[error("the settings of policy '{policy}': {text}")]
    Setting { policy: String, text: String },
    #[error("policy '{policy}' has no ladder for {class}, nor has the shipped default")]
    NoLadder { policy: String, class: String },
    #[error("the sources of policy '{policy}' lack {file}: the record is incomplete")]
    Incomplete { policy: String, file: String },
    #[error("this policy has failed and cannot go on: {0}")]
    Spent(String),
    #[error("the Lua machine could not be made: {0}")]
    Machine(String),
}
