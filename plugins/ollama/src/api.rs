//! The fields of Ollama's answers that this plugin reads.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `GET /api/tags`.
#[derive(Debug, Deserialize)]
pub struct Tags {
    /// `null` in an empty store of some versions.
    pub models: Option<Vec<Tag>>,
}

/// A model on disk.
#[derive(Debug, Clone, Deserialize)]
pub struct Tag {
    pub name: String,
    #[serde(default)]
    pub size: Option<u64>,
    #[serde(default)]
    pub details: Details,
    /// Absent before 0.6.
    #[serde(default)]
    pub capabilities: Option<Vec<String>>,
    /// Set where the model runs elsewhere.
    #[serde(default)]
    pub remote_model: Option<String>,
    #[serde(default)]
    pub remote_host: Option<String>,
}

impl Tag {
    pub fn is_remote(&self) -> bool {
        let set = |name: &Option<String>| name.as_ref().is_some_and(|name| !name.is_empty());
        set(&self.remote_model) || set(&self.remote_host)
    }

    /// Makes vectors and no text.
    pub fn is_embedding_only(&self) -> bool {
        self.capabilities.as_ref().is_some_and(|all| has(all, "embedding") && !has(all, "completion"))
    }
}

fn has(all: &[String], one: &str) -> bool {
    all.iter().any(|capability| capability == one)
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct Details {
    #[serde(default)]
    pub family: Option<String>,
    #[serde(default)]
    pub parameter_size: Option<String>,
    #[serde(default)]
    pub quantization_level: Option<String>,
}

/// `GET /api/ps`.
#[derive(Debug, Deserialize)]
pub struct Ps {
    pub models: Option<Vec<Loaded>>,
}

/// A model in memory. A loading one is not listed; one whose runner died stays listed until the next request.
#[derive(Debug, Clone, Deserialize)]
pub struct Loaded {
    pub name: String,
    #[serde(default)]
    pub size: Option<u64>,
    #[serde(default)]
    pub size_vram: Option<u64>,
    #[serde(default)]
    pub details: Details,
    #[serde(default)]
    pub expires_at: Option<String>,
    #[serde(default)]
    pub context_length: Option<u64>,
}

/// `POST /api/show`.
#[derive(Debug, Deserialize)]
pub struct Show {
    #[serde(default)]
    pub modelfile: String,
}

/// One line of `POST /api/chat`, or the whole answer of `POST /api/generate`.
#[derive(Debug, Default, Deserialize)]
pub struct Chunk {
    #[serde(default)]
    pub model: Option<String>,
    #[serde(default)]
    pub message: Message,
    #[serde(default)]
    pub done_reason: Option<String>,
    #[serde(default)]
    pub eval_count: Option<u64>,
    /// In nanoseconds.
    #[serde(default)]
    pub eval_duration: Option<u64>,
    #[serde(default)]
    pub error: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Message {
    #[serde(default)]
    pub content: String,
    #[serde(default)]
    pub thinking: String,
}

/// `POST /api/pull` that is not streamed.
#[derive(Debug, Default, Deserialize)]
pub struct Pulled {
    /// `success`
    #[serde(default)]
    pub status: Option<String>,
    #[serde(default)]
    pub error: Option<String>,
}

/// A name as Ollama lists it: without a tag, `latest` is meant. What stands behind the last `:` is a tag only if no
/// `/` follows, for a registry may have a port.
pub fn full_name(name: &str) -> String {
    match name.rsplit_once(':') {
        Some((_, tag)) if !tag.contains('/') => name.to_owned(),
        _ => format!("{name}:latest"),
    }
}

impl Details {
    /// For display.
    pub fn info(&self) -> BTreeMap<String, String> {
        [("family", &self.family), ("parameters", &self.parameter_size), ("quantization", &self.quantization_level)]
            .into_iter()
            .filter_map(|(key, value)| {
                Some((key.to_owned(), value.clone().filter(|v| !v.is_empty() && v != "unknown")?))
            })
            .collect()
    }
}
