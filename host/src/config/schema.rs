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
    let empty = Map::new();
    let properties = schema.and_then(|s| s.get("properties")).and_then(Value::as_object).unwrap_or(&empty);
    let nothing = Table::new();
    let table = table.unwrap_or(&nothing);
    for (key, node) in table.iter().filter(|(key, _)| !properties.contains_key(*key)) {
        if schema.and_then(|s| s.get("additionalProperties")) == Some(&Value::Bool(true)) {
            continue;
        }
        let names: Vec<&str> = properties.keys().map(String::as_str).collect();
        let mut problem = Problem::key(&node.path, format!("the plugin {plugin:?} has no setting `{key}`"));
        if let Some(near) = keys::nearest(key, names.iter().copied()) {
            problem = problem.help(format!("did you mean `{near}`?"));
        }
        problems.push(problem.help(match names.is_empty() {
            true => "it has no settings".to_owned(),
            false => format!("its settings: {}", names.join(", ")),
        }));
    }
    for name in schema.and_then(|s| s.get("required")).and_then(Value::as_array).into_iter().flatten() {
        if let Some(name) = name.as_str().filter(|n| !table.contains_key(*n)) {
            problems.push(Problem::key(path, format!("the plugin {plugin:?} needs the setting `{name}`")));
        }
    }
    let mut settings = Map::new();
    for (name, schema) in properties {
        let value = match table.get(name) {
            Some(node) => value(schema, node, problems).then(|| node.to_json()),
            None => default(schema),
        };
        if let Some(value) = value {
            settings.insert(name.clone(), value);
        }
    }
    for (key, node) in table.iter().filter(|(key, _)| !properties.contains_key(*key)) {
        settings.insert(key.clone(), node.to_json());
    }
    settings
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

/// Does the value fit? What does not is a problem.
fn value(schema: &Value, node: &Node, problems: &Problems) -> bool {
    let refuse = |reason: String, help: Option<String>| {
        let problem = Problem::value(node, reason);
        problems.push(match help {
            Some(help) => problem.help(help),
            None => problem,
        });
        false
    };
    let expected = schema.get("type").and_then(Value::as_str).unwrap_or("any");
    let right_type = match (expected, &node.item) {
        ("string", Item::Text(_)) | ("integer" | "number", Item::Whole(_)) | ("number", Item::Real(_)) => true,
        ("boolean", Item::Bool(_)) | ("array", Item::List(_)) | ("object", Item::Table(_)) => true,
        (other, _) => !matches!(other, "string" | "integer" | "number" | "boolean" | "array" | "object"),
    };
    if !right_type {
        return refuse(format!("expected {expected}, found {}", node.kind()), None);
    }
    let json = node.to_json();
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array).filter(|a| !a.contains(&json)) {
        let words: Vec<String> = allowed.iter().map(Value::to_string).collect();
        return refuse(format!("{json} is not allowed here"), Some(format!("one of: {}", words.join(", "))));
    }
    if let Some(n) = json.as_f64() {
        let bound = |key| schema.get(key).and_then(Value::as_f64);
        if bound("minimum").is_some_and(|min| n < min) || bound("maximum").is_some_and(|max| n > max) {
            let show = |key| schema.get(key).map_or_else(|| "any".to_owned(), Value::to_string);
            return refuse(
                format!("{json} is out of range"),
                Some(format!("from {} to {}", show("minimum"), show("maximum"))),
            );
        }
    }
    match &node.item {
        Item::Text(text) => match schema.get("pattern").and_then(Value::as_str).map(regex::Regex::new) {
            // A pattern that is none is the plugin's mistake, told when the plugin is loaded.
            Some(Ok(pattern)) if !pattern.is_match(text) => {
                refuse(format!("{text:?} has not the right form"), Some(format!("it must match {}", pattern.as_str())))
            }
            _ => true,
        },
        Item::List(entries) => match schema.get("items") {
            // All are looked at, so that all mistakes are told.
            Some(items) => entries.iter().filter(|e| !value(items, e, problems)).count() == 0,
            None => true,
        },
        Item::Table(inner) => {
            let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return true };
            let missing = schema.get("required").and_then(Value::as_array).into_iter().flatten();
            let missing: Vec<&str> = missing.filter_map(Value::as_str).filter(|n| !inner.contains_key(*n)).collect();
            let mut good = missing.is_empty();
            if !good {
                refuse(format!("missing: {}", missing.join(", ")), None);
            }
            for (key, node) in inner {
                match properties.get(key) {
                    Some(schema) => good &= value(schema, node, problems),
                    None if schema.get("additionalProperties") == Some(&Value::Bool(false)) => {
                        problems.push(Problem::key(&node.path, format!("unknown key `{key}`")));
                        good = false;
                    }
                    None => {}
                }
            }
            good
        }
        _ => true,
    }
}
