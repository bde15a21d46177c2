//! Which plugin a command is about: a library's path, or the id of a bundled one.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ai_monitor_plugin_api::{recording::Recording, table::AimPlugin, testing};
use anyhow::{Context, bail};

use crate::plugin::{BUNDLED, Isolation, Plugin};

/// The largest session file that is read, in bytes.
const RECORDING_MAX: u64 = 64 * 1024 * 1024;
/// The largest manifest beside a library that is read, in bytes: more than the contract allows.
const MANIFEST_MAX: u64 = 1024 * 1024;

/// A plugin as it was named.
#[derive(Clone)]
pub(super) enum Source {
    Bundled(&'static AimPlugin),
    Library(PathBuf),
}

impl Source {
    /// A path wins: it has a `/`, or there is a file.
    pub(super) fn find(name: &str) -> anyhow::Result<Source> {
        let path = Path::new(name);
        if path.is_file() {
            return Ok(Source::Library(path.to_owned()));
        }
        if let Some(table) = BUNDLED.into_iter().find(|table| testing::manifest(table).id == name) {
            return Ok(Source::Bundled(table));
        }
        let ids: Vec<String> = BUNDLED.into_iter().map(|table| testing::manifest(table).id).collect();
        bail!("{name} is neither a library's path nor a bundled plugin ({})", ids.join(", "))
    }

    /// The plugin, ready to be run: a library in a process of its own.
    pub(super) async fn open(&self) -> anyhow::Result<Plugin> {
        Ok(match self {
            Source::Bundled(table) => Plugin::from_table(table)?,
            Source::Library(path) => Plugin::isolated(&absolute(path)?, &Isolation::this_program()).await?,
        })
    }

    /// The bytes of the manifest beside the library, if there is one.
    pub(super) fn manifest_beside(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let Source::Library(path) = self else { return Ok(None) };
        let beside = path.with_extension("json");
        match fs::metadata(&beside) {
            Ok(meta) if meta.len() > MANIFEST_MAX => bail!("{} is too large for a manifest", beside.display()),
            Ok(_) => Ok(Some(fs::read(&beside).with_context(|| format!("cannot read {}", beside.display()))?)),
            Err(_) => Ok(None),
        }
    }
}

/// The loader takes a bare name for one of the system's libraries.
pub(super) fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("{} is no path", path.display()))
}

/// Reads a session file.
pub(super) fn read_recording(path: &Path) -> anyhow::Result<Recording> {
    let meta = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if meta.len() > RECORDING_MAX {
        bail!("{} is larger than a session file may be ({RECORDING_MAX} bytes)", path.display());
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Recording::parse(&text).with_context(|| format!("{} is no session file", path.display()))
}
