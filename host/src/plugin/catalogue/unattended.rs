//! The plugins as they lie there while no monitor runs: nothing is loaded.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::Catalogue;
use crate::{
    plugin::{PluginState, PluginView, PluginsView, Refusal, Registry, Store, StoreError, admission, folder},
    time::SystemClock,
};

/// What is there is not known.
#[derive(Debug, thiserror::Error)]
pub enum UnattendedError {
    #[error("the plugin folder {} cannot be read: {source}; make it readable for this user", path.display())]
    Folder { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the folder holds, with all that can be told without opening a library. Nothing is changed.
///
/// # Errors
/// The folder, or what is kept of it, is there and cannot be read.
pub fn view(folder: &Path, data: &Path) -> Result<PluginsView, UnattendedError> {
    let clock = Arc::new(SystemClock::default());
    let catalogue = Catalogue::with_store(clock, Registry::bundled(), folder, Store::read(data)?, false);
    let found = folder::scan(folder);
    for library in found.map_err(|source| UnattendedError::Folder { path: folder.to_owned(), source })?.into_keys() {
        match folder::check(&library) {
            Err(rejected) => catalogue.reject(&library, rejected),
            Ok(checked) => {
                let id = checked.manifest.id.clone();
                let refusal = match catalogue.holder(&id, &library) {
                    Some(other) => Some(Refusal::Duplicate { id: id.clone(), other }),
                    None => admission::refusal(&catalogue.store().get(&id), &checked),
                };
                match refusal {
                    Some(refusal) => catalogue.reject(&library, checked.rejected(refusal)),
                    None => catalogue.loading(&library, checked.manifest, &checked.hash),
                }
            }
        }
    }
    let mut view = catalogue.view(std::iter::empty());
    for plugin in &mut view.plugins {
        as_it_lies(plugin, &catalogue);
    }
    Ok(view)
}

fn as_it_lies(plugin: &mut PluginView, catalogue: &Catalogue) {
    if plugin.state != PluginState::Loading {
        return;
    }
    plugin.state = PluginState::NotLoaded;
    let replaces = catalogue.state().bundled.get(&plugin.id).is_some();
    plugin.why = match replaces {
        true => "it will be used in place of the bundled one when ai-monitor runs".into(),
        false => "it will be loaded when ai-monitor runs".into(),
    };
}
