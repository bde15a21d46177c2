//! The kit over plugins that break one rule each: the rule of that name must fail.

use std::{
    collections::HashMap,
    ffi::{c_char, c_void},
    sync::atomic::{AtomicU64, Ordering},
};

use serde_json::{Value, json};

use super::*;
use crate::{
    Io, Plugin, Stop,
    effect::{Effect, Request},
    event::{Depth, End, Line, Outcome, SessionKind, Start},
    export,
    recording::Said,
    report::{Engine, Inference, InferenceResult, Model, Phase, RepairReport, RepairResult, Symptom},
    table::{AIM_ABI, AIM_OK, AimPlugin, AimSink},
};

/// What a plugin that keeps all rules does; the others do it with one mistake in it.
async fn look(io: &mut Io, start: &Start) -> Result<(), Stop> {
    let answer = io.request(Request::get("/version", 1000).of(Depth::Liveness)).await?;
    let body: Value = match (answer.outcome, answer.body.as_deref()) {
        (Outcome::Ok, Some(body)) => match serde_json::from_str(body) {
            Ok(body) => body,
            Err(error) => {
                io.judge(&answer, Outcome::Malformed, error.to_string());
                return Err(Stop::Enough);
            }
        },
        _ => return Err(Stop::Enough),
    };
    let Some(version) = body["version"].as_str() else {
        io.judge(&answer, Outcome::Foreign, "no `version` in it");
        return Err(Stop::Enough);
    };
    io.report.version = Some(version.to_owned());
    if let SessionKind::Probe { depth: Depth::Inference, inference: Some(ask) } = &start.session {
        let inference = infer(io, &ask.prompt, ask.max_tokens).await?;
        io.report.inference = inference;
    }
    Ok(())
}

async fn infer(io: &mut Io, prompt: &str, max_tokens: u32) -> Result<Option<Inference>, Stop> {
    let list = io.request(Request::get("/models", 1000)).await?;
    let body: Value = serde_json::from_str(list.body.as_deref().unwrap_or_default()).unwrap_or_default();
    let Some(model) = body["models"][0]["name"].as_str().filter(|_| list.outcome == Outcome::Ok) else {
        return Ok(Some(inference(InferenceResult::Skipped, "no model is listed")));
    };
    let turn = json!({"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": max_tokens});
    let answer = io.request(Request::post_json("/chat", &turn, 1000)).await?;
    let result = if answer.outcome == Outcome::Ok { InferenceResult::Output } else { InferenceResult::Failed };
    Ok(Some(inference(result, "ok")))
}

fn inference(result: InferenceResult, text: &str) -> Inference {
    Inference {
        model: None,
        result: Some(result),
        text: Some(text.into()),
        tokens: None,
        first_token_ms: None,
        decode_tps: None,
        finish: None,
    }
}

const MANIFEST: &str = r#"{"contract":"1.0","abi":1,"id":"small","version":"1.0.0","label":"Small",
    "settings":{"type":"object","properties":{"n":{"type":"integer","default":1}}},
    "identify":[{"is":"possible","all":[{"get":"/version","has":["/version"]}]}],
    "probes":{"liveness":{"routes":["GET /version"],"deadline_ms":5000},
        "inference":{"routes":["GET /version","GET /models","POST /chat"],"deadline_ms":60000}},
    "repairs":{"unload":{"title":"Unload","routes":["POST /unload"],"deadline_ms":1000,
        "args":{"type":"object","required":["model"],"properties":{"model":{"type":"string"}}}}}}"#;

async fn unload(io: &mut Io<RepairReport>, start: &Start) -> Result<(), Stop> {
    let SessionKind::Repair { repair, args } = &start.session else { return Err(Stop::GiveUp("a probe".into())) };
    let (true, Some(model)) = (repair == "unload", args.get("model")) else {
        io.report.result = Some(RepairResult::Unsupported);
        return Ok(());
    };
    let answer = io.request(Request::post_json("/unload", &json!({ "model": model }), 1000)).await?;
    let done = answer.outcome == Outcome::Ok;
    io.report.result = Some(if done { RepairResult::Done } else { RepairResult::Failed });
    Ok(())
}

