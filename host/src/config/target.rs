//! Reads one `[[target]]` with `[tags.TAG]` and `[defaults]` laid under it.

use std::{cell::RefCell, collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use ai_monitor_plugin_api::{event::Depth, manifest::Manifest};
use url::Url;

use super::{
    address, heal, keys,
    model::{Auth, Defaults, InferenceConfig, ProcessConfig, Target},
    problem::{Problem, Problems},
    read::{Layers, as_table},
    schema,
    tree::{Item, Node, Path, Table},
};
use crate::plugin::{Plugin, Registry, refusal};

/// The plugins that are there, by id.
pub type Backends = BTreeMap<String, Backend>;

/// What the configuration is checked against.
#[derive(Debug, Clone)]
pub struct Backend {
    pub manifest: Arc<Manifest>,
    /// `None`: its manifest alone says what its settings are.
    pub plugin: Option<Arc<Plugin>>,
}

/// What a configuration is read against.
pub struct Known<'a> {
    pub backends: Backends,
    /// Where the monitor is to run: a backend whose plugin is not there is then no mistake, if it is no slip of the
    /// pen, for the plugin may come. `None`: only a check.
    pub later: Option<&'a Registry>,
}

impl Known<'_> {
    /// These alone: any other backend is a mistake.
    pub fn only(backends: Backends) -> Known<'static> {
        Known { backends, later: None }
    }
}

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

const CHECK_INTERVAL: Duration = Duration::from_secs(30);
/// T of faults.md: how long nothing moves before work counts as stalled.
const STALL_AFTER: Duration = Duration::from_secs(10);
const POLICY: &str = "default";

/// The keys that `[defaults]`, `[tags.TAG]` and `[[target]]` share.
pub fn common(layers: &Layers<'_>) -> Defaults {
    let policy = layers.text("policy").map(|name| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
        if let (false, Some(node)) = (name.chars().all(plain), layers.find("policy")) {
            let help = "a policy is named as its file without `.lua`: small letters, digits, `_`, `-`";
            layers.problems.push(Problem::value(node, format!("{name:?} is no name of a policy")).help(help));
        }
        name.to_owned()
    });
    Defaults {
        check_interval: layers.duration("check_interval", 100 * MS..=DAY).unwrap_or(CHECK_INTERVAL),
        timeout: layers.duration("timeout", 10 * MS..=600 * SECOND),
        policy: policy.unwrap_or_else(|| POLICY.into()),
        stall_after: layers.duration("stall_after", SECOND..=DAY).unwrap_or(STALL_AFTER),
        heal: heal::read(&layers.sub("heal")),
    }
}

/// What a target is read with.
pub struct Reader<'a> {
    pub defaults: Option<&'a Table>,
    pub tags: BTreeMap<&'a str, &'a Table>,
    pub known: &'a Known<'a>,
    /// The folder that relative paths of the file start from.
    pub folder: PathBuf,
    /// Where the monitor itself listens.
    pub listen: SocketAddr,
    pub problems: &'a Problems,
    /// Names and addresses of the targets read so far.
    pub seen: RefCell<Vec<(Option<String>, Option<Url>)>>,
}

