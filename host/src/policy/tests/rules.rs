//! Phases, registration, acts, the incident, settings, helpers: what each rule says when it is broken.

use super::*;
use crate::policy::Why;

#[test]
fn a_ladder_is_run_act_by_act_with_its_lines() {
    let mut run = start(
        "function heal.stalled(incident)\n  act.reload {}\n  act.restart { grace = 5, because = \"still\" }\n  give_up \"no\"\nend",
    )
    .unwrap();
    let entered = run.enter(FaultClass::Stalled).unwrap();
    assert_eq!((entered.file.as_str(), entered.why), ("mine.lua", Why::Own));
    let call = act(run.resume(&stalled(), None));
    assert_eq!((call.sentence().as_str(), call.line.as_str()), ("reload", "mine.lua:3"));
    let call = act(run.resume(&stalled(), Some(&Outcome::new("still_loaded", ""))));
    assert_eq!((call.sentence().as_str(), call.line.as_str()), ("restart{grace=5}", "mine.lua:4"));
    assert_eq!(call.because.as_deref(), Some("still"));
    let end = run.resume(&stalled(), Some(&Outcome::new("ignored", "")));
    assert_eq!(end, Step::GiveUp { reason: "no".into(), line: "mine.lua:5".into() });
}

#[test]
fn a_function_that_ends_is_an_end_and_nothing_more_comes() {
    let mut run = start("function heal.stalled() end").unwrap();
    run.enter(FaultClass::Stalled).unwrap();
    assert_eq!(run.resume(&stalled(), None), Step::End);
    assert!(matches!(run.resume(&stalled(), None), Step::Failed { .. }));
}

#[test]
fn nothing_runs_after_an_ending_not_even_inside_pcall() {
    let step = first_step("pcall(function() leave \"enough\" end)\nact.restart {}");
    assert_eq!(step, Step::Leave { reason: "enough".into(), line: "mine.lua:3".into() });
}

#[test]
fn the_ladder_is_its_own_else_any_else_the_defaults() {
    let mut run = start("function heal.any() act.cancel {} end\nheal.dead = heal.any").unwrap();
    assert_eq!(run.enter(FaultClass::Dead).unwrap().why, Why::Own);
    assert_eq!(run.enter(FaultClass::Stalled).unwrap().why, Why::Any);
    let mut run = start("function heal.dead() end").unwrap();
    let entered = run.enter(FaultClass::Stalled).unwrap();
    assert_eq!((entered.file.as_str(), entered.why), ("default.lua", Why::Default));
    assert_eq!(act(run.resume(&stalled(), None)).act, "cancel");
    assert!(matches!(run.enter(FaultClass::SelfInflicted), Err(PolicyError::NoLadder { .. })));
}

#[test]
fn the_debug_part_is_that_of_the_file_whose_ladder_ended() {
    let mut run = start("function heal.dead() end").unwrap();
    run.enter(FaultClass::Dead).unwrap();
    assert_eq!(run.enter_debug().unwrap(), None);
    run.enter(FaultClass::Stalled).unwrap();
    assert_eq!(run.enter_debug().unwrap().unwrap().file, "default.lua");
    let mut run = start("function heal.dead() end\nfunction heal.debug() act.reap {} end").unwrap();
    run.enter(FaultClass::Dead).unwrap();
    assert_eq!(run.enter_debug().unwrap().unwrap().file, "mine.lua");
    assert_eq!(act(run.resume(&stalled(), None)).act, "reap");
}

