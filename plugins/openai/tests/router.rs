//! Looks at llama.cpp's server as a router, and its repairs (recorded from b11669).

use ai_monitor_openai::PLUGIN;
use ai_monitor_plugin_api::{
    event::{At, Depth, InferenceAsk, Outcome, SessionKind, Start},
    testing::{Reply, Scene},
};
use serde_json::{Value, json};

macro_rules! recorded {
    ($name:literal) => {
        Reply::recorded(include_str!(concat!("recorded/router_", $name, ".http")))
    };
}

fn start(depth: Depth) -> Start {
    Start {
        variant: Some("llama.cpp-router".into()),
        ..Start::new(SessionKind::Probe { depth, inference: None }, 30_000, "2026-11-24T04:02:00Z")
    }
}

fn ask(model: Option<&str>, scheduled: bool) -> Start {
    let model = model.map(str::to_owned);
    let inference = Some(InferenceAsk { model, prompt: "ping".into(), max_tokens: 1, scheduled });
    Start { session: SessionKind::Probe { depth: Depth::Inference, inference }, ..start(Depth::Inference) }
}

/// With the child of `beta` among the processes.
fn with_child(start: Start, more: &[&str]) -> Start {
    let mut args = vec!["--host", "127.0.0.1", "--port", "33973", "--alias", "beta", "--model", "beta.gguf"];
    args.extend(more);
    let processes = json!([
        {"id":"0","role":"main","exe":"llama-server","args":["--models-dir","."],"addresses":["0/8080"]},
        {"id":"1","parent":"0","role":"engine","exe":"llama-server","args":args,"addresses":["1/33973"]},
    ]);
    Start { processes: Some(serde_json::from_value(processes).unwrap()), ..start }
}

fn report(scene: Scene, start: &Start) -> Value {
    scene.run(&PLUGIN, start).0
}

fn router() -> Scene {
    Scene::new().on("GET /health", recorded!("health")).on("GET /props", recorded!("props"))
}

/// With `beta` loaded and the others not.
fn beta_loaded() -> Scene {
    router().on("GET /v1/models", recorded!("models_after_evict"))
}

const ONE_TOKEN: &str =
    r#"data: {"choices":[{"finish_reason":"length","index":0,"delta":{"content":"V"}}],"model":"beta"}"#;

