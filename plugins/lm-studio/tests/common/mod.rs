//! What the tests share: an LM Studio's answers, after lmstudio-ai/docs (1_developer/2_rest) and reports.
#![allow(dead_code, reason = "each file of tests uses a part")]

use ai_monitor_lm_studio::PLUGIN;
use ai_monitor_plugin_api::{
    event::{Depth, InferenceAsk, SessionKind, Start},
    testing::{Reply, Scene},
};
use serde_json::{Value, json};

pub const NOW: &str = "2026-11-24T04:02:00Z";
pub const CRASHED: &str = "The model has crashed without additional information. (Exit code: 18446744072635812000)";

pub fn look(depth: Depth) -> Start {
    Start::new(SessionKind::Probe { depth, inference: None }, 30_000, NOW)
}

pub fn ask(model: Option<&str>) -> Start {
    let inference =
        InferenceAsk { model: model.map(str::to_owned), prompt: "Say: ok".into(), max_tokens: 3, scheduled: false };
    Start::new(SessionKind::Probe { depth: Depth::Inference, inference: Some(inference) }, 60_000, NOW)
}

/// llmster with its workers (lms#502).
pub fn with_workers(start: Start, workers: usize) -> Start {
    let mut processes = vec![json!({"id":"0","role":"main","exe":"llmster","args":[],"addresses":["0/1234"]})];
    processes.extend((1..=workers).map(|n| {
        json!({"id":n.to_string(),"parent":"0","role":"engine","exe":"node",
            "args":["~/.lmstudio/llmster/0.0.6-1/.bundle/lib/llmworker.js"],"addresses":[]})
    }));
    Start { processes: Some(serde_json::from_value(Value::Array(processes)).unwrap()), ..start }
}

pub fn report(scene: Scene, start: &Start) -> Value {
    scene.run(&PLUGIN, start).0
}

pub fn ok(body: impl Into<String>) -> Reply {
    Reply::status(200, body).header("x-powered-by", "Express")
}

/// Every path that there is not (lmstudio-bug-tracker#618).
pub fn unexpected(request: &str) -> Reply {
    ok(json!({"error": format!("Unexpected endpoint or method. ({request})")}).to_string())
}

/// With "Require Authentication" on, and no token.
pub fn unauthorised() -> Reply {
    Reply::status(
        401,
        r#"{"error":{"type":"invalid_request","code":"invalid_api_key","message":"An LM Studio API token is required to make requests to this server, but none was provided using the Authorization header"}}"#,
    )
}

pub fn greeting() -> Scene {
    Scene::new().on("GET /lmstudio-greeting", ok(r#"{"lmstudio":true}"#))
}

/// `GET /api/v1/models` with these instances of the chat model, and of the embedding model.
pub fn list(chat: &[&str], embedding: &[&str]) -> Reply {
    let chat: Vec<Value> = chat
        .iter()
        .map(|id| json!({"id":id,"config":{"context_length":4096,"eval_batch_size":512,"parallel":4,"flash_attention":true,"offload_kv_cache_to_gpu":true}}))
        .collect();
    let embedding: Vec<Value> = embedding.iter().map(|id| json!({"id":id,"config":{"context_length":2048}})).collect();
    ok(json!({"models":[
        {"type":"llm","publisher":"google","key":"google/gemma-4","display_name":"Gemma 4","architecture":"gemma4",
         "quantization":{"name":"Q4_K_M","bits_per_weight":4},"size_bytes":17990911801u64,"params_string":"26B-A4B",
         "loaded_instances":chat,"max_context_length":262144,"format":"gguf",
         "capabilities":{"vision":true,"trained_for_tool_use":true,"reasoning":{"allowed_options":["off","on"],"default":"on"}},
         "description":null,"variants":["google/gemma-4@q4_k_m"],"selected_variant":"google/gemma-4@q4_k_m"},
        {"type":"embedding","publisher":"gaianet","key":"nomic-embed","display_name":"Nomic Embed",
         "quantization":{"name":"F16","bits_per_weight":16},"size_bytes":274290560,"params_string":null,
         "loaded_instances":embedding,"max_context_length":2048,"format":"gguf"}
    ]})
    .to_string())
}

/// The chat model as it is reported.
pub fn chat_model(state: &str) -> Value {
    let loaded = state == "loaded";
    let mut model = json!({"id":"google/gemma-4","aliases":["google/gemma-4@q4_k_m"],"state":state,
        "capabilities":["completion","vision","tools","thinking"],
        "info":{"architecture":"gemma4","context":if loaded {"4096"} else {"262144"},"format":"gguf",
            "parameters":"26B-A4B","quantization":"Q4_K_M"}});
    match loaded {
        true => model["info"]["bytes on disk"] = "17990911801".into(),
        false => model["size_bytes"] = 17990911801u64.into(),
    }
    model
}

pub fn embedding_model() -> Value {
    json!({"id":"nomic-embed","state":"unloaded","size_bytes":274290560,"capabilities":["embedding"],
        "info":{"context":"2048","format":"gguf","quantization":"F16"}})
}

/// Two tokens and an end.
pub fn stream(model: &str) -> Reply {
    let event = |delta: Value, finish: Value| {
        let chunk = json!({"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":model,
            "choices":[{"index":0,"delta":delta,"logprobs":null,"finish_reason":finish}]});
        format!("data: {chunk}\n\n")
    };
    ok([
        event(json!({"role":"assistant","reasoning_content":"hm"}), Value::Null),
        event(json!({"content":"ok"}), Value::Null),
        event(json!({}), json!("stop")),
        "data: [DONE]\n\n".into(),
    ]
    .concat())
}
