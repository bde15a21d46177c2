//! What goes wrong: every outcome of the closed list, and every way in which an answer can be broken.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    base::{Base, response},
    places::{self, Edit},
};
use crate::{
    effect::Request,
    event::{At, End, Line, Outcome, Response},
};

/// An answer: whole, or a head with lines and their end behind it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub response: Response,
    pub lines: Vec<Line>,
    pub end: Option<End>,
}

impl Answer {
    pub(super) fn status(status: u16, body: impl Into<String>) -> Answer {
        let response = response(Outcome::of_status(status), Some(status), Some(body.into()));
        Answer { response, lines: Vec::new(), end: None }
    }

    fn is_good(&self) -> bool {
        self.response.outcome == Outcome::Ok
    }
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Twist {
    /// Nothing does.
    Good,
    /// The request ends so.
    Outcome(Outcome, Option<At>, Option<u16>),
    /// The answer is whole and says something else.
    Body(Body),
    /// The lines of a stream are others.
    Stream(Stream),
    /// One place of the answer is another, and all else is right.
    Place(u16, Edit),
}

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// The second half never came: timeout at the body.
    HalfThenSilence,
    /// The second half is missing, and nobody noticed.
    Half,
    Empty,
    Absent,
    EmptyArray,
    EmptyObject,
    Null,
    Number,
    Text,
    Html,
    /// An array in an array in an array, 50,000 deep.
    Deep,
    /// Numbers are texts, texts numbers, lists objects.
    OtherTypes,
    HugeNumbers,
    NegativeNumbers,
    AllNull,
    EmptyLists,
    /// Each text is 300 characters long, of two bytes each.
    LongTexts,
    /// Each list has its first entry up to 2,001 times.
    LongLists,
    NotUtf8,
    /// 200, and an error inside.
    ErrorText,
    ErrorObject,
}

/// What is wrong with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    EndsAtOnce,
    ResetAfterOne,
    SilenceAfterOne,
    Garbage,
    Blank,
    Html,
    Error,
    HugeLine,
    /// It goes on and on, until the host breaks it off.
    Endless,
    OtherTypes,
}

/// All that can go wrong with a request.
pub(super) const TWISTS: &[Twist] = &[
    Twist::Outcome(Outcome::Refused, Some(At::Connect), None),
    Twist::Outcome(Outcome::Unreachable, Some(At::Connect), None),
    Twist::Outcome(Outcome::Reset, Some(At::Headers), None),
    Twist::Outcome(Outcome::Reset, Some(At::Body), Some(200)),
    Twist::Outcome(Outcome::Timeout, Some(At::Connect), None),
    Twist::Outcome(Outcome::Timeout, Some(At::Headers), None),
    Twist::Outcome(Outcome::TooLarge, Some(At::Body), Some(200)),
    Twist::Outcome(Outcome::Redirect, None, Some(302)),
    Twist::Outcome(Outcome::Unauthorised, None, Some(401)),
    Twist::Outcome(Outcome::NotFound, None, Some(404)),
    Twist::Outcome(Outcome::Unsupported, None, Some(501)),
    Twist::Outcome(Outcome::Overloaded, None, Some(429)),
    Twist::Outcome(Outcome::Unavailable, None, Some(503)),
    Twist::Outcome(Outcome::Rejected, None, Some(400)),
    Twist::Outcome(Outcome::Failed, None, Some(500)),
    Twist::Outcome(Outcome::Malformed, Some(At::Headers), None),
    Twist::Outcome(Outcome::Foreign, Some(At::Headers), None),
    Twist::Outcome(Outcome::Deadline, None, None),
    Twist::Outcome(Outcome::Unknown, None, None),
    Twist::Body(Body::HalfThenSilence),
    Twist::Body(Body::Half),
    Twist::Body(Body::Empty),
    Twist::Body(Body::Absent),
    Twist::Body(Body::EmptyArray),
    Twist::Body(Body::EmptyObject),
    Twist::Body(Body::Null),
    Twist::Body(Body::Number),
    Twist::Body(Body::Text),
    Twist::Body(Body::Html),
    Twist::Body(Body::OtherTypes),
    Twist::Body(Body::HugeNumbers),
    Twist::Body(Body::NegativeNumbers),
    Twist::Body(Body::AllNull),
    Twist::Body(Body::EmptyLists),
    Twist::Body(Body::LongTexts),
    Twist::Body(Body::NotUtf8),
    Twist::Body(Body::ErrorText),
    Twist::Body(Body::ErrorObject),
    Twist::Stream(Stream::EndsAtOnce),
    Twist::Stream(Stream::ResetAfterOne),
    Twist::Stream(Stream::SilenceAfterOne),
    Twist::Stream(Stream::Garbage),
    Twist::Stream(Stream::Blank),
    Twist::Stream(Stream::Html),
    Twist::Stream(Stream::Error),
    Twist::Stream(Stream::HugeLine),
    Twist::Stream(Stream::OtherTypes),
];

