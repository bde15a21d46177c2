//! Looks at vLLM (made up from its sources), llama-cpp-python (recorded from 0.3.36) and servers not known.

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

fn start(depth: Depth, variant: Option<&str>) -> Start {
    let inference = (depth == Depth::Inference).then(|| InferenceAsk {
        model: None,
        prompt: "ping".into(),
        max_tokens: 1,
        scheduled: false,
    });
    Start {
        variant: variant.map(str::to_owned),
        ..Start::new(SessionKind::Probe { depth, inference }, 30_000, "2026-11-24T04:02:00Z")
    }
}

fn report(scene: Scene, start: &Start) -> Value {
    scene.run(&PLUGIN, start).0
}

fn vllm_models() -> Reply {
    Reply::status(
        200,
        r#"{"object":"list","data":[{"id":"q","object":"model","owned_by":"vllm","max_model_len":4096}]}"#,
    )
}

const VLLM_METRICS: &str = "# TYPE vllm:num_requests_running gauge\n\
    vllm:num_requests_running{engine=\"0\",model_name=\"q\"} 2.0\n\
    vllm:num_requests_waiting{engine=\"0\",model_name=\"q\"} 3.0\n\
    vllm:prompt_tokens_total{engine=\"0\",model_name=\"q\"} 1024.0\n\
    vllm:generation_tokens_total{engine=\"0\",model_name=\"q\"} 77.0\n";

