//! Loads libraries of the plugin folder. The one place that says in which process: for now in this one.

use std::path::Path;

use super::{LoadError, Loader, Loading, load_library};

/// How drop-ins are loaded.
#[derive(Debug, Clone, Copy)]
pub struct Libraries;

impl Loader for Libraries {
    fn load<'a>(&'a self, library: &'a Path) -> Loading<'a> {
        let path = library.to_owned();
        Box::pin(async move {
            let loading = tokio::task::spawn_blocking(move || load_library(&path)).await;
            loading.unwrap_or_else(|error| Err(LoadError::Open { path: library.to_owned(), why: error.to_string() }))
        })
    }
}
