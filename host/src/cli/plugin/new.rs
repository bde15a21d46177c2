//! `ai-monitor plugin new`: a plugin to begin with, which builds and passes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use ai_monitor_plugin_api::{limits::ID_MAX, testing};
use anyhow::{Context, bail};

use crate::plugin::{BUNDLED, is_id};

const HEADER: &str = include_str!("../../../../plugin-api/include/ai_monitor_plugin.h");
const EXAMPLE_C: &str = include_str!("../../../../plugins/example-c/koboldcpp.c");
const EXAMPLE_C_MANIFEST: &str = include_str!("../../../../plugins/example-c/koboldcpp.json");

/// The strict and the reserved words of the language: no crate can be called so.
const RUST_WORDS: [&str; 51] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];
/// Crates that every crate of a plugin has already.
const OTHER_CRATES: [&str; 7] = ["alloc", "core", "proc-macro", "std", "test", "serde-json", "ai-monitor-plugin-api"];
/// Names that no file can have on Windows.
const DEVICES: [&str; 22] = [
    "aux", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "con", "lpt1", "lpt2", "lpt3",
    "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9", "nul", "prn",
];
/// The checkout that this program was built from. On another machine it is not there.
const BUILT_FROM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct Args {
    /// The plugin's id: a letter a-z, then letters a-z, digits and `-`
    name: String,
    /// Where its folder is made
    #[arg(long, default_value = ".", value_name = "DIR")]
    path: PathBuf,
    /// In C: one file, the header, and a Makefile
    #[arg(long)]
    c: bool,
    /// A checkout of ai-monitor: the crate `ai-monitor-plugin-api` is taken from it, for it is on no registry yet
    /// [default: the checkout that this program was built from, where it is on this machine]
    #[arg(long, value_name = "DIR", env = "AI_MONITOR_SOURCE")]
    api_path: Option<PathBuf>,
}

