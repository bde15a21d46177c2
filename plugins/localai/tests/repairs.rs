//! Loading and unloading a model of a LocalAI.

mod common;

use ai_monitor_localai::PLUGIN;
use ai_monitor_plugin_api::{
    event::{At, Outcome, SessionKind, Start},
    testing::{Reply, Scene},
};
use common::*;
use serde_json::{Value, json};

fn repair(name: &str, model: &str) -> Start {
    let args = serde_json::from_value(json!({"model": model})).unwrap();
    Start::new(SessionKind::Repair { repair: name.into(), args }, 1_800_000, NOW)
}

fn unloaded(reply: Reply) -> Value {
    let scene = Scene::new().on("GET /system", system(&["q"])).on("POST /backend/shutdown", reply);
    let (report, sent) = scene.run(&PLUGIN, &with_backends(repair("unload", "q"), &[41001]));
    assert_eq!(sent, [json!({"model":"q"})]);
    report
}

fn loaded(reply: Reply) -> Value {
    let (report, sent) = Scene::new().on("POST /backend/load", reply).run(&PLUGIN, &repair("load", "q"));
    assert_eq!(sent, [json!({"model":"q"})]);
    report
}

#[test]
fn an_unload_expects_the_model_and_its_backend_to_go() {
    assert_eq!(
        unloaded(ok(r#"{"message":"model stopped"}"#)),
        json!({"result":"done","text":"model stopped","within_ms":20000,
            "expect":[{"model":"q","state":["unloaded"]},{"process":"1","gone":true}]})
    );
}

#[test]
fn of_two_backends_neither_is_expected_to_go() {
    let scene = Scene::new()
        .on("GET /system", system(&["q", "embed"]))
        .on("POST /backend/shutdown", ok(r#"{"message":"model stopped"}"#));
    let report = scene.run(&PLUGIN, &with_backends(repair("unload", "q"), &[41001, 41002])).0;
    assert_eq!(report["expect"], json!([{"model":"q","state":["unloaded"]}]));
}

#[test]
fn what_is_not_loaded_is_left_alone() {
    let (report, sent) = Scene::new().on("GET /system", system(&[])).run(&PLUGIN, &repair("unload", "q"));
    assert_eq!((report, sent.len()), (json!({"result":"already","text":"q is not loaded"}), 0));
    let gone = "model \"q\" is not loaded on this instance or on any worker node";
    for reply in [error(404, gone), no_route(), Reply::status(404, ""), error(500, "model q not found")] {
        assert_eq!(unloaded(reply), json!({"result":"already","text":"q is not loaded"}));
    }
}

#[test]
fn localai_10578_a_backend_that_works_is_not_unloaded() {
    for text in [
        "model is still busy: q: context deadline exceeded",
        "waiting to shut down model \"q\": context deadline exceeded",
    ] {
        assert_eq!(unloaded(error(500, text)), json!({"result":"refused","text":text}));
    }
}

#[test]
fn an_unload_that_fails_expects_nothing() {
    for (reply, text) in [
        (not_admin(), "Admin access required"),
        (Reply::status(500, ""), "HTTP 500"),
        (Reply::broken(Outcome::Timeout, At::Headers), "no answer in 40000 ms"),
        (Reply::broken(Outcome::Reset, At::Headers), "the connection broke off"),
    ] {
        assert_eq!(unloaded(reply), json!({"result":"failed","text":text}));
    }
    // What is loaded is not told, and it is tried all the same.
    let scene =
        Scene::new().on("GET /system", not_admin()).on("POST /backend/shutdown", ok(r#"{"message":"model stopped"}"#));
    let report = scene.run(&PLUGIN, &with_backends(repair("unload", "q"), &[41001])).0;
    assert_eq!((&report["result"], &report["expect"]), (&json!("done"), &json!([{"model":"q","state":["unloaded"]}])));
}

#[test]
fn a_load_expects_what_was_loaded() {
    assert_eq!(
        loaded(ok(r#"{"loaded":["q"],"message":"model loaded"}"#)),
        json!({"result":"done","text":"model loaded","within_ms":20000,"expect":[{"model":"q","state":["loaded"]}]})
    );
    // A pipeline is loaded by its parts.
    assert_eq!(
        loaded(ok(r#"{"loaded":["vad","llm"],"message":"model loaded"}"#))["expect"],
        json!([{"model":"vad","state":["loaded"]},{"model":"llm","state":["loaded"]}])
    );
    assert_eq!(loaded(ok(r#"{"mess"#))["expect"], json!([{"model":"q","state":["loaded"]}]));
}

#[test]
fn an_older_version_cannot_be_asked_to_load() {
    for reply in [no_route(), Reply::status(405, "")] {
        assert_eq!(loaded(reply)["result"], "unsupported");
    }
}

#[test]
fn a_load_that_fails_shows_what_is_broken() {
    let text = "failed to load model: failed to load model with internal loader: could not load model: rpc error: code = Unknown desc = tensor exceeds file size";
    let body = json!({"loaded":null,"message":text}).to_string();
    assert_eq!(
        loaded(Reply::status(500, body)),
        json!({"result":"failed","text":text,"symptoms":[{"id":"model_corrupt","text":text,"model":"q"}]})
    );
    assert_eq!(
        loaded(Reply::broken(Outcome::Timeout, At::Headers)),
        json!({"result":"failed","text":"no answer in 1800000 ms"})
    );
    let capacity = "backend inference capacity reached (max_concurrent=1024); retry after 1s";
    assert_eq!(loaded(error(503, capacity).header("retry-after", "1")), json!({"result":"refused","text":capacity}));
}
