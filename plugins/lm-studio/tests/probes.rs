//! Looks at an LM Studio: whether it answers as itself, with which models, and where their work is done.

mod common;

use ai_monitor_plugin_api::{
    event::{At, Depth, Outcome},
    testing::{Reply, Scene},
};
use common::*;
use serde_json::{Value, json};

const SHALLOW: [Depth; 3] = [Depth::Liveness, Depth::Readiness, Depth::Progress];

fn greeted(reply: Reply, depth: Depth) -> Value {
    report(Scene::new().on("GET /lmstudio-greeting", reply), &look(depth))
}

/// Of a readiness probe whose list is this.
fn listed(reply: Reply) -> Value {
    report(greeting().on("GET /api/v1/models", reply), &look(Depth::Readiness))
}

#[test]
fn liveness_is_the_greeting() {
    assert_eq!(report(greeting(), &look(Depth::Liveness)), json!({"phase":"ready"}));
}

#[test]
fn no_answer_is_the_hosts_to_judge() {
    for (outcome, at) in [
        (Outcome::Refused, At::Connect),
        (Outcome::Timeout, At::Headers),
        (Outcome::Timeout, At::Body),
        (Outcome::Reset, At::Headers),
        (Outcome::Deadline, At::Connect),
    ] {
        for depth in SHALLOW {
            assert_eq!(greeted(Reply::broken(outcome, at), depth), json!({}));
        }
        let inference = Scene::new().on("GET /lmstudio-greeting", Reply::broken(outcome, at));
        assert_eq!(report(inference, &ask(None)), json!({}));
    }
}

