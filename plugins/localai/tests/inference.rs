//! Asking a LocalAI for tokens, without loading or throwing out a model.

mod common;

use ai_monitor_localai::PLUGIN;
use ai_monitor_plugin_api::{
    event::{At, Outcome, SessionKind, Start},
    testing::{Reply, Scene},
};
use common::*;
use serde_json::{Value, json};

const STREAM: &str = r#"data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"q","choices":[{"index":0,"delta":{"role":"assistant","content":null},"finish_reason":null}]}

data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"q","choices":[{"index":0,"delta":{"reasoning":"hm"},"finish_reason":null}]}

data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"q","choices":[{"index":0,"delta":{"content":"ok"},"finish_reason":null}]}

data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"q","choices":[{"index":0,"delta":{},"finish_reason":"length"}]}

data: [DONE]

"#;

fn before(loaded: &[&str]) -> Scene {
    front().on("GET /system", system(loaded)).on("GET /v1/models/capabilities", list())
}

fn fit(loaded: &[&str]) -> Scene {
    before(loaded).on("GET /api/middleware/status", admission(1))
}

fn chatted(reply: Reply) -> Value {
    report(fit(&["q"]).on("POST /v1/chat/completions", reply), &ask(Some("q")))
}

fn skipped(scene: Scene, start: &Start) -> String {
    let (report, sent) = scene.run(&PLUGIN, start);
    assert_eq!(report["inference"]["result"], "skipped", "{report}");
    assert!(sent.is_empty(), "{sent:?}");
    report["inference"]["text"].as_str().unwrap().to_owned()
}

#[test]
fn a_loaded_model_is_asked_with_a_limit_and_no_other_option() {
    for wanted in [None, Some("q")] {
        let scene = fit(&["hear", "q"]).on("POST /v1/chat/completions", ok(STREAM));
        let (mut report, sent) = scene.run(&PLUGIN, &ask(wanted));
        assert_eq!(
            report["inference"].take(),
            json!({"model":"q","result":"output","text":"hmok","tokens":{"content":1,"thinking":1,"total":2},
                "first_token_ms":31,"finish":"length"})
        );
        assert_eq!(
            sent,
            [json!({"model":"q","messages":[{"role":"user","content":"Say: ok"}],"max_tokens":3,"stream":true})]
        );
    }
}

