//! Looks at an Ollama whose answers were recorded (0.32.15) or are made up from reports.

use ai_monitor_ollama::PLUGIN;
use ai_monitor_plugin_api::{
    event::{At, Depth, Outcome, SessionKind, Start},
    testing::{Reply, Scene},
};
use serde_json::{Value, json};

macro_rules! recorded {
    ($name:literal) => {
        Reply::recorded(include_str!(concat!("recorded/", $name, ".http")))
    };
}

const NOW: &str = "2026-11-24T04:02:00Z";

fn look(depth: Depth) -> Start {
    Start::new(SessionKind::Probe { depth, inference: None }, 30_000, NOW)
}

/// With the runner of `tiny` among the processes.
fn with_runner(start: Start) -> Start {
    with_processes(start, json!([main(), runner("1", 49361, "sha256-95fd")]))
}

fn with_processes(start: Start, processes: Value) -> Start {
    Start { processes: Some(serde_json::from_value(processes).unwrap()), ..start }
}

fn main() -> Value {
    json!({"id":"0","role":"main","exe":"ollama","args":["serve"],"addresses":["0/11434"]})
}

fn runner(id: &str, port: u16, blob: &str) -> Value {
    json!({"id":id,"parent":"0","role":"engine","exe":"llama-server",
        "args":["--model",format!("~/.ollama/models/blobs/{blob}"),"--port",port.to_string()],
        "addresses":[format!("{id}/{port}")]})
}

fn report(scene: Scene, start: &Start) -> Value {
    scene.run(&PLUGIN, start).0
}

fn version() -> Scene {
    Scene::new().on("GET /api/version", recorded!("version"))
}

/// The answer of llama.cpp's server to `GET /health` and `GET /slots`.
fn healthy() -> Reply {
    Reply::status(200, r#"{"status":"ok"}"#).header("server", "llama.cpp")
}

fn busy_slots() -> Reply {
    Reply::status(
        200,
        r#"[{"id":0,"n_ctx":512,"speculative":false,"is_processing":true,"id_task":17,"n_prompt_tokens":30,"n_prompt_tokens_processed":28,"n_prompt_tokens_cache":0,"next_token":[{"has_next_token":true,"n_remain":598,"n_decoded":41}]}]"#,
    )
}

fn tiny_on_disk() -> Value {
    json!({"id":"tiny:latest","aliases":["tiny"],"state":"unloaded","size_bytes":1795766,
        "capabilities":["completion"],"info":{"family":"llama","parameters":"446K"}})
}

fn tiny_in_memory() -> Value {
    json!({"id":"tiny:latest","aliases":["tiny"],"state":"loaded","size_bytes":5211422,"gpu_bytes":0,
        "expires_at":"2026-11-24T04:06:14.578370546Z","capabilities":["completion"],
        "info":{"context":"512","family":"llama","parameters":"446K"}})
}

fn tinyb_on_disk() -> Value {
    json!({"id":"tinyb:latest","aliases":["tinyb"],"state":"unloaded","size_bytes":1795766,
        "capabilities":["completion"],"info":{"family":"llama","parameters":"446K"}})
}

#[test]
fn liveness_is_the_route_that_never_blocks() {
    assert_eq!(report(version(), &look(Depth::Liveness)), json!({"version":"0.32.15","phase":"ready"}));
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
        for depth in [Depth::Liveness, Depth::Readiness, Depth::Progress] {
            let scene = Scene::new().on("GET /api/version", Reply::broken(outcome, at));
            assert_eq!(report(scene, &look(depth)), json!({}));
        }
    }
}

