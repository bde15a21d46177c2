//! What the tests share: a LocalAI's answers, after its sources (v4.9.0) and reports.
#![allow(dead_code, reason = "each file of tests uses a part")]

use ai_monitor_localai::PLUGIN;
use ai_monitor_plugin_api::{
    event::{Depth, InferenceAsk, SessionKind, Start},
    testing::{Reply, Scene},
};
use serde_json::{Value, json};

pub const NOW: &str = "2026-11-24T04:02:00Z";
pub const UNAVAILABLE: &str = "rpc error: code = Unavailable desc = error reading from server: EOF";

pub fn look(depth: Depth) -> Start {
    Start::new(SessionKind::Probe { depth, inference: None }, 30_000, NOW)
}

pub fn ask(model: Option<&str>) -> Start {
    let inference =
        InferenceAsk { model: model.map(str::to_owned), prompt: "Say: ok".into(), max_tokens: 3, scheduled: false };
    Start::new(SessionKind::Probe { depth: Depth::Inference, inference: Some(inference) }, 60_000, NOW)
}

/// With the backends of these ports among the processes, started as llama.cpp's is (backend/cpp/llama-cpp/run.sh).
pub fn with_backends(start: Start, ports: &[u16]) -> Start {
    let mut processes = vec![json!({"id":"0","role":"main","exe":"local-ai","args":["run"],"addresses":["0/8080"]})];
    processes.extend(ports.iter().enumerate().map(|(n, port)| {
        let id = (n + 1).to_string();
        json!({"id":id,"parent":"0","role":"engine","exe":"ld.so",
            "args":["/backends/llama-cpp/llama-cpp-avx2","--addr",format!("127.0.0.1:{port}")],
            "addresses":[format!("{id}/{port}")]})
    }));
    Start { processes: Some(serde_json::from_value(Value::Array(processes)).unwrap()), ..start }
}

pub fn report(scene: Scene, start: &Start) -> Value {
    scene.run(&PLUGIN, start).0
}

pub fn ok(body: impl Into<String>) -> Reply {
    Reply::status(200, body)
}

/// LocalAI's envelope of an error.
pub fn error(status: u16, message: &str) -> Reply {
    Reply::status(status, json!({"error":{"code":status,"message":message,"type":""}}).to_string())
}

/// Without a key, where one is required (core/http/auth/middleware.go).
pub fn unauthorised() -> Reply {
    error(401, "An authentication key is required")
}

/// With a key that may not administrate.
pub fn not_admin() -> Reply {
    error(403, "Admin access required")
}

/// A route that this version does not have.
pub fn no_route() -> Reply {
    error(404, "Resource not found")
}

pub fn front() -> Scene {
    Scene::new().on("GET /healthz", ok(""))
}

pub fn system(loaded: &[&str]) -> Reply {
    let loaded: Vec<Value> = loaded.iter().map(|id| json!({"id":id,"backend":"llama-cpp"})).collect();
    ok(json!({"backends":["llama-cpp","whisper"],"loaded_models":loaded}).to_string())
}

/// `q` makes text, `embed` vectors, `hear` transcripts; of `loose` nothing is known.
pub fn list() -> Reply {
    ok(json!({"object":"list","data":[
        {"id":"q","object":"model","capabilities":["chat","completion","vision","tools","thinking"],
         "input_modalities":["text","image"],"output_modalities":["text"]},
        {"id":"embed","object":"model","capabilities":["embeddings"],"input_modalities":["text"],"output_modalities":[]},
        {"id":"hear","object":"model","capabilities":["transcript"],"input_modalities":["audio"],"output_modalities":["text"]},
        {"id":"loose.gguf","object":"model","capabilities":null,"input_modalities":null,"output_modalities":null}
    ]})
    .to_string())
}

/// What `GET /api/middleware/status` counts: with a limit on `q`.
pub fn admission(in_flight: u64) -> Reply {
    ok(json!({"pii":{"enabled_globally":false,"models":[]},"mitm":{"running":false},"router":{"models":[]},
        "admission":{"models":[{"name":"q","max_concurrent":2,"retry_after_seconds":1,"in_flight":in_flight}]}})
    .to_string())
}

/// With no limit on any model.
pub fn unlimited() -> Reply {
    ok(r#"{"admission":{"models":[]}}"#)
}
