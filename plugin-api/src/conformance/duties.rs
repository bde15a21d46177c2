//! The duties of a probe: it looks, and changes nothing; where it asks for tokens it has looked before.

use serde_json::Value;

use super::{
    Kit, Rule, Test, Verdict, base, corpus,
    play::{Play, Scene},
    world::{Body, Twist, When},
};
use crate::{
    effect::{Method, Request},
    event::{At, Depth, Outcome, Response, SessionKind},
    report::{InferenceResult, Report},
    route::Route,
};

const NO_INFERENCE: &str = "the plugin has no inference depth";
const NEVER_ASKED: &str = "no inference came to ask for tokens: give a recording of one that did";

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "liveness_route_goes_in_front",
        says: "a deeper probe asks a liveness route first, as evidence for liveness",
        section: "5, duties",
        test: Test::Each { check: liveness_first, unless: "there is no depth but liveness" },
    },
    Rule {
        name: "probes_ask_for_no_work",
        says: "outside inference nothing is sent that generates, loads or unloads",
        section: "5, duties",
        test: Test::Each { check: no_work, unless: "no probe but of inference sent a request" },
    },
    Rule {
        name: "reports_what_it_has",
        says: "what was learnt before a request failed stays in the report",
        section: "5, duties",
        test: Test::Once(reports_what_it_has),
    },
    Rule {
        name: "inference_without_a_model_is_skipped",
        says: "where no model is listed it asks for no tokens",
        section: "5, duties",
        test: Test::Each { check: no_model_no_inference, unless: NO_INFERENCE },
    },
    Rule {
        name: "inference_looks_before_it_asks",
        says: "before it asks for tokens a look was answered in the same session",
        section: "5, duties",
        test: Test::Each { check: looks_before, unless: NEVER_ASKED },
    },
    Rule {
        name: "inference_sends_a_turn_and_a_limit",
        says: "a user's turn with the prompt, a token limit, and no other option",
        section: "5, duties",
        test: Test::Each { check: turn_and_limit, unless: NEVER_ASKED },
    },
    Rule {
        name: "scheduled_inference_does_no_harm",
        says: "with a side effect, one by schedule asks the target for no tokens",
        section: "2, side_effect",
        test: Test::Each { check: schedule, unless: "no inference by schedule, or none with a side effect" },
    },
    Rule {
        name: "skipped_sends_nothing",
        says: "an inference that is `skipped` asked for no tokens",
        section: "5, inference",
        test: Test::Each { check: skipped, unless: "no inference was skipped" },
    },
];

fn depth(scene: &Scene<'_>) -> Option<Depth> {
    match scene.play.start.session {
        SessionKind::Probe { depth, .. } => Some(depth),
        SessionKind::Repair { .. } => None,
    }
}

fn liveness_first(scene: &Scene<'_>) -> Result<bool, String> {
    let Some(depth) = depth(scene).filter(|depth| *depth != Depth::Liveness) else { return Ok(false) };
    let Some((first, _)) = scene.play.requests().next() else { return Ok(false) };
    let Some(liveness) = scene.manifest.probes.get(&Depth::Liveness) else { return Ok(false) };
    let path = first.path.split('?').next().unwrap_or_default();
    let mut routes = liveness.routes.iter().filter_map(|route| Route::parse(route));
    if first.to != "target" || !routes.any(|route| route.grants(false, first.method, path)) {
        return Err(format!("the first request of {depth} is {} {path}, no route of liveness", first.method.as_str()));
    }
    match first.of {
        Some(Depth::Liveness) => Ok(true),
        _ => Err(format!("the first request of {depth} has no `\"of\":\"liveness\"`")),
    }
}

/// Whether a request makes the backend work: generate, load, unload.
pub(super) fn is_work(request: &Request) -> bool {
    const WORDS: [&str; 6] = ["prompt", "messages", "input", "keep_alive", "contents", "ttl"];
    const PATHS: [&str; 8] =
        ["/generate", "/chat", "/completions", "/completion", "/embed", "/load", "/unload", "/pull"];
    if request.method != Method::Post {
        return false;
    }
    let path = request.path.split('?').next().unwrap_or_default().trim_end_matches('/');
    let names_work = PATHS.iter().any(|end| path.ends_with(end)) || path.ends_with("/embeddings");
    names_work || body(request).is_some_and(|body| WORDS.iter().any(|word| body.get(word).is_some()))
}

/// Whether a request asks for tokens, or a vector.
fn asks_for_tokens(request: &Request) -> bool {
    let path = request.path.split('?').next().unwrap_or_default();
    is_work(request) && !path.ends_with("/load") && !path.ends_with("/unload")
}

fn body(request: &Request) -> Option<Value> {
    serde_json::from_str(request.body.as_deref()?).ok()
}

