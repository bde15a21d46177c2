//! An incident as the monitor tells it, and what a test may demand of the tale.

use serde_json::{Value, json};

/// `GET /api/ai-monitor/incidents/{id}`.
#[derive(Debug, Clone)]
pub struct Incident {
    /// The row: class, ended, by, …
    pub row: Value,
    /// In order, what happened.
    pub story: Vec<Value>,
    /// The same for people: what `ai-monitor explain ID` prints.
    pub text: String,
}

impl Incident {
    pub fn read(answer: &Value) -> Incident {
        let story = answer["story"].as_array().cloned().unwrap_or_default();
        let text = answer["text"].as_str().unwrap_or_default().to_owned();
        Incident { row: answer["incident"].clone(), story, text }
    }

    pub fn id(&self) -> i64 {
        self.row["id"].as_i64().unwrap_or_default()
    }

    /// Was it of this class, and did this act mend it?
    #[track_caller]
    pub fn assert_healed(&self, class: &str, by: &str) -> &Incident {
        let found = (&self.row["class"], &self.row["ended"], &self.row["by"]);
        assert_eq!(found, (&json!(class), &json!("healed"), &json!(by)), "{self}");
        self
    }

    #[track_caller]
    pub fn assert_ended(&self, class: &str, ended: &str) -> &Incident {
        assert_eq!((&self.row["class"], &self.row["ended"]), (&json!(class), &json!(ended)), "{self}");
        self
    }

    /// Does the tale tell these, one after the other (each a part of a line)?
    #[track_caller]
    pub fn assert_tells(&self, parts: &[&str]) -> &Incident {
        let mut rest = self.text.as_str();
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => panic!("the story does not tell {part:?} (of {parts:?}, in this order):\n{self}"),
            }
        }
        self
    }

    /// The acts that were asked for, in order, each with its result: `("reap", "done")`; `under` while it goes on.
    pub fn acts(&self) -> Vec<(String, String)> {
        let word = |value: &Value, ends: &[char]| {
            value.as_str().unwrap_or_default().split(ends).next().unwrap_or_default().to_owned()
        };
        let lines = self.story.iter().map(|l| (word(&l["kind"], &['{']), word(&l["text"], &[' ', ':', ';'])));
        lines.filter(|(kind, _)| ai_monitor::incident::act::spec(kind).is_some()).collect()
    }

    /// Were these the acts, in this order, and no others?
    #[track_caller]
    pub fn assert_acts(&self, acts: &[&str]) -> &Incident {
        let done: Vec<String> = self.acts().into_iter().map(|(act, _)| act).collect();
        assert_eq!(done, acts, "{self}");
        self
    }
}

impl std::fmt::Display for Incident {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "incident {}\n{}", self.row, self.text)
    }
}
