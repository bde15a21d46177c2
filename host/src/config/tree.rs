//! The layers (file, environment, flags) merged into one tree, in which every value still knows where it is from.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use figment::{
    Figment, Metadata, Profile, Provider,
    providers::Env,
    value::{Dict, Empty, Map, Num, Tag, Value},
};
use toml::de::{DeTable, DeValue};

use super::{Flags, problem::Problem};

/// Variables that start with the prefix and are no configuration keys: of the build, the tests and the flags.
const NOT_KEYS: &[&str] = &[
    "dashboard",
    "real_servers",
    "demo_faults",
    "config",
    "data_dir",
    "policy_dir",
    "plugin_dir",
    "safe_mode",
    "log_level",
];
const PREFIX: &str = "AI_MONITOR_";

/// Keys from the root; an entry of a list has its index as its key.
pub type Path = Vec<String>;
pub type Table = BTreeMap<String, Node>;

/// One value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub path: Path,
    pub item: Item,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    Text(String),
    Whole(i64),
    Real(f64),
    Bool(bool),
    List(Vec<Node>),
    Table(Table),
}

impl Node {
    /// What it is, in words: "a number".
    pub fn kind(&self) -> &'static str {
        match self.item {
            Item::Text(_) => "a text",
            Item::Whole(_) | Item::Real(_) => "a number",
            Item::Bool(_) => "true or false",
            Item::List(_) => "a list",
            Item::Table(_) => "a table",
        }
    }

    /// The same as JSON, for what plugins and policies check themselves.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.item {
            Item::Text(s) => s.as_str().into(),
            Item::Whole(n) => (*n).into(),
            Item::Real(n) => (*n).into(),
            Item::Bool(b) => (*b).into(),
            Item::List(l) => l.iter().map(Node::to_json).collect(),
            Item::Table(t) => serde_json::Value::Object(t.iter().map(|(k, v)| (k.clone(), v.to_json())).collect()),
        }
    }
}

/// A JSON object as a table at this path; `null` is as if it was not there, as TOML has none.
pub fn of_json(object: &serde_json::Map<String, serde_json::Value>, path: &Path) -> Table {
    let node = |key: String, value: &serde_json::Value| {
        let path: Path = path.iter().cloned().chain([key.clone()]).collect();
        Some((key, Node { item: item(value, &path)?, path }))
    };
    object.iter().filter_map(|(key, value)| node(key.clone(), value)).collect()
}

fn item(value: &serde_json::Value, path: &Path) -> Option<Item> {
    use serde_json::Value;
    Some(match value {
        Value::Null => return None,
        Value::Bool(b) => Item::Bool(*b),
        Value::Number(n) => n.as_i64().map_or_else(|| Item::Real(n.as_f64().unwrap_or(f64::NAN)), Item::Whole),
        Value::String(s) => Item::Text(s.clone()),
        Value::Object(object) => Item::Table(of_json(object, path)),
        Value::Array(entries) => {
            let at = |i: usize| -> Path { path.iter().cloned().chain([i.to_string()]).collect() };
            let node = |(i, value)| Some(Node { item: item(value, &at(i))?, path: at(i) });
            Item::List(entries.iter().enumerate().filter_map(node).collect())
        }
    })
}

/// Where a value stands in the file, in bytes.
#[derive(Debug, Clone)]
pub struct Span {
    pub key: Range<usize>,
    pub value: Range<usize>,
}

/// Where each value is from.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    pub spans: HashMap<Path, Span>,
    env: Dict,
    flags: Dict,
}

/// The place of one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Bytes of the file: of the key and of the value.
    File { key: Range<usize>, value: Range<usize> },
    /// The variable's name.
    Env(String),
    /// The flag's name.
    Flag(&'static str),
    /// Nowhere: it is missing, and no table around it is written.
    Nowhere,
}

impl Origins {
    /// The origin of the value at this path; where there is none, of the nearest table around it.
    pub fn of(&self, path: &[String]) -> Origin {
        if holds(&self.flags, path) {
            return Origin::Flag("--listen");
        }
        if holds(&self.env, path) {
            return Origin::Env(format!("{PREFIX}{}", path.join("__").to_uppercase()));
        }
        (0..=path.len())
            .rev()
            .find_map(|n| self.spans.get(&path[..n]))
            .map_or(Origin::Nowhere, |s| Origin::File { key: s.key.clone(), value: s.value.clone() })
    }
}

fn holds(dict: &Dict, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    match dict.get(first) {
        None => false,
        Some(Value::Dict(_, inner)) => holds(inner, rest),
        Some(_) => true,
    }
}