#[test]
fn what_cannot_be_asked_without_harm_is_skipped() {
    let loaded = |ids: &[&str]| front().on("GET /system", system(ids));
    assert_eq!(skipped(loaded(&[]), &ask(None)), "no model is loaded");
    assert_eq!(skipped(loaded(&[]), &ask(Some("q"))), "q is not loaded");
    assert_eq!(skipped(loaded(&["embed"]), &ask(Some("q"))), "q is not loaded");
    assert_eq!(skipped(before(&["hear"]), &ask(Some("hear"))), "hear makes neither text nor vectors");
    let why = "no loaded model is known to make text or vectors; name one";
    assert_eq!(skipped(before(&["hear", "loose.gguf"]), &ask(None)), why);
    assert_eq!(skipped(before(&["q"]).on("GET /api/middleware/status", admission(2)), &ask(Some("q"))), "no free slot");
    for refusal in [unauthorised(), not_admin(), ok(r#"{"load"#), Reply::broken(Outcome::Timeout, At::Headers)] {
        assert_eq!(
            skipped(front().on("GET /system", refusal), &ask(Some("q"))),
            "what is loaded cannot be known: asking could load it"
        );
    }
}

#[test]
fn a_front_that_is_silent_is_not_asked_for_tokens() {
    let silent = || Reply::broken(Outcome::Timeout, At::Headers);
    let why = "LocalAI gave no answer to a question before";
    let loaded = || front().on("GET /system", system(&["q"]));
    assert_eq!(skipped(loaded().on("GET /v1/models/capabilities", silent()), &ask(Some("q"))), why);
    assert_eq!(skipped(before(&["q"]).on("GET /api/middleware/status", silent()), &ask(Some("q"))), why);
}

#[test]
fn by_the_clock_it_is_never_asked() {
    let mut start = ask(Some("q"));
    let SessionKind::Probe { inference: Some(inference), .. } = &mut start.session else { panic!() };
    inference.scheduled = true;
    assert_eq!(
        skipped(front(), &start),
        "asking would restart the watchdog's idle timer, which unloads what nobody uses"
    );
}

#[test]
fn an_older_version_is_asked_for_text_of_a_model_that_is_named() {
    let before = || front().on("GET /system", system(&["q"])).on("GET /v1/models/capabilities", no_route());
    let asked = before().on("GET /api/middleware/status", no_route()).on("POST /v1/chat/completions", ok(STREAM));
    let report = report(asked, &ask(Some("q")));
    assert_eq!(report["inference"]["result"], "output");
    assert_eq!(skipped(before(), &ask(None)), "no loaded model is known to make text or vectors; name one");
}

#[test]
fn an_embedding_model_is_asked_for_a_vector() {
    let vector = r#"{"object":"list","model":"embed","data":[{"embedding":[0.1,0.2],"index":0,"object":"embedding"}],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}"#;
    let (mut report, sent) = fit(&["embed"]).on("POST /v1/embeddings", ok(vector)).run(&PLUGIN, &ask(None));
    assert_eq!(report["inference"].take(), json!({"model":"embed","result":"output","first_token_ms":1}));
    assert_eq!(sent, [json!({"model":"embed","input":"Say: ok"})]);
}

#[test]
fn a_503_is_told_apart_by_its_words() {
    let busy = |reply: Reply| {
        let report = chatted(reply);
        assert_eq!(report["inference"]["result"], "skipped", "{report}");
        assert_eq!(report["symptoms"], Value::Null);
        report["judged"][0]["outcome"].clone()
    };
    let admission = r#"{"error":{"message":"model \"q\" is at capacity (max_concurrent=1); retry after 1s","type":"admission_rejected"}}"#;
    assert_eq!(busy(Reply::status(503, admission).header("retry-after", "1")), "overloaded");
    let capacity = "backend inference capacity reached (max_concurrent=1024); retry after 1s";
    assert_eq!(busy(error(503, capacity).header("retry-after", "1")), "overloaded");
    assert_eq!(busy(Reply::status(503, "").header("retry-after", "1")), "overloaded");
    let loading = r#"{"error":{"code":"model_loading","message":"model q is staging (41%)","type":"model_loading"},"loading":{"model":"q","state":"staging","progress":41}}"#;
    assert_eq!(busy(Reply::status(503, loading).header("retry-after", "60")), Value::Null);

    let cooldown = "model \"q\" load is in cooldown after a recent failure; retry after 9s";
    let report = chatted(error(503, cooldown).header("retry-after", "9"));
    assert_eq!(report["inference"], json!({"model":"q","result":"failed","text":cooldown}));
    assert_eq!(report["symptoms"], json!([{"id":"load_failed","text":cooldown,"model":"q"}]));
    assert_eq!(chatted(Reply::status(503, ""))["inference"]["result"], "failed");
}

#[test]
fn localai_5339_its_backend_is_gone() {
    let in_stream = format!("data: {}\n\n", json!({"error":{"message":UNAVAILABLE,"code":500,"type":""}}));
    for reply in [error(500, UNAVAILABLE), ok(in_stream)] {
        let report = chatted(reply);
        assert_eq!(report["inference"]["result"], "failed");
        assert_eq!(report["symptoms"], json!([{"id":"engine_dead","text":UNAVAILABLE,"model":"q"}]));
    }
}

#[test]
fn a_load_that_fails_shows_itself_here() {
    for (text, id) in [
        (
            "failed to load model with internal loader: could not load model: rpc error: code = Unknown desc = failed loading model",
            "load_failed",
        ),
        ("failed to load model with internal loader: backend not found: llama-cpp", "not_installed"),
        (
            "failed to load model with internal loader: grpc service not ready: backend process exited with code 127",
            "load_failed",
        ),
        ("could not load model: rpc error: code = Canceled desc = CUDA error: out of memory", "out_of_memory"),
    ] {
        assert_eq!(chatted(error(500, text))["symptoms"][0]["id"], id, "{text}");
    }
}

#[test]
fn failures_are_told_as_they_are() {
    let result = |reply: Reply| {
        let report = chatted(reply);
        assert_eq!(report["inference"]["model"], "q");
        (report["inference"]["result"].clone(), report["inference"]["text"].clone())
    };
    assert_eq!(result(Reply::status(500, "")), (json!("failed"), json!("HTTP 500")));
    assert_eq!(result(unauthorised()), (json!("failed"), json!("An authentication key is required")));
    assert_eq!(
        result(Reply::broken(Outcome::Timeout, At::Headers)),
        (json!("timeout"), json!("no answer in 60000 ms"))
    );
    assert_eq!(
        result(Reply::broken(Outcome::Reset, At::Headers)),
        (json!("failed"), json!("the connection broke off"))
    );
    let begun = "data: {\"model\":\"q\",\"choices\":[{\"index\":0,\"delta\":{\"content\":null}}]}\n\n";
    assert_eq!(result(ok(begun).broken_off(Outcome::Timeout)), (json!("timeout"), Value::Null));
    assert_eq!(result(ok(begun).broken_off(Outcome::Reset)), (json!("failed"), json!("the stream broke off")));
    assert_eq!(result(ok(begun)), (json!("empty"), Value::Null));
}
