//! Layers, checks, messages with carets, and what is persisted.
//!
//! [`load`] merges file, environment and flags; [`check`] looks at one file alone. Both name all mistakes, each with its
//! place and with what would be right.

mod address;
mod atomic;
mod heal;
mod keys;
pub mod model;
pub mod one_monitor;
mod places;
mod policy_settings;
mod problem;
mod read;
pub(crate) mod schema;
pub mod switches;
mod target;
#[cfg(test)]
mod tests;
mod tree;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use ai_monitor_plugin_api::manifest::Manifest;
use serde_json::{Map, Value};

pub use self::{
    address::{LISTEN, is_local, same_server},
    atomic::{keep_aside, write as write_atomically, write_new},
    places::{Places, places},
    policy_settings::fit_policy_settings,
    problem::ConfigError,
    read::{parse_duration, show_duration},
};
use self::{
    model::Config,
    problem::{Mistakes, Problem, Problems},
    read::{Layers, as_table},
    target::{Backend, Backends, Known, Reader},
    tree::{Item, Table},
};
use crate::plugin::Registry;

/// The flags that all commands take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--config FILE`
    pub config: Option<PathBuf>,
    /// `--listen ADDR`, with a port.
    pub listen: Option<String>,
    /// `--data-dir DIR`
    pub data_dir: Option<PathBuf>,
    /// `--policy-dir DIR`
    pub policy_dir: Option<PathBuf>,
    /// `--plugin-dir DIR`
    pub plugin_dir: Option<PathBuf>,
    /// `--safe-mode`: bundled plugins alone.
    pub safe_mode: bool,
    /// `--log-level L`
    pub log_level: Option<String>,
}

/// A configuration to copy, for who has none. It passes [`check`].
pub fn example() -> &'static str {
    include_str!("example.toml")
}

/// The configuration from file, environment (`AI_MONITOR_DEFAULTS__TIMEOUT`) and flags; the later wins, key by key.
///
/// No file at the usual place is no error: [`Config::file`] is `None` then. A file named by a flag must be there.
pub fn load(flags: &Flags, registry: &Registry) -> Result<Config, ConfigError> {
    load_with(flags, &Known { backends: backends(registry), later: Some(registry) })
}

/// The plugin's settings of a target that is found, not configured.
pub fn default_settings(manifest: &Manifest) -> Map<String, Value> {
    schema::defaults(manifest.settings.as_ref())
}

/// `[target.settings]` as they are written against the manifest of the plugin that is there now: it may have come, or
/// been replaced, long after the configuration was read.
///
/// # Errors
/// All that does not fit, in one sentence.
pub fn fit_settings(manifest: &Manifest, written: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    let problems = Problems::default();
    let path = vec!["settings".to_owned()];
    let table = tree::of_json(written, &path);
    let fitted = schema::fit(manifest.settings.as_ref(), Some(&table), &path, &manifest.id, &problems);
    let found: Vec<String> = problems.into_inner().into_iter().map(|p| p.reason).collect();
    if found.is_empty() { Ok(fitted) } else { Err(found.join("; ")) }
}

/// The base address of a server, held to what a target's `url` is held to.
///
/// # Errors
/// What is wrong, and what would be right.
pub fn server_url(text: &str) -> Result<url::Url, String> {
    address::url(text).map_err(|(reason, help)| format!("{reason}; {help}"))
}

/// Checks one file alone, without environment and flags.
pub fn check(path: &Path, registry: &Registry) -> Result<Config, ConfigError> {
    let text = read_file(path)?;
    build(Some(path.to_owned()), &text, false, &Flags::default(), &Known::only(backends(registry)))
}

fn backends(registry: &Registry) -> Backends {
    let loaded = |id: &str, manifest: &Arc<Manifest>| {
        registry.get(id).filter(|plugin| Arc::ptr_eq(plugin.manifest(), manifest)).cloned()
    };
    let manifests = registry.manifests().into_iter();
    manifests.map(|(id, manifest)| (id.clone(), Backend { plugin: loaded(&id, &manifest), manifest })).collect()
}

