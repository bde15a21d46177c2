//! What makes an answer a good one: its status, a text in it, a pattern, or a value in its JSON.

use ai_monitor_plugin_api::event::{Outcome, Response};
use regex_lite::{Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::Value;

/// A pattern is compiled anew in each session, and matched in one step. The time of a match is at most the product of
/// the compiled pattern's size and the text's: with these limits 30 ms for the worst of both, far below a step's second.
const PATTERN_MAX: usize = 256;
const COMPILED_MAX: usize = 8 * 1024;
/// So much of a body is looked at by a pattern, in bytes.
const HAYSTACK_MAX: usize = 16 * 1024;
const VALUES_MAX: usize = 64;

/// As it stands in the settings.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExpectSettings {
    /// A number, or a list of them.
    status: Option<Value>,
    contains: Option<String>,
    regex: Option<String>,
    pointer: Option<String>,
    exists: Option<bool>,
    equals: Option<Value>,
    one_of: Option<Vec<Value>>,
}

/// Checked and ready.
#[derive(Debug, Clone, Default)]
pub struct Expect {
    /// `None`: 200 to 299.
    status: Option<Vec<u16>>,
    contains: Option<String>,
    regex: Option<Regex>,
    value: Option<(String, Wanted)>,
}

/// What must be at a pointer.
#[derive(Debug, Clone)]
enum Wanted {
    Something,
    Nothing,
    OneOf(Vec<Value>),
}

/// What an answer is.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    Good,
    /// With what it really was, where its status does not say that already.
    Bad(Option<(Outcome, String)>),
}

impl Expect {
    /// `at`: where the settings stand, for messages.
    pub fn read(settings: ExpectSettings, at: &str) -> Result<Expect, String> {
        let status = settings.status.map(|value| statuses(value, &format!("{at}.status"))).transpose()?;
        let regex = settings.regex.map(|pattern| compile(&pattern, &format!("{at}.regex"))).transpose()?;
        let wanted = match (settings.exists, settings.equals, settings.one_of) {
            (None | Some(true), None, None) => Wanted::Something,
            (Some(false), None, None) => Wanted::Nothing,
            (None, Some(value), None) => Wanted::OneOf(vec![value]),
            (None, None, Some(values)) if (1..=VALUES_MAX).contains(&values.len()) => Wanted::OneOf(values),
            (None, None, Some(_)) => return Err(format!("{at}.one_of: it must have 1 to {VALUES_MAX} values")),
            _ => return Err(format!("{at}: only one of `exists`, `equals` and `one_of` can be wanted at a pointer")),
        };
        let value = match (settings.pointer, wanted) {
            (Some(pointer), wanted) => {
                crate::place::check_pointer(&pointer, &format!("{at}.pointer"))?;
                Some((pointer, wanted))
            }
            (None, Wanted::Something) if settings.exists.is_none() => None,
            (None, _) => return Err(format!("{at}: `exists`, `equals` and `one_of` need a `pointer`")),
        };
        Ok(Expect { status, contains: settings.contains, regex, value })
    }

    /// Does it look at the body?
    pub fn reads_body(&self) -> bool {
        self.contains.is_some() || self.regex.is_some() || self.value.is_some()
    }

    pub fn verdict(&self, answer: &Response) -> Verdict {
        // Without a whole answer what the host measured stands.
        let (Some(status), None) = (answer.status, answer.at) else { return Verdict::Bad(None) };
        match &self.status {
            None if answer.outcome != Outcome::Ok => return Verdict::Bad(None),
            None => {}
            Some(wanted) if wanted.contains(&status) => {}
            Some(_) if answer.outcome != Outcome::Ok => return Verdict::Bad(None),
            Some(wanted) => {
                let wanted: Vec<String> = wanted.iter().map(u16::to_string).collect();
                let text = format!("HTTP {status} where {} is wanted", wanted.join(" or "));
                return Verdict::Bad(Some((Outcome::Malformed, text)));
            }
        }
        match self.of_body(answer.body.as_deref().unwrap_or_default()) {
            Ok(()) => Verdict::Good,
            Err(judged) => Verdict::Bad(Some(judged)),
        }
    }

