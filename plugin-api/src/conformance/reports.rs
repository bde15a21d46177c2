//! Rules of reports: their form, their limits, and that nothing in them is invented.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Rule, Test,
    manifest::unknown_keys,
    play::{Scene, short},
    world::{Body, Twist, When},
};
use crate::{
    event::{Depth, Outcome, SessionKind},
    report::{InferenceResult, RepairReport, Report, TEXT_MAX},
};

const NO_REPORT: &str = "no session gave a report";
const NO_PROBE: &str = "no probe gave a report";

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "reports_are_readable",
        says: "a report has the contract's form, and a number is a number of its kind",
        section: "5",
        test: Test::Each { check: readable, unless: NO_REPORT },
    },
    Rule {
        name: "reports_have_known_keys",
        says: "a report has no key that its contract does not have",
        section: "5",
        test: Test::Each { check: known_keys, unless: NO_REPORT },
    },
    Rule {
        name: "closed_words_are_of_the_contract",
        says: "phase, state, outcome and result are of the closed lists",
        section: "5, closed lists",
        test: Test::Each { check: closed_words, unless: NO_REPORT },
    },
    Rule {
        name: "reports_within_limits",
        says: "at most 2,000 models, 256 engines, 1,024 counters, 32 symptoms, 16 entries of info",
        section: "1, limits",
        test: Test::Each { check: limits, unless: NO_REPORT },
    },
    Rule {
        name: "texts_within_512_bytes",
        says: "a text for people is at most 512 bytes",
        section: "1, limits",
        test: Test::Each { check: texts, unless: NO_REPORT },
    },
    Rule {
        name: "ids_are_distinct",
        says: "ids of models, engines and counters say something, and no two are alike",
        section: "5, models, engines",
        test: Test::Each { check: ids, unless: NO_PROBE },
    },
    Rule {
        name: "expiry_is_a_time",
        says: "`expires_at` is RFC 3339, or `never`",
        section: "5, models",
        test: Test::Each { check: expiry, unless: "no report had a model that expires" },
    },
    Rule {
        name: "engines_name_given_processes",
        says: "an engine's `process` is an id of `start.processes`",
        section: "5, engines",
        test: Test::Each { check: engine_processes, unless: "no report had an engine" },
    },
    Rule {
        name: "judged_answers_had_a_status",
        says: "only requests that were answered with a status are judged, and as answers",
        section: "5, judged",
        test: Test::Each { check: judged, unless: "no report judged an answer" },
    },
    Rule {
        name: "inference_is_told_where_it_was_asked",
        says: "`inference` is of an inference probe alone; `skipped` says why; `output` has a token",
        section: "5, inference",
        test: Test::Each { check: inference, unless: "the plugin has no inference depth, or never told of one" },
    },
    Rule {
        name: "nothing_is_invented",
        says: "where nothing answered, no version, phase, model or output is reported",
        section: "rule 4",
        test: Test::Each { check: nothing_invented, unless: "no session had all its requests failed" },
    },
    Rule {
        name: "unknown_is_absent_not_empty",
        says: "a list that could not be had is absent: `[]` means that there is none",
        section: "rule 4",
        test: Test::Each { check: absent_not_empty, unless: "no session had all its requests failed" },
    },
    Rule {
        name: "half_an_answer_tells_nothing",
        says: "what half an answer would have told stays absent",
        section: "5, judged",
        test: Test::Each { check: half_tells_nothing, unless: "no answer of JSON was cut in half: give a recording" },
    },
    Rule {
        name: "wrong_content_is_judged",
        says: "200 with another program's page is judged, not taken for health",
        section: "5, judged",
        test: Test::Each { check: wrong_content, unless: "the manifest has no `identify`: any content may be right" },
    },
];

/// A probe's report that could be read.
fn report(scene: &Scene<'_>) -> Option<Report> {
    scene.play.is_probe().then(|| serde::Deserialize::deserialize(scene.play.report()?).ok())?
}

fn repair_report(scene: &Scene<'_>) -> Option<RepairReport> {
    (!scene.play.is_probe()).then(|| serde::Deserialize::deserialize(scene.play.report()?).ok())?
}

fn readable(scene: &Scene<'_>) -> Result<bool, String> {
    let Some(value) = scene.play.report() else { return Ok(false) };
    let read = if scene.play.is_probe() {
        <Report as serde::Deserialize>::deserialize(value).map(drop)
    } else {
        <RepairReport as serde::Deserialize>::deserialize(value).map(drop)
    };
    read.map(|()| true).map_err(|error| format!("the report cannot be read: {error}: {}", short(&value.to_string())))
}