fn load_with(flags: &Flags, backends: &Known<'_>) -> Result<Config, ConfigError> {
    let path = places(flags).config;
    match read_file(&path) {
        Ok(text) => build(Some(path), &text, true, flags, backends),
        Err(ConfigError::Unreadable { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound && flags.config.is_none() =>
        {
            build(None, "", true, flags, backends)
        }
        Err(error) => Err(error),
    }
}

/// More than any configuration needs; a device or a log named by mistake ends here.
const MAX_FILE: u64 = 4 * 1024 * 1024;

fn read_file(path: &Path) -> Result<String, ConfigError> {
    use std::io::Read;
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE {
        return Err(unreadable(std::io::Error::other("it is larger than 4 MiB")));
    }
    Ok(text)
}

fn build(
    file: Option<PathBuf>,
    text: &str,
    env: bool,
    flags: &Flags,
    backends: &Known<'_>,
) -> Result<Config, ConfigError> {
    let (root, origins) = match tree::read(text, env, flags) {
        Ok(read) => read,
        Err(problems) => return Err(Mistakes::new(file, text, &Default::default(), problems).into()),
    };
    let problems = Problems::default();
    let config = config(&root, file.clone(), backends, &problems);
    match problems.into_inner() {
        found if found.is_empty() => Ok(config),
        found => Err(Mistakes::new(file, text, &origins, found).into()),
    }
}

/// Reads the whole tree; with a problem noted, what it gives is not used.
fn config(root: &Table, file: Option<PathBuf>, known: &Known<'_>, problems: &Problems) -> Config {
    keys::check(root, &keys::ROOT, problems);
    let top = Layers::new(vec![root], problems);
    let listen = listen(&top.sub("api"));

    let defaults = top.sub("defaults").tables.first().copied();
    if let Some(table) = defaults {
        keys::check(table, &keys::DEFAULTS, problems);
        if let Some(heal) = top.sub("defaults").sub("heal").tables.first() {
            heal::check_keys(heal, true, &top);
        }
    }
    let mut tags = BTreeMap::new();
    for (tag, node) in top.sub("tags").tables.iter().flat_map(|t| t.iter()) {
        let Some(table) = as_table(node, problems) else { continue };
        keys::check(table, &keys::TAG, problems);
        let alone = Layers::new([table].into_iter().chain(defaults).collect(), problems);
        // Also where no target has this tag (yet): a mistake is told when it is made.
        target::common(&alone);
        if let Some(node) = table.get("heal")
            && let Some(heal) = as_table(node, problems)
        {
            heal::check_keys(heal, false, &top);
        }
        tags.insert(tag.as_str(), table);
    }

    let folder = file.as_deref().and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
    let reader = Reader { defaults, tags, known, folder, listen, problems, seen: Default::default() };
    let entries: &[tree::Node] = match root.get("target").map(|n| (n, &n.item)) {
        None => &[],
        Some((_, Item::List(entries))) => entries,
        Some((node, _)) => {
            let problem = Problem::key(&node.path, "targets are a list");
            problems
                .push(problem.help("write [[target]] with two brackets, in the file: the environment cannot name one"));
            &[]
        }
    };
    let targets = entries.iter().filter_map(|node| reader.target(node)).collect();

    let layers = Layers::new(defaults.into_iter().collect(), problems);
    let at_once = layers.sub("heal").whole("at_once", 1..=64).and_then(|n| n.try_into().ok()).unwrap_or(2);
    Config { listen, file, defaults: target::common(&layers), targets, at_once }
}

fn listen(api: &Layers<'_>) -> SocketAddr {
    for table in &api.tables {
        keys::check(table, &keys::API, api.problems);
    }
    let address = api.text("listen").map(address::listen);
    match (address, api.find("listen")) {
        (Some(Ok(address)), _) => address,
        (Some(Err((reason, help))), Some(node)) => {
            api.problems.push(Problem::value(node, reason).help(help));
            address::LISTEN
        }
        _ => address::LISTEN,
    }
}