impl Reader<'_> {
    /// `None`: it lacks a part that all else rests on; the problems say which.
    pub fn target(&self, node: &Node) -> Option<Target> {
        let own_table = as_table(node, self.problems)?;
        keys::check(own_table, &keys::TARGET, self.problems);
        let own = Layers::new(vec![own_table], self.problems);
        if let Some(heal) = own.sub("heal").tables.first() {
            heal::check_keys(heal, false, &own);
        }
        let name = self.required(&own, node, "name").and_then(|_| self.name(&own));
        let url = self.required(&own, node, "url").and_then(|_| self.url(&own));
        let backend = self.required(&own, node, "backend").and_then(|_| self.backend(&own));
        let manifest = backend.map(|backend| &*backend.manifest);
        self.apart(node, name.as_deref(), url.as_ref());
        self.seen.borrow_mut().push((name.clone(), url.clone()));

        let tags = own.texts("tags").unwrap_or_default();
        let mut tables = vec![own_table];
        tables.extend(tags.iter().filter_map(|tag| self.tags.get(tag.as_str())));
        tables.extend(self.defaults);
        let common = common(&Layers::new(tables, self.problems));
        let process = self.process(&own.sub("process"), url.as_ref());
        let inference = self.inference(&own, manifest);
        let auth = self.auth(&own);
        let models = own.texts("models").unwrap_or_default();
        let enabled = own.flag("enabled").unwrap_or(true);

        let settings = own.sub("settings").tables.first().copied();
        let written = settings.into_iter().flatten().map(|(key, node)| (key.clone(), node.to_json())).collect();
        let settings_path: Path = node.path.iter().cloned().chain(["settings".to_owned()]).collect();
        let before = self.problems.len();
        let fit = |manifest: &Manifest| {
            schema::fit(manifest.settings.as_ref(), settings, &settings_path, &manifest.id, self.problems)
        };
        // Without a manifest they are checked when the plugin comes.
        let fitted = manifest.map(fit).unwrap_or_default();
        // What does not fit the schema has been told: the plugin would say the same again.
        if let Some(plugin) =
            backend.and_then(|backend| backend.plugin.as_deref()).filter(|_| self.problems.len() == before)
            && let Some(words) = refusal(plugin, &fitted)
        {
            self.problems.push(refused(&words, settings, &settings_path, &plugin.manifest().id));
        }
        Some(Target {
            name: name?,
            backend: self.may_come(&own)?,
            url: url?,
            enabled,
            tags,
            models,
            check_interval: common.check_interval,
            timeout: common.timeout,
            stall_after: common.stall_after,
            policy: common.policy,
            process,
            inference,
            heal: common.heal,
            settings: fitted,
            written,
            auth,
            found: false,
        })
    }

    fn required<'n>(&self, own: &Layers<'n>, node: &Node, key: &str) -> Option<&'n Node> {
        let found = own.find(key);
        if found.is_none() {
            let example = match key {
                "name" => "name = \"ollama\"",
                "url" => "url = \"http://127.0.0.1:11434\"",
                _ => "backend = \"ollama\"",
            };
            self.problems
                .push(Problem::key(&node.path, format!("this target has no `{key}`")).help(format!("add {example}")));
        }
        found
    }

    /// It stands in routes and file names.
    fn name(&self, own: &Layers<'_>) -> Option<String> {
        let name = own.text("name")?;
        let bad = |c: char| c.is_control() || "/\\?#%:*\"<>|".contains(c);
        if name.chars().any(bad) || name.trim() != name || name.starts_with('.') || name.chars().count() > 64 {
            let help = "at most 64 characters, none of / \\ ? # % : * \" < > |, no dot in front, no space around";
            self.problems.push(Problem::value(own.find("name")?, format!("{name:?} cannot be a name")).help(help));
            return None;
        }
        Some(name.to_owned())
    }

    /// Names and addresses are each one target's, and the monitor is none.
    fn apart(&self, node: &Node, name: Option<&str>, url: Option<&Url>) {
        let at = |key: &str| -> Path { node.path.iter().cloned().chain([key.to_owned()]).collect() };
        let seen = self.seen.borrow();
        let same_name = |other: &&str| name.is_some_and(|n| n.to_lowercase() == other.to_lowercase());
        if let Some(other) = seen.iter().filter_map(|(name, _)| name.as_deref()).find(same_name) {
            let problem = Problem::key(&at("name"), format!("a second target is named {other:?}"));
            self.problems.push(problem.help("names differ in more than capital letters"));
        }
        let Some(url) = url else { return };
        if let Some((name, Some(other))) =
            seen.iter().find(|(_, other)| other.as_ref().is_some_and(|other| address::same_server(other, url)))
        {
            let who = name.as_ref().map_or_else(|| "another target".to_owned(), |n| format!("{n:?}"));
            let mut problem = Problem::key(&at("url"), format!("this is the address of {who} too"));
            if other.host() != url.host() {
                problem = problem
                    .help("`localhost` may be either of them: write 127.0.0.1 and [::1] if they are two servers");
            }
            self.problems.push(problem.help("one server is one target"));
        }
        if address::is_own(url, self.listen) {
            let problem = Problem::key(&at("url"), format!("{} is the monitor's own address", self.listen));
            self.problems.push(problem.help("give the monitor another one, in [api] listen or with --listen"));
        }
    }

    fn url(&self, own: &Layers<'_>) -> Option<Url> {
        match address::url(own.text("url")?) {
            Ok(url) => Some(url),
            Err((reason, help)) => {
                self.problems.push(Problem::value(own.find("url")?, reason).help(help));
                None
            }
        }
    }

    fn backend(&self, own: &Layers<'_>) -> Option<&Backend> {
        let id = own.text("backend")?;
        let found = self.known.backends.get(id);
        if found.is_none() && self.may_come(own).is_none() {
            let ids: Vec<&str> = self.known.backends.keys().map(String::as_str).collect();
            let mut problem =
                Problem::value(own.find("backend")?, format!("there is no plugin for the backend {id:?}"));
            if let Some(near) = keys::nearest(id, ids.iter().copied()) {
                problem = problem.help(format!("did you mean \"{near}\"?"));
            }
            self.problems.push(problem.help(format!("plugins: {}", ids.join(", "))));
        }
        found
    }

    /// The backend's id, where its plugin is there or may still come.
    fn may_come(&self, own: &Layers<'_>) -> Option<String> {
        let id = own.text("backend")?;
        let ids = self.known.backends.keys().map(String::as_str);
        let is_there = self.known.backends.contains_key(id);
        let may_come = self.known.later.is_some_and(|registry| {
            registry.remembers(id) || (crate::plugin::is_id(id) && keys::nearest(id, ids).is_none())
        });
        (is_there || may_come).then(|| id.to_owned())
    }

    fn process(&self, layers: &Layers<'_>, url: Option<&Url>) -> ProcessConfig {
        for table in &layers.tables {
            keys::check(table, &keys::PROCESS, self.problems);
        }
        let command = self.command(layers);
        if let (Some(node), Some(url)) = (layers.find("command"), url.filter(|u| !address::is_local(u))) {
            let host = url.host_str().unwrap_or_default();
            self.problems.push(
                Problem::key(&node.path, format!("a command for a server on another machine ({host})"))
                    .help("what is elsewhere is probed and never acted on: leave the command out")
                    .help("if it is this machine, write 127.0.0.1 in `url`"),
            );
        }
        let mut env = BTreeMap::new();
        for (name, value) in layers.sub("env").tables.iter().flat_map(|t| t.iter()) {
            match &value.item {
                Item::Text(text) => _ = env.insert(name.clone(), text.clone()),
                _ => self.problems.push(
                    Problem::value(value, format!("expected a text, found {}", value.kind()))
                        .help(format!("write {name} = \"{}\"", value.to_json())),
                ),
            }
        }
        ProcessConfig { command, env, autostart: layers.flag("autostart").unwrap_or(true) }
    }

    fn command(&self, layers: &Layers<'_>) -> Option<Vec<String>> {
        let node = layers.find("command")?;
        if let Item::Text(line) = &node.item {
            let words: Vec<String> = line.split_whitespace().map(|w| format!("{w:?}")).collect();
            self.problems.push(
                Problem::value(node, "expected a list: no shell reads the command")
                    .help(format!("write command = [{}]", words.join(", "))),
            );
            return None;
        }
        let command = layers.texts("command")?;
        if command.is_empty() {
            self.problems.push(Problem::value(node, "the command is empty").help("leave it out to observe only"));
            return None;
        }
        Some(command)
    }

    fn inference(&self, own: &Layers<'_>, manifest: Option<&Manifest>) -> Option<InferenceConfig> {
        let layers = own.sub("inference");
        let table = layers.tables.first()?;
        keys::check(table, &keys::INFERENCE, self.problems);
        let every = layers.duration("every", SECOND..=30 * DAY);
        if let (Some(node), Some(manifest)) = (layers.find("every"), manifest) {
            let backend = &manifest.id;
            match manifest.probes.get(&Depth::Inference) {
                None => self.problems.push(
                    Problem::key(&node.path, format!("the plugin {backend:?} has no inference probe"))
                        .help("leave `every` out"),
                ),
                Some(probe) => {
                    if let Some(cost) = &probe.side_effect {
                        self.problems.push(
                            Problem::key(
                                &node.path,
                                format!("inference by schedule is refused for {backend:?}: it {cost}"),
                            )
                            .help("leave `every` out: inference is then asked on suspicion and after a repair"),
                        );
                    }
                }
            }
        }
        Some(InferenceConfig {
            every,
            model: layers.text("model").map(str::to_owned),
            timeout: layers.duration("timeout", 100 * MS..=HOUR),
        })
    }

    fn auth(&self, own: &Layers<'_>) -> Option<Auth> {
        let layers = own.sub("auth");
        let table = layers.tables.first()?;
        for node in table.values().filter(|n| !keys::AUTH.known.contains(&n.path.last().map_or("", String::as_str))) {
            self.problems.push(
                Problem::key(&node.path, "a secret never stands in the file")
                    .help("bearer_env = \"NAME\" reads a variable, bearer_file = \"PATH\" a file"),
            );
        }
        match (layers.text("bearer_env"), layers.text("bearer_file")) {
            (Some(_), Some(_)) => {
                let node = layers.find("bearer_file")?;
                self.problems.push(Problem::key(&node.path, "both `bearer_env` and `bearer_file`").help("keep one"));
                None
            }
            (Some(name), None) => Some(Auth::BearerEnv(name.into())),
            (None, Some(path)) => Some(Auth::BearerFile(self.folder.join(path))),
            (None, None) => {
                if table.is_empty() {
                    let path = &own.find("auth")?.path;
                    self.problems.push(Problem::key(path, "[target.auth] is empty").help("bearer_env or bearer_file"));
                }
                None
            }
        }
    }
}

