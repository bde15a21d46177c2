//! A plugin in Rust, driven through its C table as a host would.

use std::{
    ffi::c_void,
    future::{pending, ready},
    ptr,
};

use ai_monitor_plugin_api::{
    Io, Next, Plugin, Stop,
    effect::Request,
    event::{Depth, Event, Outcome, SessionKind, Start},
    export_plugin,
    table::{AIM_ERROR, AIM_OK, AIM_PANIC, AimPlugin, AimSink},
    testing::Session,
};

/// Does what its setting `do` says.
struct Puppet;

impl Plugin for Puppet {
    const MANIFEST: &'static str = r#"{"id":"puppet"}"#;

    async fn probe(io: &mut Io, start: &Start) -> Result<(), Stop> {
        match start.settings["do"].as_str().unwrap_or_default() {
            "ask" => {
                let answer = io.request(Request::get("/version", 1000)).await?;
                io.report.version = answer.body;
                io.wait(20, Some("a breath".into())).await?;
                let head = io.request(Request::get("/lines", 1000).streamed()).await?;
                if head.outcome != Outcome::Ok {
                    return Err(Stop::Enough);
                }
                while let Next::Line(_) = io.read().await? {}
                Ok(())
            }
            "panic" => {
                let answer = io.request(Request::get("/", 1000)).await?;
                panic!("no {}", answer.body.unwrap_or_default());
            }
            "give up" => Err(Stop::GiveUp("out of ideas".into())),
            "await nothing" => pending().await,
            "await what is there" => {
                ready(()).await;
                Ok(())
            }
            other => Err(Stop::GiveUp(format!("unknown: {other}"))),
        }
    }
}

export_plugin!(Puppet);

fn start(session: &mut Session, what: &str) -> (i32, String) {
    session.step(&format!(
        r#"{{"event":"start","contract":"1.0","session":"probe","depth":"liveness","deadline_ms":5000,"now":"2026-11-24T04:02:00Z","settings":{{"do":"{what}"}},"later":1}}"#
    ))
}

fn new() -> Session {
    Session::new(&PLUGIN)
}

