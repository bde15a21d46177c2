//! Session files: what a session was told and what it wanted, one JSON a line, to be replayed against a plugin.
//!
//! A header line says what the session shows; then events and effects take turns. A session is a pure function of its
//! events, so that is all there is to it: the same events must give the same effects. The host adds a target's
//! authorisation behind the plugin's back, so it is in no file.
//!
//! ```text
//! {"recording":1,"plugin":"ollama","version":"1.0.0","contract":"1.0","backend":"Ollama 0.32.15","shows":"idle"}
//! {"event":"start", … }
//! {"effect":"request", … }
//! {"event":"response", … }
//! {"effect":"report", … }
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::event::Event;

/// The form of the file that is described here.
pub const RECORDING: u32 = 1;
/// What stands in place of a secret.
pub const MASK: &str = "***";

/// A session file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Recording {
    /// Absent in a file that somebody took from a log.
    pub header: Option<Header>,
    /// From `start` to the end, in order. Never empty in a file that was read.
    pub steps: Vec<Step>,
}

/// The first line: what the session shows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Header {
    /// [`RECORDING`].
    pub recording: u32,
    /// The plugin's id.
    pub plugin: String,
    /// The plugin's version.
    pub version: String,
    /// The contract that it was written to.
    pub contract: String,
    /// The backend and its version, as far as known: `Ollama 0.32.15`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub backend: String,
    /// What is to be seen in it: `idle`, `busy: one request at work`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shows: String,
    /// Where the answers are from: `recorded`, or `written` from what is known of the backend.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
}

/// One step: an event, and what the plugin said to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The event's line: JSON whose first key is `event`.
    pub event: String,
    /// What it was answered with.
    pub said: Said,
}

/// What a plugin said to an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// An effect's line.
    Effect(String),
    /// The session ended without a report. The word is `error`, `panic` or `protocol`.
    Failed { how: String, text: String },
    /// The file ends here: the session was broken off.
    Nothing,
}

/// Why a text is no session file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRecording {
    /// From 1.
    pub line: usize,
    pub why: String,
}

impl fmt::Display for BadRecording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for BadRecording {}

/// The first place where a plugin did something else than the file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The step, from 0.
    pub step: usize,
    /// JSON pointer into the effect; empty: the whole of it.
    pub at: String,
    pub expected: String,
    pub got: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = if self.at.is_empty() { "the effect" } else { &self.at };
        write!(f, "step {}, {at}:\n  the file says   {}\n  the plugin says {}", self.step, self.expected, self.got)
    }
}

