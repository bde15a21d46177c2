//! Rules of the manifest.

use serde_json::Value;

use super::{Kit, Rule, Test, Verdict, schema};
use crate::{
    event::Depth,
    limits::{ID_MAX, LABEL_MAX},
    manifest::{self, Manifest},
    route::Route,
    table::{AIM_ABI, CONTRACT},
};

/// `ok` gives how much was looked at.
type Check = fn(&Manifest) -> Result<String, String>;

macro_rules! rule {
    ($name:literal, $section:literal, $says:literal, $check:expr) => {
        Rule {
            name: $name,
            says: $says,
            section: $section,
            test: Test::Once(|kit| {
                const CHECK: Check = $check;
                match kit.manifest() {
                    Ok(manifest) => Verdict::of(CHECK(&manifest)),
                    Err(why) => Verdict::DoesNotApply(why),
                }
            }),
        }
    };
}

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "manifest_reads",
        says: "the manifest has the form and the closed words of the contract",
        section: "2",
        test: Test::Once(reads),
    },
    Rule {
        name: "manifest_has_known_keys",
        says: "no key that its contract does not have",
        section: "2",
        test: Test::Once(known_keys),
    },
    Rule {
        name: "manifest_equals_its_file",
        says: "the manifest beside the library says the same, blanks and the order of keys aside",
        section: "1, from a file to a session",
        test: Test::Once(equals_file),
    },
    rule!(
        "manifest_versions",
        "2, contract",
        "`contract` is of this major and no newer, `abi` equals the table's",
        versions
    ),
    rule!("manifest_id", "2, id", "`id` is [a-z][a-z0-9-]*; `version` and `label` say something, none too much", id),
    rule!("manifest_has_liveness", "2, probes", "there is a liveness probe", |m| {
        if m.probes.contains_key(&Depth::Liveness) {
            Ok(format!("{} depths", m.probes.len()))
        } else {
            Err("`probes` has no `liveness`".into())
        }
    }),
    rule!(
        "manifest_deadlines",
        "1, limits",
        "`deadline_ms` is at most 60 s, of inference 10 min, of a repair 30 min",
        deadlines
    ),
    rule!("manifest_routes", "2, routes", "each route is `[local ]GET|HEAD|POST /path[*]` or `* *`, once", routes),
    rule!(
        "manifest_texts",
        "2, routes and repairs",
        "repairs are named in visible ASCII, and no text that is shown holds a control character",
        texts
    ),
    rule!("manifest_needs", "2, needs", "`needs` are known, and `local` routes come with `processes`", needs),
    rule!("manifest_side_effect", "2, probes", "`side_effect` is of inference alone, and in words", side_effect),
    rule!(
        "manifest_settings",
        "2, settings",
        "settings are an object's schema of the allowed words, and defaults keep it",
        settings
    ),
    rule!(
        "manifest_settings_hold_no_secret",
        "2, settings",
        "keys and tokens are the target's `auth`, never a setting",
        no_secrets
    ),
    rule!(
        "manifest_identify_looks_at_content",
        "2, identify",
        "each check looks at a header or the body: a status proves nothing",
        identify
    ),
    rule!(
        "manifest_repairs",
        "2, repairs",
        "a repair has a title and a schema; load, unload and pull take `model`",
        repairs
    ),
    rule!("manifest_processes", "2, process", "names of processes are whole names: no path, no pattern", processes),
    rule!("manifest_start", "2, start", "a start names a program, never a shell, and a known system", start),
    rule!("manifest_files", "2, files", "files to remove have an age and a known condition", files),
    rule!("manifest_rivals", "2, rivals", "each rival is of one kind", rivals),
];

fn reads(kit: &Kit) -> Verdict {
    let bytes = match kit.manifest_bytes() {
        Ok(bytes) => bytes,
        Err(why) => return Verdict::DoesNotApply(why),
    };
    let read = crate::manifest::read(&bytes);
    Verdict::of(read.map(|manifest| manifest.id).map_err(|error| format!("it cannot be read: {error}")))
}

fn known_keys(kit: &Kit) -> Verdict {
    let (Ok(bytes), Ok(manifest)) = (kit.manifest_bytes(), kit.manifest()) else {
        return Verdict::DoesNotApply("the manifest cannot be read".into());
    };
    let (Ok(written), Ok(read)) = (serde_json::from_slice(&bytes), serde_json::to_value(&manifest)) else {
        return Verdict::DoesNotApply("the manifest cannot be read".into());
    };
    let unknown = unknown_keys(&written, &read);
    Verdict::of(if unknown.is_empty() {
        Ok("all keys".into())
    } else {
        Err(format!("unknown: {}", unknown.join(", ")))
    })
}