#[test]
fn vllm_ready_and_at_work() {
    let health = || Scene::new().on("GET /health", Reply::status(200, ""));
    assert_eq!(report(health(), &start(Depth::Liveness, Some("vllm"))), json!({"phase":"ready"}));
    let scene =
        health().on("GET /v1/models", vllm_models()).on("GET /version", Reply::status(200, r#"{"version":"0.33.0"}"#));
    assert_eq!(
        report(scene, &start(Depth::Readiness, Some("vllm"))),
        json!({"version":"0.33.0","phase":"ready","models":[{"id":"q","state":"loaded","info":{"context":"4096"}}]})
    );
    let processes = json!([
        {"id":"0","role":"main","exe":"python3","args":[],"addresses":["0/8000"]},
        {"id":"1","parent":"0","role":"engine","exe":"python3","args":[],"addresses":[]},
    ]);
    let progress =
        Start { processes: Some(serde_json::from_value(processes).unwrap()), ..start(Depth::Progress, Some("vllm")) };
    assert_eq!(
        report(health().on("GET /metrics", Reply::status(200, VLLM_METRICS)), &progress),
        json!({"phase":"ready","engines":[{"id":"server","process":"1","running":2,"queued":3,
            "counters":[{"id":"vllm:prompt_tokens_total","kind":"prompt","value":1024},
                        {"id":"vllm:generation_tokens_total","kind":"decode","value":77}]}]})
    );
}

#[test]
fn vllm_says_that_its_engine_is_dead() {
    let report = report(Scene::new().on("GET /health", Reply::status(503, "")), &start(Depth::Liveness, Some("vllm")));
    assert_eq!(report["phase"], "failed");
    assert_eq!(report["symptoms"][0]["id"], "engine_dead");
}

#[test]
fn vllm_is_not_asked_for_tokens_while_others_wait() {
    let health = || Scene::new().on("GET /health", Reply::status(200, ""));
    let scene = health().on("GET /metrics", Reply::status(200, VLLM_METRICS));
    assert_eq!(
        report(scene, &start(Depth::Inference, Some("vllm")))["inference"],
        json!({"result":"skipped","text":"3 requests wait already"})
    );
    let stream = concat!(
        r#"data: {"model":"q","choices":[{"delta":{"role":"assistant","content":""}}]}"#,
        "\n\n",
        r#"data: {"model":"q","choices":[{"delta":{"reasoning_content":"Hm"},"finish_reason":"length"}]}"#,
        "\n\ndata: [DONE]\n"
    );
    let scene = health()
        .on("GET /metrics", Reply::status(501, ""))
        .on("GET /v1/models", vllm_models())
        .on("POST /v1/chat/completions", Reply::status(200, stream));
    assert_eq!(
        report(scene, &start(Depth::Inference, Some("vllm")))["inference"],
        json!({"model":"q","result":"output","text":"Hm","tokens":{"content":0,"thinking":1,"total":1},
            "first_token_ms":31,"finish":"length"})
    );
}

#[test]
fn llama_cpp_python_has_one_model_and_serves_it() {
    let python = |depth| start(depth, Some("llama-cpp-python"));
    let models = || Scene::new().on("GET /v1/models", recorded!("python_models"));
    assert_eq!(
        report(models(), &python(Depth::Readiness)),
        json!({"phase":"ready","models":[{"id":"tiny-random","state":"loaded"}]})
    );
    let scene = models().on("POST /v1/chat/completions", recorded!("python_chat_stream"));
    let inference = report(scene, &python(Depth::Inference))["inference"].take();
    assert_eq!((&inference["result"], &inference["text"]), (&json!("output"), &json!(" he")));

    let several = r#"{"object":"list","data":[{"id":"a","owned_by":"me"},{"id":"b","owned_by":"me"}]}"#;
    let several = || Scene::new().on("GET /v1/models", Reply::status(200, several));
    assert_eq!(report(several(), &python(Depth::Inference))["inference"]["result"], "skipped");
    assert_eq!(report(several(), &python(Depth::Readiness))["models"], json!([{"id":"a"},{"id":"b"}]));
}

#[test]
fn of_an_unknown_server_no_more_is_said_than_it_shows() {
    let models = || {
        let list = r#"{"object":"list","data":[{"id":"m","object":"model","owned_by":"someone"}]}"#;
        Scene::new().on("GET /v1/models", Reply::status(200, list))
    };
    assert_eq!(report(models(), &start(Depth::Liveness, None)), json!({"phase":"ready"}));
    assert_eq!(report(models(), &start(Depth::Readiness, None)), json!({"phase":"ready","models":[{"id":"m"}]}));
    assert_eq!(report(models(), &start(Depth::Progress, None)), json!({"phase":"ready"}));
    let skipped = report(models(), &start(Depth::Inference, None))["inference"].take();
    assert_eq!(skipped["result"], "skipped");
    assert!(skipped["text"].as_str().unwrap().contains("always_loaded"), "{skipped}");

    let mut told = start(Depth::Inference, None);
    told.settings.insert("always_loaded".into(), true.into());
    let scene = models().on("POST /v1/chat/completions", recorded!("python_chat_stream"));
    assert_eq!(report(scene, &told)["inference"]["result"], "output");
}

#[test]
fn an_empty_list_is_known_to_be_empty() {
    let scene = Scene::new().on("GET /v1/models", Reply::status(200, r#"{"object":"list","data":null}"#));
    assert_eq!(report(scene, &start(Depth::Readiness, None)), json!({"phase":"ready","models":[]}));
}

#[test]
fn answers_that_are_no_list_of_models() {
    let judged = |reply| report(Scene::new().on("GET /v1/models", reply), &start(Depth::Liveness, None));
    assert_eq!(judged(Reply::status(401, r#"{"error":"Unauthorized"}"#)), json!({}));
    assert_eq!(judged(Reply::broken(Outcome::Reset, At::Body)), json!({}));
    assert_eq!(judged(Reply::status(301, "")), json!({}));
    assert_eq!(
        judged(Reply::status(200, r#"{"error":"Unexpected endpoint or method. (GET /v1/models)"}"#)),
        json!({"judged":[{"request":0,"outcome":"foreign","text":"Unexpected endpoint or method. (GET /v1/models)"}]})
    );
    assert_eq!(
        judged(Reply::status(200, r#"{"object":"list","data":[{"id":"a"},{"i"#)),
        json!({"judged":[{"request":0,"outcome":"malformed","text":"EOF while parsing a string at line 1 column 39"}]})
    );
    assert_eq!(
        judged(Reply::status(200, r#"{"object":"list","data":[{"name":"a"}]}"#)),
        json!({"judged":[{"request":0,"outcome":"malformed","text":"missing field `id`"}]})
    );
    assert_eq!(judged(Reply::status(200, "hello"))["judged"][0]["outcome"], "foreign");
}
