//! Loading and unloading by requests of the settings.

use ai_monitor_custom::PLUGIN;
use ai_monitor_plugin_api::{
    event::{SessionKind, Start},
    testing::{Reply, Scene},
};
use serde_json::{Value, json};

fn repair(name: &str, model: &str, settings: Value, scene: Scene) -> (Value, Vec<Value>) {
    let Value::Object(args) = json!({"model": model}) else { unreachable!() };
    let Value::Object(settings) = settings else { panic!("settings are an object") };
    let kind = SessionKind::Repair { repair: name.into(), args };
    scene.run(&PLUGIN, &Start { settings, ..Start::new(kind, 60_000, "2026-11-24T04:02:00Z") })
}

fn settings() -> Value {
    json!({
        "readiness": {"path": "/models", "models": {"list": "", "all": "loaded"}},
        "load": {"path": "/load", "body": "{\"model\":\"{model}\"}", "expect": {"pointer": "/ok", "equals": true},
            "after": ["loading", "loaded"], "within": "5m"},
        "unload": {"path": "/models/{model}/unload"},
    })
}

#[test]
fn a_model_comes_and_goes_and_the_host_is_told_what_to_measure() {
    let name = "org/a\"b";
    let loaded = Scene::new().on("POST /load", Reply::status(200, r#"{"ok":true}"#));
    let (report, sent) = repair("load", name, settings(), loaded);
    assert_eq!(
        report,
        json!({"result": "done", "text": "HTTP 200", "within_ms": 300_000,
            "expect": [{"model": name, "state": ["loading", "loaded"]}]})
    );
    assert_eq!(sent, [json!({"model": name})]);
    let unloaded = Scene::new().on("POST /models/org%2Fa%22b/unload", Reply::status(202, ""));
    let (report, _) = repair("unload", name, settings(), unloaded);
    assert_eq!(report["expect"], json!([{"model": name, "state": ["unloaded"]}]));
}

#[test]
fn what_cannot_be_measured_is_not_expected() {
    let settings = json!({"load": {"path": "/load?m={model}", "method": "GET"}});
    let scene = Scene::new().on("GET /load?m=a", Reply::status(200, ""));
    assert_eq!(repair("load", "a", settings, scene).0["expect"], Value::Null);
}

#[test]
fn a_refusal_a_failure_and_what_is_not_configured() {
    let on = |status, body: &str| {
        let scene = Scene::new().on("POST /load", Reply::status(status, body));
        repair("load", "a", settings(), scene).0
    };
    assert_eq!(on(503, "")["result"], "refused");
    assert_eq!(on(200, r#"{"ok":false}"#)["text"], "/ok is false");
    let broken = on(500, r#"{"error":"invalid file magic"}"#);
    assert_eq!((&broken["result"], &broken["symptoms"][0]["id"]), (&json!("failed"), &json!("model_corrupt")));
    // A name that would be another path is not sent.
    assert_eq!(
        repair(
            "unload",
            "a/../..",
            settings(),
            Scene::new().on("POST /models/a%2F..%2F../unload", Reply::status(404, ""))
        )
        .0["result"],
        "failed"
    );
    let dots = json!({"unload": {"path": "/models/{model}"}});
    assert_eq!(repair("unload", "..", dots, Scene::new()).0["result"], "failed");
    let none = repair("load", "a", json!({}), Scene::new()).0;
    assert_eq!(none["result"], "unsupported");
}
