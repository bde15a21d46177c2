//! Plugins of the first release, built from its sources and its header, load today and go through all their sessions.
//!
//! If this fails, a change breaks plugins that people use: see `tests/first_release/README.md`.

use std::{fs, path::PathBuf};

use ai_monitor::{health::observation::SessionEnd, plugin::Plugin};
use ai_monitor_plugin_api::{
    event::{Depth, Outcome},
    report::RepairResult,
};
use serde_json::json;

use crate::harness::{
    canned::{Canned, answer},
    plugins::{built_library, compile_c, kit, loaded, look, repair, report, root},
};

const VERSION: &str = r#"{"name":"first","version":"3.1"}"#;
const MODELS: &str =
    r#"{"models":[{"id":"tiny","loaded":true,"bytes":5211422},{"id":"big","loaded":false}],"trouble":"CUDA error"}"#;

fn first_release() -> PathBuf {
    root().join("tests/first_release")
}

/// The plugin in Rust, in this process and in a child.
fn rust() -> [Plugin; 2] {
    loaded(&built_library("first_release_rust"))
}

fn server(models: &str) -> Canned {
    let tokens = "{\"model\":\"tiny\",\"token\":\" he\"}\n{\"token\":\" he\"}\n{\"done\":true}\n";
    Canned::start(&[
        ("GET /version", answer(200, VERSION)),
        ("GET /models", answer(200, models)),
        ("GET /work", answer(200, r#"{"running":1,"waiting":2,"tokens":41}"#)),
        ("POST /generate", answer(200, tokens)),
        ("POST /unload", answer(200, "unloaded")),
    ])
}

#[test]
fn the_rust_plugin_still_sees_at_every_depth() {
    for plugin in &rust() {
        let server = server(MODELS);
        let seen = |depth| report(&look(plugin, &server.url(), depth));
        assert_eq!(seen(Depth::Liveness), json!({"version":"3.1"}));
        assert_eq!(
            seen(Depth::Readiness),
            json!({"version":"3.1","phase":"ready",
            "models":[{"id":"tiny","state":"loaded","size_bytes":5211422},{"id":"big","state":"unloaded"}],
            "symptoms":[{"id":"device_error","text":"CUDA error"}]})
        );
        let engine =
            json!({"id":"first","running":1,"queued":2,"counters":[{"id":"tokens","kind":"decode","value":41}]});
        assert_eq!(seen(Depth::Progress), json!({"version":"3.1","engines":[engine]}));

        let mut inference = seen(Depth::Inference)["inference"].take();
        assert!(inference["first_token_ms"].take().is_u64());
        assert_eq!(
            inference,
            json!({"model":"tiny","result":"output","text":" he he","tokens":{"content":2,"thinking":0,"total":2},
            "first_token_ms":null})
        );
        server.asked();
        assert_eq!(
            report(&look(plugin, &self::server(r#"{"models":[]}"#).url(), Depth::Inference))["inference"],
            json!({"result":"skipped","text":"no such model is loaded"})
        );
    }
}

#[test]
fn the_rust_plugin_still_judges_and_reports_what_it_has() {
    for plugin in &rust() {
        let nobody = look(plugin, "http://127.0.0.1:1", Depth::Readiness);
        assert_eq!((report(&nobody), nobody.requests[0].outcome), (json!({}), Outcome::Refused));

        let foreign = Canned::start(&[("GET /version", answer(200, r#"{"version":"0.32.15"}"#))]);
        let foreign = look(plugin, &foreign.url(), Depth::Readiness);
        assert_eq!((foreign.requests.len(), foreign.requests[0].outcome), (1, Outcome::Foreign));

        let half = look(plugin, &server(r#"{"models":[{"id":"ti"#).url(), Depth::Readiness);
        assert_eq!(half.requests[1].outcome, Outcome::Malformed);
        let mut half = report(&half);
        assert_eq!(half["judged"][0]["request"].take(), 1);
        half["judged"].take();
        assert_eq!(half, json!({"version":"3.1","judged":null}));
    }
}

#[test]
fn the_rust_plugin_still_repairs() {
    for plugin in &rust() {
        let server = server(MODELS);
        let run = repair(plugin, &server.url(), "unload", json!({"model":"tiny"}));
        assert_eq!(run.end, SessionEnd::Report);
        assert_eq!(
            serde_json::to_value(run.report.expect("it ended well")).expect("JSON"),
            json!({"result":"done","text":"unloaded","within_ms":5000,"expect":[{"model":"tiny","state":["unloaded"]}]})
        );
        assert_eq!(server.asked(), ["POST /unload"]);
        let run = repair(plugin, &Canned::start(&[]).url(), "unload", json!({"model":"tiny"}));
        assert_eq!(run.report.expect("it ended well").result, Some(RepairResult::Already));
    }
}

#[test]
fn the_c_plugin_compiles_with_its_own_header_and_still_sees() {
    let folder = tempfile::tempdir().expect("a folder");
    let library = folder.path().join("koboldcpp.so");
    let sources = first_release();
    compile_c(&sources.join("c/koboldcpp.c"), &sources.join("plugin-api/include"), &library);
    let server = Canned::start(&[
        ("GET /api/extra/version", answer(200, r#"{"result":"KoboldCpp","version":"1.76"}"#)),
        ("GET /api/v1/model", answer(200, r#"{"result":"koboldcpp/tiny"}"#)),
        ("GET /api/extra/perf", answer(200, r#"{"queue":0,"idle":1}"#)),
    ]);
    for plugin in &loaded(&library) {
        let seen = |depth| report(&look(plugin, &server.url(), depth));
        assert_eq!(seen(Depth::Liveness), json!({"version":"1.76"}));
        let model = json!({"id":"koboldcpp/tiny","state":"loaded"});
        assert_eq!(seen(Depth::Readiness), json!({"version":"1.76","phase":"ready","models":[model]}));
        let engine = json!({"id":"koboldcpp","running":0,"queued":0,"capacity":1});
        assert_eq!(seen(Depth::Progress), json!({"version":"1.76","engines":[engine]}));
    }
}

#[test]
fn both_still_keep_the_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    let (library, sources) = (folder.path().join("koboldcpp.so"), first_release());
    compile_c(&sources.join("c/koboldcpp.c"), &sources.join("plugin-api/include"), &library);
    kit(&library, "ai_monitor_plugin_v1", &sources.join("c/koboldcpp.json")).assert();
    let library = built_library("first_release_rust");
    kit(&library, "ai_monitor_plugin_v1_first_release_rust", &sources.join("rust/src/manifest.json")).assert();
}

#[test]
fn a_plugin_of_the_first_header_compiles_with_todays() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = first_release().join("c/koboldcpp.c");
    compile_c(&source, &root().join("plugin-api/include"), &folder.path().join("koboldcpp.so"));
    assert!(fs::metadata(folder.path().join("koboldcpp.so")).is_ok());
}