/// These cost time, so they are not played at each place.
pub(super) const HEAVY: &[Twist] =
    &[Twist::Body(Body::Deep), Twist::Body(Body::LongLists), Twist::Stream(Stream::Endless)];

impl Twist {
    pub(super) fn is_of_streams(self) -> bool {
        matches!(self, Twist::Stream(_))
    }

    /// In words: `timeout at headers`.
    pub(super) fn spelled(self) -> String {
        match self {
            Twist::Good => "all well".into(),
            Twist::Outcome(Outcome::Unknown, ..) => "an outcome of a newer host".into(),
            Twist::Outcome(outcome, at, _) => {
                let at = at.map(|at| format!(" at {}", word(&at))).unwrap_or_default();
                format!("{}{at}", word(&outcome))
            }
            Twist::Body(body) => format!("body: {}", words(&format!("{body:?}"))),
            Twist::Stream(stream) => format!("stream: {}", words(&format!("{stream:?}"))),
            Twist::Place(..) => "one place of the answer".into(),
        }
    }

    /// The answer with this wrong in it.
    pub(super) fn apply(self, good: Answer) -> Answer {
        match self {
            Twist::Good => good,
            Twist::Outcome(outcome, at, status) => failed(&good, outcome, at, status),
            // A failure has nothing to break; a stream's head has no body.
            Twist::Body(_) if !good.is_good() || good.end.is_some() => good,
            Twist::Body(body) => with_body(good, body),
            Twist::Stream(_) if good.end.is_none() => good,
            Twist::Stream(stream) => with_lines(good, stream),
            // Only once it is known whether there is a body or lines.
            Twist::Place(..) => good,
        }
    }
}

/// Which requests of a session it befalls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    All,
    Only(u32),
    From(u32),
}

impl When {
    fn holds(self, request: u32) -> bool {
        match self {
            When::All => true,
            When::Only(only) => request == only,
            When::From(first) => request >= first,
        }
    }

    pub(super) fn spelled(self) -> String {
        match self {
            When::All => "to every request".into(),
            When::Only(n) => format!("to request {n}"),
            When::From(n) => format!("from request {n} on"),
        }
    }
}

/// A backend with one thing wrong with it.
pub(super) struct World<'a> {
    base: &'a Base,
    pub twist: Twist,
    pub when: When,
    asked: BTreeMap<String, usize>,
    /// What became of the place of [`Twist::Place`].
    place: Option<String>,
}

