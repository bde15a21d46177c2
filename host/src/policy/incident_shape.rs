//! The one table of what a policy may read of an incident: names, types, what may be absent. Checks, errors and the
//! monitor's view are held to it.

use serde_json::{Map, Value};

use super::suggest::did_you_mean;
use crate::health::fault::FaultClass;

/// The type of a field. Seconds, bytes and shares are all numbers.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Number,
    Text,
    Bool,
    /// A list of texts.
    Texts,
    Object(&'static Shape),
    /// A list of objects.
    List(&'static Shape),
}

#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    /// It may be absent (`nil`).
    pub optional: bool,
}

#[derive(Debug)]
pub struct Shape {
    /// As errors name it: `incident.target`.
    pub name: &'static str,
    pub fields: &'static [Field],
    /// Beside its own fields it has the facts of the fault class ([`FACTS`]).
    pub with_facts: bool,
}

const fn is(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, optional: false }
}

const fn may_be(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, optional: true }
}

const fn shape(name: &'static str, fields: &'static [Field]) -> Shape {
    Shape { name, fields, with_facts: false }
}

use Kind::{Bool, List, Number, Object, Text, Texts};

/// What a ladder gets.
pub static INCIDENT: Shape = shape(
    "incident",
    &[
        is("id", Text),
        is("fault", Text),
        may_be("model", Text),
        is("target", Object(&TARGET)),
        is("evidence", Object(&EVIDENCE)),
        is("models", List(&MODEL)),
        may_be("process", Object(&PROCESS)),
        is("vitals", Object(&VITALS)),
        is("time", Object(&TIME)),
        is("tried", List(&TRIED)),
        is("past", List(&PAST)),
        is("left", Object(&LEFT)),
        is("upstream", List(&UPSTREAM)),
    ],
);

static TARGET: Shape = shape(
    "incident.target",
    &[is("name", Text), is("backend", Text), is("tags", Texts), is("interval", Number), is("owner", Text)],
);

static EVIDENCE: Shape = Shape {
    name: "incident.evidence",
    fields: &[
        is("since", Number),
        is("failures", Number),
        is("depth", Text),
        is("also", Texts),
        is("symptoms", Texts),
        is("lines", List(&LINE)),
    ],
    with_facts: true,
};

static LINE: Shape = shape("incident.evidence.lines[i]", &[is("from", Text), is("text", Text)]);

static MODEL: Shape = shape(
    "incident.models[i]",
    &[
        is("id", Text),
        is("aliases", Texts),
        is("state", Text),
        may_be("size_bytes", Number),
        may_be("gpu_bytes", Number),
        may_be("idle", Number),
    ],
);

static PROCESS: Shape = shape("incident.process", &[is("uptime", Number), is("memory", Number)]);

static VITALS: Shape = shape("incident.vitals", &[is("memory_free", Number), is("gpus", List(&GPU))]);

static GPU: Shape =
    shape("incident.vitals.gpus[i]", &[is("name", Text), is("memory_free", Number), is("memory_total", Number)]);

static TIME: Shape = shape(
    "incident.time",
    &[
        is("unix", Number),
        is("opened", Number),
        is("hour", Number),
        is("minute", Number),
        is("weekday", Number),
        is("in_window", Bool),
    ],
);

static TRIED: Shape = shape(
    "incident.tried[i]",
    &[
        is("act", Text),
        is("result", Text),
        may_be("by", Text),
        is("fault", Text),
        is("ago", Number),
        is("took", Number),
    ],
);

static PAST: Shape = shape(
    "incident.past[i]",
    &[is("fault", Text), is("ended", Text), may_be("by", Text), is("ago", Number), is("took", Number)],
);

static LEFT: Shape = shape("incident.left", &[is("starts", Number), is("repairs", Number), is("acts", Number)]);

static UPSTREAM: Shape =
    shape("incident.upstream[i]", &[is("name", Text), is("state", Text), may_be("uptime", Number)]);

/// What an act answers.
pub static OUTCOME: Shape = shape(
    "the outcome of an act",
    &[
        is("result", Text),
        is("ok", Bool),
        is("took", Number),
        may_be("by", Text),
        may_be("step", Text),
        is("detail", Text),
    ],
);

