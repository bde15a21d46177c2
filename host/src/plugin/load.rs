//! Loading a plugin from a library file.

use std::path::{Path, PathBuf};

use ai_monitor_plugin_api::table::AimPlugin;
use libloading::Library;

use super::{Origin, Plugin, TableError, table::Table};

/// The symbol of a library that holds one plugin.
const SYMBOL: &str = "ai_monitor_plugin_v1";

/// Why a file gives no plugin.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot open {}: {why}. Is it a library for this system and processor?", path.display())]
    Open { path: PathBuf, why: String },
    #[error("{} is a library but no plugin: it exports neither `{SYMBOL}` nor `{SYMBOL}_{stem}`. Was it renamed, or built without its table (`export_plugin!` in Rust; in C it must be neither `static` nor hidden)?", path.display())]
    NoPlugin { path: PathBuf, stem: String },
    #[error("{} cannot be used: {source}", path.display())]
    Table { path: PathBuf, source: TableError },
    /// Isolated, it ended its process, or spoke out of protocol. `how` has the moment in it.
    #[error("{} cannot be loaded, its process ended: {how}. Tell its author", path.display())]
    Crashed { path: PathBuf, how: String },
    /// Isolated, it did not come back.
    #[error("{} cannot be loaded: {what}. Tell its author", path.display())]
    Overrun { path: PathBuf, what: String },
    /// Not the plugin's fault.
    #[error("{} cannot be loaded, for the system gave no process for it: {why}. Try again later", path.display())]
    NotStarted { path: PathBuf, why: String },
}

/// Opens a library in this process and takes its plugin: only for files that may do here what they like. It is never
/// unloaded. [`Plugin::isolated`] is for all others.
pub fn load_library(path: &Path) -> Result<Plugin, LoadError> {
    let plugin = open_table(path).and_then(|table| {
        Plugin::of_table(table).map_err(|source| LoadError::Table { path: path.to_owned(), source })
    })?;
    Ok(Plugin { origin: Origin::DropIn { file: path.to_owned() }, ..plugin })
}

/// Opens a library and checks its table. `abi` is read before anything of the table is run; the system runs a
/// library's initialisers as it opens it.
pub(super) fn open_table(path: &Path) -> Result<Table, LoadError> {
    let table = open_pointer(path)?;
    // SAFETY: a library that exports this name promises a table of the contract, and it stays loaded.
    unsafe { Table::checked(table) }.map_err(|source| LoadError::Table { path: path.to_owned(), source })
}

/// Opens a library in this process and takes its table as it is, unchecked: for the conformance kit, which says by
/// name what is wrong with it.
pub fn open_pointer(path: &Path) -> Result<*const AimPlugin, LoadError> {
    let library = open(path).map_err(|e| LoadError::Open { path: path.to_owned(), why: reason(&e) })?;
    let stem = symbol_part(path);
    let table = [SYMBOL.to_owned(), format!("{SYMBOL}_{stem}")].into_iter().find_map(|symbol| {
        // SAFETY: only the address is taken here; its type is checked by `abi` and `size` before it is used.
        let address = unsafe { library.get::<*const AimPlugin>(symbol.as_bytes()) }.ok()?;
        // The symbol is the table itself, so its address is the pointer.
        let table = unsafe { address.try_as_raw_ptr() }?.cast_const().cast::<AimPlugin>();
        (!table.is_null() && table.is_aligned()).then_some(table)
    });
    // Never unloaded: the table, its functions and its sessions live in it.
    std::mem::forget(library);
    table.ok_or_else(|| LoadError::NoPlugin { path: path.to_owned(), stem })
}

/// Bound now, so that what is missing shows here and not at the first call; local, so that two plugins with the
/// same names do not meet.
#[cfg(unix)]
fn open(path: &Path) -> Result<Library, libloading::Error> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    // SAFETY: running its initialisers is what the caller of `open_table` asked for.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map(Into::into)
}

#[cfg(not(unix))]
fn open(path: &Path) -> Result<Library, libloading::Error> {
    // SAFETY: running its initialisers is what the caller of `open_table` asked for.
    unsafe { Library::new(path) }
}

/// The system's words, not the crate's.
fn reason(error: &libloading::Error) -> String {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        reason = inner.to_string();
        source = inner.source();
    }
    reason
}

/// The crate's name in the symbol: the file's stem without the system's `lib`, and as an identifier.
fn symbol_part(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let stem = stem.strip_prefix(std::env::consts::DLL_PREFIX).unwrap_or(&stem);
    stem.replace('-', "_")
}
