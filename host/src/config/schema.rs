//! A plugin's settings against the part of JSON Schema that manifests may use; defaults are filled in.

use serde_json::{Map, Value};

use super::{
    keys,
    problem::{Problem, Problems},
    tree::{Item, Node, Path, Table},
};

/// What a target without settings of its own gets: the defaults of the schema.
pub fn defaults(schema: Option<&Value>) -> Map<String, Value> {
    let properties = schema.and_then(|s| s.get("properties")).and_then(Value::as_object);
    let with_default = |(key, schema): (&String, &Value)| Some((key.clone(), schema.get("default")?.clone()));
    properties.into_iter().flatten().filter_map(with_default).collect()
}

/// Checks `[target.settings]` at `path` and gives it complete. Without a schema no key is allowed.
pub fn fit(
    schema: Option<&Value>,
    table: Option<&Table>,
    path: &Path,
    plugin: &str,
    problems: &Problems,
) -> Map<String, Value> {
    let fit = Fit { plugin, problems };
    let nothing = Table::new();
    let closed = Value::Object(Map::from_iter([("additionalProperties".to_owned(), Value::Bool(false))]));
    fit.table(schema.unwrap_or(&closed), table.unwrap_or(&nothing), path, true)
}

/// The schema's default; an object without one has those of its properties.
fn default(schema: &Value) -> Option<Value> {
    if let Some(default) = schema.get("default") {
        return Some(default.clone());
    }
    let inner = schema.get("properties").and_then(Value::as_object)?;
    let filled: Map<String, Value> = inner.iter().filter_map(|(k, s)| Some((k.clone(), default(s)?))).collect();
    (!filled.is_empty()).then_some(Value::Object(filled))
}

fn is_of(kind: &str, item: &Item) -> bool {
    match (kind, item) {
        ("string", Item::Text(_)) | ("integer" | "number", Item::Whole(_)) | ("number", Item::Real(_)) => true,
        ("boolean", Item::Bool(_)) | ("array", Item::List(_)) | ("object", Item::Table(_)) => true,
        (other, _) => !matches!(other, "string" | "integer" | "number" | "boolean" | "array" | "object"),
    }
}

/// As [`Node::kind`] says it.
fn in_words(kind: &str) -> &str {
    match kind {
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a table",
        other => other,
    }
}

/// A look through one plugin's settings: what does not fit is a problem.
struct Fit<'a> {
    plugin: &'a str,
    problems: &'a Problems,
}

impl Fit<'_> {
    /// A table with the defaults of what it leaves out. `outermost`: `[target.settings]` itself.
    fn table(&self, schema: &Value, table: &Table, path: &Path, outermost: bool) -> Map<String, Value> {
        let empty = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        // Said nowhere: the outermost table is closed to what no schema names, as nobody would read it.
        let others = schema.get("additionalProperties").unwrap_or(&Value::Bool(true));
        let others =
            if outermost && schema.get("additionalProperties").is_none() { &Value::Bool(false) } else { others };
        let mut fitted = Map::new();
        for (name, schema) in properties.iter().filter(|(name, _)| !table.contains_key(*name)) {
            if let Some(default) = default(schema) {
                fitted.insert(name.clone(), default);
            }
        }
        for (key, node) in table {
            let value = match (properties.get(key), others) {
                (Some(schema), _) => self.value(schema, node),
                (None, Value::Bool(false)) => {
                    self.unknown(key, node, properties, outermost);
                    None
                }
                (None, Value::Object(_)) => self.value(others, node),
                (None, _) => Some(node.to_json()),
            };
            if let Some(value) = value {
                fitted.insert(key.clone(), value);
            }
        }
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            if let Some(name) = name.as_str().filter(|n| !table.contains_key(*n)) {
                let reason = match outermost {
                    true => format!("the plugin {:?} needs the setting `{name}`", self.plugin),
                    false => format!("`{}` needs `{name}`", path.last().map_or("", String::as_str)),
                };
                self.problems.push(Problem::key(path, reason));
            }
        }
        fitted
    }

    fn unknown(&self, key: &str, node: &Node, properties: &Map<String, Value>, outermost: bool) {
        let names: Vec<&str> = properties.keys().map(String::as_str).collect();
        let reason = match outermost {
            true => format!("the plugin {:?} has no setting `{key}`", self.plugin),
            false => format!("unknown key `{key}`"),
        };
        let mut problem = Problem::key(&node.path, reason);
        if let Some(near) = keys::nearest(key, names.iter().copied()) {
            problem = problem.help(format!("did you mean `{near}`?"));
        }
        self.problems.push(problem.help(match (names.is_empty(), outermost) {
            (true, true) => "it has no settings".to_owned(),
            (true, false) => "there are none here".to_owned(),
            (false, true) => format!("its settings: {}", names.join(", ")),
            (false, false) => format!("there are: {}", names.join(", ")),
        }));
    }

    fn refuse(&self, node: &Node, reason: String, help: Option<String>) -> Option<Value> {
        let problem = Problem::value(node, reason);
        self.problems.push(match help {
            Some(help) => problem.help(help),
            None => problem,
        });
        None
    }

    /// The value, complete; `None`: it does not fit.
    fn value(&self, schema: &Value, node: &Node) -> Option<Value> {
        if let Some(kind) = schema.get("type").and_then(Value::as_str).filter(|kind| !is_of(kind, &node.item)) {
            return self.refuse(node, format!("expected {}, found {}", in_words(kind), node.kind()), None);
        }
        let json = node.to_json();
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array).filter(|a| !a.contains(&json)) {
            let words: Vec<String> = allowed.iter().map(Value::to_string).collect();
            let help = format!("one of: {}", words.join(", "));
            return self.refuse(node, format!("{json} is not allowed here"), Some(help));
        }
        match &node.item {
            Item::Whole(_) | Item::Real(_) => self.number(schema, node, json),
            Item::Text(text) => match schema.get("pattern").and_then(Value::as_str).map(regex::Regex::new) {
                // A pattern that is none is the plugin's mistake, told when the plugin is loaded.
                Some(Ok(pattern)) if !pattern.is_match(text) => {
                    let help = format!("it must match {}", pattern.as_str());
                    self.refuse(node, format!("{text:?} has not the right form"), Some(help))
                }
                _ => Some(json),
            },
            Item::List(entries) => match schema.get("items") {
                // All are looked at, so that all mistakes are told.
                Some(items) => {
                    let fitted: Vec<Option<Value>> = entries.iter().map(|entry| self.value(items, entry)).collect();
                    fitted.into_iter().collect::<Option<Vec<Value>>>().map(Value::Array)
                }
                None => Some(json),
            },
            Item::Table(inner) => Some(Value::Object(self.table(schema, inner, &node.path, false))),
            Item::Bool(_) => Some(json),
        }
    }

    fn number(&self, schema: &Value, node: &Node, json: Value) -> Option<Value> {
        let n = json.as_f64()?;
        let bound = |key| schema.get(key).and_then(Value::as_f64);
        if bound("minimum").is_some_and(|min| n < min) || bound("maximum").is_some_and(|max| n > max) {
            let show = |key| schema.get(key).map_or_else(|| "any".to_owned(), Value::to_string);
            let help = format!("from {} to {}", show("minimum"), show("maximum"));
            return self.refuse(node, format!("{json} is out of range"), Some(help));
        }
        Some(json)
    }
}
