//! Reads typed values from tables that lie over one another: the nearer wins, key by key.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    problem::{Problem, Problems},
    tree::{Item, Node, Table},
};

/// Tables over one another, the nearest first.
#[derive(Clone)]
pub struct Layers<'a> {
    pub tables: Vec<&'a Table>,
    pub problems: &'a Problems,
}

impl<'a> Layers<'a> {
    pub fn new(tables: Vec<&'a Table>, problems: &'a Problems) -> Layers<'a> {
        Layers { tables, problems }
    }

    /// The nearest value of this key.
    pub fn find(&self, key: &str) -> Option<&'a Node> {
        self.tables.iter().find_map(|t| t.get(key))
    }

    /// The tables of this name in all layers.
    pub fn sub(&self, key: &str) -> Layers<'a> {
        let tables = self.tables.iter().filter_map(|t| t.get(key)).filter_map(|n| as_table(n, self.problems)).collect();
        Layers { tables, problems: self.problems }
    }

    fn wrong(&self, node: &Node, expected: &str) {
        self.problems.push(Problem::value(node, format!("expected {expected}, found {}", node.kind())));
    }

    pub fn text(&self, key: &str) -> Option<&'a str> {
        let node = self.find(key)?;
        match &node.item {
            Item::Text(s) if s.trim().is_empty() => {
                self.problems.push(Problem::value(node, format!("`{key}` is empty")));
                None
            }
            Item::Text(s) => Some(s),
            _ => {
                self.wrong(node, "a text");
                None
            }
        }
    }

    pub fn flag(&self, key: &str) -> Option<bool> {
        let node = self.find(key)?;
        match node.item {
            Item::Bool(b) => Some(b),
            _ => {
                self.wrong(node, "true or false");
                None
            }
        }
    }

    pub fn whole(&self, key: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let node = self.find(key)?;
        match node.item {
            Item::Whole(n) if range.contains(&n) => return Some(n),
            Item::Whole(n) => {
                self.problems.push(Problem::value(node, format!("`{key}` is out of range: {n}")).help(format!(
                    "from {} to {}",
                    range.start(),
                    range.end()
                )))
            }
            _ => self.wrong(node, "a whole number"),
        }
        None
    }

    pub fn duration(&self, key: &str, range: RangeInclusive<Duration>) -> Option<Duration> {
        let node = self.find(key)?;
        let (reason, help) = match &node.item {
            Item::Text(s) => match parse_duration(s) {
                Some(d) if range.contains(&d) => return Some(d),
                Some(_) => (
                    format!("`{key}` is out of range: {s}"),
                    format!("from {} to {}", show_duration(*range.start()), show_duration(*range.end())),
                ),
                None => (
                    format!("{s:?} is no duration"),
                    "a number and a unit: \"500ms\", \"30s\", \"5m\", \"1h\", \"1d\"".into(),
                ),
            },
            Item::Whole(n) if *n >= 0 => {
                ("expected a duration, found a number without a unit".into(), format!("write \"{n}s\""))
            }
            _ => (format!("expected a duration, found {}", node.kind()), "such as \"30s\"".into()),
        };
        self.problems.push(Problem::value(node, reason).help(help));
        None
    }

    /// A list of texts, none of them empty.
    pub fn texts(&self, key: &str) -> Option<Vec<String>> {
        let node = self.find(key)?;
        let Item::List(entries) = &node.item else {
            self.problems.push(
                Problem::value(node, format!("expected a list of texts, found {}", node.kind()))
                    .help(format!("write {key} = [\"…\", \"…\"]")),
            );
            return None;
        };
        let mut texts = Vec::new();
        for entry in entries {
            match &entry.item {
                Item::Text(s) if s.is_empty() => self.problems.push(Problem::value(entry, "this text is empty")),
                Item::Text(s) => texts.push(s.clone()),
                _ => self.wrong(entry, "a text"),
            }
        }
        (texts.len() == entries.len()).then_some(texts)
    }
}

/// The table in this node, or a problem.
pub fn as_table<'a>(node: &'a Node, problems: &Problems) -> Option<&'a Table> {
    match &node.item {
        Item::Table(t) => Some(t),
        _ => {
            problems.push(Problem::value(node, format!("expected a table, found {}", node.kind())));
            None
        }
    }
}

/// `"500ms"`, `"30s"`, `"5m"`, `"1h"`, `"1d"`: a whole number and a unit.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let n: u64 = text[..digits].parse().ok()?;
    let ms = match &text[digits..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    n.checked_mul(ms).map(Duration::from_millis)
}

/// The shortest way to write a duration that reads back as itself.
pub fn show_duration(d: Duration) -> String {
    let ms = d.as_millis();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if ms > 0 && ms.is_multiple_of(size) {
            return format!("{}{unit}", ms / size);
        }
    }
    if ms == 0 { "0s".into() } else { format!("{ms}ms") }
}
