//! The example plugin in C, compiled as its comment says, loaded, and looking at servers that answer as KoboldCpp does
//! and otherwise.

use std::path::PathBuf;

use ai_monitor::plugin::Plugin;
use ai_monitor_plugin_api::event::{Depth, Outcome};
use serde_json::json;

use crate::harness::{
    canned::{Canned, answer},
    plugins::{compile_c, kit, loaded, look, report, root},
};

const VERSION: &str = r#"{"result": "KoboldCpp", "version": "1.76", "protected": false, "txt2img": false, "vision": false, "transcribe": false}"#;

fn built() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let library = folder.path().join("koboldcpp.so");
    compile_c(&root().join("plugins/example-c/koboldcpp.c"), &root().join("plugin-api/include"), &library);
    (folder, library)
}

/// Runs a test in this process and through a child.
fn example(test: impl Fn(&Plugin)) {
    let (_folder, library) = built();
    loaded(&library).iter().for_each(test);
}

/// A KoboldCpp that answers so to the route behind the version.
fn with(path: &str, body: impl AsRef<[u8]>) -> Canned {
    Canned::start(&[("GET /api/extra/version", answer(200, VERSION)), (path, answer(200, body))])
}

#[test]
fn it_says_what_a_koboldcpp_shows() {
    example(|plugin| {
        let seen = |server: &Canned, depth| report(&look(plugin, &server.url(), depth));

        let idle = with("GET /api/v1/model", r#"{"result": "koboldcpp/tiny-é\ud83d\ude00"}"#);
        assert_eq!(seen(&idle, Depth::Liveness), json!({"version":"1.76"}));
        assert_eq!(idle.asked(), ["GET /api/extra/version"]);
        assert_eq!(
            seen(&idle, Depth::Readiness),
            json!({"version":"1.76","phase":"ready","models":[{"id":"koboldcpp/tiny-é😀","state":"loaded"}]})
        );
        assert_eq!(idle.asked(), ["GET /api/extra/version", "GET /api/v1/model"]);

        let none = with("GET /api/v1/model", r#"{"result": "inactive"}"#);
        assert_eq!(seen(&none, Depth::Readiness), json!({"version":"1.76","models":[]}));
        let hidden = with("GET /api/v1/model", r#"{"result": "koboldcpp/protected-model"}"#);
        assert_eq!(seen(&hidden, Depth::Readiness), json!({"version":"1.76","phase":"ready"}));

        let busy = r#"{"last_process": 0.1, "last_token_count": 80, "total_gens": 3, "stop_reason": 1, "queue": 2, "idle": 0, "uptime": 12.5}"#;
        let busy = with("GET /api/extra/perf", busy);
        let engine = json!({"id":"koboldcpp","running":1,"queued":2,"capacity":1});
        assert_eq!(seen(&busy, Depth::Progress), json!({"version":"1.76","engines":[engine]}));
        let early = with("GET /api/extra/perf", r#"{"idle": 1}"#);
        let engine = json!({"id":"koboldcpp","running":0,"capacity":1});
        assert_eq!(seen(&early, Depth::Progress), json!({"version":"1.76","engines":[engine]}));
    });
}

#[test]
fn it_says_what_answers_really_are() {
    example(|plugin| {
        // The status that the example gives to the first answer, and what of it is reported.
        for (body, judged, left) in [
            (br#"{"version":"0.32.15"}"#.as_slice(), Outcome::Foreign, json!({})),
            (br#"{"result":"KoboldAI","version":"1"}"#, Outcome::Foreign, json!({})),
            (br#"{"result":"KoboldCpp","version":"1.7"#, Outcome::Malformed, json!({})),
            (br#"{"result":"KoboldCpp","version":"1.76""#, Outcome::Malformed, json!({})),
            (br#"{"result":"KoboldCpp","version":""}"#, Outcome::Malformed, json!({})),
            (br#"{"result":"KoboldCpp","version":76}"#, Outcome::Malformed, json!({})),
            (br#"{"result":"KoboldCpp"} trailing"#, Outcome::Malformed, json!({})),
            (b"[]", Outcome::Malformed, json!({})),
            (b"", Outcome::Malformed, json!({})),
            (b"\xff\xfe{\"result\":", Outcome::Malformed, json!({})),
            (b"<html>It works!</html>", Outcome::Malformed, json!({})),
            // A bad byte is replaced by the host: what is left is JSON, and a text.
            (b"{\"result\":\"KoboldCpp\",\"version\":\"1\xff\"}", Outcome::Ok, json!({"version":"1\u{fffd}"})),
        ] {
            let server = Canned::start(&[("GET /api/extra/version", answer(200, body))]);
            let observation = look(plugin, &server.url(), Depth::Liveness);
            let said = String::from_utf8_lossy(body);
            assert_eq!(observation.requests[0].outcome, judged, "{said}");
            let mut report = report(&observation);
            report.as_object_mut().and_then(|report| report.remove("judged"));
            assert_eq!(report, left, "{said}");
        }
    });
}

#[test]
fn what_fails_costs_only_what_it_would_have_told() {
    example(|plugin| {
        let nobody = look(plugin, "http://127.0.0.1:1", Depth::Readiness);
        assert_eq!((report(&nobody), nobody.requests.len()), (json!({}), 1));
        assert_eq!(nobody.requests[0].outcome, Outcome::Refused);

        // The server hangs up in mid answer.
        let mut cut = answer(200, VERSION);
        cut.truncate(cut.len() - 20);
        let cut = look(plugin, &Canned::start(&[("GET /api/extra/version", cut)]).url(), Depth::Readiness);
        assert_eq!((report(&cut), cut.requests[0].outcome), (json!({}), Outcome::Reset));

        for (depth, path) in [(Depth::Readiness, "GET /api/v1/model"), (Depth::Progress, "GET /api/extra/perf")] {
            let long = format!(r#"{{"result":"{}","idle":-1}}"#, "x".repeat(300));
            let deep = "[".repeat(9000);
            for body in [long.as_str(), &deep, "{\"result\":\"", "{\"result\":null,\"idle\":null}"] {
                let observation = look(plugin, &with(path, body).url(), depth);
                assert_eq!(observation.requests[1].outcome, Outcome::Malformed, "{body}");
                let mut report = report(&observation);
                assert_eq!(report["judged"].take()[0]["request"], 1);
                assert_eq!(report, json!({"version":"1.76","judged":null}), "{body}");
            }
            let flood = format!(r#"{{"result":"{}"}}"#, "x".repeat(20_000));
            let observation = look(plugin, &with(path, flood).url(), depth);
            assert_eq!(observation.requests[1].outcome, Outcome::TooLarge);
            assert_eq!(report(&observation), json!({"version":"1.76"}));
        }
    });
}

#[test]
fn it_keeps_the_contract() {
    let (_folder, library) = built();
    kit(&library, "ai_monitor_plugin_v1", &root().join("plugins/example-c/koboldcpp.json")).assert();
}
