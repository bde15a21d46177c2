use std::{
    collections::VecDeque,
    ffi::{c_char, c_void},
    path::{Path, PathBuf},
};

use ai_monitor_plugin_api::{
    effect::Request,
    event::{At, Depth, End, Event, InferenceAsk, Line, Outcome, Response, SessionKind, Start, Waited},
    limits::EFFECT_MAX,
    table::{AIM_ABI, AIM_OK, AimPlugin, AimSink},
};
use futures_util::FutureExt as _;
use serde_json::json;

use super::*;

/// A table of functions that need no session.
const fn table(
    manifest: unsafe extern "C" fn(*const AimSink) -> i32,
    step: unsafe extern "C" fn(*mut c_void, *const u8, usize, *const AimSink) -> i32,
) -> AimPlugin {
    AimPlugin {
        abi: AIM_ABI,
        size: size_of::<AimPlugin>() as u32,
        manifest: Some(manifest),
        create: Some(create),
        step: Some(step),
        destroy: Some(destroy),
        extension: Some(no_extension),
    }
}

unsafe extern "C" fn create(session: *mut *mut c_void, _: *const AimSink) -> i32 {
    // SAFETY: the host passes a place for one pointer.
    unsafe { session.write(std::ptr::dangling_mut::<u8>().cast()) };
    AIM_OK
}
unsafe extern "C" fn destroy(_: *mut c_void) {}
unsafe extern "C" fn no_extension(_: *const c_char) -> *const c_void {
    std::ptr::null()
}
unsafe extern "C" fn no_step(_: *mut c_void, _: *const u8, _: usize, _: *const AimSink) -> i32 {
    AIM_OK
}
unsafe extern "C" fn small_manifest(out: *const AimSink) -> i32 {
    put(out, br#"{"contract":"1.0","abi":1,"id":"small","version":"1","label":"Small","probes":{"liveness":{"routes":["GET /"],"deadline_ms":100}}}"#)
}

fn put(out: *const AimSink, bytes: &[u8]) -> i32 {
    // SAFETY: the host passes a sink that is valid during the call.
    unsafe { (*out).put.unwrap()((*out).ctx, bytes.as_ptr(), bytes.len()) }
}

fn start(depth: Depth) -> Event {
    Event::Start(Start::new(SessionKind::Probe { depth, inference: None }, 30_000, "2026-11-24T04:02:00Z"))
}

/// A session in this process, where nothing has to be waited for.
fn session_of(plugin: &Plugin) -> PluginSession {
    plugin.session().now_or_never().unwrap().unwrap()
}

fn step(session: &mut PluginSession, event: &Event) -> Result<Wanted, StepError> {
    session.step(event).now_or_never().unwrap()
}

#[test]
fn the_bundled_plugins_pass_the_checks() {
    let registry = Registry::bundled();
    let ids: Vec<_> = registry.iter().map(|plugin| plugin.manifest().id.as_str()).collect();
    assert_eq!(ids, ["custom", "lm-studio", "localai", "ollama", "openai"]);
    for plugin in registry.iter().filter(|plugin| plugin.manifest().probes.len() > 1) {
        assert!(Depth::ALL.iter().all(|depth| plugin.manifest().probes.contains_key(depth)));
    }
}

#[test]
fn a_plugin_of_the_same_id_replaces_the_other_and_sessions_finish_on_the_old_one() {
    static TABLE: AimPlugin = table(ollama_like, no_step);
    unsafe extern "C" fn ollama_like(out: *const AimSink) -> i32 {
        put(out, br#"{"contract":"1.0","abi":1,"id":"ollama","version":"9","label":"Other","probes":{"liveness":{"routes":["GET /"],"deadline_ms":100}}}"#)
    }
    let mut registry = Registry::bundled();
    let mut under_way = session_of(registry.get("ollama").unwrap());
    let old = registry.insert(Plugin::from_table(&TABLE).unwrap()).unwrap();
    assert_eq!(old.manifest().label, "Ollama");
    drop(old);
    assert_eq!(registry.get("ollama").unwrap().manifest().version, "9");
    assert_eq!(registry.iter().count(), Registry::bundled().iter().count());
    assert!(matches!(step(&mut under_way, &start(Depth::Liveness)), Ok(Wanted::Request(_))));
}

#[test]
fn a_table_is_refused_for_what_is_wrong_with_it() {
    static OTHER: AimPlugin = AimPlugin { abi: 77, ..table(small_manifest, no_step) };
    static SMALL: AimPlugin = AimPlugin { size: 16, ..table(small_manifest, no_step) };
    static HOLLOW: AimPlugin = AimPlugin { step: None, ..table(small_manifest, no_step) };
    static SILENT: AimPlugin = table(silent, no_step);
    static ENDLESS: AimPlugin = table(endless, no_step);
    unsafe extern "C" fn silent(_: *const AimSink) -> i32 {
        7
    }
    unsafe extern "C" fn endless(out: *const AimSink) -> i32 {
        while put(out, &[b'x'; 4096]) == 0 {}
        AIM_OK
    }
    let refused = |table| Plugin::from_table(table).unwrap_err();
    assert_eq!(refused(&OTHER), TableError::OtherAbi { found: 77 });
    assert!(matches!(refused(&SMALL), TableError::TooSmall { found: 16, .. }));
    assert_eq!(refused(&HOLLOW), TableError::NoFunction("step"));
    assert_eq!(refused(&SILENT), TableError::NoManifest("its function gave code 7".into()));
    assert_eq!(refused(&ENDLESS), TableError::NoManifest("it is over 262144 bytes".into()));
}

#[test]
fn a_manifest_is_refused_with_the_place_and_the_reason() {
    let good = json!({"contract":"1.0","abi":1,"id":"small","version":"1","label":"Small",
        "probes":{"liveness":{"routes":["GET /"],"deadline_ms":100}}});
    let refused = |pointer: &str, value: serde_json::Value| {
        let mut manifest = good.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        manifest.pointer_mut(parent).unwrap()[key] = value;
        check::parse(manifest.to_string().as_bytes()).unwrap_err().to_string()
    };
    assert!(check::parse(good.to_string().as_bytes()).is_ok());
    assert!(check::parse(b"{").unwrap_err().to_string().starts_with("it cannot be read"));
    for (pointer, value, words) in [
        ("/contract", json!("0.9"), "`contract` is \"0.9\""),
        ("/contract", json!("2.0"), "`contract` is \"2.0\""),
        ("/contract", json!("new"), "`contract` is \"new\""),
        ("/abi", json!(3), "`abi` is 3"),
        ("/id", json!("Ollama"), "`id` is \"Ollama\""),
        ("/id", json!(""), "`id` is \"\""),
        ("/id", json!("x".repeat(65)), "`id`: it has 65 bytes, at most 64"),
        ("/label", json!("x".repeat(129)), "`label`: it has 129 bytes, at most 128"),
        ("/version", json!("1".repeat(129)), "`version`: it has 129 bytes, at most 128"),
        ("/probes", json!({}), "no `liveness`"),
        ("/probes/liveness/routes", json!([]), "`probes.liveness.routes`: without a route"),
        ("/probes/liveness/routes", json!(["DELETE /"]), "\"DELETE /\" is no route"),
        ("/probes/liveness/routes", json!(["GET /a*b"]), "\"GET /a*b\" is no route"),
        ("/probes/liveness/routes", json!(["local GET /"]), "a `local` route needs `processes`"),
        ("/probes/liveness/needs", json!(["gpu"]), "\"gpu\" is not known"),
        ("/probes/liveness/deadline_ms", json!(60_001), "60001 is not within 1 and 60000"),
        ("/identify", json!([{"is":"certain","all":[]}]), "would hold for everything"),
        ("/identify", json!([{"is":"certain","all":[{"get":"/","status":[200]}]}]), "a status alone proves nothing"),
        ("/settings", json!({"type":"object","oneOf":[]}), "`oneOf` is not supported"),
        ("/start", json!([{"argv":[]}]), "names no program"),
    ] {
        let text = refused(pointer, value);
        assert!(text.contains(words), "{text:?} does not say {words:?}");
    }
}

#[test]
fn a_plugin_of_a_later_minor_is_taken_without_what_is_not_known() {
    let text = json!({"contract":"1.7","abi":1,"id":"later","version":"1","label":"Later","colour":"red",
        "process":{"main":["later"],"lost_engine":"asks_first"},
        "probes":{"liveness":{"routes":["GET /"],"needs":["temperature"],"deadline_ms":100},
            "throughput":{"routes":["GET /"],"deadline_ms":100,"of":{"later":1}}}})
    .to_string();
    let manifest = check::parse(text.as_bytes()).unwrap();
    assert_eq!(manifest.probes.keys().copied().collect::<Vec<_>>(), [Depth::Liveness]);
    assert_eq!(manifest.process.lost_engine, None);
    let unknown = check::unknown_keys(text.as_bytes(), &manifest);
    assert_eq!(unknown, ["/colour", "/process/lost_engine", "/probes/throughput"]);
}

#[test]
fn nothing_that_a_manifest_says_can_pass_for_something_else_where_it_is_read() {
    let good = json!({"contract":"1.0","abi":1,"id":"small","version":"1","label":"Größe 模型",
        "identify":[{"is":"possible","all":[{"get":"/","contains":"two\nlines"}]}],
        "settings":{"type":"object","properties":{"a":{"type":"string","title":"A"}}},
        "probes":{"liveness":{"routes":["GET /"],"deadline_ms":100}},
        "repairs":{"load":{"title":"Load","routes":["POST /load"],"deadline_ms":100}}});
    assert!(check::parse(good.to_string().as_bytes()).is_ok());
    let forged = "GET /a\u{1b}[1A\u{1b}[2KGET /b";
    for pointer in [
        "/version",
        "/label",
        "/probes/liveness/routes/0",
        "/repairs/load/routes/0",
        "/repairs/load/title",
        "/settings/properties/a/title",
    ] {
        for text in [forged, "a\rb", "a\u{202e}b", "a\u{9b}b"] {
            let mut manifest = good.clone();
            *manifest.pointer_mut(pointer).unwrap() = text.into();
            let error = check::parse(manifest.to_string().as_bytes()).unwrap_err().to_string();
            assert!(text::is_plain(&error), "{error:?}");
            let named = pointer[1..].replace('/', ".");
            assert!(error.contains(named.trim_end_matches(".0")), "{pointer}: {error}");
        }
    }
    for name in [forged, "a\nb", "l\u{43e}ad", "a b", ""] {
        let mut manifest = good.clone();
        let repair = manifest["repairs"]["load"].take();
        manifest["repairs"] = json!({ name: repair });
        let error = check::parse(manifest.to_string().as_bytes()).unwrap_err();
        assert!(matches!(error, ManifestError::BadRepair(_)), "{error}");
        assert!(text::is_plain(&error.to_string()));
    }
    let mut manifest = good.clone();
    manifest["probes"]["liveness"]["routes"] = json!(["GET /gr\u{f6}\u{df}e"]);
    assert!(check::parse(manifest.to_string().as_bytes()).unwrap_err().to_string().contains("is no route"));
    let unreadable = good.to_string().replace("\"possible\"", "\"\\u001b[2K\"");
    let error = check::parse(unreadable.as_bytes()).unwrap_err().to_string();
    assert!(text::is_plain(&error), "{error:?}");
}

#[test]
fn keys_that_are_not_known_are_found() {
    let text = json!({"contract":"1.0","abi":1,"id":"small","version":"1","label":"Small","colour":"red","rivals":[],
        "probes":{"liveness":{"routes":["GET /"],"deadline_ms":100,"retries":3}}})
    .to_string();
    let manifest = check::parse(text.as_bytes()).unwrap();
    let unknown = check::unknown_keys(text.as_bytes(), &manifest);
    assert_eq!(unknown, ["/colour", "/probes/liveness/retries"]);
    for table in [&ai_monitor_ollama::PLUGIN, &ai_monitor_openai::PLUGIN] {
        // SAFETY: the table lives for ever.
        let bytes = unsafe { table::Table::checked(table) }.unwrap().manifest().unwrap();
        let manifest = check::parse(&bytes).unwrap();
        assert_eq!(check::unknown_keys(&bytes, &manifest), Vec::<String>::new());
    }
}

#[test]
fn what_a_step_writes_is_held_to_the_contract() {
    static BROKEN: AimPlugin = table(small_manifest, broken);
    static UNKNOWN: AimPlugin = table(small_manifest, unknown);
    static ENDLESS: AimPlugin = table(small_manifest, endless);
    static CROWDED: AimPlugin = table(small_manifest, crowded);
    static SILENT: AimPlugin = table(small_manifest, silent);
    unsafe extern "C" fn broken(_: *mut c_void, _: *const u8, _: usize, out: *const AimSink) -> i32 {
        put(out, b"{\"effect\":\xff")
    }
    unsafe extern "C" fn unknown(_: *mut c_void, _: *const u8, _: usize, out: *const AimSink) -> i32 {
        put(out, br#"{"effect":"run","argv":["reboot"]}"#)
    }
    unsafe extern "C" fn endless(_: *mut c_void, _: *const u8, _: usize, out: *const AimSink) -> i32 {
        while put(out, &[b'x'; 65536]) == 0 {}
        AIM_OK
    }
    unsafe extern "C" fn crowded(_: *mut c_void, _: *const u8, _: usize, out: *const AimSink) -> i32 {
        let models: Vec<_> = (0..2001).map(|i| json!({"id": i.to_string()})).collect();
        put(out, json!({"effect":"report","report":{"models":models}}).to_string().as_bytes())
    }
    unsafe extern "C" fn silent(_: *mut c_void, _: *const u8, _: usize, _: *const AimSink) -> i32 {
        1
    }
    let error = |table| {
        let mut session = session_of(&Plugin::from_table(table).unwrap());
        let error = step(&mut session, &start(Depth::Liveness)).unwrap_err();
        let after = step(&mut session, &Event::Waited(Waited { ms: 1 }));
        assert_eq!(after, Err(StepError::Protocol("the session is over".into())));
        error
    };
    assert!(matches!(error(&BROKEN), StepError::Protocol(text) if text.starts_with("the effect is not UTF-8")));
    assert!(matches!(error(&UNKNOWN), StepError::Protocol(text) if text.contains("the effect `run`")));
    assert_eq!(error(&ENDLESS), StepError::Protocol(format!("the effect is over {EFFECT_MAX} bytes")));
    assert_eq!(error(&CROWDED), StepError::Protocol("the report has 2001 models, over 2000".into()));
    assert_eq!(error(&SILENT), StepError::Plugin("it gave no reason".into()));
}

#[test]
fn a_session_moves_between_threads() {
    let mut session = session_of(Registry::bundled().get("ollama").unwrap());
    let mut session = std::thread::spawn(move || {
        step(&mut session, &start(Depth::Liveness)).unwrap();
        session
    })
    .join()
    .unwrap();
    assert!(matches!(step(&mut session, &refused(0)), Ok(Wanted::Report(_))));
}

fn refused(request: u32) -> Event {
    Event::Response(Response {
        request,
        ms: 1,
        outcome: Outcome::Refused,
        at: Some(At::Connect),
        status: None,
        headers: Default::default(),
        body: None,
        utf8: None,
        text: Some("Connection refused".into()),
    })
}

/// The library that cargo built of a bundled plugin, beside this test.
fn bundled_library(name: &str) -> PathBuf {
    let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    folder.join(libloading::library_filename(format!("ai_monitor_{name}")))
}

/// What a server with one idle model answers, Ollama's routes and llama.cpp's alike. With `fails`, nothing answers.
fn answers(request: &Request, number: u32, fails: bool) -> Vec<Event> {
    if fails {
        return vec![refused(number)];
    }
    let body = match request.path.as_str() {
        "/api/version" => r#"{"version":"0.32.15"}"#,
        "/api/ps" => {
            r#"{"models":[{"name":"tiny:latest","size":5211422,"size_vram":0,"expires_at":"2026-11-24T04:06:14Z"}]}"#
        }
        "/api/tags" => r#"{"models":[{"name":"tiny:latest","size":1795766,"capabilities":["completion"]}]}"#,
        "/api/generate" => r#"{"model":"tiny","response":"","done":true,"done_reason":"unload"}"#,
        "/api/pull" => r#"{"status":"success"}"#,
        "/api/chat" => {
            r#"{"model":"tiny","message":{"content":" he"},"done":true,"done_reason":"length","eval_count":3,"eval_duration":1173000}"#
        }
        "/health" => r#"{"status":"ok"}"#,
        "/props" => r#"{"total_slots":1,"model_alias":"tiny","build_info":"b1","endpoint_slots":true}"#,
        "/slots" => r#"[{"id":0,"is_processing":false,"id_task":3,"next_token":[{"n_decoded":41}]}]"#,
        "/v1/models" => r#"{"object":"list","data":[{"id":"tiny","meta":{"n_ctx":256,"size":1783296,"ftype":"F32"}}]}"#,
        "/v1/chat/completions" => {
            r#"data: {"model":"tiny","choices":[{"delta":{"content":" he"},"finish_reason":"length"}]}"#
        }
        other => panic!("{other} was asked for"),
    };
    let head = |body: Option<String>| {
        Event::Response(Response {
            request: number,
            ms: 1,
            outcome: Outcome::Ok,
            at: None,
            status: Some(200),
            headers: [("server".into(), "llama.cpp".into())].into(),
            body,
            utf8: Some(true),
            text: None,
        })
    };
    if request.stream {
        let line = Event::Line(Line { ms: 5, line: body.into() });
        return vec![head(None), line, Event::End(End { ms: 6, outcome: Outcome::Ok, at: None })];
    }
    vec![head(Some(body.into()))]
}

fn starts(plugin: &Plugin) -> Vec<Event> {
    let ask = InferenceAsk { model: Some("tiny".into()), prompt: "Say: ok".into(), max_tokens: 8, scheduled: false };
    let now = "2026-11-24T04:02:00Z";
    let probes = Depth::ALL
        .map(|depth| SessionKind::Probe { depth, inference: (depth == Depth::Inference).then(|| ask.clone()) });
    let repairs = plugin.manifest().repairs.keys().map(|repair| SessionKind::Repair {
        repair: repair.clone(),
        args: [("model".to_owned(), "tiny".into())].into_iter().collect(),
    });
    probes.into_iter().chain(repairs).map(|kind| Event::Start(Start::new(kind, 30_000, now))).collect()
}

#[test]
fn a_plugin_loaded_as_a_library_says_the_same_as_built_in() {
    for (name, built_in) in [("ollama", &ai_monitor_ollama::PLUGIN), ("openai", &ai_monitor_openai::PLUGIN)] {
        let built_in = Plugin::from_table(built_in).unwrap();
        let loaded = load_library(&bundled_library(name)).unwrap();
        assert_eq!(loaded.manifest(), built_in.manifest());
        assert_eq!(
            (loaded.origin(), built_in.origin()),
            (&Origin::DropIn { file: bundled_library(name) }, &Origin::Bundled)
        );
        for (start, fails) in starts(&loaded).into_iter().flat_map(|start| [(start.clone(), false), (start, true)]) {
            let mut sessions = [session_of(&loaded), session_of(&built_in)];
            // A repair may know without asking that it cannot be done.
            let probe = matches!(&start, Event::Start(start) if matches!(start.session, SessionKind::Probe { .. }));
            let (mut events, mut requests) = (VecDeque::from([start]), 0);
            while let Some(event) = events.pop_front() {
                let [effect, other] = sessions.each_mut().map(|session| step(session, &event).unwrap());
                assert_eq!(effect, other);
                match effect {
                    Wanted::Request(request) => {
                        events = answers(&request, requests, fails).into();
                        requests += 1;
                    }
                    Wanted::Read => {}
                    Wanted::Wait { ms, .. } => events = [Event::Waited(Waited { ms })].into(),
                    Wanted::Report(_) => break,
                }
            }
            assert!(requests > 0 || !probe);
        }
    }
}

/// Compiles a library of a few lines of C.
#[cfg(unix)]
fn compile(folder: &Path, name: &str, source: &str) -> PathBuf {
    let (file, library) = (folder.join("plugin.c"), folder.join(libloading::library_filename(name)));
    std::fs::write(&file, source).unwrap();
    let output = std::process::Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &file]).output();
    let output = output.unwrap_or_else(|e| panic!("the C compiler `cc` is not there; the README asks for one: {e}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

#[test]
fn a_library_that_gives_no_plugin_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent.so");
    assert!(matches!(load_library(&absent), Err(LoadError::Open { .. })));

    let text = folder.path().join("text.so");
    std::fs::write(&text, "no library").unwrap();
    let error = load_library(&text).unwrap_err();
    assert!(matches!(error, LoadError::Open { .. }), "{error}");
    assert!(error.to_string().contains(&text.display().to_string()), "{error}");
}

#[cfg(unix)]
#[test]
fn a_library_with_another_table_or_none_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let plain = compile(folder.path(), "plain", "int answer(void) { return 42; }");
    let error = load_library(&plain).unwrap_err();
    assert!(matches!(&error, LoadError::NoPlugin { stem, .. } if stem == "plain"), "{error}");

    // Only the four bytes of `abi` are there: whoever read on would leave the object.
    let other = compile(folder.path(), "other", "const unsigned ai_monitor_plugin_v1 = 99;");
    let error = load_library(&other).unwrap_err();
    assert!(matches!(error, LoadError::Table { source: TableError::OtherAbi { found: 99 }, .. }), "{error}");

    let odd = compile(
        folder.path(),
        "odd",
        r#"#include <stdint.h>
           #include <stddef.h>
           struct sink { void *ctx; int32_t (*put)(void *, const uint8_t *, size_t); };
           static int32_t manifest(const struct sink *out) { return out->put(out->ctx, (const uint8_t *)"{}", 2); }
           static int32_t create(void **s, const struct sink *e) { (void)s; (void)e; return 1; }
           static int32_t step(void *s, const uint8_t *e, size_t n, const struct sink *o) { (void)s; (void)e; (void)n; (void)o; return 1; }
           static void destroy(void *s) { (void)s; }
           static const void *extension(const char *id) { (void)id; return 0; }
           const struct { uint32_t abi, size; void *f[5]; } ai_monitor_plugin_v1_odd =
             { 1, 8 + 5 * sizeof(void *), { manifest, create, step, destroy, extension } };"#,
    );
    let error = load_library(&odd).unwrap_err();
    assert!(matches!(error, LoadError::Table { source: TableError::Manifest(_), .. }), "{error}");
}

#[test]
fn a_renamed_library_is_not_found_under_its_crate() {
    let folder = tempfile::tempdir().unwrap();
    let renamed = folder.path().join(Path::new("renamed.so"));
    std::fs::copy(bundled_library("ollama"), &renamed).unwrap();
    assert!(matches!(load_library(&renamed), Err(LoadError::NoPlugin { .. })));
}
