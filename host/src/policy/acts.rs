//! A call of an act as a policy wrote it, checked against the one table of acts.

use mlua::Value as Lua;
use serde_json::{Map, Value};

use super::suggest::did_you_mean;
use crate::incident::act::{ACTS, ActSpec, ArgType, COMMON_ARGS, spec};

/// Longer texts are cut off nowhere: they are refused, so that nothing is sent or journalled in half.
const MOST_TEXT: usize = 4096;
/// A longer wait is a mistake, and would overflow clocks.
const MOST_SECONDS: f64 = 366.0 * 86_400.0;

/// What is left of a call that is right.
#[derive(Debug)]
pub struct Checked {
    pub args: Map<String, Value>,
    pub because: Option<String>,
    pub ask: bool,
}

/// `Err`: what is wrong, in words, without the place.
pub fn check(name: &str, given: &[Lua]) -> Result<Checked, String> {
    let Some(act) = spec(name) else { return Err(unknown(name)) };
    let mut checked = Checked { args: Map::new(), because: None, ask: false };
    let table = match given {
        [] => return finish(act, checked),
        [Lua::Table(table)] => table,
        _ => return Err(format!("act.{name} takes named arguments in braces: {}", example(act))),
    };
    let mut named = Vec::new();
    for pair in table.pairs::<Lua, Lua>() {
        let (key, value) = pair.map_err(|e| e.to_string())?;
        let Lua::String(key) = key else {
            return Err(format!("act.{name} takes no arguments by position: write {}", example(act)));
        };
        named.push((key.to_string_lossy(), value));
    }
    let known = || act.args.iter().chain(COMMON_ARGS);
    for (key, value) in &named {
        let Some((_, kind)) = known().find(|(n, _)| n == key) else {
            let hint = did_you_mean(key, known().map(|(n, _)| *n));
            return Err(format!("act.{name} has no argument '{key}'{hint}; it takes {}", listed(act)));
        };
        let value = typed(*kind, value).map_err(|why| format!("act.{name}: {key} {why}"))?;
        match (key.as_str(), value) {
            ("because", Value::String(text)) => checked.because = Some(text),
            ("ask", Value::Bool(ask)) => checked.ask = ask,
            (key, value) => {
                checked.args.insert(key.into(), value);
            }
        }
    }
    // In the table's order, so that the same call is always the same record.
    checked.args = act.args.iter().filter_map(|(n, _)| checked.args.remove(*n).map(|v| ((*n).to_owned(), v))).collect();
    finish(act, checked)
}

fn finish(act: &ActSpec, checked: Checked) -> Result<Checked, String> {
    if let Some(missing) = act.required.iter().find(|n| !checked.args.contains_key(**n)) {
        return Err(format!("act.{} needs {missing}: {}", act.name, example(act)));
    }
    if act.name == "wait" && checked.args.contains_key("seconds") && checked.args.get("window") == Some(&true.into()) {
        return Err("act.wait waits for seconds or for the window, not for both".into());
    }
    Ok(checked)
}

/// The words for a name that is no act.
pub fn unknown(name: &str) -> String {
    let why = match name {
        "verify" => "the host looks again after every act by itself".into(),
        "stop" | "kill" => "no policy can leave a target down; act.restart stops, kills and starts".into(),
        "free_port" => "write act.reap {}".into(),
        "wait_for_memory" => "act.start waits for free memory by itself".into(),
        "hold" => "write act.wait { seconds = … } or leave \"reason\"".into(),
        "leave" | "give_up" | "log" => format!("write {name} \"…\", without 'act.'"),
        _ => {
            let names: Vec<&str> = ACTS.iter().map(|a| a.name).collect();
            let hint = did_you_mean(name, names.iter().copied());
            return format!("there is no act '{name}'{hint} (acts: {})", names.join(", "));
        }
    };
    format!("there is no act '{name}': {why}")
}

/// `act.restart { grace = 5 }`
fn example(act: &ActSpec) -> String {
    let shown = act.required.first().and_then(|r| act.args.iter().find(|(n, _)| n == r)).or(act.args.first());
    match shown {
        None => format!("act.{} {{}}", act.name),
        Some((name, kind)) => {
            let value = match kind {
                ArgType::Seconds => "5",
                ArgType::Bool => "true",
                ArgType::Text => "\"…\"",
                ArgType::Level => "\"warn\"",
            };
            format!("act.{} {{ {name} = {value} }}", act.name)
        }
    }
}

fn listed(act: &ActSpec) -> String {
    act.args.iter().chain(COMMON_ARGS).map(|(n, _)| *n).collect::<Vec<_>>().join(", ")
}

fn typed(kind: ArgType, value: &Lua) -> Result<Value, String> {
    match kind {
        ArgType::Seconds => {
            let Some(seconds) = numeric(value) else {
                return Err(format!("is a number of seconds (5, or 2 * minute), not {}", shown(value)));
            };
            if !(0.0..=MOST_SECONDS).contains(&seconds) {
                return Err(format!("is a number of seconds from 0 to a year, not {seconds:?}"));
            }
            Ok(number(seconds))
        }
        ArgType::Bool => {
            value.as_boolean().map(Value::Bool).ok_or_else(|| format!("is true or false, not {}", shown(value)))
        }
        ArgType::Text => text(value).map(Value::String),
        ArgType::Level => match text(value)?.as_str() {
            level @ ("info" | "warn" | "urgent") => Ok(level.into()),
            other => Err(format!("is \"info\", \"warn\" or \"urgent\", not \"{other}\"")),
        },
    }
}

/// A text argument: UTF-8, not too long.
pub fn text(value: &Lua) -> Result<String, String> {
    let Lua::String(given) = value else { return Err(format!("is a text, not {}", shown(value))) };
    let given = given.to_str().map_err(|_| "is no UTF-8 text".to_owned())?;
    if given.len() > MOST_TEXT {
        return Err(format!("has {} bytes; at most {MOST_TEXT} are taken", given.len()));
    }
    Ok(given.to_owned())
}

/// Lua has one kind of number, its Rust face two.
pub fn numeric(value: &Lua) -> Option<f64> {
    match value {
        Lua::Integer(n) => Some(*n as f64),
        Lua::Number(n) => Some(*n),
        _ => None,
    }
}

/// A whole number stays one: `5`, not `5.0`.
pub fn number(n: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if n.fract() == 0.0 && n.abs() < EXACT {
        return Value::from(n as i64);
    }
    serde_json::Number::from_f64(n).map_or(Value::Null, Value::Number)
}

/// A value in the words of an error: its type, and what it is where that is short.
pub fn shown(value: &Lua) -> String {
    match value {
        Lua::Nil => "nil".into(),
        Lua::Boolean(b) => b.to_string(),
        Lua::String(s) => match s.to_str() {
            Ok(s) if s.len() <= 40 => format!("the text \"{}\"", &*s),
            _ => "a text".into(),
        },
        other => match numeric(other) {
            Some(n) => format!("the number {}", number(n)),
            None => format!("a {}", other.type_name()),
        },
    }
}
