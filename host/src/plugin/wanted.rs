//! What a session wants next, read from the plugin's bytes once and held to the contract's limits.
//!
//! The host's own form of [`ai_monitor_plugin_api::effect::Effect`]: there a report is any JSON, here it is read as
//! what it must be, straight from the text. This is on the way of every step, so it is kept short.

use std::borrow::Cow;

use ai_monitor_plugin_api::{
    effect::Request,
    report::{COUNTERS_MAX, ENGINES_MAX, MODELS_MAX, RepairReport, Report, SYMPTOMS_MAX},
};
use serde::{Deserialize, de::DeserializeOwned};

/// One effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    Request(Request),
    Read,
    Wait { ms: u64, note: Option<String> },
    Report(Said),
}

/// What a session says at its end.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// Of a probe.
    Observed(Box<Report>),
    /// Of a repair.
    Repaired(Box<RepairReport>),
}

/// Which effect it is. What else it has is passed over here.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    effect: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Wait {
    ms: u64,
    #[serde(default)]
    note: Option<String>,
}

#[derive(Deserialize)]
struct Reporting<R> {
    report: R,
}

impl Wanted {
    /// `repair`: whether the session is one, which says what its report must be. The error says what is wrong.
    pub fn read(bytes: &[u8], repair: bool) -> Result<Wanted, String> {
        let text = std::str::from_utf8(bytes).map_err(|e| format!("the effect is not UTF-8: {e}"))?;
        // An array would be read as an object's fields in order.
        if !text.trim_ascii_start().starts_with('{') {
            return Err(format!("the effect cannot be read: it is no JSON object but {:?}", start_of(text)));
        }
        Ok(match &*name(text)? {
            "request" => Wanted::Request(part(text, "effect")?),
            // It has nothing else, and must be whole all the same.
            "read" => part::<Head>(text, "effect").map(|_| Wanted::Read)?,
            "wait" => {
                let Wait { ms, note } = part(text, "effect")?;
                Wanted::Wait { ms, note }
            }
            "report" if repair => Wanted::Report(Said::Repaired(Box::new(repaired(text)?))),
            "report" => Wanted::Report(Said::Observed(Box::new(observed(text)?))),
            other => {
                let other = start_of(other);
                return Err(format!("the effect `{other}` is none of `request`, `read`, `wait`, `report`"));
            }
        })
    }
}

/// Which effect a text is. Where it comes first, as most plugins write it, nothing has to be read to find it.
fn name(text: &str) -> Result<Cow<'_, str>, String> {
    match text.strip_prefix(r#"{"effect":""#).and_then(|rest| rest.split_once('"')) {
        Some((name, _)) if !name.contains('\\') => Ok(Cow::Borrowed(name)),
        _ => part::<Head>(text, "effect").map(|head| head.effect),
    }
}

fn part<'a, T: Deserialize<'a>>(text: &'a str, what: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("the {what} cannot be read: {error}{}", behind(text, &error)))
}

/// What stands in front of the place of an error: its author sees the place, and not the whole text.
fn behind(text: &str, error: &serde_json::Error) -> String {
    if error.line() != 1 || error.column() < 2 {
        return String::new();
    }
    let boundary = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let to = boundary(error.column());
    format!(", which is behind {}", &text[boundary(to.saturating_sub(40))..to])
}

fn reporting<R: DeserializeOwned>(text: &str) -> Result<R, String> {
    part::<Reporting<R>>(text, "report").map(|reporting| reporting.report)
}

fn observed(text: &str) -> Result<Report, String> {
    let report: Report = reporting(text)?;
    let engines = report.engines.as_deref().unwrap_or_default();
    at_most("models", report.models.as_ref().map_or(0, Vec::len), MODELS_MAX)?;
    at_most("engines", engines.len(), ENGINES_MAX)?;
    at_most("counters", engines.iter().flat_map(|e| &e.counters).map(Vec::len).sum(), COUNTERS_MAX)?;
    at_most("symptoms", report.symptoms.len(), SYMPTOMS_MAX)?;
    Ok(report)
}

fn repaired(text: &str) -> Result<RepairReport, String> {
    let report: RepairReport = reporting(text)?;
    at_most("symptoms", report.symptoms.len(), SYMPTOMS_MAX)?;
    Ok(report)
}

fn at_most(what: &str, number: usize, max: usize) -> Result<(), String> {
    if number <= max { Ok(()) } else { Err(format!("the report has {number} {what}, over {max}")) }
}

