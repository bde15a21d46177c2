//! Why a file of the plugin folder is not in use: each reason its own, with what to do.

use std::path::{Path, PathBuf};

use ai_monitor_plugin_api::table::AIM_ABI;
use serde::{Deserialize, Serialize};

use super::{Grants, LoadError, ManifestError, TableError};

/// A reason, for people and for scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// One word for scripts: `cannot_open`, `no_entry`, …
    pub code: String,
    /// What is wrong, in one sentence.
    pub text: String,
    /// What to do.
    pub remedy: String,
}

/// Why a library of the plugin folder is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("it cannot be opened: {why}")]
    CannotOpen { why: String },
    #[error("it is a library but no plugin: it exports neither `ai_monitor_plugin_v1` nor that name with the crate's")]
    NoEntry,
    #[error("it was built for ABI {found}, this monitor speaks {AIM_ABI}")]
    OtherAbi { found: u32 },
    #[error("it is {found}, this system needs {needed}")]
    OtherPlatform { found: String, needed: String },
    #[error("there is no manifest beside it: {} is missing", path.display())]
    NoManifest { path: PathBuf },
    #[error("its manifest {} is not right: {why}", path.display())]
    BadManifest { path: PathBuf, why: ManifestError },
    #[error("its manifest says something else than the file beside it{}", at.as_ref().map(|a| format!(" (at {a})")).unwrap_or_default())]
    ManifestDiffers { at: Option<String> },
    #[error("{} is refused: {why}", path.display())]
    Permissions { path: PathBuf, why: String, remedy: String },
    #[error("it is disabled")]
    Disabled { id: String },
    #[error("its id {id:?} is taken by {}", other.display())]
    Duplicate { id: String, other: PathBuf },
    #[error("it cannot be loaded: {how}")]
    Crashed { how: String },
    #[error("the system gave no process to load it in: {why}")]
    NotStarted { why: String },
    #[error("it asks for more than was granted: {more}")]
    Consent { id: String, more: Grants },
    #[error("it is quarantined: {reason}")]
    Quarantined { id: String, reason: String },
    #[error("what was granted to it before is not known: {} cannot be read ({why})", path.display())]
    GrantsUnknown { path: PathBuf, why: String },
    #[error("ai-monitor runs in safe mode, with bundled plugins alone")]
    SafeMode,
    #[error("its table is not right: {why}")]
    BadTable { why: TableError },
}

impl Refusal {
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::CannotOpen { .. } => "cannot_open",
            Refusal::NoEntry => "no_entry",
            Refusal::OtherAbi { .. } => "other_abi",
            Refusal::OtherPlatform { .. } => "other_platform",
            Refusal::NoManifest { .. } => "no_manifest",
            Refusal::BadManifest { .. } => "bad_manifest",
            Refusal::ManifestDiffers { .. } => "manifest_differs",
            Refusal::Permissions { .. } => "permissions",
            Refusal::Disabled { .. } => "disabled",
            Refusal::Duplicate { .. } => "duplicate_id",
            Refusal::Crashed { .. } => "crashed_while_loading",
            Refusal::NotStarted { .. } => "not_started",
            Refusal::Consent { .. } => "awaiting_consent",
            Refusal::Quarantined { .. } => "quarantined",
            Refusal::GrantsUnknown { .. } => "grants_unknown",
            Refusal::SafeMode => "safe_mode",
            Refusal::BadTable { .. } => "bad_table",
        }
    }

    /// Nothing is wrong with the file: a person said, or is to say, whether it is used.
    pub(super) fn awaits_a_person(&self) -> bool {
        matches!(self, Refusal::Disabled { .. } | Refusal::Consent { .. } | Refusal::Quarantined { .. })
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Refusal::CannotOpen { .. } => {
                "build it as a shared library for this system, with all that it needs linked in".into()
            }
            Refusal::NoEntry => {
                "export the plugin (`export_plugin!` in Rust; in C the table `ai_monitor_plugin_v1`, neither `static` nor hidden), and keep the file's name as it was built".into()
            }
            Refusal::OtherAbi { .. } => "get or build the plugin for this version of ai-monitor".into(),
            Refusal::OtherPlatform { .. } => "get or build the plugin for this system and processor".into(),
            Refusal::NoManifest { path } => format!("put the plugin's manifest there: {}", path.display()),
            Refusal::BadManifest { .. } => "mend the manifest, or get one that belongs to the library".into(),
            Refusal::ManifestDiffers { .. } => {
                "put the manifest and the library of the same build there; `ai-monitor plugin install` copies both".into()
            }
            Refusal::Permissions { remedy, .. } => remedy.clone(),
            Refusal::Disabled { id } => format!("ai-monitor plugin enable {id}"),
            Refusal::Duplicate { .. } => "remove one of the two files".into(),
            Refusal::Crashed { .. } => {
                "tell its author; replace the file with a version that loads. `ai-monitor plugin check` shows more".into()
            }
            Refusal::NotStarted { .. } => "it is tried again in a few seconds".into(),
            Refusal::Consent { id, .. } => format!("if you grant that: ai-monitor plugin consent {id}"),
            Refusal::Quarantined { id, .. } => {
                format!("replace the file with a better version, or try it again: ai-monitor plugin release {id}")
            }
            Refusal::GrantsUnknown { path, .. } => {
                format!("make {} readable for this user, and start ai-monitor again", path.display())
            }
            Refusal::SafeMode => "start ai-monitor without --safe-mode".into(),
            Refusal::BadTable { .. } => "build it again with the current header or plugin-api crate".into(),
        }
    }

    pub fn problem(&self) -> Problem {
        Problem { code: self.code().into(), text: self.to_string(), remedy: self.remedy() }
    }

    /// What the loading of a library came to. `path`: the library as the user knows it.
    pub(crate) fn of(error: LoadError, path: &Path) -> Refusal {
        match error {
            LoadError::Open { why, .. } => Refusal::CannotOpen { why },
            LoadError::NoPlugin { .. } => Refusal::NoEntry,
            LoadError::Table { source: TableError::OtherAbi { found }, .. } => Refusal::OtherAbi { found },
            LoadError::Table { source: TableError::Manifest(why), .. } => {
                Refusal::BadManifest { path: path.to_owned(), why }
            }
            LoadError::Table { source, .. } => Refusal::BadTable { why: source },
            LoadError::Crashed { how, .. } | LoadError::Overrun { what: how, .. } => Refusal::Crashed { how },
            LoadError::NotStarted { why, .. } => Refusal::NotStarted { why },
        }
    }
}