pub(super) fn new(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(why) = unfit(&args.name, args.c) {
        bail!("a new plugin cannot be called {:?}: {why}", args.name);
    }
    let folder = args.path.join(&args.name);
    if folder.exists() {
        bail!("{} is there already: nothing was written", folder.display());
    }
    let api = if args.c { None } else { Some(plugin_api(args, Path::new(BUILT_FROM))?) };
    let files = api.as_ref().map_or_else(|| in_c(&args.name), |api| in_rust(&args.name, api));
    for (name, text) in files {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(&folder);
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    say!("{} is written; its README has the next commands.", folder.display());
    if let Some(api) = api {
        say!("It takes the crate ai-monitor-plugin-api from {}.", shown(&api));
    }
    Ok(ExitCode::SUCCESS)
}

/// Why no plugin can begin under this name, and what would be right.
fn unfit(name: &str, in_c: bool) -> Option<String> {
    let other = |why: String| Some(format!("{why}; take another, such as my-{name}"));
    if !is_id(name) || name.ends_with('-') {
        let form = "an id begins with a letter a-z, goes on with a-z, 0-9 and `-`, and ends in no `-`";
        let near = near_id(name);
        let near = if near.is_empty() { String::new() } else { format!("; {near} would be one") };
        return Some(format!("{form}{near}"));
    }
    if name.len() > ID_MAX {
        return Some(format!("it is longer than {ID_MAX} letters"));
    }
    if BUNDLED.into_iter().any(|table| testing::manifest(table).id == name) {
        let why = "a bundled plugin has that id, which a plugin of your own would replace";
        return other(format!("{why} (where you want that, change the `id` in its manifest at the end)"));
    }
    if DEVICES.contains(&name) {
        return other("Windows knows a device by that name, and no file".into());
    }
    if !in_c && RUST_WORDS.contains(&name) {
        return other("that is a word of Rust, and no crate can have it".into());
    }
    if !in_c && OTHER_CRATES.contains(&name) {
        return other("a crate that its own crate needs is called so".into());
    }
    None
}

/// `My Server` as `my-server`; empty where too little is left.
fn near_id(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let letters: String = name.chars().map(letter).collect();
    let words: Vec<&str> = letters.split('-').filter(|word| !word.is_empty()).collect();
    words.join("-").trim_start_matches(|c: char| !c.is_ascii_lowercase()).to_owned()
}

/// The folder of the crate `ai-monitor-plugin-api`.
fn plugin_api(args: &Args, built_from: &Path) -> anyhow::Result<PathBuf> {
    let Some(given) = &args.api_path else {
        return api_in(built_from).with_context(|| {
            format!(
                "the crate `ai-monitor-plugin-api` is on no registry yet, and the checkout that this ai-monitor was \
                 built from is not here. What to do: get a checkout of ai-monitor {}, and give it: \
                 ai-monitor plugin new {} --api-path CHECKOUT",
                env!("CARGO_PKG_VERSION"),
                args.name
            )
        });
    };
    api_in(given).with_context(|| {
        format!("--api-path: {} is no checkout of ai-monitor: it has no folder `plugin-api`", given.display())
    })
}

/// In a checkout, or where somebody named the folder itself.
fn api_in(checkout: &Path) -> Option<PathBuf> {
    let checkout = fs::canonicalize(checkout).ok()?;
    [checkout.join("plugin-api"), checkout].into_iter().find(|folder| folder.join("src/conformance").is_dir())
}

fn in_rust(name: &str, api: &Path) -> Vec<(String, String)> {
    let api = format!("path = {:?}", shown(api));
    let crate_name = name.replace('-', "_");
    let stem = format!("{}{crate_name}", std::env::consts::DLL_PREFIX);
    let filled = |text: &str| {
        text.replace("{{name}}", name)
            .replace("{{label}}", &label(name))
            .replace("{{crate}}", &crate_name)
            .replace("{{api}}", &api)
            .replace("{{stem}}", &stem)
            .replace("{{file}}", &format!("{stem}{}", std::env::consts::DLL_SUFFIX))
    };
    vec![
        ("Cargo.toml".into(), filled(include_str!("template/Cargo.toml.txt"))),
        ("src/manifest.json".into(), filled(include_str!("template/manifest.json.txt"))),
        ("src/lib.rs".into(), filled(include_str!("template/lib.rs.txt"))),
        ("tests/conformance.rs".into(), filled(include_str!("template/conformance.rs.txt"))),
        ("README.md".into(), filled(include_str!("template/README.rust.md.txt"))),
        (".gitignore".into(), "/target\n".into()),
    ]
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
        let in_rust = in_rust("my-server", Path::new("plugin-api"));
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
        for wrong in ["My", "a b", "../x", "", "x-", "test", "core", "fn", "serde-json", "ollama", "nul"] {
            assert!(new(&args(wrong, folder.path())).is_err(), "{wrong}");
            assert!(!folder.path().join(wrong).join("src").exists(), "{wrong}");
        }
        fs::create_dir(folder.path().join("there")).unwrap();
        assert!(new(&args("there", folder.path())).unwrap_err().to_string().contains("nothing was written"));
        new(&args("mine", folder.path())).unwrap();
        assert!(folder.path().join("mine/src/lib.rs").is_file());
    }

    #[test]
    fn why_a_name_does_not_fit_is_said_with_one_that_does() {
        for (name, why, better) in [
            ("My Server", "begins with a letter a-z", "my-server"),
            ("x-", "ends in no `-`", "x would be one"),
            ("2go", "begins with a letter a-z", "go would be one"),
            ("fn", "a word of Rust", "my-fn"),
            ("serde-json", "a crate that its own crate needs", "my-serde-json"),
            ("ollama", "a bundled plugin has that id", "my-ollama"),
            ("nul", "Windows", "my-nul"),
        ] {
            let said = unfit(name, false).unwrap_or_else(|| panic!("{name} is taken for a name"));
            assert!(said.contains(why) && said.contains(better), "{name}: {said}");
        }
        assert!(unfit("---", false).is_some_and(|said| !said.contains("would be one")));
        assert_eq!((unfit("mine", false), unfit("fn", true)), (None, None), "in C a word of Rust is a name");
    }

    #[test]
    fn the_crate_takes_the_api_from_the_checkout_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let api = |args: &Args| plugin_api(args, Path::new(BUILT_FROM));
        let here = fs::canonicalize(concat!(env!("CARGO_MANIFEST_DIR"), "/../plugin-api")).unwrap();
        let own = format!("ai-monitor-plugin-api = {{ path = {:?} }}", shown(&here));
        assert!(in_rust("mine", &here)[0].1.contains(&own));
        let default = args("mine", folder.path());
        assert_eq!(api(&default).unwrap(), here);
        for given in [here.parent().unwrap(), &here] {
            let named = Args { api_path: Some(given.to_owned()), ..default.clone() };
            assert_eq!(api(&named).unwrap(), here, "{}", given.display());
        }
        let elsewhere = plugin_api(&default, folder.path()).unwrap_err().to_string();
        assert!(elsewhere.contains("ai-monitor plugin new mine --api-path CHECKOUT"), "{elsewhere}");
        let nowhere = Args { api_path: Some(folder.path().to_owned()), ..default };
        assert!(api(&nowhere).unwrap_err().to_string().contains("is no checkout of ai-monitor"));
    }
}
