//! `ai-monitor plugin new`: a plugin to begin with, which builds and passes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};

use crate::plugin::is_id;

const HEADER: &str = include_str!("../../../../plugin-api/include/ai_monitor_plugin.h");
const EXAMPLE_C: &str = include_str!("../../../../plugins/example-c/koboldcpp.c");
const EXAMPLE_C_MANIFEST: &str = include_str!("../../../../plugins/example-c/koboldcpp.json");

/// Words of the language and its standard crates: a crate of this name cannot be built.
const TAKEN: [&str; 8] = ["test", "std", "core", "alloc", "self", "super", "crate", "proc-macro"];

#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct Args {
    /// The plugin's id: letters a-z, digits and `-`
    name: String,
    /// Where its folder is made
    #[arg(long, default_value = ".", value_name = "DIR")]
    path: PathBuf,
    /// In C: one file, the header, and a Makefile
    #[arg(long)]
    c: bool,
    /// A checkout of ai-monitor, whose `plugin-api` the crate is to use [default: the crate of this version]
    #[arg(long, value_name = "DIR", env = "AI_MONITOR_SOURCE")]
    api_path: Option<PathBuf>,
}

pub(super) fn new(args: &Args) -> anyhow::Result<ExitCode> {
    if !is_id(&args.name) || args.name.ends_with('-') || TAKEN.contains(&args.name.as_str()) {
        bail!(
            "{:?} cannot be a plugin's id: it must begin with a letter a-z and go on with a-z, 0-9 and `-`",
            args.name
        );
    }
    let folder = args.path.join(&args.name);
    if folder.exists() {
        bail!("{} is there already: nothing was written", folder.display());
    }
    let files = if args.c { in_c(&args.name) } else { in_rust(args)? };
    for (name, text) in files {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(&folder);
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    say!("{} is written; its README has the next three commands.", folder.display());
    Ok(ExitCode::SUCCESS)
}

fn in_rust(args: &Args) -> anyhow::Result<Vec<(String, String)>> {
    let (api, comment) = match &args.api_path {
        Some(path) => {
            let path = fs::canonicalize(path).with_context(|| format!("cannot find {}", path.display()))?;
            let inside = path.join("plugin-api");
            let path = if inside.is_dir() { inside } else { path };
            if !path.join("src/conformance").is_dir() {
                bail!("{} is no checkout of ai-monitor: it has no folder `plugin-api`", path.display());
            }
            (format!("path = {:?}", shown(&path)), "Of a checkout; `version = \"…\"` takes it from the registry.")
        }
        None => (
            format!("version = {:?}", env!("CARGO_PKG_VERSION")),
            "Not on a registry yet? Then put `path = \"…/ai-monitor/plugin-api\"`, of a checkout, in place of the version.",
        ),
    };
    let crate_name = args.name.replace('-', "_");
    let stem = format!("{}{crate_name}", std::env::consts::DLL_PREFIX);
    let filled = |text: &str| {
        text.replace("{{name}}", &args.name)
            .replace("{{label}}", &label(&args.name))
            .replace("{{crate}}", &crate_name)
            .replace("{{api}}", &api)
            .replace("{{api_comment}}", comment)
            .replace("{{stem}}", &stem)
            .replace("{{file}}", &format!("{stem}{}", std::env::consts::DLL_SUFFIX))
    };
    Ok(vec![
        ("Cargo.toml".into(), filled(include_str!("template/Cargo.toml.txt"))),
        ("src/manifest.json".into(), filled(include_str!("template/manifest.json.txt"))),
        ("src/lib.rs".into(), filled(include_str!("template/lib.rs.txt"))),
        ("tests/conformance.rs".into(), filled(include_str!("template/conformance.rs.txt"))),
        ("README.md".into(), filled(include_str!("template/README.rust.md.txt"))),
        (".gitignore".into(), "/target\n".into()),
    ])
}

fn in_c(name: &str) -> Vec<(String, String)> {
    let label = label(name);
    let named = |text: &str| {
        let mut text = text.replace("-I ../../plugin-api/include", "-I .");
        for end in ["c", "so", "dylib", "dll", "json"] {
            text = text.replace(&format!("koboldcpp.{end}"), &format!("{name}.{end}"));
        }
        // In the manifest's file, and in the C text, which escapes its quotes.
        for quote in ["\"", "\\\""] {
            let pair = |key: &str, value: &str| format!("{quote}{key}{quote}: {quote}{value}{quote}");
            text = text.replace(&pair("id", "koboldcpp"), &pair("id", name));
            text = text.replace(&pair("label", "KoboldCpp"), &pair("label", &label));
        }
        text
    };
    let filled = |text: &str| text.replace("{{name}}", name).replace("{{label}}", &label);
    vec![
        (format!("{name}.c"), named(EXAMPLE_C)),
        (format!("{name}.json"), named(EXAMPLE_C_MANIFEST)),
        ("ai_monitor_plugin.h".into(), HEADER.into()),
        ("Makefile".into(), filled(include_str!("template/Makefile.txt"))),
        ("README.md".into(), filled(include_str!("template/README.c.md.txt"))),
    ]
}

/// `my-server` as `My server`.
fn label(name: &str) -> String {
    let words = name.replace('-', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

/// As TOML takes it on every system.
fn shown(path: &Path) -> String {
    path.display().to_string().trim_start_matches(r"\\?\").replace('\\', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(name: &str, path: &Path) -> Args {
        Args { name: name.into(), path: path.to_owned(), c: false, api_path: None }
    }

    #[test]
    fn nothing_is_left_to_be_filled_in() {
        let folder = tempfile::tempdir().unwrap();
        let in_rust = in_rust(&args("my-server", folder.path())).unwrap();
        for (name, text) in in_rust.iter().chain(&in_c("my-server")) {
            assert!(!text.contains("{{"), "{name}: {text}");
        }
        let c = &in_c("my-server")[0].1;
        assert!(c.contains(r#"\"id\": \"my-server\""#) && c.contains(r#"\"label\": \"My server\""#));
        assert!(!c.contains("plugin-api/include"));
    }

    #[test]
    fn a_name_that_is_no_id_and_a_folder_that_is_there_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for wrong in ["My", "a b", "../x", "", "test", "x-"] {
            assert!(new(&args(wrong, folder.path())).is_err(), "{wrong}");
        }
        fs::create_dir(folder.path().join("there")).unwrap();
        assert!(new(&args("there", folder.path())).unwrap_err().to_string().contains("nothing was written"));
        new(&args("mine", folder.path())).unwrap();
        assert!(folder.path().join("mine/src/lib.rs").is_file());
    }
}