#[test]
fn a_status_without_the_greeting_is_told_apart() {
    // The host's own outcome is right for these.
    for reply in [unauthorised(), Reply::status(500, "oops"), Reply::status(302, "")] {
        assert_eq!(greeted(reply, Depth::Liveness), json!({}));
    }
    let judged = |reply: Reply| {
        let report = greeted(reply, Depth::Liveness);
        let judged = &report["judged"][0];
        assert_eq!(report, json!({"judged":[judged]}), "nothing else is known");
        (judged["outcome"].as_str().unwrap().to_owned(), judged["text"].as_str().unwrap().to_owned())
    };
    let foreign = |text: &str| ("foreign".to_owned(), text.to_owned());
    // llama.cpp's server, Ollama and vLLM.
    assert_eq!(
        judged(Reply::status(404, r#"{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}"#)),
        foreign("no /lmstudio-greeting here: this is not LM Studio")
    );
    assert_eq!(judged(ok(r#"{"status":"ok"}"#)), foreign("JSON without `lmstudio`"));
    assert_eq!(judged(ok(r#"{"error":"no such page"}"#)), foreign("no such page"));
    assert_eq!(judged(ok(r#"{"lmstudio":[]}"#)), ("malformed".into(), "`lmstudio` is not true".into()));
    assert_eq!(judged(ok("")), foreign("EOF while parsing a value at line 1 column 0"));
    assert_eq!(judged(ok("<html>router login</html>")), foreign("expected value at line 1 column 1"));
    assert_eq!(judged(ok(r#"{"lmstud"#)), ("malformed".into(), "EOF while parsing a string at line 1 column 8".into()));
    assert_eq!(
        judged(unexpected("GET /lmstudio-greeting")),
        (
            "not_found".into(),
            "an LM Studio without a greeting, too old to be watched: Unexpected endpoint or method. (GET /lmstudio-greeting)"
                .into()
        )
    );
}

#[test]
fn idle() {
    assert_eq!(
        listed(list(&[], &[])),
        json!({"phase":"ready","models":[chat_model("unloaded"),embedding_model()],"engines":[]})
    );
}

#[test]
fn no_models_at_all_is_known() {
    assert_eq!(listed(ok(r#"{"models":[]}"#)), json!({"phase":"ready","models":[],"engines":[]}));
}

#[test]
fn a_model_in_memory_with_its_worker() {
    let scene = greeting().on("GET /api/v1/models", list(&["google/gemma-4"], &[]));
    let report = report(scene, &with_workers(look(Depth::Readiness), 1));
    assert_eq!(report["models"], json!([chat_model("loaded"), embedding_model()]));
    assert_eq!(report["engines"], json!([{"id":"google/gemma-4","process":"1","model":"google/gemma-4","capacity":4}]));
}

#[test]
fn a_model_that_is_loaded_twice_answers_to_both_names() {
    let scene = greeting().on("GET /api/v1/models", list(&["google/gemma-4", "google/gemma-4:2"], &[]));
    let report = report(scene, &with_workers(look(Depth::Readiness), 2));
    assert_eq!(report["models"][0]["aliases"], json!(["google/gemma-4@q4_k_m", "google/gemma-4:2"]));
    assert_eq!(report["models"][0]["info"]["instances"], "2");
    // Which worker has which is not told.
    assert_eq!(
        report["engines"],
        json!([
            {"id":"google/gemma-4","model":"google/gemma-4","capacity":4},
            {"id":"google/gemma-4:2","model":"google/gemma-4","capacity":4}
        ])
    );
}

#[test]
fn progress_tells_where_the_work_is_and_not_how_it_goes_on() {
    let scene = greeting().on("GET /api/v1/models", list(&["google/gemma-4"], &[]));
    assert_eq!(
        report(scene, &with_workers(look(Depth::Progress), 1)),
        json!({"phase":"ready",
            "engines":[{"id":"google/gemma-4","process":"1","model":"google/gemma-4","capacity":4}]})
    );
}

#[test]
fn one_worker_of_two_is_not_taken_for_the_models() {
    let scene = greeting().on("GET /api/v1/models", list(&["google/gemma-4"], &[]));
    let report = report(scene, &with_workers(look(Depth::Progress), 2));
    assert_eq!(report["engines"], json!([{"id":"google/gemma-4","model":"google/gemma-4","capacity":4}]));
}

#[test]
fn before_0_4_0_the_older_list_is_asked() {
    let v0 = json!({"object":"list","data":[
        {"id":"qwen2-vl","object":"model","type":"vlm","publisher":"mlx-community","arch":"qwen2_vl",
         "compatibility_type":"mlx","quantization":"4bit","state":"not-loaded","max_context_length":32768},
        {"id":"llama","object":"model","type":"llm","publisher":"lmstudio-community","arch":"llama",
         "compatibility_type":"gguf","quantization":"Q4_K_M","state":"loaded","max_context_length":131072,
         "capabilities":["tool_use"]},
        {"id":"odd","object":"model","type":"tts","state":"some-day"}
    ]});
    let scene = greeting()
        .on("GET /api/v1/models", unexpected("GET /api/v1/models"))
        .on("GET /api/v0/models", ok(v0.to_string()));
    let report = report(scene, &look(Depth::Readiness));
    assert_eq!(
        report["models"],
        json!([
            {"id":"qwen2-vl","state":"unloaded","capabilities":["completion","vision"],
             "info":{"architecture":"qwen2_vl","context":"32768","format":"mlx","quantization":"4bit"}},
            {"id":"llama","state":"loaded","capabilities":["completion","tools"],
             "info":{"architecture":"llama","context":"131072","format":"gguf","quantization":"Q4_K_M"}},
            {"id":"odd"}
        ])
    );
    assert_eq!(
        report["judged"],
        json!([{"request":1,"outcome":"unsupported",
            "text":"LM Studio before 0.4.0: Unexpected endpoint or method. (GET /api/v1/models)"}])
    );
    assert_eq!(report["engines"], Value::Null, "one of them may be in memory, which is not known");
}

#[test]
fn before_0_3_6_the_list_does_not_tell_what_is_loaded() {
    let scene = greeting()
        .on("GET /api/v1/models", unexpected("GET /api/v1/models"))
        .on("GET /api/v0/models", unexpected("GET /api/v0/models"))
        .on(
            "GET /v1/models",
            ok(r#"{"object":"list","data":[{"id":"llama","object":"model","owned_by":"organization_owner"}]}"#),
        );
    let report = report(scene, &look(Depth::Readiness));
    assert_eq!(report["models"], json!([{"id":"llama"}]));
    assert_eq!(report["engines"], Value::Null);
    assert_eq!(report["judged"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_list_that_fails_is_not_looked_for_elsewhere() {
    let known = |reply: Reply| {
        let report = listed(reply);
        assert_eq!((&report["models"], &report["engines"]), (&Value::Null, &Value::Null));
        report["judged"][0].clone()
    };
    for reply in [
        unauthorised(),
        Reply::status(500, r#"{"error":"oops"}"#),
        Reply::broken(Outcome::Timeout, At::Headers),
        Reply::broken(Outcome::Reset, At::Headers),
        ok(r#"{"models":[{"ke"#).broken_off(Outcome::Timeout),
        ok(r#"{"models":[{"ke"#).broken_off(Outcome::Reset),
    ] {
        assert_eq!(known(reply), Value::Null);
    }
    assert_eq!(
        known(ok(r#"{"models":[{"ke"#)),
        json!({"request":1,"outcome":"malformed","text":"EOF while parsing a string at line 1 column 15"})
    );
    assert_eq!(
        known(ok(r#"{"object":"list","data":[]}"#)),
        json!({"request":1,"outcome":"malformed","text":"missing field `models`"})
    );
    assert_eq!(known(ok("<html>"))["outcome"], "foreign");
    assert_eq!(
        known(ok(r#"{"error":{"message":"Utility process is not defined."}}"#)),
        json!({"request":1,"outcome":"failed","text":"Utility process is not defined."})
    );
}

#[test]
fn more_models_than_a_report_holds_are_not_shown_as_all() {
    let many: Vec<Value> = (0..2001).map(|n| json!({"key":format!("m{n}"),"loaded_instances":[]})).collect();
    let report = listed(ok(json!({"models":many}).to_string()));
    assert_eq!(report["models"], Value::Null);
    assert_eq!(report["engines"], json!([]));
}
