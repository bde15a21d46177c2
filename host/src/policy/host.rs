//! What the prelude may ask of Rust: the checks of every word that a policy uses, and the record of what it asked.

use std::sync::{Arc, Mutex, MutexGuard};

use mlua::{Function, Lua, Table, Value as LuaValue, Variadic, chunk::ChunkMode};
use serde_json::{Map, Value};

use super::{
    acts,
    error::{Budget, PolicyError},
    incident_shape::{by_name, entry_fields},
    meter::{Limits, Meter},
    place::{at, describe, place},
    sandbox, settings,
    step::Step,
    store::is_policy_name,
    suggest::did_you_mean,
};
use crate::{
    health::fault::FaultClass,
    incident::act::{ACTS, ActCall},
    journal::record::SourceFile,
};

/// Gives the source of a file, `mine.lua`.
pub type SourceOf = Box<dyn Fn(&str) -> Result<SourceFile, PolicyError> + Send + Sync>;

/// Reasons longer than this are cut.
const MOST_REASON: usize = 1024;

/// One file of a policy, once it was opened.
#[derive(Debug)]
pub struct OpenedFile {
    pub source: SourceFile,
    /// Its top level runs now.
    running: bool,
    pub declared: Option<Declared>,
    /// Names of the ladders that it registered, in its order.
    pub ladders: Vec<String>,
}

/// What a `policy { … }` call says.
#[derive(Debug, Clone)]
pub struct Declared {
    pub about: String,
    /// Its own settings with their defaults.
    pub defaults: Map<String, Value>,
    /// The same with what the target sets.
    values: Map<String, Value>,
}

#[derive(Debug, Default)]
pub struct State {
    /// Acts are asked in the running phase; everything else is for the loading phase.
    pub running: bool,
    pub files: Vec<OpenedFile>,
    /// Asked so far.
    pub acts: u32,
    /// In a walk: the number of an act whose outcome was read, and how many acts were asked by then.
    pub reads: Vec<(usize, usize)>,
    log_lines: u32,
    pub logs: Vec<(String, String)>,
    pub dropped_logs: u32,
    /// What the policy asked last, for the resume that is under way.
    pub asked: Option<Step>,
}

/// The host's side of one machine.
pub struct Host {
    pub meter: Meter,
    state: Mutex<State>,
    source_of: SourceOf,
    /// `grace`, `attempts`, and what the target sets of the policy's own.
    given: Map<String, Value>,
}

