//! The contract has only grown since its first release: what was valid then is valid now, and means the same.

use std::{fs, path::Path};

use serde_json::{Value, json};

#[test]
fn todays_schemas_take_all_that_the_first_releases_took() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| -> Value {
        let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let mut seen = 0;
    for entry in fs::read_dir(root.join("../tests/first_release/schemas")).unwrap() {
        let old = entry.unwrap().path();
        let new = root.join("golden").join(old.file_name().unwrap());
        let direction = if old.ends_with("event.schema.json") { Direction::ToPlugins } else { Direction::ToHost };
        let broken = broken_promises(&read(&old), &read(&new), direction);
        assert!(broken.is_empty(), "{}: {broken:#?}\nsee docs/plugins/promise.md", new.display());
        seen += 1;
    }
    assert_eq!(seen, 5, "a schema is missing");
}

/// An addition that nobody can tell by `contract` is one that an author cannot ask for.
#[test]
fn what_the_first_release_has_not_counts_the_minor_up() {
    fn without_words(mut value: Value) -> Value {
        match &mut value {
            Value::Object(object) => {
                // A property may be called so, and is no text then.
                object.retain(|key, value| !(["description", "title"].contains(&key.as_str()) && value.is_string()));
                object.values_mut().for_each(|value| *value = without_words(value.take()));
            }
            Value::Array(list) => list.iter_mut().for_each(|value| *value = without_words(value.take())),
            _ => {}
        }
        value
    }
    if ai_monitor_plugin_api::table::CONTRACT != "1.0" {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    for entry in fs::read_dir(root.join("golden")).unwrap() {
        let new = entry.unwrap().path();
        if new.extension().is_some_and(|extension| extension == "json") {
            let old = root.join("../tests/first_release/schemas").join(new.file_name().unwrap());
            let is_the_same = without_words(read(&old)) == without_words(read(&new));
            assert!(
                is_the_same,
                "{} has grown, and `contract` is still 1.0: see docs/plugins/promise.md",
                new.display()
            );
        }
    }
    let header = |folder: &str| fs::read(root.join(folder).join("include/ai_monitor_plugin.h")).unwrap();
    let (old, new) = (header("../tests/first_release/plugin-api"), header("."));
    let code = |header: Vec<u8>| {
        let text = String::from_utf8(header).unwrap();
        // Its comments may be put better.
        text.split("/*").map(|part| part.split_once("*/").map_or(part, |(_, code)| code).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        code(old),
        code(new),
        "the header has changed, and `contract` is still 1.0: see docs/plugins/promise.md"
    );
}

#[test]
fn a_broken_promise_is_seen() {
    let old: Value = serde_json::from_str(
        r##"{"type":"object","required":["a"],
            "properties":{"a":{"type":"string","pattern":"^/"},"b":{"$ref":"#/$defs/B"},"c":{"type":["integer","null"],"maximum":9}},
            "$defs":{"B":{"oneOf":[{"const":"x","type":"string"},{"const":"y","type":"string"}]}}}"##,
    )
    .unwrap();
    let broken = |edit: &dyn Fn(&mut Value), direction| {
        let mut new = old.clone();
        edit(&mut new);
        broken_promises(&old, &new, direction)
    };
    let set = |pointer: &'static str, value: Value| {
        move |schema: &mut Value| {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            schema.pointer_mut(parent).unwrap()[key] = value.clone();
        }
    };
    let remove = |pointer: &'static str| {
        move |schema: &mut Value| {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            schema.pointer_mut(parent).and_then(Value::as_object_mut).unwrap().remove(key);
        }
    };
    use Direction::{ToHost, ToPlugins};
    let any_type = json!({"type":"string"});
    let more = json!([{"const":"x","type":"string"},{"const":"y","type":"string"},{"const":"z","type":"string"}]);
    for direction in [ToHost, ToPlugins] {
        assert_eq!(broken(&|_| (), direction), Vec::<String>::new());
        assert_eq!(broken(&set("/properties/new", any_type.clone()), direction), Vec::<String>::new());
        assert_eq!(broken(&set("/$defs/B/oneOf", more.clone()), direction), Vec::<String>::new());
        assert_eq!(broken(&remove("/properties/b"), direction).len(), 1);
        assert_eq!(broken(&remove("/$defs/B/oneOf/0/const"), direction).len(), 1);
        assert_eq!(broken(&set("/properties/a/type", "integer".into()), direction).len(), 1);
        assert_eq!(broken(&set("/properties/a/pattern", "^/x".into()), direction).len(), 1);
    }
    assert_eq!(broken(&set("/required", json!(["a", "b"])), ToHost).len(), 1);
    assert_eq!(broken(&set("/required", json!([])), ToPlugins).len(), 1);
    assert_eq!(broken(&set("/properties/c/maximum", 8.into()), ToHost).len(), 1);
    assert_eq!(broken(&set("/properties/c/maximum", 10.into()), ToHost).len(), 0);
}

