//! One place of an answer at a time, all else left right: what stands behind a plugin's first checks is led astray here.

use serde_json::{Value, json};

use super::world::{Answer, Twist};

/// Of a list the first entries are looked at: the others are like them.
const ENTRIES: usize = 2;
/// Of one text.
const PLACES_MAX: usize = 100;
/// Of a stream's lines so many at its begin, and its last.
const LINES: usize = 3;

/// What happens to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edit {
    Gone,
    Null,
    OtherType,
    Empty,
    /// The second half of a text is missing.
    Cut,
    Negative,
    Huge,
}

pub(super) const EDITS: &[Edit] =
    &[Edit::Gone, Edit::Null, Edit::OtherType, Edit::Empty, Edit::Cut, Edit::Negative, Edit::Huge];

/// A place of a text.
enum Place {
    /// Of JSON: a pointer.
    Value(String),
    /// Of another text: from here to there.
    Word(usize, usize),
    /// Nothing comes behind this byte.
    End(usize),
}

/// All that can happen to the places of what was answered: a body, or lines. Numbered through.
pub(super) fn twists(texts: &[&str]) -> Vec<Twist> {
    let mut twists = Vec::new();
    let mut number = 0;
    for text in looked_at(texts.len()).filter_map(|at| texts.get(at)) {
        for (_, edits) in places(text) {
            twists.extend(edits.iter().map(|edit| Twist::Place(number, *edit)));
            number += 1;
        }
    }
    twists
}

/// The answer with this done to this place, and what was done in words. `None`: it has no such place.
pub(super) fn edited(answer: &Answer, number: u16, edit: Edit) -> Option<(Answer, String)> {
    let mut answer = answer.clone();
    let texts: Vec<&mut String> = match &mut answer.response.body {
        Some(body) => vec![body],
        None => answer.lines.iter_mut().map(|line| &mut line.line).collect(),
    };
    let chosen: Vec<usize> = looked_at(texts.len()).collect();
    let mut before = 0;
    let mut told = None;
    for (_, text) in texts.into_iter().enumerate().filter(|(at, _)| chosen.contains(at)) {
        let places = places(text);
        if let Some((place, _)) = places.get(usize::from(number) - before) {
            let (other, what) = with(text, place, edit)?;
            *text = other;
            told = Some(what);
            break;
        }
        before += places.len();
        if usize::from(number) < before {
            break;
        }
    }
    told.map(|told| (answer, told))
}

/// Which of so many texts.
fn looked_at(texts: usize) -> impl Iterator<Item = usize> {
    let last = texts.checked_sub(1).filter(|last| *last >= LINES);
    (0..texts.min(LINES)).chain(last)
}

/// What is in front of the JSON of a line of server-sent events, and the JSON.
fn parts(text: &str) -> (&str, &str) {
    match text.strip_prefix("data: ") {
        Some(json) => ("data: ", json),
        None => ("", text),
    }
}

fn places(text: &str) -> Vec<(Place, &'static [Edit])> {
    let mut places = Vec::new();
    let (_, json) = parts(text);
    match serde_json::from_str::<Value>(json) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => values("", &value, &mut places),
        _ => words(text, &mut places),
    }
    places.truncate(PLACES_MAX);
    let ends = [text.len() / 4, text.len() / 4 * 3, text.trim_end().len(), text.len().saturating_sub(1)];
    let ends = ends.into_iter().filter(|end| text.is_char_boundary(*end) && *end < text.len());
    places.extend(ends.map(|end| (Place::End(end), [Edit::Gone].as_slice())));
    places
}

