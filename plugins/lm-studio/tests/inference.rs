//! Asking an LM Studio for tokens, without loading, throwing out or crashing a model.

mod common;

use ai_monitor_lm_studio::PLUGIN;
use ai_monitor_plugin_api::{
    event::{At, Outcome, SessionKind, Start},
    testing::{Reply, Scene},
};
use common::*;
use serde_json::{Value, json};

fn before(list: Reply) -> Scene {
    greeting().on("GET /api/v1/models", list)
}

fn loaded() -> Scene {
    before(list(&["google/gemma-4"], &[]))
}

fn inference(scene: Scene, start: &Start) -> Value {
    report(scene, start)["inference"].take()
}

fn skipped(scene: Scene, start: &Start) -> String {
    let (report, sent) = scene.run(&PLUGIN, start);
    assert_eq!(report["inference"]["result"], "skipped", "{report}");
    assert!(sent.is_empty(), "{sent:?}");
    report["inference"]["text"].as_str().unwrap().to_owned()
}

#[test]
fn an_instance_that_is_loaded_is_named_and_no_option_but_the_limit_is_sent() {
    for wanted in [None, Some("google/gemma-4"), Some("google/gemma-4@q4_k_m"), Some("mine")] {
        let scene = before(list(&["mine"], &[])).on("POST /v1/chat/completions", stream("mine"));
        let (mut report, sent) = scene.run(&PLUGIN, &ask(wanted));
        assert_eq!(
            report["inference"].take(),
            json!({"model":"google/gemma-4","result":"output","text":"hmok",
                "tokens":{"content":1,"thinking":1,"total":2},"first_token_ms":11,"finish":"stop"})
        );
        assert_eq!(
            sent,
            [json!({"model":"mine","messages":[{"role":"user","content":"Say: ok"}],"max_tokens":3,"stream":true})]
        );
    }
}

#[test]
fn the_second_instance_is_asked_where_it_is_meant() {
    let scene = before(list(&["one", "two"], &[])).on("POST /v1/chat/completions", stream("two"));
    let (report, sent) = scene.run(&PLUGIN, &ask(Some("two")));
    assert_eq!(report["inference"]["result"], "output");
    assert_eq!(sent[0]["model"], "two");
}

#[test]
fn what_cannot_be_asked_without_harm_is_skipped() {
    assert_eq!(skipped(before(list(&[], &[])), &ask(Some("google/gemma-4"))), "google/gemma-4 is not loaded");
    assert_eq!(skipped(before(list(&[], &[])), &ask(None)), "no model is loaded that could be asked");
    assert_eq!(skipped(loaded(), &ask(Some("nope"))), "nope is not among its models");
    let odd = ok(json!({"models":[{"type":"tts","key":"odd","loaded_instances":[{"id":"odd"}]}]}).to_string());
    assert_eq!(skipped(before(odd), &ask(Some("odd"))), "odd is of a kind that cannot be asked for text or a vector");
}

#[test]
fn lmstudio_2255_a_second_stream_can_crash_an_mlx_model() {
    let mlx = || {
        ok(json!({"models":[{"type":"llm","key":"qwen","format":"mlx","loaded_instances":[{"id":"qwen"}]}]})
            .to_string())
    };
    assert_eq!(
        skipped(before(mlx()), &ask(Some("qwen"))),
        "qwen is an MLX model: a second request can crash it, and whether it works on one is not told"
    );
    assert_eq!(skipped(before(mlx()), &ask(None)), "no model is loaded that could be asked");
}

#[test]
fn by_the_clock_it_is_never_asked() {
    let mut start = ask(Some("google/gemma-4"));
    let SessionKind::Probe { inference: Some(inference), .. } = &mut start.session else { panic!() };
    inference.scheduled = true;
    assert_eq!(
        skipped(greeting(), &start),
        "asking would restart the timer that unloads a model which was loaded on demand"
    );
}