/// A plugin's own words against its settings, at the place that they begin with.
fn refused(words: &str, settings: Option<&Table>, path: &Path, plugin: &str) -> Problem {
    let (place, reason) = match words.strip_prefix("settings").and_then(|rest| rest.split_once(": ")) {
        Some((place, reason)) => (place, reason),
        None => ("", words),
    };
    let mut lines = reason.lines();
    let reason = format!("the plugin {plugin:?} refuses this: {}", lines.next().unwrap_or_default());
    let mut problem = match settings.and_then(|table| node_at(table, place)) {
        Some(node) => Problem::value(node, reason),
        None => Problem::key(path, reason),
    };
    problem.help.extend(lines.map(str::to_owned));
    problem
}

/// The deepest value on the way that `.a.b` names. A key may have a dot in it.
fn node_at<'a>(table: &'a Table, place: &str) -> Option<&'a Node> {
    let rest = place.strip_prefix('.')?;
    let begins = |key: &&String| rest.strip_prefix(key.as_str()).is_some_and(|r| r.is_empty() || r.starts_with('.'));
    let key = table.keys().filter(begins).max_by_key(|key| key.len())?;
    let node = table.get(key)?;
    match &node.item {
        Item::Table(inner) => node_at(inner, &rest[key.len()..]).or(Some(node)),
        _ => Some(node),
    }
}