fn no_work(scene: &Scene<'_>) -> Result<bool, String> {
    let Some(depth) = depth(scene).filter(|depth| *depth != Depth::Inference) else { return Ok(false) };
    let mut requests = scene.play.requests().peekable();
    let applies = requests.peek().is_some();
    match requests.find(|(request, _)| is_work(request)) {
        Some((request, _)) => Err(format!("{depth} sends POST {}, which makes the backend work", request.path)),
        None => Ok(applies),
    }
}

fn no_model_no_inference(scene: &Scene<'_>) -> Result<bool, String> {
    let nothing_there = matches!(
        scene.play.twist,
        Twist::Body(
            Body::EmptyLists
                | Body::EmptyArray
                | Body::EmptyObject
                | Body::Null
                | Body::Html
                | Body::Half
                | Body::Empty
                | Body::ErrorText
        )
    ) || matches!(scene.play.twist, Twist::Outcome(outcome, ..) if outcome != Outcome::Ok);
    if !scene.play.is_inference() || !nothing_there || scene.play.when != When::All {
        return Ok(false);
    }
    match asked(scene) {
        // The lists are empty, and another place of an answer tells of a model.
        Some(request) if scene.play.twist == Twist::Body(Body::EmptyLists) && is_told(scene, request) => Ok(false),
        Some(request) => Err(format!("POST {} though no model was listed", request.path)),
        None => Ok(true),
    }
}

/// Whether an answer names the model that tokens are asked of.
fn is_told(scene: &Scene<'_>, request: &Request) -> bool {
    let body = body(request);
    let Some(model) = body.as_ref().and_then(|body| body.get("model")?.as_str()) else { return false };
    let name = Value::from(model).to_string();
    scene.play.requests().any(|(_, answer)| answer.and_then(|a| a.body.as_ref()).is_some_and(|b| b.contains(&name)))
}

/// The request for tokens of an inference probe.
fn asked<'a>(scene: &'a Scene<'_>) -> Option<&'a Request> {
    scene.play.requests().map(|(request, _)| request).find(|request| asks_for_tokens(request))
}

fn looks_before(scene: &Scene<'_>) -> Result<bool, String> {
    if !scene.play.is_inference() {
        return Ok(false);
    }
    let mut looked = false;
    for (request, answer) in scene.play.requests() {
        if asks_for_tokens(request) {
            return if looked { Ok(true) } else { Err(format!("POST {} before any look was answered", request.path)) };
        }
        looked |= answer.is_some_and(|answer| answer.outcome == Outcome::Ok);
    }
    Ok(false)
}

fn turn_and_limit(scene: &Scene<'_>) -> Result<bool, String> {
    let SessionKind::Probe { inference: Some(ask), .. } = &scene.play.start.session else { return Ok(false) };
    // What a user's own settings say is sent as they say it.
    if scene.manifest.probes.get(&Depth::Inference).is_some_and(|spec| spec.routes.iter().any(|route| route == "* *")) {
        return Ok(false);
    }
    let mut applies = false;
    for (request, _) in scene.play.requests().filter(|(request, _)| asks_for_tokens(request)) {
        let Some(body) = body(request) else { return Err(format!("POST {} without JSON", request.path)) };
        applies = true;
        options(&body, ask.max_tokens).map_err(|why| format!("POST {}: {why}: {body}", request.path))?;
        if !body.to_string().contains(&Value::from(ask.prompt.as_str()).to_string()) {
            return Err(format!("POST {} without the prompt", request.path));
        }
    }
    Ok(applies)
}

/// Only what a turn and a limit need.
fn options(body: &Value, max_tokens: u32) -> Result<(), String> {
    const KNOWN: [&str; 12] = [
        "model",
        "messages",
        "prompt",
        "input",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "n_predict",
        "num_predict",
        "options",
    ];
    const LIMITS: [&str; 5] = ["max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict", "num_predict"];
    let object = body.as_object().ok_or("its body is no object")?;
    if let Some(other) = object.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(format!("it sends the option `{other}`"));
    }
    let inner = body.get("options").and_then(Value::as_object);
    if let Some(other) = inner.and_then(|inner| inner.keys().find(|key| *key != "num_predict")) {
        return Err(format!("it sends the option `{other}`"));
    }
    // A vector has no length to be limited.
    if object.contains_key("input") && !object.contains_key("messages") {
        return Ok(());
    }
    let limits = LIMITS.iter().filter_map(|name| object.get(*name).or_else(|| inner?.get(*name)));
    match limits.map(Value::as_u64).next() {
        Some(Some(limit)) if limit <= u64::from(max_tokens) => Ok(()),
        Some(_) => Err(format!("its token limit is not the {max_tokens} that were asked for")),
        None => Err("it has no token limit".into()),
    }
}

fn schedule(scene: &Scene<'_>) -> Result<bool, String> {
    let SessionKind::Probe { inference: Some(ask), .. } = &scene.play.start.session else { return Ok(false) };
    let has_side_effect = scene.manifest.probes.get(&Depth::Inference).is_some_and(|spec| spec.side_effect.is_some());
    if !ask.scheduled || !has_side_effect {
        return Ok(false);
    }
    match scene.play.requests().find(|(request, _)| request.to == "target" && is_work(request)) {
        Some((request, _)) => Err(format!("POST {} to the target by schedule", request.path)),
        None => Ok(true),
    }
}

