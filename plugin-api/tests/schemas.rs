//! The golden schemas take what is really written, and refuse what the contract forbids.

use std::{fs, path::Path};

use ai_monitor_plugin_api::{
    effect::Effect,
    event::Event,
    manifest::Manifest,
    recording::{Recording, Said},
    report::{RepairReport, Report},
};
use boon::{Compiler, SchemaIndex, Schemas};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

struct Golden {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Golden {
    fn new(name: &str) -> Golden {
        let path = format!("{}/golden/{name}.schema.json", env!("CARGO_MANIFEST_DIR"));
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let index = compiler.compile(&path, &mut schemas).unwrap_or_else(|e| panic!("{path}: {e:#}"));
        Golden { schemas, index }
    }

    fn takes(&self, value: &Value) -> Result<(), String> {
        self.schemas.validate(value, self.index).map_err(|e| format!("{e:#}"))
    }

    /// The schema and the type take this text.
    #[track_caller]
    fn assert_takes<T: DeserializeOwned>(&self, value: &Value) {
        if let Err(e) = self.takes(value) {
            panic!("the schema refuses {value}: {e}");
        }
        if let Err(e) = T::deserialize(value) {
            panic!("the type refuses {value}: {e}");
        }
    }

    #[track_caller]
    fn assert_refuses(&self, value: &Value) {
        assert!(self.takes(value).is_err(), "the schema takes {value}");
    }
}

#[test]
fn every_bundled_manifest_is_taken() {
    let golden = Golden::new("manifest");
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let mut seen = 0;
    for entry in fs::read_dir(plugins).unwrap() {
        let folder = entry.unwrap().path();
        // Beside its crate's sources, or beside the one file of C.
        for path in [folder.join("src/manifest.json"), folder.join("koboldcpp.json")] {
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let manifest = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            golden.assert_takes::<Manifest>(&manifest);
            seen += 1;
        }
    }
    assert!(seen >= 6, "only {seen} manifests were found");
}

#[test]
fn what_a_manifest_must_be_is_in_its_schema() {
    let golden = Golden::new("manifest");
    let good = json!({"contract":"1.0","abi":1,"id":"small","version":"1","label":"Small",
        "probes":{"liveness":{"routes":["GET /"],"deadline_ms":100}}});
    golden.assert_takes::<Manifest>(&good);
    let with = |pointer: &str, value: Value| {
        let mut manifest = good.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        manifest.pointer_mut(parent).unwrap()[key] = value;
        manifest
    };
    for (pointer, value) in [
        ("/identify", Value::Null),
        ("/settings", Value::Null),
        ("/repairs", Value::Null),
        ("/repairs", json!({"un-load!":{"routes":["GET /"],"deadline_ms":100,"title":"Unload"}})),
        ("/process", json!({"main":null,"engines":[{"exe":["a"],"args":null}]})),
        ("/colour", json!("a key of a later minor")),
        ("/probes/liveness/routes", json!(["local GET /health", "* *", "POST /v1/*"])),
    ] {
        golden.assert_takes::<Manifest>(&with(pointer, value));
    }
    for (pointer, value) in [
        ("/abi", json!(2)),
        ("/contract", json!("0.1")),
        ("/id", json!("Ollama")),
        ("/label", Value::Null),
        ("/probes", json!({})),
        ("/probes/liveness/routes", json!([])),
        ("/probes/liveness/routes", json!(["DELETE /"])),
        ("/probes/liveness/routes", json!(["GET /a*b"])),
        ("/probes/liveness/routes", json!(["GET /a**"])),
        ("/probes/liveness/routes", json!(["GET /\u{f6}"])),
        ("/repairs", json!({"un load":{"routes":["GET /"],"deadline_ms":100,"title":"Unload"}})),
        ("/probes/liveness/deadline_ms", json!(600_001)),
        ("/identify", json!([{"is":"surely","all":[{"get":"/","has":["/a"]}]}])),
        ("/identify", json!([{"is":"certain","all":[]}])),
        ("/settings", json!("none")),
        ("/ports", json!([70_000])),
    ] {
        golden.assert_refuses(&with(pointer, value));
    }
}

#[test]
fn closed_lists_are_closed_and_the_rest_may_grow() {
    let report = Golden::new("report");
    for value in [
        json!({}),
        json!({"version":null,"judged":null,"models":null,"engines":null,"symptoms":null,"inference":null}),
        json!({"models":[{"id":"m","aliases":null,"info":null,"state":null}],"engines":[],"later":{"any":1}}),
        json!({"inference":{"result":"output","tokens":{"content":3,"thinking":null}}}),
    ] {
        report.assert_takes::<Report>(&value);
    }
    for value in [
        json!({"phase":"warming"}),
        json!({"models":[{"id":"m","state":"warming"}]}),
        json!({"models":[{"state":"loaded"}]}),
        json!({"judged":[{"request":0,"outcome":"unknown"}]}),
        json!({"engines":[{"id":"e","running":-1}]}),
        json!({"engines":[{"id":"e","counters":[{"id":"c","kind":"decode","value":0.5}]}]}),
        json!({"inference":{"result":"fine"}}),
        json!({"symptoms":[{"id":"engine_dead"}]}),
        json!([]),
    ] {
        report.assert_refuses(&value);
    }

    let repair = Golden::new("repair-report");
    repair.assert_takes::<RepairReport>(&json!({"result":"done","text":"done_reason unload","within_ms":20000,
        "expect":[{"model":"tiny","state":["unloaded"]},{"process":"1","gone":true}]}));
    repair.assert_takes::<RepairReport>(&json!({"result":null,"expect":null,"symptoms":null}));
    repair.assert_refuses(&json!({"result":"maybe"}));
    repair.assert_refuses(&json!({"expect":[{"model":"tiny","state":["gone"]}]}));
    repair.assert_refuses(&json!({"expect":[{"port":1}]}));

    let effect = Golden::new("effect");
    let request = json!({"effect":"request","method":"GET","path":"/","timeout_ms":1000});
    effect.assert_takes::<Effect>(&request);
    effect.assert_takes::<Effect>(&json!({"effect":"request","method":"GET","path":"/","timeout_ms":1000,"to":null,
        "of":null,"headers":null,"body":null,"stream":null,"max_bytes":null,"note":null,"later":1}));
    for (key, value) in [
        ("effect", json!("run")),
        ("method", json!("PUT")),
        ("path", json!("no/slash")),
        ("timeout_ms", json!(0)),
        ("timeout_ms", Value::Null),
        ("max_bytes", json!(4_194_305)),
        ("of", json!("depth")),
    ] {
        let mut wrong = request.clone();
        wrong[key] = value;
        effect.assert_refuses(&wrong);
    }
    effect.assert_refuses(&json!({"effect":"wait","ms":9}));
    effect.assert_refuses(&json!({"effect":"report"}));

    let event = Golden::new("event");
    let answer = json!({"event":"response","request":0,"ms":4,"outcome":"ok","at":null,"status":200,"body":"{}"});
    event.assert_takes::<Event>(&answer);
    let mut later = answer.clone();
    later["outcome"] = json!("a word of a later minor");
    event.assert_refuses(&later);
    // What contract 1.0 does not write, a session built against it still takes, for a failure.
    assert!(serde_json::from_value::<Event>(later).is_ok());
}

#[test]
fn a_value_of_a_later_minor_is_read_as_absent() {
    let report: Report = serde_json::from_value(json!({
        "phase":"warming","models":[{"id":"m","state":"warming"}],"inference":{"result":"fine"},
        "judged":[{"request":0,"outcome":"haunted"}],
    }))
    .unwrap();
    assert_eq!((report.phase, report.models.unwrap()[0].state), (None, None));
    assert_eq!(report.inference.unwrap().result, None);
    let repair: RepairReport =
        serde_json::from_value(json!({"result":"maybe","expect":[{"model":"m","state":["gone","unloaded"]}]})).unwrap();
    assert_eq!(repair.result, None);
    assert_eq!(
        serde_json::to_value(&repair.expect).unwrap(),
        json!([{"model":"m","state":["unloaded"]}]),
        "of a list of states those that are known stay"
    );
}

#[test]
fn every_recorded_session_is_taken() {
    let [event, effect, report, repair] = ["event", "effect", "report", "repair-report"].map(Golden::new);
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let mut seen = 0;
    for plugin in fs::read_dir(plugins).unwrap() {
        let Ok(sessions) = fs::read_dir(plugin.unwrap().path().join("tests/sessions")) else { continue };
        for file in sessions {
            let path = file.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let recording = Recording::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let mut is_repair = false;
            for step in &recording.steps {
                let value: Value = serde_json::from_str(&step.event).unwrap();
                is_repair |= value["session"] == "repair";
                event.assert_takes::<Event>(&value);
                let Said::Effect(said) = &step.said else { continue };
                let said: Value = serde_json::from_str(said).unwrap();
                effect.assert_takes::<Effect>(&said);
                match &said["report"] {
                    Value::Null => {}
                    told if is_repair => repair.assert_takes::<RepairReport>(told),
                    told => report.assert_takes::<Report>(told),
                }
            }
            seen += 1;
        }
    }
    assert!(seen > 0, "no recorded sessions were found");
}

#[test]
fn the_contracts_examples_are_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let contract = fs::read_to_string(root.join("docs/plugins/contract.md")).unwrap();
    let mut seen = std::collections::BTreeMap::new();
    for (info, block) in blocks(&contract) {
        let Some(name) = info.strip_prefix("json ") else { continue };
        let golden = Golden::new(name);
        for value in serde_json::Deserializer::from_str(&block).into_iter::<Value>() {
            let value = value.unwrap_or_else(|e| panic!("{e} in\n{block}"));
            match name {
                "manifest" => golden.assert_takes::<Manifest>(&value),
                "event" => golden.assert_takes::<Event>(&value),
                "effect" => golden.assert_takes::<Effect>(&value),
                "report" => golden.assert_takes::<Report>(&value),
                "repair-report" => golden.assert_takes::<RepairReport>(&value),
                other => panic!("no schema {other}"),
            }
            *seen.entry(name.to_owned()).or_insert(0) += 1;
        }
    }
    assert_eq!(seen.len(), 5, "each schema has an example: {seen:?}");
    let header = fs::read_to_string(root.join("plugin-api/include/ai_monitor_plugin.h")).unwrap();
    let (_, table) = blocks(&contract).into_iter().find(|(info, _)| info == "c").unwrap();
    assert!(header.contains(table.trim()), "the table in contract.md is not the header's");
}

/// The fenced blocks of a page: what stands behind the fence, and the text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push((info.to_owned(), block.join("\n")));
    }
    blocks
}
