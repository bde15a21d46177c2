//! Filling a model's name, a prompt and a number into a path or a body, so that they cannot be read as anything else.

use plugin_parts::percent;
use serde_json::Value;

/// What can be filled in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Values<'a> {
    pub model: Option<&'a str>,
    pub prompt: Option<&'a str>,
    pub max_tokens: Option<u32>,
}

/// What a value must not break out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inside {
    /// A string of JSON.
    Json,
    /// A path, a query or a form.
    Url,
    /// Text without structure.
    Plain,
}

pub const MODEL: &str = "{model}";
pub const PROMPT: &str = "{prompt}";
pub const MAX_TOKENS: &str = "{max_tokens}";
const ALL: [&str; 3] = [MODEL, PROMPT, MAX_TOKENS];

/// The names in a text that would be filled in.
pub fn names_in(text: &str) -> impl Iterator<Item = &'static str> {
    ALL.into_iter().filter(move |name| text.contains(name))
}

/// Fills in what is there; what has no value stays as it is written. What was filled in is not looked at again.
pub fn fill(text: &str, values: &Values<'_>, inside: Inside) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        filled.push_str(&rest[..open]);
        rest = &rest[open..];
        let found = ALL.into_iter().find(|name| rest.starts_with(name));
        match found.and_then(|name| Some((name, value(name, values, inside)?))) {
            Some((name, value)) => {
                filled.push_str(&value);
                rest = &rest[name.len()..];
            }
            None => {
                filled.push('{');
                rest = &rest[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

fn value(name: &str, values: &Values<'_>, inside: Inside) -> Option<String> {
    let text = match name {
        MODEL => values.model?,
        PROMPT => values.prompt?,
        _ => return values.max_tokens.map(|n| n.to_string()),
    };
    Some(match inside {
        Inside::Json => {
            let quoted = Value::from(text).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        }
        Inside::Url => percent::encoded(text),
        Inside::Plain => text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_out_of_where_it_stands() {
        let evil = Values { model: Some("a\"},{\"x\":\"/../{prompt}"), prompt: Some("secret"), max_tokens: Some(8) };
        let body = fill(r#"{"model":"{model}","n":{max_tokens},"keep":{"a":1}}"#, &evil, Inside::Json);
        let json: Value = serde_json::from_str(&body).expect("it is still JSON");
        assert_eq!(json["model"], evil.model.unwrap_or_default());
        assert_eq!((&json["n"], &json["keep"]["a"]), (&8.into(), &1.into()));
        let path = fill("/models/{model}/load?x={prompt}", &Values { model: Some("q/ä 1?"), ..evil }, Inside::Url);
        assert_eq!(path, "/models/q%2F%C3%A4%201%3F/load?x=secret");
    }

    #[test]
    fn what_has_no_value_and_other_braces_stay() {
        assert_eq!(fill("{model} {other} {", &Values::default(), Inside::Plain), "{model} {other} {");
        assert_eq!(names_in("{model}{prompt}").collect::<Vec<_>>(), [MODEL, PROMPT]);
    }
}