#[test]
fn loading_says_what_is_wrong_and_where() {
    for (text, said) in [
        ("function heal.stuck() end", "mine.lua:2: there is no fault class 'stuck'; did you mean 'stuck_state'?"),
        ("function heal.busy() end", "mine.lua:2: heal.busy: that is a state, not a fault; nothing is to be mended"),
        ("heal.self_inflicted = function() end", "mine.lua:2: heal.self_inflicted: the host alone deals with"),
        ("function heal.dead() end\nfunction heal.dead() end", "mine.lua:3: heal.dead is registered twice"),
        ("heal.dead = 5", "mine.lua:2: heal.dead: a ladder is a function, not the number 5"),
        ("heal.dead = heal.stalled", "mine.lua:2: heal.dead: a ladder is a function, not nil"),
        ("act.restart {}", "mine.lua:2: act.restart: acts are asked inside of ladders"),
        ("leave \"x\"", "mine.lua:2: leave belongs into a ladder"),
        ("policy { api = 1, about = \"again\" }", "mine.lua:2: policy { … } is called twice"),
        ("helper = function() end", "mine.lua:2: 'helper' is not declared: write `local function helper(…)`"),
        ("n = 3", "mine.lua:2: 'n' is not declared: write `local n = …`"),
        ("log = 3", "mine.lua:2: 'log' is a word of the host's"),
        (
            "local x = os.time()",
            "mine.lua:2: there is no 'os' in a policy: it has no files, no clock, no network; acts are all it can do",
        ),
        ("print \"x\"", "mine.lua:2: there is no 'print' in a policy: write log \"…\""),
        ("restart {}", "mine.lua:2: there is no 'restart' here: write act.restart {}"),
        ("local x = incident.model", "mine.lua:2: 'incident' is what a ladder is called with"),
        ("local x = setings.grace", "mine.lua:2: there is no variable 'setings'; did you mean 'settings'?"),
        ("local x = settings.grece", "mine.lua:2: this file has no setting 'grece'; did you mean 'grace'?"),
        ("require \"../etc/passwd\"", "mine.lua:2: require \"../etc/passwd\": a name has lower-case letters"),
        ("require \"nothing\"", "mine.lua:2: the sources of policy 'mine' lack nothing.lua"),
        ("local x = = 3", "mine.lua:2: Expected identifier when parsing expression, got '='"),
        ("local x = nil + 1", "mine.lua:2: attempt to perform arithmetic (add) on nil and number"),
        ("local x = ('x'):rep({})", "mine.lua:2: invalid argument #2 to 'rep' (number expected, got table)"),
        ("local x = math.random()", "mine.lua:2: there is no 'math.random' in a policy: it has no randomness"),
        ("settings.grace = 3", "mine.lua:2: 'settings' is read-only"),
        ("act.restart = nil", "mine.lua:2: 'act' is read-only"),
        ("string.rep = nil", "mine.lua:2: attempt to modify a readonly table"),
        ("error(\"mine\")", "mine.lua:2: mine"),
    ] {
        let error = load_error(text);
        assert!(error.starts_with(said), "{text}\n  said {error}\n  not  {said}");
    }
}

#[test]
fn the_policy_call_is_required_and_checked() {
    for (text, said) in [
        ("function heal.dead() end", "mine.lua: policy { api = 1, about = \"…\" } is missing"),
        (
            "policy { api = 2, about = \"x\" }",
            "mine.lua:1: policy: this monitor runs api 1, and the file asks for api 2",
        ),
        ("policy { about = \"x\" }", "mine.lua:1: policy needs api = 1"),
        ("policy { api = 1 }", "mine.lua:1: policy needs about"),
        ("policy { api = 1, abuot = \"x\" }", "mine.lua:1: policy has no field 'abuot'; did you mean 'about'?"),
        ("policy(1)", "mine.lua:1: write policy { api = 1"),
        (
            "policy { api = 1, about = \"x\", settings = { grace = 3 } }",
            "mine.lua:1: policy: the setting 'grace' is every policy's already",
        ),
        ("policy { api = 1, about = \"x\", settings = { f = print } }", "mine.lua:1: there is no 'print'"),
        (
            "policy { api = 1, about = \"x\", settings = { f = tostring } }",
            "mine.lua:1: policy: the default of 'f' must be",
        ),
    ] {
        let sources = PolicySources::from_texts("mine", &[("mine.lua", text)]);
        let error = PolicyRun::start(&sources, Value::Null).unwrap_err().to_string();
        assert!(error.starts_with(said), "{text}\n  said {error}\n  not  {said}");
    }
}