fn known_keys(scene: &Scene<'_>) -> Result<bool, String> {
    let Some(value) = scene.play.report() else { return Ok(false) };
    let read = match (report(scene), repair_report(scene)) {
        (Some(report), _) => serde_json::to_value(report),
        (_, Some(report)) => serde_json::to_value(report),
        _ => return Ok(false),
    };
    let unknown = unknown_keys(value, &read.unwrap_or_default());
    // A word that is not of its closed list is read as absent: another rule tells of it.
    match unknown.iter().find(|at| !at.ends_with("/phase") && !at.ends_with("/state") && !at.ends_with("/result")) {
        Some(at) => Err(format!("{at} in the report")),
        None => Ok(true),
    }
}

fn closed_words(scene: &Scene<'_>) -> Result<bool, String> {
    let Some(value) = scene.play.report() else { return Ok(false) };
    const PHASES: &[&str] = &["starting", "loading", "ready", "sleeping", "failed"];
    const STATES: &[&str] = &["unloaded", "loading", "loaded", "sleeping", "stopping", "failed"];
    const RESULTS: &[&str] = &["output", "empty", "failed", "timeout", "skipped"];
    const REPAIRED: &[&str] = &["done", "already", "refused", "unsupported", "failed"];
    let word = |value: Option<&Value>, words: &[&str], at: &str| match value {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(word)) if words.contains(&word.as_str()) => Ok(()),
        Some(other) => Err(format!("`{at}` is {other}; there is {}", words.join(", "))),
    };
    let list = |at: &str| value.get(at).and_then(Value::as_array).into_iter().flatten();
    word(value.get("phase"), PHASES, "phase")?;
    for model in list("models") {
        word(model.get("state"), STATES, "models[].state")?;
    }
    for engine in list("engines") {
        word(engine.get("phase"), PHASES, "engines[].phase")?;
    }
    for judged in list("judged") {
        if judged.get("outcome").is_some_and(|outcome| !is_outcome(outcome)) {
            return Err(format!("`judged[].outcome` is {}", judged["outcome"]));
        }
    }
    word(value.pointer("/inference/result"), RESULTS, "inference.result")?;
    if !scene.play.is_probe() {
        word(value.get("result"), REPAIRED, "result")?;
        for expect in list("expect") {
            for state in expect.get("state").and_then(Value::as_array).into_iter().flatten() {
                word(Some(state), STATES, "expect[].state")?;
            }
        }
    }
    Ok(true)
}

/// Whether a word is of the closed list.
fn is_outcome(word: &Value) -> bool {
    <Outcome as serde::Deserialize>::deserialize(word).is_ok_and(|outcome| outcome != Outcome::Unknown)
}

fn limits(scene: &Scene<'_>) -> Result<bool, String> {
    let at_most = |what: &str, number: usize, most: usize| {
        if number > most { Err(format!("{number} {what}, over {most}")) } else { Ok(()) }
    };
    if let Some(report) = repair_report(scene) {
        at_most("symptoms", report.symptoms.len(), 32)?;
        return Ok(true);
    }
    let Some(report) = report(scene) else { return Ok(false) };
    let engines = report.engines.as_deref().unwrap_or_default();
    at_most("models", report.models.as_ref().map_or(0, Vec::len), 2000)?;
    at_most("engines", engines.len(), 256)?;
    at_most("counters", engines.iter().flat_map(|engine| &engine.counters).map(Vec::len).sum(), 1024)?;
    at_most("symptoms", report.symptoms.len(), 32)?;
    for model in report.models.iter().flatten() {
        at_most("entries of info", model.info.len(), 16)?;
    }
    Ok(true)
}

fn texts(scene: &Scene<'_>) -> Result<bool, String> {
    let fits = |at: &str, text: Option<&str>| match text {
        Some(text) if text.len() > TEXT_MAX => Err(format!("`{at}` has {} bytes", text.len())),
        _ => Ok(()),
    };
    if let Some(report) = repair_report(scene) {
        fits("text", report.text.as_deref())?;
        return report.symptoms.iter().try_for_each(|one| fits("symptoms[].text", Some(&one.text))).map(|()| true);
    }
    let Some(report) = report(scene) else { return Ok(false) };
    fits("version", report.version.as_deref())?;
    for judged in &report.judged {
        fits("judged[].text", judged.text.as_deref())?;
    }
    for model in report.models.iter().flatten() {
        for value in model.info.values() {
            fits("models[].info", Some(value))?;
        }
    }
    if let Some(inference) = &report.inference {
        fits("inference.text", inference.text.as_deref())?;
        fits("inference.finish", inference.finish.as_deref())?;
    }
    for symptom in &report.symptoms {
        fits("symptoms[].text", Some(&symptom.text))?;
    }
    Ok(true)
}