/// Pointers to what was written and not read.
pub(super) fn unknown_keys(written: &Value, read: &Value) -> Vec<String> {
    fn walk(at: &str, written: &Value, read: Option<&Value>, unknown: &mut Vec<String>) {
        match (written, read) {
            (Value::Null, _) => {}
            // Empty ones may be left out when they are written again.
            (Value::Object(object), None) if object.is_empty() => {}
            (Value::Array(array), None) if array.is_empty() => {}
            (Value::Bool(false), None) => {}
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
    walk("", written, Some(read), &mut unknown);
    unknown
}

fn equals_file(kit: &Kit) -> Verdict {
    let Some(file) = &kit.file else { return Verdict::DoesNotApply("no file beside it was given".into()) };
    let bytes = match kit.manifest_bytes() {
        Ok(bytes) => bytes,
        Err(why) => return Verdict::DoesNotApply(why),
    };
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes);
    Verdict::of(match (read(&bytes), read(file)) {
        (Ok(library), Ok(file)) => match manifest::difference(&library, &file) {
            None => Ok(format!("{} bytes", bytes.len())),
            Some(at) => {
                let shown = |value: &Value| match value.pointer(&at) {
                    Some(value) => super::play::short(&value.to_string()),
                    None => "nothing".into(),
                };
                let (file, library) = (shown(&file), shown(&library));
                Err(format!(
                    "they differ at `{at}`: the file has {file}, the library {library}. Put the manifest of this build \
                     beside it"
                ))
            }
        },
        (_, Err(error)) => Err(format!("the file beside it cannot be read: {error}")),
        (Err(error), _) => return Verdict::DoesNotApply(format!("the manifest cannot be read: {error}")),
    })
}

fn versions(manifest: &Manifest) -> Result<String, String> {
    let parts = |text: &str| -> Option<(u32, u32)> {
        let (major, minor) = text.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    match (parts(&manifest.contract), parts(CONTRACT)) {
        (Some((major, minor)), Some((ours, newest))) if major == ours && minor <= newest => {}
        _ => return Err(format!("`contract` is {:?}, this kit knows {CONTRACT:?}", manifest.contract)),
    }
    if manifest.abi != AIM_ABI {
        return Err(format!("`abi` is {}, the table's is {AIM_ABI}", manifest.abi));
    }
    Ok(format!("contract {}", manifest.contract))
}

fn id(manifest: &Manifest) -> Result<String, String> {
    let mut letters = manifest.id.bytes();
    let begins = letters.next().is_some_and(|b| b.is_ascii_lowercase());
    if !begins || !letters.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Err(format!("`id` is {:?}", manifest.id));
    }
    if manifest.version.trim().is_empty() || manifest.label.trim().is_empty() {
        return Err("`version` or `label` is empty".into());
    }
    for (name, text, max) in
        [("id", &manifest.id, ID_MAX), ("version", &manifest.version, LABEL_MAX), ("label", &manifest.label, LABEL_MAX)]
    {
        if text.len() > max {
            return Err(format!("`{name}` has {} bytes, at most {max}", text.len()));
        }
    }
    Ok(format!("{} {}", manifest.id, manifest.version))
}

/// What a manifest declares of one probe or repair.
struct Declared<'a> {
    /// Where it stands in the manifest.
    at: String,
    routes: &'a [String],
    needs: &'a [String],
    deadline_ms: u64,
    /// The longest that the contract allows.
    most_ms: u64,
}

/// All probes and repairs.
fn sessions(manifest: &Manifest) -> Vec<Declared<'_>> {
    let probes = manifest.probes.iter().map(|(depth, spec)| Declared {
        at: format!("probes.{depth}"),
        routes: &spec.routes,
        needs: &spec.needs,
        deadline_ms: spec.deadline_ms,
        most_ms: if *depth == Depth::Inference { 600_000 } else { 60_000 },
    });
    let repairs = manifest.repairs.iter().map(|(name, spec)| Declared {
        at: format!("repairs.{name}"),
        routes: &spec.routes,
        needs: &spec.needs,
        deadline_ms: spec.deadline_ms,
        most_ms: 1_800_000,
    });
    probes.chain(repairs).collect()
}

fn deadlines(manifest: &Manifest) -> Result<String, String> {
    let sessions = sessions(manifest);
    for Declared { at, deadline_ms, most_ms, .. } in &sessions {
        if !(1..=*most_ms).contains(deadline_ms) {
            return Err(format!("`{at}.deadline_ms` is {deadline_ms}, not within 1 and {most_ms}"));
        }
    }
    Ok(format!("{} sessions", sessions.len()))
}