#[test]
fn without_knowing_what_is_loaded_nothing_is_asked() {
    let old = greeting()
        .on("GET /api/v1/models", unexpected("GET /api/v1/models"))
        .on("GET /api/v0/models", unexpected("GET /api/v0/models"))
        .on("GET /v1/models", ok(r#"{"object":"list","data":[{"id":"llama"}]}"#));
    assert_eq!(
        skipped(old, &ask(Some("llama"))),
        "llama may not be loaded, which this version does not tell: asking could load it"
    );
    for reply in [unauthorised(), ok(r#"{"mod"#), Reply::broken(Outcome::Timeout, At::Headers)] {
        let (report, sent) = before(reply).run(&PLUGIN, &ask(None));
        assert_eq!((&report["inference"], sent.len()), (&Value::Null, 0));
    }
}

#[test]
fn lmstudio_619_another_model_may_answer() {
    let scene = loaded().on("POST /v1/chat/completions", stream("qwen/qwen3-4b"));
    assert_eq!(inference(scene, &ask(None))["model"], "qwen/qwen3-4b");
    // The variant of the same is the same.
    let scene = loaded().on("POST /v1/chat/completions", stream("google/gemma-4@q8_0"));
    assert_eq!(inference(scene, &ask(None))["model"], "google/gemma-4");
}

#[test]
fn lmstudio_1347_the_model_has_crashed() {
    let crashed = || json!({"error":{"message":CRASHED}}).to_string();
    for reply in [
        ok(crashed()),
        ok(format!("event: error\ndata: {}\n\n", crashed())),
        Reply::status(400, crashed()),
        Reply::status(500, crashed()),
        Reply::status(400, json!({"error": CRASHED}).to_string()),
    ] {
        let report = report(loaded().on("POST /v1/chat/completions", reply), &ask(None));
        assert_eq!(report["inference"]["result"], "failed");
        assert_eq!(
            report["symptoms"],
            json!([{"id":"model_crashed","text":CRASHED,"model":"google/gemma-4"}]),
            "{report}"
        );
    }
}

#[test]
fn an_error_inside_200_is_judged() {
    let scene = loaded().on("POST /v1/chat/completions", ok(r#"{"error":{"message":"Compute error."}}"#));
    let report = report(scene, &ask(None));
    assert_eq!(report["judged"], json!([{"request":2,"outcome":"failed","text":"Compute error."}]));
    assert_eq!(report["inference"]["text"], "Compute error.");
    assert_eq!(report["symptoms"], Value::Null);
}

#[test]
fn failures_are_told_as_they_are() {
    let result = |reply: Reply| {
        let inference = inference(loaded().on("POST /v1/chat/completions", reply), &ask(None));
        assert_eq!(inference["model"], "google/gemma-4");
        (inference["result"].as_str().unwrap().to_owned(), inference["text"].as_str().unwrap_or_default().to_owned())
    };
    let is = |result: &str, text: &str| (result.to_owned(), text.to_owned());
    assert_eq!(
        result(Reply::status(
            404,
            r#"{"error":{"message":"No models loaded. Please load a model in the developer page or use the 'lms load' command.","type":"invalid_request_error","param":"model","code":null}}"#
        )),
        is("failed", "No models loaded. Please load a model in the developer page or use the 'lms load' command.")
    );
    assert_eq!(result(Reply::broken(Outcome::Timeout, At::Headers)), is("timeout", "no answer in 60000 ms"));
    assert_eq!(result(Reply::broken(Outcome::Reset, At::Headers)), is("failed", "the connection broke off"));
    assert_eq!(result(Reply::status(429, "")), is("skipped", "HTTP 429"));
    assert_eq!(result(ok("data: [DONE]\n\n")), is("failed", "the answer is no stream of a chat completion"));
    assert_eq!(
        result(ok("data: {\"model\":\"google/gemma-4\",\"choices\":[]}\n\n").broken_off(Outcome::Reset)),
        is("failed", "the stream broke off")
    );
    assert_eq!(
        result(ok("data: {\"model\":\"google/gemma-4\",\"choices\":[]}\n\n").broken_off(Outcome::Timeout)),
        is("timeout", "")
    );
}

#[test]
fn an_embedding_model_is_asked_for_a_vector() {
    let before = || before(list(&[], &["nomic-embed"]));
    let vector = r#"{"object":"list","data":[{"object":"embedding","embedding":[0.1,0.2],"index":0}],"model":"nomic-embed@f16"}"#;
    let (mut report, sent) = before().on("POST /v1/embeddings", ok(vector)).run(&PLUGIN, &ask(None));
    assert_eq!(report["inference"].take(), json!({"model":"nomic-embed","result":"output","first_token_ms":1}));
    assert_eq!(sent, [json!({"model":"nomic-embed","input":"Say: ok"})]);

    let empty = r#"{"object":"list","data":[],"model":"nomic-embed"}"#;
    let scene = before().on("POST /v1/embeddings", ok(empty));
    assert_eq!(inference(scene, &ask(None))["result"], "empty");
    let scene = before().on("POST /v1/embeddings", ok(json!({"error":CRASHED}).to_string()));
    assert_eq!(inference(scene, &ask(None))["text"], CRASHED);
}