/// Who reads what the schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// Old plugins write it: nothing that they left out may be required now.
    ToHost,
    /// Old plugins read it: nothing that they rely on may be left out now.
    ToPlugins,
}

fn broken_promises(old: &Value, new: &Value, direction: Direction) -> Vec<String> {
    let mut compared = Compared { old, new, direction, broken: Vec::new(), depth: 0 };
    compared.schemas("", old, new);
    compared.broken
}

struct Compared<'a> {
    old: &'a Value,
    new: &'a Value,
    direction: Direction,
    broken: Vec<String>,
    depth: u32,
}

impl<'a> Compared<'a> {
    fn schemas(&mut self, at: &str, old: &'a Value, new: &'a Value) {
        assert!(self.depth < 64, "{at}: the schemas refer to themselves");
        self.depth += 1;
        let (old, new) = (resolved(self.old, old), resolved(self.new, new));
        let properties = |schema: &'a Value| schema.get("properties").and_then(Value::as_object);
        for (name, was) in properties(old).into_iter().flatten() {
            match properties(new).and_then(|new| new.get(name)) {
                Some(is) => self.schemas(&format!("{at}/{name}"), was, is),
                None => self.broken.push(format!("{at}/{name} is gone")),
            }
        }
        let (more, less) = match self.direction {
            Direction::ToHost => (new, old),
            Direction::ToPlugins => (old, new),
        };
        for name in strings(more, "required") {
            if !strings(less, "required").contains(&name) {
                self.broken.push(format!("{at}: whether {name} is required has changed"));
            }
        }
        for word in ["type", "const", "pattern", "items", "additionalProperties"] {
            match (old.get(word), new.get(word)) {
                (Some(was), Some(is)) if word == "items" || word == "additionalProperties" => {
                    self.schemas(&format!("{at}/{word}"), was, is);
                }
                (was, is) if was != is => self.broken.push(format!("{at}: {word} was {was:?}, is {is:?}")),
                _ => {}
            }
        }
        if self.direction == Direction::ToHost {
            self.limits(at, old, new);
        }
        for word in ["oneOf", "anyOf"] {
            let list = |schema: &'a Value| schema.get(word).and_then(Value::as_array);
            for was in list(old).into_iter().flatten() {
                let same = list(new).into_iter().flatten().find(|is| key(self.new, is) == key(self.old, was));
                match same {
                    Some(is) => self.schemas(&format!("{at}/{}", key(self.old, was)), was, is),
                    None => self.broken.push(format!("{at}: {} is gone", key(self.old, was))),
                }
            }
        }
        self.depth -= 1;
    }

    /// A limit may become wider, and go.
    fn limits(&mut self, at: &str, old: &Value, new: &Value) {
        let number = |schema: &Value, word: &str| schema.get(word).and_then(Value::as_f64);
        for (word, wider) in [
            ("maximum", f64::ge as fn(&f64, &f64) -> bool),
            ("maxItems", f64::ge),
            ("maxProperties", f64::ge),
            ("minimum", f64::le),
            ("minItems", f64::le),
        ] {
            match (number(old, word), number(new, word)) {
                (Some(was), Some(is)) if !wider(&is, &was) => {
                    self.broken.push(format!("{at}: {word} was {was}, is {is}"));
                }
                (None, Some(is)) => self.broken.push(format!("{at}: there was no {word}, it is {is}")),
                _ => {}
            }
        }
    }
}

/// Follows a reference. What stands beside it (a tag of an enum) is compared by its key.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { return schema };
    let pointer = reference.trim_start_matches('#');
    root.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

/// What tells one alternative from the others: its constant, the constant of its tag, its required keys, its type.
fn key(root: &Value, schema: &Value) -> String {
    if let Some(constant) = schema.get("const") {
        return constant.to_string();
    }
    let tag = schema.get("properties").and_then(Value::as_object).and_then(|properties| {
        properties.iter().find_map(|(name, property)| Some(format!("{name}={}", property.get("const")?)))
    });
    let schema = resolved(root, schema);
    let word = |word: &str| schema.get(word).map(Value::to_string);
    tag.or_else(|| word("required")).or_else(|| word("type")).unwrap_or_default()
}

fn strings<'a>(schema: &'a Value, word: &str) -> Vec<&'a str> {
    schema.get(word).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}
