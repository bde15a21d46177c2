//! The plugins as they lie there while no monitor runs: nothing is loaded.

use std::{path::Path, sync::Arc};

use super::Catalogue;
use crate::{
    plugin::{PluginState, PluginView, PluginsView, Refusal, Registry, admission, folder},
    time::SystemClock,
};

/// What the folder holds, with all that can be told without opening a library.
///
/// # Errors
/// The folder is there and cannot be read.
pub fn view(folder: &Path, data: &Path) -> std::io::Result<PluginsView> {
    let clock = Arc::new(SystemClock::default());
    let catalogue = Catalogue::open(clock, Registry::bundled(), folder, data, false);
    for library in folder::scan(folder)?.into_keys() {
        match folder::check(&library) {
            Err((refusal, manifest)) => catalogue.refuse(&library, manifest, refusal),
            Ok(checked) => {
                let id = checked.manifest.id.clone();
                let refusal = match catalogue.holder(&id, &library) {
                    Some(other) => Some(Refusal::Duplicate { id: id.clone(), other }),
                    None => admission::refusal(&catalogue.store().get(&id), &checked),
                };
                match refusal {
                    Some(refusal) => catalogue.refuse(&library, Some(checked.manifest), refusal),
                    None => catalogue.loading(&library, checked.manifest),
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