/// The facts that `incident.evidence` has for a class. A policy reads the fact of another class as `nil`, because one
/// function may be the ladder of several classes.
pub static FACTS: &[(FaultClass, &[Field])] = &[
    (
        FaultClass::PortConflict,
        &[may_be("holder", Text), is("ours", Bool), may_be("supervisor", Text), is("access_denied", Bool)],
    ),
    (
        FaultClass::Dead,
        &[
            may_be("exit_code", Number),
            may_be("signal", Number),
            is("oom", Bool),
            may_be("uptime", Number),
            is("leftovers", Number),
        ],
    ),
    (FaultClass::Unresponsive, &[is("flat_for", Number), is("runner", Bool)]),
    (FaultClass::Access, &[may_be("status", Number)]),
    (FaultClass::DeviceBroken, &[is("unkillable", Bool), may_be("xid", Number)]),
    (FaultClass::FrontOnly, &[is("child_gone", Bool), is("waiting", Number)]),
    (FaultClass::StuckState, &[is("state", Text), is("lasting", Number), is("bound", Number)]),
    (FaultClass::Stalled, &[is("in_flight", Number), is("flat_for", Number), is("own_request", Bool)]),
    (FaultClass::Erring, &[is("failed", Number), is("of", Number)]),
    (FaultClass::Store, &[is("kind", Text)]),
    (FaultClass::OrphanMemory, &[is("orphans", Number), is("bytes", Number)]),
    (
        FaultClass::CpuFallback,
        &[
            is("gpu_share", Number),
            is("usual_share", Number),
            is("speed", Number),
            is("usual_speed", Number),
            is("after_suspend", Bool),
        ],
    ),
    (FaultClass::BadOutput, &[is("bad", Number), is("of", Number)]),
    (FaultClass::Degraded, &[is("measure", Text), is("value", Number), is("usual", Number), is("windows", Number)]),
];

impl Shape {
    /// Every field that can be read, with the facts of all classes where there are facts.
    pub fn readable(&self) -> impl Iterator<Item = &'static Field> {
        let facts = FACTS.iter().filter(|_| self.with_facts).flat_map(|(_, facts)| facts.iter());
        self.fields.iter().chain(facts)
    }

    /// The problem of reading this name, in words; `None`: it is a field that may be absent.
    pub fn unknown_field(&self, name: &str) -> Option<String> {
        if self.readable().any(|f| f.name == name) {
            return None;
        }
        Some(format!("{} has no field '{name}'{}", self.name, did_you_mean(name, self.readable().map(|f| f.name))))
    }
}

/// Every shape by its name: a policy's tables are labelled with it.
pub fn by_name(name: &str) -> Option<&'static Shape> {
    ALL.iter().copied().find(|s| s.name == name)
}

pub static ALL: &[&Shape] = &[
    &INCIDENT, &TARGET, &EVIDENCE, &LINE, &MODEL, &PROCESS, &VITALS, &GPU, &TIME, &TRIED, &PAST, &LEFT, &UPSTREAM,
    &OUTCOME,
];

/// Names of the fields that entries of any list have: what `count` may be asked for.
pub fn entry_fields() -> impl Iterator<Item = &'static str> {
    [&TRIED, &PAST, &MODEL, &UPSTREAM, &LINE, &GPU].into_iter().flat_map(|s| s.fields.iter().map(|f| f.name))
}

/// Where a JSON incident departs from the table, in words; empty: it fits. For tests and for scenarios.
pub fn deviations(incident: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let fault = incident.get("fault").and_then(Value::as_str).unwrap_or_default();
    compare(&INCIDENT, fault, incident, &mut found);
    found
}

fn compare(shape: &'static Shape, fault: &str, value: &Value, found: &mut Vec<String>) {
    let Some(object) = value.as_object() else {
        found.push(format!("{} is not an object", shape.name));
        return;
    };
    let facts = FACTS.iter().filter(|(class, _)| shape.with_facts && class.as_str() == fault);
    let fields: Vec<&Field> = shape.fields.iter().chain(facts.flat_map(|(_, f)| f.iter())).collect();
    for field in &fields {
        compare_field(shape, fault, field, object, found);
    }
    for name in object.keys().filter(|name| !fields.iter().any(|f| f.name == *name)) {
        found.push(format!("{}.{name} is not in the table of fields", shape.name));
    }
}

fn compare_field(
    shape: &'static Shape,
    fault: &str,
    field: &Field,
    object: &Map<String, Value>,
    found: &mut Vec<String>,
) {
    let place = format!("{}.{}", shape.name, field.name);
    let Some(value) = object.get(field.name).filter(|v| !v.is_null()) else {
        if !field.optional {
            found.push(format!("{place} is missing"));
        }
        return;
    };
    let fits = match field.kind {
        Kind::Number => value.is_number(),
        Kind::Text => value.is_string(),
        Kind::Bool => value.is_boolean(),
        Kind::Texts => value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
        Kind::Object(inner) => {
            compare(inner, fault, value, found);
            true
        }
        Kind::List(inner) => match value.as_array() {
            Some(list) => {
                list.iter().for_each(|entry| compare(inner, fault, entry, found));
                true
            }
            None => false,
        },
    };
    if !fits {
        found.push(format!("{place} is {value}: not of its type"));
    }
}