#[test]
fn each_model_has_a_state_of_its_own() {
    let states = |reply| {
        let models = report(router().on("GET /v1/models", reply), &start(Depth::Readiness))["models"].take();
        let models = models.as_array().unwrap().clone();
        models.iter().map(|m| m["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(states(recorded!("models_initial")), ["unloaded", "unloaded", "unloaded"]);
    assert_eq!(states(recorded!("v1_models_initial")), ["unloaded", "unloaded", "unloaded"]);
    assert_eq!(states(recorded!("models_after_load")), ["loaded", "unloaded", "unloaded"]);
    assert_eq!(states(recorded!("models_after_evict")), ["unloaded", "loaded", "unloaded"]);
    assert_eq!(states(recorded!("models_after_unload")), ["unloaded", "unloaded", "failed"]);
    assert_eq!(states(recorded!("models_after_child_kill9")), ["unloaded", "failed", "failed"]);
    let list =
        |value| Reply::status(200, json!({"object":"list","data":[{"id":"m","status":{"value":value}}]}).to_string());
    assert_eq!(states(list("loading")), ["loading"]);
    assert_eq!(states(list("sleeping")), ["sleeping"]);
}

#[test]
fn what_is_known_of_a_loaded_model_is_shown() {
    assert_eq!(
        report(beta_loaded(), &start(Depth::Readiness))["models"][1],
        json!({"id":"beta","state":"loaded","size_bytes":1783296,
            "info":{"context":"2048","parameters":"445824","quantization":"all F32"}})
    );
}

/// Shown, and no fault of the server: the next request starts the model anew.
#[test]
fn a_model_whose_process_ended_is_named_with_its_code() {
    let scene = router().on("GET /v1/models", recorded!("models_after_broken"));
    let report = report(scene, &start(Depth::Readiness));
    assert_eq!(report["phase"], "ready");
    assert_eq!(
        report["symptoms"],
        json!([{"id":"model_failed","model":"broken","text":"the process of broken ended with exit code 1"}])
    );
    assert_eq!(report["models"][2]["info"]["exit code"], "1");
}

#[test]
fn children_are_asked_on_their_own_ports() {
    let scene = router()
        .on("GET /props 1/33973", recorded!("props_beta"))
        .on("GET /metrics 1/33973", recorded!("metrics_beta"));
    assert_eq!(
        report(scene, &with_child(start(Depth::Progress), &[]))["engines"],
        json!([{"id":"llama-server/33973","process":"1","model":"beta","running":0,"queued":0,"capacity":4,
            "phase":"ready","counters":[{"id":"n_decode_total","kind":"batches","value":1}]}])
    );
    let loading = r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#;
    let scene = router().on("GET /props 1/33973", Reply::status(503, loading));
    assert_eq!(
        report(scene, &with_child(start(Depth::Progress), &[]))["engines"],
        json!([{"id":"llama-server/33973","process":"1","model":"beta","phase":"loading"}])
    );
    let scene = router().on("GET /props 1/33973", Reply::broken(Outcome::Timeout, At::Headers));
    assert_eq!(
        report(scene, &with_child(start(Depth::Progress), &[]))["engines"],
        json!([{"id":"llama-server/33973","process":"1","model":"beta"}])
    );
    let asleep = r#"{"total_slots":4,"endpoint_slots":true,"endpoint_metrics":true,"is_sleeping":true}"#;
    let scene = router().on("GET /props 1/33973", Reply::status(200, asleep));
    assert_eq!(report(scene, &with_child(start(Depth::Progress), &[]))["engines"][0]["phase"], "sleeping");
    // Nothing is loaded: looked, and there is none.
    let alone = json!([{"id":"0","role":"main","exe":"llama-server","args":[],"addresses":["0/8080"]}]);
    let alone = Start { processes: Some(serde_json::from_value(alone).unwrap()), ..start(Depth::Progress) };
    assert_eq!(report(router(), &alone)["engines"], json!([]));
}

/// Two that hang would cost the session as much again; of the others it is only known that they are there.
#[test]
fn after_a_child_that_is_silent_no_other_is_asked() {
    let silent = || Reply::broken(Outcome::Timeout, At::Headers);
    let mut start = with_child(start(Depth::Progress), &[]);
    let more = json!({"id":"2","parent":"0","role":"engine","exe":"llama-server",
        "args":["--port","33974","--alias","alpha"],"addresses":["2/33974"]});
    start.processes.as_mut().unwrap().push(serde_json::from_value(more).unwrap());
    let beta = json!({"id":"llama-server/33973","process":"1","model":"beta"});
    let alpha = json!({"id":"llama-server/33974","process":"2","model":"alpha"});
    let scene = router().on("GET /props 1/33973", silent());
    assert_eq!(report(scene, &start)["engines"], json!([beta, alpha]));
    let scene = router().on("GET /props 1/33973", recorded!("props_beta")).on("GET /metrics 1/33973", silent());
    assert_eq!(report(scene, &start)["engines"][1], alpha);
    // One that is gone costs nothing.
    let asleep = r#"{"total_slots":4,"is_sleeping":true}"#;
    let scene = router()
        .on("GET /props 1/33973", Reply::broken(Outcome::Refused, At::Connect))
        .on("GET /props 2/33974", Reply::status(200, asleep));
    assert_eq!(report(scene, &start)["engines"][1]["phase"], "sleeping");
}

#[test]
fn without_processes_the_router_passes_questions_on_and_loads_nothing() {
    let bare = r#"{"total_slots":4,"endpoint_slots":true,"is_sleeping":false}"#;
    let scene = beta_loaded()
        .on("GET /props?model=beta&autoload=false", Reply::status(200, bare))
        .on("GET /slots?model=beta&autoload=false", recorded!("slots_beta"));
    let engines = report(scene, &start(Depth::Progress))["engines"].take();
    assert_eq!(
        (&engines[0]["id"], &engines[0]["running"], &engines[0]["capacity"]),
        (&json!("beta"), &json!(0), &json!(4))
    );
    assert_eq!(engines.as_array().map(Vec::len), Some(1));
    // Thrown out between the two questions.
    let scene = beta_loaded().on("GET /props?model=beta&autoload=false", recorded!("props_alpha_noautoload"));
    assert_eq!(report(scene, &start(Depth::Progress))["engines"], json!([{"id":"beta","model":"beta"}]));
    let scene = router().on("GET /v1/models", recorded!("models_initial"));
    assert_eq!(report(scene, &start(Depth::Progress))["engines"], json!([]));
}

#[test]
fn a_plain_rule_may_have_found_it_and_it_is_a_router_all_the_same() {
    let plain = |depth| Start { variant: Some("llama.cpp".into()), ..start(depth) };
    let scene = router().on("GET /v1/models", recorded!("models_initial"));
    assert_eq!(report(scene, &plain(Depth::Readiness))["models"][0]["state"], "unloaded");
    // Its own slots and metrics need a model's name, and are not asked for.
    let scene = router().on("GET /v1/models", recorded!("models_initial"));
    assert_eq!(report(scene, &plain(Depth::Progress))["engines"], json!([]));
}

#[test]
fn a_token_comes_from_a_child_that_is_loaded() {
    for (model, scheduled) in [(None, true), (Some("beta"), true), (Some("beta"), false)] {
        let scene = beta_loaded()
            .on("GET /props 1/33973", recorded!("props_beta"))
            .on("GET /metrics 1/33973", recorded!("metrics_beta"))
            .on("POST /v1/chat/completions 1/33973", Reply::status(200, ONE_TOKEN));
        let (report, sent) = scene.run(&PLUGIN, &with_child(ask(model, scheduled), &[]));
        assert_eq!(
            report["inference"],
            json!({"model":"beta","result":"output","text":"V","tokens":{"content":1,"thinking":0,"total":1},
                "first_token_ms":11,"finish":"length"})
        );
        assert_eq!(sent[0]["model"], "beta");
    }
}

#[test]
fn a_model_that_makes_vectors_is_asked_for_one() {
    let list = json!({"object":"list","data":[{"id":"beta","status":{"value":"loaded","args":["--embedding"]}}]});
    let scene = router()
        .on("GET /v1/models", Reply::status(200, list.to_string()))
        .on("GET /props 1/33973", recorded!("props_beta"))
        .on("GET /metrics 1/33973", recorded!("metrics_beta"))
        .on("POST /v1/embeddings 1/33973", Reply::status(200, r#"{"data":[{"embedding":[0.1]}]}"#));
    assert_eq!(report(scene, &with_child(ask(None, true), &[]))["inference"]["result"], "output");
}

#[test]
fn what_would_load_wake_or_change_the_order_is_skipped() {
    let skipped = |scene: Scene, start: &Start| {
        let inference = report(scene, start)["inference"].take();
        assert_eq!(inference["result"], "skipped", "{inference}");
        inference["text"].as_str().unwrap().to_owned()
    };
    assert_eq!(skipped(beta_loaded(), &ask(Some("alpha"), false)), "alpha is not loaded");
    assert_eq!(skipped(beta_loaded(), &ask(Some("nope"), false)), "nope is not among its models");
    let none = router().on("GET /v1/models", recorded!("models_initial"));
    assert_eq!(skipped(none, &ask(None, false)), "no model is loaded that could be asked");
    // A request through the router counts as use when it chooses what to throw out.
    assert!(skipped(beta_loaded(), &ask(None, true)).starts_with("its process is not known"));
    let sleeper = with_child(ask(None, true), &["--sleep-idle-seconds", "60"]);
    assert!(skipped(beta_loaded(), &sleeper).contains("keep it awake"));
    let asleep = r#"{"object":"list","data":[{"id":"beta","status":{"value":"sleeping"}}]}"#;
    let asleep = router().on("GET /v1/models", Reply::status(200, asleep));
    assert_eq!(skipped(asleep, &ask(Some("beta"), false)), "beta sleeps: asking would wake it");
    let fell_asleep = beta_loaded().on("GET /props 1/33973", Reply::status(200, r#"{"is_sleeping":true}"#));
    assert_eq!(skipped(fell_asleep, &with_child(ask(None, false), &[])), "it sleeps: asking would wake it");
}

#[test]
fn on_suspicion_the_router_is_asked_to_load_nothing() {
    let asked = |reply| {
        let bare = r#"{"total_slots":4,"endpoint_slots":true}"#;
        let scene = beta_loaded()
            .on("GET /props?model=beta&autoload=false", Reply::status(200, bare))
            .on("GET /slots?model=beta&autoload=false", recorded!("slots_beta"))
            .on("POST /v1/chat/completions?model=beta&autoload=false", reply);
        report(scene, &ask(Some("beta"), false))
    };
    assert_eq!(asked(recorded!("chat_beta_evicts"))["inference"]["text"], "V");
    assert_eq!(asked(recorded!("chat_after_child_kill9"))["inference"]["result"], "output");
    assert_eq!(asked(recorded!("chat_alpha"))["inference"]["model"], "alpha");
    // Thrown out since the list was read.
    assert_eq!(asked(recorded!("chat_autoload_false"))["inference"]["result"], "skipped");
    let broken = asked(recorded!("chat_broken"));
    assert_eq!(
        (&broken["inference"]["result"], &broken["symptoms"][0]["id"]),
        (&json!("failed"), &json!("load_failed"))
    );
    for refused in
        [recorded!("chat_unknown"), recorded!("chat_nomodel"), recorded!("slots"), recorded!("metrics_nomodel")]
    {
        let refused = asked(refused);
        assert_eq!((&refused["inference"]["result"], refused.get("symptoms")), (&json!("failed"), None));
    }
}

fn repair(name: &str, model: &str) -> Start {
    let args = serde_json::from_value(json!({"model": model})).unwrap();
    let session = SessionKind::Repair { repair: name.into(), args };
    Start { session, deadline_ms: 1_800_000, ..start(Depth::Readiness) }
}

fn props() -> Scene {
    Scene::new().on("GET /props", recorded!("props"))
}

#[test]
fn a_load_is_waited_for() {
    let loading = r#"{"object":"list","data":[{"id":"alpha","status":{"value":"loading"}}]}"#;
    let scene = props()
        .on("POST /models/load", recorded!("load_alpha"))
        .on("GET /v1/models", Reply::status(200, loading))
        .on("GET /v1/models", Reply::broken(Outcome::Timeout, At::Headers))
        .on("GET /v1/models", recorded!("models_after_load"));
    let (report, sent) = scene.run(&PLUGIN, &repair("load", "alpha"));
    assert_eq!(
        report,
        json!({"result":"done","text":"alpha is loaded","expect":[{"model":"alpha","state":["loaded"]}],"within_ms":20000})
    );
    assert_eq!(sent, [json!({"model":"alpha"})]);
}

#[test]
fn a_load_that_the_router_took_and_that_failed_shows_the_broken_file() {
    let scene = props()
        .on("POST /models/load", recorded!("load_broken"))
        .on("GET /v1/models", recorded!("models_after_broken"));
    let text = "model name=broken failed to load";
    assert_eq!(
        report(scene, &repair("load", "broken")),
        json!({"result":"failed","text":format!("{text}: its process ended with exit code 1"),
            "symptoms":[{"id":"load_failed","model":"broken","text":text}]})
    );
}

#[test]
fn a_load_that_has_no_end_or_no_model() {
    let scene = props()
        .on("POST /models/load", recorded!("load_beta"))
        .on("GET /v1/models", Reply::broken(Outcome::Deadline, At::Connect));
    assert_eq!(report(scene, &repair("load", "beta"))["result"], "failed");
    let gone = Reply::broken(Outcome::Refused, At::Connect);
    let scene = props().on("POST /models/load", recorded!("load_beta")).on("GET /v1/models", gone);
    assert_eq!(report(scene, &repair("load", "beta"))["text"], "the router is gone: the connection was refused");
    let scene = props().on("POST /models/load", recorded!("unload_unknown"));
    assert_eq!(report(scene, &repair("load", "zz")), json!({"result":"failed","text":"model is not found"}));
    let scene = props()
        .on("POST /models/load", recorded!("load_beta"))
        .on("GET /v1/models", Reply::status(200, r#"{"object":"list","data":[]}"#));
    assert_eq!(report(scene, &repair("load", "beta"))["text"], "beta is not among the models any more");
}

#[test]
fn what_is_so_already() {
    let scene = props()
        .on("POST /models/load", recorded!("load_alpha_again"))
        .on("GET /v1/models", recorded!("models_after_load"));
    assert_eq!(report(scene, &repair("load", "alpha")), json!({"result":"already","text":"alpha is running"}));
    let scene = props().on("POST /models/unload", recorded!("unload_beta_again"));
    assert_eq!(report(scene, &repair("unload", "beta")), json!({"result":"already","text":"model is not running"}));
}

#[test]
fn an_unload_expects_the_child_to_go() {
    let scene = props().on("POST /models/unload", recorded!("unload_beta"));
    assert_eq!(
        report(scene, &with_child(repair("unload", "beta"), &[])),
        json!({"result":"done","within_ms":20000,
            "expect":[{"model":"beta","state":["unloaded","failed"]},{"process":"1","gone":true}]})
    );
    let scene = props().on("POST /models/unload", recorded!("unload_unknown"));
    assert_eq!(report(scene, &repair("unload", "zz")), json!({"result":"failed","text":"model is not found"}));
}

#[test]
fn servers_that_cannot_load_say_so() {
    let plain = Reply::status(200, r#"{"total_slots":1}"#);
    let single = Start { variant: Some("llama.cpp".into()), ..repair("load", "m") };
    assert_eq!(report(Scene::new().on("GET /props", plain), &single)["result"], "unsupported");
    for variant in ["vllm", "llama-cpp-python"] {
        let start = Start { variant: Some(variant.into()), ..repair("unload", "m") };
        assert_eq!(report(Scene::new(), &start)["result"], "unsupported");
    }
    let unknown = Start { variant: None, ..repair("unload", "m") };
    assert_eq!(report(Scene::new(), &unknown)["result"], "unsupported");
}

#[test]
fn text_generation_webui_throws_no_other_model_out() {
    let webui = |name, model| Start { variant: Some("text-generation-webui".into()), ..repair(name, model) };
    let info = |model: &str| {
        let info = json!({"model_name": model, "lora_names": []});
        Scene::new().on("GET /v1/internal/model/info", Reply::status(200, info.to_string()))
    };
    let scene = info("None").on("POST /v1/internal/model/load", Reply::status(200, r#""OK""#));
    let (loaded, sent) = scene.run(&PLUGIN, &webui("load", "a"));
    assert_eq!(loaded["expect"], json!([{"model":"a","state":["loaded"]}]));
    assert_eq!(sent, [json!({"model_name":"a"})]);
    assert_eq!(report(info("a"), &webui("load", "a"))["result"], "already");
    assert_eq!(report(info("b"), &webui("load", "a"))["result"], "refused");
    let failure = Reply::status(400, r#"{"detail":"Failed to load the model."}"#);
    let failed = report(info("None").on("POST /v1/internal/model/load", failure), &webui("load", "a"));
    assert_eq!((&failed["result"], &failed["symptoms"][0]["id"]), (&json!("failed"), &json!("load_failed")));

    let scene = info("a").on("POST /v1/internal/model/unload", Reply::status(200, "null"));
    assert_eq!(report(scene, &webui("unload", "a"))["expect"], json!([{"model":"a","state":["unloaded"]}]));
    assert_eq!(report(info("b"), &webui("unload", "a"))["result"], "already");
}
