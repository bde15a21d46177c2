//! A plain sample of a target with a fault: what a check walks ladders with, and scenarios are laid over.

use serde_json::{Map, Value, json};

use super::incident_shape::{FACTS, Kind, deviations};
use crate::health::fault::FaultClass;

/// The `incident` of a class, every field of its table there.
pub fn incident(class: FaultClass) -> Value {
    let mut evidence = json!({
        "since": 1_700_000_000, "failures": 2, "depth": "progress", "also": [], "symptoms": [],
        "lines": [{ "from": "progress", "text": "GET /slots: timeout, no headers, 5000 ms" }],
    });
    if let Some(object) = evidence.as_object_mut() {
        object.extend(facts(class));
    }
    let incident = json!({
        "id": "1", "fault": class, "model": "llama3.2:3b",
        "target": { "name": "ollama", "backend": "ollama", "tags": [], "interval": 30, "owner": "child" },
        "evidence": evidence,
        "models": [{
            "id": "llama3.2:3b", "aliases": [], "state": "loaded", "size_bytes": 2_000_000_000u64,
            "gpu_bytes": 2_000_000_000u64, "idle": 60,
        }],
        "process": { "uptime": 3600, "memory": 500_000_000 },
        "vitals": {
            "memory_free": 16_000_000_000u64,
            "gpus": [{ "name": "GPU 0", "memory_free": 6_000_000_000u64, "memory_total": 8_000_000_000u64 }],
        },
        "time": {
            "unix": 1_700_000_010, "opened": 1_700_000_000, "hour": 12, "minute": 0, "weekday": 2, "in_window": false,
        },
        "tried": [], "past": [], "left": { "starts": 3, "repairs": 20, "acts": 100 }, "upstream": [],
    });
    debug_assert_eq!(deviations(&incident), Vec::<String>::new());
    incident
}

fn facts(class: FaultClass) -> Map<String, Value> {
    let fields = FACTS.iter().filter(|(c, _)| *c == class).flat_map(|(_, fields)| fields.iter());
    fields
        .map(|field| {
            let value = match field.kind {
                Kind::Number => json!(1),
                Kind::Bool => json!(true),
                _ => json!("sample"),
            };
            (field.name.to_owned(), value)
        })
        .collect()
}
