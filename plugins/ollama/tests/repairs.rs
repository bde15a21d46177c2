//! Loading, unloading and downloading a model of an Ollama.

use ai_monitor_ollama::PLUGIN;
use ai_monitor_plugin_api::{
    event::{At, Outcome, SessionKind, Start},
    testing::{Reply, Scene},
};
use serde_json::{Value, json};

macro_rules! recorded {
    ($name:literal) => {
        Reply::recorded(include_str!(concat!("recorded/", $name, ".http")))
    };
}

fn repair(name: &str, args: Value) -> Start {
    let session = SessionKind::Repair { repair: name.into(), args: serde_json::from_value(args).unwrap() };
    Start::new(session, 1_800_000, "2026-11-24T04:00:00Z")
}

fn with_runner(start: Start) -> Start {
    let blob = "~/.ollama/models/blobs/sha256-95fda32b9de13ae3a8c1c90f3a62ba74292fff8e21b352b02bf937ec0344c48e";
    let processes = json!([
        {"id":"0","role":"main","exe":"ollama","args":["serve"],"addresses":["0/11434"]},
        {"id":"1","parent":"0","role":"engine","exe":"llama-server",
         "args":["--model",blob,"--port","49361"],"addresses":["1/49361"]},
    ]);
    Start { processes: Some(serde_json::from_value(processes).unwrap()), ..start }
}

#[test]
fn an_unload_expects_the_model_and_its_runner_to_go() {
    let scene =
        Scene::new().on("POST /api/show", recorded!("show")).on("POST /api/generate", recorded!("unload_keepalive0"));
    let (report, sent) = scene.run(&PLUGIN, &with_runner(repair("unload", json!({"model":"tiny"}))));
    assert_eq!(
        report,
        json!({"result":"done","text":"done_reason unload","within_ms":20000,
            "expect":[{"model":"tiny:latest","state":["unloaded"]},{"process":"1","gone":true}]})
    );
    assert_eq!(sent, [json!({"model":"tiny"}), json!({"model":"tiny","keep_alive":0})]);
}