/// One layer for figment: a tree that was read already.
struct Layer(&'static str, Dict);

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.0)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.1.clone()))
    }
}

/// Reads and merges the layers. `Err`: the text is no TOML, or a layer cannot be read; all of its mistakes.
pub fn read(text: &str, env: bool, flags: &Flags) -> Result<(Table, Origins), Vec<Problem>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors.iter().map(|e| Problem::syntax(e.message(), e.span().unwrap_or(0..0))).collect());
    }
    let mut origins = Origins::default();
    let file = from_toml(document.get_ref(), &mut Vec::new(), &mut origins.spans);
    if env {
        let variables = Env::prefixed(PREFIX).ignore(NOT_KEYS).split("__");
        origins.env =
            variables.data().map_err(|e| vec![Problem::elsewhere(e)])?.remove(&Profile::Default).unwrap_or_default();
    }
    if let Some(listen) = &flags.listen {
        let api = Dict::from([("listen".to_owned(), Value::from(listen.as_str()))]);
        origins.flags = Dict::from([("api".to_owned(), Value::from(api))]);
    }
    let merged: Dict = Figment::from(Layer("file", file))
        .merge(Layer("environment", origins.env.clone()))
        .merge(Layer("flags", origins.flags.clone()))
        .extract()
        .map_err(|e| vec![Problem::elsewhere(e)])?;
    Ok((table(merged, &mut Vec::new()), origins))
}

fn from_toml(toml: &DeTable<'_>, path: &mut Path, spans: &mut HashMap<Path, Span>) -> Dict {
    let mut dict = Dict::new();
    for (key, value) in toml {
        path.push(key.get_ref().to_string());
        let value = value_of(value.get_ref(), key.span(), value.span(), path, spans);
        path.pop();
        dict.insert(key.get_ref().to_string(), value);
    }
    dict
}

fn value_of(
    value: &DeValue<'_>,
    key: Range<usize>,
    span: Range<usize>,
    path: &mut Path,
    spans: &mut HashMap<Path, Span>,
) -> Value {
    spans.insert(path.clone(), Span { key, value: span.clone() });
    match value {
        DeValue::String(s) => Value::from(s.as_ref()),
        DeValue::Boolean(b) => Value::from(*b),
        // A number beyond 64 bits stays a text, and is refused as one.
        DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
            Ok(n) => Value::from(n),
            Err(_) => Value::from(n.as_str()),
        },
        DeValue::Float(n) => match n.as_str().parse::<f64>() {
            Ok(n) => Value::from(n),
            Err(_) => Value::from(n.as_str()),
        },
        DeValue::Datetime(d) => Value::from(d.to_string()),
        DeValue::Array(entries) => {
            let entries = entries.iter().enumerate().map(|(i, entry)| {
                path.push(i.to_string());
                let value = value_of(entry.get_ref(), entry.span(), entry.span(), path, spans);
                path.pop();
                value
            });
            Value::Array(Tag::Default, entries.collect())
        }
        DeValue::Table(t) => Value::Dict(Tag::Default, from_toml(t, path, spans)),
    }
}

fn table(dict: Dict, path: &mut Path) -> Table {
    dict.into_iter()
        .filter_map(|(key, value)| {
            path.push(key.clone());
            let node = node(value, path);
            path.pop();
            Some((key, node?))
        })
        .collect()
}

fn node(value: Value, path: &mut Path) -> Option<Node> {
    let item = match value {
        Value::String(_, s) => Item::Text(s),
        Value::Char(_, c) => Item::Text(c.to_string()),
        Value::Bool(_, b) => Item::Bool(b),
        Value::Num(_, Num::F32(n)) => Item::Real(n.into()),
        Value::Num(_, Num::F64(n)) => Item::Real(n),
        Value::Num(_, n) => match n.to_i128().or_else(|| n.to_u128().and_then(|n| n.try_into().ok())) {
            Some(n) => Item::Whole(n.clamp(i64::MIN.into(), i64::MAX.into()) as i64),
            None => Item::Text("a number out of range".into()),
        },
        Value::Empty(_, Empty::None | Empty::Unit) => return None,
        Value::Dict(_, d) => Item::Table(table(d, path)),
        Value::Array(_, entries) => {
            let nodes = entries.into_iter().enumerate().filter_map(|(i, v)| {
                path.push(i.to_string());
                let node = node(v, path);
                path.pop();
                node
            });
            Item::List(nodes.collect())
        }
    };
    Some(Node { path: path.clone(), item })
}
