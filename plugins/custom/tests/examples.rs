//! The configurations of `docs/custom.md`, each against what its server answers.

use ai_monitor_custom::PLUGIN;
use ai_monitor_plugin_api::{
    event::{Depth, InferenceAsk, SessionKind, Start},
    testing::{Reply, Scene},
};
use serde_json::{Map, Value, json};

/// The settings of the guide's target of this name.
fn settings(name: &str) -> Map<String, Value> {
    let guide = include_str!("../../../docs/custom.md");
    let blocks = guide.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let targets = blocks.filter_map(|block| {
        let parsed: Value = toml::from_str(block).expect("a block of TOML");
        parsed["target"].get(0).cloned()
    });
    let target = targets.into_iter().find(|target| target["name"] == name).expect("the guide has it");
    target["settings"].as_object().cloned().expect("its settings")
}

fn look(name: &str, depth: Depth, scene: Scene) -> Value {
    let inference = (depth == Depth::Inference).then(|| InferenceAsk {
        model: None,
        prompt: "Say: ok".into(),
        max_tokens: 8,
        scheduled: false,
    });
    let start = Start {
        settings: settings(name),
        ..Start::new(SessionKind::Probe { depth, inference }, 30_000, "2026-11-24T04:02:00Z")
    };
    scene.run(&PLUGIN, &start).0
}

fn ok(body: &str) -> Reply {
    Reply::status(200, body)
}

#[test]
fn a_server_with_a_page_of_its_own() {
    let up = || Scene::new().on("GET /status", ok(r#"{"state":"up"}"#));
    let warming = look("mine", Depth::Liveness, Scene::new().on("GET /status", ok(r#"{"state":"warming"}"#)));
    assert_eq!(warming["judged"][0]["text"], "/state is warming");
    let models = ok(r#"{"models":[{"name":"a","status":"busy"},{"name":"b","status":"off"}]}"#);
    let ready = look("mine", Depth::Readiness, up().on("GET /models", models.clone()));
    assert_eq!(ready["models"], json!([{"id": "a", "state": "loaded"}, {"id": "b"}]));
    let queue = ok(r#"{"active":1,"waiting":0,"slots":2,"tokens":41}"#);
    let progress = look("mine", Depth::Progress, up().on("GET /queue", queue.clone()));
    assert_eq!(
        (&progress["engines"][0]["running"], &progress["engines"][0]["counters"][0]["value"]),
        (&json!(1), &json!(41))
    );
    let scene = up().on("GET /models", models).on("GET /queue", queue).on("POST /generate", ok(r#"{"text":"ok"}"#));
    assert_eq!(look("mine", Depth::Inference, scene)["inference"]["result"], "output");
    let repair = SessionKind::Repair {
        repair: "unload".into(),
        args: json!({"model": "a"}).as_object().cloned().unwrap_or_default(),
    };
    let start = Start { settings: settings("mine"), ..Start::new(repair, 30_000, "2026-11-24T04:02:00Z") };
    let report = Scene::new().on("POST /models/a/unload", ok("")).run(&PLUGIN, &start).0;
    assert_eq!(report["expect"], json!([{"model": "a", "state": ["unloaded"]}]));
}

#[test]
fn what_the_earlier_monitor_asked_for() {
    let on = |body: &str| Scene::new().on("GET /api/v1/model", ok(body));
    assert_eq!(look("oobabooga", Depth::Liveness, on(r#"{"result":"m"}"#)), json!({}));
    assert_eq!(look("oobabooga", Depth::Liveness, on("<html>"))["judged"][0]["outcome"], "malformed");
}

#[test]
fn whisper_that_loads_and_is_ready() {
    let on = |reply: Reply| Scene::new().on("GET /health", reply);
    let loading = look("whisper", Depth::Liveness, on(Reply::status(503, r#"{"status":"loading model"}"#)));
    assert_eq!(loading["phase"], "loading");
    assert_eq!(look("whisper", Depth::Liveness, on(ok(r#"{"status":"ok"}"#))), json!({"phase": "ready"}));
}

#[test]
fn text_generation_inference() {
    let up = || Scene::new().on("GET /health", ok(""));
    let info = || ok(r#"{"model_id":"org/m","version":"3.0.0","max_input_tokens":1024}"#);
    let ready = look("tgi", Depth::Readiness, up().on("GET /info", info()));
    assert_eq!(ready, json!({"version": "3.0.0", "models": [{"id": "org/m", "state": "loaded"}]}));
    let metrics = |queue: u32| {
        ok(&format!(
            "# TYPE tgi_queue_size gauge\ntgi_queue_size {queue}\ntgi_batch_current_size 2\n\
             tgi_batch_inference_count{{method=\"prefill\"}} 3\ntgi_batch_inference_count{{method=\"decode\"}} 40\n"
        ))
    };
    let progress = look("tgi", Depth::Progress, up().on("GET /metrics", metrics(0)));
    assert_eq!(
        progress["engines"],
        json!([{"id": "server", "running": 2, "queued": 0, "counters": [{"id": "steps", "kind": "steps", "value": 43}]}])
    );
    let asked = up().on("GET /info", info()).on("GET /metrics", metrics(0));
    let output = look("tgi", Depth::Inference, asked.on("POST /generate", ok(r#"{"generated_text":" ok"}"#)));
    assert_eq!((&output["inference"]["result"], &output["inference"]["model"]), (&json!("output"), &json!("org/m")));
    let waiting = up().on("GET /info", info()).on("GET /metrics", metrics(2));
    assert_eq!(look("tgi", Depth::Inference, waiting)["inference"]["result"], "skipped");
}
