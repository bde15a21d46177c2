//! Looks at vLLM and text-generation-webui (made up from their sources), llama-cpp-python (recorded from 0.3.36) and
//! servers not known.

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
    let version = || Reply::status(200, r#"{"version":"0.33.0"}"#);
    let scene = health()
        .on("GET /v1/models", vllm_models())
        .on("GET /version", version())
        .on("GET /metrics", Reply::status(200, VLLM_METRICS));
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

/// With more than one GPU each has a worker, below the process that schedules (v1/executor/multiproc_executor.py).
#[test]
fn vllms_engine_is_the_process_that_schedules_whatever_is_below_it() {
    let engine = |processes: &[(&str, Option<&str>, &str)]| {
        let process = |(id, parent, role): &(&str, Option<&str>, &str)| json!({"id":id,"parent":parent,"role":role,"exe":"python3","args":[],"addresses":[]});
        let processes: Value = processes.iter().map(process).collect();
        let processes = Some(serde_json::from_value(processes).unwrap());
        let start = Start { processes, ..start(Depth::Progress, Some("vllm")) };
        let scene =
            Scene::new().on("GET /health", Reply::status(200, "")).on("GET /metrics", Reply::status(200, VLLM_METRICS));
        let engines = report(scene, &start)["engines"].take();
        assert_eq!(engines.as_array().map(Vec::len), Some(1));
        assert_eq!(engines[0]["id"], "server");
        engines[0]["process"].clone()
    };
    let (main, core) = (("0", None, "main"), ("1", Some("0"), "engine"));
    assert_eq!(engine(&[main]), "0");
    assert_eq!(engine(&[main, core]), "1");
    assert_eq!(engine(&[main, core, ("2", Some("1"), "engine"), ("3", Some("1"), "engine")]), "1");
    // Data parallel: one core each.
    assert_eq!(engine(&[main, core, ("2", Some("0"), "engine")]), Value::Null);
    // No engine yet, and something else of the server's.
    assert_eq!(engine(&[main, ("1", Some("0"), "other")]), "0");
}

#[test]
fn vllm_asleep_is_seen_and_left_asleep() {
    let asleep = "vllm:num_requests_running{engine=\"0\"} 0.0\n\
        vllm:engine_sleep_state{engine=\"0\",sleep_state=\"awake\"} 0.0\n\
        vllm:engine_sleep_state{engine=\"0\",sleep_state=\"weights_offloaded\"} 1.0\n";
    let health = || Scene::new().on("GET /health", Reply::status(200, ""));
    let metrics = || Reply::status(200, asleep);
    let scene = health()
        .on("GET /v1/models", vllm_models())
        .on("GET /version", Reply::status(200, r#"{"version":"0.33.0"}"#))
        .on("GET /metrics", metrics());
    let ready = report(scene, &start(Depth::Readiness, Some("vllm")));
    assert_eq!((&ready["phase"], &ready["models"][0]["state"]), (&json!("sleeping"), &json!("sleeping")));
    let progress = report(health().on("GET /metrics", metrics()), &start(Depth::Progress, Some("vllm")));
    assert_eq!(progress["engines"], json!([{"id":"server","running":0,"phase":"sleeping"}]));
    let inference = report(health().on("GET /metrics", metrics()), &start(Depth::Inference, Some("vllm")));
    assert_eq!(inference["inference"]["result"], "skipped");
}

#[test]
fn vllm_refuses_with_a_string_and_without_a_key_its_work_is_still_seen() {
    let health = || Scene::new().on("GET /health", Reply::status(200, ""));
    let denied = || Reply::status(401, r#"{"error":"Unauthorized"}"#);
    let scene = health()
        .on("GET /v1/models", denied())
        .on("GET /version", Reply::status(200, r#"{"version":"0.33.0"}"#))
        .on("GET /metrics", Reply::status(200, VLLM_METRICS));
    assert_eq!(report(scene, &start(Depth::Readiness, Some("vllm"))), json!({"version":"0.33.0","phase":"ready"}));
}

#[test]
fn vllm_39863_an_engine_that_dies_under_a_request_is_named() {
    let scene = Scene::new()
        .on("GET /health", Reply::status(200, ""))
        .on("GET /metrics", Reply::status(404, ""))
        .on("GET /v1/models", vllm_models())
        .on(
            "POST /v1/chat/completions",
            Reply::status(500, r#"{"error":{"message":"EngineCore encountered an issue. See stack trace (above) for the root cause.","type":"InternalServerError","code":500}}"#),
        );
    let report = report(scene, &start(Depth::Inference, Some("vllm")));
    assert_eq!(
        (&report["inference"]["result"], &report["symptoms"][0]["id"]),
        (&json!("failed"), &json!("engine_dead"))
    );
}

/// What was not asked is unknown: whether it sleeps, above all.
#[test]
fn at_the_first_silence_vllm_is_asked_no_more() {
    let health = || Scene::new().on("GET /health", Reply::status(200, ""));
    let silent = || Reply::broken(Outcome::Timeout, At::Headers);
    let readiness = |scene: Scene| report(scene, &start(Depth::Readiness, Some("vllm")));
    assert_eq!(readiness(health().on("GET /v1/models", silent())), json!({"phase":"ready"}));
    let listed = || health().on("GET /v1/models", vllm_models());
    let models = json!([{"id":"q","info":{"context":"4096"}}]);
    assert_eq!(readiness(listed().on("GET /version", silent())), json!({"phase":"ready","models":models}));
    let version = Reply::status(200, r#"{"version":"0.33.0"}"#);
    let scene = listed().on("GET /version", version).on("GET /metrics", silent());
    assert_eq!(readiness(scene), json!({"version":"0.33.0","phase":"ready","models":models}));
    let scene = health().on("GET /metrics", silent());
    assert_eq!(
        report(scene, &start(Depth::Inference, Some("vllm")))["inference"],
        json!({"result":"skipped","text":"its front is silent"})
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

/// A server of one's own that makes vectors and says so in llama.cpp's way.
#[test]
fn a_model_that_makes_vectors_only_is_asked_for_one() {
    let list = r#"{"object":"list","data":[{"id":"e","object":"model"}],"models":[{"name":"e","capabilities":["embedding"]}]}"#;
    let mut start = start(Depth::Inference, None);
    start.settings.insert("always_loaded".into(), true.into());
    let asked = |reply: Reply| {
        let scene = Scene::new().on("GET /v1/models", Reply::status(200, list)).on("POST /v1/embeddings", reply);
        report(scene, &start)
    };
    let vector = |vector: Value| {
        Reply::status(200, json!({"object":"list","model":"other","data":[{"embedding":vector}]}).to_string())
    };
    assert_eq!(
        asked(vector(json!([0.1])))["inference"],
        json!({"model":"other","result":"output","first_token_ms":1}),
        "who answered is for the host to compare"
    );
    assert_eq!(asked(vector(json!([])))["inference"]["result"], "empty");
    // An error inside 200.
    let failed = asked(Reply::status(200, r#"{"error":{"message":"CUDA error: device lost"}}"#));
    let text = "CUDA error: device lost";
    assert_eq!(failed["judged"], json!([{"request":1,"outcome":"failed","text":text}]));
    assert_eq!(failed["inference"], json!({"model":"e","result":"failed","text":text}));
    assert_eq!(failed["symptoms"][0]["id"], "device_error");
}

fn python(depth: Depth, args: &[&str]) -> Start {
    let processes = json!([{"id":"0","role":"main","exe":"python3","args":args,"addresses":["0/8000"]}]);
    Start { processes: Some(serde_json::from_value(processes).unwrap()), ..start(depth, Some("llama-cpp-python")) }
}

/// No route that touches its models is asked: that would break off a user's answer.
#[test]
fn llama_cpp_python_is_known_by_its_description_and_its_command_line() {
    let front = || Scene::new().on("GET /openapi.json", recorded!("python_docs"));
    let alive = || json!({"version":"0.3.36","phase":"ready"});
    let args = ["-m", "llama_cpp.server", "--model", "tiny.gguf", "--model_alias", "tiny-random"];
    assert_eq!(report(front(), &python(Depth::Liveness, &args)), alive());
    assert_eq!(report(front(), &python(Depth::Progress, &args)), alive());
    assert_eq!(
        report(front(), &python(Depth::Readiness, &args))["models"],
        json!([{"id":"tiny-random","state":"loaded"}])
    );
    assert_eq!(report(front(), &python(Depth::Readiness, &args[..4]))["models"][0]["id"], "tiny.gguf");
    // Several models, or none that can be seen: not known.
    let several = ["-m", "llama_cpp.server", "--config_file", "models.json"];
    assert_eq!(report(front(), &python(Depth::Readiness, &several)), alive());
    assert_eq!(report(front(), &start(Depth::Readiness, Some("llama-cpp-python"))), alive());

    let other = |reply| report(Scene::new().on("GET /openapi.json", reply), &python(Depth::Liveness, &args));
    assert_eq!(other(recorded!("python_not_found"))["judged"][0]["outcome"], "foreign");
    assert_eq!(other(Reply::status(200, r#"{"info":{"title":"FastAPI"}}"#))["judged"][0]["outcome"], "foreign");
    // On a port where llama.cpp's server had been found, it is another program.
    let scene = Scene::new().on("GET /health", recorded!("python_health"));
    let judged = report(scene, &start(Depth::Liveness, Some("llama.cpp")));
    assert_eq!(judged["judged"][0]["outcome"], "foreign");
    // Before identification, by its one answer.
    let scene = Scene::new().on("GET /v1/models", recorded!("python_models"));
    assert_eq!(report(scene, &start(Depth::Inference, None))["inference"]["result"], "skipped");
}

#[test]
fn llama_cpp_python_that_lets_its_answers_finish_is_asked() {
    let args = ["-m", "llama_cpp.server", "--model", "tiny-random", "--interrupt_requests", "False"];
    let patient = python(Depth::Inference, &args);
    let front = || Scene::new().on("GET /openapi.json", recorded!("python_docs"));
    let inference = |reply| report(front().on("POST /v1/chat/completions", reply), &patient)["inference"].take();
    let streamed = inference(recorded!("python_chat_1tok_stream"));
    assert_eq!((&streamed["result"], &streamed["text"]), (&json!("output"), &json!(" he")));
    // An answer in one piece is an answer, too, and says which model it names.
    let whole = inference(recorded!("python_chat_wrong_model"));
    assert_eq!((&whole["result"], &whole["model"]), (&json!("output"), &json!("zz")));
    assert_eq!(inference(recorded!("python_chat_1tok"))["text"], "u");
    assert_eq!(inference(recorded!("python_chat_bad"))["result"], "failed");
    assert_eq!(inference(recorded!("python_chat_no_messages"))["result"], "output");
    assert_eq!(inference(recorded!("python_not_found"))["text"], "Not Found");
}

/// Measured with 0.3.36: by default a second request ends the stream of the first.
#[test]
fn llama_cpp_python_is_not_asked_where_that_could_break_off_a_users_answer() {
    for start in [
        python(Depth::Inference, &["-m", "llama_cpp.server", "--model", "tiny.gguf"]),
        python(Depth::Inference, &["-m", "llama_cpp.server", "--interrupt_requests", "True"]),
        start(Depth::Inference, Some("llama-cpp-python")),
    ] {
        let scene = Scene::new().on("GET /openapi.json", recorded!("python_docs"));
        let inference = report(scene, &start)["inference"].take();
        assert_eq!(inference["result"], "skipped");
        assert!(inference["text"].as_str().unwrap().contains("--interrupt_requests false"), "{inference}");
    }
}

fn webui(depth: Depth, processes: Option<Value>) -> Start {
    Start {
        processes: processes.map(|processes| serde_json::from_value(processes).unwrap()),
        ..start(depth, Some("text-generation-webui"))
    }
}

fn webui_processes(args: &[&str]) -> Value {
    json!([
        {"id":"0","role":"other","exe":"python3","args":args,"addresses":["0/5000","0/7860"]},
        {"id":"1","parent":"0","role":"engine","exe":"llama-server","args":["--model","m.gguf","--port","41001"],
         "addresses":["1/41001"]},
    ])
}

fn webui_info(model: &str) -> Scene {
    let info = json!({"model_name": model, "lora_names": [], "loader": "llama.cpp"});
    Scene::new().on("GET /v1/internal/model/info", Reply::status(200, info.to_string()))
}

#[test]
fn text_generation_webui_says_what_is_loaded_and_what_could_be() {
    assert_eq!(report(webui_info("None"), &webui(Depth::Liveness, None)), json!({"phase":"ready"}));
    let list = || Reply::status(200, r#"{"model_names":["None","a.gguf","b.gguf"]}"#);
    let models = |loaded: &str, list: Reply| {
        let scene = webui_info(loaded).on("GET /v1/internal/model/list", list);
        report(scene, &webui(Depth::Readiness, None)).get("models").cloned()
    };
    assert_eq!(
        models("b.gguf", list()),
        Some(json!([{"id":"a.gguf","state":"unloaded"},
                    {"id":"b.gguf","state":"loaded","info":{"loader":"llama.cpp"}}]))
    );
    assert_eq!(
        models("None", list()),
        Some(json!([{"id":"a.gguf","state":"unloaded"},{"id":"b.gguf","state":"unloaded"}]))
    );
    // The list is for admins.
    let denied = || Reply::status(401, r#"{"detail":"Unauthorized"}"#);
    assert_eq!(models("None", denied()), None);
    assert_eq!(
        models("b.gguf", denied()),
        Some(json!([{"id":"b.gguf","state":"loaded","info":{"loader":"llama.cpp"}}]))
    );
    let gone = Scene::new().on("GET /v1/internal/model/info", Reply::status(404, r#"{"detail":"Not Found"}"#));
    assert_eq!(report(gone, &webui(Depth::Liveness, None))["judged"][0]["outcome"], "foreign");
}

#[test]
fn text_generation_webui_works_by_a_llama_cpp_server_of_its_own() {
    let scene = webui_info("m.gguf")
        .on("GET /props 1/41001", recorded!("props"))
        .on("GET /metrics 1/41001", recorded!("busy_metrics_deferred"))
        .on("GET /slots 1/41001", recorded!("busy_slots"));
    let engines = report(scene, &webui(Depth::Progress, Some(webui_processes(&[]))))["engines"].take();
    assert_eq!(
        (&engines[0]["id"], &engines[0]["process"], &engines[0]["model"], &engines[0]["running"]),
        (&json!("llama-server/41001"), &json!("1"), &json!("m.gguf"), &json!(1))
    );
    // Its other loaders tell nothing of their work.
    let alone = json!([{"id":"0","role":"other","exe":"python3","args":[],"addresses":["0/5000"]}]);
    let scene = || webui_info("m");
    assert_eq!(report(scene(), &webui(Depth::Progress, Some(alone.clone()))).get("engines"), None);
    assert_eq!(report(webui_info("None"), &webui(Depth::Progress, Some(alone)))["engines"], json!([]));
}

#[test]
fn text_generation_webui_is_asked_only_for_the_model_that_it_has() {
    let inference = |scene: Scene, start: &Start| report(scene, start)["inference"].take();
    let chat = || {
        Reply::status(200, r#"data: {"model":"m.gguf","choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}"#)
    };
    let scene = webui_info("m.gguf").on("POST /v1/chat/completions", chat());
    assert_eq!(inference(scene, &webui(Depth::Inference, None))["result"], "output");
    assert_eq!(inference(webui_info("None"), &webui(Depth::Inference, None))["text"], "no model is loaded");
    let mut other = webui(Depth::Inference, None);
    if let SessionKind::Probe { inference: Some(ask), .. } = &mut other.session {
        ask.model = Some("b.gguf".into());
    }
    assert_eq!(inference(webui_info("m.gguf"), &other)["text"], "b.gguf is not loaded");
    // With `--idle-timeout` a name stays loaded that no longer is.
    let idle =
        json!([{"id":"0","role":"other","exe":"python3","args":["server.py","--idle-timeout","5"],"addresses":[]}]);
    assert_eq!(inference(webui_info("m.gguf"), &webui(Depth::Inference, Some(idle)))["result"], "skipped");
    let alive = webui(Depth::Inference, Some(webui_processes(&["server.py", "--idle-timeout", "5"])));
    let scene = webui_info("m.gguf")
        .on("GET /props 1/41001", recorded!("props"))
        .on("GET /metrics 1/41001", recorded!("xllamacpp_metrics"))
        .on("POST /v1/chat/completions", chat());
    assert_eq!(inference(scene, &alive)["result"], "output");
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
    let scene = models().on("POST /v1/chat/completions", recorded!("python_chat_1tok_stream"));
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
