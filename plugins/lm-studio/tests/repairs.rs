//! Loading and unloading a model of an LM Studio.

mod common;

use ai_monitor_lm_studio::PLUGIN;
use ai_monitor_plugin_api::{
    event::{At, Outcome, SessionKind, Start},
    testing::{Reply, Scene},
};
use common::*;
use serde_json::{Value, json};

fn repair(name: &str, model: &str) -> Start {
    let args = serde_json::from_value(json!({"model": model})).unwrap();
    Start::new(SessionKind::Repair { repair: name.into(), args }, 1_800_000, NOW)
}

fn listed(reply: Reply) -> Scene {
    Scene::new().on("GET /api/v1/models", reply)
}

#[test]
fn an_unload_takes_out_every_instance() {
    let scene = listed(list(&["one", "two"], &[]))
        .on("POST /api/v1/models/unload", ok(r#"{"instance_id":"one"}"#))
        .on("POST /api/v1/models/unload", ok(r#"{"instance_id":"two"}"#));
    let (report, sent) = scene.run(&PLUGIN, &repair("unload", "google/gemma-4"));
    assert_eq!(
        report,
        json!({"result":"done","text":"2 instances unloaded","within_ms":20000,
            "expect":[{"model":"google/gemma-4","state":["unloaded"]}]})
    );
    assert_eq!(sent, [json!({"instance_id":"one"}), json!({"instance_id":"two"})]);
}

#[test]
fn an_unload_of_very_many_instances_ends() {
    let ids: Vec<String> = (0..40).map(|n| format!("google/gemma-4:{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let scene = (0..32).fold(listed(list(&ids, &[])), |scene, _| {
        scene.on("POST /api/v1/models/unload", ok(r#"{"instance_id":"one"}"#))
    });
    let (report, _) = scene.run(&PLUGIN, &repair("unload", "google/gemma-4"));
    assert_eq!(report, json!({"result":"failed","text":"32 of its 40 instances were unloaded"}));
}

#[test]
fn a_load_names_the_model_and_nothing_else() {
    let answer = r#"{"type":"llm","instance_id":"google/gemma-4","load_time_seconds":9.099,"status":"loaded"}"#;
    let scene = listed(list(&[], &[])).on("POST /api/v1/models/load", ok(answer));
    let (report, sent) = scene.run(&PLUGIN, &repair("load", "google/gemma-4@q4_k_m"));
    assert_eq!(
        report,
        json!({"result":"done","text":"loaded as google/gemma-4 in 9.1 s","within_ms":20000,
            "expect":[{"model":"google/gemma-4","state":["loaded"]}]})
    );
    assert_eq!(sent, [json!({"model":"google/gemma-4"})]);
}

#[test]
fn what_is_so_already_is_left_alone() {
    let (report, sent) = listed(list(&["google/gemma-4"], &[])).run(&PLUGIN, &repair("load", "google/gemma-4"));
    assert_eq!((report, sent.len()), (json!({"result":"already","text":"google/gemma-4 is loaded"}), 0));
    let (report, sent) = listed(list(&[], &[])).run(&PLUGIN, &repair("unload", "google/gemma-4"));
    assert_eq!((report, sent.len()), (json!({"result":"already","text":"google/gemma-4 is not loaded"}), 0));
    // Gone between the look and the request: the host measures that it is.
    let scene = listed(list(&["google/gemma-4"], &[])).on(
        "POST /api/v1/models/unload",
        Reply::status(404, r#"{"error":{"message":"Model not found","code":"model_not_found"}}"#),
    );
    assert_eq!(scene.run(&PLUGIN, &repair("unload", "google/gemma-4")).0["result"], "done");
}

#[test]
fn before_0_4_0_there_is_no_such_repair() {
    for name in ["load", "unload"] {
        let (report, _) = listed(unexpected("GET /api/v1/models")).run(&PLUGIN, &repair(name, "llama"));
        assert_eq!(
            report,
            json!({"result":"unsupported","text":format!("LM Studio before 0.4.0 has no route for it; `lms {name}` does it")})
        );
    }
}

#[test]
fn without_the_list_nothing_is_done() {
    for (reply, why) in [
        (
            unauthorised(),
            "An LM Studio API token is required to make requests to this server, but none was provided using the Authorization header",
        ),
        (Reply::broken(Outcome::Timeout, At::Headers), "no answer in 5000 ms"),
        (Reply::broken(Outcome::Refused, At::Connect), "the connection was refused"),
        (ok(r#"{"models":[{"ke"#), "EOF while parsing a string at line 1 column 15"),
    ] {
        for name in ["load", "unload"] {
            let (report, sent) = listed(reply.clone()).run(&PLUGIN, &repair(name, "google/gemma-4"));
            assert_eq!(report, json!({"result":"failed","text":format!("its models cannot be known: {why}")}));
            assert!(sent.is_empty());
        }
    }
    let (report, _) = listed(list(&[], &[])).run(&PLUGIN, &repair("load", "nope"));
    assert_eq!(report, json!({"result":"failed","text":"nope is not among its models"}));
}

#[test]
fn a_load_that_fails_shows_what_is_broken() {
    let failed = |reply: Reply| {
        let scene = listed(list(&[], &[])).on("POST /api/v1/models/load", reply);
        let report = scene.run(&PLUGIN, &repair("load", "google/gemma-4")).0;
        assert_eq!((&report["result"], &report["expect"]), (&json!("failed"), &Value::Null));
        (report["text"].as_str().unwrap().to_owned(), report["symptoms"][0]["id"].clone())
    };
    let error = |text: &str| json!({"error":{"message":text}}).to_string();
    let text = "Failed to load model \"google/gemma-4\".";
    assert_eq!(failed(Reply::status(500, error(text))), (text.into(), json!("load_failed")));
    assert_eq!(failed(ok(error(text))), (text.into(), json!("load_failed")));
    let text = "Model loading aborted due to insufficient system resources.";
    assert_eq!(failed(Reply::status(500, error(text))), (text.into(), json!("out_of_memory")));
    assert_eq!(
        failed(ok(r#"{"status":"queued"}"#)),
        ("LM Studio said queued where `loaded` was expected".into(), Value::Null)
    );
    assert_eq!(failed(Reply::broken(Outcome::Reset, At::Headers)), ("the connection broke off".into(), Value::Null));
    assert_eq!(failed(ok(r#"{"sta"#)).1, Value::Null);
}

#[test]
fn an_unload_that_fails_expects_nothing() {
    let scene = listed(list(&["one"], &[])).on("POST /api/v1/models/unload", unexpected("POST /api/v1/models/unload"));
    let report = scene.run(&PLUGIN, &repair("unload", "google/gemma-4")).0;
    assert_eq!(
        report,
        json!({"result":"failed","text":"LM Studio before 0.4.0: Unexpected endpoint or method. (POST /api/v1/models/unload)"})
    );
}

const JOB: &str = "GET /api/v1/models/download/status/job_1";

fn pulled(scene: Scene) -> Value {
    let (report, sent) = scene.run(&PLUGIN, &repair("pull", "ibm/granite"));
    assert_eq!(sent, [json!({"model":"ibm/granite"})]);
    report
}

fn download(answer: Reply) -> Scene {
    Scene::new().on("POST /api/v1/models/download", answer)
}

fn job(status: &str, done: u64) -> Reply {
    ok(json!({"job_id":"job_1","status":status,"total_size_bytes":200_000_000,"downloaded_bytes":done}).to_string())
}

#[test]
fn a_download_is_asked_after_until_it_has_ended() {
    let scene =
        download(job("downloading", 0)).on(JOB, job("downloading", 100_000_000)).on(JOB, job("completed", 200_000_000));
    assert_eq!(
        pulled(scene),
        json!({"result":"done","text":"downloaded","within_ms":20000,
            "expect":[{"model":"ibm/granite","state":["unloaded","loading","loaded"]}]})
    );
    assert_eq!(
        pulled(download(ok(r#"{"status":"already_downloaded"}"#))),
        json!({"result":"already","text":"it was downloaded before"})
    );
    assert_eq!(
        pulled(download(job("downloading", 0)).on(JOB, job("paused", 1))),
        json!({"result":"refused","text":"its download is paused"})
    );
}

#[test]
fn a_download_that_fails_is_told_as_it_is() {
    let failed = |scene: Scene| {
        let report = pulled(scene);
        assert_eq!((&report["result"], &report["expect"]), (&json!("failed"), &Value::Null));
        report["text"].as_str().unwrap().to_owned()
    };
    let begun = || download(job("downloading", 0));
    assert_eq!(failed(begun().on(JOB, job("failed", 1))), "LM Studio said failed of the download");
    assert_eq!(failed(begun().on(JOB, Reply::broken(Outcome::Refused, At::Connect))), "the connection was refused");
    assert_eq!(
        failed(begun().on(JOB, job("downloading", 100_000_000)).on(JOB, Reply::broken(Outcome::Deadline, At::Connect))),
        "not done in the time given, and LM Studio goes on: ibm/granite: 50 % of 200 MB"
    );
    assert_eq!(failed(download(Reply::status(404, r#"{"error":{"message":"Model not found"}}"#))), "Model not found");
    assert_eq!(failed(download(ok(r#"{"status":"downloading"}"#))), "LM Studio named no job that could be asked after");
    assert_eq!(
        failed(download(ok(r#"{"status":"downloading","job_id":"../unload"}"#))),
        "LM Studio named no job that could be asked after"
    );
    let full = pulled(download(Reply::status(500, r#"{"error":"ENOSPC: no space left on device, write"}"#)));
    assert_eq!(full["symptoms"][0]["id"], "no_space");
    let old = pulled(download(unexpected("POST /api/v1/models/download")));
    assert_eq!(old["result"], "unsupported");
}

#[test]
fn a_download_that_never_ends_is_asked_after_a_bounded_number_of_times() {
    let scene = (0..60).fold(download(job("downloading", 0)), |scene, _| scene.on(JOB, job("downloading", 1)));
    assert_eq!(pulled(scene)["result"], "failed");
}