#[test]
fn running_says_what_is_wrong_and_where() {
    for (body, said) in [
        ("act.kill {}", "mine.lua:3: there is no act 'kill': no policy can leave a target down"),
        ("act.verify {}", "mine.lua:3: there is no act 'verify': the host looks again"),
        ("act.restrat {}", "mine.lua:3: there is no act 'restrat'; did you mean 'restart'?"),
        ("act.restart { grase = 5 }", "mine.lua:3: act.restart has no argument 'grase'; did you mean 'grace'?"),
        (
            "act.restart { grace = \"5\" }",
            "mine.lua:3: act.restart: grace is a number of seconds (5, or 2 * minute), not the text \"5\"",
        ),
        (
            "act.restart { grace = -1 }",
            "mine.lua:3: act.restart: grace is a number of seconds from 0 to a year, not -1.0",
        ),
        (
            "act.restart { grace = 0/0 }",
            "mine.lua:3: act.restart: grace is a number of seconds from 0 to a year, not NaN",
        ),
        (
            "act.wait { seconds = math.huge }",
            "mine.lua:3: act.wait: seconds is a number of seconds from 0 to a year, not inf",
        ),
        ("act.restart { force = 1 }", "mine.lua:3: act.restart: force is true or false, not the number 1"),
        ("act.restart(5)", "mine.lua:3: act.restart takes named arguments in braces: act.restart { grace = 5 }"),
        ("act.restart { 5 }", "mine.lua:3: act.restart takes no arguments by position"),
        ("act.notify {}", "mine.lua:3: act.notify needs text"),
        (
            "act.notify { text = \"x\", level = \"loud\" }",
            "mine.lua:3: act.notify: level is \"info\", \"warn\" or \"urgent\", not \"loud\"",
        ),
        ("act.notify { text = (\"x\"):rep(5000) }", "mine.lua:3: act.notify: text has 5000 bytes"),
        ("act.notify { text = \"\\xff\" }", "mine.lua:3: act.notify: text is no UTF-8 text"),
        ("act.wait { seconds = 1, window = true }", "mine.lua:3: act.wait waits for seconds or for the window"),
        ("give_up()", "mine.lua:3: give_up wants a reason: give_up \"…\""),
        ("leave \"\"", "mine.lua:3: leave wants a reason"),
        ("heal.dead = function() end", "mine.lua:3: heal.dead: ladders are registered at the top level"),
        ("policy { api = 1, about = \"x\" }", "mine.lua:3: policy { … } belongs to the top level"),
        ("require \"default\"", "mine.lua:3: require \"default\" belongs to the top level"),
        ("local x = incident.modell", "mine.lua:3: incident has no field 'modell'; did you mean 'model'?"),
        ("local x = incident.target.nam", "mine.lua:3: incident.target has no field 'nam'; did you mean 'name'?"),
        ("local x = incident.evidence.flat", "mine.lua:3: incident.evidence has no field 'flat'"),
        (
            "local x = incident.models[1].stat",
            "mine.lua:3: incident.models[i] has no field 'stat'; did you mean 'state'?",
        ),
        ("incident.model = nil", "mine.lua:3: attempt to modify a readonly table"),
        ("incident.models[1] = nil", "mine.lua:3: attempt to modify a readonly table"),
        ("incident.target.name = \"x\"", "mine.lua:3: attempt to modify a readonly table"),
        ("table.insert(incident.models, 1)", "mine.lua:3: attempt to modify a readonly table"),
        (
            "count(incident.past, { actt = \"x\" })",
            "mine.lua:3: count: entries have no field 'actt'; did you mean 'act'?",
        ),
        ("count(incident.past, { within = \"1h\" })", "mine.lua:3: count: within is a number of seconds"),
        ("count(incident.past)", "mine.lua:3: count wants a list and what to count"),
        ("log(5)", "mine.lua:3: log wants one text, not the number 5"),
        ("log(tostring({}))", "mine.lua:3: a table has no text"),
        ("log(`{incident}`)", "mine.lua:3: a table has no text"),
        ("log((\"%s\"):format(print))", "mine.lua:3: there is no 'print'"),
        ("for k in pairs({ [{}] = 1 }) do end", "mine.lua:3: a table is a key here, and such keys have no fixed order"),
        ("for k in pairs(nil) do end", "mine.lua:3: pairs goes through a table, not through nil"),
        ("error({})", "mine.lua:3: an error was raised that is a table, not a text"),
        ("local x = nil; x.y = 1", "mine.lua:3: attempt to index nil with 'y'"),
        ("local function f() return f() end f()", "mine.lua:3: stack overflow"),
    ] {
        let error = run_error(body);
        assert!(error.starts_with(said), "{body}\n  said {error}\n  not  {said}");
        assert!(!error.contains('\n'), "one line: {error}");
    }
}