/// A plugin as the small one, with another look.
macro_rules! plugin {
    ($name:ident, |$io:ident, $start:ident| $look:expr) => {
        plugin!($name, MANIFEST, |$io, $start| $look, |io, start| unload(io, start).await);
    };
    ($name:ident, $manifest:expr, |$io:ident, $start:ident| $look:expr, |$rio:ident, $rstart:ident| $repair:expr) => {
        struct $name;
        impl Plugin for $name {
            const MANIFEST: &'static str = $manifest;
            async fn probe($io: &mut Io, $start: &Start) -> Result<(), Stop> {
                $look
            }
            async fn repair($rio: &mut Io<RepairReport>, $rstart: &Start) -> Result<(), Stop> {
                $repair
            }
        }
    };
}

fn verdicts(table: &'static AimPlugin) -> HashMap<&'static str, Verdict> {
    Kit::new(table).fuzzed(60).run().into_iter().map(|(rule, verdict)| (rule.name, verdict)).collect()
}

fn table<P: Plugin>() -> &'static AimPlugin {
    Box::leak(Box::new(export::table::<P>()))
}

#[track_caller]
fn breaks<P: Plugin>(name: &str) {
    let rule = Kit::rules().find(|rule| rule.name == name).expect("a rule of this name");
    let verdict = Kit::new(table::<P>()).test(rule);
    assert!(matches!(verdict, Verdict::Failed { .. }), "{name} gave {verdict:?}");
}

plugin!(Small, |io, start| look(io, start).await);

#[test]
fn a_plugin_that_keeps_all_rules_passes() {
    let verdicts = verdicts(table::<Small>());
    let broken = verdicts.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Failed { .. })).collect::<Vec<_>>();
    assert!(broken.is_empty(), "{broken:#?}");
    let applied = |name: &str| matches!(verdicts[name], Verdict::Passed(_));
    for name in [
        "inference_sends_a_turn_and_a_limit",
        "inference_without_a_model_is_skipped",
        "nothing_is_invented",
        "wrong_content_is_judged",
        "half_an_answer_tells_nothing",
        "done_only_after_success",
        "fuzzed_sessions_keep_the_rules",
    ] {
        assert!(applied(name), "{name}: {:?}", verdicts[name]);
    }
    for name in ["does_no_io", "waits_are_10_ms_or_longer", "manifest_equals_its_file"] {
        assert!(matches!(verdicts[name], Verdict::DoesNotApply(_)), "{name}: {:?}", verdicts[name]);
    }
}

#[test]
fn rules_have_names_of_their_own_and_a_place_in_the_contract() {
    let mut names: Vec<&str> = Kit::rules().map(|rule| rule.name).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(Kit::rules().all(|rule| !rule.says.is_empty() && !rule.section.is_empty()));
    let page = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/plugins").join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let (contract, promise) = (page("contract.md"), page("promise.md"));
    for (number, title) in (1..).zip(SECTIONS) {
        assert!(contract.contains(&format!("\n## {number}. {title}\n")), "{title} is no section of contract.md");
    }
    for rule in Kit::rules() {
        let (first, rest) = rule.section.split_once(", ").unwrap_or((rule.section, ""));
        let is_there = match first.parse::<usize>() {
            // 7 and 8 are no rules, but what comes of them.
            Ok(number) => (1..=6).contains(&number),
            Err(_) if first == "promise" => promise.to_lowercase().contains(&format!("## {rest}\n")),
            Err(_) => first.strip_prefix("rule ").is_some_and(|n| contract.contains(&format!("\n{n}. **"))),
        };
        assert!(is_there, "{}: there is no {:?}", rule.name, rule.section);
    }
    let place = |name: &str| Kit::rules().find(|rule| rule.name == name).unwrap().place();
    assert_eq!(place("manifest_id"), "docs/plugins/contract.md, section 2 (The manifest): id");
    assert_eq!(place("null_is_absent"), "docs/plugins/contract.md, rule 4 of the five at its top");
}