impl Recording {
    /// Reads a session file. Blank lines are skipped.
    pub fn parse(text: &str) -> Result<Recording, BadRecording> {
        let mut recording = Recording::default();
        for (index, line) in text.lines().enumerate() {
            let bad = |why: String| BadRecording { line: index + 1, why };
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let value: Map<String, Value> =
                serde_json::from_str(line).map_err(|e| bad(format!("no JSON object: {e}")))?;
            if value.contains_key("recording") {
                if recording.header.is_some() || !recording.steps.is_empty() {
                    return Err(bad("a header belongs into the first line only".into()));
                }
                let header: Header =
                    serde_json::from_str(line).map_err(|e| bad(format!("the header cannot be read: {e}")))?;
                if header.recording != RECORDING {
                    return Err(bad(format!("form {} of the file, this build reads {RECORDING}", header.recording)));
                }
                recording.header = Some(header);
            } else if value.contains_key("event") {
                if recording.steps.last().is_some_and(|step| !matches!(step.said, Said::Effect(_))) {
                    return Err(bad("an event, where what the plugin said belongs".into()));
                }
                if recording.steps.is_empty() {
                    start_of(line).map_err(bad)?;
                }
                recording.steps.push(Step { event: line.to_owned(), said: Said::Nothing });
            } else {
                let said = match (value.get("effect"), value.get("failed").and_then(Value::as_str)) {
                    (Some(_), _) => Said::Effect(line.to_owned()),
                    (None, Some(how)) => {
                        let text = value.get("text").and_then(Value::as_str).unwrap_or_default();
                        Said::Failed { how: how.to_owned(), text: text.to_owned() }
                    }
                    (None, None) => return Err(bad("neither a header, an event, an effect nor a failure".into())),
                };
                match recording.steps.last_mut() {
                    Some(step) if step.said == Said::Nothing => step.said = said,
                    _ => return Err(bad("an effect, where an event belongs".into())),
                }
            }
        }
        if recording.steps.is_empty() {
            return Err(BadRecording { line: 1, why: "no event in it".into() });
        }
        Ok(recording)
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        let mut lines = Vec::new();
        if let Some(header) = &self.header {
            lines.extend(serde_json::to_string(header));
        }
        for step in &self.steps {
            lines.push(step.event.clone());
            match &step.said {
                Said::Effect(effect) => lines.push(effect.clone()),
                Said::Failed { how, text } => {
                    lines.push(format!(
                        "{{\"failed\":{},\"text\":{}}}",
                        Value::from(how.as_str()),
                        Value::from(text.as_str())
                    ));
                }
                Said::Nothing => {}
            }
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// Adds a step. What may hold a secret of the target's is masked.
    pub fn push(&mut self, event: &Event, said: Said) {
        self.steps.push(Step { event: written(event), said });
    }

    /// The session's `start`, where it can be read.
    pub fn start(&self) -> Option<crate::event::Start> {
        start_of(&self.steps.first()?.event).ok()
    }

    /// Whether what the plugin said to step `step` is what the file has. A file that was broken off asks for nothing
    /// there.
    pub fn compare(&self, step: usize, got: &Said) -> Result<(), Box<Difference>> {
        let Some(expected) = self.steps.get(step).map(|step| &step.said) else { return Ok(()) };
        compare(expected, got).map_err(|(at, expected, got)| Box::new(Difference { step, at, expected, got }))
    }

    /// Whether another recording is of the same session: header, events and effects, as JSON. The error says where it
    /// is not.
    pub fn same_as(&self, other: &Recording) -> Result<(), String> {
        if self.header != other.header {
            return Err(format!("the header: {:?}, and {:?}", self.header, other.header));
        }
        for (index, (step, another)) in self.steps.iter().zip(&other.steps).enumerate() {
            let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|_| text.into());
            equal("", &read(&step.event), &read(&another.event))
                .map_err(|(at, a, b)| format!("the event of step {index}, {at}: {a}, and {b}"))?;
            self.compare(index, &another.said).map_err(|difference| difference.to_string())?;
        }
        match (self.steps.len(), other.steps.len()) {
            (a, b) if a == b => Ok(()),
            (a, b) => Err(format!("{a} steps, and {b}")),
        }
    }

    /// Plays the events to a plugin and gives the first difference. `step` hands one event over.
    pub fn replay(&self, mut step: impl FnMut(&str) -> Said) -> Result<(), Box<Difference>> {
        for (index, recorded) in self.steps.iter().enumerate() {
            self.compare(index, &step(&recorded.event))?;
        }
        Ok(())
    }
}

fn start_of(line: &str) -> Result<crate::event::Start, String> {
    match serde_json::from_str(line) {
        Ok(Event::Start(start)) => Ok(start),
        Ok(other) => Err(format!("a session begins with `start`, not with `{}`", other.name())),
        Err(error) => Err(format!("the event cannot be read: {error}")),
    }
}

/// An event's line. Headers of an answer that may carry a secret are masked.
fn written(event: &Event) -> String {
    const SECRET: [&str; 5] = ["authorization", "cookie", "token", "secret", "api-key"];
    let mut event = event.clone();
    if let Event::Response(response) = &mut event {
        for (name, value) in &mut response.headers {
            if SECRET.iter().any(|word| name.to_ascii_lowercase().contains(word)) {
                *value = MASK.into();
            }
        }
    }
    serde_json::to_string(&event).unwrap_or_default()
}

type Place = (String, String, String);

fn compare(expected: &Said, got: &Said) -> Result<(), Place> {
    let whole = || (String::new(), shown(expected), shown(got));
    match (expected, got) {
        (Said::Nothing, _) => Ok(()),
        (Said::Effect(expected), Said::Effect(got)) => {
            match (serde_json::from_str::<Value>(expected), serde_json::from_str::<Value>(got)) {
                (Ok(expected), Ok(got)) => equal("", &expected, &got),
                _ if expected == got => Ok(()),
                _ => Err(whole()),
            }
        }
        // Its words may change.
        (Said::Failed { how: a, .. }, Said::Failed { how: b, .. }) if a == b => Ok(()),
        _ => Err(whole()),
    }
}

/// As JSON: the order of keys does not count.
fn equal(at: &str, expected: &Value, got: &Value) -> Result<(), Place> {
    match (expected, got) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            for key in keys {
                let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                match (a.get(key), b.get(key)) {
                    (Some(a), Some(b)) => equal(&at, a, b)?,
                    (Some(a), None) => return Err((at, a.to_string(), "nothing".into())),
                    (None, b) => return Err((at, "nothing".into(), b.map(Value::to_string).unwrap_or_default())),
                }
            }
            Ok(())
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().try_for_each(|(i, (a, b))| equal(&format!("{at}/{i}"), a, b))
        }
        (a, b) if a == b => Ok(()),
        (Value::String(a), Value::String(b)) if ["/body", "/line"].contains(&at) && same_json(a, b) => Ok(()),
        (a, b) => Err((at.to_owned(), a.to_string(), b.to_string())),
    }
}

/// Whether two texts are the same JSON, line by line, also behind the `data:` of an event stream: builds of one
/// program may write keys in another order.
fn same_json(a: &str, b: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<Value>(text.strip_prefix("data:").unwrap_or(text));
    let same_line = |(a, b): (&str, &str)| match (read(a), read(b)) {
        _ if a == b => true,
        (Ok(first), Ok(second)) => first == second && a.starts_with("data:") == b.starts_with("data:"),
        _ => false,
    };
    a.lines().count() == b.lines().count() && a.lines().zip(b.lines()).all(same_line)
}

