//! One Lua machine of one incident: which libraries it has, its limits, and the prelude that makes a policy's world.
//!
//! Deterministic by what it lacks (clock, randomness, addresses as text) and by Luau's own order of `pairs`. One gap is
//! known: `for k in t` over a table whose keys are tables or functions follows their addresses. `pairs` and `next` refuse
//! such keys; the bare loop cannot be caught without metatables of the policy's own tables.

use std::sync::Arc;

use mlua::{Function, Lua, LuaOptions, StdLib, Table, Value as LuaValue, VmState, chunk::Compiler};
use serde_json::{Map, Value};

use super::{
    error::{Budget, PolicyError},
    host::{self, Host},
    incident_shape::{Kind, Shape},
    place::{HOST_CHUNK, describe},
};
use crate::incident::act::ACTS;

const PRELUDE: &str = include_str!("prelude.lua");

/// A machine, ready to load files.
pub struct Machine {
    pub lua: Lua,
    pub host: Arc<Host>,
    load_file: Function,
    ladder: Function,
    record: Function,
    watched: Function,
}

/// Without optimisation: no folding or inlining of what a policy gives, and every call is a call that is counted.
pub fn compiler() -> Compiler {
    Compiler::new().set_optimization_level(0).set_debug_level(1)
}

impl Machine {
    pub fn new(host: Host) -> Result<Machine, PolicyError> {
        Self::build(Arc::new(host)).map_err(|e| PolicyError::Machine(describe(&e)))
    }

    fn build(host: Arc<Host>) -> mlua::Result<Machine> {
        // The coroutine library is for the prelude alone; os, debug, buffer and vector are never opened.
        let libraries = StdLib::STRING | StdLib::TABLE | StdLib::MATH | StdLib::BIT | StdLib::UTF8 | StdLib::COROUTINE;
        let lua = Lua::new_with(libraries, LuaOptions::default())?;
        lua.set_memory_limit(host.meter.limits.memory)?;
        let acts = lua.create_sequence_from(ACTS.iter().map(|a| a.name))?;
        let (load_file, ladder, record, watched) = lua
            .load(PRELUDE)
            .set_name(format!("={HOST_CHUNK}"))
            .set_compiler(compiler())
            .call((host::functions(&lua, &host)?, acts))?;
        lua.sandbox(true)?;
        let on_interrupt = Arc::clone(&host);
        lua.set_interrupt(move |lua| match on_interrupt.meter.charge(1) {
            Ok(()) => Ok(VmState::Continue),
            Err(budget) => Err(on_interrupt.spend(lua, budget)),
        });
        Ok(Machine { lua, host, load_file, ladder, record, watched })
    }

    /// Runs the top level of a file and of all that it requires.
    pub fn load(&self, file: &str) -> Result<(), PolicyError> {
        self.host.meter.begin(true);
        let loaded = self.load_file.call::<LuaValue>(file);
        self.outcome(loaded).map(drop).map_err(|text| PolicyError::Script { text })
    }

    /// The function that a file registered under this name.
    pub fn ladder(&self, file: &str, name: &str) -> Result<Option<Function>, String> {
        // Nothing of the policy runs here; what its last burst used must not count against it.
        self.host.meter.begin(false);
        self.outcome(self.ladder.call::<Option<Function>>((file, name)))
    }

    /// What came of running Lua: a spent budget counts before anything else. `Err`: in words, with the place.
    pub fn outcome<T>(&self, result: mlua::Result<T>) -> Result<T, String> {
        self.outcome_at(result, || None)
    }

    /// [`Machine::outcome`], with the place for an error that has none of its own.
    pub fn outcome_at<T>(&self, result: mlua::Result<T>, place: impl FnOnce() -> Option<String>) -> Result<T, String> {
        if let Err(mlua::Error::MemoryError(_)) = &result {
            self.host.meter.spend(Budget::Memory, place());
        }
        match (self.host.meter.spent(), result) {
            (Some(spent), _) => Err(spent.to_owned()),
            (None, Ok(value)) => Ok(value),
            (None, Err(error)) => Err(describe(&error)),
        }
    }

    /// The outcome of the act of this number, made so that the host's state knows when it was read.
    pub fn watched(&self, number: usize, outcome: Table) -> mlua::Result<Table> {
        self.watched.call((number, outcome))
    }

    /// A read-only table of the fields of `shape`. `old` is brought up to date in place: a policy may hold it.
    pub fn record(&self, shape: &'static Shape, value: &Map<String, Value>, old: Option<Table>) -> mlua::Result<Table> {
        let table = match old {
            Some(old) => old,
            None => {
                let new = self.lua.create_table()?;
                new.set_metatable(Some(self.record.call::<Table>(shape.name)?))?;
                new
            }
        };
        table.set_readonly(false);
        for field in shape.readable() {
            let given = value.get(field.name).unwrap_or(&Value::Null);
            let lua = match (field.kind, given) {
                (Kind::Object(inner), Value::Object(fields)) => {
                    let old = table.raw_get::<Option<Table>>(field.name)?;
                    LuaValue::Table(self.record(inner, fields, old)?)
                }
                (Kind::List(inner), Value::Array(entries)) => {
                    let list = self.lua.create_table()?;
                    for entry in entries.iter().filter_map(Value::as_object) {
                        list.raw_push(self.record(inner, entry, None)?)?;
                    }
                    list.set_readonly(true);
                    LuaValue::Table(list)
                }
                (_, given) => to_lua(&self.lua, given)?,
            };
            table.raw_set(field.name, lua)?;
        }
        table.set_readonly(true);
        Ok(table)
    }
}

/// Plain data; lists and objects are read-only.
pub fn to_lua(lua: &Lua, value: &Value) -> mlua::Result<LuaValue> {
    Ok(match value {
        Value::Null => LuaValue::Nil,
        Value::Bool(b) => LuaValue::Boolean(*b),
        Value::Number(n) => LuaValue::Number(n.as_f64().unwrap_or_default()),
        Value::String(text) => LuaValue::String(lua.create_string(text)?),
        Value::Array(entries) => {
            let list = lua.create_table()?;
            for entry in entries {
                list.raw_push(to_lua(lua, entry)?)?;
            }
            list.set_readonly(true);
            LuaValue::Table(list)
        }
        Value::Object(fields) => {
            let table = lua.create_table()?;
            for (name, field) in fields {
                table.raw_set(name.as_str(), to_lua(lua, field)?)?;
            }
            table.set_readonly(true);
            LuaValue::Table(table)
        }
    })
}