#[test]
fn a_status_without_the_version_is_told_apart() {
    let judged = |reply: Reply| report(Scene::new().on("GET /api/version", reply), &look(Depth::Liveness));
    // The host's own outcome is right for these.
    assert_eq!(judged(Reply::status(401, r#"{"error":"unauthorized"}"#)), json!({}));
    assert_eq!(judged(Reply::status(302, "").header("location", "https://elsewhere")), json!({}));
    assert_eq!(judged(Reply::status(500, "oops")), json!({}));
    // LM Studio, by its bug tracker.
    assert_eq!(
        judged(Reply::status(200, r#"{"error":"Unexpected endpoint or method. (GET /api/version)"}"#)),
        json!({"judged":[{"request":0,"outcome":"foreign","text":"Unexpected endpoint or method. (GET /api/version)"}]})
    );
    assert_eq!(
        judged(Reply::status(200, "<html>router login</html>")),
        json!({"judged":[{"request":0,"outcome":"foreign","text":"expected value at line 1 column 1"}]})
    );
    assert_eq!(
        judged(recorded!("health_404")),
        json!({"judged":[{"request":0,"outcome":"foreign","text":"no /api/version here: this is not Ollama"}]})
    );
    assert_eq!(
        judged(Reply::status(200, r#"{"version":"0.3"#)),
        json!({"judged":[{"request":0,"outcome":"malformed","text":"EOF while parsing a string at line 1 column 15"}]})
    );
    assert_eq!(
        judged(Reply::status(503, r#"{"error":"server busy, please try again.  maximum pending requests exceeded"}"#)),
        json!({"judged":[{"request":0,"outcome":"overloaded",
            "text":"server busy, please try again.  maximum pending requests exceeded"}]})
    );
}

#[test]
fn idle() {
    let scene = version().on("GET /api/tags", recorded!("tags")).on("GET /api/ps", recorded!("ps_empty"));
    assert_eq!(
        report(scene, &with_processes(look(Depth::Readiness), json!([main()]))),
        json!({"version":"0.32.15","phase":"ready","models":[tinyb_on_disk(),tiny_on_disk()],"engines":[]})
    );
}

#[test]
fn an_empty_store_is_known_to_be_empty() {
    let scene = version().on("GET /api/tags", recorded!("tags_empty")).on("GET /api/ps", recorded!("ps_empty"));
    assert_eq!(report(scene, &look(Depth::Readiness)), json!({"version":"0.32.15","phase":"ready","models":[]}));
}

#[test]
fn a_model_in_memory_with_its_runner() {
    let scene = version()
        .on("GET /api/tags", recorded!("tags"))
        .on("GET /health 1/49361", healthy())
        .on("GET /api/ps", recorded!("ps_loaded"));
    assert_eq!(
        report(scene, &with_runner(look(Depth::Readiness))),
        json!({"version":"0.32.15","phase":"ready","models":[tinyb_on_disk(),tiny_in_memory()],
            "engines":[{"id":"llama-server/49361","process":"1","model":"tiny:latest","phase":"ready"}]})
    );
}

#[test]
fn a_model_that_is_kept_for_ever_never_expires() {
    let scene = version().on("GET /api/tags", recorded!("tags")).on("GET /api/ps", recorded!("ps_forever"));
    let report = report(scene, &look(Depth::Readiness));
    assert_eq!(report["models"][1]["expires_at"], "never");
    assert_eq!(report["models"][1]["state"], "loaded");
}

#[test]
fn ollama_7779_a_model_whose_time_is_over_is_stopping() {
    let scene = version().on("GET /api/tags", recorded!("tags")).on("GET /api/ps", recorded!("ps_loaded"));
    let late = Start { now: "2026-11-24T04:06:20Z".into(), ..look(Depth::Readiness) };
    assert_eq!(report(scene, &late)["models"][1]["state"], "stopping");
}

#[test]
fn a_loading_model_is_not_listed_but_its_runner_is_there() {
    let loading = r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#;
    let scene = version()
        .on("GET /api/tags", recorded!("tags"))
        .on("GET /health 1/49361", Reply::status(503, loading))
        .on("GET /api/ps", recorded!("ps_empty"));
    let report = report(scene, &with_runner(look(Depth::Readiness)));
    assert_eq!(report["engines"], json!([{"id":"llama-server/49361","process":"1","phase":"loading"}]));
    assert_eq!(report["models"], json!([tinyb_on_disk(), tiny_on_disk()]));
}

#[test]
fn what_fails_leaves_the_rest_known() {
    let scene = version()
        .on("GET /api/tags", recorded!("tags"))
        .on("GET /api/ps", Reply::broken(Outcome::Timeout, At::Headers));
    let report_without_ps = report(scene, &look(Depth::Readiness));
    let mut unknown = tiny_on_disk();
    unknown.as_object_mut().unwrap().remove("state");
    assert_eq!(report_without_ps["models"][1], unknown);

    let half = Reply::status(200, r#"{"models":[{"name":"tiny:la"#);
    let scene = version().on("GET /api/tags", half).on("GET /api/ps", recorded!("ps_loaded"));
    assert_eq!(
        report(scene, &look(Depth::Readiness)),
        json!({"version":"0.32.15","phase":"ready",
            "judged":[{"request":1,"outcome":"malformed","text":"EOF while parsing a string at line 1 column 27"}]})
    );
}

/// Each further question would take its whole time; what was not asked is unknown.
#[test]
fn at_the_first_silence_it_is_asked_no_more() {
    let silent = || Reply::broken(Outcome::Timeout, At::Headers);
    let two = |depth| {
        with_processes(look(depth), json!([main(), runner("1", 1001, "sha256-other"), runner("2", 1002, TINY_BLOB)]))
    };
    let known = json!([{"id":"llama-server/1001","process":"1"},{"id":"llama-server/1002","process":"2"}]);
    // A disk that hangs.
    let scene = version().on("GET /api/tags", silent());
    assert_eq!(report(scene, &two(Depth::Readiness)), json!({"version":"0.32.15","phase":"ready","engines":known}));
    // A runner that hangs: Ollama may hang behind it, so that it gets little time.
    let scene =
        version().on("GET /api/tags", recorded!("tags")).on("GET /health 1/1001", silent()).on("GET /api/ps", silent());
    let session = scene.record(&PLUGIN, &two(Depth::Readiness), "", "").to_text();
    assert!(session.contains(r#""path":"/api/ps","timeout_ms":2000"#), "{session}");
    let scene = version()
        .on("GET /slots 1/1001", silent())
        .on("GET /api/ps", recorded!("ps_loaded"))
        .on("POST /api/show", silent());
    assert_eq!(report(scene, &two(Depth::Progress))["engines"], known);
    // One that is gone costs nothing.
    let scene = version()
        .on("GET /slots 1/1001", Reply::broken(Outcome::Refused, At::Connect))
        .on("GET /slots 2/1002", busy_slots())
        .on("GET /api/ps", silent());
    assert_eq!(report(scene, &two(Depth::Progress))["engines"][1]["running"], 1);
    // Of several models, the first description that does not come ends the round, too.
    let ps = r#"{"models":[{"name":"a:latest"},{"name":"b:latest"}]}"#;
    let slots = || Reply::status(200, r#"[{"id":0,"is_processing":false}]"#);
    let scene = version()
        .on("GET /slots 1/1001", slots())
        .on("GET /slots 2/1002", slots())
        .on("GET /api/ps", Reply::status(200, ps))
        .on("POST /api/show", silent());
    assert_eq!(report(scene, &two(Depth::Progress))["engines"][0]["model"], Value::Null);
}

#[test]
fn a_remote_model_is_marked_and_has_no_state_here() {
    let tags = r#"{"models":[{"name":"big:cloud","model":"big:cloud","size":384,"remote_model":"big","remote_host":"https://example.com","capabilities":["completion"]}]}"#;
    let scene = version().on("GET /api/tags", Reply::status(200, tags)).on("GET /api/ps", recorded!("ps_empty"));
    assert_eq!(
        report(scene, &look(Depth::Readiness))["models"],
        json!([{"id":"big:cloud","size_bytes":384,"capabilities":["completion","remote"]}])
    );
}

#[test]
fn busy_is_counted_by_task() {
    let scene = version().on("GET /slots 1/49361", busy_slots()).on("GET /api/ps", recorded!("ps_loaded"));
    assert_eq!(
        report(scene, &with_runner(look(Depth::Progress))),
        json!({"version":"0.32.15","phase":"ready","engines":[{
            "id":"llama-server/49361","process":"1","model":"tiny:latest","running":1,"capacity":1,"phase":"ready",
            "counters":[{"id":"slot0/17/prompt","kind":"prompt","value":28},
                        {"id":"slot0/17/decode","kind":"decode","value":41}]}]})
    );
}

#[test]
fn ollama_15950_a_stalled_runner_is_silent_while_ollama_answers() {
    let silent = || version().on("GET /slots 1/49361", Reply::broken(Outcome::Timeout, At::Headers));
    let scene = silent().on("GET /api/ps", recorded!("ps_loaded"));
    assert_eq!(
        report(scene, &with_runner(look(Depth::Progress))),
        json!({"version":"0.32.15","phase":"ready",
            "engines":[{"id":"llama-server/49361","process":"1","model":"tiny:latest"}]})
    );
    // With a request that waits to start, `/api/ps` hangs behind the runner; its name is lost, nothing else.
    let scene = silent().on("GET /api/ps", Reply::broken(Outcome::Timeout, At::Headers));
    assert_eq!(
        report(scene, &with_runner(look(Depth::Progress)))["engines"],
        json!([{"id":"llama-server/49361","process":"1"}])
    );
    // A loading one answers so to every question.
    let loading = r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#;
    let scene =
        version().on("GET /slots 1/49361", Reply::status(503, loading)).on("GET /api/ps", recorded!("ps_loaded"));
    assert_eq!(
        report(scene, &with_runner(look(Depth::Progress)))["engines"],
        json!([{"id":"llama-server/49361","process":"1","phase":"loading"}])
    );
}

#[test]
fn two_runners_are_told_apart_by_their_files() {
    let start = with_processes(
        look(Depth::Progress),
        json!([main(), runner("1", 1001, "sha256-other"), runner("2", 1002, TINY_BLOB)]),
    );
    let slots = || Reply::status(200, r#"[{"id":0,"is_processing":false}]"#);
    let scene = version()
        .on("GET /slots 1/1001", slots())
        .on("GET /slots 2/1002", slots())
        .on("GET /api/ps", recorded!("ps_loaded"))
        .on("POST /api/show", recorded!("show"));
    let (report, sent) = scene.run(&PLUGIN, &start);
    let models: Vec<_> = report["engines"].as_array().unwrap().iter().map(|engine| &engine["model"]).collect();
    assert_eq!(models, [&Value::Null, &json!("tiny:latest")]);
    assert_eq!(sent, [json!({"model":"tiny:latest"})]);
}

#[test]
fn an_older_runner_has_no_slots_and_is_not_asked_for_them() {
    let old = json!({"id":"1","parent":"0","role":"engine","exe":"ollama",
        "args":["runner","--model","~/blobs/sha256-95fd","--port","49361"],"addresses":["1/49361"]});
    let scene = version().on("GET /health 1/49361", healthy()).on("GET /api/ps", recorded!("ps_loaded"));
    assert_eq!(
        report(scene, &with_processes(look(Depth::Progress), json!([main(), old])))["engines"],
        json!([{"id":"ollama/49361","process":"1","model":"tiny:latest","phase":"ready"}])
    );
}

#[test]
fn without_known_processes_engines_are_not_known() {
    let scene = version().on("GET /api/ps", recorded!("ps_loaded"));
    assert_eq!(report(scene, &look(Depth::Progress)), json!({"version":"0.32.15","phase":"ready"}));
}

#[test]
fn runners_are_left_alone_where_the_settings_say_so() {
    let mut start = with_runner(look(Depth::Progress));
    start.settings.insert("prefer_engine".into(), false.into());
    let scene = version().on("GET /api/ps", recorded!("ps_loaded"));
    assert_eq!(
        report(scene, &start)["engines"],
        json!([{"id":"llama-server/49361","process":"1","model":"tiny:latest"}])
    );
}

const TINY_BLOB: &str = "sha256-95fda32b9de13ae3a8c1c90f3a62ba74292fff8e21b352b02bf937ec0344c48e";