/// Enough of a text to know it by.
fn start_of(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use ai_monitor_plugin_api::effect::Effect;
    use serde_json::json;

    use super::*;

    fn error(text: &str) -> String {
        Wanted::read(text.as_bytes(), false).unwrap_err()
    }

    #[test]
    fn each_effect_of_the_contract_is_read_as_it_is_written() {
        let request = Request::get("/api/ps", 5_000).to("1/49361").note("what runs");
        let report = Report { version: Some("1".into()), ..Report::default() };
        let value = serde_json::to_value(&report).unwrap();
        for (effect, wanted) in [
            (Effect::Request(request.clone()), Wanted::Request(request)),
            (Effect::Read, Wanted::Read),
            (Effect::Wait { ms: 20, note: None }, Wanted::Wait { ms: 20, note: None }),
            (Effect::Report { report: value }, Wanted::Report(Said::Observed(Box::new(report)))),
        ] {
            assert_eq!(Wanted::read(&serde_json::to_vec(&effect).unwrap(), false), Ok(wanted));
        }
    }

    #[test]
    fn order_space_and_unknown_keys_do_not_matter() {
        let text = br#" { "new": {"a": [1]}, "ms": 10, "note": null, "effect": "wait" } "#;
        assert_eq!(Wanted::read(text, false), Ok(Wanted::Wait { ms: 10, note: None }));
        let text = br#"{"effect":"re\u0061d"}"#;
        assert_eq!(Wanted::read(text, false), Ok(Wanted::Read));
        let text = br#"{"report":{"result":"done"},"effect":"report"}"#;
        assert!(matches!(Wanted::read(text, true), Ok(Wanted::Report(Said::Repaired(_)))));
    }

    #[test]
    fn values_of_a_newer_contract_are_read_as_absent() {
        let text = br#"{"effect":"report","report":{"phase":"hibernating","version":"9","new":1}}"#;
        let Ok(Wanted::Report(Said::Observed(report))) = Wanted::read(text, false) else { panic!("no report") };
        assert_eq!((report.phase, report.version.as_deref()), (None, Some("9")));
    }

    #[test]
    fn what_is_wrong_is_told() {
        assert!(error("").contains("no JSON object"));
        assert!(error("all is well").contains("no JSON object but \"all is well\""));
        assert!(error(r#"["read"]"#).contains("no JSON object"));
        assert!(error(r#"{"effect":"read"} more"#).contains("trailing characters"));
        assert!(error(r#"{"effect":"read""#).contains("EOF while parsing"));
        assert!(error(r#"{"ms":10}"#).contains("missing field `effect`"));
        assert!(error(r#"{"effect":"run","argv":[]}"#).contains("the effect `run` is none of"));
        assert!(error(r#"{"effect":"wait"}"#).contains("missing field `ms`"));
        assert!(error(r#"{"effect":"request","path":"/"}"#).contains("missing field `method`"));
        assert!(error(r#"{"effect":"report"}"#).contains("missing field `report`"));
        // Whoever wrote it sees where, whatever stands around it.
        let told = error("{\"effect\":\"report\",\"report\":{\"version\":\"\u{e4}\",\"phase\":7,\"models\":7}}");
        assert!(told.ends_with(r#""phase":7,"models":7"#) && told.contains(", which is behind "), "{told}");
        assert!(error(r#"{"effect":"report","report":{"models":7}}"#).starts_with("the report cannot be read"));
        assert!(Wanted::read(b"{\"effect\":\"\xff\"}", false).unwrap_err().contains("not UTF-8"));
        let long = format!(r#"{{"effect":"{}"}}"#, "ä".repeat(100_000));
        assert!(error(&long).len() < 200);
    }

    #[test]
    fn lists_are_held_to_their_limits() {
        let many = |what: &str, of: serde_json::Value, count: usize| {
            json!({"effect": "report", "report": {what: vec![of; count]}}).to_string()
        };
        let model = json!({"id": "tiny"});
        assert!(Wanted::read(many("models", model.clone(), 2000).as_bytes(), false).is_ok());
        assert_eq!(error(&many("models", model, 2001)), "the report has 2001 models, over 2000");
        let counters = vec![json!({"id": "c", "kind": "decode", "value": 1}); 513];
        let engine = json!({"id": "e", "counters": counters});
        assert_eq!(error(&many("engines", engine, 2)), "the report has 1026 counters, over 1024");
        assert_eq!(error(&many("engines", json!({"id": "e"}), 257)), "the report has 257 engines, over 256");
        let symptom = json!({"id": "no_space", "text": "full"});
        assert_eq!(error(&many("symptoms", symptom, 33)), "the report has 33 symptoms, over 32");
    }
}
