//! Answers that a manifest's rules of identification hold for.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::world::Answer;
use crate::manifest::{Check, Rule};

/// What stands behind a text that is only the begin of something: a version, for that is what servers say of
/// themselves, and a line's end.
const REST: &str = "1.0.0\n";

/// `GET /path` → the answer, for all checks of a rule. `usual`: the body that the kit answers with else; where that
/// is right already, nothing is given, and neither where no body can keep all checks.
pub(super) fn answers(rule: &Rule, usual: &Value) -> BTreeMap<String, Vec<Answer>> {
    let mut by_path: BTreeMap<&str, Vec<&Check>> = BTreeMap::new();
    for check in &rule.all {
        by_path.entry(&check.get).or_default().push(check);
    }
    let answer = |(path, checks): (&str, Vec<&Check>)| Some((format!("GET {path}"), vec![answer(&checks, usual)?]));
    by_path.into_iter().filter_map(answer).collect()
}

fn answer(checks: &[&Check], usual: &Value) -> Option<Answer> {
    let mut body = usual.clone();
    for check in checks {
        for pointer in check.has.iter().filter(|pointer| usual.pointer(pointer).is_none()) {
            put(&mut body, pointer, json!("kit"))?;
        }
        for (pointer, value) in &check.equals {
            put(&mut body, pointer, value.clone())?;
        }
    }
    let json = body.to_string();
    let needed: Vec<&str> = checks.iter().filter_map(|check| check.contains.as_deref()).collect();
    let missing: Vec<&str> = needed.into_iter().filter(|text| !json.contains(text)).collect();
    let asks_for_json = checks.iter().any(|check| !check.has.is_empty() || !check.equals.is_empty());
    let text = match missing[..] {
        [] => json,
        _ if asks_for_json => {
            body.as_object_mut()?.insert("kit".into(), missing.join(" ").into());
            Some(body.to_string()).filter(|json| missing.iter().all(|text| json.contains(text)))?
        }
        _ => {
            let text = missing.join(" ");
            let is_whole = text.ends_with(|end: char| end.is_alphanumeric() || "}])>.!".contains(end));
            if is_whole { text } else { text + REST }
        }
    };
    let status = checks.iter().find_map(|check| check.status.as_ref()?.first().copied()).unwrap_or(200);
    let mut answer = Answer::status(status, text);
    for check in checks {
        answer.response.headers.extend(check.header.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    let is_usual = status == 200
        && answer.response.headers.is_empty()
        && answer.response.body.as_deref() == Some(usual.to_string().as_str());
    (!is_usual).then_some(answer)
}

/// Puts a value at a pointer, with all that leads there. `None`: something else stands in the way.
fn put(root: &mut Value, pointer: &str, value: Value) -> Option<()> {
    let mut at = root;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        if at.is_null() {
            *at = if token == "0" { json!([]) } else { Value::Object(Map::new()) };
        }
        at = match at {
            Value::Object(object) => object.entry(token).or_insert(Value::Null),
            Value::Array(list) => {
                let index: usize = token.parse().ok()?;
                if index == list.len() {
                    list.push(Value::Null);
                }
                list.get_mut(index)?
            }
            _ => return None,
        };
    }
    *at = value;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(all: Value) -> Option<String> {
        let rule = serde_json::from_value(json!({"is": "certain", "all": all})).unwrap();
        let answers = answers(&rule, &json!({"version": "1.0.0", "models": [{"id": "m"}]}));
        answers.get("GET /x").map(|answers| answers[0].response.body.clone().unwrap())
    }

    #[test]
    fn what_a_rule_looks_for_is_answered() {
        let one = |check: Value| body(json!([check]));
        assert_eq!(one(json!({"get": "/x", "has": ["/version"]})), None, "the usual answer is right");
        assert_eq!(one(json!({"get": "/x", "contains": "toy "})).unwrap(), "toy 1.0.0\n");
        assert_eq!(one(json!({"get": "/x", "contains": "Toy is running"})).unwrap(), "Toy is running");
        let both = one(json!({"get": "/x", "equals": {"/name": "toy"}, "has": ["/list/0/id", "/models/0/x"]})).unwrap();
        let both: Value = serde_json::from_str(&both).unwrap();
        let wanted =
            json!({"name": "toy", "list": [{"id": "kit"}], "version": "1.0.0", "models": [{"id": "m", "x": "kit"}]});
        assert_eq!(both, wanted);
        let mixed = body(json!([{"get": "/x", "equals": {"/name": "toy"}}, {"get": "/x", "contains": "toys for all"}]));
        assert!(mixed.unwrap().contains("toys for all"));
        assert_eq!(one(json!({"get": "/x", "equals": {"/version/major": 1}})), None, "a text stands in the way");
    }
}