#[test]
fn an_outcome_is_read_by_its_fields_alone() {
    let ladder = "function heal.stalled()\nlocal o = act.restart {}\nlog(o.result .. tostring(o.ok) .. o.took .. o.by .. o.step .. o.detail)\nlog(tostring(act.cancel {}.by))\nreturn o.reslt\nend";
    let mut run = start(ladder).unwrap();
    run.enter(FaultClass::Stalled).unwrap();
    act(run.resume(&stalled(), None));
    let outcome = Outcome {
        took: std::time::Duration::from_millis(1500),
        step: Some("kill".into()),
        ..Outcome::refused("budget", "none left")
    };
    act(run.resume(&stalled(), Some(&outcome)));
    let end = run.resume(&stalled(), Some(&Outcome::done("")));
    let Step::Failed { error } = end else { panic!("{end:?}") };
    assert!(
        error.starts_with("mine.lua:6: the outcome of an act has no field 'reslt'; did you mean 'result'?"),
        "{error}"
    );
    let logs: Vec<String> = run.take_logs().into_iter().map(|(text, line)| format!("{line} {text}")).collect();
    assert_eq!(logs, ["mine.lua:4 refusedfalse1.5budgetkillnone left", "mine.lua:5 nil"]);
}

#[test]
fn the_incident_is_brought_up_to_date_in_place() {
    let mut run = start(
        "function heal.stalled(i)\nlocal e, models = i.evidence, i.models\nlog(e.flat_for .. tostring(i.process ~= nil))\nact.cancel {}\nlog(e.flat_for .. tostring(i.process ~= nil) .. #i.models .. #models)\nend",
    )
    .unwrap();
    run.enter(FaultClass::Stalled).unwrap();
    act(run.resume(&stalled(), None));
    let mut later = stalled();
    later["evidence"]["flat_for"] = json!(42);
    later["models"] = json!([]);
    later.as_object_mut().unwrap().remove("process");
    assert_eq!(run.resume(&later, Some(&Outcome::new("nothing", ""))), Step::End);
    let logs: Vec<String> = run.take_logs().into_iter().map(|(text, _)| text).collect();
    assert_eq!(logs, ["1true", "42false01"]);
}

#[test]
fn facts_of_another_class_are_absent_not_errors() {
    assert_eq!(
        first_step("if incident.evidence.oom == nil and incident.evidence.flat_for then leave \"ok\" end"),
        Step::Leave { reason: "ok".into(), line: "mine.lua:3".into() }
    );
}

#[test]
fn count_takes_equal_fields_and_age() {
    let mut incident = stalled();
    incident["past"] = json!([
        { "fault": "stalled", "ended": "healed", "by": "restart", "ago": 600, "took": 3 },
        { "fault": "stalled", "ended": "healed", "by": "reload", "ago": 700, "took": 3 },
        { "fault": "stalled", "ended": "left", "ago": 9000, "took": 3 },
    ]);
    let body = "function heal.stalled(i) log(count(i.past, { fault = \"stalled\" }) .. \" \" .. count(i.past, { fault = \"stalled\", within = 1 * hour }) .. \" \" .. count(i.past, { by = \"restart\" }) .. \" \" .. count(i.tried, { act = \"restart\" })) end";
    let mut run = start(body).unwrap();
    run.enter(FaultClass::Stalled).unwrap();
    assert_eq!(run.resume(&incident, None), Step::End);
    assert_eq!(run.take_logs()[0].0, "3 2 1 0");
}

#[test]
fn settings_have_the_type_of_their_default() {
    let text = "policy { api = 1, about = \"x\", settings = { idle = 30 * minute, name = \"a\", list = { \"p\" }, on = false } }\nfunction heal.stalled() log(settings.idle .. settings.name .. settings.list[1] .. tostring(settings.on) .. settings.grace .. settings.attempts) end";
    let sources = PolicySources::from_texts("mine", &[("mine.lua", text)]);
    for (given, said) in [
        (json!({}), "1800apfalse103"),
        (
            json!({ "idle": "1h 30m", "name": "b", "list": ["q", "r"], "on": true, "grace": 2.5, "attempts": 1, "other": 3 }),
            "5400bqtrue2.51",
        ),
        (json!({ "idle": "soon", "name": 3 }), "1800apfalse103"),
    ] {
        let mut run = PolicyRun::start(&sources, given).unwrap();
        run.enter(FaultClass::Stalled).unwrap();
        assert_eq!(run.resume(&stalled(), None), Step::End);
        assert_eq!(run.take_logs()[0].0, said);
    }
}

