//! Which plugin a command is about: a library's path, or the id of an installed or a bundled one.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ai_monitor_plugin_api::{recording::Recording, table::AimPlugin, testing};
use anyhow::{Context, bail};

use super::way::Way;
use crate::{
    config::Flags,
    plugin::{BUNDLED, Isolation, Plugin, folder, is_id},
};

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
    /// A file wins. Of an installed and a bundled plugin of one id it is the installed one, as for the monitor.
    pub(super) async fn find(flags: &Flags, name: &str) -> anyhow::Result<Source> {
        let path = Path::new(name);
        if path.is_file() {
            must_be_library(path)?;
            return Ok(Source::Library(path.to_owned()));
        }
        if !is_id(name) {
            bail!("{}", why_no_library(path));
        }
        let all = async { Way::of(flags)?.all().await }.await;
        match (all, bundled(name)) {
            (Err(error), None) => Err(error),
            // What keeps the folder from being read must not keep the bundled ones from being tried.
            (Err(_), Some(table)) => Ok(Source::Bundled(table)),
            (Ok(all), bundled) => match (all.one(name).and_then(|plugin| plugin.library.clone()), bundled) {
                (Some(library), _) => Ok(Source::Library(library.into())),
                (None, Some(table)) => Ok(Source::Bundled(table)),
                (None, None) if path.is_dir() => bail!("{}", why_no_library(path)),
                (None, None) => {
                    bail!("{name} is neither a library's path nor a plugin's id; plugins: {}", all.ids())
                }
            },
        }
    }

    /// What [`Source::name`] gave.
    pub(super) fn exactly(name: &str) -> Source {
        bundled(name).map_or_else(|| Source::Library(name.into()), Source::Bundled)
    }

    /// Names the same one again, whatever is installed: a bundled one's id, or a path.
    pub(super) fn name(&self) -> String {
        match self {
            Source::Bundled(table) => testing::manifest(table).id,
            Source::Library(path) => path.display().to_string(),
        }
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
        let beside = folder::manifest_of(path);
        match fs::metadata(&beside) {
            Ok(meta) if meta.len() > MANIFEST_MAX => bail!("{} is too large for a manifest", beside.display()),
            Ok(_) => Ok(Some(fs::read(&beside).with_context(|| format!("cannot read {}", beside.display()))?)),
            Err(_) => Ok(None),
        }
    }
}

/// The bundled plugin of this id.
fn bundled(id: &str) -> Option<&'static AimPlugin> {
    BUNDLED.into_iter().find(|table| testing::manifest(table).id == id)
}

/// Told once, and not by each rule or step.
///
/// # Errors
/// It is no library, or one of another system.
pub(super) fn must_be_library(file: &Path) -> anyhow::Result<()> {
    let Err(refusal) = folder::check_platform(file) else { return Ok(()) };
    let is_manifest = file.extension().is_some_and(|extension| extension == "json");
    let remedy = if is_manifest { "name the library, not its manifest".to_owned() } else { refusal.remedy() };
    bail!("{}: {refusal}. What to do: {remedy}", file.display())
}

/// What is wrong with a path that is no file, and what to give instead.
pub(super) fn why_no_library(path: &Path) -> String {
    let shown = path.display();
    if path.is_dir() {
        // Where Cargo leaves what it builds, too.
        let folders = [path.to_owned(), path.join("target/debug"), path.join("target/release")];
        let inside = folders.iter().flat_map(|folder| folder::scan(folder).unwrap_or_default().into_keys());
        let inside: Vec<String> = inside.map(|library| library.display().to_string()).collect();
        return match inside.as_slice() {
            [] => format!("{shown} is a folder, and no library lies in it: build the plugin, and name the library"),
            all => format!("{shown} is a folder: name the library in it, such as {}", all.join(" or ")),
        };
    }
    if path.to_str().is_some_and(|name| bundled(name).is_some()) {
        return format!("{shown} is bundled: it is a part of ai-monitor, and there is nothing to install");
    }
    format!("there is no file {shown}: is the plugin built, and the path right?")
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
