//! The little of JSON Schema that settings and arguments may use: what it lets through, and values that fit.

use serde_json::{Map, Value, json};

use super::base::MODEL;

/// The words that a schema may use.
pub(super) const WORDS: [&str; 12] = [
    "type",
    "properties",
    "additionalProperties",
    "items",
    "enum",
    "default",
    "minimum",
    "maximum",
    "pattern",
    "title",
    "description",
    "required",
];

const TYPES: [&str; 6] = ["object", "array", "string", "number", "integer", "boolean"];

/// Whether a schema is one, and its defaults keep it. The error names the place.
pub(super) fn check(at: &str, schema: &Value) -> Result<(), String> {
    let object = schema.as_object().ok_or_else(|| format!("`{at}` is no object"))?;
    for word in object.keys() {
        if !WORDS.contains(&word.as_str()) {
            return Err(format!("`{at}` has the word `{word}`; there is {}", WORDS.join(", ")));
        }
    }
    if let Some(kind) = object.get("type")
        && !kind.as_str().is_some_and(|kind| TYPES.contains(&kind))
    {
        return Err(format!("`{at}.type` is {kind}; there is {}", TYPES.join(", ")));
    }
    let mut names = Vec::new();
    if let Some(properties) = object.get("properties") {
        let properties = properties.as_object().ok_or_else(|| format!("`{at}.properties` is no object"))?;
        for (name, schema) in properties {
            names.push(name.as_str());
            check(&format!("{at}.{name}"), schema)?;
        }
    }
    for name in texts(object.get("required")) {
        if !names.contains(&name) {
            return Err(format!("`{at}` requires `{name}`, which is not among its properties"));
        }
    }
    if let Some(items) = object.get("items") {
        check(&format!("{at}.items"), items)?;
    }
    if let Some(more @ Value::Object(_)) = object.get("additionalProperties") {
        check(&format!("{at}.additionalProperties"), more)?;
    }
    if let Some(default) = object.get("default") {
        fits(at, schema, default).map_err(|why| format!("the default of {why}"))?;
    }
    Ok(())
}

/// Whether a value keeps a schema. `pattern` is not looked at: this crate has no regular expressions.
pub(super) fn fits(at: &str, schema: &Value, value: &Value) -> Result<(), String> {
    let right = match schema.get("type").and_then(Value::as_str) {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("number") => value.is_number(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("boolean") => value.is_boolean(),
        _ => true,
    };
    if !right {
        return Err(format!("`{at}` is {value}, not of its `type`"));
    }
    if let Some(all) = schema.get("enum").and_then(Value::as_array)
        && !all.contains(value)
    {
        return Err(format!("`{at}` is {value}, not in its `enum`"));
    }
    if let Some(number) = value.as_f64() {
        let bound = |word: &str| schema.get(word).and_then(Value::as_f64);
        if bound("minimum").is_some_and(|least| number < least) || bound("maximum").is_some_and(|most| number > most) {
            return Err(format!("`{at}` is {value}, beyond its bounds"));
        }
    }
    match value {
        Value::Object(object) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            for (name, value) in object {
                let at = format!("{at}.{name}");
                match (properties.and_then(|all| all.get(name)), schema.get("additionalProperties")) {
                    (Some(schema), _) => fits(&at, schema, value)?,
                    (None, Some(Value::Bool(false))) => return Err(format!("`{at}` is not among the properties")),
                    (None, Some(schema @ Value::Object(_))) => fits(&at, schema, value)?,
                    _ => {}
                }
            }
            match texts(schema.get("required")).find(|name| !object.contains_key(*name)) {
                Some(name) => Err(format!("`{at}` lacks `{name}`")),
                None => Ok(()),
            }
        }
        Value::Array(list) => match schema.get("items") {
            Some(items) => list.iter().enumerate().try_for_each(|(i, value)| fits(&format!("{at}.{i}"), items, value)),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The defaults of an object's properties, inner ones too.
pub(super) fn defaults(schema: &Value) -> Map<String, Value> {
    let mut object = schema.get("default").and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if object.contains_key(name) {
            continue;
        }
        if let Some(default) = schema.get("default") {
            object.insert(name.clone(), default.clone());
        }
    }
    object
}

/// An object that fits: what is required, and texts that name a model.
pub(super) fn sample(schema: &Value) -> Map<String, Value> {
    let mut object = defaults(schema);
    let properties = schema.get("properties").and_then(Value::as_object);
    for name in texts(schema.get("required")) {
        if let Some(schema) = properties.and_then(|all| all.get(name)) {
            object.insert(name.to_owned(), sample_of(schema));
        }
    }
    object
}

fn sample_of(schema: &Value) -> Value {
    if let Some(value) = schema.get("default") {
        return value.clone();
    }
    if let Some(first) = schema.get("enum").and_then(Value::as_array).and_then(|all| all.first()) {
        return first.clone();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => Value::Object(sample(schema)),
        Some("array") => json!([]),
        Some("number" | "integer") => schema.get("minimum").or(schema.get("maximum")).cloned().unwrap_or(json!(1)),
        Some("boolean") => json!(true),
        _ => json!(MODEL),
    }
}

fn texts(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_held_against_its_own_defaults() {
        let schema = json!({"type":"object","additionalProperties":false,"required":["n"],"properties":{
            "n":{"type":"integer","minimum":1,"default":3},"s":{"type":"string","enum":["a","b"]}}});
        assert_eq!(check("settings", &schema), Ok(()));
        assert_eq!(Value::Object(defaults(&schema)), json!({"n": 3}));
        assert_eq!(Value::Object(sample(&schema)), json!({"n": 3}));
        for (wrong, told) in [
            (json!({"n": 0}), "bounds"),
            (json!({"n": "1"}), "type"),
            (json!({"n": 1, "s": "c"}), "enum"),
            (json!({"n": 1, "more": 1}), "properties"),
            (json!({}), "lacks"),
        ] {
            assert!(fits("settings", &schema, &wrong).unwrap_err().contains(told), "{wrong}");
        }
        let wrong = json!({"type":"object","properties":{"n":{"type":"integer","default":"3"}}});
        assert!(check("settings", &wrong).unwrap_err().contains("the default of `settings.n`"));
        assert!(check("settings", &json!({"anyOf": []})).unwrap_err().contains("anyOf"));
        assert!(check("settings", &json!({"required": ["x"]})).unwrap_err().contains("`x`"));
    }
}