#[test]
fn required_files_give_what_they_return_and_policies_give_ladders() {
    let main = "local tools = require \"tools\"\nlocal default = require \"default\"\npolicy { api = 1, about = \"x\" }\nfunction heal.stalled(i) log(tools.word .. tostring(require ~= nil)) default.stalled(i) end\nfunction heal.dead() default.stuck(1) end";
    let sources = PolicySources::from_texts(
        "mine",
        &[("mine.lua", main), ("tools.lua", "return { word = settings.grace .. \"!\" }")],
    );
    let mut run = PolicyRun::start(&sources, json!({})).unwrap();
    assert_eq!(run.enter(FaultClass::Stalled).unwrap().file, "mine.lua");
    let call = act(run.resume(&stalled(), None));
    assert_eq!((call.act.as_str(), &call.line[..12]), ("cancel", "default.lua:"));
    assert_eq!(run.take_logs()[0].0, "10!true");
    run.enter(FaultClass::Dead).unwrap();
    let step = run.resume(&stalled(), None);
    let Step::Failed { error } = step else { panic!("{step:?}") };
    assert!(error.starts_with("mine.lua:5: there is no fault class 'stuck'; did you mean"), "{error}");
}

#[test]
fn a_circle_a_library_without_value_and_an_error_in_a_required_file_are_named() {
    let run = |files: &[(&str, &str)]| {
        PolicyRun::start(&PolicySources::from_texts("a", files), json!({})).unwrap_err().to_string()
    };
    let circle = run(&[("a.lua", "require \"b\""), ("b.lua", "local x = 1\nrequire \"a\"")]);
    assert_eq!(circle, "b.lua:2: require \"a\" closes a circle: a.lua → b.lua → a.lua");
    let nothing = run(&[("a.lua", "require \"b\""), ("b.lua", "local x = 1")]);
    assert_eq!(nothing, "a.lua:1: b.lua: it is required, but neither returns anything nor is a policy");
    let broken = run(&[("a.lua", "require \"b\""), ("b.lua", "local x = 1\n\nreturn x.y.z")]);
    assert_eq!(broken, "b.lua:3: attempt to index number with 'y'");
    let syntax = run(&[("a.lua", "require \"b\""), ("b.lua", "\nlocal = 1")]);
    assert!(syntax.starts_with("b.lua:2: Expected identifier"), "{syntax}");
}

#[test]
fn every_incident_begins_afresh() {
    let text = "local n = 0\nfunction heal.stalled() n += 1 log(tostring(n)) end";
    for _ in 0..2 {
        let mut run = start(text).unwrap();
        run.enter(FaultClass::Stalled).unwrap();
        run.resume(&stalled(), None);
        assert_eq!(run.take_logs()[0].0, "1");
    }
}

#[test]
fn acts_and_endings_take_the_line_of_the_policy_through_pcall_and_helpers() {
    let mut run = start(
        "local function go()\n  act.cancel {}\nend\nfunction heal.stalled()\n  pcall(act.reload, {})\n  go()\nend",
    )
    .unwrap();
    run.enter(FaultClass::Stalled).unwrap();
    assert_eq!(act(run.resume(&stalled(), None)).line, "mine.lua:6");
    assert_eq!(act(run.resume(&stalled(), Some(&Outcome::done("")))).line, "mine.lua:3");
}

#[test]
fn pcall_sees_ordinary_errors_as_texts() {
    let mut run = start(
        "function heal.stalled()\nlocal ok, why = pcall(function() act.restart { grase = 1 } end)\nlog(tostring(ok) .. \" \" .. type(why) .. \" \" .. why)\nact.cancel {}\nend",
    )
    .unwrap();
    run.enter(FaultClass::Stalled).unwrap();
    assert_eq!(act(run.resume(&stalled(), None)).act, "cancel");
    let (told, _) = run.take_logs().remove(0);
    assert!(told.starts_with("false string ") && told.contains("did you mean 'grace'?"), "{told}");
}

#[test]
fn logs_are_cut_counted_and_dropped() {
    let mut run = start("function heal.stalled() log((\"ä\"):rep(2000)) for i = 1, 150 do log(\"x\") end end").unwrap();
    run.enter(FaultClass::Stalled).unwrap();
    assert_eq!(run.resume(&stalled(), None), Step::End);
    let logs = run.take_logs();
    assert_eq!((logs.len(), run.dropped_logs()), (100, 51));
    assert!(logs[0].0.len() <= 1024 && logs[0].0.ends_with('…'));
    assert!(run.take_logs().is_empty());
}

#[test]
fn every_word_is_there() {
    for word in crate::policy::host::WORDS {
        assert_eq!(
            load_error(&format!("error(type({word}) == \"nil\" and \"no\" or \"yes\")")),
            "mine.lua:2: yes",
            "{word}"
        );
    }
}

#[test]
fn a_run_can_be_sent_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<PolicyRun>();
}