#[test]
fn a_session_asks_one_thing_at_a_time_and_reports() {
    let mut host = new();
    let ok = |json: &str| (AIM_OK, json.to_owned());
    assert_eq!(
        start(&mut host, "ask"),
        ok(r#"{"effect":"request","method":"GET","path":"/version","timeout_ms":1000}"#)
    );
    assert_eq!(
        host.step(r#"{"event":"response","request":0,"ms":4,"outcome":"ok","status":200,"headers":{},"body":"1.2"}"#),
        ok(r#"{"effect":"wait","ms":20,"note":"a breath"}"#)
    );
    assert_eq!(
        host.step(r#"{"event":"waited","ms":20}"#),
        ok(r#"{"effect":"request","method":"GET","path":"/lines","stream":true,"timeout_ms":1000}"#)
    );
    let head = r#"{"event":"response","request":1,"ms":2,"outcome":"ok","at":null,"status":200}"#;
    assert_eq!(host.step(head), ok(r#"{"effect":"read"}"#));
    assert_eq!(host.step(r#"{"event":"line","ms":3,"line":"a"}"#), ok(r#"{"effect":"read"}"#));
    assert_eq!(
        host.step(r#"{"event":"end","ms":4,"outcome":"ok","at":"newer"}"#),
        ok(r#"{"effect":"report","report":{"version":"1.2"}}"#)
    );
    assert_eq!(host.step(r#"{"event":"waited","ms":1}"#), (AIM_ERROR, "the session is over".into()));
}

#[test]
fn an_early_end_still_reports_what_was_seen() {
    let mut host = new();
    start(&mut host, "ask");
    host.step(r#"{"event":"response","request":0,"ms":4,"outcome":"ok","status":200,"body":"1.2"}"#);
    host.step(r#"{"event":"waited","ms":20}"#);
    assert_eq!(
        host.step(r#"{"event":"response","request":1,"ms":9,"outcome":"never heard of","at":"headers"}"#),
        (AIM_OK, r#"{"effect":"report","report":{"version":"1.2"}}"#.into())
    );
}

#[test]
fn a_panic_is_told_with_its_place_and_poisons_the_session_alone() {
    let (mut broken, mut fine) = (new(), new());
    start(&mut broken, "panic");
    start(&mut fine, "ask");
    let (code, text) =
        broken.step(r#"{"event":"response","request":0,"ms":1,"outcome":"ok","status":200,"body":"luck"}"#);
    assert_eq!(code, AIM_PANIC);
    assert!(text.starts_with("no luck (at ") && text.contains("border.rs:"), "{text}");
    assert_eq!(broken.step(r#"{"event":"waited","ms":1}"#).0, AIM_ERROR);
    let body = r#"{"event":"response","request":0,"ms":1,"outcome":"ok","status":200,"body":"x"}"#;
    assert_eq!(fine.step(body).0, AIM_OK);
}

#[test]
fn what_a_session_cannot_do_is_an_error_with_words() {
    let (code, text) = start(&mut new(), "await nothing");
    assert_eq!(code, AIM_ERROR);
    assert!(text.contains("awaits something that is no effect"), "{text}");

    assert_eq!(start(&mut new(), "give up"), (AIM_ERROR, "out of ideas".into()));
    assert_eq!(start(&mut new(), "await what is there"), (AIM_OK, r#"{"effect":"report","report":{}}"#.into()));

    let (code, text) = new().step(r#"{"event":"waited","ms":1}"#);
    assert_eq!(code, AIM_ERROR);
    assert!(text.contains("out of turn"), "{text}");

    let mut twice = new();
    start(&mut twice, "ask");
    assert_eq!(start(&mut twice, "ask").0, AIM_ERROR);

    let mut crossed = new();
    start(&mut crossed, "ask");
    let (code, text) = crossed.step(r#"{"event":"waited","ms":1}"#);
    assert_eq!((code, text.as_str()), (AIM_ERROR, "the host answered with `waited` where `response` belongs"));

    let (code, text) = new().step("{");
    assert_eq!(code, AIM_ERROR);
    assert!(text.starts_with("the event cannot be read"), "{text}");
}

#[test]
fn an_event_has_its_word_first() {
    let session = SessionKind::Probe { depth: Depth::Liveness, inference: None };
    let event = Event::Start(Start::new(session, 5000, "2026-11-24T04:02:00Z"));
    let json = serde_json::to_string(&event).unwrap();
    assert!(json.starts_with(r#"{"event":"start","contract":"#), "{json}");
    assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event);
}

#[test]
fn a_full_sink_is_an_error() {
    unsafe extern "C" fn full(_: *mut c_void, _: *const u8, _: usize) -> i32 {
        1
    }
    let full = AimSink { ctx: ptr::null_mut(), put: Some(full) };
    // SAFETY: the sink is valid during the call.
    assert_eq!(unsafe { PLUGIN.manifest.unwrap()(&full) }, AIM_ERROR);
}

#[test]
fn a_plugin_without_repairs_says_so() {
    let mut host = new();
    assert_eq!(
        host.step(r#"{"event":"start","contract":"1.0","session":"repair","repair":"load","args":{"model":"m"},"deadline_ms":5000,"now":"2026-11-24T04:02:00Z"}"#),
        (AIM_OK, r#"{"effect":"report","report":{"result":"unsupported"}}"#.into())
    );
    let start = SessionKind::Repair { repair: "load".into(), args: Default::default() };
    assert_eq!(serde_json::to_string(&start).unwrap(), r#"{"session":"repair","repair":"load","args":{}}"#);
}

#[test]
fn the_table_is_exported_under_the_name_of_its_crate() {
    unsafe extern "C" {
        #[link_name = "ai_monitor_plugin_v1_border"]
        static EXPORTED: AimPlugin;
    }
    // SAFETY: the symbol is `PLUGIN` of this very crate.
    assert!(ptr::eq(&raw const EXPORTED, &PLUGIN));
}

/// Reports far more than the contract's limits allow.
mod too_much {
    use ai_monitor_plugin_api::{
        Io, Plugin, Stop,
        event::Start,
        report::{Counter, Engine, Model, Symptom},
        table::AimPlugin,
        testing::Session,
    };
    use serde_json::Value;

    struct TooMuch;

    impl Plugin for TooMuch {
        const MANIFEST: &'static str = "{}";

        async fn probe(io: &mut Io, _: &Start) -> Result<(), Stop> {
            io.report.version = Some("ä".repeat(400));
            io.report.models = Some(vec![Model::default(); 2001]);
            let counters = vec![Counter::default(); 600];
            io.report.engines = Some(vec![Engine { counters: Some(counters), ..Engine::default() }; 2]);
            io.report.symptoms = vec![Symptom::default(); 33];
            Ok(())
        }
    }

    static TABLE: AimPlugin = ai_monitor_plugin_api::export::table::<TooMuch>();

    #[test]
    fn a_report_is_kept_within_the_limits_and_half_a_list_is_not_told() {
        let (code, text) = super::start(&mut Session::new(&TABLE), "");
        assert_eq!(code, super::AIM_OK);
        let report = serde_json::from_str::<Value>(&text).unwrap()["report"].take();
        assert_eq!(report["version"].as_str().map(str::len), Some(512));
        assert_eq!(report["models"], Value::Null);
        assert_eq!(report["engines"].as_array().map(Vec::len), Some(2));
        assert_eq!(report["engines"][0]["counters"], Value::Null);
        assert_eq!(report["symptoms"].as_array().map(Vec::len), Some(32));
    }
}
