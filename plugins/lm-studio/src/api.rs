//! The fields of LM Studio's answers that this plugin reads (lmstudio-ai/docs: 1_developer/2_rest).

use serde::Deserialize;

/// `GET /api/v1/models`, since 0.4.0.
#[derive(Debug, Deserialize)]
pub struct ListV1 {
    pub models: Vec<ModelV1>,
}

#[derive(Debug, Deserialize)]
pub struct ModelV1 {
    pub key: String,
    /// `llm` or `embedding`.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    #[serde(default)]
    pub architecture: Option<String>,
    #[serde(default)]
    pub quantization: Option<Quantization>,
    /// On disk.
    #[serde(default)]
    pub size_bytes: Option<u64>,
    #[serde(default)]
    pub params_string: Option<String>,
    #[serde(default)]
    pub loaded_instances: Option<Vec<InstanceV1>>,
    #[serde(default)]
    pub max_context_length: Option<u64>,
    /// `gguf` or `mlx`.
    #[serde(default)]
    pub format: Option<String>,
    /// Absent for embedding models.
    #[serde(default)]
    pub capabilities: Option<CapabilitiesV1>,
    #[serde(default)]
    pub selected_variant: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Quantization {
    #[serde(default)]
    pub name: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct InstanceV1 {
    pub id: String,
    #[serde(default)]
    pub config: Option<Config>,
}

#[derive(Debug, Deserialize)]
pub struct Config {
    #[serde(default)]
    pub context_length: Option<u64>,
    /// How many predictions run at once; absent for embedding models.
    #[serde(default)]
    pub parallel: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub struct CapabilitiesV1 {
    #[serde(default)]
    pub vision: bool,
    #[serde(default)]
    pub trained_for_tool_use: bool,
    #[serde(default)]
    pub reasoning: Option<serde_json::Value>,
}

/// `GET /api/v0/models`, since 0.3.6.
#[derive(Debug, Deserialize)]
pub struct ListV0 {
    pub data: Vec<ModelV0>,
}

#[derive(Debug, Deserialize)]
pub struct ModelV0 {
    pub id: String,
    /// `llm`, `vlm` or `embeddings`.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    #[serde(default)]
    pub arch: Option<String>,
    /// `gguf` or `mlx`.
    #[serde(default)]
    pub compatibility_type: Option<String>,
    #[serde(default)]
    pub quantization: Option<String>,
    /// `loaded` or `not-loaded`.
    #[serde(default)]
    pub state: Option<String>,
    #[serde(default)]
    pub max_context_length: Option<u64>,
    /// Since 0.3.16; `tool_use`.
    #[serde(default)]
    pub capabilities: Vec<String>,
}

/// `GET /v1/models`: with loading on demand all models on disk, without it those in memory.
#[derive(Debug, Deserialize)]
pub struct ListOpenAi {
    pub data: Vec<ModelOpenAi>,
}

#[derive(Debug, Deserialize)]
pub struct ModelOpenAi {
    pub id: String,
}

/// `POST /api/v1/models/load`.
#[derive(Debug, Deserialize)]
pub struct Load {
    #[serde(default)]
    pub instance_id: Option<String>,
    #[serde(default)]
    pub status: Option<String>,
    #[serde(default)]
    pub load_time_seconds: Option<f64>,
}

/// `POST /api/v1/models/download` and `GET /api/v1/models/download/status/ID`.
#[derive(Debug, Deserialize)]
pub struct Download {
    /// Absent where it is there already.
    #[serde(default)]
    pub job_id: Option<String>,
    /// `downloading`, `paused`, `completed`, `failed`, `already_downloaded`.
    #[serde(default)]
    pub status: Option<String>,
    #[serde(default)]
    pub total_size_bytes: Option<u64>,
    #[serde(default)]
    pub downloaded_bytes: Option<u64>,
}