#[test]
fn the_manifest_beside_must_be_the_same() {
    let rule = Kit::rules().find(|rule| rule.name == "manifest_equals_its_file").unwrap();
    let with = |bytes: &[u8]| Kit::new(table::<Small>()).file(bytes.to_vec()).test(rule);
    assert!(matches!(with(MANIFEST.as_bytes()), Verdict::Passed(_)));
    // As the host does: what both say counts, not how it is written.
    let value: Value = serde_json::from_str(MANIFEST).unwrap();
    assert!(matches!(with(serde_json::to_string_pretty(&value).unwrap().as_bytes()), Verdict::Passed(_)));
    for (other, told) in [
        (MANIFEST.replace("5000", "5001"), "`/probes/liveness/deadline_ms`: the file has 5001, the library 5000"),
        (MANIFEST.replace(r#""label""#, r#""new":[1],"label""#), "`/new`: the file has [1], the library nothing"),
        ("{".into(), "cannot be read"),
    ] {
        let Verdict::Failed { why, .. } = with(other.as_bytes()) else { panic!("{other} passed") };
        assert!(why.contains(told), "{why}");
    }
}

plugin!(Panics, |io, start| {
    look(io, start).await?;
    assert!(io.report.version.as_ref().is_none_or(|version| version.len() < 600), "too long");
    Ok(())
});
plugin!(GivesUp, |io, start| look(io, start).await.map_err(|_| Stop::GiveUp("no answer".into())));
plugin!(OtherRoute, |io, start| {
    look(io, start).await?;
    io.request(Request::get("/secret", 1000)).await.map(drop)
});
plugin!(AsksOn, |io, start| {
    while look(io, start).await.is_err() {}
    Ok(())
});
plugin!(Invents, |io, start| {
    io.report.models = Some(Vec::new());
    io.report.phase = Some(Phase::Ready);
    look(io, start).await
});
plugin!(TakesAnyPage, |io, _start| io.request(Request::get("/version", 1000)).await.map(drop));
plugin!(Works, |io, start| {
    look(io, start).await?;
    io.request(Request::post_json("/chat", &json!({"messages": []}), 1000)).await.map(drop)
});
plugin!(ShortWait, |io, start| {
    io.wait(9, None).await?;
    look(io, start).await
});
plugin!(Sleeps, |io, start| {
    std::thread::sleep(std::time::Duration::from_millis(1001));
    look(io, start).await
});
plugin!(NoTime, |io, _start| io.request(Request::get("/version", 0)).await.map(drop));
plugin!(LongHead, |io, _start| {
    let mut request = Request::get("/version", 1000);
    request.headers.insert("x".into(), "a".repeat(crate::limits::REQUEST_HEAD_MAX));
    io.request(request).await.map(drop)
});
plugin!(SetsHost, |io, _start| {
    let mut request = Request::get("/version", 1000);
    request.headers.insert("Authorization".into(), "Bearer x".into());
    io.request(request).await.map(drop)
});
plugin!(ElsewhereTo, |io, _start| io.request(Request::get("/version", 1000).to("9/80")).await.map(drop));
plugin!(Unlooked, |io, start| {
    let SessionKind::Probe { inference: Some(_), .. } = &start.session else { return look(io, start).await };
    io.request(Request::post_json("/chat", &json!({"messages": [], "temperature": 0}), 1000)).await.map(drop)
});
plugin!(StrangeProcess, |io, start| {
    look(io, start).await?;
    io.report.engines = Some(vec![Engine { id: "e".into(), process: Some("77".into()), ..Engine::default() }]);
    Ok(())
});
plugin!(TwoOfAName, |io, start| {
    look(io, start).await?;
    let model = Model { id: "m".into(), expires_at: Some("tomorrow".into()), ..Model::default() };
    io.report.models = Some(vec![model.clone(), model]);
    Ok(())
});
plugin!(JudgesSilence, |io, _start| {
    let answer = io.request(Request::get("/version", 1000)).await?;
    io.judge(&answer, Outcome::Malformed, "always");
    Ok(())
});
plugin!(Counts, |io, start| {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    look(io, start).await?;
    io.report.version = Some(CALLS.fetch_add(1, Ordering::Relaxed).to_string());
    Ok(())
});
plugin!(Forgets, |io, start| {
    look(io, start).await?;
    let again = io.request(Request::get("/version", 1000)).await?;
    if again.outcome != Outcome::Ok {
        io.report.version = None;
    }
    Ok(())
});
plugin!(ForgetsPhase, |io, start| {
    look(io, start).await?;
    io.report.phase = Some(Phase::Ready);
    let second = io.request(Request::get("/version", 1000)).await?;
    if second.outcome == Outcome::Ok && io.request(Request::get("/version", 1000)).await?.outcome != Outcome::Ok {
        io.report.phase = None;
    }
    Ok(())
});
plugin!(ForgetsSymptom, |io, start| {
    look(io, start).await?;
    let text = io.report.version.take().unwrap_or_default();
    io.report.symptoms.push(Symptom { id: "load_failed".into(), text, model: None, engine: None });
    if io.request(Request::get("/version", 1000)).await?.outcome != Outcome::Ok {
        io.report.symptoms.clear();
    }
    Ok(())
});
plugin!(StrictAboutHosts, |io, start| {
    if start.effects.len() > 4 {
        return Err(Stop::GiveUp("a host of tomorrow".into()));
    }
    look(io, start).await
});
plugin!(AlwaysDone, MANIFEST, |io, start| look(io, start).await, |io, _start| {
    io.report.result = Some(RepairResult::Done);
    Ok(())
});
plugin!(NoResult, MANIFEST, |io, start| look(io, start).await, |_io, _start| Ok(()));

#[test]
fn each_mistake_fails_the_rule_of_its_name() {
    breaks::<Panics>("nothing_panics");
    breaks::<GivesUp>("failures_are_reported");
    breaks::<GivesUp>("unknown_outcomes_are_failures");
    breaks::<OtherRoute>("routes_are_granted");
    breaks::<AsksOn>("deadline_ends_the_session");
    breaks::<AsksOn>("sessions_come_to_an_end");
    breaks::<Invents>("nothing_is_invented");
    breaks::<Invents>("unknown_is_absent_not_empty");
    breaks::<TakesAnyPage>("wrong_content_is_judged");
    breaks::<TakesAnyPage>("liveness_route_goes_in_front");
    breaks::<Works>("probes_ask_for_no_work");
    breaks::<ShortWait>("waits_are_10_ms_or_longer");
    breaks::<Sleeps>("steps_only_compute");
    breaks::<NoTime>("requests_have_a_timeout");
    breaks::<LongHead>("request_bodies_within_limits");
    breaks::<SetsHost>("headers_are_the_plugins_own");
    breaks::<ElsewhereTo>("addresses_are_given");
    breaks::<Unlooked>("inference_without_a_model_is_skipped");
    breaks::<Unlooked>("inference_looks_before_it_asks");
    breaks::<Unlooked>("inference_sends_a_turn_and_a_limit");
    breaks::<StrangeProcess>("engines_name_given_processes");
    breaks::<TwoOfAName>("ids_are_distinct");
    breaks::<TwoOfAName>("expiry_is_a_time");
    breaks::<JudgesSilence>("judged_answers_had_a_status");
    breaks::<Counts>("same_events_same_effects");
    breaks::<Counts>("sessions_do_not_meet");
    breaks::<Forgets>("reports_what_it_has");
    breaks::<ForgetsPhase>("reports_what_it_has");
    breaks::<ForgetsSymptom>("reports_what_it_has");
    breaks::<StrictAboutHosts>("newer_hosts_are_served");
    breaks::<AlwaysDone>("done_only_after_success");
    breaks::<AlwaysDone>("unknown_repair_is_unsupported");
    breaks::<NoResult>("repairs_have_a_result");
}

/// A session of one request loses nothing by a later one: this says nothing about the rule.
#[test]
fn what_was_not_compared_is_not_passed() {
    let rule = Kit::rules().find(|rule| rule.name == "reports_what_it_has").unwrap();
    let of = |table| Kit::new(table).test(rule);
    assert!(matches!(of(table::<TakesAnyPage>()), Verdict::DoesNotApply(_)), "{:?}", of(table::<TakesAnyPage>()));
    assert!(matches!(of(table::<Small>()), Verdict::Passed(_)), "{:?}", of(table::<Small>()));
}

const FLAVOURED: &str = r#"{"contract":"1.0","abi":1,"id":"small","version":"1.0.0","label":"Small",
    "identify":[{"is":"certain","variant":"sour","all":[{"get":"/version","has":["/sour"]}]},
        {"is":"likely","variant":"sour","all":[{"get":"/version","has":["/version"]}]},
        {"is":"possible","variant":"sweet","all":[{"get":"/version","has":["/version"]}]}],
    "probes":{"liveness":{"routes":["GET /version"],"deadline_ms":5000}},
    "repairs":{"unload":{"title":"Unload","routes":["POST /unload"],"deadline_ms":1000,
        "args":{"type":"object","required":["model"],"properties":{"model":{"type":"string"}}}}}}"#;

plugin!(
    BadWhenSweet,
    FLAVOURED,
    |io, start| {
        if start.variant.as_deref() == Some("sweet") {
            io.request(Request::get("/secret", 1000)).await?;
        }
        look(io, start).await
    },
    |io, start| unload(io, start).await
);
plugin!(BadRepairWhenSour, FLAVOURED, |io, start| look(io, start).await, |io, start| {
    match start.variant.as_deref() {
        Some("sour") => Ok(()),
        _ => unload(io, start).await,
    }
});

#[test]
fn each_flavour_of_a_manifest_is_played() {
    breaks::<BadWhenSweet>("routes_are_granted");
    breaks::<BadRepairWhenSour>("repairs_have_a_result");
    let manifest: Manifest = serde_json::from_str(FLAVOURED).unwrap();
    let bases = base::all(&Kit::new(table::<BadWhenSweet>()), &manifest);
    let played: Vec<_> = bases.iter().map(|base| base.start.variant.as_deref()).collect();
    assert_eq!(
        played,
        [None, Some("sour"), Some("sweet"), None, Some("sour"), Some("sweet"), Some("sour"), Some("sour")]
    );
}

macro_rules! manifests {
    ($($name:ident, $rule:literal, $from:literal, $to:literal;)*) => {
        #[test]
        fn each_wrong_manifest_fails_the_rule_of_its_name() {
            $({
                let text: &'static str = Box::leak(MANIFEST.replace($from, $to).into_boxed_str());
                assert_ne!(text, MANIFEST, "nothing was replaced for {}", $rule);
                // SAFETY: only this test reads and writes it.
                let verdict = Kit::new(table_of(text)).test(Kit::rules().find(|rule| rule.name == $rule).unwrap());
                assert!(matches!(verdict, Verdict::Failed { .. }), "{}: {verdict:?}", $rule);
            })*
        }
    };
}

manifests! {
    Form, "manifest_reads", r#""is":"possible""#, r#""is":"surely""#;
    Keys, "manifest_has_known_keys", r#""label""#, r#""Label":1,"label""#;
    Versions, "manifest_versions", r#""contract":"1.0""#, r#""contract":"1.1""#;
    Id, "manifest_id", r#""id":"small""#, r#""id":"Small""#;
    LongLabel, "manifest_id", r#""label":"Small""#, r#""label":"Smaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaall""#;
    Liveness, "manifest_has_liveness", r#""liveness""#, r#""progress""#;
    Deadlines, "manifest_deadlines", "5000", "60001";
    Routes, "manifest_routes", "GET /version", "PUT /version";
    RoutesAscii, "manifest_routes", "GET /version", "GET /versi\u{f6}n";
    RepairNames, "manifest_texts", r#""unload":{"#, r#""un load":{"#;
    Texts, "manifest_texts", r#""label":"Small""#, r#""label":"Sm\u001b[31mall""#;
    TextsTurned, "manifest_texts", r#""title":"Unload""#, r#""title":"Un\u202eload""#;
    Needs, "manifest_needs", r#"["GET /version"]"#, r#"["GET /version","local GET /health"]"#;
    SideEffect, "manifest_side_effect", r#""deadline_ms":5000"#, r#""deadline_ms":5000,"side_effect":"x""#;
    Settings, "manifest_settings", r#""default":1"#, r#""default":"1""#;
    Secrets, "manifest_settings_hold_no_secret", r#""n":{"type":"integer","default":1}"#, r#""api_key":{"type":"string"}"#;
    Identify, "manifest_identify_looks_at_content", r#","has":["/version"]"#, "";
    Repairs, "manifest_repairs", r#""properties":{"model""#, r#""properties":{"name""#;
    Processes, "manifest_processes", r#""label""#, r#""process":{"main":["/usr/bin/x"]},"label""#;
    Start, "manifest_start", r#""label""#, r#""start":[{"argv":["sh","-c","x"]}],"label""#;
    Files, "manifest_files", r#""label""#, r#""files":{"stale":[{"glob":"{tmp}/*","older_s":9}]},"label""#;
    Rivals, "manifest_rivals", r#""label""#, r#""rivals":[{}],"label""#;
}

/// A table whose manifest is `text`, and no session.
fn table_of(text: &'static str) -> &'static AimPlugin {
    static TEXT: std::sync::Mutex<&str> = std::sync::Mutex::new("");
    unsafe extern "C" fn manifest(out: *const AimSink) -> i32 {
        let text = *TEXT.lock().unwrap();
        // SAFETY: the kit passes a sink that is valid during the call.
        unsafe { (*out).put.unwrap()((*out).ctx, text.as_ptr(), text.len()) }
    }
    *TEXT.lock().unwrap() = text;
    Box::leak(Box::new(AimPlugin { manifest: Some(manifest), ..export::table::<Small>() }))
}

#[test]
fn a_wrong_table_is_told_and_nothing_of_it_is_called() {
    let rule = |kit: &Kit, name: &str| kit.test(Kit::rules().find(|rule| rule.name == name).unwrap());
    let wrong_abi = Kit::new(Box::leak(Box::new(AimPlugin { abi: AIM_ABI + 1, ..export::table::<Small>() })));
    assert!(matches!(rule(&wrong_abi, "table_abi"), Verdict::Failed { .. }));
    assert!(matches!(rule(&wrong_abi, "table_size"), Verdict::DoesNotApply(_)));
    assert!(matches!(rule(&wrong_abi, "nothing_panics"), Verdict::DoesNotApply(_)));
    let short = Kit::new(Box::leak(Box::new(AimPlugin { size: 8, ..export::table::<Small>() })));
    assert!(matches!(rule(&short, "table_size"), Verdict::Failed { .. }));
    let missing = Kit::new(Box::leak(Box::new(AimPlugin { step: None, ..export::table::<Small>() })));
    assert!(matches!(rule(&missing, "table_functions"), Verdict::Failed { .. }));
}

/// Functions that break the table's rules.
mod broken {
    use super::*;

    pub(super) unsafe extern "C" fn growing(out: *const AimSink) -> i32 {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let text = format!("{}{}", MANIFEST, " ".repeat(CALLS.fetch_add(1, Ordering::Relaxed) as usize % 50));
        // SAFETY: the kit passes a sink that is valid during the call.
        unsafe { (*out).put.unwrap()((*out).ctx, text.as_ptr(), text.len()) };
        AIM_OK
    }

    pub(super) unsafe extern "C" fn anything(_: *const c_char) -> *const c_void {
        std::ptr::dangling()
    }

    pub(super) unsafe extern "C" fn no_json(_: *mut c_void, _: *const u8, _: usize, out: *const AimSink) -> i32 {
        // SAFETY: the kit passes a sink that is valid during the call.
        unsafe { (*out).put.unwrap()((*out).ctx, b"\xff{".as_ptr(), 2) };
        AIM_OK
    }
}

#[test]
fn functions_that_break_the_rules_are_told() {
    let fails = |table: AimPlugin, name: &str| {
        let kit = Kit::new(Box::leak(Box::new(table)));
        let verdict = kit.test(Kit::rules().find(|rule| rule.name == name).unwrap());
        assert!(matches!(verdict, Verdict::Failed { .. }), "{name}: {verdict:?}");
    };
    fails(AimPlugin { manifest: Some(broken::growing), ..export::table::<Small>() }, "manifest_is_always_the_same");
    fails(AimPlugin { manifest: Some(broken::growing), ..export::table::<Small>() }, "manifest_heeds_the_limit");
    fails(AimPlugin { extension: Some(broken::anything), ..export::table::<Small>() }, "extension_answers_null");
    fails(AimPlugin { step: Some(broken::no_json), ..export::table::<Small>() }, "effects_are_readable");
    fails(AimPlugin { step: Some(broken::no_json), ..export::table::<Small>() }, "step_heeds_the_limit");
    fails(AimPlugin { step: Some(broken::no_json), ..export::table::<Small>() }, "fuzzed_sessions_keep_the_rules");
}

#[test]
fn a_failure_is_told_as_a_session_that_replays() {
    let rule = Kit::rules().find(|rule| rule.name == "nothing_panics").unwrap();
    let table = table::<Panics>();
    let Verdict::Failed { session: Some(session), .. } = Kit::new(table).test(rule) else { panic!("it passed") };
    let read = Recording::parse(&session.to_text()).unwrap();
    let mut live = drive::Live::new(table).unwrap();
    read.replay(|event| match live.step(event) {
        stepped if stepped.code == AIM_OK => crate::recording::Said::Effect(stepped.out.text()),
        stepped => {
            let (how, text) = stepped.ended_badly().unwrap();
            crate::recording::Said::Failed { how: how.into(), text }
        }
    })
    .unwrap();
}

/// As a plugin is that a beginner writes: it looks whether the answer is its backend's, and beyond that trusts it.
const TOY: &str = r#"{"contract":"1.0","abi":1,"id":"toy","version":"1.0.0","label":"Toy",
    "identify":[{"is":"certain","all":[{"get":"/health","contains":"toy "}]}],
    "probes":{"liveness":{"routes":["GET /health"],"deadline_ms":5000},
        "readiness":{"routes":["GET /health","GET /models"],"deadline_ms":5000}}}"#;

/// The version behind `toy `, as it may be taken.
async fn toy(io: &mut Io) -> Result<String, Stop> {
    let answer = io.request(Request::get("/health", 1000).of(Depth::Liveness)).await?;
    if answer.outcome != Outcome::Ok {
        return Err(Stop::Enough);
    }
    match answer.body.as_deref().and_then(|body| body.strip_prefix("toy ")) {
        Some(version) => Ok(version.to_owned()),
        None => {
            io.judge(&answer, Outcome::Foreign, "it does not begin with `toy`");
            Err(Stop::Enough)
        }
    }
}

plugin!(
    TrustsBehindTheText,
    TOY,
    |io, start| {
        let _ = start;
        let version = toy(io).await?;
        io.report.version = Some(version.split('.').nth(2).expect("three parts").to_owned());
        Ok(())
    },
    |io, start| unload(io, start).await
);

#[test]
fn what_the_manifest_identifies_by_leads_behind_the_first_check() {
    breaks::<TrustsBehindTheText>("nothing_panics");
    breaks::<TrustsBehindTheText>("fuzzed_sessions_keep_the_rules");
}

/// Its first checks are nothing that the manifest tells of.
struct TrustsAKey;
impl Plugin for TrustsAKey {
    const MANIFEST: &'static str = r#"{"contract":"1.0","abi":1,"id":"toy","version":"1.0.0","label":"Toy",
        "probes":{"liveness":{"routes":["GET /health"],"deadline_ms":5000},
            "readiness":{"routes":["GET /health","GET /models"],"deadline_ms":5000}}}"#;
    async fn probe(io: &mut Io, start: &Start) -> Result<(), Stop> {
        io.report.version = Some(toy(io).await?);
        let SessionKind::Probe { depth: Depth::Readiness, .. } = &start.session else { return Ok(()) };
        let answer = io.request(Request::get("/models", 1000)).await?;
        let body = serde_json::from_str::<Value>(answer.body.as_deref().unwrap_or_default()).unwrap_or_default();
        if body["kind"] != "toys" {
            io.judge_if_it_has_a_status(&answer);
            return Err(Stop::Enough);
        }
        // One key of one row, behind checks of all else.
        let Some(rows) = body["rows"].as_array() else { return Err(Stop::Enough) };
        for row in rows {
            if row["name"].is_string()
                && row["size"].as_object().is_some_and(|size| !size["unit"].as_str().unwrap().is_empty())
            {
                io.report.phase = Some(Phase::Ready);
            }
        }
        Ok(())
    }
}