fn shown(said: &Said) -> String {
    match said {
        Said::Effect(effect) => effect.clone(),
        Said::Failed { how, text } => format!("{how}: {text}"),
        Said::Nothing => "nothing".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::event::{Depth, Outcome, Response, SessionKind, Start};

    const FILE: &str = r#"{"recording":1,"plugin":"p","version":"1","contract":"1.0","shows":"idle"}
{"event":"start","contract":"1.0","session":"probe","depth":"liveness","deadline_ms":5000,"now":"2026-11-24T04:02:00Z"}
{"effect":"request","method":"GET","path":"/version","timeout_ms":1000}

{"event":"response","request":0,"ms":4,"outcome":"ok","status":200,"body":"1"}
{"effect":"report","report":{"version":"1","phase":"ready"}}
"#;

    #[test]
    fn a_file_is_read_and_written_again() {
        let recording = Recording::parse(FILE).unwrap();
        assert_eq!(recording.header.as_ref().unwrap().shows, "idle");
        assert_eq!(recording.steps.len(), 2);
        assert_eq!(recording.to_text(), FILE.replace("\n\n", "\n"));
        let headless: String = FILE.lines().skip(1).map(|line| format!("{line}\n")).collect();
        assert_eq!(Recording::parse(&headless).unwrap().header, None);
    }

    #[test]
    fn what_is_no_session_is_told_with_its_line() {
        let wrong = |text: &str| Recording::parse(text).unwrap_err().to_string();
        assert_eq!(wrong(""), "line 1: no event in it");
        assert!(wrong("{").starts_with("line 1: no JSON object"));
        assert!(wrong(r#"{"event":"waited","ms":1}"#).contains("begins with `start`, not with `waited`"));
        assert!(wrong(r#"{"effect":"read"}"#).contains("an effect, where an event belongs"));
        let twice =
            FILE.replace("{\"effect\":\"request\",\"method\":\"GET\",\"path\":\"/version\",\"timeout_ms\":1000}\n", "");
        assert!(wrong(&twice).starts_with("line 4: an event, where"), "{}", wrong(&twice));
        assert!(wrong(&FILE.replace("\"recording\":1", "\"recording\":2")).contains("form 2"));
    }

    #[test]
    fn the_first_difference_is_told_with_its_place() {
        let recording = Recording::parse(FILE).unwrap();
        let mut effects = [
            r#"{"timeout_ms":1000,"effect":"request","path":"/version","method":"GET"}"#,
            r#"{"effect":"report","report":{"phase":"loading","version":"1"}}"#,
        ]
        .into_iter();
        let told = recording.replay(|_| Said::Effect(effects.next().unwrap().into())).unwrap_err();
        assert_eq!((told.step, told.at.as_str()), (1, "/report/phase"));
        assert_eq!((told.expected.as_str(), told.got.as_str()), (r#""ready""#, r#""loading""#));
        let post = |body: &str| Said::Effect(format!(r#"{{"effect":"request","body":{}}}"#, Value::from(body)));
        let wanted = post(r#"{"a":1,"b":2}"#);
        assert_eq!(compare(&wanted, &post(r#"{"b":2,"a":1}"#)), Ok(()));
        assert!(compare(&wanted, &post(r#"{"a":1,"b":3}"#)).is_err());
        let told = recording.replay(|_| Said::Failed { how: "error".into(), text: "no".into() }).unwrap_err();
        assert_eq!((told.step, told.got.as_str()), (0, "error: no"));
    }

    #[test]
    fn two_recordings_are_the_same_by_what_they_say() {
        let recording = Recording::parse(FILE).unwrap();
        let same = FILE.replace(r#""request":0,"ms":4"#, r#""ms":4,"request":0"#);
        assert_eq!(recording.same_as(&Recording::parse(&same).unwrap()), Ok(()));
        for (from, to, told) in [
            ("idle", "busy", "the header"),
            (r#""ms":4"#, r#""ms":5"#, "the event of step 1, /ms"),
            ("ready", "loading", "step 1, /report/phase"),
        ] {
            let other = Recording::parse(&FILE.replace(from, to)).unwrap();
            assert!(recording.same_as(&other).unwrap_err().contains(told), "{to}");
        }
    }

    #[test]
    fn secrets_of_an_answer_are_masked() {
        let mut recording = Recording::default();
        let start = Start::new(SessionKind::Probe { depth: Depth::Liveness, inference: None }, 1, "now");
        recording.push(&Event::Start(start), Said::Nothing);
        let headers = BTreeMap::from([("x-api-key".into(), "sk-1".into()), ("server".into(), "s".into())]);
        let response = Response {
            request: 0,
            ms: 1,
            outcome: Outcome::Ok,
            at: None,
            status: Some(200),
            headers,
            body: None,
            utf8: None,
            text: None,
        };
        recording.push(&Event::Response(response), Said::Nothing);
        let text = recording.to_text();
        assert!(text.contains(r#""x-api-key":"***""#) && !text.contains("sk-1"), "{text}");
    }
}
