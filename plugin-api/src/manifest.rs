//! What the host must know before, beside and without running the plugin.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, de::IntoDeserializer};
use serde_json::Value;

use crate::{event::Depth, lenient, or_default};

/// The manifest: static data, as a file beside the library, and from its `manifest` function, which says
/// the same; see [`difference`].
/// A key that the host does not know is a warning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Manifest {
    /// Newest minor of the contract that the plugin was written to: `1.0`.
    #[cfg_attr(test, schemars(regex(pattern = r"^1\.[0-9]+$")))]
    pub contract: String,
    /// The ABI of the plugin's table.
    #[cfg_attr(test, schemars(extend("const" = crate::table::AIM_ABI)))]
    pub abi: u32,
    /// Equals `backend` in the configuration. A loaded plugin replaces a bundled one of the same id.
    #[cfg_attr(test, schemars(regex(pattern = r"^[a-z][a-z0-9-]*$"), length(max = crate::limits::ID_MAX)))]
    pub id: String,
    /// The plugin's own version. At most 128 bytes.
    #[cfg_attr(test, schemars(length(max = crate::limits::LABEL_MAX)))]
    pub version: String,
    /// The backend's name, for people. At most 128 bytes.
    #[cfg_attr(test, schemars(length(max = crate::limits::LABEL_MAX)))]
    pub label: String,
    /// Ports that discovery looks at.
    #[serde(default, deserialize_with = "or_default")]
    pub ports: Vec<u16>,
    /// JSON Schema of `[target.settings]`: `type`, `properties`, `additionalProperties`, `items`, `enum`, `default`,
    /// `minimum`, `maximum`, `pattern`, `title`, `description` and `required`, nothing else. No secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(extend("type" = ["object", "null"])))]
    pub settings: Option<Value>,
    /// How this backend is told from others: the first rule that holds gives the confidence.
    #[serde(default, deserialize_with = "or_default")]
    pub identify: Vec<Rule>,
    /// Depth (`liveness`, `readiness`, `progress`, `inference`) → what a probe of it needs. `liveness` is required; a
    /// depth that is absent is never asked for.
    #[serde(deserialize_with = "known_depths")]
    #[cfg_attr(test, schemars(extend("required" = ["liveness"])))]
    pub probes: BTreeMap<Depth, ProbeSpec>,
    /// Name → what the repair needs. `load`, `unload` and `pull` have a fixed meaning; others are named freely.
    #[serde(default, deserialize_with = "or_default")]
    #[cfg_attr(test, schemars(extend("propertyNames" = serde_json::json!({"pattern": "^[!-~]+$"}))))]
    pub repairs: BTreeMap<String, RepairSpec>,
    /// How the backend's processes are known.
    #[serde(default, deserialize_with = "or_default")]
    pub process: ProcessSpec,
    /// Commands that start the server, tried in order; the configuration's own command wins.
    #[serde(default, deserialize_with = "or_default")]
    pub start: Vec<StartSpec>,
    /// What a debug start adds to the command.
    #[serde(default, deserialize_with = "or_default")]
    pub debug: DebugSpec,
    /// The backend's files.
    #[serde(default, deserialize_with = "or_default")]
    pub files: Files,
    /// Who else may restart this server; they are asked to act before the host does.
    #[serde(default, deserialize_with = "or_default")]
    pub rivals: Vec<Rival>,
}

/// The depths that this build knows; a later minor's are left out.
fn known_depths<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<Depth, ProbeSpec>, D::Error> {
    let written = BTreeMap::<String, Value>::deserialize(d)?;
    let mut known = BTreeMap::new();
    for (name, spec) in written {
        let depth: Result<Depth, serde::de::value::Error> = Depth::deserialize(name.as_str().into_deserializer());
        if let Ok(depth) = depth {
            let spec =
                serde_json::from_value(spec).map_err(|e| serde::de::Error::custom(format!("probes.{name}: {e}")))?;
            known.insert(depth, spec);
        }
    }
    Ok(known)
}

