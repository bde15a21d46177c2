//! The models of the demo: two, as files in a folder of its own.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The size of a real model of two small layers. Sparse: it takes no room.
const SIZE: u64 = 1_795_766;
/// What such a model takes in memory.
pub const SIZE_LOADED: u64 = 5_211_422;
/// `PARAMETER num_ctx` of both.
pub const CONTEXT: u64 = 2048;
const NAMES: [&str; 2] = ["demo:latest", "demo-b:latest"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// With its tag.
    pub name: String,
    pub digest: String,
    pub blob: PathBuf,
    pub modified: Timestamp,
}

/// All models.
#[derive(Debug)]
pub struct Store {
    models: Vec<Model>,
}

/// Why a model cannot be had: the status and Ollama's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub text: String,
}

impl Refusal {
    pub fn new(status: u16, text: impl Into<String>) -> Refusal {
        Refusal { status, text: text.into() }
    }
}

impl Store {
    /// Finds the models in `folder`; makes those that are missing when the folder is new.
    pub fn open(folder: PathBuf) -> Result<Store, String> {
        let blobs = folder.join("blobs");
        let is_new = !blobs.exists();
        let open = |name: &str| -> io::Result<Model> {
            let digest: String = Sha256::digest(name.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
            let blob = blobs.join(format!("sha256-{digest}"));
            if is_new {
                fs::create_dir_all(&blobs)?;
                fs::write(&blob, format!("a model of the demo: {name}\n"))?;
                fs::OpenOptions::new().write(true).open(&blob)?.set_len(SIZE)?;
            }
            let modified = fs::metadata(&blob).and_then(|m| m.modified()).ok();
            let modified = modified.and_then(|t| Timestamp::try_from(t).ok()).unwrap_or(Timestamp::UNIX_EPOCH);
            Ok(Model { name: name.to_owned(), digest, blob, modified })
        };
        let models = NAMES.into_iter().map(open).collect::<io::Result<_>>();
        Ok(Store { models: models.map_err(|e| format!("models in {}: {e}", folder.display()))? })
    }

    /// Finds `name`, with or without its tag.
    pub fn find(&self, name: &str) -> Option<&Model> {
        let full = if name.contains(':') { name.to_owned() } else { format!("{name}:latest") };
        self.models.iter().find(|m| m.name == full)
    }

    /// `GET /api/tags`.
    pub fn tags(&self) -> Value {
        json!({"models": self.models.iter().map(|m| {
            let mut details = details();
            details["context_length"] = json!(CONTEXT);
            details["embedding_length"] = json!(128);
            json!({"name": m.name, "model": m.name, "modified_at": m.modified.to_string(), "size": SIZE,
                "digest": m.digest, "details": details, "capabilities": ["completion"]})
        }).collect::<Vec<_>>()})
    }

    /// `GET /v1/models`.
    pub fn v1(&self) -> Value {
        json!({"object": "list", "data": self.models.iter().map(|m| json!({"id": m.name, "object": "model",
            "created": m.modified.as_second(), "owned_by": "library"})).collect::<Vec<_>>()})
    }
}

impl Model {
    /// Looks at the file as Ollama does before it loads it.
    pub fn check(&self) -> Result<(), Refusal> {
        match fs::metadata(&self.blob) {
            Ok(file) if file.len() < SIZE => {
                let text = format!("tensor \"output.weight\" offset+size ({SIZE}) exceeds file size ({})", file.len());
                Err(Refusal::new(500, text))
            }
            Ok(_) => Ok(()),
            Err(_) => {
                let short = self.name.trim_end_matches(":latest");
                Err(Refusal::new(404, format!("model {short:?} not found, try pulling it first")))
            }
        }
    }

    /// `POST /api/show`.
    pub fn show(&self) -> Value {
        json!({"modelfile": format!("FROM {}\nPARAMETER num_ctx {CONTEXT}\n", self.blob.display()),
            "parameters": format!("num_ctx                        {CONTEXT}"), "template": "{{ .Prompt }}",
            "details": details(),
            "model_info": {"general.architecture": "llama", "general.parameter_count": 445824,
                "llama.context_length": CONTEXT, "llama.embedding_length": 128},
            "capabilities": ["completion"], "modified_at": self.modified.to_string()})
    }

    pub fn path(&self) -> &Path {
        &self.blob
    }
}

pub fn details() -> Value {
    json!({"parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"], "parameter_size": "446K",
        "quantization_level": "unknown"})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_found_by_its_short_name_and_its_file_is_checked() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().to_owned()).unwrap();
        let model = store.find("demo").unwrap();
        assert_eq!(model.name, "demo:latest");
        assert_eq!(model.check(), Ok(()));
        assert_eq!(store.find("nope"), None);

        fs::OpenOptions::new().write(true).open(&model.blob).unwrap().set_len(100_000).unwrap();
        assert_eq!(model.check().unwrap_err().status, 500);
        fs::remove_file(&model.blob).unwrap();
        assert_eq!(model.check(), Err(Refusal::new(404, "model \"demo\" not found, try pulling it first")));
        // Opened again, the file that somebody removed stays removed.
        let again = Store::open(folder.path().to_owned()).unwrap();
        assert_eq!(again.find("demo").unwrap().check().unwrap_err().status, 404);
    }
}
