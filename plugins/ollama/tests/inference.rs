//! Asking an Ollama for tokens, without loading a model and, where its runner is known, without prolonging one.

use ai_monitor_ollama::PLUGIN;
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

fn ask(model: Option<&str>, scheduled: bool) -> Start {
    let inference =
        InferenceAsk { model: model.map(str::to_owned), prompt: "Say: ok".into(), max_tokens: 3, scheduled };
    let session = SessionKind::Probe { depth: Depth::Inference, inference: Some(inference) };
    Start::new(session, 60_000, "2026-11-24T04:02:00Z")
}

fn with_runner(start: Start) -> Start {
    let processes = json!([
        {"id":"0","role":"main","exe":"ollama","args":["serve"],"addresses":["0/11434"]},
        {"id":"1","parent":"0","role":"engine","exe":"llama-server",
         "args":["--model","~/.ollama/models/blobs/sha256-95fd","--port","49361"],"addresses":["1/49361"]},
    ]);
    Start { processes: Some(serde_json::from_value(processes).unwrap()), ..start }
}

/// The look before: what is in memory.
fn before() -> Scene {
    Scene::new().on("GET /api/version", recorded!("version")).on("GET /api/ps", recorded!("ps_loaded"))
}

/// The same, and what it can do, which is asked for only before Ollama itself is.
fn before_ollama() -> Scene {
    before().on("GET /api/tags", recorded!("tags"))
}

fn inference(scene: Scene, start: &Start) -> Value {
    scene.run(&PLUGIN, start).0["inference"].take()
}

fn ok(body: &str) -> Reply {
    Reply::status(200, body)
}

const IDLE: &str = r#"[{"id":0,"n_ctx":512,"is_processing":false}]"#;
/// Of the runner of a real Ollama: it calls the model by its file.
const RUNNER_STREAM: &str = r#"data: {"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"model":"/models/blobs/sha256-95fd","object":"chat.completion.chunk"}

data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":" he"}}],"model":"/models/blobs/sha256-95fd","object":"chat.completion.chunk"}

data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"H"}}],"model":"/models/blobs/sha256-95fd","object":"chat.completion.chunk"}

data: {"choices":[{"finish_reason":"length","index":0,"delta":{}}],"model":"/models/blobs/sha256-95fd","object":"chat.completion.chunk","timings":{"predicted_n":3,"predicted_ms":0.595,"predicted_per_second":3361.5}}

data: [DONE]
"#;

#[test]
fn the_runner_itself_is_asked_so_that_nothing_is_prolonged() {
    for scheduled in [false, true] {
        let scene =
            before().on("GET /slots 1/49361", ok(IDLE)).on("POST /v1/chat/completions 1/49361", ok(RUNNER_STREAM));
        let (mut report, sent) = scene.run(&PLUGIN, &with_runner(ask(Some("tiny"), scheduled)));
        assert_eq!(
            report["inference"].take(),
            json!({"model":"tiny:latest","result":"output","text":" heH",
                "tokens":{"content":2,"thinking":0,"total":3},"first_token_ms":31,"decode_tps":3361.5,"finish":"length"})
        );
        assert_eq!(sent, [json!({"messages":[{"role":"user","content":"Say: ok"}],"max_tokens":3,"stream":true})]);
    }
}

#[test]
fn without_the_runner_ollama_is_asked_with_a_limit_and_no_other_option() {
    let scene = before_ollama().on("POST /api/chat", recorded!("api_chat_stream"));
    let (mut report, sent) = scene.run(&PLUGIN, &ask(None, false));
    assert_eq!(
        report["inference"].take(),
        json!({"model":"tiny:latest","result":"output","text":" heu he",
            "tokens":{"content":3,"thinking":0,"total":3},"first_token_ms":11,
            "decode_tps":2557.544757033248,"finish":"length"})
    );
    assert_eq!(
        sent,
        [json!({"model":"tiny:latest","messages":[{"role":"user","content":"Say: ok"}],"options":{"num_predict":3}})]
    );
}