/// Reads a manifest. What of its meaning is wrong is not looked at.
///
/// # Errors
/// What cannot be read, and where. Of a key that is missing, the keys that are there in its place are told: mostly one of
/// them was meant.
pub fn read(bytes: &[u8]) -> Result<Manifest, String> {
    serde_json::from_slice(bytes).map_err(|error| {
        let said = error.to_string();
        missing_key(bytes, &said).unwrap_or(said)
    })
}

/// The parser's own place of a missing key is behind the whole table that has it not.
fn missing_key(bytes: &[u8], said: &str) -> Option<String> {
    // Keys of its tables within tables have other names, and of their places the parser says nothing.
    const AT_THE_TOP: [&str; 6] = ["contract", "abi", "id", "version", "label", "probes"];
    let (place, rest) = said.split_once("missing field `")?;
    let field = rest.split('`').next()?;
    let written: Value = serde_json::from_slice(bytes).ok()?;
    let table = match place.strip_suffix(": ") {
        Some(place) => written.get("probes")?.get(place.strip_prefix("probes.")?)?,
        None if AT_THE_TOP.contains(&field) => &written,
        None => return None,
    };
    // In an order of its own: whether JSON's is kept depends on what else is built.
    let keys: BTreeSet<&String> = table.as_object()?.keys().collect();
    let there: Vec<String> = keys.into_iter().take(16).map(|key| format!("`{key}`")).collect();
    let there = if there.is_empty() { "nothing".into() } else { there.join(", ") };
    Some(format!("{place}missing field `{field}`; there is {there}"))
}

/// Where two manifests say something else: a pointer to the first place. Blanks and the order of keys mean nothing, and
/// `null` is what an absent key is.
pub fn difference(one: &Value, other: &Value) -> Option<String> {
    fn walk(at: &str, one: &Value, other: &Value) -> Option<String> {
        match (one, other) {
            (Value::Object(one), Value::Object(other)) => {
                let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
                keys.into_iter().find_map(|key| {
                    let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                    walk(&at, one.get(key).unwrap_or(&Value::Null), other.get(key).unwrap_or(&Value::Null))
                })
            }
            _ if one == other => None,
            _ => Some(at.to_owned()),
        }
    }
    walk("", one, other)
}

/// One rule of identification: it holds when all of its checks do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Rule {
    /// How sure it is that the answer is this backend's.
    pub is: Confidence,
    /// The checks.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub all: Vec<Check>,
    /// The flavour that this rule tells, handed to sessions: `vllm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// How sure an identification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Speaks the protocol.
    Possible,
    /// Others imitate it.
    Likely,
    /// No other backend does this.
    Certain,
}

/// A GET and what its answer must be. At least one of `header`, `contains`, `has` and `equals` is there, for a status
/// alone proves nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Check {
    /// The path that is asked for.
    #[cfg_attr(test, schemars(regex(pattern = r"^/")))]
    pub get: String,
    /// The statuses that are right; `[200]` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Vec<u16>>,
    /// Header's name in lower case → its exact value.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<String, String>,
    /// A text that the body contains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// JSON pointers that exist in the body.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub has: Vec<String>,
    /// JSON pointer → the value that stands there.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub equals: BTreeMap<String, Value>,
}

/// What probes of one depth may do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProbeSpec {
    /// The permission: every `METHOD /path` that a session may ask for (GET, HEAD, POST; the query is ignored, a
    /// trailing `*` is a prefix, `* *` is any). `local ` in front: on an address of `start.processes`.
    #[cfg_attr(test, schemars(length(min = 1), inner(regex(pattern = crate::golden::ROUTE))))]
    pub routes: Vec<String>,
    /// Host facts wanted in `start`; 1.0 knows `processes`.
    #[serde(default, deserialize_with = "or_default")]
    pub needs: Vec<String>,
    /// For the whole session, in ms: at most 60,000, for `inference` 600,000.
    #[cfg_attr(test, schemars(range(min = 1, max = 600_000)))]
    pub deadline_ms: u64,
    /// Of `inference`: what each one costs the user, in words. Where it is set, a schedule is refused with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side_effect: Option<String>,
}

