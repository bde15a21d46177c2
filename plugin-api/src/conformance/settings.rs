//! Rules of settings: all that the schema lets through must work, and what it does not let through must do no harm.

use serde_json::{Map, Value, json};

use super::{
    Kit, Rule, Test, Verdict, base, corpus,
    play::{End, Play, short},
    schema,
    world::{Twist, When},
};
use crate::manifest::Manifest;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "settings_defaults_work",
        says: "with the defaults of its settings, and with none, a probe gives a report",
        section: "2, settings",
        test: Test::Once(defaults),
    },
    Rule {
        name: "wrong_settings_do_no_harm",
        says: "settings of other types end in a report or an error, never in a panic",
        section: "2, settings",
        test: Test::Once(wrong),
    },
];

fn defaults(kit: &Kit) -> Verdict {
    let (table, manifest) = match kit.ready() {
        Ok(ready) => ready,
        Err(verdict) => return verdict,
    };
    let with = manifest.settings.as_ref().map(schema::defaults).unwrap_or_default();
    let mut looked_at = 0;
    for settings in [with, Map::new()] {
        for play in plays(table, &manifest, &settings) {
            if !matches!(play.end, End::Report(_)) {
                return Verdict::failed(format!("{}: {}", play.told, ended(&play)));
            }
            looked_at += 1;
        }
    }
    Verdict::Passed(format!("{looked_at} sessions"))
}

fn wrong(kit: &Kit) -> Verdict {
    let (table, manifest) = match kit.ready() {
        Ok(ready) => ready,
        Err(verdict) => return verdict,
    };
    let properties = manifest.settings.as_ref().and_then(|settings| settings.get("properties")?.as_object());
    let names: Vec<String> = properties.map(|all| all.keys().cloned().collect()).unwrap_or_default();
    let long = "ä".repeat(2000);
    let values = [
        json!(null),
        json!(-1),
        json!(1e308),
        json!(u64::MAX),
        json!(""),
        json!(long),
        json!([]),
        json!({"x": []}),
        json!(true),
        json!("{}"),
    ];
    let mut looked_at = 0;
    for name in names.iter().map(String::as_str).chain(["not-a-setting"]) {
        for value in &values {
            let settings = Map::from_iter([(name.to_owned(), value.clone())]);
            for play in plays(table, &manifest, &settings) {
                if matches!(play.end, End::Failed("panic" | "protocol", _) | End::Endless(_)) {
                    let value = short(&Value::clone(value).to_string());
                    return Verdict::failed(format!("{} with {name} = {value}: {}", play.told, ended(&play)));
                }
                looked_at += 1;
            }
        }
    }
    Verdict::Passed(format!("{looked_at} sessions"))
}

fn plays(
    table: &'static crate::table::AimPlugin,
    manifest: &Manifest,
    settings: &Map<String, Value>,
) -> impl Iterator<Item = Play> {
    let starts = manifest.probes.keys().flat_map(|depth| base::probes(manifest, *depth));
    let plays: Vec<Play> = starts
        .map(|mut start| {
            start.settings.clone_from(settings);
            corpus::one(table, &base::made_up(manifest, start), Twist::Good, When::All)
        })
        .collect();
    plays.into_iter()
}

fn ended(play: &Play) -> String {
    match &play.end {
        End::Report(_) => "a report".into(),
        End::Failed(how, text) => format!("{how}: {}", short(text)),
        End::Endless(text) => format!("it went on: {text}"),
    }
}
