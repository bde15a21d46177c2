//! The settings that a policy declares for itself: checked once the policies are at hand.

use serde_json::{Map, Value};

use super::{
    ConfigError, Flags, keys,
    model::{Config, Target},
    problem::{Mistakes, Problem, Spot},
    read::parse_duration,
    tree::{self, Path},
};

/// Checks the policy settings of every target against what its policy declares, and fills in the defaults: a duration
/// becomes seconds. `declared`: name → default of a target's policy; `None`: the policy is not there, and nothing is
/// checked for this target.
///
/// A key of `[defaults.heal]` or `[tags.TAG.heal]` may belong to another target's policy; one of `[target.heal]` may not.
pub fn fit_policy_settings(
    config: &mut Config,
    declared: &dyn Fn(&Target) -> Option<Map<String, Value>>,
) -> Result<(), ConfigError> {
    let text = config.file.as_ref().and_then(|f| std::fs::read_to_string(f).ok()).unwrap_or_default();
    let origins = tree::read(&text, false, &Flags::default()).map(|(_, origins)| origins).unwrap_or_default();
    let path_of =
        |table: &[&str], key: &str| -> Path { table.iter().copied().chain(["heal", key]).map(str::to_owned).collect() };
    let declarations: Vec<Option<Map<String, Value>>> = config.targets.iter().map(declared).collect();
    let known_somewhere = |key: &str| declarations.iter().flatten().any(|d| d.contains_key(key));

    let mut problems = Vec::new();
    for (index, (target, declared)) in config.targets.iter_mut().zip(&declarations).enumerate() {
        let Some(declared) = declared else { continue };
        let index = index.to_string();
        let given = std::mem::replace(&mut target.heal.policy, declared.clone());
        for (key, value) in given {
            let own = path_of(&["target", &index], &key);
            let is_own = origins.spans.contains_key(&own);
            let path = Some(own.clone())
                .into_iter()
                .chain(target.tags.iter().map(|tag| path_of(&["tags", tag], &key)))
                .chain([path_of(&["defaults"], &key)])
                .find(|path| origins.spans.contains_key(path))
                .unwrap_or(own);
            match declared.get(&key) {
                None if !is_own && known_somewhere(&key) => {}
                None => problems.push(unknown(&path, &key, &target.policy, declared)),
                Some(default) => match typed(&value, default) {
                    Ok(value) => _ = target.heal.policy.insert(key, value),
                    Err(expected) => problems.push(Problem {
                        spot: Spot::Value(path),
                        reason: format!(
                            "`{key}` of the policy {:?}: expected {expected}, found {value}",
                            target.policy
                        ),
                        help: vec![format!("its default is {default}")],
                    }),
                },
            }
        }
    }
    problems.dedup();
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Mistakes::new(config.file.clone(), &text, &origins, problems).into()),
    }
}

fn unknown(path: &Path, key: &str, policy: &str, declared: &Map<String, Value>) -> Problem {
    let names = || keys::HEAL.known.iter().copied().chain(declared.keys().map(String::as_str));
    let problem =
        Problem::key(path, format!("`{key}` is no heal setting, and the policy {policy:?} declares no such one"));
    let problem = match keys::nearest(key, names()) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem,
    };
    problem.help(format!("known: {}", names().collect::<Vec<_>>().join(", ")))
}

/// The value in the type that the default has; a number may be written as a duration.
fn typed(value: &Value, default: &Value) -> Result<Value, &'static str> {
    match (default, value) {
        (Value::Number(_), Value::String(text)) => match parse_duration(text) {
            Some(duration) => Ok(duration.as_secs_f64().into()),
            None => Err("a number or a duration such as \"30m\""),
        },
        (Value::Number(_), Value::Number(_))
        | (Value::String(_), Value::String(_))
        | (Value::Bool(_), Value::Bool(_))
        | (Value::Array(_), Value::Array(_)) => Ok(value.clone()),
        (Value::Number(_), _) => Err("a number or a duration such as \"30m\""),
        (Value::String(_), _) => Err("a text"),
        (Value::Bool(_), _) => Err("true or false"),
        _ => Err("a list"),
    }
}
