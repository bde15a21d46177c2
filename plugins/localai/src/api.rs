//! The fields of LocalAI's answers that this plugin reads.

use serde::Deserialize;

/// `GET /v1/models`, and `GET /v1/models/capabilities`, which says more of each (core/schema/openai.go).
#[derive(Debug, Deserialize)]
pub struct List {
    /// `null` where there is none.
    pub data: Option<Vec<Listed>>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Listed {
    pub id: String,
    /// In LocalAI's words: `chat`, `completion`, `embeddings`, `vision`, `tools`, `thinking`, `tts`, …
    #[serde(default)]
    pub capabilities: Option<Vec<String>>,
}

/// `GET /system` (core/schema/localai.go).
#[derive(Debug, Deserialize)]
pub struct System {
    pub loaded_models: Option<Vec<Loaded>>,
}

impl System {
    pub fn in_memory(self) -> Vec<Loaded> {
        self.loaded_models.unwrap_or_default()
    }
}

/// A model in memory. It is listed once its load has ended well.
#[derive(Debug, Clone, Deserialize)]
pub struct Loaded {
    pub id: String,
    /// Newer versions: the kind of program that serves it.
    #[serde(default)]
    pub backend: Option<String>,
}

/// `GET /api/middleware/status`, as far as it counts requests.
#[derive(Debug, Deserialize)]
pub struct Middleware {
    #[serde(default)]
    pub admission: Option<Admission>,
}

#[derive(Debug, Deserialize)]
pub struct Admission {
    #[serde(default)]
    pub models: Option<Vec<Limited>>,
}

/// A model whose configuration limits how many requests run at once.
#[derive(Debug, Clone, Deserialize)]
pub struct Limited {
    pub name: String,
    pub max_concurrent: u64,
    pub in_flight: u64,
}

/// `GET /backend/monitor` (backend/backend.proto: StatusResponse). A zero is left out.
#[derive(Debug, Deserialize)]
pub struct Status {
    #[serde(default)]
    pub state: i64,
}

/// `POST /backend/load` and `POST /backend/shutdown`.
#[derive(Debug, Default, Deserialize)]
pub struct Done {
    #[serde(default)]
    pub loaded: Option<Vec<String>>,
    #[serde(default)]
    pub message: Option<String>,
}