fn ids(scene: &Scene<'_>) -> Result<bool, String> {
    // There the backend itself gives several things one name.
    let alike = [Body::LongTexts, Body::LongLists, Body::OtherTypes, Body::AllNull].map(Twist::Body);
    if alike.contains(&scene.play.twist) || matches!(scene.play.twist, Twist::Place(..)) {
        return Ok(false);
    }
    let Some(report) = report(scene) else { return Ok(false) };
    distinct("models", report.models.iter().flatten().map(|model| model.id.as_str()))?;
    distinct("engines", report.engines.iter().flatten().map(|engine| engine.id.as_str()))?;
    for engine in report.engines.iter().flatten() {
        distinct("counters", engine.counters.iter().flatten().map(|counter| counter.id.as_str()))?;
    }
    Ok(true)
}

fn distinct<'a>(what: &str, ids: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for id in ids {
        if id.is_empty() {
            return Err(format!("`{what}` has an empty id"));
        }
        if !seen.insert(id) {
            return Err(format!("`{what}` has two of the id {:?}", short(id)));
        }
    }
    Ok(())
}

fn expiry(scene: &Scene<'_>) -> Result<bool, String> {
    let Some(report) = report(scene) else { return Ok(false) };
    let mut applies = false;
    for time in report.models.iter().flatten().filter_map(|model| model.expires_at.as_deref()) {
        applies = true;
        if time != "never" && !is_rfc3339(time) {
            return Err(format!("`expires_at` is {:?}", short(time)));
        }
    }
    Ok(applies)
}

