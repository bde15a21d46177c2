//! Finding, checking and loading plugins. A plugin is a C table, here or in a child process; nothing else of the host
//! touches it.

mod absent;
mod admission;
mod catalogue;
mod check;
mod child;
mod ended;
pub mod folder;
mod grants;
mod keeper;
mod load;
mod loader;
mod refusal;
mod registry;
mod sandbox;
mod session;
mod settings;
mod standing;
mod store;
mod table;
pub mod text;
mod view;
mod wanted;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use ai_monitor_plugin_api::{manifest::Manifest, table::AimPlugin};

pub use self::{
    absent::Absent,
    catalogue::{Catalogue, ManageError, view_unattended},
    check::{ManifestError, is_id, unknown_keys},
    child::{Isolation, as_plugin_child},
    ended::{Ended, Listener},
    grants::{Asks, Grants},
    keeper::{Keeper, Loader, Loading, try_library},
    load::{LoadError, load_library, open_pointer},
    loader::Libraries,
    refusal::{Problem, Refusal},
    registry::{BUNDLED, Registry},
    session::{PluginSession, StepError},
    settings::refusal,
    standing::{Failure, Held, Standing},
    store::{Kept, NotKept, Quarantine, Store, StoreError},
    table::TableError,
    view::{FileView, PluginState, PluginView, PluginsView, Source},
    wanted::{Said, Wanted},
};

pub(crate) use self::sandbox::{Tie, end_with};

/// A plugin whose table and manifest have been checked.
pub struct Plugin {
    manifest: Arc<Manifest>,
    origin: Origin,
    backing: Backing,
    listener: OnceLock<Listener>,
    /// The file that it was opened from must be there as long as it is used.
    _copy: Option<folder::PrivateCopy>,
}

/// Where a plugin came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A part of this program.
    Bundled,
    /// A library of its own; `file` as the user knows it, which may have been opened from a copy.
    DropIn { file: PathBuf },
}

/// Where a plugin's code runs.
enum Backing {
    /// In this process, through its table.
    InProcess(table::Table),
    /// In child processes.
    Isolated(Arc<child::Pool>),
}

impl Plugin {
    /// Checks a table and what its manifest says.
    pub fn from_table(table: &'static AimPlugin) -> Result<Plugin, TableError> {
        // SAFETY: a reference is a pointer to a whole table, and this one lives for ever.
        Plugin::of_table(unsafe { table::Table::checked(table)? })
    }

    fn of_table(table: table::Table) -> Result<Plugin, TableError> {
        let manifest = check::parse(&table.manifest()?)?;
        Ok(Plugin::new(manifest, Origin::Bundled, Backing::InProcess(table)))
    }

    /// Opens a library in child processes alone, each under the system's sandbox: whatever it does, it ends nothing
    /// but its own session. To be called on the runtime where its sessions will run.
    ///
    /// What it gives is used as any other plugin. Its [`Origin`] is `library`; see [`Plugin::shown_as`].
    pub async fn isolated(library: &Path, isolation: &Isolation) -> Result<Plugin, LoadError> {
        let pool = child::Pool::open(isolation.clone(), library.to_owned()).await?;
        let manifest = check::parse(pool.manifest())
            .map_err(|error| LoadError::Table { path: library.to_owned(), source: error.into() })?;
        Ok(Plugin::new(manifest, Origin::DropIn { file: library.to_owned() }, Backing::Isolated(pool)))
    }

    fn new(manifest: Manifest, origin: Origin, backing: Backing) -> Plugin {
        Plugin { manifest: Arc::new(manifest), origin, backing, listener: OnceLock::new(), _copy: None }
    }

    /// The file as the user knows it, where the library was opened from a copy.
    pub fn shown_as(mut self, file: PathBuf) -> Plugin {
        self.origin = Origin::DropIn { file };
        self
    }

    /// Does its code run in this process?
    pub fn is_in_process(&self) -> bool {
        matches!(self.backing, Backing::InProcess(_))
    }

    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// A new session. It goes on with this plugin even where the registry gets another one of the same id.
    pub async fn session(&self) -> Result<PluginSession, StepError> {
        match &self.backing {
            Backing::InProcess(table) => PluginSession::in_process(table),
            Backing::Isolated(pool) => PluginSession::isolated(pool).await,
        }
    }

    /// From now on `listener` is told how each of its sessions ended. Only the first one is.
    pub fn listen(&self, listener: Listener) {
        let _ = self.listener.set(listener);
    }

    /// A session of it ended.
    pub fn ended(&self, ended: &Ended<'_>) {
        if let Some(listener) = self.listener.get() {
            listener(ended);
        }
    }

    /// One whose manifest is this; its sessions are a bundled plugin's.
    #[cfg(test)]
    pub(crate) fn of_test(manifest: Manifest) -> Plugin {
        let plugin = Plugin::from_table(&ai_monitor_ollama::PLUGIN).unwrap();
        Plugin { manifest: Arc::new(manifest), ..plugin }
    }

    fn holding(mut self, copy: folder::PrivateCopy) -> Plugin {
        self._copy = Some(copy);
        self
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("id", &self.manifest.id).field("version", &self.manifest.version).finish()
    }
}

#[cfg(test)]
mod tests;