    fn of_body(&self, body: &str) -> Result<(), (Outcome, String)> {
        if let Some(part) = &self.contains
            && !body.contains(part.as_str())
        {
            return Err((Outcome::Malformed, format!("{part:?} is not in the answer")));
        }
        if let Some(regex) = &self.regex {
            let looked = start_of(body, HAYSTACK_MAX);
            if !regex.is_match(looked) {
                let where_ = if looked.len() < body.len() { "the first 16 KiB of the answer" } else { "the answer" };
                return Err((Outcome::Malformed, format!("nothing in {where_} matches {}", regex.as_str())));
            }
        }
        let Some((pointer, wanted)) = &self.value else { return Ok(()) };
        let json: Value = serde_json::from_str(body).map_err(|e| (Outcome::Malformed, format!("no JSON: {e}")))?;
        let place = if pointer.is_empty() { "the answer" } else { pointer };
        match (json.pointer(pointer), wanted) {
            (Some(_), Wanted::Something) | (None, Wanted::Nothing) => Ok(()),
            (None, _) => Err((Outcome::Malformed, format!("nothing is at {place}"))),
            (Some(value), Wanted::OneOf(values)) if values.iter().any(|wanted| same(value, wanted)) => Ok(()),
            // It answers as itself and says that it is not well.
            (Some(value), _) => Err((Outcome::Unavailable, format!("{place} is {}", shown(value)))),
        }
    }
}

fn statuses(value: Value, at: &str) -> Result<Vec<u16>, String> {
    let all = match value {
        Value::Array(all) => all,
        one => vec![one],
    };
    if all.is_empty() || all.len() > VALUES_MAX {
        return Err(format!("{at}: it must have 1 to {VALUES_MAX} numbers"));
    }
    let status = |value: &Value| value.as_u64().and_then(|n| u16::try_from(n).ok()).filter(|n| (100..=599).contains(n));
    all.iter()
        .map(|value| status(value).ok_or_else(|| format!("{at}: {} is no status from 100 to 599", shown(value))))
        .collect()
}

/// TOML's 1 and JSON's 1.0 are one number.
pub fn same(a: &Value, b: &Value) -> bool {
    a == b || (a.is_number() && b.is_number() && a.as_f64() == b.as_f64())
}

/// A value in a sentence.
pub fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match start_of(&text, 80) {
        cut if cut.len() < text.len() => format!("{cut}…"),
        _ => text,
    }
}

fn start_of(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn compile(pattern: &str, at: &str) -> Result<Regex, String> {
    if pattern.len() > PATTERN_MAX {
        return Err(format!("{at}: the pattern has {} bytes, at most {PATTERN_MAX} are taken", pattern.len()));
    }
    RegexBuilder::new(pattern)
        .size_limit(COMPILED_MAX)
        .build()
        .map_err(|error| format!("{at}: {error} (no look-around or back-references; \\d, \\w and \\s are ASCII)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expect(settings: Value) -> Result<Expect, String> {
        Expect::read(serde_json::from_value(settings).expect("settings"), "settings.x.expect")
    }

    #[test]
    fn patterns_that_people_write_are_taken() {
        for pattern in [
            "^(up|idle)$",
            r#""status"\s*:\s*"(ok|ready|running)""#,
            r"(?i)version[ :]+v?[0-9]+\.[0-9]+(\.[0-9]+)?",
            r"models_loaded\{[^}]*\} [1-9][0-9]*",
            r"uptime: [0-9]{1,9} s, (\w+[- ]){0,8}healthy",
        ] {
            assert!(expect(serde_json::json!({"regex": pattern})).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn only_the_start_of_a_long_answer_is_looked_at() {
        let answer = |at: usize| {
            let body = format!("{}needle", " ".repeat(at));
            expect(serde_json::json!({"regex": "needle"})).expect("a pattern").of_body(&body)
        };
        assert_eq!(answer(HAYSTACK_MAX - 6), Ok(()));
        assert!(answer(HAYSTACK_MAX).expect_err("behind it").1.contains("first 16 KiB"));
    }

    #[test]
    fn a_pattern_that_grows_is_refused() {
        let error = expect(serde_json::json!({"regex": "(a{100}){100}"})).expect_err("it is too large");
        assert!(error.starts_with("settings.x.expect.regex: "), "{error}");
    }

    #[test]
    fn the_haystack_ends_between_characters() {
        assert_eq!(start_of("aä", 2), "a");
    }
}