#[test]
fn what_cannot_be_asked_without_harm_is_skipped() {
    let skipped = |scene: Scene, start: &Start| {
        let inference = inference(scene, start);
        assert_eq!(inference["result"], "skipped", "{inference}");
        inference["text"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        skipped(before(), &ask(Some("tiny"), true)),
        "its runner cannot be asked, and asking Ollama would restart its expiry timer"
    );
    assert_eq!(skipped(before(), &ask(Some("tinyb"), false)), "tinyb is not loaded");
    assert_eq!(skipped(before(), &ask(Some("nope"), false)), "nope is not loaded");
    let empty = Scene::new().on("GET /api/version", recorded!("version")).on("GET /api/ps", recorded!("ps_empty"));
    assert_eq!(skipped(empty, &ask(None, false)), "no model is loaded that could be asked");

    let late = Start { now: "2026-11-24T04:06:20Z".into(), ..ask(Some("tiny"), false) };
    assert_eq!(skipped(before(), &late), "tiny:latest is being unloaded");

    let remote = Scene::new()
        .on("GET /api/version", recorded!("version"))
        .on("GET /api/ps", ok(r#"{"models":[{"name":"big:cloud"}]}"#))
        .on("GET /api/tags", ok(r#"{"models":[{"name":"big:cloud","remote_host":"https://example.com"}]}"#));
    assert_eq!(skipped(remote, &ask(Some("big:cloud"), false)), "big:cloud runs elsewhere: asking it may cost money");

    let busy = before().on("GET /slots 1/49361", ok(r#"[{"id":0,"is_processing":true,"id_task":3}]"#));
    assert_eq!(skipped(busy, &with_runner(ask(Some("tiny"), false))), "no free slot");

    // Its runner was killed: the model stays listed until the next request, which would load it.
    let processes = json!([{"id":"0","role":"main","exe":"ollama","args":["serve"],"addresses":["0/11434"]}]);
    let alone = Start { processes: Some(serde_json::from_value(processes).unwrap()), ..ask(Some("tiny"), false) };
    assert_eq!(skipped(before(), &alone), "no runner of tiny:latest is to be found: asking could load it");
}

#[test]
fn a_silent_runner_gives_no_token_in_time() {
    let scene = before()
        .on("GET /slots 1/49361", Reply::broken(Outcome::Timeout, At::Headers))
        .on("POST /v1/chat/completions 1/49361", Reply::broken(Outcome::Timeout, At::Headers));
    assert_eq!(
        inference(scene, &with_runner(ask(Some("tiny"), false))),
        json!({"model":"tiny:latest","result":"timeout","text":"no answer in 5000 ms"})
    );
}

#[test]
fn a_silent_ollama_is_not_asked_for_tokens() {
    let scene = before().on("GET /api/tags", Reply::broken(Outcome::Timeout, At::Headers));
    assert_eq!(
        inference(scene, &ask(Some("tiny"), false)),
        json!({"model":"tiny:latest","result":"skipped",
            "text":"what kind of model it is cannot be known: Ollama is silent"})
    );
}

#[test]
fn a_full_queue_is_no_failure() {
    let busy = r#"{"error":"server busy, please try again.  maximum pending requests exceeded"}"#;
    let scene = before_ollama().on("POST /api/chat", Reply::status(503, busy));
    let (report, _) = scene.run(&PLUGIN, &ask(Some("tiny"), false));
    assert_eq!(report["judged"][0]["outcome"], "overloaded");
    assert_eq!(report["judged"][0]["request"], 3);
    assert_eq!(report["inference"]["result"], "skipped");
    assert_eq!(report.get("symptoms"), None);
}

#[test]
fn known_signatures_are_symptoms() {
    for (reply, id) in [
        (recorded!("chat_garbage_model"), "model_corrupt"),
        (recorded!("chat_stream_truncated_model"), "model_corrupt"),
        (Reply::status(500, r#"{"error":"llama runner process has terminated: CUDA error"}"#), "device_error"),
    ] {
        let (report, _) = before_ollama().on("POST /api/chat", reply).run(&PLUGIN, &ask(Some("tiny"), false));
        assert_eq!(report["inference"]["result"], "failed");
        assert_eq!(report["symptoms"][0]["id"], id);
        assert_eq!(report["symptoms"][0]["model"], "tiny:latest");
        assert_eq!(report["symptoms"][0]["text"], report["inference"]["text"]);
    }
    let (report, _) =
        before_ollama().on("POST /api/chat", recorded!("chat_missing")).run(&PLUGIN, &ask(Some("tiny"), false));
    assert_eq!(report["inference"]["text"], "model 'nope' not found");
    assert_eq!(report.get("symptoms"), None);
}

#[test]
fn an_error_in_mid_stream_is_a_failure() {
    let body = concat!(
        r#"{"model":"tiny","message":{"role":"assistant","content":" he"},"done":false}"#,
        "\n",
        r#"{"error":"an error was encountered while running the model: unexpected EOF"}"#,
    );
    let (report, _) = before_ollama().on("POST /api/chat", ok(body)).run(&PLUGIN, &ask(Some("tiny"), false));
    let text = "an error was encountered while running the model: unexpected EOF";
    assert_eq!(report["judged"], json!([{"request":3,"outcome":"failed","text":text}]));
    assert_eq!(report["inference"]["result"], "failed");
    assert_eq!(report["inference"]["tokens"], json!({"content":1,"thinking":0,"total":1}));
    assert_eq!(report["symptoms"], json!([{"id":"engine_dead","text":text,"model":"tiny:latest"}]));
}

#[test]
fn a_stream_is_judged_by_what_it_gave() {
    let asked = |reply: Reply| before_ollama().on("POST /api/chat", reply).run(&PLUGIN, &ask(Some("tiny"), false)).0;

    let first = r#"{"model":"tiny","message":{"content":" he"},"done":false}"#;
    let stalled = asked(ok(first).broken_off(Outcome::Timeout));
    assert_eq!(stalled["inference"]["result"], "timeout");
    assert_eq!(stalled["inference"]["tokens"]["total"], 1);
    assert_eq!(asked(ok(first).broken_off(Outcome::Reset))["inference"]["result"], "failed");

    // A load is no generation, whatever its status.
    let loaded = asked(ok(r#"{"model":"tiny","message":{"content":""},"done":true,"done_reason":"load"}"#));
    assert_eq!(loaded["inference"]["result"], "empty");
    assert_eq!(loaded["inference"]["finish"], "load");

    let thinking =
        asked(ok(r#"{"model":"tiny","message":{"content":"","thinking":"Hm"},"done":true,"done_reason":"length"}"#));
    assert_eq!(thinking["inference"]["result"], "output");
    assert_eq!(thinking["inference"]["tokens"], json!({"content":0,"thinking":1,"total":1}));

    let page = asked(ok("<html>login</html>"));
    assert_eq!(page["inference"]["result"], "failed");
    assert_eq!(page["judged"][0]["outcome"], "malformed");
}

#[test]
fn a_model_that_makes_vectors_is_asked_for_one() {
    let before = || {
        Scene::new()
            .on("GET /api/version", recorded!("version"))
            .on("GET /api/ps", ok(r#"{"models":[{"name":"embed:latest"}]}"#))
            .on("GET /api/tags", ok(r#"{"models":[{"name":"embed:latest","capabilities":["embedding"]}]}"#))
    };
    let scene = before().on("POST /api/embed", ok(r#"{"model":"embed","embeddings":[[0.1,0.2]]}"#));
    assert_eq!(
        inference(scene, &ask(None, false)),
        json!({"model":"embed:latest","result":"output","first_token_ms":1})
    );
    let scene = before().on("POST /api/embed", ok(r#"{"model":"embed","embeddings":[]}"#));
    assert_eq!(inference(scene, &ask(None, false))["result"], "empty");
}

/// Measured: `expires_at` stays where it is.
#[test]
fn the_runner_of_a_model_that_makes_vectors_is_asked_itself() {
    let processes = json!([
        {"id":"0","role":"main","exe":"ollama","args":["serve"],"addresses":["0/11434"]},
        {"id":"1","parent":"0","role":"engine","exe":"llama-server",
         "args":["--model","sha256-95fd","--port","49361","--embedding"],"addresses":["1/49361"]},
    ]);
    let start = Start { processes: Some(serde_json::from_value(processes).unwrap()), ..ask(None, true) };
    let answered = |reply| {
        let scene = before().on("GET /slots 1/49361", ok(IDLE)).on("POST /v1/embeddings 1/49361", reply);
        inference(scene, &start)
    };
    let vector = r#"{"model":"/models/blobs/sha256-95fd","object":"list","data":[{"embedding":[0.2,0.1],"index":0}]}"#;
    assert_eq!(answered(ok(vector)), json!({"model":"tiny:latest","result":"output","first_token_ms":1}));
    assert_eq!(answered(Reply::broken(Outcome::Timeout, At::Headers))["result"], "timeout");
}

/// What the clock asks for goes to the runner or nowhere.
#[test]
fn a_schedule_has_no_side_effect_so_that_the_manifest_names_none() {
    let manifest = ai_monitor_plugin_api::testing::manifest(&PLUGIN);
    assert_eq!(manifest.probes[&Depth::Inference].side_effect, None);
    let slotless = before().on("GET /slots 1/49361", Reply::status(501, r#"{"error":{"code":501}}"#));
    assert_eq!(inference(slotless, &with_runner(ask(None, true)))["result"], "skipped");
    let mut left_alone = with_runner(ask(None, true));
    left_alone.settings.insert("prefer_engine".into(), false.into());
    assert_eq!(inference(before(), &left_alone)["result"], "skipped");
}

#[test]
fn where_memory_cannot_be_looked_at_nothing_is_asked() {
    let scene = Scene::new()
        .on("GET /api/version", recorded!("version"))
        .on("GET /api/ps", Reply::broken(Outcome::Timeout, At::Headers));
    assert_eq!(scene.run(&PLUGIN, &ask(None, false)).0, json!({"version":"0.32.15","phase":"ready"}));
}
