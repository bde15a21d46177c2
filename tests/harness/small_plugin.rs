//! Plugins to drop in: small ones in C that differ in id, version and what they ask for.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

/// One plugin: asks the target `GET /version`, and says that this is it, of its own version.
#[derive(Debug, Clone)]
pub struct Small {
    pub id: String,
    pub version: String,
    /// Beside `GET /version`.
    pub more_routes: Vec<String>,
    /// A setting that it wants.
    pub setting: Option<String>,
    /// In the table; another is not this monitor's.
    pub abi: u32,
    /// What the manifest in the library says of its version, where it is to differ.
    pub version_inside: Option<String>,
    /// What it says of the target's version, where it is to differ from its own: another build of the same version.
    pub says: Option<String>,
}

impl Small {
    pub fn new(id: &str, version: &str) -> Small {
        let (id, version) = (id.to_owned(), version.to_owned());
        Small { id, version, more_routes: Vec::new(), setting: None, abi: 1, version_inside: None, says: None }
    }

    pub fn saying(mut self, version: &str) -> Small {
        self.says = Some(version.to_owned());
        self
    }

    pub fn asking(mut self, route: &str) -> Small {
        self.more_routes.push(route.to_owned());
        self
    }

    /// A target must say this in its settings.
    pub fn wanting(mut self, setting: &str) -> Small {
        self.setting = Some(setting.to_owned());
        self
    }

    pub fn manifest(&self, version: &str) -> Value {
        let mut routes = vec!["GET /version".to_owned()];
        routes.extend(self.more_routes.clone());
        let mut manifest = json!({"contract": "1.0", "abi": 1, "id": self.id, "version": version,
            "label": format!("Small {}", self.id), "probes": {"liveness": {"routes": routes, "deadline_ms": 5000}}});
        if let Some(setting) = &self.setting {
            manifest["settings"] =
                json!({"type": "object", "required": [setting], "properties": {setting: {"type": "string"}}});
        }
        manifest
    }

    /// Compiles it in `folder`; gives the library, with its manifest beside it.
    pub fn build(&self, folder: &Path) -> PathBuf {
        fs::create_dir_all(folder).expect("a folder for the plugin");
        let inside = self.manifest(self.version_inside.as_ref().unwrap_or(&self.version)).to_string();
        let says = self.says.as_ref().unwrap_or(&self.version);
        let report = json!({"effect": "report", "report": {"version": says, "phase": "ready"}}).to_string();
        let source = folder.join(format!("{}.c", self.id));
        fs::write(&source, SOURCE).expect("the source");
        let library = folder.join(format!("lib{}.so", self.id));
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source);
        compiler.arg("-I").arg(super::plugins::root().join("plugin-api/include"));
        compiler.arg(format!("-DMANIFEST={}", json!(inside))).arg(format!("-DREPORT={}", json!(report)));
        compiler.arg(format!("-DABI={}u", self.abi));
        let output = compiler.output().expect("a C compiler");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::write(library.with_extension("json"), self.manifest(&self.version).to_string()).expect("the manifest");
        library
    }

    /// Builds it and puts it into the plugin folder as a careful user does: the manifest first, each whole at once.
    pub fn drop_into(&self, scratch: &Path, plugins: &Path) -> PathBuf {
        let library = self.build(&scratch.join(format!("{}-{}", self.id, self.version)));
        fs::create_dir_all(plugins).expect("the plugin folder");
        let target = plugins.join(library.file_name().expect("a name"));
        for file in [library.with_extension("json"), library.clone()] {
            let to = plugins.join(file.file_name().expect("a name"));
            let new = to.with_extension("new");
            fs::copy(&file, &new).expect("a copy");
            fs::rename(&new, &to).expect("put in place");
        }
        target
    }
}

const SOURCE: &str = r#"
#include <ai_monitor_plugin.h>
#include <stdlib.h>
#include <string.h>

static int32_t put(const aim_sink *out, const char *text) {
  return out->put(out->ctx, (const uint8_t *)text, strlen(text)) == 0 ? AIM_OK : AIM_ERROR;
}
static int32_t manifest(const aim_sink *out) { return put(out, MANIFEST); }
static int32_t create(void **session, const aim_sink *err) {
  (void)err;
  *session = malloc(1);
  return *session ? AIM_OK : AIM_ERROR;
}
static int32_t step(void *session, const uint8_t *event, size_t len, const aim_sink *out) {
  (void)session;
  static const char START[] = "{\"event\":\"start\"";
  if (len >= sizeof START - 1 && memcmp(event, START, sizeof START - 1) == 0)
    return put(out, "{\"effect\":\"request\",\"method\":\"GET\",\"path\":\"/version\",\"timeout_ms\":4000}");
  return put(out, REPORT);
}
static void destroy(void *session) { free(session); }
static const void *extension(const char *id) { (void)id; return NULL; }

const aim_plugin ai_monitor_plugin_v1 = {ABI, sizeof(aim_plugin), manifest, create, step, destroy, extension};
"#;