/// What a repair may do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RepairSpec {
    /// What it does, for people.
    pub title: String,
    /// JSON Schema of `start.args`, of the same words as `settings`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(extend("type" = ["object", "null"])))]
    pub args: Option<Value>,
    /// The permission, as of a probe.
    #[cfg_attr(test, schemars(length(min = 1), inner(regex(pattern = crate::golden::ROUTE))))]
    pub routes: Vec<String>,
    /// Host facts wanted in `start`; 1.0 knows `processes`.
    #[serde(default, deserialize_with = "or_default")]
    pub needs: Vec<String>,
    /// For the whole session, in ms.
    #[cfg_attr(test, schemars(range(min = 1, max = 1_800_000)))]
    pub deadline_ms: u64,
}

/// How the backend's processes are known. Names are never matched in part.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProcessSpec {
    /// Exact file names of the server's executable; on Windows case does not count.
    #[serde(default, deserialize_with = "or_default")]
    pub main: Vec<String>,
    /// What makes the tokens, below the server in its process tree.
    #[serde(default, deserialize_with = "or_default")]
    pub engines: Vec<EngineSpec>,
    /// What it means that an engine is gone, of whose kind nothing else is said.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub lost_engine: Option<LostEngine>,
}

/// One kind of engine: all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EngineSpec {
    /// Exact file names of its executable.
    #[serde(default, deserialize_with = "or_default")]
    pub exe: Vec<String>,
    /// Exact titles, of a process that renames itself; Linux cuts a title to 15 bytes.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub title: Vec<String>,
    /// Each equals an argument, or the file name of one.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// What it means that one of this kind is gone; `process.lost_engine` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub lost_engine: Option<LostEngine>,
}

/// What becomes of a backend that lost an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LostEngine {
    /// The backend starts a new one by itself.
    NextRequest,
    /// Dead for good: one that is lost is enough.
    Never,
}

/// One command that starts the server. Never a shell.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StartSpec {
    /// The program and its arguments; `{host}` and `{port}` are filled in.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub argv: Vec<String>,
    /// Added to the environment; `{host}` and `{port}` are filled in.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// `linux`, `macos` or `windows`; any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
}

/// Added to the start command in a debug start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DebugSpec {
    /// Added to the environment.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Added behind the arguments.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
}

/// The backend's files, as patterns with `~`, `{tmp}` and environment variables in braces.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Files {
    /// Logs that go into a diagnostic bundle.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<String>,
    /// Where models lie, for the free space there.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// What may be removed.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<Stale>,
}

/// Files that may be removed: only those of the target's user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Stale {
    /// Their paths, with `*` within a name.
    pub glob: String,
    /// The least age, in seconds.
    pub older_s: u64,
    /// `stopped`: only while the server does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<String>,
}

/// Who else may restart this server. One of the fields is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Rival {
    /// A systemd unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub systemd: Option<String>,
    /// Exact file names of a program that keeps it running.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub exe: Vec<String>,
    /// A desktop application of macOS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The image of a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_missing_key_is_told_with_the_keys_that_are_there() {
        let told = |text: &str| super::read(text.as_bytes()).unwrap_err();
        let head = r#""contract":"1.0","abi":1,"id":"a","version":"1","label":"A""#;
        let deadline = told(&format!(r#"{{{head},"probes":{{"liveness":{{"deadline":5,"routes":["GET /"]}}}}}}"#));
        assert_eq!(deadline, "probes.liveness: missing field `deadline_ms`; there is `deadline`, `routes`");
        let probes = told(&format!(r#"{{{head},"probe":{{}}}}"#));
        assert!(probes.starts_with("missing field `probes`; there is `abi`"), "{probes}");
        assert!(probes.contains("`probe`") && !probes.contains("line"), "{probes}");
        // What is said of a place within a list stays the parser's.
        let check = told(&format!(r#"{{{head},"probes":{{}},"identify":[{{"is":"certain","every":[]}}]}}"#));
        assert!(check.starts_with("missing field `all` at line 1"), "{check}");
        assert!(told("{").contains("at line 1"));
    }
}