/// `2026-11-24T04:06:14.5+02:00`, with bounds of each part.
pub(super) fn is_rfc3339(time: &str) -> bool {
    let bytes = time.as_bytes();
    let number = |from: usize, to: usize| -> Option<u32> {
        let digits = time.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let sign = |at: usize, any_of: &[u8]| bytes.get(at).is_some_and(|b| any_of.contains(b));
    let within = |number: Option<u32>, least: u32, most: u32| number.is_some_and(|n| (least..=most).contains(&n));
    let front = within(number(0, 4), 0, 9999)
        && sign(4, b"-")
        && within(number(5, 7), 1, 12)
        && sign(7, b"-")
        && within(number(8, 10), 1, 31)
        && sign(10, b"Tt ")
        && within(number(11, 13), 0, 23)
        && sign(13, b":")
        && within(number(14, 16), 0, 59)
        && sign(16, b":")
        && within(number(17, 19), 0, 60);
    if !front {
        return false;
    }
    let mut rest = &time[19..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let end = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if end == 0 {
            return false;
        }
        rest = &fraction[end..];
    }
    match rest.as_bytes() {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', a, b, b':', c, d] => [a, b, c, d].iter().all(|digit| digit.is_ascii_digit()),
        _ => false,
    }
}

fn engine_processes(scene: &Scene<'_>) -> Result<bool, String> {
    let Some(report) = report(scene) else { return Ok(false) };
    let given = scene.play.start.processes.as_deref().unwrap_or_default();
    let mut applies = false;
    for engine in report.engines.iter().flatten() {
        applies = true;
        if let Some(process) = &engine.process
            && !given.iter().any(|one| one.id == *process)
        {
            return Err(format!("the engine {:?} names the process {process:?}, which was not given", engine.id));
        }
    }
    Ok(applies)
}

fn judged(scene: &Scene<'_>) -> Result<bool, String> {
    let Some(report) = report(scene) else { return Ok(false) };
    for judged in &report.judged {
        let request = scene.play.requests().nth(judged.request as usize);
        let Some((request, answer)) = request else {
            return Err(format!("it judges request {}, which there was not", judged.request));
        };
        if answer.is_none_or(|answer| answer.status.is_none()) {
            return Err(format!("it judges {}, which had no status", request.path));
        }
        let is_of_a_connection = matches!(
            judged.outcome,
            Outcome::Refused
                | Outcome::Unreachable
                | Outcome::Reset
                | Outcome::Timeout
                | Outcome::TooLarge
                | Outcome::Deadline
        );
        if is_of_a_connection {
            return Err(format!("it judges an answer to be {:?}", judged.outcome));
        }
    }
    Ok(!report.judged.is_empty())
}

fn inference(scene: &Scene<'_>) -> Result<bool, String> {
    let Some(report) = report(scene) else { return Ok(false) };
    let Some(inference) = report.inference else { return Ok(false) };
    if !scene.play.is_inference() {
        return Err("it tells of an inference, and none was asked for".into());
    }
    match inference.result {
        None => Err("its `inference` has no `result`".into()),
        Some(InferenceResult::Skipped) if inference.text.as_deref().is_none_or(str::is_empty) => {
            Err("it was `skipped`, and `text` does not say why".into())
        }
        Some(InferenceResult::Output)
            if inference.tokens.is_some_and(|t| t.total == 0 && t.content == 0 && t.thinking == 0) =>
        {
            Err("it is `output` of 0 tokens".into())
        }
        _ => Ok(true),
    }
}

/// A session whose every request failed without a status.
fn all_failed(scene: &Scene<'_>) -> bool {
    let mut requests = scene.play.requests().peekable();
    requests.peek().is_some()
        && requests.all(|(_, answer)| answer.is_some_and(|a| a.status.is_none() && a.outcome != Outcome::Ok))
}

fn nothing_invented(scene: &Scene<'_>) -> Result<bool, String> {
    if !all_failed(scene) {
        return Ok(false);
    }
    let Some(report) = report(scene) else { return Ok(false) };
    if let Some(version) = &report.version {
        return Err(format!("it reports version {:?}", short(version)));
    }
    if let Some(phase) = report.phase {
        return Err(format!("it reports phase {phase:?}"));
    }
    if report.models.as_ref().is_some_and(|models| !models.is_empty()) {
        return Err("it reports models".into());
    }
    match report.inference.and_then(|inference| inference.result) {
        Some(result @ (InferenceResult::Output | InferenceResult::Empty)) => {
            Err(format!("it reports an inference's {result:?}"))
        }
        _ => Ok(true),
    }
}

fn absent_not_empty(scene: &Scene<'_>) -> Result<bool, String> {
    if !all_failed(scene) {
        return Ok(false);
    }
    let Some(report) = report(scene) else { return Ok(false) };
    if report.models.is_some() {
        return Err("`models` is there: it could not be known".into());
    }
    // With the target's processes, engines can be known without a request.
    if report.engines.is_some() && scene.play.start.processes.is_none() {
        return Err("`engines` is there: it could not be known".into());
    }
    Ok(true)
}

fn half_tells_nothing(scene: &Scene<'_>) -> Result<bool, String> {
    let is_half = matches!(scene.play.twist, Twist::Body(Body::Half | Body::HalfThenSilence));
    if !is_half || scene.play.when != When::All {
        return Ok(false);
    }
    // A text of another form may well be whole by half.
    let cut = |body: &str| body.starts_with(['{', '[']) && serde_json::from_str::<Value>(body).is_err();
    let mut bodies = scene.play.requests().filter_map(|(_, answer)| answer?.body.as_deref()).peekable();
    if bodies.peek().is_none() || !bodies.all(cut) {
        return Ok(false);
    }
    let Some(report) = report(scene) else { return Ok(false) };
    match (&report.models, &report.version) {
        (Some(_), _) => Err("it reports `models` of half an answer".into()),
        (_, Some(version)) => Err(format!("it reports version {:?} of half an answer", short(version))),
        _ => Ok(true),
    }
}

fn wrong_content(scene: &Scene<'_>) -> Result<bool, String> {
    let is_liveness = matches!(scene.play.start.session, SessionKind::Probe { depth: Depth::Liveness, .. });
    let all_html = scene.play.twist == Twist::Body(Body::Html) && scene.play.when == When::All;
    let answered = scene.play.requests().any(|(_, answer)| answer.is_some_and(|a| a.outcome == Outcome::Ok));
    if !is_liveness || !all_html || !answered || scene.manifest.identify.is_empty() {
        return Ok(false);
    }
    match report(scene) {
        Some(report) if report.judged.is_empty() => Err("a sign-in page was taken for the backend".into()),
        Some(_) => Ok(true),
        None => Ok(false),
    }
}
