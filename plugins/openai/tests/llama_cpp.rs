//! Looks at llama.cpp's server (recorded from b11669): idle, loading, busy, stalled, asleep; a router is looked at elsewhere.

use ai_monitor_openai::PLUGIN;
use ai_monitor_plugin_api::{
    event::{At, Depth, InferenceAsk, Outcome, SessionKind, Start},
    testing::{Reply, Scene},
};
use serde_json::{Value, json};

macro_rules! recorded {
    ($name:literal) => {
        Reply::recorded(include_str!(concat!("recorded/", $name, ".http")))
    };
}

fn start(depth: Depth) -> Start {
    let inference = (depth == Depth::Inference).then(|| InferenceAsk {
        model: None,
        prompt: "ping".into(),
        max_tokens: 1,
        scheduled: true,
    });
    let processes = json!([{"id":"0","role":"main","exe":"llama-server","args":[],"addresses":["0/8080"]}]);
    Start {
        variant: Some("llama.cpp".into()),
        processes: (depth == Depth::Progress).then(|| serde_json::from_value(processes).unwrap()),
        ..Start::new(SessionKind::Probe { depth, inference }, 30_000, "2026-11-24T04:02:00Z")
    }
}

fn ask(model: &str) -> Start {
    let mut start = start(Depth::Inference);
    if let SessionKind::Probe { inference: Some(ask), .. } = &mut start.session {
        ask.model = Some(model.into());
    }
    start
}

fn report(scene: Scene, start: &Start) -> Value {
    scene.run(&PLUGIN, start).0
}

fn healthy() -> Scene {
    Scene::new().on("GET /health", recorded!("health"))
}