impl<'a> World<'a> {
    pub(super) fn new(base: &'a Base, twist: Twist, when: When) -> World<'a> {
        World { base, twist, when, asked: BTreeMap::new(), place: None }
    }

    /// The answer to the session's request number `number`.
    pub(super) fn answer(&mut self, number: u32, request: &Request) -> Answer {
        let route = format!("{} {} {}", request.method.as_str(), request.path, request.to);
        let nth = self.asked.entry(route).or_default();
        let good = self.base.answer(request, *nth);
        *nth += 1;
        let twist = if self.when.holds(number) { self.twist } else { Twist::Good };
        let mut answer = twist.apply(good);
        answer.response.request = number;
        if answer.response.outcome == Outcome::Timeout {
            answer.response.ms = request.timeout_ms;
        }
        let answer = shaped(answer, request.stream);
        match twist {
            Twist::Place(place, edit) if answer.is_good() => match places::edited(&answer, place, edit) {
                Some((edited, told)) => {
                    self.place = Some(told);
                    edited
                }
                None => answer,
            },
            _ => answer,
        }
    }

    /// What is wrong with this backend, in words. `None`: nothing.
    pub(super) fn told(&self) -> Option<String> {
        let what = match (self.twist, &self.place) {
            (Twist::Good, _) => return None,
            (_, Some(place)) => format!("in its answer {place};"),
            (twist, None) => twist.spelled(),
        };
        Some(format!("{what} {}", self.when.spelled()))
    }
}

/// A stream's answer to one that asked for a stream, and a whole one to the others.
fn shaped(mut answer: Answer, stream: bool) -> Answer {
    match (stream && answer.is_good(), &answer.end) {
        (true, None) => {
            let body = answer.response.body.take().unwrap_or_default();
            answer.response.utf8 = None;
            answer.lines = body.lines().map(|line| Line { ms: 2, line: line.to_owned() }).collect();
            answer.end = Some(End { ms: 3, outcome: Outcome::Ok, at: None });
        }
        (false, Some(_)) => {
            let lines = answer.lines.drain(..).map(|line| line.line).collect::<Vec<_>>();
            answer.response.body.get_or_insert_with(|| lines.join("\n"));
            answer.end = None;
        }
        _ => {}
    }
    answer
}

fn failed(good: &Answer, outcome: Outcome, at: Option<At>, status: Option<u16>) -> Answer {
    let body = match status {
        None => None,
        Some(200) => good.response.body.as_deref().map(half),
        Some(_) => Some(r#"{"error":{"message":"the kit says no","code":"no"}}"#.to_owned()),
    };
    let mut failed = response(outcome, status, body);
    failed.at = at;
    if status == Some(302) {
        failed.headers.insert("location".into(), "/elsewhere".into());
    }
    if outcome == Outcome::Deadline {
        failed.ms = 0;
    }
    Answer { response: failed, lines: Vec::new(), end: None }
}

fn half(text: &str) -> String {
    let mut end = text.len() / 2;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

fn with_body(mut answer: Answer, twist: Body) -> Answer {
    let body = answer.response.body.take().unwrap_or_default();
    let changed = |change: fn(&mut Value)| match serde_json::from_str::<Value>(&body) {
        Ok(mut value) => {
            everywhere(&mut value, change);
            value.to_string()
        }
        Err(_) => body.clone(),
    };
    let text = match twist {
        Body::HalfThenSilence => {
            answer.response.outcome = Outcome::Timeout;
            answer.response.at = Some(At::Body);
            half(&body)
        }
        Body::Half => half(&body),
        Body::Empty => String::new(),
        Body::Absent => {
            answer.response.utf8 = None;
            return answer;
        }
        Body::EmptyArray => "[]".into(),
        Body::EmptyObject => "{}".into(),
        Body::Null => "null".into(),
        Body::Number => "-0.5e3".into(),
        Body::Text => "\"\\u0000\\ud83e\\udd96 text\"".into(),
        Body::Html => html(),
        Body::Deep => "[".repeat(50_000),
        Body::OtherTypes => changed(other_type),
        Body::HugeNumbers => match serde_json::from_str::<Value>(&body) {
            Ok(_) => changed(huge),
            Err(_) => digits(&body, "99999999999999999999999"),
        },
        Body::NegativeNumbers => match serde_json::from_str::<Value>(&body) {
            Ok(_) => changed(negative),
            Err(_) => digits(&body, "-1"),
        },
        Body::AllNull => changed(|value| {
            if !value.is_object() && !value.is_array() {
                *value = Value::Null;
            }
        }),
        Body::EmptyLists => changed(|value| {
            if let Value::Array(list) = value {
                list.clear();
            }
        }),
        Body::LongTexts => changed(|value| {
            if let Value::String(text) = value {
                *text = "ä".repeat(300);
            }
        }),
        Body::LongLists => match serde_json::from_str::<Value>(&body) {
            Ok(mut value) => {
                lengthen(&mut value, &mut LONG_BODY.saturating_sub(body.len()));
                value.to_string()
            }
            Err(_) => body.clone(),
        },
        Body::NotUtf8 => {
            answer.response.utf8 = Some(false);
            format!("\u{fffd}{body}\u{fffd}")
        }
        Body::ErrorText => json!({"error": "the kit says no"}).to_string(),
        Body::ErrorObject => json!({"error": {"message": "the kit says no", "code": 500, "type": "kit"}}).to_string(),
    };
    answer.response.body = Some(text);
    answer
}

fn html() -> String {
    "<!doctype html><html><title>Sign in</title><body>version 1 \"models\":[]</body></html>".into()
}

fn with_lines(mut answer: Answer, twist: Stream) -> Answer {
    let ends = |outcome, at| Some(End { ms: 40, outcome, at });
    let line = |line: &str| Line { ms: 5, line: line.to_owned() };
    match twist {
        Stream::EndsAtOnce => {
            answer.lines.clear();
            answer.end = ends(Outcome::Ok, None);
        }
        Stream::ResetAfterOne => {
            answer.lines.truncate(1);
            answer.end = ends(Outcome::Reset, Some(At::Body));
        }
        Stream::SilenceAfterOne => {
            answer.lines.truncate(1);
            answer.end = ends(Outcome::Timeout, Some(At::Body));
        }
        Stream::Garbage => {
            answer.lines = ["data: {\"choices\":[{\"delta\":", "}{", "data:", "{\"done\":maybe}", "\u{fffd}\u{0}"]
                .map(line)
                .into();
        }
        Stream::Blank => {
            answer.lines = vec![line(""); 20];
        }
        Stream::Html => {
            answer.lines = html().split_inclusive('>').map(line).collect();
        }
        Stream::Error => {
            answer.lines = vec![
                line(r#"data: {"error":{"message":"the kit says no","code":500}}"#),
                line(r#"{"error":"the kit says no"}"#),
            ];
        }
        Stream::HugeLine => {
            answer.lines.insert(0, line(&format!("data: {{\"content\":\"{}\"}}", "x".repeat(100_000))));
        }
        Stream::Endless => {
            let one = answer.lines.first().cloned().unwrap_or_else(|| line(""));
            answer.lines = vec![one; 400];
            answer.end = ends(Outcome::TooLarge, Some(At::Body));
        }
        Stream::OtherTypes => {
            for line in &mut answer.lines {
                let (front, json) = match line.line.strip_prefix("data: ") {
                    Some(json) => ("data: ", json),
                    None => ("", line.line.as_str()),
                };
                if let Ok(mut value) = serde_json::from_str::<Value>(json) {
                    everywhere(&mut value, other_type);
                    line.line = format!("{front}{value}");
                }
            }
        }
    }
    answer
}

/// Changes each value, the inner ones first.
fn everywhere(value: &mut Value, change: fn(&mut Value)) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|value| everywhere(value, change)),
        Value::Object(object) => object.values_mut().for_each(|value| everywhere(value, change)),
        _ => {}
    }
    change(value);
}

/// What all lists of a body may grow by, in bytes: a host reads no more of an answer than 4 MiB.
const LONG_BODY: usize = 3 * 1024 * 1024;

/// Lists of one entry more than the contract takes, as far as `room` goes; the outer ones first.
fn lengthen(value: &mut Value, room: &mut usize) {
    match value {
        Value::Array(list) => {
            if let Some(first) = list.first().cloned() {
                let size = first.to_string().len() + 1;
                let fit = (400_000 / size).min(*room / size).clamp(1, 2001);
                *room = room.saturating_sub(fit * size);
                *list = vec![first; fit];
            }
            list.iter_mut().take(1).for_each(|value| lengthen(value, room));
        }
        Value::Object(object) => object.values_mut().for_each(|value| lengthen(value, room)),
        _ => {}
    }
}

fn other_type(value: &mut Value) {
    *value = match value {
        Value::Null => Value::Bool(true),
        Value::Bool(_) => json!("true"),
        Value::Number(number) => json!(number.to_string()),
        Value::String(_) => json!(7),
        Value::Array(list) => json!({"list": list}),
        Value::Object(_) => return,
    };
}

fn huge(value: &mut Value) {
    if let Value::Number(number) = value {
        *value = if number.is_f64() { json!(1e308) } else { json!(u64::MAX) };
    }
}

fn negative(value: &mut Value) {
    if value.is_number() {
        *value = json!(-1);
    }
}

/// Each row of digits replaced, in a text that is no JSON.
fn digits(text: &str, by: &str) -> String {
    let mut changed = String::with_capacity(text.len());
    let mut inside = false;
    for letter in text.chars() {
        match (letter.is_ascii_digit(), inside) {
            (true, false) => changed.push_str(by),
            (true, true) => {}
            (false, _) => changed.push(letter),
        }
        inside = letter.is_ascii_digit();
    }
    changed
}

/// The word of a closed list.
pub(super) fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => "?".into(),
    }
}

/// `HalfThenSilence` as `half then silence`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_pass_the_contracts_limits_within_what_a_host_reads() {
        let long = |body: Value| {
            let answer = with_body(Answer::status(200, body.to_string()), Body::LongLists);
            answer.response.body.unwrap_or_default()
        };
        let one: Value = serde_json::from_str(&long(json!([{"id": 1, "inner": [{"id": 2}]}]))).unwrap();
        let length = |value: &Value| value.as_array().map_or(0, Vec::len);
        assert_eq!((length(&one), length(&one[0]["inner"])), (2001, 2001));
        let many: Value = (0..100).map(|n| json!({"name": "x".repeat(200), "list": [n, [n, [n]]]})).collect();
        assert!(long(json!({"a": many, "b": many, "c": many})).len() < 4 * 1024 * 1024);
    }
}
