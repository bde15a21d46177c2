//! Loads libraries of the plugin folder, each in child processes of its own.

use std::path::Path;

use super::{Isolation, Loader, Loading, Plugin};

/// How drop-ins are loaded.
#[derive(Debug, Clone, Default)]
pub struct Libraries {
    isolation: Isolation,
}

impl Loader for Libraries {
    fn load<'a>(&'a self, library: &'a Path) -> Loading<'a> {
        Box::pin(Plugin::isolated(library, &self.isolation))
    }
}