fn loading() -> Reply {
    Reply::status(503, r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#)
        .header("server", "llama.cpp")
}

fn model(state: &str) -> Value {
    json!({"id":"tiny-random","state":state,"size_bytes":1783296,"capabilities":["completion"],
        "info":{"context":"256","parameters":"445824","quantization":"all F32"}})
}

/// Its list says `completion` of every model.
#[test]
fn a_server_that_was_started_for_vectors_is_asked_for_one() {
    let before = || {
        healthy()
            .on("GET /props", recorded!("embed_props"))
            .on("GET /v1/models", recorded!("embed_models"))
            .on("GET /metrics", recorded!("embed_metrics"))
    };
    let vector = before().on("POST /v1/embeddings", recorded!("embed_embeddings"));
    let processes = json!([{"id":"0","role":"main","exe":"llama-server","args":["-m","embed.gguf","--embeddings"],
        "addresses":["0/8080"]}]);
    let started = Start { processes: serde_json::from_value(processes).unwrap(), ..start(Depth::Inference) };
    let (told, sent) = vector.run(&PLUGIN, &started);
    assert_eq!(told["inference"], json!({"model":"embed","result":"output","first_token_ms":1}));
    assert_eq!(sent, [json!({"model":"embed","input":"ping"})]);
    // Without pooling it has none for this route, and a request for text ends its process.
    let none = before().on("POST /v1/embeddings", recorded!("embed_pooling_none"));
    assert_eq!(
        report(none, &started)["inference"],
        json!({"model":"embed","result":"skipped",
            "text":"Pooling type 'none' is not OAI compatible. Please use a different pooling type"})
    );
}

#[test]
fn idle() {
    assert_eq!(report(healthy(), &start(Depth::Liveness)), json!({}));
    let scene = healthy().on("GET /props", recorded!("props")).on("GET /v1/models", recorded!("models"));
    assert_eq!(
        report(scene, &start(Depth::Readiness)),
        json!({"version":"b11669-Debian","phase":"ready","models":[model("loaded")]})
    );
    // Nothing runs: the slots have nothing to add.
    let scene = healthy().on("GET /props", recorded!("props")).on("GET /metrics", recorded!("xllamacpp_metrics"));
    assert_eq!(
        report(scene, &start(Depth::Progress)),
        json!({"version":"b11669-Debian","phase":"ready","engines":[{
            "id":"server","process":"0","model":"tiny-random","running":0,"queued":0,"capacity":2,"phase":"ready",
            "counters":[{"id":"n_decode_total","kind":"batches","value":0}]}]})
    );
    // Without metrics, the slots tell.
    let props = r#"{"total_slots":2,"model_alias":"m","endpoint_slots":true,"endpoint_metrics":false}"#;
    let scene = healthy().on("GET /props", Reply::status(200, props)).on("GET /slots", recorded!("slots"));
    assert_eq!(
        report(scene, &start(Depth::Progress))["engines"],
        json!([{"id":"server","process":"0","model":"m","running":0,"capacity":2,"phase":"ready","counters":[]}])
    );
}

/// The same code built into a Python process (recorded from xllamacpp).
#[test]
fn another_build_of_the_same_server() {
    let scene = Scene::new()
        .on("GET /health", recorded!("xllamacpp_health"))
        .on("GET /props", recorded!("xllamacpp_props"))
        .on("GET /v1/models", recorded!("xllamacpp_models"));
    let report = report(scene, &start(Depth::Readiness));
    assert_eq!((&report["version"], &report["models"]), (&json!("b0-unknown"), &json!([model("loaded")])));
    let slots = r#"{"total_slots":2,"endpoint_slots":true}"#;
    let scene = Scene::new()
        .on("GET /health", recorded!("xllamacpp_health"))
        .on("GET /props", Reply::status(200, slots))
        .on("GET /v1/models", recorded!("xllamacpp_models"))
        .on("GET /slots", recorded!("xllamacpp_slots"))
        .on("POST /v1/chat/completions", recorded!("xllamacpp_chat_1tok_stream"));
    assert_eq!(report_inference(scene, &start(Depth::Inference))["result"], "output");
}

#[test]
fn loading_is_a_phase_and_not_a_fault() {
    for depth in [Depth::Liveness, Depth::Readiness, Depth::Inference] {
        let scene = Scene::new().on("GET /health", loading());
        assert_eq!(report(scene, &start(depth)), json!({"phase":"loading"}));
    }
    let scene = Scene::new().on("GET /health", loading());
    assert_eq!(
        report(scene, &start(Depth::Progress)),
        json!({"phase":"loading","engines":[{"id":"server","process":"0","phase":"loading"}]})
    );
}

#[test]
fn busy_is_counted_by_task_with_what_waits() {
    let scene = healthy()
        .on("GET /props", recorded!("props"))
        .on("GET /metrics", recorded!("busy_metrics_deferred"))
        .on("GET /slots", recorded!("busy_slots"));
    assert_eq!(
        report(scene, &start(Depth::Progress))["engines"],
        json!([{"id":"server","process":"0","model":"tiny-random","running":1,"queued":1,"capacity":1,"phase":"ready",
            "counters":[{"id":"n_decode_total","kind":"batches","value":14},
                        {"id":"slot0/0/prompt","kind":"prompt","value":28},
                        {"id":"slot0/0/decode","kind":"decode","value":2}]}])
    );
}

#[test]
fn llama_cpp_27388_slots_hang_while_health_answers() {
    let props = r#"{"build_info":"b1","total_slots":2,"model_alias":"m","endpoint_slots":true,"is_sleeping":false}"#;
    let scene = healthy()
        .on("GET /props", Reply::status(200, props))
        .on("GET /slots", Reply::broken(Outcome::Timeout, At::Headers));
    assert_eq!(
        report(scene, &start(Depth::Progress)),
        json!({"version":"b1","phase":"ready",
            "engines":[{"id":"server","process":"0","model":"m","capacity":2,"phase":"ready"}]})
    );
    // Metrics stand in the same queue: one silent route is enough.
    let scene =
        healthy().on("GET /props", recorded!("props")).on("GET /metrics", Reply::broken(Outcome::Timeout, At::Headers));
    assert_eq!(report(scene, &start(Depth::Progress))["engines"][0].get("running"), None);
}

/// What was not asked is unknown.
#[test]
fn at_the_first_silence_it_is_asked_no_more() {
    let silent = || Reply::broken(Outcome::Timeout, At::Headers);
    let scene = healthy().on("GET /props", silent());
    assert_eq!(report(scene, &start(Depth::Readiness)), json!({}));
    let scene = healthy().on("GET /props", recorded!("props")).on("GET /v1/models", silent());
    assert_eq!(report_inference(scene, &start(Depth::Inference))["text"], "its models are not known");
}

/// Only a token tells whether it works at all; behind a route that hangs it gets little time.
#[test]
fn a_silent_queue_gives_no_token_in_time() {
    let silent = || Reply::broken(Outcome::Timeout, At::Headers);
    let bare = r#"{"total_slots":2,"endpoint_slots":true,"is_sleeping":false}"#;
    for (props, route) in [(recorded!("props"), "GET /metrics"), (Reply::status(200, bare), "GET /slots")] {
        let scene = healthy()
            .on("GET /props", props)
            .on("GET /v1/models", recorded!("models"))
            .on(route, silent())
            .on("POST /v1/chat/completions", silent());
        assert_eq!(
            report_inference(scene, &start(Depth::Inference)),
            json!({"model":"tiny-random","result":"timeout","text":"no answer in 5000 ms"})
        );
    }
}

#[test]
fn no_answer_and_others_answers() {
    for (outcome, at) in
        [(Outcome::Refused, At::Connect), (Outcome::Timeout, At::Headers), (Outcome::Reset, At::Headers)]
    {
        for depth in Depth::ALL {
            let scene = Scene::new().on("GET /health", Reply::broken(outcome, at));
            assert_eq!(report(scene, &start(depth)), json!({}));
        }
    }
    let judged = |reply| report(Scene::new().on("GET /health", reply), &start(Depth::Liveness));
    assert_eq!(judged(Reply::status(302, "")), json!({}));
    assert_eq!(
        judged(Reply::status(200, r#"{"error":"Unexpected endpoint or method. (GET /health)"}"#)),
        json!({"judged":[{"request":0,"outcome":"foreign","text":"Unexpected endpoint or method. (GET /health)"}]})
    );
    assert_eq!(judged(Reply::status(404, r#"{"detail":"Not Found"}"#))["judged"][0]["outcome"], "foreign");
    assert_eq!(
        judged(Reply::status(200, r#"{"status":"#)),
        json!({"judged":[{"request":0,"outcome":"malformed","text":"EOF while parsing a value at line 1 column 10"}]})
    );
}

#[test]
fn a_key_that_is_missing_is_no_lack_of_life() {
    let denied =
        || Reply::status(401, r#"{"error":{"message":"Invalid API Key","type":"authentication_error","code":401}}"#);
    // Health is open to all; what is behind the key stays unknown.
    assert_eq!(report(healthy(), &start(Depth::Liveness)), json!({}));
    let scene = healthy().on("GET /props", denied()).on("GET /v1/models", recorded!("apikey_models_noauth"));
    assert_eq!(report(scene, &start(Depth::Readiness)), json!({}));
    let scene = healthy().on("GET /props", denied());
    assert_eq!(report(scene, &start(Depth::Progress)), json!({}));
}

#[test]
fn a_sleeping_server_stays_asleep() {
    let asleep = || healthy().on("GET /props", recorded!("sleep_props"));
    let scene = asleep().on("GET /v1/models", recorded!("sleep_models"));
    let ready = report(scene, &start(Depth::Readiness));
    assert_eq!((&ready["phase"], &ready["models"][0]["state"]), (&json!("sleeping"), &json!("sleeping")));
    // No slots are asked for: that would wake it.
    assert_eq!(
        report(asleep(), &start(Depth::Progress))["engines"],
        json!([{"id":"server","process":"0","model":"tiny.gguf","running":0,"capacity":4,"phase":"sleeping"}])
    );
    assert_eq!(
        report(asleep(), &start(Depth::Inference))["inference"],
        json!({"result":"skipped","text":"it sleeps: asking would wake it"})
    );
}

/// Measured: `GET /slots` restarts the timer of `--sleep-idle-seconds`, `/props` and `/metrics` do not.
#[test]
fn a_server_that_falls_asleep_when_idle_is_not_kept_awake() {
    let args = ["-m", "tiny.gguf", "--sleep-idle-seconds", "300"];
    let sleeper = |depth| {
        let processes = json!([{"id":"0","role":"main","exe":"llama-server","args":args,"addresses":["0/8080"]}]);
        Start { processes: Some(serde_json::from_value(processes).unwrap()), ..start(depth) }
    };
    let bare = r#"{"total_slots":2,"endpoint_slots":true,"is_sleeping":false}"#;
    let engines = |scene: Scene| report(scene, &sleeper(Depth::Progress))["engines"].take();
    assert_eq!(
        engines(healthy().on("GET /props", Reply::status(200, bare))),
        json!([{"id":"server","process":"0","capacity":2,"phase":"ready"}])
    );
    let idle = healthy().on("GET /props", recorded!("props")).on("GET /metrics", recorded!("xllamacpp_metrics"));
    assert_eq!(engines(idle)[0]["running"], 0);
    // While it works, it is awake anyway.
    let busy = healthy()
        .on("GET /props", recorded!("props"))
        .on("GET /metrics", recorded!("busy_metrics_deferred"))
        .on("GET /slots", recorded!("busy_slots"));
    assert_eq!(engines(busy)[0]["running"], 1);

    let scheduled = healthy().on("GET /props", Reply::status(200, bare));
    let why = "it sleeps when it is idle: asking by the clock would keep it awake";
    assert_eq!(report_inference(scheduled, &sleeper(Depth::Inference)), json!({"result":"skipped","text":why}));
    // Where its command line is not known, its user may say it.
    let mut told = start(Depth::Inference);
    told.settings.insert("sleeps_when_idle".into(), true.into());
    let scheduled = healthy().on("GET /props", Reply::status(200, bare));
    assert_eq!(report_inference(scheduled, &told)["text"], why);
}

#[test]
fn servers_without_slots_or_metrics_are_not_asked_for_them() {
    let props = r#"{"total_slots":2,"endpoint_slots":false,"endpoint_metrics":false}"#;
    let scene = healthy().on("GET /props", Reply::status(200, props));
    assert_eq!(
        report(scene, &start(Depth::Progress))["engines"],
        json!([{"id":"server","process":"0","capacity":2,"phase":"ready"}])
    );
    let old = r#"{"total_slots":2}"#;
    let scene = healthy().on("GET /props", Reply::status(200, old)).on("GET /slots", recorded!("apikey_slots_off"));
    assert_eq!(
        report(scene, &start(Depth::Progress))["engines"],
        json!([{"id":"server","process":"0","capacity":2,"phase":"ready"}])
    );
}

/// The looks that come before a token is asked for.
fn idle_slots() -> Scene {
    healthy()
        .on("GET /props", recorded!("props"))
        .on("GET /v1/models", recorded!("models"))
        .on("GET /metrics", recorded!("xllamacpp_metrics"))
}

#[test]
fn a_token_comes_out() {
    let scene = idle_slots().on("POST /v1/chat/completions", recorded!("chat_1tok_stream"));
    let (report, sent) = scene.run(&PLUGIN, &start(Depth::Inference));
    assert_eq!(
        report["inference"],
        json!({"model":"tiny-random","result":"output","text":" he","tokens":{"content":1,"thinking":0,"total":1},
            "first_token_ms":31,"finish":"length"})
    );
    assert_eq!(
        sent,
        [json!({"model":"tiny-random","messages":[{"role":"user","content":"ping"}],"max_tokens":1,"stream":true})]
    );
    let scene = idle_slots().on("POST /v1/chat/completions", recorded!("chat_8tok_stream_usage"));
    let inference = report_inference(scene, &start(Depth::Inference));
    assert_eq!(inference["tokens"]["total"], 8);
    assert_eq!(inference["decode_tps"], 4441.624365482234);
}

fn report_inference(scene: Scene, start: &Start) -> Value {
    report(scene, start)["inference"].take()
}

#[test]
fn any_name_is_served_and_the_report_says_by_which_model() {
    let scene = idle_slots().on("POST /v1/chat/completions", recorded!("chat_1tok_stream"));
    let (report, sent) = scene.run(&PLUGIN, &ask("no-such-model"));
    assert_eq!(sent[0]["model"], "no-such-model");
    assert_eq!(report["inference"]["model"], "tiny-random");
}

#[test]
fn a_full_server_is_not_asked() {
    let skipped = json!({"result":"skipped","text":"no free slot"});
    let listed = |props| healthy().on("GET /props", props).on("GET /v1/models", recorded!("models"));
    let scene = listed(recorded!("props")).on("GET /metrics", recorded!("busy_metrics_deferred"));
    assert_eq!(report_inference(scene, &start(Depth::Inference)), skipped);
    let bare = r#"{"total_slots":1}"#;
    let scene = listed(Reply::status(200, bare)).on("GET /slots", recorded!("busy_slots"));
    assert_eq!(report_inference(scene, &start(Depth::Inference)), skipped);
}

#[test]
fn tokens_that_do_not_come() {
    let asked = |reply: Reply| report(idle_slots().on("POST /v1/chat/completions", reply), &start(Depth::Inference));
    assert_eq!(
        asked(Reply::broken(Outcome::Timeout, At::Headers))["inference"],
        json!({"model":"tiny-random","result":"timeout","text":"no answer in 30000 ms"})
    );
    let head = concat!(
        r#"data: {"choices":[{"delta":{"role":"assistant","content":null}}],"model":"tiny-random"}"#,
        "\n\n: ping\n"
    );
    let stalled = asked(Reply::status(200, head).broken_off(Outcome::Timeout));
    assert_eq!(stalled["inference"]["result"], "timeout");
    assert_eq!(stalled["inference"].get("first_token_ms"), None);

    assert_eq!(asked(loading())["inference"]["result"], "skipped");
    assert_eq!(asked(Reply::status(429, "{}"))["inference"]["result"], "skipped");

    let failed = r#"data: {"error":{"code":500,"message":"CUDA error: device lost","type":"server_error"}}"#;
    let failed = asked(Reply::status(200, failed));
    assert_eq!(failed["judged"][0]["outcome"], "failed");
    assert_eq!(failed["symptoms"][0]["id"], "device_error");
    // The same words without a stream.
    let plain = asked(Reply::status(200, r#"{"error":{"message":"CUDA error: device lost"}}"#));
    assert_eq!(plain["inference"]["result"], "failed");

    let page = asked(Reply::status(200, "<html>login</html>"));
    assert_eq!((&page["judged"][0]["outcome"], &page["inference"]["result"]), (&json!("malformed"), &json!("failed")));
}

#[test]
fn before_identification_the_server_is_known_by_its_header() {
    let unknown = |depth| Start { variant: None, ..start(depth) };
    let scene = Scene::new().on("GET /v1/models", recorded!("models")).on("GET /props", recorded!("props"));
    assert_eq!(report(scene, &unknown(Depth::Readiness))["models"], json!([model("loaded")]));
    let scene = Scene::new().on("GET /v1/models", loading());
    assert_eq!(report(scene, &unknown(Depth::Liveness)), json!({"phase":"loading"}));
}
