//! Sessions of the contract's worked example, kept as files: the same events give the same effects.

use ai_monitor_custom::PLUGIN;
use ai_monitor_plugin_api::{
    event::{At, Depth, Outcome, SessionKind, Start},
    testing::{Reply, Scene, assert_kept},
};
use serde_json::json;

fn kept(name: &str, shows: &str, reply: Reply) {
    let settings =
        json!({"liveness": {"path": "/status", "expect": {"status": 200, "pointer": "/state", "equals": "up"}}});
    let session = SessionKind::Probe { depth: Depth::Liveness, inference: None };
    let mut start = Start::new(session, 5_000, "2026-11-24T04:02:00Z");
    start.settings = serde_json::from_value(settings).unwrap();
    let scene = Scene::new().on("GET /status", reply);
    assert_kept("tests/sessions", name, &scene.record(&PLUGIN, &start, "an endpoint of one's own", shows));
}

#[test]
fn looks_are_kept() {
    kept("up", "what is expected", Reply::status(200, r#"{"state":"up"}"#));
    kept("warming", "another state than the expected one", Reply::status(200, r#"{"state":"warming"}"#));
    kept("other", "another program's page", Reply::status(200, "<html>sign in</html>"));
    kept("silent", "no answer", Reply::broken(Outcome::Timeout, At::Headers));
}
