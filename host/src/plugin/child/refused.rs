//! A load error on its way from the child to the host.

use std::path::Path;

use ai_monitor_plugin_api::limits::ERROR_MAX;
use serde::{Deserialize, Serialize};

use crate::plugin::{LoadError, TableError, text};

/// Why a library gives no plugin; without its path, which the host knows.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Refused {
    Open { why: String },
    NoPlugin { stem: String },
    OtherAbi { found: u32 },
    TooSmall { found: u32, wanted: usize },
    NoFunction { name: String },
    NoManifest { why: String },
}

impl Refused {
    pub(super) fn of(error: LoadError) -> Refused {
        match error {
            LoadError::NoPlugin { stem, .. } => Refused::NoPlugin { stem },
            LoadError::Table { source, .. } => match source {
                TableError::OtherAbi { found } => Refused::OtherAbi { found },
                TableError::TooSmall { found, wanted } => Refused::TooSmall { found, wanted },
                TableError::NoFunction(name) => Refused::NoFunction { name: name.into() },
                TableError::NoManifest(why) => Refused::NoManifest { why: cut(&why) },
                // The host reads the manifest.
                TableError::Manifest(error) => Refused::NoManifest { why: cut(&error.to_string()) },
            },
            LoadError::Open { why, .. } => Refused::Open { why: cut(&why) },
            // Of the host alone.
            other => Refused::Open { why: cut(&other.to_string()) },
        }
    }

    pub(super) fn into_error(self, path: &Path) -> LoadError {
        let path = path.to_owned();
        let source = match self {
            Refused::Open { why } => return LoadError::Open { path, why: cut(&why) },
            Refused::NoPlugin { stem } => return LoadError::NoPlugin { path, stem: cut(&stem) },
            Refused::OtherAbi { found } => TableError::OtherAbi { found },
            Refused::TooSmall { found, wanted } => TableError::TooSmall { found, wanted },
            Refused::NoFunction { name } => TableError::NoFunction(function(&name)),
            Refused::NoManifest { why } => TableError::NoManifest(cut(&why)),
        };
        LoadError::Table { path, source }
    }
}

/// To what a frame takes, on both sides: who answers for the child may be the plugin itself.
fn cut(text: &str) -> String {
    text::of_bytes(text.as_bytes(), ERROR_MAX)
}

/// The table's functions that must be there.
fn function(name: &str) -> &'static str {
    ["manifest", "create", "step", "destroy"].into_iter().find(|known| *known == name).unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_errors_come_back_as_they_were() {
        let path = || std::path::PathBuf::from("/plugins/moon.so");
        let table = |source| LoadError::Table { path: path(), source };
        let open = || LoadError::Open { path: path(), why: "no such file".into() };
        assert_eq!(through_the_pipe(open()), open().to_string());
        let no_plugin = || LoadError::NoPlugin { path: path(), stem: "moon".into() };
        assert_eq!(through_the_pipe(no_plugin()), no_plugin().to_string());
        for source in [
            TableError::OtherAbi { found: 7 },
            TableError::TooSmall { found: 8, wanted: 48 },
            TableError::NoFunction("create"),
            TableError::NoManifest("code 3".into()),
        ] {
            assert_eq!(through_the_pipe(table(source.clone())), table(source).to_string());
        }

        fn through_the_pipe(error: LoadError) -> String {
            let text = serde_json::to_string(&Refused::of(error)).unwrap();
            let back: Refused = serde_json::from_str(&text).unwrap();
            back.into_error(Path::new("/plugins/moon.so")).to_string()
        }
    }
}
