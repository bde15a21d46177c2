//! The JSON Schemas of the contract's texts, generated from these types and kept as golden files: they change only on
//! purpose, and within contract 1 only by addition.
//!
//! `AI_MONITOR_UPDATE_GOLDEN=1 cargo test -p ai-monitor-plugin-api golden` writes them anew.

use std::{fs, path::Path};

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde_json::{Map, Value};

use crate::{
    effect::Effect,
    event::Event,
    manifest::Manifest,
    report::{RepairReport, Report},
    table::CONTRACT,
};

#[test]
fn the_schemas_are_as_they_were_promised() {
    kept("manifest", schema::<Manifest>());
    kept("event", schema::<Event>());
    kept("effect", schema::<Effect>());
    kept("report", schema::<Report>());
    kept("repair-report", schema::<RepairReport>());
}

#[test]
fn every_key_is_described() {
    fn look(at: &str, value: &Value, silent: &mut Vec<String>) {
        if let Some(properties) = value.get("properties").and_then(Value::as_object) {
            let tag = |property: &Value| property.get("const").is_some_and(Value::is_string);
            let silent_ones = properties.iter().filter(|(_, p)| p.get("description").is_none() && !tag(p));
            silent.extend(silent_ones.map(|(key, _)| format!("{at}.{key}")));
        }
        match value {
            Value::Object(object) => object.iter().for_each(|(key, value)| look(&format!("{at}/{key}"), value, silent)),
            Value::Array(array) => array.iter().for_each(|value| look(at, value, silent)),
            _ => {}
        }
    }
    let mut silent = Vec::new();
    for schema in
        [schema::<Manifest>(), schema::<Event>(), schema::<Effect>(), schema::<Report>(), schema::<RepairReport>()]
    {
        look("", &schema, &mut silent);
    }
    assert_eq!(silent, Vec::<String>::new(), "a doc comment is what a reader of the schema gets");
}

/// What a route is, as a regular expression: see [`crate::route::Route`]. The path is visible ASCII without `*` and `?`.
pub(crate) const ROUTE: &str = r"^(local )?(\* \*|(GET|HEAD|POST) /[!-)+->@-~]*\*?)$";

/// Compares a schema with its golden file, or writes the file where that is asked for.
fn kept(name: &str, schema: Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{name}.schema.json"));
    let now = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
    if std::env::var_os("AI_MONITOR_UPDATE_GOLDEN").is_some() {
        fs::write(&path, &now).unwrap();
    }
    let promised = fs::read_to_string(&path).unwrap_or_default();
    let differ = promised.lines().zip(now.lines()).position(|(promised, now)| promised != now);
    assert!(
        promised == now,
        "{} is not what the types say (first at line {}). docs/plugins/promise.md tells what may change in contract 1; \
         if this is such a change, write the file anew with\n    \
         AI_MONITOR_UPDATE_GOLDEN=1 cargo test -p ai-monitor-plugin-api golden",
        path.display(),
        differ.unwrap_or_else(|| promised.lines().count().min(now.lines().count())) + 1,
    );
}

/// The schema of a type, in a form that does not depend on how this crate was built.
fn schema<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<T>();
    schema.insert(
        "$comment".into(),
        format!("Generated from the types of contract {CONTRACT}. Keys that are not named are ignored.").into(),
    );
    absent_is_null(&mut schema);
    sorted(schema.to_value())
}

/// Rule 4 of the contract: what may be absent may be `null`, and means the same. serde's own `null` defaults say no
/// more than that.
fn absent_is_null(schema: &mut Schema) {
    schemars::transform::transform_subschemas(&mut absent_is_null, schema);
    let required: Vec<String> = match schema.get("required") {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(String::from).collect(),
        _ => Vec::new(),
    };
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    for (name, property) in properties.iter_mut() {
        let Value::Object(property) = property else { continue };
        if property.get("default").is_some_and(Value::is_null) {
            property.remove("default");
        }
        // A tag of an enum is required by the schema beside it.
        if required.contains(name) || property.contains_key("const") {
            continue;
        }
        if let Some(kind @ Value::String(_)) = property.get_mut("type") {
            *kind = Value::Array(vec![kind.take(), "null".into()]);
        } else if let Some(reference) = property.remove("$ref") {
            property.insert("anyOf".into(), serde_json::json!([{ "$ref": reference }, { "type": "null" }]));
        }
    }
}

/// Keys in alphabetical order, whether serde_json keeps an order or not.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<_> = object
                .into_iter()
                .map(|(key, value)| match value {
                    // A comment's lines are as wide as our sources, not as the reader's page.
                    Value::String(text) if key == "description" => (key, text.replace('\n', " ").into()),
                    value => (key, sorted(value)),
                })
                .collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(Map::from_iter(entries))
        }
        Value::Array(array) => array.into_iter().map(sorted).collect(),
        other => other,
    }
}
