//! Looks at servers that only their settings describe.

use ai_monitor_custom::PLUGIN;
use ai_monitor_plugin_api::{
    event::{At, Depth, InferenceAsk, Outcome, SessionKind, Start},
    testing::{Reply, Scene, Session},
};
use serde_json::{Value, json};

fn start(depth: Depth, settings: Value) -> Start {
    let inference = (depth == Depth::Inference).then(|| InferenceAsk {
        model: None,
        prompt: "Say: \"ok\"".into(),
        max_tokens: 8,
        scheduled: false,
    });
    let Value::Object(settings) = settings else { panic!("settings are an object") };
    let kind = SessionKind::Probe { depth, inference };
    Start { settings, ..Start::new(kind, 30_000, "2026-11-24T04:02:00Z") }
}

fn look(depth: Depth, settings: &Value, scene: Scene) -> Value {
    scene.run(&PLUGIN, &start(depth, settings.clone())).0
}

fn ok(body: impl Into<String>) -> Reply {
    Reply::status(200, body)
}

/// Why the plugin gives up on these settings, at the first step of this depth.
fn refused(depth: Depth, settings: Value) -> String {
    let event = serde_json::to_string(&ai_monitor_plugin_api::event::Event::Start(start(depth, settings)));
    let (code, text) = Session::new(&PLUGIN).step(&event.expect("an event"));
    assert_ne!(code, 0, "nothing was wrong: {text}");
    text
}