fn routes(manifest: &Manifest) -> Result<String, String> {
    let mut looked_at = 0;
    for Declared { at, routes, .. } in sessions(manifest) {
        if routes.is_empty() {
            return Err(format!("`{at}.routes` is empty: it can ask for nothing"));
        }
        for (i, route) in routes.iter().enumerate() {
            if Route::parse(route).is_none() {
                return Err(format!("`{at}.routes` has {route:?}"));
            }
            if routes[..i].contains(route) {
                return Err(format!("`{at}.routes` has {route:?} twice"));
            }
            looked_at += 1;
        }
    }
    Ok(format!("{looked_at} routes"))
}

/// Visible ASCII alone, so that it cannot pass for another.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Does this character show as nothing of its own, and change what stands around it? Control characters, which a
/// terminal obeys; line separators; and those that turn the direction of writing.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Texts that people read, in a question that needs their yes first of all. What identification looks for in a
/// server's answer may hold any character.
fn texts(manifest: &Manifest) -> Result<String, String> {
    fn walk(at: &str, value: &Value, looked_at: &mut usize) -> Result<(), String> {
        let plain = |text: &str| match text.chars().any(is_control) {
            true => Err(format!("`{}` has a control character: {text:?}", at.escape_debug())),
            false => Ok(()),
        };
        match value {
            Value::String(text) => {
                *looked_at += 1;
                plain(text)
            }
            Value::Array(items) => {
                items.iter().enumerate().try_for_each(|(i, item)| walk(&format!("{at}.{i}"), item, looked_at))
            }
            Value::Object(members) => members.iter().try_for_each(|(name, value)| {
                plain(name)?;
                walk(&format!("{at}{}{name}", if at.is_empty() { "" } else { "." }), value, looked_at)
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }
    if let Some(name) = manifest.repairs.keys().find(|name| !is_word(name)) {
        return Err(format!(
            "`repairs` names one {name:?}: a name may have letters, digits and ASCII signs, and no space"
        ));
    }
    let shown = Manifest { identify: Vec::new(), ..manifest.clone() };
    let mut looked_at = 0;
    walk("", &serde_json::to_value(&shown).map_err(|e| e.to_string())?, &mut looked_at)?;
    Ok(format!("{looked_at} texts"))
}

fn needs(manifest: &Manifest) -> Result<String, String> {
    for Declared { at, routes, needs, .. } in sessions(manifest) {
        if let Some(need) = needs.iter().find(|need| *need != "processes") {
            return Err(format!("`{at}.needs` has {need:?}; there is `processes`"));
        }
        if needs.is_empty() && routes.iter().any(|route| route.starts_with("local ")) {
            return Err(format!("`{at}` has a `local` route and no need of `processes`"));
        }
    }
    Ok("all sessions".into())
}

fn side_effect(manifest: &Manifest) -> Result<String, String> {
    for (depth, spec) in &manifest.probes {
        match &spec.side_effect {
            Some(_) if *depth != Depth::Inference => {
                return Err(format!("`probes.{depth}` has a `side_effect`: no other depth may have one"));
            }
            Some(words) if words.trim().is_empty() => return Err("`side_effect` is empty".into()),
            _ => {}
        }
    }
    Ok("all probes".into())
}

fn settings(manifest: &Manifest) -> Result<String, String> {
    let Some(settings) = &manifest.settings else { return Ok("no settings".into()) };
    schema::check("settings", settings)?;
    if settings.get("type").is_some_and(|kind| kind != "object") {
        return Err("`settings.type` is not `object`".into());
    }
    schema::fits("settings", settings, &Value::Object(schema::sample(settings)))
        .map_err(|why| format!("what it requires does not keep it: {why}"))?;
    let properties = settings.get("properties").and_then(Value::as_object).map_or(0, |all| all.len());
    Ok(format!("{properties} settings"))
}

fn no_secrets(manifest: &Manifest) -> Result<String, String> {
    fn walk(at: &str, schema: &Value) -> Result<(), String> {
        for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let at = format!("{at}.{name}");
            let lower = name.to_ascii_lowercase();
            let words: Vec<&str> = lower.split(['_', '-', '.']).collect();
            let is_secret =
                words.iter().any(|word| ["password", "secret", "bearer", "apikey", "passwd"].contains(word))
                    || lower == "token"
                    || lower.ends_with("_token")
                    || ["api_key", "api-key", "access_key", "authorization"].iter().any(|word| lower.contains(word));
            if is_secret && schema.get("type").is_none_or(|kind| kind == "string") {
                return Err(format!("`{at}` looks like a secret: the target's `auth` is for it"));
            }
            walk(&at, schema)?;
        }
        Ok(())
    }
    manifest.settings.as_ref().map_or(Ok(()), |settings| walk("settings", settings))?;
    Ok("all settings".into())
}

fn identify(manifest: &Manifest) -> Result<String, String> {
    let mut looked_at = 0;
    for (i, rule) in manifest.identify.iter().enumerate() {
        if rule.all.is_empty() {
            return Err(format!("`identify.{i}.all` is empty: it would hold for everything"));
        }
        for (j, check) in rule.all.iter().enumerate() {
            let at = format!("identify.{i}.all.{j}");
            if !check.get.starts_with('/') {
                return Err(format!("`{at}.get` does not begin with `/`"));
            }
            let text = check.contains.as_deref().filter(|text| !text.is_empty());
            if check.header.is_empty() && text.is_none() && check.has.is_empty() && check.equals.is_empty() {
                return Err(format!("`{at}` looks at a status alone"));
            }
            let pointers = check.has.iter().chain(check.equals.keys());
            if let Some(wrong) = pointers.into_iter().find(|pointer| !pointer.is_empty() && !pointer.starts_with('/')) {
                return Err(format!("`{at}` has {wrong:?}, which is no JSON pointer: one begins with `/`"));
            }
            if let Some(name) = check.header.keys().find(|name| name.to_ascii_lowercase() != **name) {
                return Err(format!("`{at}.header` has {name:?}: names are in lower case"));
            }
            looked_at += 1;
        }
    }
    Ok(format!("{looked_at} checks"))
}

fn repairs(manifest: &Manifest) -> Result<String, String> {
    for (name, spec) in &manifest.repairs {
        if spec.title.trim().is_empty() {
            return Err(format!("`repairs.{name}.title` is empty"));
        }
        if let Some(args) = &spec.args {
            schema::check(&format!("repairs.{name}.args"), args)?;
        }
        if ["load", "unload", "pull"].contains(&name.as_str()) {
            let model = spec.args.as_ref().and_then(|args| args.pointer("/properties/model/type"));
            if model != Some(&Value::from("string")) {
                return Err(format!("`repairs.{name}.args` has no text `model`: that name has a fixed meaning"));
            }
        }
    }
    Ok(format!("{} repairs", manifest.repairs.len()))
}

fn processes(manifest: &Manifest) -> Result<String, String> {
    let engines = &manifest.process.engines;
    if let Some(i) =
        engines.iter().position(|engine| engine.exe.is_empty() && engine.title.is_empty() && engine.args.is_empty())
    {
        return Err(format!("`process.engines.{i}` is empty: it would hold for every process"));
    }
    let names: Vec<&String> =
        manifest.process.main.iter().chain(engines.iter().flat_map(|engine| &engine.exe)).collect();
    for name in &names {
        if name.trim().is_empty() || name.contains(['/', '\\', '*', '?']) {
            return Err(format!("`process` has {name:?}: it must be a whole file name"));
        }
    }
    Ok(format!("{} names", names.len()))
}

fn start(manifest: &Manifest) -> Result<String, String> {
    const SHELLS: [&str; 8] = ["sh", "bash", "zsh", "dash", "cmd", "cmd.exe", "powershell", "powershell.exe"];
    for (i, start) in manifest.start.iter().enumerate() {
        let Some(program) = start.argv.first().filter(|program| !program.is_empty()) else {
            return Err(format!("`start.{i}.argv` names no program"));
        };
        let name = program.rsplit(['/', '\\']).next().unwrap_or(program).to_ascii_lowercase();
        if SHELLS.contains(&name.as_str()) {
            return Err(format!("`start.{i}.argv` is a shell"));
        }
        if let Some(os) = start.os.as_deref().filter(|os| !["linux", "macos", "windows"].contains(os)) {
            return Err(format!("`start.{i}.os` is {os:?}; there is linux, macos, windows"));
        }
    }
    Ok(format!("{} commands", manifest.start.len()))
}

fn files(manifest: &Manifest) -> Result<String, String> {
    for (i, stale) in manifest.files.stale.iter().enumerate() {
        if stale.only.as_deref().is_some_and(|only| only != "stopped") {
            return Err(format!("`files.stale.{i}.only` is not `stopped`"));
        }
        let fixed = stale.glob.trim_start_matches("{tmp}").trim_matches(['/', '\\', '*', '~', '.']);
        if stale.older_s == 0 || fixed.is_empty() {
            return Err(format!("`files.stale.{i}` would remove too much: it needs an age and a name"));
        }
    }
    Ok(format!("{} patterns", manifest.files.stale.len()))
}

fn rivals(manifest: &Manifest) -> Result<String, String> {
    for (i, rival) in manifest.rivals.iter().enumerate() {
        let kinds = [rival.systemd.is_some(), !rival.exe.is_empty(), rival.app.is_some(), rival.image.is_some()];
        if kinds.into_iter().filter(|is_set| *is_set).count() != 1 {
            return Err(format!("`rivals.{i}` has not exactly one of systemd, exe, app, image"));
        }
    }
    Ok(format!("{} rivals", manifest.rivals.len()))
}
