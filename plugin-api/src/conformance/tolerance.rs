//! Rules of growth: what a newer host adds changes nothing for a plugin that does not know it.

use serde_json::{Map, Value, json};

use super::{
    Kit, Rule, Test, Verdict,
    base::{self, Base},
    corpus,
    play::{End, Scene, play},
    world::{Twist, When, World},
};
use crate::event::Outcome;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "unknown_keys_are_ignored",
        says: "keys that it does not know change nothing, in no event",
        section: "3",
        test: Test::Once(|kit| same(kit, &mut unknown_keys)),
    },
    Rule {
        name: "null_is_absent",
        says: "null means the same as a key that is not there",
        section: "rule 4",
        test: Test::Once(|kit| same(kit, &mut without_nulls)),
    },
    Rule {
        name: "keys_come_in_any_order",
        says: "but for `event` in front, the order of keys means nothing",
        section: "1, in C",
        test: Test::Once(|kit| same(kit, &mut other_order)),
    },
    Rule {
        name: "newer_hosts_are_served",
        says: "a newer minor, more effects and a role of tomorrow change nothing",
        section: "promise, what may change within 1.x",
        test: Test::Once(|kit| same(kit, &mut newer_host)),
    },
    Rule {
        name: "unknown_outcomes_are_failures",
        says: "an outcome that it does not know is a failure like others",
        section: "3",
        test: Test::Each { check: unknown_outcomes, unless: "no session sent a request" },
    },
];

/// Whether sessions go on as before when each event is edited.
fn same(kit: &Kit, edit: &mut dyn FnMut(Map<String, Value>) -> Map<String, Value>) -> Verdict {
    let (table, manifest) = match kit.ready() {
        Ok(ready) => ready,
        Err(verdict) => return verdict,
    };
    let bases: Vec<Base> = base::all(kit, &manifest);
    for base in &bases {
        let plain = corpus::one(table, base, Twist::Good, When::All);
        let mut world = World::new(base, Twist::Good, When::All);
        let mut edited = |text: String| match serde_json::from_str::<Map<String, Value>>(&text) {
            Ok(event) => written(edit(event)),
            Err(_) => text,
        };
        let other = play(table, &base.start, &base.name, &mut world, &mut edited);
        if let Some(step) = (0..plain.steps.len().max(other.steps.len()))
            .find(|i| plain.steps.get(*i).map(|step| &step.said) != other.steps.get(*i).map(|step| &step.said))
        {
            let said = |play: &super::play::Play| {
                play.steps
                    .get(step)
                    .map(|step| super::play::short(&String::from_utf8_lossy(&step.said)))
                    .unwrap_or_else(|| "nothing".into())
            };
            return Verdict::Failed {
                why: format!("step {step}: {} became {}\n    in: {}", said(&plain), said(&other), base.name),
                session: Some(Box::new(other.recording(&manifest))),
            };
        }
    }
    Verdict::Passed(format!("{} sessions", bases.len()))
}

/// With `event` as its first key, as the contract has it.
fn written(mut event: Map<String, Value>) -> String {
    let name = event.remove("event").unwrap_or_default();
    let rest = Value::Object(event).to_string();
    match rest.strip_prefix('{') {
        Some("}") | None => format!("{{\"event\":{name}}}"),
        Some(rest) => format!("{{\"event\":{name},{rest}"),
    }
}

fn unknown_keys(mut event: Map<String, Value>) -> Map<String, Value> {
    event.insert("a-later-key".into(), json!({"event": "start", "list": [1, null, "two"]}));
    event.insert("zz".into(), Value::Null);
    for process in event.get_mut("processes").and_then(Value::as_array_mut).into_iter().flatten() {
        process["a-later-key"] = json!([{}]);
    }
    if let Some(ask) = event.get_mut("inference").and_then(Value::as_object_mut) {
        ask.insert("a-later-key".into(), json!(7));
    }
    event
}

fn without_nulls(mut event: Map<String, Value>) -> Map<String, Value> {
    let is_whole = event.get("event").is_some_and(|name| name == "response");
    let nulls: Vec<String> = event.iter().filter(|(_, value)| value.is_null()).map(|(key, _)| key.clone()).collect();
    for key in nulls {
        event.remove(&key);
    }
    if is_whole {
        // And the other way round.
        for key in ["at", "text", "status", "body"] {
            event.entry(key).or_insert(Value::Null);
        }
    }
    event
}

fn other_order(event: Map<String, Value>) -> Map<String, Value> {
    let mut keys: Vec<(String, Value)> = event.into_iter().collect();
    keys.reverse();
    keys.into_iter().collect()
}

fn newer_host(mut event: Map<String, Value>) -> Map<String, Value> {
    if event.get("event").is_some_and(|name| name == "start") {
        event.insert("contract".into(), "1.99".into());
        event.insert("effects".into(), json!(["request", "read", "wait", "report", "run", "read_file", "connect"]));
        if let Some(processes) = event.get_mut("processes").and_then(Value::as_array_mut)
            && !processes.is_empty()
        {
            processes.push(json!({"id": "kit-9", "parent": null, "role": "of-tomorrow", "exe": "later", "args": [], "addresses": []}));
        }
    }
    event
}

fn unknown_outcomes(scene: &Scene<'_>) -> Result<bool, String> {
    if !matches!(scene.play.twist, Twist::Outcome(Outcome::Unknown, ..)) {
        return Ok(false);
    }
    match &scene.play.end {
        End::Report(_) => Ok(scene.play.requests().next().is_some()),
        End::Failed(how, text) => Err(format!("{how}: {}", super::play::short(text))),
        End::Endless(text) => Err(format!("it went on: {text}")),
    }
}
