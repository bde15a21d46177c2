//! Looks at a LocalAI: whether it answers as itself, with which models, and whether their backends still answer it.

mod common;

use ai_monitor_localai::PLUGIN;
use ai_monitor_plugin_api::{
    event::{At, Depth, Outcome},
    testing::{Reply, Scene},
};
use common::*;
use serde_json::{Value, json};

fn fronted(reply: Reply, depth: Depth) -> Value {
    report(Scene::new().on("GET /healthz", reply), &look(depth))
}

fn ready() -> Scene {
    front().on("GET /readyz", ok("")).on("GET /version", ok(r#"{"version":"v4.9.0 (f7ad3f70e)"}"#))
}

/// A progress probe of these loaded models, whose backends answer so.
fn monitored(loaded: &[&str], replies: &[(&str, Reply)]) -> Value {
    let mut scene = front().on("GET /system", system(loaded));
    if !loaded.is_empty() {
        scene = scene.on("GET /api/middleware/status", unlimited());
    }
    for (path, reply) in replies {
        scene = scene.on(&format!("GET /backend/monitor?model={path}"), reply.clone());
    }
    report(scene, &with_backends(look(Depth::Progress), &[41001]))
}

fn state(state: i64) -> Reply {
    // A zero is left out.
    let memory = json!({"total":1048576,"breakdown":{"gopsutil-RSS":524288}});
    ok(match state {
        0 => json!({"memory":memory}),
        _ => json!({"state":state,"memory":memory}),
    }
    .to_string())
}

#[test]
fn liveness_is_an_empty_200() {
    assert_eq!(report(front(), &look(Depth::Liveness)), json!({}));
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
        for start in [look(Depth::Liveness), look(Depth::Readiness), look(Depth::Progress), ask(None)] {
            let scene = Scene::new().on("GET /healthz", Reply::broken(outcome, at));
            assert_eq!(report(scene, &start), json!({}));
        }
    }
}

#[test]
fn a_status_that_is_not_localais_is_told_apart() {
    for reply in [unauthorised(), Reply::status(500, "oops"), Reply::status(302, "")] {
        assert_eq!(fronted(reply, Depth::Liveness), json!({}));
    }
    let foreign = |text: &str| json!({"judged":[{"request":0,"outcome":"foreign","text":text}]});
    // llama.cpp's server on the same port.
    let llama = Reply::status(404, r#"{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}"#);
    assert_eq!(fronted(llama, Depth::Liveness), foreign("no /healthz here: this is not LocalAI"));
    let lm_studio = ok(r#"{"error":"Unexpected endpoint or method. (GET /healthz)"}"#);
    assert_eq!(fronted(lm_studio, Depth::Readiness), foreign("Unexpected endpoint or method. (GET /healthz)"));
    assert_eq!(
        fronted(ok("<html>router login</html>"), Depth::Progress),
        foreign("LocalAI's /healthz has no body, this one has")
    );
}

#[test]
fn idle() {
    let scene = ready().on("GET /v1/models/capabilities", list()).on("GET /system", system(&[]));
    assert_eq!(
        report(scene, &with_backends(look(Depth::Readiness), &[])),
        json!({"version":"v4.9.0 (f7ad3f70e)","phase":"ready","engines":[],"models":[
            {"id":"q","state":"unloaded","capabilities":["completion","vision","tools","thinking"]},
            {"id":"embed","state":"unloaded","capabilities":["embedding"]},
            {"id":"hear","state":"unloaded","capabilities":["transcript"]},
            {"id":"loose.gguf","state":"unloaded"}
        ]})
    );
}

#[test]
fn a_model_in_memory_with_its_backend() {
    let scene = ready().on("GET /v1/models/capabilities", list()).on("GET /system", system(&["q"]));
    let report = report(scene, &with_backends(look(Depth::Readiness), &[41001]));
    assert_eq!(
        report["models"][0],
        json!({"id":"q","state":"loaded","capabilities":["completion","vision","tools","thinking"],
            "info":{"backend":"llama-cpp"}})
    );
    assert_eq!(report["engines"], json!([{"id":"q","process":"1","model":"q"}]));
}

#[test]
fn a_model_whose_configuration_was_removed_is_listed_while_it_is_in_memory() {
    let scene = ready().on("GET /v1/models/capabilities", list()).on("GET /system", system(&["gone"]));
    let report = report(scene, &look(Depth::Readiness));
    assert_eq!(report["models"][4], json!({"id":"gone","state":"loaded","info":{"backend":"llama-cpp"}}));
}

#[test]
fn while_it_starts_its_lists_are_not_whole_and_not_asked_for() {
    let starting = r#"{"reason":"startup preload in progress","status":"starting"}"#;
    let scene = front().on("GET /readyz", Reply::status(503, starting));
    assert_eq!(report(scene, &look(Depth::Readiness)), json!({"phase":"starting"}));
}

#[test]
fn a_loading_model_is_not_listed_but_its_backend_is_there() {
    let scene = ready().on("GET /v1/models/capabilities", list()).on("GET /system", system(&[]));
    let report = report(scene, &with_backends(look(Depth::Readiness), &[41001]));
    assert_eq!(report["engines"], json!([{"id":"llama-cpp-avx2/41001","process":"1","phase":"loading"}]));
    assert_eq!(report["models"][0]["state"], "unloaded");
}

#[test]
fn an_older_version_does_not_tell_what_its_models_can_do() {
    let scene = ready()
        .on("GET /v1/models/capabilities", no_route())
        .on("GET /v1/models", ok(r#"{"object":"list","data":[{"id":"q","object":"model"}]}"#))
        .on("GET /system", ok(r#"{"backends":["llama-cpp"],"loaded_models":[{"id":"q"}]}"#));
    let report = report(scene, &look(Depth::Readiness));
    assert_eq!(report["models"], json!([{"id":"q","state":"loaded"}]));
    assert_eq!(
        report["judged"],
        json!([{"request":3,"outcome":"unsupported","text":"a LocalAI that does not tell what its models can do"}])
    );
}

#[test]
fn a_key_that_may_not_administrate_sees_less() {
    for refusal in [unauthorised(), not_admin()] {
        let scene = ready().on("GET /v1/models/capabilities", list()).on("GET /system", refusal.clone());
        let readiness = report(scene, &with_backends(look(Depth::Readiness), &[41001]));
        assert_eq!(readiness["models"][0]["state"], Value::Null);
        assert_eq!(readiness["models"].as_array().map(Vec::len), Some(4));
        assert_eq!(readiness["engines"], json!([{"id":"llama-cpp-avx2/41001","process":"1"}]));
        let progress = report(front().on("GET /system", refusal), &look(Depth::Progress));
        assert_eq!(progress, json!({}));
    }
}

#[test]
fn what_fails_leaves_the_rest_known() {
    for broken in [
        Reply::broken(Outcome::Reset, At::Headers),
        Reply::status(500, ""),
        ok(r#"{"object":"list","da"#).broken_off(Outcome::Reset),
    ] {
        let scene = ready().on("GET /v1/models/capabilities", broken).on("GET /system", system(&["q"]));
        let report = report(scene, &look(Depth::Readiness));
        assert_eq!((&report["models"], &report["judged"]), (&Value::Null, &Value::Null));
        assert_eq!(report["engines"], json!([{"id":"q","model":"q"}]));
    }
    let scene = front()
        .on("GET /readyz", ok(""))
        .on("GET /version", ok(r#"{"version":[]}"#))
        .on("GET /v1/models/capabilities", list())
        .on("GET /system", system(&[]));
    let judged = json!([{"request":2,"outcome":"malformed","text":"JSON without `version`"}]);
    assert_eq!(report(scene, &look(Depth::Readiness))["judged"], judged);
    let half = ok(r#"{"object":"list","data":[{"id":"q""#);
    let scene = ready().on("GET /v1/models/capabilities", half).on("GET /system", ok(r#"{"backends":[],"loaded"#));
    let report = report(scene, &look(Depth::Readiness));
    assert_eq!((&report["models"], &report["engines"]), (&Value::Null, &Value::Null));
    assert_eq!(
        report["judged"],
        json!([
            {"request":3,"outcome":"malformed","text":"EOF while parsing an object at line 1 column 34"},
            {"request":4,"outcome":"malformed","text":"EOF while parsing a string at line 1 column 22"}
        ])
    );
}

/// Each further question would take its whole time; what was not asked is unknown.
#[test]
fn at_the_first_silence_it_is_asked_no_more() {
    let silent = || Reply::broken(Outcome::Timeout, At::Headers);
    let half = || ok(r#"{"object":"list","da"#).broken_off(Outcome::Timeout);
    let by_processes = json!([{"id":"llama-cpp-avx2/41001","process":"1"}]);
    let version = || front().on("GET /readyz", ok("")).on("GET /version", ok(r#"{"version":"v4.9.0"}"#));
    for (scene, knows) in [
        (front().on("GET /readyz", silent()), json!({})),
        (front().on("GET /readyz", ok("")).on("GET /version", silent()), json!({"phase":"ready"})),
        (version().on("GET /v1/models/capabilities", silent()), json!({"phase":"ready","version":"v4.9.0"})),
        (version().on("GET /v1/models/capabilities", half()), json!({"phase":"ready","version":"v4.9.0"})),
        (
            version().on("GET /v1/models/capabilities", no_route()).on("GET /v1/models", silent()),
            json!({"phase":"ready","version":"v4.9.0","judged":[{"request":3,"outcome":"unsupported",
                "text":"a LocalAI that does not tell what its models can do"}]}),
        ),
    ] {
        let mut report = report(scene, &with_backends(look(Depth::Readiness), &[41001]));
        assert_eq!(report["engines"].take(), by_processes);
        report.as_object_mut().unwrap().remove("engines");
        assert_eq!(report, knows);
    }
    let progress = |scene: Scene| report(scene, &with_backends(look(Depth::Progress), &[41001]));
    assert_eq!(progress(front().on("GET /system", silent())), json!({"engines":by_processes}));
    let scene = front().on("GET /system", system(&["q"])).on("GET /api/middleware/status", silent());
    assert_eq!(progress(scene), json!({"engines":[{"id":"q","process":"1","model":"q"}]}));
}

#[test]
fn nothing_loaded_is_asked_after() {
    // A monitor of a model that is not loaded would be one request too many for the scene.
    let report = monitored(&[], &[]);
    assert_eq!(report, json!({"engines":[{"id":"llama-cpp-avx2/41001","process":"1","phase":"loading"}]}));
}

#[test]
fn a_backend_that_answers_is_ready_and_how_much_it_works_is_not_told() {
    let ready = json!([{"id":"q","process":"1","model":"q","phase":"ready"}]);
    // `BUSY` is said by idle ones (pkg/grpc/base/singlethread.go).
    for word in [1, 2] {
        assert_eq!(monitored(&["q"], &[("q", state(word))]), json!({"engines":ready}));
    }
    let unimplemented = error(
        500,
        "backend q experienced an error retrieving status info via rpc: rpc error: code = Unimplemented desc = , then failed local node process sample: no grpc backend found for q.bin",
    );
    assert_eq!(
        monitored(&["q"], &[("q", unimplemented)]),
        json!({"engines":ready,"judged":[{"request":3,"outcome":"unsupported",
            "text":"a backend that answers and does not tell its state"}]})
    );
    // Not initialised, and an error of which only the memory is known.
    for word in [0, -1] {
        assert_eq!(monitored(&["q"], &[("q", state(word))]), json!({"engines":[{"id":"q","process":"1","model":"q"}]}));
    }
}

#[test]
fn a_backend_that_is_silent_leaves_its_engine_known_and_ends_the_round() {
    let silent = || Reply::broken(Outcome::Timeout, At::Headers);
    assert_eq!(monitored(&["q"], &[("q", silent())]), json!({"engines":[{"id":"q","process":"1","model":"q"}]}));
    // `hear` is not asked any more.
    let report = monitored(&["embed", "q", "hear"], &[("embed", state(2)), ("q", silent())]);
    assert_eq!(
        report["engines"],
        json!([{"id":"embed","model":"embed","phase":"ready"},{"id":"q","model":"q"},{"id":"hear","model":"hear"}])
    );
}

#[test]
fn localai_5339_a_backend_that_is_gone() {
    let text = format!(
        "backend q experienced an error retrieving status info via rpc: {UNAVAILABLE}, then failed local node process sample: no grpc backend found for q.bin"
    );
    let report = monitored(&["q"], &[("q", error(500, &text))]);
    assert_eq!(report["symptoms"], json!([{"id":"engine_dead","text":text,"model":"q"}]));
    assert_eq!(report["judged"], Value::Null, "the host's outcome is right");
}

#[test]
fn a_model_that_was_unloaded_since_is_not_found() {
    let text = "backend q is not currently loaded";
    assert_eq!(
        monitored(&["q"], &[("q", error(500, text))])["judged"],
        json!([{"request":3,"outcome":"not_found","text":text}])
    );
    // An older version has not read the name at all.
    assert_eq!(
        monitored(&["q"], &[("q", error(500, "backend  is not currently loaded"))])["judged"],
        json!([{"request":3,"outcome":"unsupported","text":"backend  is not currently loaded"}])
    );
}

#[test]
fn opaque_errors_and_refusals_tell_nothing() {
    let engine = json!([{"id":"q","process":"1","model":"q"}]);
    for reply in [Reply::status(500, ""), not_admin(), no_route(), ok(r#"{"sta"#).broken_off(Outcome::Reset)] {
        assert_eq!(monitored(&["q"], &[("q", reply)]), json!({"engines":engine}));
    }
    assert_eq!(monitored(&["q"], &[("q", ok(r#"{"sta"#))])["judged"][0]["outcome"], "malformed");
}

#[test]
fn a_name_is_escaped_in_a_query() {
    monitored(&["org/a model&b.gguf"], &[("org%2Fa%20model%26b.gguf", state(2))]);
}

#[test]
fn two_backends_are_not_matched_with_two_models() {
    let scene = front()
        .on("GET /system", system(&["q", "embed"]))
        .on("GET /api/middleware/status", unlimited())
        .on("GET /backend/monitor?model=q", state(2))
        .on("GET /backend/monitor?model=embed", state(2));
    assert_eq!(
        report(scene, &with_backends(look(Depth::Progress), &[41001, 41002])),
        json!({"engines":[{"id":"q","model":"q","phase":"ready"},{"id":"embed","model":"embed","phase":"ready"}]})
    );
}

#[test]
fn without_known_processes_each_loaded_model_is_an_engine() {
    let scene = front()
        .on("GET /system", system(&["q"]))
        .on("GET /api/middleware/status", unlimited())
        .on("GET /backend/monitor?model=q", state(2));
    assert_eq!(report(scene, &look(Depth::Progress)), json!({"engines":[{"id":"q","model":"q","phase":"ready"}]}));
}

#[test]
fn the_requests_of_a_model_with_a_limit_are_counted() {
    let running = |status: Reply| {
        let scene = front()
            .on("GET /system", system(&["q"]))
            .on("GET /api/middleware/status", status)
            .on("GET /backend/monitor?model=q", Reply::broken(Outcome::Timeout, At::Headers));
        report(scene, &with_backends(look(Depth::Progress), &[41001]))
    };
    assert_eq!(
        running(admission(1)),
        json!({"engines":[{"id":"q","process":"1","model":"q","running":1,"capacity":2}]})
    );
    let unknown = json!([{"id":"q","process":"1","model":"q"}]);
    for status in [not_admin(), Reply::status(500, ""), Reply::broken(Outcome::Reset, At::Headers), ok("{}")] {
        assert_eq!(running(status), json!({"engines":unknown}));
    }
    assert_eq!(running(no_route())["judged"][0]["outcome"], "unsupported");
    assert_eq!(running(ok(r#"{"admi"#))["judged"][0]["outcome"], "malformed");
}

#[test]
fn a_backend_in_python_is_named_by_its_script() {
    let processes = json!([
        {"id":"0","role":"main","exe":"local-ai","args":["run"],"addresses":["0/8080"]},
        {"id":"1","parent":"0","role":"engine","exe":"python3.11","args":["/backends/vllm/backend.py","--addr","127.0.0.1:41003"],"addresses":[]},
        {"id":"2","parent":"0","role":"engine","exe":"whisper","args":["--addr","127.0.0.1:41004"],"addresses":["2/41004"]},
        {"id":"3","parent":"0","role":"engine","exe":"piper","args":[],"addresses":[]}
    ]);
    let start = ai_monitor_plugin_api::event::Start {
        processes: Some(serde_json::from_value(processes).unwrap()),
        ..look(Depth::Progress)
    };
    let report = front().on("GET /system", not_admin()).run(&PLUGIN, &start).0;
    assert_eq!(
        report["engines"],
        json!([{"id":"backend.py/41003","process":"1"},{"id":"whisper/41004","process":"2"},{"id":"piper","process":"3"}])
    );
}