impl Host {
    pub fn new(limits: Limits, source_of: SourceOf, given: Map<String, Value>) -> Host {
        Host { meter: Meter::new(limits), state: Mutex::new(State::default()), source_of, given }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// Spends a budget for good; the error ends the Lua that runs.
    pub fn spend(&self, lua: &Lua, budget: Budget) -> mlua::Error {
        self.meter.spend(budget, place(lua));
        mlua::Error::runtime(format!("budget: {budget}"))
    }

    /// The words of section 5 that do not exist, each with its reason.
    fn missing(name: &str) -> String {
        match name {
            "os" | "io" | "package" | "socket" | "http" => {
                format!(
                    "there is no '{name}' in a policy: it has no files, no clock, no network; acts are all it can do"
                )
            }
            "print" => "there is no 'print' in a policy: write log \"…\"".into(),
            "incident" => "'incident' is what a ladder is called with: function heal.stalled(incident) … end".into(),
            "xpcall" => "there is no 'xpcall' in a policy: write pcall".into(),
            "coroutine" => "there is no 'coroutine' in a policy: an act suspends the ladder by itself".into(),
            "load" | "loadstring" | "loadfile" | "dofile" | "_G" | "_ENV" | "getfenv" | "setfenv" => {
                format!("there is no '{name}' in a policy: code comes from files alone; write require \"name\"")
            }
            "setmetatable" | "getmetatable" | "rawget" | "rawset" | "rawequal" | "rawlen" | "newproxy" => {
                format!("there is no '{name}' in a policy: tables are plain data, without metatables")
            }
            "debug" | "collectgarbage" | "gcinfo" | "_VERSION" | "typeof" | "buffer" | "vector" => {
                format!("there is no '{name}' in a policy: it is not needed to decide what is tried next")
            }
            _ if ACTS.iter().any(|a| a.name == name) => format!("there is no '{name}' here: write act.{name} {{}}"),
            _ => format!("there is no variable '{name}'{}", did_you_mean(name, WORDS.iter().copied())),
        }
    }

    fn undeclared(name: &str, value: &LuaValue) -> String {
        if WORDS.contains(&name) {
            return format!("'{name}' is a word of the host's: write `local {name} = …`, or take another name");
        }
        match value {
            LuaValue::Function(_) => format!("'{name}' is not declared: write `local function {name}(…)`"),
            _ => format!("'{name}' is not declared: write `local {name} = …`"),
        }
    }

    /// `Err`: why nothing can be registered or read under this name.
    fn ladder_name(name: &LuaValue) -> Result<String, String> {
        let LuaValue::String(text) = name else {
            return Err(format!("heal is read by fault class (heal.stalled), not by {}", acts::shown(name)));
        };
        let name = text.to_string_lossy();
        if name == FaultClass::SelfInflicted.as_str() {
            return Err("heal.self_inflicted: the host alone deals with what its own probes caused".into());
        }
        if let "busy" | "unknown" = name.as_str() {
            return Err(format!("heal.{name}: that is a state, not a fault; nothing is to be mended"));
        }
        let known = || PARTS.into_iter().chain(FaultClass::ALL.iter().map(|c| c.as_str()));
        if !known().any(|k| k == name) {
            return Err(format!("there is no fault class '{name}'{}", did_you_mean(&name, known())));
        }
        Ok(name)
    }

    fn register(&self, file: &str, name: &LuaValue, ladder: &LuaValue, taken: bool) -> Result<(), String> {
        let name = Self::ladder_name(name)?;
        let mut state = self.state();
        if state.running {
            return Err(format!(
                "heal.{name}: ladders are registered at the top level of the file, not while one runs"
            ));
        }
        if !matches!(ladder, LuaValue::Function(_)) {
            return Err(format!("heal.{name}: a ladder is a function, not {}", acts::shown(ladder)));
        }
        if taken {
            return Err(format!("heal.{name} is registered twice in this file"));
        }
        if let Some(opened) = state.files.iter_mut().find(|f| f.source.name == file) {
            opened.ladders.push(name);
        }
        Ok(())
    }

    fn declare(&self, file: &str, given: &[LuaValue]) -> Result<(), String> {
        const SHAPE: &str = "policy { api = 1, about = \"…\", settings = { … } }";
        let [LuaValue::Table(table)] = given else { return Err(format!("write {SHAPE}")) };
        let (mut api, mut about, mut defaults) = (None, None, Map::new());
        for pair in table.pairs::<LuaValue, LuaValue>() {
            let (key, value) = pair.map_err(|e| e.to_string())?;
            let key = match &key {
                LuaValue::String(key) => key.to_string_lossy(),
                _ => return Err(format!("policy takes named fields: write {SHAPE}")),
            };
            match (key.as_str(), &value) {
                ("api", value) => api = acts::numeric(value),
                ("about", value) => about = Some(acts::text(value).map_err(|why| format!("policy: about {why}"))?),
                ("settings", LuaValue::Table(own)) => {
                    defaults = settings::declared(own).map_err(|why| format!("policy: {why}"))?;
                }
                ("settings", _) => return Err("policy: settings is a table: settings = { idle = 30 * minute }".into()),
                _ => {
                    let hint = did_you_mean(&key, ["api", "about", "settings"].into_iter());
                    return Err(format!("policy has no field '{key}'{hint}: write {SHAPE}"));
                }
            }
        }
        match api {
            Some(1.0) => {}
            Some(other) => return Err(format!("policy: this monitor runs api 1, and the file asks for api {other}")),
            None => return Err(format!("policy needs api = 1: write {SHAPE}")),
        }
        let about =
            about.ok_or_else(|| format!("policy needs about, one line that says what it does: write {SHAPE}"))?;
        let values = defaults
            .iter()
            .map(|(key, default)| {
                // What does not fit is refused by the check; a running incident goes on with the default.
                let given = self.given.get(key).and_then(|v| settings::fitted(default, v).ok());
                (key.clone(), given.unwrap_or_else(|| default.clone()))
            })
            .collect();
        let mut state = self.state();
        if state.running {
            return Err("policy { … } belongs to the top level of the file".into());
        }
        let Some(opened) = state.files.iter_mut().find(|f| f.source.name == file) else { return Ok(()) };
        if opened.declared.is_some() {
            return Err("policy { … } is called twice in this file".into());
        }
        opened.declared = Some(Declared { about, defaults, values });
        Ok(())
    }

    fn setting(&self, file: &str, name: &LuaValue) -> Result<Value, String> {
        let LuaValue::String(name) = name else {
            return Err(format!("settings are read by name, not by {}", acts::shown(name)));
        };
        let name = name.to_string_lossy();
        let mut known = settings::shared(&self.given);
        if let Some(declared) =
            self.state().files.iter().find(|f| f.source.name == file).and_then(|f| f.declared.as_ref())
        {
            known.extend(declared.values.clone());
        }
        match known.remove(&name) {
            Some(value) => Ok(value),
            None => {
                let hint = did_you_mean(&name, known.keys().map(String::as_str));
                Err(format!(
                    "this file has no setting '{name}'{hint}; its own are declared in policy {{ settings = {{ … }} }}"
                ))
            }
        }
    }

    /// The file that is meant by `require "name"`.
    fn require(&self, given: &[LuaValue]) -> Result<String, String> {
        let [LuaValue::String(name)] = given else { return Err("write require \"name\"".into()) };
        let name = name.to_string_lossy();
        if !is_policy_name(&name) {
            return Err(format!(
                "require \"{name}\": a name has lower-case letters, digits, '-' and '_', no path, no '.lua'"
            ));
        }
        let state = self.state();
        if state.running {
            return Err(format!(
                "require \"{name}\" belongs to the top level of the file: local {name} = require \"{name}\""
            ));
        }
        let wanted = format!("{name}.lua");
        if state.files.iter().any(|f| f.running && f.source.name == wanted) {
            let circle: Vec<&str> = state.files.iter().filter(|f| f.running).map(|f| f.source.name.as_str()).collect();
            return Err(format!("require \"{name}\" closes a circle: {} → {wanted}", circle.join(" → ")));
        }
        Ok(wanted)
    }

    /// Reads and compiles a file.
    fn open(&self, lua: &Lua, file: &str, environment: Table) -> mlua::Result<Result<Function, String>> {
        if self.state().files.len() >= self.meter.limits.files {
            return Err(self.spend(lua, Budget::Load));
        }
        let source = match (self.source_of)(file) {
            Ok(source) => source,
            Err(error) => return Ok(Err(at(lua, error))),
        };
        if source.text.len() > self.meter.limits.file_bytes {
            let limit = self.meter.limits.file_bytes >> 10;
            return Ok(Err(PolicyError::TooLarge { file: file.into(), limit }.to_string()));
        }
        let chunk = lua
            .load(source.text.as_str())
            .set_name(format!("={file}"))
            .set_mode(ChunkMode::Text)
            .set_compiler(sandbox::compiler())
            .set_environment(environment)
            .into_function();
        self.state().files.push(OpenedFile { source, running: true, declared: None, ladders: Vec::new() });
        match chunk {
            Ok(chunk) => Ok(Ok(chunk)),
            Err(mlua::Error::MemoryError(_)) => Err(self.spend(lua, Budget::Memory)),
            Err(error) => Ok(Err(describe(&error))),
        }
    }

    /// The top level of a file has run. `Ok(true)`: it is a policy, and gives its ladders.
    fn loaded(&self, file: &str, value: &LuaValue) -> Result<bool, String> {
        let mut state = self.state();
        let main = state.files.first().is_some_and(|f| f.source.name == file);
        let Some(opened) = state.files.iter_mut().find(|f| f.source.name == file) else { return Ok(false) };
        opened.running = false;
        match &opened.declared {
            Some(_) => Ok(true),
            None if main || !opened.ladders.is_empty() => {
                Err(format!("{file}: policy {{ api = 1, about = \"…\" }} is missing at its top"))
            }
            None if value.is_nil() => {
                Err(format!("{file}: it is required, but neither returns anything nor is a policy"))
            }
            None => Ok(false),
        }
    }

    fn ask(&self, lua: &Lua, act: &str, given: &[LuaValue]) -> mlua::Result<Result<(), String>> {
        if !self.state().running {
            return Ok(Err(format!("act.{act}: acts are asked inside of ladders; the top level only registers them")));
        }
        let checked = match acts::check(act, given) {
            Ok(checked) => checked,
            Err(why) => return Ok(Err(why)),
        };
        let mut state = self.state();
        if state.acts >= self.meter.limits.acts {
            drop(state);
            return Err(self.spend(lua, Budget::Acts));
        }
        state.acts += 1;
        let call = ActCall {
            act: act.into(),
            args: checked.args,
            because: checked.because,
            ask: checked.ask,
            line: place(lua).unwrap_or_default(),
        };
        state.asked = Some(Step::Act(call));
        Ok(Ok(()))
    }

    fn ending(&self, lua: &Lua, word: &str, given: &[LuaValue]) -> Result<(), String> {
        let reason = match given {
            [LuaValue::String(reason)] if !reason.as_bytes().is_empty() => cut(&reason.to_string_lossy(), MOST_REASON),
            _ => return Err(format!("{word} wants a reason: {word} \"…\"")),
        };
        let mut state = self.state();
        if !state.running {
            return Err(format!("{word} belongs into a ladder; the top level only registers them"));
        }
        let line = place(lua).unwrap_or_default();
        state.asked = Some(if word == "leave" { Step::Leave { reason, line } } else { Step::GiveUp { reason, line } });
        Ok(())
    }

    fn log(&self, lua: &Lua, given: &[LuaValue]) -> Result<(), String> {
        let [LuaValue::String(text)] = given else {
            let what = given.first().map_or("nothing".into(), acts::shown);
            return Err(format!("log wants one text, not {what}: log(\"…\" .. tostring(value))"));
        };
        let limits = &self.meter.limits;
        let mut state = self.state();
        if state.log_lines >= limits.log_lines {
            state.dropped_logs = state.dropped_logs.saturating_add(1);
            return Ok(());
        }
        state.log_lines += 1;
        let line = place(lua).unwrap_or_default();
        state.logs.push((cut(&text.to_string_lossy(), limits.log_bytes), line));
        Ok(())
    }
}

/// At most so many bytes, whole characters.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut end = most.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

/// What can be registered beside the fault classes.
pub const PARTS: [&str; 3] = ["any", "debug", "upkeep"];

/// Every word of a policy's environment (prelude.lua): for suggestions.
pub(super) const WORDS: &[&str] = &[
    "act", "heal", "policy", "settings", "give_up", "leave", "log", "count", "require", "minute", "hour", "day", "MiB",
    "GiB", "string", "table", "math", "bit32", "utf8", "assert", "error", "ipairs", "next", "pairs", "pcall", "select",
    "tonumber", "tostring", "type", "unpack",
];

/// The problem with its place, or nothing.
fn problem<T>(lua: &Lua, result: Result<T, String>) -> (Option<String>, Option<T>) {
    match result {
        Ok(value) => (None, Some(value)),
        Err(text) => (Some(at(lua, text)), None),
    }
}

/// The table of functions that the prelude gets.
pub fn functions(lua: &Lua, host: &Arc<Host>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    macro_rules! function {
        ($name:literal, |$lua:ident, $host:ident, $args:pat_param in $type:ty| $body:expr) => {{
            let $host = Arc::clone(host);
            table.set($name, lua.create_function(move |$lua, $args: $type| $body)?)?;
        }};
    }
    type Args = Variadic<LuaValue>;

    function!("charge", |lua, host, work in f64| {
        // A negative or broken number is no work: the library function itself refuses it.
        host.meter.charge(work.max(0.0) as u64).map_err(|budget| host.spend(lua, budget))
    });
    function!("is_final", |lua, host, error in LuaValue| {
        let memory = match &error {
            LuaValue::Error(error) => matches!(**error, mlua::Error::MemoryError(_)),
            LuaValue::String(text) => &*text.as_bytes() == b"not enough memory",
            _ => false,
        };
        if memory {
            host.meter.spend(Budget::Memory, place(lua));
        }
        Ok(memory || error.is_error())
    });
    function!("read_only", |lua, _host, what in String| Ok(at(lua, format!("'{what}' is read-only"))));
    function!("no_text", |lua, _host, kind in String| Ok(at(lua, format!("a {kind} has no text: name the field that is meant"))));
    function!("no_order", |lua, _host, kind in String| Ok(at(lua, format!("a {kind} is a key here, and such keys have no fixed order: use a list"))));
    function!("no_pairs", |lua, _host, value in LuaValue| Ok(at(lua, format!("pairs goes through a table, not through {}", acts::shown(&value)))));
    function!("no_library_function", |lua, _host, (library, name) in (String, LuaValue)| {
        let name = name.to_string()?;
        let why = if name.starts_with("random") { ": it has no randomness, so that it can be run again" } else { "" };
        Ok(at(lua, format!("there is no '{library}.{name}' in a policy{why}")))
    });
    function!("missing", |lua, _host, name in String| Ok(at(lua, Host::missing(&name))));
    function!("undeclared", |lua, _host, (name, value) in (String, LuaValue)| Ok(at(lua, Host::undeclared(&name, &value))));
    function!("unknown_act", |lua, _host, name in LuaValue| Ok(at(lua, acts::unknown(&name.to_string()?))));
    function!("known_ladder", |lua, _host, name in LuaValue| Ok(problem(lua, Host::ladder_name(&name)).0));
    function!("no_ladder", |lua, _host, (file, name) in (String, LuaValue)| {
        Ok(at(lua, match Host::ladder_name(&name) {
            Ok(name) => format!("{file} has no ladder '{name}'"),
            Err(why) => why,
        }))
    });
    function!("register", |lua, host, (file, name, ladder, taken) in (String, LuaValue, LuaValue, bool)| {
        Ok(problem(lua, host.register(&file, &name, &ladder, taken)).0)
    });
    function!("declare", |lua, host, (file, given) in (String, Args)| Ok(problem(lua, host.declare(&file, &given)).0));
    function!("setting", |lua, host, (file, name) in (String, LuaValue)| {
        let (problem, value) = problem(lua, host.setting(&file, &name));
        Ok((problem, value.map(|v| sandbox::to_lua(lua, &v)).transpose()?))
    });
    function!("require", |lua, host, given in Args| Ok(problem(lua, host.require(&given))));
    function!("open", |lua, host, (file, environment) in (String, Table)| {
        // Its errors have a place of their own.
        Ok(match host.open(lua, &file, environment)? {
            Ok(chunk) => (None, Some(chunk)),
            Err(text) => (Some(text), None),
        })
    });
    function!("loaded", |_lua, host, (file, value) in (String, LuaValue)| {
        Ok(match host.loaded(&file, &value) {
            Ok(is_policy) => (None, is_policy),
            Err(text) => (Some(text), false),
        })
    });
    function!("ask", |lua, host, (act, given) in (String, Args)| Ok(problem(lua, host.ask(lua, &act, &given)?).0));
    function!("ending", |lua, host, (word, given) in (String, Args)| Ok(problem(lua, host.ending(lua, &word, &given)).0));
    function!("log", |lua, host, given in Args| Ok(problem(lua, host.log(lua, &given)).0));
    function!("read", |_lua, host, act in usize| {
        let mut state = host.state();
        let asked = state.acts as usize;
        if !state.reads.iter().any(|(known, _)| *known == act) {
            state.reads.push((act, asked));
        }
        Ok(())
    });
    function!("unknown_field", |lua, _host, (shape, name) in (String, LuaValue)| {
        let unknown = by_name(&shape).and_then(|s| match &name {
            LuaValue::String(name) => s.unknown_field(&name.to_string_lossy()),
            other => Some(format!("{} is read by name, not by {}", s.name, acts::shown(other))),
        });
        Ok(unknown.map(|text| at(lua, text)))
    });
    function!("check_count", |lua, _host, (list, filter) in (LuaValue, LuaValue)| {
        Ok(check_count(&list, &filter)?.map(|text| at(lua, text)))
    });
    Ok(table)
}

fn check_count(list: &LuaValue, filter: &LuaValue) -> mlua::Result<Option<String>> {
    const SHAPE: &str = "count(incident.past, { act = \"restart\", within = 1 * hour })";
    let (LuaValue::Table(_), LuaValue::Table(filter)) = (list, filter) else {
        return Ok(Some(format!("count wants a list and what to count: {SHAPE}")));
    };
    for pair in filter.pairs::<LuaValue, LuaValue>() {
        let (key, value) = pair?;
        let LuaValue::String(key) = key else { return Ok(Some(format!("count: fields are named: {SHAPE}"))) };
        let key = key.to_string_lossy();
        if key == "within" {
            if acts::numeric(&value).is_none() {
                return Ok(Some(format!("count: within is a number of seconds, not {}", acts::shown(&value))));
            }
        } else if !entry_fields().any(|f| f == key) {
            let hint = did_you_mean(&key, entry_fields().chain(["within"]));
            return Ok(Some(format!("count: entries have no field '{key}'{hint}")));
        }
    }
    Ok(None)
}