#[test]
fn the_same_incident_and_outcomes_give_the_same_steps() {
    let text = "function heal.any(i)\nlocal words = {}\nfor k, v in pairs({ a = 1, b = 2, c = 3, d = 4, e = 5, [1] = 6, [2.5] = 7, [true] = 8 }) do table.insert(words, tostring(k) .. v) end\nfor k in { x = 1, y = 2, z = 3 } do table.insert(words, k) end\nlog(table.concat(words, \" \"))\nfor _, w in words do act.wait { seconds = #w, because = w } end\nend";
    let run = |text: &str| {
        let mut run = start(text).unwrap();
        let through = run_through(&mut run, FaultClass::Stalled, "done");
        (through, run.take_logs())
    };
    let first = run(text);
    for _ in 0..10 {
        assert_eq!(run(text), first);
    }
}

#[tokio::test]
async fn a_watched_resume_gives_the_run_back() {
    let mut run =
        crate::policy::start_watched(sources("function heal.stalled() act.cancel {} end"), json!({})).await.unwrap();
    run.enter(FaultClass::Stalled).unwrap();
    let (run, step) = crate::policy::resume_watched(run, stalled(), None).await;
    assert_eq!(act(step).act, "cancel");
    let (run, step) = crate::policy::resume_watched(run.unwrap(), stalled(), Some(Outcome::done(""))).await;
    assert_eq!((run.is_some(), step), (true, Step::End));
}

#[test]
fn the_view_serializes_to_exactly_the_table_of_fields() {
    use crate::{
        health::fault::{Evidence, EvidenceLine},
        policy::{incident_shape::deviations, view::*},
    };
    let evidence = Evidence {
        since: jiff::Timestamp::UNIX_EPOCH,
        failures: 2,
        depth: ai_monitor_plugin_api::event::Depth::Progress,
        also: vec![FaultClass::Erring],
        symptoms: vec!["queue_full".into()],
        lines: vec![EvidenceLine { from: "cpu".into(), text: "flat".into() }],
        facts: json!({ "in_flight": 1, "flat_for": 41.5, "own_request": false }).as_object().cloned().unwrap(),
    };
    let utc = jiff::Timestamp::UNIX_EPOCH.to_zoned_datetime(jiff::tz::TimeZone::UTC);
    let mut view = IncidentView {
        id: "17".into(),
        fault: "stalled".into(),
        model: Some("m".into()),
        target: TargetView {
            name: "t".into(),
            backend: "ollama".into(),
            tags: vec!["gpu".into()],
            interval: 30.0,
            owner: "child",
        },
        evidence: EvidenceView::from(&evidence),
        models: vec![ModelView {
            id: "m".into(),
            aliases: vec![],
            state: "loaded".into(),
            size_bytes: Some(1),
            gpu_bytes: None,
            idle: Some(2.0),
        }],
        process: Some(ProcessView { uptime: 5.0, memory: 7 }),
        vitals: VitalsView {
            memory_free: 1,
            gpus: vec![GpuView { name: "g".into(), memory_free: 1, memory_total: 2 }],
        },
        time: TimeView::at(&utc, jiff::Timestamp::UNIX_EPOCH, false),
        tried: vec![TriedView {
            act: "reload".into(),
            result: "refused".into(),
            by: Some("budget".into()),
            fault: "stalled".into(),
            ago: 1.0,
            took: 0.0,
        }],
        past: vec![PastView {
            fault: "dead".into(),
            ended: "healed".into(),
            by: Some("start".into()),
            ago: 9.0,
            took: 1.0,
        }],
        left: LeftView { starts: 1, repairs: 2, acts: 3 },
        upstream: vec![UpstreamView { name: "u".into(), state: "online".into(), uptime: None }],
    };
    let value = view.to_value();
    assert_eq!(deviations(&value), Vec::<String>::new());
    assert_eq!(
        (value["time"]["weekday"].as_u64(), value["time"]["hour"].as_u64()),
        (Some(4), Some(0)),
        "1970 began on a Thursday"
    );
    view.evidence.facts.insert("flat".into(), json!(1));
    view.evidence.facts.insert("in_flight".into(), json!("many"));
    view.evidence.facts.remove("own_request");
    assert_eq!(
        deviations(&view.to_value()),
        [
            "incident.evidence.in_flight is \"many\": not of its type",
            "incident.evidence.own_request is missing",
            "incident.evidence.flat is not in the table of fields",
        ]
    );
}
