//! What is wrong with a configuration, said as a compiler says it: place, line, caret, reason, and what would be right.

use std::{cell::RefCell, fmt, ops::Range, path::PathBuf};

use super::tree::{Node, Origin, Origins, Path};

/// Which part of a key and its value the caret points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spot {
    Key(Path),
    Value(Path),
    /// Bytes of the file: where it is no TOML.
    Bytes(Range<usize>),
    /// It has no place in the file.
    Elsewhere,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub spot: Spot,
    /// One sentence, small first letter, no full stop.
    pub reason: String,
    /// What would be right, a line each.
    pub help: Vec<String>,
}

impl Problem {
    pub fn key(path: &[String], reason: impl Into<String>) -> Problem {
        Problem { spot: Spot::Key(path.to_vec()), reason: reason.into(), help: Vec::new() }
    }

    pub fn value(node: &Node, reason: impl Into<String>) -> Problem {
        Problem { spot: Spot::Value(node.path.clone()), reason: reason.into(), help: Vec::new() }
    }

    pub fn syntax(message: &str, span: Range<usize>) -> Problem {
        let mut lines = message.lines().map(str::to_owned);
        let reason = lines.next().unwrap_or_else(|| "this is no TOML".into());
        Problem { spot: Spot::Bytes(span), reason, help: lines.collect() }
    }

    pub fn elsewhere(error: impl fmt::Display) -> Problem {
        Problem { spot: Spot::Elsewhere, reason: error.to_string(), help: Vec::new() }
    }

    pub fn help(mut self, help: impl Into<String>) -> Problem {
        self.help.push(help.into());
        self
    }
}

/// Collects problems while the tree is read; the same one is kept once (a default is read for every target).
#[derive(Debug, Default)]
pub struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub fn push(&self, problem: Problem) {
        let mut all = self.0.borrow_mut();
        if !all.contains(&problem) {
            all.push(problem);
        }
    }

    /// How many there are so far.
    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    pub fn into_inner(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("error: cannot read the configuration file {}: {source}\n  = help: give another one with --config FILE, or leave the flag out to watch what is found", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Wrong(#[from] Mistakes),
}

/// All mistakes of one configuration. Prints each like a compiler's error, then their number.
#[derive(Debug)]
pub struct Mistakes {
    file: Option<PathBuf>,
    rendered: Vec<String>,
}

impl Mistakes {
    pub(super) fn new(file: Option<PathBuf>, text: &str, origins: &Origins, mut problems: Vec<Problem>) -> Mistakes {
        problems.sort_by_key(|p| place(p, origins).map_or(usize::MAX, |r| r.start));
        let rendered = problems.iter().map(|p| render(p, file.as_deref(), text, origins)).collect();
        Mistakes { file, rendered }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rendered.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rendered.is_empty()
    }
}

impl std::error::Error for Mistakes {}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.rendered {
            writeln!(f, "{problem}")?;
        }
        let n = self.rendered.len();
        let what = if n == 1 { "1 mistake".to_owned() } else { format!("{n} mistakes") };
        match &self.file {
            Some(file) => write!(f, "{what} in {}", file.display()),
            None => write!(f, "{what} in environment and flags (there is no configuration file)"),
        }
    }
}

/// The bytes that the caret points at, where they are in the file.
fn place(problem: &Problem, origins: &Origins) -> Option<Range<usize>> {
    match &problem.spot {
        Spot::Bytes(range) => Some(range.clone()),
        Spot::Key(path) => match origins.of(path) {
            Origin::File { key, .. } => Some(key),
            _ => None,
        },
        Spot::Value(path) => match origins.of(path) {
            Origin::File { value, .. } => Some(value),
            _ => None,
        },
        Spot::Elsewhere => None,
    }
}

fn render(problem: &Problem, file: Option<&std::path::Path>, text: &str, origins: &Origins) -> String {
    use fmt::Write;
    let mut out = format!("error: {}\n", problem.reason);
    let mut margin = 1;
    if let Some(range) = place(problem, origins) {
        let at = Position::of(text, &range);
        margin = at.line.to_string().len();
        let name = file.map_or_else(|| "configuration".into(), |f| f.display().to_string());
        let _ = writeln!(out, "{:margin$}--> {name}:{}:{}", "", at.line, at.column);
        let _ = writeln!(out, "{:margin$} |", "");
        let _ = writeln!(out, "{:margin$} | {}", at.line, at.text);
        let _ = writeln!(out, "{:margin$} | {:before$}{}", "", "", "^".repeat(at.width), before = at.column - 1);
    } else if let Spot::Key(path) | Spot::Value(path) = &problem.spot {
        match origins.of(path) {
            Origin::Env(name) => _ = writeln!(out, " --> environment variable {name}"),
            Origin::Flag(name) => _ = writeln!(out, " --> flag {name}"),
            _ => {}
        }
    }
    for help in &problem.help {
        let _ = writeln!(out, "{:margin$} = help: {help}", "");
    }
    out
}

/// Line and column (both from 1, in characters) of the start of a range.
struct Position {
    line: usize,
    column: usize,
    width: usize,
    /// The line, with tabs as single spaces so that the caret stands right.
    text: String,
}

impl Position {
    fn of(text: &str, range: &Range<usize>) -> Position {
        let start = (0..=range.start.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
        let line = text[line_start..line_end].trim_end_matches('\r');
        let end = (range.end.clamp(start, line_end)..=line_end).find(|i| text.is_char_boundary(*i)).unwrap_or(line_end);
        Position {
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            width: text[start..end].trim_end_matches('\r').chars().count().max(1),
            text: line.replace('\t', " "),
        }
    }
}