fn skipped(scene: &Scene<'_>) -> Result<bool, String> {
    let report: Option<Report> = scene.play.report().and_then(|report| serde::Deserialize::deserialize(report).ok());
    let result = report.and_then(|report| report.inference).and_then(|inference| inference.result);
    if !scene.play.is_inference() || result != Some(InferenceResult::Skipped) {
        return Ok(false);
    }
    // A full queue turned it away: it was asked, and no token was made.
    let turned_away = |(request, answer): (&Request, Option<&Response>)| {
        asks_for_tokens(request) && answer.is_some_and(|answer| answer.outcome == Outcome::Ok)
    };
    match scene.play.requests().find(|one| turned_away(*one)) {
        Some((request, _)) => Err(format!("it was `skipped`, and POST {} was answered", request.path)),
        None => Ok(true),
    }
}

fn reports_what_it_has(kit: &Kit) -> Verdict {
    let (table, manifest) = match kit.ready() {
        Ok(ready) => ready,
        Err(verdict) => return verdict,
    };
    let mut compared = 0;
    for base in &base::all(kit, &manifest) {
        let whole = corpus::one(table, base, Twist::Good, When::All);
        let Some(report) = whole.report().filter(|_| whole.is_probe()) else { continue };
        let told = told_by_answers(&whole, report);
        let mut held = Vec::new();
        for place in 0..whole.requests().count().min(8) as u32 {
            let silence = Twist::Outcome(Outcome::Timeout, Some(At::Headers), None);
            let play = corpus::one(table, base, silence, When::From(place));
            match lost(&play, report, &told, &mut held, place) {
                Ok(looked_at) => compared += u32::from(looked_at),
                Err(why) => {
                    return Verdict::Failed {
                        why: format!("{why}\n    in: {}", play.told),
                        session: Some(Box::new(play.recording(&manifest))),
                    };
                }
            }
        }
    }
    match compared {
        0 => Verdict::DoesNotApply("no probe had anything to report before a later request failed".into()),
        n => Verdict::Passed(format!("{n} sessions")),
    }
}

/// A text of a report that stands in an answer.
struct Told<'a> {
    what: &'static str,
    text: &'a str,
    /// The first request whose answer has it.
    source: u32,
}

/// The version, and what symptoms say.
fn texts(report: &Value) -> impl Iterator<Item = (&'static str, &str)> {
    let version = report.get("version").map(|version| ("version", version));
    let symptoms = report.get("symptoms").and_then(Value::as_array).into_iter().flatten();
    let symptoms = symptoms.filter_map(|symptom| Some(("symptom", symptom.get("text")?)));
    version.into_iter().chain(symptoms).filter_map(|(what, text)| Some((what, text.as_str()?)))
}

/// What a report has from single answers. Longer things may need several, and be absent where one of them fails.
fn told_by_answers<'a>(play: &Play, report: &'a Value) -> Vec<Told<'a>> {
    let source = |text: &str| {
        let has = |answer: &Response| answer.body.as_deref().is_some_and(|body| body.contains(text));
        play.requests().position(|(_, answer)| answer.is_some_and(has))
    };
    texts(report)
        .filter(|(_, text)| !text.is_empty())
        .filter_map(|(what, text)| Some(Told { what, text, source: source(text)? as u32 }))
        .collect()
}

/// `Err`: what is lost of the report of a session that was `whole`, now that all fails from request `place` on. `held`:
/// the keys that were there already when all failed from an earlier request on. `false`: there was nothing to compare.
fn lost<'a>(
    play: &Play,
    whole: &'a Value,
    told: &[Told<'_>],
    held: &mut Vec<&'a String>,
    place: u32,
) -> Result<bool, String> {
    let Some(report) = play.report() else {
        return Err(format!("it ended without a report: {:?}", play.end));
    };
    let before: Vec<&Told<'_>> = told.iter().filter(|told| told.source < place).collect();
    if let Some(Told { what, text, .. }) =
        before.iter().find(|told| !texts(report).any(|t| t == (told.what, told.text)))
    {
        return Err(format!("{what} {text:?} was known before request {place} failed, and is lost"));
    }
    if let Some(key) = held.iter().find(|key| report.get(key.as_str()).is_none()) {
        return Err(format!("`{key}` was known with fewer answers, and is lost where request {place} fails"));
    }
    let looked_at = !before.is_empty() || !held.is_empty();
    let keys = whole.as_object().into_iter().flatten();
    let equal = keys.filter(|(key, value)| report.get(key.as_str()) == Some(value)).map(|(key, _)| key);
    held.extend(equal.filter(|key| !held.contains(key)).collect::<Vec<_>>());
    Ok(looked_at)
}