fn values(at: &str, value: &Value, places: &mut Vec<(Place, &'static [Edit])>) {
    let mut inner = |token: String, value: &Value| {
        let at = format!("{at}/{token}");
        let edits: &[Edit] = match value {
            Value::Null => &[Edit::Gone, Edit::OtherType],
            Value::Bool(_) => &[Edit::Gone, Edit::Null, Edit::OtherType, Edit::Empty],
            Value::Number(_) => &[Edit::Gone, Edit::Null, Edit::OtherType, Edit::Empty, Edit::Negative, Edit::Huge],
            Value::String(_) => &[Edit::Gone, Edit::Null, Edit::OtherType, Edit::Empty, Edit::Cut],
            Value::Array(_) | Value::Object(_) => &[Edit::Gone, Edit::Null, Edit::OtherType, Edit::Empty],
        };
        places.push((Place::Value(at.clone()), edits));
        values(&at, value, places);
    };
    match value {
        Value::Object(object) => {
            object.iter().for_each(|(key, value)| inner(key.replace('~', "~0").replace('/', "~1"), value));
        }
        Value::Array(list) => {
            list.iter().take(ENTRIES).enumerate().for_each(|(i, value)| inner(i.to_string(), value));
        }
        _ => {}
    }
}

fn words(text: &str, places: &mut Vec<(Place, &'static [Edit])>) {
    for word in text.split_whitespace() {
        // A part of the text, so its address tells where.
        let from = word.as_ptr() as usize - text.as_ptr() as usize;
        places.push((Place::Word(from, from + word.len()), &[Edit::Gone, Edit::Cut]));
    }
}

/// The text with this done to it, and what was done in words.
fn with(text: &str, place: &Place, edit: Edit) -> Option<(String, String)> {
    match place {
        Place::Value(at) => {
            let (front, json) = parts(text);
            let mut value = serde_json::from_str(json).ok()?;
            change(&mut value, at, edit)?;
            Some((format!("{front}{value}"), format!("`{at}` {}", spelled(edit))))
        }
        Place::Word(from, to) => {
            let word = &text[*from..*to];
            Some(match edit {
                Edit::Gone => (
                    format!("{}{}", &text[..*from], &text[*to..]),
                    format!("the word `{}` is gone", super::play::short(word)),
                ),
                _ => (
                    format!("{}{}", &text[..*from], half(word)),
                    format!("it ends within the word `{}`", super::play::short(word)),
                ),
            })
        }
        Place::End(end) => Some((text[..*end].to_owned(), format!("it ends after {end} bytes"))),
    }
}

fn change(root: &mut Value, at: &str, edit: Edit) -> Option<()> {
    if edit == Edit::Gone {
        let (parent, key) = at.rsplit_once('/')?;
        match root.pointer_mut(parent)? {
            Value::Object(object) => {
                object.remove(&key.replace("~1", "/").replace("~0", "~"));
            }
            Value::Array(list) => {
                list.remove(key.parse().ok()?);
            }
            _ => return None,
        }
        return Some(());
    }
    let value = root.pointer_mut(at)?;
    *value = match (edit, &*value) {
        (Edit::Null, _) => Value::Null,
        (Edit::OtherType, Value::String(_)) => json!(7),
        (Edit::OtherType, Value::Object(_)) => json!([]),
        (Edit::OtherType, Value::Array(_)) => json!({}),
        (Edit::OtherType, Value::Null) => json!(true),
        (Edit::OtherType, other) => json!(other.to_string()),
        (Edit::Empty, Value::String(_)) => json!(""),
        (Edit::Empty, Value::Object(_)) => json!({}),
        (Edit::Empty, Value::Array(_)) => json!([]),
        (Edit::Empty, Value::Bool(is)) => json!(!is),
        (Edit::Empty, _) => json!(0),
        (Edit::Cut, Value::String(text)) => json!(half(text)),
        (Edit::Negative, Value::Number(_)) => json!(-1),
        (Edit::Huge, Value::Number(number)) if number.is_f64() => json!(f64::MAX),
        (Edit::Huge, Value::Number(_)) => json!(u64::MAX),
        _ => return None,
    };
    Some(())
}

fn half(text: &str) -> &str {
    let mut end = text.len() / 2;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn spelled(edit: Edit) -> &'static str {
    match edit {
        Edit::Gone => "is gone",
        Edit::Null => "is null",
        Edit::OtherType => "is of another type",
        Edit::Empty => "is empty, 0 or the other of true and false",
        Edit::Cut => "is cut in half",
        Edit::Negative => "is -1",
        Edit::Huge => "is huge",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn all_of(body: &str) -> BTreeSet<String> {
        let answer = Answer::status(200, body);
        let edited = |twist| match twist {
            Twist::Place(number, edit) => edited(&answer, number, edit).unwrap().0.response.body.unwrap(),
            other => panic!("{other:?}"),
        };
        twists(&[body]).into_iter().map(edited).collect()
    }

    #[test]
    fn every_key_of_json_is_missing_once_and_all_else_is_right() {
        let all = all_of(r#"{"a":{"b":[{"c":1},{"c":2},{"c":3}]},"d/e":"text"}"#);
        for wanted in [
            r#"{"d/e":"text"}"#,
            r#"{"a":{},"d/e":"text"}"#,
            r#"{"a":{"b":[]},"d/e":"text"}"#,
            r#"{"a":{"b":[{},{"c":2},{"c":3}]},"d/e":"text"}"#,
            r#"{"a":{"b":[{"c":1},{"c":-1},{"c":3}]},"d/e":"text"}"#,
            r#"{"a":{"b":[{"c":1},{"c":2},{"c":3}]}}"#,
            r#"{"a":{"b":[{"c":1},{"c":2},{"c":3}]},"d/e":null}"#,
            r#"{"a":{"b":[{"c":1},{"c":2},{"c":3}]},"d/e":"te"}"#,
            r#"{"a":{"b":[{"c":1},{"c":2},{"c":3}]},"d/e":"text""#,
        ] {
            assert!(all.contains(wanted), "{wanted} is not among {all:#?}");
        }
    }

    #[test]
    fn every_word_of_a_text_is_missing_once() {
        let all = all_of("toy 0.3.1 of today\n");
        for wanted in ["toy  of today\n", "toy 0.3.1 of today", "toy 0.", "toy 0.3.1 of \n", " 0.3.1 of today\n"] {
            assert!(all.contains(wanted), "{wanted:?} is not among {all:#?}");
        }
    }

    #[test]
    fn lines_are_numbered_through_and_long_answers_bounded() {
        let lines = ["data: {\"a\":1}", "", "data: [DONE]", "four", "five", "data: {\"z\":1}"];
        let mut answer = Answer::status(200, "");
        answer.response.body = None;
        answer.lines = lines.iter().map(|line| crate::event::Line { ms: 1, line: (*line).to_owned() }).collect();
        let mut seen = BTreeSet::new();
        for twist in twists(&lines) {
            let Twist::Place(number, edit) = twist else { panic!("{twist:?}") };
            let (other, told) = edited(&answer, number, edit).unwrap();
            let differ: Vec<usize> = (0..6).filter(|i| other.lines[*i] != answer.lines[*i]).collect();
            assert_eq!(differ.len(), 1, "{told}");
            seen.extend(differ);
        }
        assert_eq!(seen, [0, 2, 5].into());
        let long: Value = (0..500).map(|n| json!({format!("k{n}"): n, "list": vec![n; 50]})).collect();
        let wide: Value = Value::Object((0..5000).map(|n| (n.to_string(), json!(n))).collect());
        assert!(twists(&[&long.to_string()]).len() < 100 && twists(&[&wide.to_string()]).len() < 1000);
    }
}