trait JudgeIt {
    fn judge_if_it_has_a_status(&mut self, answer: &crate::event::Response);
}

impl JudgeIt for Io {
    fn judge_if_it_has_a_status(&mut self, answer: &crate::event::Response) {
        if answer.outcome == Outcome::Ok {
            self.judge(answer, Outcome::Foreign, "no toys");
        }
    }
}

/// What a toy said once.
fn toys() -> Recording {
    let models = json!({"kind": "toys", "rows": [{"name": "bear", "size": {"unit": "MB"}}]}).to_string();
    said(Depth::Readiness, &["toy 0.3.1\n", &models])
}

fn said(depth: Depth, answers: &[&str]) -> Recording {
    let start = Start::new(SessionKind::Probe { depth, inference: None }, 5000, base::NOW);
    let mut answers = answers.iter().copied();
    let mut live = drive::Live::new(table::<TrustsAKey>()).unwrap();
    let mut event = Event::Start(start);
    let mut steps = Vec::new();
    loop {
        let text = serde_json::to_string(&event).unwrap();
        let said = live.step(&text).out.text();
        steps.push(crate::recording::Step { event: text, said: crate::recording::Said::Effect(said) });
        let Some(body) = answers.next() else { break };
        let mut response = base::response(Outcome::Ok, Some(200), Some(body.into()));
        response.request = steps.len() as u32 - 1;
        event = Event::Response(response);
    }
    Recording { header: None, steps }
}

