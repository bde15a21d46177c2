//! What a manifest must be, beyond its form.

use std::fmt::Write as _;

use ai_monitor_plugin_api::{
    event::Depth,
    limits::{ID_MAX, LABEL_MAX},
    manifest::{self, Check, Manifest},
    route::Route,
    table::{AIM_ABI, CONTRACT},
};
use serde_json::Value;

use super::text;

const PROBE_DEADLINE_MAX_MS: u64 = 60_000;
const INFERENCE_DEADLINE_MAX_MS: u64 = 600_000;
const REPAIR_DEADLINE_MAX_MS: u64 = 1_800_000;

/// The words of JSON Schema that settings and arguments may use.
const SCHEMA_WORDS: [&str; 12] = [
    "type",
    "properties",
    "additionalProperties",
    "items",
    "enum",
    "default",
    "minimum",
    "maximum",
    "pattern",
    "title",
    "description",
    "required",
];

/// Why a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    #[error(
        "`contract` is \"{found}\", this monitor speaks \"{CONTRACT}\" and what grew from it: get or build the plugin for this version"
    )]
    OtherContract { found: String },
    #[error("`abi` is {found}, the plugin's own table says {AIM_ABI}: one of them is wrong")]
    OtherAbi { found: u32 },
    #[error("`id` is {0:?}: it must begin with a letter a-z and go on with a-z, 0-9 and `-`")]
    BadId(String),
    #[error("`probes` has no `liveness`: every backend must be asked whether it answers")]
    NoLiveness,
    #[error(
        "`{at}` has a character that is not shown as what it is ({text:?}): in what people read, only plain text may stand"
    )]
    NotPlain { at: String, text: String },
    #[error("`repairs` names one {0:?}: a name may have letters, digits and ASCII signs, and no space")]
    BadRepair(String),
    #[error("`{at}`: {why}")]
    Bad { at: String, why: String },
}

/// Reads a manifest and checks it.
pub(super) fn parse(bytes: &[u8]) -> Result<Manifest, ManifestError> {
    let manifest: Manifest = manifest::read(bytes).map_err(|error| ManifestError::Unreadable(text::plain(&error)))?;
    check(&manifest)?;
    for key in unknown_keys(bytes, &manifest) {
        tracing::warn!(plugin = manifest.id, key, "the manifest has a key that this monitor does not know");
    }
    Ok(manifest)
}

/// Pointers to what is in the text of a manifest and was not read.
pub fn unknown_keys(bytes: &[u8], manifest: &Manifest) -> Vec<String> {
    fn walk(at: &str, written: &Value, read: Option<&Value>, unknown: &mut Vec<String>) {
        match (written, read) {
            (Value::Null, _) => {}
            // Empty ones may be left out when they are written again.
            (Value::Object(object), None) if object.is_empty() => {}
            (Value::Array(array), None) if array.is_empty() => {}
            (_, None) => unknown.push(at.to_owned()),
            (Value::Object(object), Some(read)) => {
                for (key, value) in object {
                    walk(&format!("{at}/{key}"), value, read.get(key), unknown);
                }
            }
            (Value::Array(array), Some(read)) => {
                for (i, value) in array.iter().enumerate() {
                    walk(&format!("{at}/{i}"), value, read.get(i), unknown);
                }
            }
            _ => {}
        }
    }
    let mut unknown = Vec::new();
    if let (Ok(written), Ok(read)) = (serde_json::from_slice(bytes), serde_json::to_value(manifest)) {
        walk("", &written, Some(&read), &mut unknown);
    }
    unknown
}

fn check(manifest: &Manifest) -> Result<(), ManifestError> {
    let Some(minor) = minor_of(&manifest.contract) else {
        return Err(ManifestError::OtherContract { found: manifest.contract.clone() });
    };
    if manifest.abi != AIM_ABI {
        return Err(ManifestError::OtherAbi { found: manifest.abi });
    }
    if !is_id(&manifest.id) {
        return Err(ManifestError::BadId(manifest.id.clone()));
    }
    for (at, text, max) in
        [("id", &manifest.id, ID_MAX), ("version", &manifest.version, LABEL_MAX), ("label", &manifest.label, LABEL_MAX)]
    {
        if text.len() > max {
            return Err(bad(at, format!("it has {} bytes, at most {max}", text.len())));
        }
    }
    // Before anything else of it is named in an error.
    if let Some(name) = manifest.repairs.keys().find(|name| !is_word(name)) {
        return Err(ManifestError::BadRepair(name.clone()));
    }
    check_texts(manifest)?;
    if !manifest.probes.contains_key(&Depth::Liveness) {
        return Err(ManifestError::NoLiveness);
    }
    for (depth, probe) in &manifest.probes {
        let at = format!("probes.{depth}");
        let max = if *depth == Depth::Inference { INFERENCE_DEADLINE_MAX_MS } else { PROBE_DEADLINE_MAX_MS };
        check_session(&at, minor, &probe.routes, &probe.needs, probe.deadline_ms, max)?;
    }
    for (name, repair) in &manifest.repairs {
        let at = format!("repairs.{name}");
        check_session(&at, minor, &repair.routes, &repair.needs, repair.deadline_ms, REPAIR_DEADLINE_MAX_MS)?;
        if let Some(args) = &repair.args {
            check_schema(&format!("{at}.args"), args)?;
        }
    }
    if let Some(settings) = &manifest.settings {
        check_schema("settings", settings)?;
    }
    for (i, rule) in manifest.identify.iter().enumerate() {
        if rule.all.is_empty() {
            return Err(bad(format!("identify.{i}.all"), "it is empty, so it would hold for everything"));
        }
        for (j, check) in rule.all.iter().enumerate() {
            check_identify(format!("identify.{i}.all.{j}"), check)?;
        }
    }
    for (i, start) in manifest.start.iter().enumerate() {
        if start.argv.is_empty() {
            return Err(bad(format!("start.{i}.argv"), "it names no program"));
        }
    }
    Ok(())
}

