//! Where a number stands in an answer: a JSON pointer, or the name of a Prometheus metric.

use plugin_parts::metrics;
use serde_json::Value;

const LENGTH_MAX: usize = 512;

/// A place of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Pointer(String),
    Metric(String),
}

/// An answer's body, parsed once.
#[derive(Debug)]
pub enum Body<'a> {
    Json(Value),
    Text(&'a str),
}

impl<'a> Body<'a> {
    pub fn of(text: &'a str) -> Body<'a> {
        match serde_json::from_str(text) {
            Ok(json) => Body::Json(json),
            Err(_) => Body::Text(text),
        }
    }
}

impl Place {
    /// `at`: where it stands in the settings, for messages.
    pub fn read(text: &str, at: &str) -> Result<Place, String> {
        if text.is_empty() || text.starts_with('/') {
            check_pointer(text, at)?;
            return Ok(Place::Pointer(text.into()));
        }
        let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        if text.len() > LENGTH_MAX || !text.chars().all(good) || text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(format!(
                "{at}: {text:?} is neither a JSON pointer (it begins with `/`) nor the name of a metric (without labels)"
            ));
        }
        Ok(Place::Metric(text.into()))
    }

    /// The number there. `Ok(None)`: nothing is there, so it is not known. `Err`: what is there is no number.
    pub fn number(&self, body: &Body<'_>) -> Result<Option<u64>, String> {
        match (self, body) {
            (Place::Metric(name), Body::Text(text)) => Ok(metrics::sum(text, name)),
            (Place::Metric(name), Body::Json(_)) => Err(format!("{name}: the answer is JSON, not a text of metrics")),
            (Place::Pointer(pointer), Body::Text(_)) => Err(format!("{pointer}: the answer is no JSON")),
            (Place::Pointer(pointer), Body::Json(json)) => match json.pointer(pointer) {
                None | Some(Value::Null) => Ok(None),
                Some(value) => number(value)
                    .map(Some)
                    .ok_or_else(|| format!("{pointer} is {}, and no number", crate::expect::shown(value))),
            },
        }
    }
}

/// A number, the length of a list, or 1 for true.
fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(n) => n.as_u64().or_else(|| n.as_f64().filter(|f| *f >= 0.0).map(|f| f as u64)),
        Value::Array(entries) => Some(entries.len() as u64),
        Value::Bool(yes) => Some(u64::from(*yes)),
        _ => None,
    }
}

/// RFC 6901. `at`: where it stands in the settings.
pub fn check_pointer(pointer: &str, at: &str) -> Result<(), String> {
    let bad = |why: &str| Err(format!("{at}: {pointer:?} is no JSON pointer: {why}"));
    if pointer.len() > LENGTH_MAX {
        return bad("it is too long");
    }
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return bad("it begins with `/`");
    }
    if pointer.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
        return bad("`~` is written `~0`, and a `/` within a name `~1`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_place_is_a_pointer_or_a_metric() {
        assert_eq!(Place::read("/a~1b/0", "x"), Ok(Place::Pointer("/a~1b/0".into())));
        assert_eq!(Place::read("tgi_queue_size", "x"), Ok(Place::Metric("tgi_queue_size".into())));
        for wrong in ["a b", "a{x=\"1\"}", "9a", "/a~b", "/~"] {
            assert!(Place::read(wrong, "settings.progress.running").is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_lists_and_truth_are_counted_and_absent_is_not_known() {
        let body =
            Body::Json(json!({"n": 3, "f": 2.9, "minus": -1, "list": [1, 2], "busy": true, "s": "x", "z": null}));
        let at = |pointer: &str| Place::Pointer(pointer.into()).number(&body);
        assert_eq!(at("/n"), Ok(Some(3)));
        assert_eq!(at("/f"), Ok(Some(2)));
        assert_eq!(at("/list"), Ok(Some(2)));
        assert_eq!(at("/busy"), Ok(Some(1)));
        assert_eq!(at("/absent"), Ok(None));
        assert_eq!(at("/z"), Ok(None));
        assert!(at("/s").is_err() && at("/minus").is_err());
        let text = Body::of("# TYPE q gauge\nq{a=\"1\"} 2\nq{a=\"2\"} 3\n");
        assert_eq!(Place::Metric("q".into()).number(&text), Ok(Some(5)));
        assert_eq!(Place::Metric("p".into()).number(&text), Ok(None));
    }
}
