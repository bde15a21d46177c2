//! The fields of answers that this plugin reads.

use serde::Deserialize;

/// `GET /v1/models`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct List {
    #[serde(default)]
    pub object: Option<String>,
    /// `null` where some servers have none.
    #[serde(default)]
    data: Option<Vec<Listed>>,
    /// llama.cpp's second list, in Ollama's form: only there are capabilities.
    #[serde(default)]
    models: Option<Vec<Named>>,
}

impl List {
    pub fn models(&self) -> &[Listed] {
        self.data.as_deref().unwrap_or_default()
    }

    /// Whether it has a list at all.
    pub fn has_data(&self) -> bool {
        self.data.is_some()
    }

    /// The model that is meant by a name.
    pub fn find(&self, name: &str) -> Option<&Listed> {
        self.models().iter().find(|model| model.id == name || model.aliases.iter().any(|alias| alias == name))
    }

    pub fn capabilities(&self, id: &str) -> Option<&[String]> {
        let named = self.models.as_deref()?.iter().find(|named| named.name.as_deref() == Some(id))?;
        named.capabilities.as_deref()
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Named {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    capabilities: Option<Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Listed {
    pub id: String,
    #[serde(default)]
    pub aliases: Vec<String>,
    #[serde(default)]
    pub owned_by: Option<String>,
    /// llama.cpp's.
    #[serde(default)]
    pub meta: Option<Meta>,
    /// vLLM's.
    #[serde(default)]
    pub max_model_len: Option<u64>,
    /// Of llama.cpp's router.
    #[serde(default)]
    pub status: Option<Status>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Meta {
    #[serde(default)]
    pub n_ctx: Option<u64>,
    #[serde(default)]
    pub n_params: Option<u64>,
    /// In bytes.
    #[serde(default)]
    pub size: Option<u64>,
    #[serde(default)]
    pub ftype: Option<String>,
}

/// Of a model of llama.cpp's router.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    #[serde(default)]
    pub value: Option<String>,
    /// Its last process ended with an error.
    #[serde(default)]
    pub failed: bool,
    #[serde(default)]
    pub exit_code: Option<i64>,
    /// The command of its process, also while there is none.
    #[serde(default)]
    pub args: Vec<String>,
}

/// `GET /props` of llama.cpp's server.
#[derive(Debug, Clone, Deserialize)]
pub struct Props {
    #[serde(default)]
    pub build_info: Option<String>,
    #[serde(default)]
    pub model_alias: Option<String>,
    #[serde(default)]
    pub total_slots: Option<u64>,
    /// Absent before the server could sleep.
    #[serde(default)]
    pub is_sleeping: bool,
    /// Absent in older builds: then the route has to be tried.
    #[serde(default)]
    pub endpoint_slots: Option<bool>,
    #[serde(default)]
    pub endpoint_metrics: Option<bool>,
    #[serde(default)]
    role: Option<String>,
}

/// `GET /v1/internal/model/info` of text-generation-webui.
#[derive(Debug, Clone, Deserialize)]
pub struct WebuiInfo {
    /// `None` (a string) while no model is loaded.
    pub model_name: Option<String>,
    /// By what it runs: `llama.cpp`, `Transformers`, `ExLlamav3`.
    #[serde(default)]
    pub loader: Option<String>,
}

impl WebuiInfo {
    pub fn loaded(&self) -> Option<&str> {
        self.model_name.as_deref().filter(|name| !name.is_empty() && *name != "None")
    }
}

/// `GET /v1/internal/model/list` of text-generation-webui.
#[derive(Debug, Clone, Deserialize)]
pub struct WebuiList {
    pub model_names: Vec<String>,
}

impl Props {
    /// One server before many: its own routes need a model's name, and may load or throw out others.
    pub fn is_router(&self) -> bool {
        self.role.as_deref() == Some("router")
    }
}
