//! A policy's settings: the two that every policy reads, and its own, whose defaults give the types.

use jiff::{SpanRelativeTo, Unit};
use mlua::Value as Lua;
use serde_json::{Map, Value, json};

use super::{
    acts::{number, numeric},
    error::PolicyError,
    suggest::did_you_mean,
};
use crate::config::model::HealSettings;

/// What Lua reads of `[*.heal]`; the rest belongs to guards and is not shown.
const SHARED: [&str; 2] = ["grace", "attempts"];

/// The settings that a policy starts with: `grace` (s), `attempts`, and what is set of its own.
pub fn of_target(heal: &HealSettings) -> Value {
    let mut all = heal.policy.clone();
    all.insert("grace".into(), number(heal.grace.as_secs_f64()));
    all.insert("attempts".into(), heal.attempts.into());
    Value::Object(all)
}

/// The shared settings as given, or their defaults.
pub fn shared(given: &Map<String, Value>) -> Map<String, Value> {
    let default = HealSettings::default();
    let or = |key: &str, default: Value| given.get(key).filter(|v| v.is_number()).cloned().unwrap_or(default);
    Map::from_iter([
        ("grace".to_owned(), or("grace", number(default.grace.as_secs_f64()))),
        ("attempts".to_owned(), or("attempts", json!(default.attempts))),
    ])
}

/// The `settings` table of a `policy { … }` call, as defaults. `Err`: what is wrong, in words.
pub fn declared(table: &mlua::Table) -> Result<Map<String, Value>, String> {
    let mut defaults = Map::new();
    for pair in table.pairs::<Lua, Lua>() {
        let (key, value) = pair.map_err(|e| e.to_string())?;
        let Lua::String(key) = key else { return Err("settings are named: settings = { idle = 30 * minute }".into()) };
        let key = key.to_string_lossy();
        if SHARED.contains(&key.as_str()) {
            return Err(format!("the setting '{key}' is every policy's already: give yours another name"));
        }
        let value = default_value(&value).ok_or_else(|| {
            format!("the default of '{key}' must be a number, a text, true or false, or a list of these")
        })?;
        defaults.insert(key, value);
    }
    Ok(defaults)
}

fn default_value(value: &Lua) -> Option<Value> {
    match value {
        Lua::Boolean(b) => Some(Value::Bool(*b)),
        Lua::String(s) => Some(Value::String(s.to_str().ok()?.to_owned())),
        Lua::Table(list) => {
            let length = list.raw_len();
            if list.pairs::<Lua, Lua>().count() != length {
                return None;
            }
            list.sequence_values::<Lua>().map(|entry| default_value(&entry.ok()?).filter(|v| !v.is_array())).collect()
        }
        other => numeric(other).filter(|n| n.is_finite()).map(number),
    }
}

/// The given value in the type of the default; a number takes `"30m"` too. `Err`: what is wrong, in words.
pub fn fitted(default: &Value, given: &Value) -> Result<Value, String> {
    match (default, given) {
        (Value::Number(_), Value::Number(_))
        | (Value::Bool(_), Value::Bool(_))
        | (Value::String(_), Value::String(_)) => Ok(given.clone()),
        (Value::Number(_), Value::String(text)) => seconds(text)
            .map(number)
            .ok_or_else(|| format!("is a number or a duration such as \"30m\", not \"{text}\"")),
        (Value::Array(_), Value::Array(list))
            if list.iter().all(|v| !v.is_array() && !v.is_object() && !v.is_null()) =>
        {
            Ok(given.clone())
        }
        _ => Err(format!("has the default {default}, so {given} does not fit")),
    }
}

/// `30m`, `1h 30m`, `2d` as seconds.
fn seconds(text: &str) -> Option<f64> {
    let span: jiff::Span = text.parse().ok()?;
    span.total((Unit::Second, SpanRelativeTo::days_are_24_hours())).ok().filter(|s| *s >= 0.0)
}

/// Checks what a configuration sets against what the policy's files declare.
pub fn check(policy: &str, declared: &[&Map<String, Value>], given: &Map<String, Value>) -> Result<(), PolicyError> {
    let wrong = |text: String| PolicyError::Setting { policy: policy.into(), text };
    for (key, value) in given {
        let mut known = declared.iter().filter_map(|d| d.get(key)).peekable();
        if known.peek().is_none() {
            let names: Vec<&str> = declared.iter().flat_map(|d| d.keys().map(String::as_str)).collect();
            let hint = did_you_mean(key, names.iter().copied());
            let list = if names.is_empty() { "none".into() } else { names.join(", ") };
            return Err(wrong(format!("it declares no setting '{key}'{hint} (its own: {list})")));
        }
        for default in known {
            fitted(default, value).map_err(|why| wrong(format!("'{key}' {why}")))?;
        }
    }
    Ok(())
}
