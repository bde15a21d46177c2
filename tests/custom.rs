//! A server that only its settings describe, watched by the real monitor.

use std::{net::SocketAddr, time::Duration};

use serde_json::json;

use crate::{
    harness::{
        Bed, Monitor,
        canned::{Canned, answer},
        http, isolated,
    },
    test_name,
};

const SOON: Duration = Duration::from_secs(30);

fn target(address: SocketAddr, settings: &str) -> String {
    format!(
        "[[target]]\nname = \"it\"\nbackend = \"custom\"\nurl = \"http://{address}\"\ncheck_interval = \"300ms\"\n{settings}"
    )
}

#[test]
fn what_the_earlier_monitor_watched_is_watched_and_its_process_is_known() {
    isolated(test_name!(what_the_earlier_monitor_watched_is_watched_and_its_process_is_known), |isolation| {
        let bed = Bed::new(isolation);
        // It also speaks OpenAI's protocol: what answers as the settings want is the target all the same.
        let list = r#"{"object":"list","data":[{"id":"m"}]}"#;
        let pages = [("GET /api/v1/model", answer(200, r#"{"result":"m"}"#)), ("GET /v1/models", answer(200, list))];
        let server = Canned::start(&pages);
        let settings = "[target.settings.liveness]\npath = \"/api/v1/model\"\nexpect = { contains = \"result\" }\n";
        let monitor = Monitor::start(&bed, &target(server.address, settings));
        let it = monitor.wait_state("it", "online", SOON);
        assert_eq!(it["process_id"], json!(std::process::id()), "{it}");
        assert_eq!((&it["models"], &it["fault"]), (&json!(null), &json!(null)), "nothing is invented: {it}");
        let answer = http::get(monitor.listen, "/api/ai-monitor/config", SOON).expect("the configuration");
        assert_eq!(answer.json()["config"]["models"]["it"]["health_endpoint"], "/api/v1/model", "{}", answer.body);
        monitor.assert_no_incident("it");
    });
}

#[test]
fn a_server_that_says_that_it_is_not_well_is_shown_with_its_words() {
    isolated(test_name!(a_server_that_says_that_it_is_not_well_is_shown_with_its_words), |isolation| {
        let bed = Bed::new(isolation);
        let server = Canned::start(&[("GET /status", answer(200, r#"{"state":"warming"}"#))]);
        let settings =
            "[target.settings.liveness]\npath = \"/status\"\nexpect = { pointer = \"/state\", equals = \"up\" }\n";
        let monitor = Monitor::start(&bed, &target(server.address, settings));
        let it = monitor.wait_for(SOON, "its words", |monitor| {
            let it = monitor.target("it");
            if it.to_string().contains("/state is warming") { Ok(it) } else { Err(it.to_string()) }
        });
        assert_ne!(it["state"], "online", "{it}");
    });
}

#[test]
fn settings_that_the_plugin_refuses_keep_the_monitor_from_starting_with_their_place() {
    isolated(
        test_name!(settings_that_the_plugin_refuses_keep_the_monitor_from_starting_with_their_place),
        |isolation| {
            let bed = Bed::new(isolation);
            let folder = bed.folder("monitor");
            let settings = "[target.settings.liveness]\npath = \"/status\"\nexpect = { regex = \"(up\" }\n";
            std::fs::write(folder.join("config.toml"), target(bed.free_address(), settings)).expect("a configuration");
            for arguments in [&["--listen", "127.0.0.1:0"][..], &["discover"]] {
                let output = crate::harness::monitor::command(&folder, arguments).output().expect("it runs");
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(
                    said.contains("config.toml:8:20") && said.contains("unclosed") | said.contains("open group"),
                    "{said}"
                );
                // To look around needs no configuration.
                assert_eq!(output.status.success(), arguments == ["discover"], "{said}");
            }
        },
    );
}