#[test]
fn each_key_of_a_recorded_answer_is_missing_once_behind_every_check() {
    let rule = |name: &str| Kit::rules().find(|rule| rule.name == name).unwrap();
    let alone = Kit::new(table::<TrustsAKey>());
    assert!(matches!(alone.test(rule("nothing_panics")), Verdict::Passed(_)), "the recording is needed for it");
    let given = Kit::new(table::<TrustsAKey>()).recordings([toys()]);
    let Verdict::Failed { why, .. } = given.test(rule("nothing_panics")) else { panic!("it passed") };
    assert!(why.contains("in its answer `/rows/0/size"), "{why}");
    let fuzzed = given.test(rule("fuzzed_sessions_keep_the_rules"));
    assert!(matches!(fuzzed, Verdict::Failed { .. }), "{fuzzed:?}");
}

#[test]
fn where_the_kits_answers_do_not_lead_is_told() {
    let rule = Kit::rules().find(|rule| rule.name == REACH).unwrap();
    let told = |kit: Kit| match kit.test(rule) {
        Verdict::DoesNotApply(text) => text,
        other => panic!("{other:?}"),
    };
    let text = told(Kit::new(table::<TrustsAKey>()));
    for part in [
        "no recording of the real server was given",
        "liveness: `GET /health` was judged foreign (not recorded)",
        "readiness: it never asked for `GET /models`; `GET /health` was judged foreign",
        "--record FILE",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    // A recording of readiness says nothing to liveness as long as the kit does not know its answers there.
    let text = told(Kit::new(table::<TrustsAKey>()).recordings([toys()]));
    assert!(text.contains("1 recording was given") && !text.contains("readiness"), "{text}");
    assert!(matches!(Kit::new(table::<Small>()).test(rule), Verdict::Passed(_)));
}

#[test]
fn what_the_recordings_alone_do_not_lead_to_fails_where_they_must() {
    let kit = |recordings: Vec<Recording>| Kit::new(table::<TrustsAKey>()).recordings(recordings);
    let unled = |recordings| reach::by_recordings(&kit(recordings));
    let alive = || said(Depth::Liveness, &["toy 0.3.1\n"]);
    assert_eq!(unled(vec![alive(), toys()]), Vec::<String>::new());
    assert_eq!(
        unled(vec![toys()]),
        ["liveness: it never asked for `GET /health`; it never came to a good end (not recorded)"]
    );
    let others = said(Depth::Readiness, &["toy 0.3.1\n", "{}"]);
    assert_eq!(unled(vec![alive(), others]), ["readiness: `GET /models` was judged foreign"]);
    // A good end by another way does not make up for it.
    let failed = |kit: Kit| {
        let failed = std::panic::catch_unwind(|| kit.recordings_lead_everywhere().assert()).expect_err("it passed");
        *failed.downcast::<String>().expect("a text")
    };
    let text = failed(Kit::new(table::<Small>()));
    assert!(text.contains("give the kit one of each") && text.contains("liveness: it never asked for"), "{text}");
}

/// As most sessions of inference are kept: the last line is there, and the plugin did not ask for what follows.
#[test]
fn a_recorded_stream_is_played_without_its_end_too() {
    let request = Request { stream: true, ..Request::get("/chat", 1000) };
    let mut recording = said(Depth::Liveness, &[]);
    recording.steps[0].said = Said::Effect(serde_json::to_string(&Effect::Request(request.clone())).unwrap());
    let head = base::response(Outcome::Ok, Some(200), None);
    let read = || Said::Effect(r#"{"effect":"read"}"#.into());
    recording.push(&Event::Response(head), read());
    recording.push(&Event::Line(Line { ms: 7, line: "data: [DONE]".into() }), read());
    let base = base::recorded(&recording, 0).unwrap();
    let answer = base.answer(&request, 0);
    assert_eq!(answer.lines.len(), 1);
    assert_eq!(answer.end, Some(End { ms: 7, outcome: Outcome::Ok, at: None }));
}