#[test]
fn the_example_of_the_contract() {
    let settings =
        json!({"liveness": {"path": "/status", "expect": {"status": 200, "pointer": "/state", "equals": "up"}}});
    let on = |reply| Scene::new().on("GET /status", reply);
    assert_eq!(
        look(Depth::Liveness, &settings, on(ok(r#"{"state":"warming"}"#))),
        json!({"judged": [{"request": 0, "outcome": "unavailable", "text": "/state is warming"}]})
    );
    assert_eq!(look(Depth::Liveness, &settings, on(ok(r#"{"state":"up"}"#))), json!({}), "nothing is invented");
    let malformed = look(Depth::Liveness, &settings, on(ok(r#"{"sta"#)));
    assert_eq!(malformed["judged"][0]["outcome"], "malformed");
    assert_eq!(look(Depth::Liveness, &settings, on(ok("{}")))["judged"][0]["text"], "nothing is at /state");
    // Not configured: not asked, and nothing is said.
    for depth in [Depth::Readiness, Depth::Progress] {
        assert_eq!(look(depth, &settings, Scene::new()), json!({}));
    }
    let inference = look(Depth::Inference, &settings, Scene::new());
    assert_eq!(inference["inference"]["result"], "skipped");
    assert!(inference["inference"]["text"].as_str().is_some_and(|text| text.starts_with("not configured")));
}

#[test]
fn what_the_earlier_monitor_did_is_one_path_and_one_text() {
    // `health_endpoint` and `expected_response`.
    let settings = json!({"liveness": {"path": "/api/v1/model", "expect": {"contains": "result"}}});
    let on = |reply| Scene::new().on("GET /api/v1/model", reply);
    assert_eq!(look(Depth::Liveness, &settings, on(ok(r#"{"result":"m"}"#))), json!({}));
    let other = look(Depth::Liveness, &settings, on(ok("<html>")));
    assert_eq!(other["judged"][0]["text"], "\"result\" is not in the answer");
    // Without settings: any 200 to 299 of the start page.
    assert_eq!(look(Depth::Liveness, &json!({}), Scene::new().on("GET /", Reply::status(204, ""))), json!({}));
}

#[test]
fn statuses_patterns_and_pointers() {
    let judged = |expect: Value, reply: Reply| {
        let settings = json!({"liveness": {"path": "/s", "expect": expect}});
        let report = look(Depth::Liveness, &settings, Scene::new().on("GET /s", reply));
        report["judged"][0]["outcome"].as_str().map(str::to_owned)
    };
    let is = |outcome: &str| Some(outcome.to_owned());
    // A status that is wanted is a good answer, whatever it says otherwise.
    assert_eq!(judged(json!({"status": [200, 401]}), Reply::status(401, "")), is("ok"));
    assert_eq!(judged(json!({"status": 204}), ok("")), is("malformed"));
    // Its own status says what it is.
    assert_eq!(judged(json!({"status": 200}), Reply::status(503, "")), None);
    assert_eq!(judged(json!({"regex": "^(up|idle)$"}), ok("idle")), None);
    assert_eq!(judged(json!({"regex": "^(up|idle)$"}), ok("idler")), is("malformed"));
    assert_eq!(judged(json!({"pointer": "/error", "exists": false}), ok("{}")), None);
    assert_eq!(judged(json!({"pointer": "/error", "exists": false}), ok(r#"{"error":"x"}"#)), is("unavailable"));
    assert_eq!(judged(json!({"pointer": "/n", "one_of": [1, 2]}), ok(r#"{"n":2.0}"#)), None);
    assert_eq!(judged(json!({"pointer": "/n", "one_of": [1, 2]}), ok(r#"{"n":3}"#)), is("unavailable"));
    assert_eq!(judged(json!({"pointer": ""}), ok("not json")), is("malformed"));
    // Where no answer came, what the host measured stands.
    assert_eq!(judged(json!({"contains": "x"}), Reply::broken(Outcome::Refused, At::Connect)), None);
    assert_eq!(judged(json!({"contains": "x"}), ok("half").broken_off(Outcome::Timeout)), None);
}

#[test]
fn a_server_that_says_that_it_loads_is_loading() {
    let settings =
        json!({"liveness": {"path": "/health", "loading": {"status": 503, "pointer": "/state", "equals": "loading"}}});
    let on = |reply| Scene::new().on("GET /health", reply);
    let loading = look(Depth::Liveness, &settings, on(Reply::status(503, r#"{"state":"loading"}"#)));
    assert_eq!((&loading["phase"], &loading["judged"][0]["outcome"]), (&json!("loading"), &json!("unavailable")));
    assert_eq!(look(Depth::Liveness, &settings, on(Reply::status(503, r#"{"state":"broken"}"#))), json!({}));
    assert_eq!(look(Depth::Liveness, &settings, on(ok("{}"))), json!({"phase": "ready"}));
}

fn full() -> Value {
    json!({
        "liveness": {"path": "/health"},
        "readiness": {"path": "/models", "version": "/version", "models": {
            "list": "/models", "id": "/name", "size_bytes": "/bytes", "state": "/status",
            "states": {"loaded": ["ready", "busy"], "loading": ["starting"]}}},
        "progress": {"path": "/queue", "running": "/active", "queued": "/waiting", "capacity": "/slots",
            "counters": {"decode": "/tokens", "steps": "/steps"}},
        "inference": {"path": "/generate", "body": "{\"model\":\"{model}\",\"q\":\"{prompt}\",\"n\":{max_tokens}}",
            "text": "/out/text", "tokens": "/out/count"},
    })
}

const MODELS: &str = r#"{"version":"2.1","models":[{"name":"a","status":"starting"},
    {"name":"b","status":"busy","bytes":7},{"name":"c","status":"asleep"}]}"#;
const QUEUE: &str = r#"{"active":[{"id":1}],"waiting":0,"slots":2,"tokens":41}"#;

#[test]
fn models_and_their_states() {
    let scene = || Scene::new().on("GET /health", ok(""));
    assert_eq!(
        look(Depth::Readiness, &full(), scene().on("GET /models", ok(MODELS))),
        json!({"version": "2.1", "models": [
            {"id": "a", "state": "loading"}, {"id": "b", "state": "loaded", "size_bytes": 7}, {"id": "c"}]})
    );
    // A list that is not as the settings say is not known, and told.
    let odd = look(Depth::Readiness, &full(), scene().on("GET /models", ok(r#"{"models":[{"id":"a"}]}"#)));
    assert_eq!((&odd["models"], &odd["judged"][0]["outcome"]), (&Value::Null, &json!("malformed")));
    assert_eq!(odd["judged"][0]["request"], 1);
    // None is none, and half an answer is nothing.
    let none = look(Depth::Readiness, &full(), scene().on("GET /models", ok(r#"{"models":[]}"#)));
    assert_eq!(none, json!({"models": []}));
    let half = look(Depth::Readiness, &full(), scene().on("GET /models", ok(&MODELS[..60])));
    assert_eq!(half["models"], Value::Null);
    // A server that is not well is not asked more.
    let report = look(Depth::Readiness, &full(), Scene::new().on("GET /health", Reply::status(500, "")));
    assert_eq!(report, json!({}));

    let list = |places: Value, body: &str| {
        let settings = json!({"readiness": {"path": "/m", "models": places}});
        look(Depth::Readiness, &settings, Scene::new().on("GET /", ok("")).on("GET /m", ok(body)))["models"].clone()
    };
    assert_eq!(list(json!({"list": ""}), r#"["x","y"]"#), json!([{"id": "x"}, {"id": "y"}]));
    assert_eq!(list(json!({"list": "/m", "all": "loaded"}), r#"{"m":"x"}"#), json!([{"id": "x", "state": "loaded"}]));
    assert_eq!(
        list(json!({"list": "", "state": "/s"}), r#"{"x":{"s":"loaded"},"y":{"s":"?"}}"#),
        json!([{"id": "x", "state": "loaded"}, {"id": "y"}])
    );
    let many = serde_json::to_string(&vec!["m"; 2001]).expect("a list");
    assert_eq!(list(json!({"list": ""}), &many), Value::Null, "a part would read as the whole");
}

#[test]
fn work_that_moves() {
    let scene = |body: &str| Scene::new().on("GET /health", ok("")).on("GET /queue", ok(body));
    assert_eq!(
        look(Depth::Progress, &full(), scene(QUEUE)),
        json!({"engines": [{"id": "server", "running": 1, "queued": 0, "capacity": 2,
            "counters": [{"id": "decode", "kind": "decode", "value": 41}]}]})
    );
    let odd = look(Depth::Progress, &full(), scene(r#"{"active":"yes"}"#));
    assert_eq!((&odd["engines"], &odd["judged"][0]["outcome"]), (&Value::Null, &json!("malformed")));
    let metrics = json!({"progress": {"path": "/metrics", "running": "q", "counters": {"decode": "made_total"}}});
    let text = "# TYPE q gauge\nq 2\nmade_total{m=\"a\"} 5\nmade_total{m=\"b\"} 6\n";
    let scene = Scene::new().on("GET /", ok("")).on("GET /metrics", ok(text));
    assert_eq!(
        look(Depth::Progress, &metrics, scene),
        json!({"engines": [{"id": "server", "running": 2, "counters": [{"id": "decode", "kind": "decode", "value": 11}]}]})
    );
}

#[test]
fn tokens_of_a_loaded_model_with_a_free_slot() {
    let before = |models: &str, queue: &str| {
        Scene::new().on("GET /health", ok("")).on("GET /models", ok(models)).on("GET /queue", ok(queue))
    };
    let scene = before(MODELS, QUEUE).on("POST /generate", ok(r#"{"out":{"text":" ok","count":2}}"#));
    let (report, sent) = scene.run(&PLUGIN, &start(Depth::Inference, full()));
    assert_eq!(
        report["inference"],
        json!({"model": "b", "result": "output", "text": " ok", "tokens": {"content": 0, "thinking": 0, "total": 2}})
    );
    assert_eq!(sent, [json!({"model": "b", "q": "Say: \"ok\"", "n": 8})]);

    let result = |reply: Reply| look(Depth::Inference, &full(), before(MODELS, QUEUE).on("POST /generate", reply));
    assert_eq!(result(ok(r#"{"out":{"text":"","count":0}}"#))["inference"]["result"], "empty");
    assert_eq!(result(Reply::broken(Outcome::Timeout, At::Headers))["inference"]["result"], "timeout");
    assert_eq!(result(Reply::status(429, ""))["inference"]["result"], "skipped");
    let crashed = result(Reply::status(500, r#"{"error":"CUDA error: device lost"}"#));
    assert_eq!(
        (&crashed["inference"]["result"], &crashed["symptoms"][0]["id"]),
        (&json!("failed"), &json!("device_error"))
    );
    assert_eq!(result(ok("<html>"))["inference"]["result"], "failed");

    // Nothing is risked.
    let skipped = |scene: Scene| look(Depth::Inference, &full(), scene)["inference"].clone();
    let none = Scene::new()
        .on("GET /health", ok(""))
        .on("GET /models", ok(r#"{"models":[{"name":"a","status":"starting"}]}"#));
    assert_eq!(skipped(none)["text"], "no model is loaded");
    assert_eq!(skipped(before(MODELS, r#"{"active":2,"waiting":0,"slots":2}"#))["text"], "no free slot");
    assert_eq!(skipped(before(MODELS, r#"{"active":1,"waiting":3,"slots":2}"#))["text"], "3 requests wait already");
    let unknown = Scene::new().on("GET /health", ok("")).on("GET /models", Reply::status(500, ""));
    assert_eq!(skipped(unknown)["result"], "skipped");
}

#[test]
fn a_stream_and_a_vector() {
    let settings =
        json!({"inference": {"path": "/s", "text": "/token/text", "stream": true, "body": "{\"q\":\"{prompt}\"}"}});
    let scene = |body: &str| Scene::new().on("GET /", ok("")).on("POST /s", ok(body));
    let report = look(
        Depth::Inference,
        &settings,
        scene("data: {\"token\":{\"text\":\"o\"}}\n\ndata: {\"token\":{\"text\":\"k\"}}\n\ndata: [DONE]\n"),
    );
    assert_eq!((&report["inference"]["result"], &report["inference"]["text"]), (&json!("output"), &json!("ok")));
    assert!(report["inference"]["first_token_ms"].is_u64());
    let failed = look(Depth::Inference, &settings, scene("{\"error\":\"out of memory\"}\n"));
    assert_eq!((&failed["inference"]["result"], &failed["judged"][0]["outcome"]), (&json!("failed"), &json!("failed")));
    let vector = json!({"inference": {"path": "/s", "text": "/embedding"}});
    assert_eq!(look(Depth::Inference, &vector, scene(r#"{"embedding":[0.1]}"#))["inference"]["result"], "output");
    assert_eq!(look(Depth::Inference, &vector, scene(r#"{"embedding":[]}"#))["inference"]["result"], "empty");
}

#[test]
fn wrong_settings_are_told_with_their_place_at_the_first_step_of_any_depth() {
    let many: serde_json::Map<_, _> = (0..9).map(|n| (format!("x{n}"), json!("a".repeat(1000)))).collect();
    for (settings, place) in [
        (json!({"liveness": {"expect": {"regex": "(up"}}}), "settings.liveness.expect.regex: "),
        (json!({"liveness": {"expect": {"status": 999}}}), "settings.liveness.expect.status: "),
        (json!({"liveness": {"expect": {"status": [200, "ok"]}}}), "settings.liveness.expect.status: "),
        (json!({"liveness": {"expect": {"status": []}}}), "settings.liveness.expect.status: "),
        (json!({"liveness": {"expect": {"equals": "up"}}}), "settings.liveness.expect: "),
        (json!({"liveness": {"expect": {"pointer": "/a", "equals": 1, "one_of": [2]}}}), "settings.liveness.expect: "),
        (json!({"liveness": {"path": "/../x"}}), "settings.liveness.path: "),
        (json!({"liveness": {"headers": {"Authorization": "Bearer x"}}}), "settings.liveness.headers.Authorization: "),
        (json!({"liveness": {"headers": many}}), "settings.liveness.headers: "),
        (json!({"readiness": {"path": "/m", "models": {"list": "models"}}}), "settings.readiness.models.list: "),
        (json!({"progress": {"path": "/m", "running": "a b"}}), "settings.progress.running: "),
        (json!({"progress": {"path": "/m", "counters": {"decode": "a{}"}}}), "settings.progress.counters.decode: "),
        (json!({"inference": {"path": "/m"}}), "settings.inference: "),
        (json!({"load": {"path": "/load"}}), "settings.load: "),
        (json!({"unload": {"path": "/u/{model}", "within": "1h"}}), "settings.unload.within: "),
        (json!({"livenes": {}}), "settings.livenes: "),
    ] {
        for depth in Depth::ALL {
            let text = refused(depth, settings.clone());
            assert!(text.starts_with(place), "{depth} with {settings}: {text}");
        }
    }
}