/// Visible ASCII alone, so that it cannot pass for another.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Texts that people read, in a question that needs their yes first of all. What identification looks for in a
/// server's answer may hold any character.
fn check_texts(manifest: &Manifest) -> Result<(), ManifestError> {
    fn walk(at: &str, value: &Value) -> Result<(), ManifestError> {
        let plain = |at: &str, text: &str| match text::is_plain(text) {
            true => Ok(()),
            false => Err(ManifestError::NotPlain { at: text::plain(at), text: text.to_owned() }),
        };
        match value {
            Value::String(text) => plain(at, text),
            Value::Array(items) => items.iter().enumerate().try_for_each(|(i, item)| walk(&format!("{at}.{i}"), item)),
            Value::Object(members) => members.iter().try_for_each(|(name, value)| {
                let at = format!("{at}{}{name}", if at.is_empty() { "" } else { "." });
                plain(&at, name)?;
                walk(&at, value)
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }
    let shown = Manifest { identify: Vec::new(), ..manifest.clone() };
    walk("", &serde_json::to_value(&shown).map_err(|e| ManifestError::Unreadable(e.to_string()))?)
}

/// May a plugin have this id?
pub fn is_id(id: &str) -> bool {
    let mut letters = id.bytes();
    letters.next().is_some_and(|b| b.is_ascii_lowercase())
        && letters.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The minor of a contract of our major. A later one than ours is taken, too: within a major the contract only grows,
/// and what this monitor does not know of it is left out.
fn minor_of(contract: &str) -> Option<Minor> {
    let parts = |text: &str| -> Option<(u32, u32)> {
        let (major, minor) = text.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    let ((major, minor), (our_major, our_minor)) = (parts(contract)?, parts(CONTRACT)?);
    (major == our_major).then_some(if minor > our_minor { Minor::Later } else { Minor::Known })
}

/// Whether all words of a manifest's contract are known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Minor {
    Known,
    Later,
}

fn check_session(
    at: &str,
    minor: Minor,
    routes: &[String],
    needs: &[String],
    deadline_ms: u64,
    max_ms: u64,
) -> Result<(), ManifestError> {
    if routes.is_empty() {
        return Err(bad(format!("{at}.routes"), "without a route it can ask for nothing"));
    }
    if let Some(route) = routes.iter().find(|route| Route::parse(route).is_none()) {
        return Err(bad(
            format!("{at}.routes"),
            format!(
                "{route:?} is no route: write `GET /path` in visible ASCII (or HEAD, POST; `local ` in front; one `*` at the end)"
            ),
        ));
    }
    // A later minor's fact is not given, and its plugin can do without, as where it is not known.
    if minor == Minor::Known
        && let Some(need) = needs.iter().find(|need| *need != "processes")
    {
        return Err(bad(format!("{at}.needs"), format!("{need:?} is not known; there is `processes`")));
    }
    if needs.is_empty() && routes.iter().any(|route| route.starts_with("local ")) {
        return Err(bad(format!("{at}.needs"), "a `local` route needs `processes`"));
    }
    if !(1..=max_ms).contains(&deadline_ms) {
        return Err(bad(format!("{at}.deadline_ms"), format!("{deadline_ms} is not within 1 and {max_ms}")));
    }
    Ok(())
}

fn check_identify(at: String, check: &Check) -> Result<(), ManifestError> {
    if !check.get.starts_with('/') {
        return Err(bad(format!("{at}.get"), "it must begin with `/`"));
    }
    if check.header.is_empty() && check.contains.is_none() && check.has.is_empty() && check.equals.is_empty() {
        return Err(bad(at, "it needs `header`, `contains`, `has` or `equals`: a status alone proves nothing"));
    }
    Ok(())
}

fn check_schema(at: &str, schema: &Value) -> Result<(), ManifestError> {
    let Some(schema) = schema.as_object() else {
        return Err(bad(at.to_owned(), "it must be an object"));
    };
    for (word, value) in schema {
        if !SCHEMA_WORDS.contains(&word.as_str()) {
            let mut why = format!("`{word}` is not supported; there is");
            for (i, known) in SCHEMA_WORDS.iter().enumerate() {
                let _ = write!(why, "{} `{known}`", if i == 0 { "" } else { "," });
            }
            return Err(bad(at.to_owned(), why));
        }
        match (word.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                for (name, schema) in properties {
                    check_schema(&format!("{at}.{name}"), schema)?;
                }
            }
            ("properties", _) => return Err(bad(format!("{at}.properties"), "it must be an object")),
            ("items", items) => check_schema(&format!("{at}.items"), items)?,
            ("additionalProperties", schema @ Value::Object(_)) => {
                check_schema(&format!("{at}.additionalProperties"), schema)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn bad(at: impl Into<String>, why: impl Into<String>) -> ManifestError {
    ManifestError::Bad { at: at.into(), why: why.into() }
}
