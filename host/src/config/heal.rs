//! Reads the `heal` tables: what a person may set without writing Lua.

use std::time::Duration;

use super::{
    keys,
    model::HealSettings,
    problem::Problem,
    read::Layers,
    tree::{Item, Node, Table},
};
use crate::incident::act::{self, Rung};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// Acts that must be allowed by name.
const OPT_IN: &[&str] = &["pull", "reload_driver"];

/// The merged settings; what is missing or wrong has its default. Keys that are nobody's are the policy's.
pub fn read(layers: &Layers<'_>) -> HealSettings {
    let base = HealSettings::default();
    let auto = rung(layers, "auto").unwrap_or(base.auto);
    let settings = HealSettings {
        grace: layers.duration("grace", Duration::ZERO..=HOUR).unwrap_or(base.grace),
        attempts: count(layers, "attempts").unwrap_or(base.attempts),
        attempts_window: layers.duration("attempts_window", SECOND..=MONTH).unwrap_or(base.attempts_window),
        repairs: count(layers, "repairs").unwrap_or(base.repairs),
        repairs_window: layers.duration("repairs_window", SECOND..=MONTH).unwrap_or(base.repairs_window),
        backoff: layers.duration("backoff", Duration::ZERO..=DAY).unwrap_or(base.backoff),
        backoff_max: layers.duration("backoff_max", Duration::ZERO..=DAY).unwrap_or(base.backoff_max),
        steady: layers.duration("steady", Duration::ZERO..=DAY).unwrap_or(base.steady),
        auto,
        ask: rung(layers, "ask").unwrap_or(Rung::Kill.max(auto)),
        allow: layers.texts("allow").unwrap_or_default(),
        escalate: layers.flag("escalate").unwrap_or(base.escalate),
        quiet: layers.duration("quiet", Duration::ZERO..=MONTH).unwrap_or(base.quiet),
        patience: layers.duration("patience", Duration::ZERO..=DAY).unwrap_or(base.patience),
        dry_run: layers.flag("dry_run").unwrap_or(base.dry_run),
        policy: policy_settings(&layers.tables),
    };
    check_rungs(layers, &settings);
    check_allow(layers);
    // Where only `backoff` is given, a longer one lifts the bound with it.
    match layers.find("backoff_max") {
        Some(node) if settings.backoff_max < settings.backoff => {
            layers.problems.push(Problem::value(node, "`backoff_max` is shorter than `backoff`"));
            settings
        }
        _ => HealSettings { backoff_max: settings.backoff_max.max(settings.backoff), ..settings },
    }
}

/// Names the keys of one `heal` table that are not built yet or stand in the wrong table.
pub fn check_keys(table: &Table, in_defaults: bool, layers: &Layers<'_>) {
    for (key, node) in table {
        if keys::HEAL.later.contains(&key.as_str()) {
            layers.problems.push(keys::later(&node.path));
        } else if key == "at_once" && !in_defaults {
            layers.problems.push(
                Problem::key(&node.path, "`at_once` counts for the whole machine")
                    .help("it stands in [defaults.heal] alone"),
            );
        } else if !keys::HEAL.known.contains(&key.as_str()) && matches!(node.item, Item::Table(_)) {
            layers.problems.push(Problem::key(&node.path, format!("a policy's setting is no table: `{key}`")));
        }
    }
}

fn count(layers: &Layers<'_>, key: &str) -> Option<u32> {
    layers.whole(key, 0..=1000).and_then(|n| n.try_into().ok())
}

fn rung(layers: &Layers<'_>, key: &str) -> Option<Rung> {
    let word = layers.text(key)?;
    let found = Rung::ALL.into_iter().find(|r| r.as_str() == word);
    if let (None, Some(node)) = (found, layers.find(key)) {
        let names: Vec<&str> = Rung::ALL.iter().map(|r| r.as_str()).collect();
        let mut problem = Problem::value(node, format!("there is no rung {word:?}"));
        if let Some(near) = keys::nearest(word, names.iter().copied()) {
            problem = problem.help(format!("did you mean \"{near}\"?"));
        }
        layers.problems.push(problem.help(format!("rungs, from nothing lost to most: {}", names.join(", "))));
    }
    found
}

fn check_rungs(layers: &Layers<'_>, settings: &HealSettings) {
    let Some(node) = layers.find("ask") else { return };
    let auto = settings.auto.as_str();
    if settings.ask < settings.auto {
        layers.problems.push(
            Problem::value(node, format!("`ask` is below `auto`, which is \"{auto}\""))
                .help("acts up to `auto` go on unasked, so `ask` is `auto` or above"),
        );
    }
}

fn check_allow(layers: &Layers<'_>) {
    let Some(Node { item: Item::List(entries), .. }) = layers.find("allow") else { return };
    for entry in entries {
        let Item::Text(name) = &entry.item else { continue };
        if OPT_IN.contains(&name.as_str()) {
            continue;
        }
        let reason = match act::spec(name) {
            Some(_) => format!("`{name}` needs no permission by name"),
            None => format!("there is no act {name:?}"),
        };
        layers.problems.push(Problem::value(entry, reason).help(format!("opt-in acts: {}", OPT_IN.join(", "))));
    }
}

/// What no guard knows: raw, until the policy's own declaration is at hand.
fn policy_settings(tables: &[&Table]) -> serde_json::Map<String, serde_json::Value> {
    let ours = |key: &str| keys::HEAL.known.contains(&key) || keys::HEAL.later.contains(&key);
    let mut settings = serde_json::Map::new();
    for (key, node) in tables.iter().rev().flat_map(|t| t.iter()).filter(|(key, _)| !ours(key)) {
        settings.insert(key.clone(), node.to_json());
    }
    settings
}
