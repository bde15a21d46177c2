//! The plugin keeps every rule of the contract, without settings and with all of them.

use ai_monitor_custom::PLUGIN;
use ai_monitor_plugin_api::{
    conformance::Kit,
    event::{Depth, Event, InferenceAsk, Outcome, Response, SessionKind, Start},
    recording::{Recording, Said},
    testing::Session,
};
use serde_json::{Value, json};

/// The kit's own sessions are without settings. With those of a target that has every setting, what the kit bends and
/// breaks of them must keep the contract, too.
#[test]
fn keeps_the_contract() {
    let up = (200, r#"{"state":"up"}"#);
    let models = (200, r#"{"version":"2","models":[{"name":"a","status":"ready"},{"name":"b","status":"off"}]}"#);
    let queue = (200, r#"{"active":[1],"waiting":0,"slots":2,"tokens":41}"#);
    let queue_free = (200, r#"{"active":[],"waiting":0,"slots":2,"tokens":41}"#);
    let token = (200, r#"{"out":{"text":"ok","count":1}}"#);
    let probe = |depth| SessionKind::Probe { depth, inference: None };
    let ask = InferenceAsk { model: None, prompt: "Say: ok".into(), max_tokens: 8, scheduled: false };
    let inference = SessionKind::Probe { depth: Depth::Inference, inference: Some(ask) };
    let repair = |name: &str| SessionKind::Repair {
        repair: name.into(),
        args: json!({"model": "a"}).as_object().cloned().unwrap_or_default(),
    };
    Kit::new(&PLUGIN)
        .recordings_in("tests/sessions")
        .recordings([
            record(probe(Depth::Liveness), &[up]),
            record(probe(Depth::Liveness), &[(503, r#"{"state":"loading"}"#)]),
            record(probe(Depth::Readiness), &[up, models]),
            record(probe(Depth::Progress), &[up, queue]),
            record(inference, &[up, models, queue_free, token]),
            record(repair("load"), &[(200, r#"{"ok":true}"#)]),
            record(repair("unload"), &[(200, "")]),
        ])
        .recordings_lead_everywhere()
        .assert();
}

fn settings() -> Value {
    json!({
        "liveness": {"path": "/status", "expect": {"pointer": "/state", "one_of": ["up", "busy"], "regex": "state"},
            "loading": {"status": 503, "contains": "loading"}},
        "readiness": {"path": "/models", "version": "/version", "models": {"list": "/models", "id": "/name",
            "state": "/status", "states": {"loaded": ["ready"], "unloaded": ["off"]}}},
        "progress": {"path": "/queue", "running": "/active", "queued": "/waiting", "capacity": "/slots",
            "counters": {"decode": "/tokens"}},
        "inference": {"path": "/generate", "text": "/out/text", "tokens": "/out/count",
            "body": "{\"model\":\"{model}\",\"prompt\":\"{prompt}\",\"max_tokens\":{max_tokens}}"},
        "load": {"path": "/load", "body": "{\"model\":\"{model}\"}", "expect": {"pointer": "/ok", "equals": true}},
        "unload": {"path": "/unload", "body": "{\"model\":\"{model}\"}"},
    })
}

fn record(kind: SessionKind, answers: &[(u16, &str)]) -> Recording {
    let Value::Object(settings) = settings() else { unreachable!("it is an object") };
    let start = Start { settings, ..Start::new(kind, 30_000, "2026-11-24T04:02:00Z") };
    let mut session = Session::new(&PLUGIN);
    let mut recording = Recording::default();
    let mut answers = answers.iter().zip(0..);
    let mut event = Event::Start(start);
    loop {
        let (code, effect) = session.step(&serde_json::to_string(&event).expect("an event"));
        assert_eq!(code, 0, "{effect}");
        recording.push(&event, Said::Effect(effect.clone()));
        if effect.starts_with(r#"{"effect":"report""#) {
            assert!(answers.next().is_none(), "asked for less: {effect}");
            return recording;
        }
        let (&(status, body), request) = answers.next().unwrap_or_else(|| panic!("asked for more: {effect}"));
        event = Event::Response(Response {
            request,
            ms: 1,
            outcome: Outcome::of_status(status),
            at: None,
            status: Some(status),
            headers: Default::default(),
            body: Some(body.into()),
            utf8: Some(true),
            text: None,
        });
    }
}