#[test]
fn an_unload_expects_no_runner_to_go_that_is_not_known_to_be_its_own() {
    let scene = Scene::new()
        .on("POST /api/show", Reply::status(404, r#"{"error":"model 'tiny' not found"}"#))
        .on("POST /api/generate", recorded!("unload_keepalive0"));
    let (report, _) = scene.run(&PLUGIN, &with_runner(repair("unload", json!({"model":"tiny"}))));
    assert_eq!(report["expect"], json!([{"model":"tiny:latest","state":["unloaded"]}]));
}

#[test]
fn a_load_gives_back_the_expiry_that_was_left_and_no_other() {
    for (args, sent) in [
        (json!({"model":"tiny"}), json!({"model":"tiny","stream":false})),
        (
            json!({"model":"tiny","expires_at":"2026-11-24T04:29:57Z"}),
            json!({"model":"tiny","stream":false,"keep_alive":1797}),
        ),
        (json!({"model":"tiny","expires_at":"never"}), json!({"model":"tiny","stream":false,"keep_alive":-1})),
        (json!({"model":"tiny","expires_at":"some day"}), json!({"model":"tiny","stream":false})),
    ] {
        let scene = Scene::new().on("POST /api/generate", recorded!("generate_load_forever"));
        let (report, bodies) = scene.run(&PLUGIN, &repair("load", args));
        assert_eq!(
            report,
            json!({"result":"done","text":"done_reason load","within_ms":20000,
                "expect":[{"model":"tiny:latest","state":["loaded"]}]})
        );
        assert_eq!(bodies, [sent]);
    }
}

#[test]
fn a_model_that_makes_vectors_is_loaded_by_its_own_route() {
    let refusal = r#"{"error":"\"embed\" does not support generate"}"#;
    let scene = Scene::new()
        .on("POST /api/generate", Reply::status(400, refusal))
        .on("POST /api/embed", Reply::status(200, r#"{"model":"embed","embeddings":[]}"#));
    let (report, sent) = scene.run(&PLUGIN, &repair("load", json!({"model":"embed","expires_at":"never"})));
    assert_eq!(report["result"], "done");
    assert_eq!(sent[1], json!({"model":"embed","stream":false,"keep_alive":-1,"input":[]}));
}

#[test]
fn a_load_that_fails_shows_what_is_broken() {
    let failed = |reply: Reply| {
        let scene = Scene::new().on("POST /api/generate", reply);
        scene.run(&PLUGIN, &repair("load", json!({"model":"tiny"}))).0
    };
    assert_eq!(
        failed(recorded!("chat_stream_truncated_model")),
        json!({"result":"failed","text":"tensor \"output.weight\" offset+size (247136) exceeds file size (100000)",
            "symptoms":[{"id":"model_corrupt","model":"tiny:latest",
                "text":"tensor \"output.weight\" offset+size (247136) exceeds file size (100000)"}]})
    );
    assert_eq!(failed(recorded!("generate_missing")), json!({"result":"failed","text":"model 'nope' not found"}));
    assert_eq!(
        failed(Reply::broken(Outcome::Refused, At::Connect)),
        json!({"result":"failed","text":"the connection was refused"})
    );
    assert_eq!(
        failed(Reply::status(503, r#"{"error":"server busy, please try again.  maximum pending requests exceeded"}"#)),
        json!({"result":"refused","text":"server busy, please try again.  maximum pending requests exceeded"})
    );
    assert_eq!(
        failed(recorded!("unload_keepalive0")),
        json!({"result":"failed","text":"Ollama said unload where `load` was asked for"})
    );
    assert_eq!(
        failed(Reply::status(200, "<html>")),
        json!({"result":"failed","text":"Ollama said nothing where `load` was asked for"})
    );
}

#[test]
fn a_pull_expects_the_model_to_be_listed() {
    let scene = Scene::new().on("POST /api/pull", Reply::status(200, r#"{"status":"success"}"#));
    let (report, sent) = scene.run(&PLUGIN, &repair("pull", json!({"model":"tiny"})));
    assert_eq!(
        report,
        json!({"result":"done","text":"downloaded","within_ms":20000,
            "expect":[{"model":"tiny:latest","state":["unloaded","loaded","stopping"]}]})
    );
    assert_eq!(sent, [json!({"model":"tiny","stream":false})]);
}

#[test]
fn a_pull_that_fails_says_why() {
    let failed = |reply: Reply| {
        let scene = Scene::new().on("POST /api/pull", reply);
        scene.run(&PLUGIN, &repair("pull", json!({"model":"tiny"}))).0
    };
    let unreachable = "pull model manifest: Get \"https://registry.ollama.ai/v2/library/tiny/manifests/latest\": dial tcp: \
                       lookup registry.ollama.ai on 127.0.0.1:53: dial udp 127.0.0.1:53: connect: network is unreachable";
    assert_eq!(failed(recorded!("pull_no_network")), json!({"result":"failed","text":unreachable}));
    assert_eq!(
        failed(Reply::status(400, r#"{"error":"invalid model name"}"#)),
        json!({"result":"failed","text":"invalid model name"})
    );
    let full = "write /models/blobs/sha256-95fd-partial: no space left on device";
    assert_eq!(
        failed(Reply::status(500, json!({"error": full}).to_string())),
        json!({"result":"failed","text":full,"symptoms":[{"id":"no_space","model":"tiny:latest","text":full}]})
    );
    // A proxy in front that makes one answer of a stream.
    assert_eq!(failed(Reply::status(200, json!({"error": full}).to_string()))["text"], full);
    assert_eq!(
        failed(Reply::status(200, r#"{"status":"verifying sha256 digest"}"#)),
        json!({"result":"failed","text":"Ollama said verifying sha256 digest of the download"})
    );
    assert_eq!(
        failed(Reply::status(200, "{}")),
        json!({"result":"failed","text":"Ollama said nothing of the download"})
    );
    assert_eq!(failed(Reply::status(200, "<html>"))["result"], "failed");
    assert_eq!(
        failed(Reply::broken(Outcome::Timeout, At::Headers)),
        json!({"result":"failed","text":"no answer in 1800000 ms"})
    );
}
