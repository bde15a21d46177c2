//! Who answers at a target: asked before anything that could do harm, and not again at each look.

use std::time::Duration;

use crate::{
    harness::{
        Bed, Monitor,
        canned::{Canned, answer},
        isolated,
    },
    test_name,
};

const SOON: Duration = Duration::from_secs(30);
/// A page that only identification asks for.
const ONLY_ASKED_TO_IDENTIFY: &str = "GET /lmstudio-greeting";

fn target(backend: &str, server: &Canned, more: &str) -> String {
    let url = server.url();
    format!(
        "[[target]]\nname = \"it\"\nbackend = \"{backend}\"\nurl = \"{url}\"\ncheck_interval = \"200ms\"\n\
         timeout = \"2s\"\n{more}"
    )
}

fn identifications(asked: &[String]) -> usize {
    asked.iter().filter(|path| *path == ONLY_ASKED_TO_IDENTIFY).count()
}

#[test]
fn a_server_that_a_question_does_harm_is_known_before_its_first_look() {
    isolated(test_name!(a_server_that_a_question_does_harm_is_known_before_its_first_look), |isolation| {
        let bed = Bed::new(isolation);
        // Whatever asks for its models breaks off the answer that it is giving.
        let pages = [
            ("GET /openapi.json", answer(200, r#"{"info":{"title":"🦙 llama.cpp Python API","version":"0.3.36"}}"#)),
            ("GET /v1/models", answer(200, r#"{"object":"list","data":[{"id":"m","owned_by":"me"}]}"#)),
        ];
        let server = Canned::start(&pages);
        let monitor = Monitor::start(&bed, &target("openai", &server, ""));
        let it = monitor.wait_state("it", "online", SOON);
        assert_eq!(it["variant"], "llama-cpp-python", "{it}");
        monitor.wait_checks("it", 3, SOON);
        let asked = server.asked();
        assert!(!asked.iter().any(|path| path == "GET /v1/models"), "{asked:?}");
        assert_eq!(identifications(&asked), 1, "{asked:?}");
    });
}

#[test]
fn a_server_that_nobody_knows_is_not_asked_for_its_name_at_each_look() {
    isolated(test_name!(a_server_that_nobody_knows_is_not_asked_for_its_name_at_each_look), |isolation| {
        let bed = Bed::new(isolation);
        let server = Canned::start(&[("GET /status", answer(200, r#"{"state":"up"}"#))]);
        let settings = "[target.settings.liveness]\npath = \"/status\"\nexpect = { contains = \"up\" }\n";
        let monitor = Monitor::start(&bed, &target("custom", &server, settings));
        monitor.wait_state("it", "online", SOON);
        monitor.wait_checks("it", 5, SOON);
        let asked = server.asked();
        assert_eq!(identifications(&asked), 1, "{asked:?}");
    });
}

#[test]
fn of_several_that_it_could_be_it_is_what_it_is_configured_as() {
    isolated(test_name!(of_several_that_it_could_be_it_is_what_it_is_configured_as), |isolation| {
        let bed = Bed::new(isolation);
        let pages = [
            ("GET /api/version", answer(200, r#"{"version":"1"}"#)),
            ("GET /api/tags", answer(200, r#"{"models":[]}"#)),
            ("GET /api/ps", answer(200, r#"{"models":[]}"#)),
            ("GET /v1/models", answer(200, r#"{"object":"list","data":[]}"#)),
        ];
        let server = Canned::start(&pages);
        let monitor = Monitor::start(&bed, &target("ollama", &server, ""));
        monitor.wait_state("it", "online", SOON);
        monitor.wait_checks("it", 5, SOON);
        let asked = server.asked();
        assert_eq!(identifications(&asked), 1, "{asked:?}");
        monitor.assert_no_incident("it");
    });
}

#[test]
fn who_did_not_answer_in_time_is_asked_again() {
    isolated(test_name!(who_did_not_answer_in_time_is_asked_again), |isolation| {
        let bed = Bed::new(isolation);
        let later = answer(503, r#"{"error":"starting"}"#);
        let server =
            Canned::at(([127, 0, 0, 1], 0).into(), &[("GET /status", answer(200, r#"{"state":"up"}"#))], later);
        let settings = "[target.settings.liveness]\npath = \"/status\"\nexpect = { contains = \"up\" }\n";
        let monitor = Monitor::start(&bed, &target("custom", &server, settings));
        monitor.wait_checks("it", 5, SOON);
        let asked = server.asked();
        assert!(identifications(&asked) > 1, "what was put off is no answer: {asked:?}");
    });
}
