//! The configuration from a user's view: what is taken, and what is said of mistakes.

use std::{path::Path, process::Command, time::Duration};

use serde_json::{Map, Value, json};

use super::{
    model::{Auth, Config},
    *,
};
use crate::incident::act::Rung;

fn manifest(id: &str, side_effect: Option<&str>) -> std::sync::Arc<ai_monitor_plugin_api::manifest::Manifest> {
    let manifest = json!({
        "contract": "1.0", "abi": 1, "id": id, "version": "1.0.0", "label": id,
        "settings": {"type": "object", "additionalProperties": false, "properties": {
            "prefer_engine": {"type": "boolean", "default": true},
            "slots": {"type": "integer", "minimum": 1, "maximum": 64},
            "mode": {"type": "string", "enum": ["fast", "exact"], "default": "fast"},
            "path": {"type": "string", "pattern": "^/"},
        }},
        "probes": {
            "liveness": {"routes": ["GET /"], "deadline_ms": 5000},
            "inference": {"routes": ["POST /"], "deadline_ms": 60000, "side_effect": side_effect},
        },
    });
    std::sync::Arc::new(serde_json::from_value(manifest).unwrap())
}

fn some_backends() -> Backends {
    ["ollama", "openai"].map(|id| (id.to_owned(), Backend { manifest: manifest(id, None), plugin: None })).into()
}

fn read(text: &str) -> Result<Config, ConfigError> {
    build(Some("config.toml".into()), text, false, &Flags::default(), &Known::only(some_backends()))
}

/// What is said of a text with mistakes.
fn said(text: &str) -> String {
    match read(text) {
        Ok(config) => panic!("nothing was wrong: {config:?}"),
        Err(error) => error.to_string(),
    }
}

/// The reason of the only mistake.
fn reason(text: &str) -> String {
    let all = said(text);
    assert!(all.ends_with("\n1 mistake in config.toml"), "{all}");
    all.lines().next().unwrap().strip_prefix("error: ").unwrap().to_owned()
}

fn with_target(rest: &str) -> String {
    format!("[[target]]\nname = \"a\"\nbackend = \"openai\"\nurl = \"http://127.0.0.1:8080\"\n{rest}")
}

#[test]
fn the_example_passes() {
    let config = read(example()).unwrap();
    assert_eq!(config.targets.len(), 2);
    assert_eq!(config.targets[0].process.command.as_deref(), Some(&["ollama".to_owned(), "serve".to_owned()][..]));
    assert!(config.targets[1].process.command.is_none());
}

#[test]
fn without_a_word_all_has_its_default() {
    let config = read("").unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:5000");
    assert_eq!(config.at_once, 2);
    assert_eq!(config.defaults.check_interval, Duration::from_secs(30));
    assert_eq!(config.defaults.heal, model::HealSettings::default());
    let target = read(&with_target("")).unwrap().targets.remove(0);
    assert!(target.enabled && target.process.autostart && !target.found);
    assert_eq!(Value::Object(target.settings), json!({"prefer_engine": true, "mode": "fast"}));
}

#[test]
fn the_nearer_wins_key_by_key() {
    let config = read(
        r#"
        [defaults]
        check_interval = "30s"
        timeout = "5s"
        [defaults.heal]
        grace = "1s"
        attempts = 1
        repairs = 1
        at_once = 4
        [tags.gpu]
        timeout = "6s"
        policy = "careful"
        heal = { attempts = 2, repairs = 2 }
        [tags.big]
        policy = "other"
        check_interval = "1m"
        [[target]]
        name = "a"
        backend = "openai"
        url = "http://127.0.0.1:8080"
        tags = ["gpu", "big"]
        heal = { repairs = 3 }
        "#,
    )
    .unwrap();
    let target = &config.targets[0];
    assert_eq!((target.timeout, target.check_interval), (Some(Duration::from_secs(6)), Duration::from_secs(60)));
    assert_eq!(target.policy, "careful", "the first tag that names one");
    let heal = &target.heal;
    assert_eq!((heal.grace, heal.attempts, heal.repairs), (Duration::from_secs(1), 2, 3));
    assert_eq!(config.at_once, 4);
}

#[test]
fn all_mistakes_are_named_with_place_and_remedy() {
    insta::assert_snapshot!(said(
        r#"[api]
listen = "0.0.0.0:5000"
[defaults]
check_intervall = "30s"
timeout = 5
[[target]]
name = "a"
backend = "olama"
url = "localhost:11434"
[target.process]
command = "ollama serve"
unit = "ollama.service"
[[target]]
name = "A"
url = "http://me:secret@127.0.0.1:1"
command = ["x"]
"#
    ));
}

#[test]
fn what_is_no_toml_is_shown_where_it_breaks() {
    insta::assert_snapshot!(said("[api]\nlisten = \"127.0.0.1:5000\n[defaults]\ntimeout = \"5s\"\ntimeout = \"6s\"\n"));
}

#[test]
fn a_caret_stands_right_behind_wide_characters_and_tabs() {
    let all = said("defaults = { \"ключ\" = 1,\tpolicy = 7 }\n");
    let caret = all.lines().filter(|l| l.contains('^')).nth(1).unwrap();
    let line = all.lines().filter(|l| l.contains("policy = 7")).nth(1).unwrap();
    assert_eq!(line.chars().position(|c| c == '7'), caret.chars().position(|c| c == '^'), "{all}");
}

#[test]
fn one_mistake_in_a_default_is_told_once() {
    let two = with_target("") + &with_target("").replace("\"a\"", "\"b\"").replace("8080", "8081");
    assert_eq!(reason(&format!("[defaults]\ntimeout = \"5y\"\n{two}")), "\"5y\" is no duration");
}

#[test]
fn values_out_of_their_range_are_refused() {
    assert_eq!(reason("[defaults]\ntimeout = \"2h\""), "`timeout` is out of range: 2h");
    assert_eq!(reason("[defaults]\ncheck_interval = \"0s\""), "`check_interval` is out of range: 0s");
    assert_eq!(reason("[defaults.heal]\nattempts = -1"), "`attempts` is out of range: -1");
    assert_eq!(reason("[defaults.heal]\nbackoff_max = \"1s\""), "`backoff_max` is shorter than `backoff`");
    assert_eq!(reason("[defaults.heal]\nauto = \"kil\""), "there is no rung \"kil\"");
}

#[test]
fn only_loopback_is_listened_on() {
    assert!(reason("[api]\nlisten = \"192.168.1.2:5000\"").contains("refused until tokens exist"));
    assert!(reason("[api]\nlisten = \"[::]:5000\"").contains("refused until tokens exist"));
    assert_eq!(read("[api]\nlisten = \"[::1]:5050\"").unwrap().listen.port(), 5050);
    assert_eq!(read("[api]\nlisten = \"localhost:5050\"").unwrap().listen.to_string(), "127.0.0.1:5050");
}

#[test]
fn targets_are_apart_from_each_other_and_from_the_monitor() {
    let twice = |a: &str, b: &str| {
        with_target("").replace("http://127.0.0.1:8080", a)
            + &with_target("").replace("\"a\"", "\"b\"").replace("http://127.0.0.1:8080", b)
    };
    assert!(reason(&twice("http://127.0.0.1:8080", "http://127.0.0.1:8080/")).contains("address of \"a\""));
    assert!(said(&twice("http://127.0.0.1:8080", "http://localhost:8080")).contains("may be either of them"));
    assert!(read(&twice("http://127.0.0.1:8080", "http://[::1]:8080")).is_ok());
    assert!(read(&twice("http://far/a", "http://far/b")).is_ok());
    assert!(reason(&twice("http://127.0.0.1:5000", "http://127.0.0.1:8080")).contains("the monitor's own address"));
}

#[test]
fn a_command_is_for_this_machine_alone() {
    let remote = with_target("process = { command = [\"serve\"] }").replace("127.0.0.1:8080", "gpu.lan:8080");
    assert_eq!(reason(&remote), "a command for a server on another machine (gpu.lan)");
}

#[test]
fn a_schedule_that_costs_the_user_is_refused_with_the_manifests_words() {
    let text = with_target("inference = { every = \"5m\" }");
    let every = read(&text).unwrap().targets[0].inference.as_ref().unwrap().every;
    assert_eq!(every, Some(Duration::from_secs(300)));
    let paid = Backend { manifest: manifest("paid", Some("costs money with each token")), plugin: None };
    let backends = Known::only([("paid".to_owned(), paid)].into());
    let text = text.replace("openai", "paid");
    let refused = build(Some("config.toml".into()), &text, false, &Flags::default(), &backends).unwrap_err();
    let reason = "error: inference by schedule is refused for \"paid\": it costs money with each token\n";
    assert!(refused.to_string().starts_with(reason), "{refused}");
}

#[test]
fn what_comes_later_is_said_to_be_known() {
    for text in [
        "depends_on = [\"b\"]",
        "shadow = \"b\"",
        "process = { container = \"b\" }",
        "heal = { windows = [] }",
        "heal = { other_port = 1 }",
    ] {
        assert!(reason(&with_target(text)).ends_with("is known, but not built yet"), "{text}");
    }
}

#[test]
fn what_may_be_done_unasked_is_never_more_than_what_a_person_may_be_asked() {
    assert!(reason(&with_target("heal = { ask = \"look\" }")).contains("`ask` is below `auto`"));
    let heal = &read(&with_target("heal = { auto = \"stop\" }")).unwrap().targets[0].heal;
    assert_eq!((heal.auto, heal.ask), (Rung::Stop, Rung::Kill), "a person's own heal may go further");
}

#[test]
fn a_secret_never_stands_in_the_file() {
    assert_eq!(reason(&with_target("auth = { bearer = \"sk-1\" }")), "a secret never stands in the file");
    let config = read(&with_target("auth = { bearer_file = \"key\" }")).unwrap();
    assert!(matches!(&config.targets[0].auth, Some(Auth::BearerFile(p)) if p == Path::new("key")));
}

#[test]
fn plugin_settings_follow_the_manifest() {
    let with = |s: &str| with_target(&format!("settings = {{ {s} }}"));
    let settings = read(&with("slots = 4, path = \"/v1\"")).unwrap().targets.remove(0).settings;
    assert_eq!(Value::Object(settings), json!({"prefer_engine": true, "slots": 4, "mode": "fast", "path": "/v1"}));
    assert_eq!(reason(&with("slots = 0")), "0 is out of range");
    assert_eq!(reason(&with("slots = \"4\"")), "expected a whole number, found a text");
    assert_eq!(reason(&with("mode = \"slow\"")), "\"slow\" is not allowed here");
    assert_eq!(reason(&with("path = \"v1\"")), "\"v1\" has not the right form");
    assert!(said(&with("prefer_engin = true")).contains("did you mean `prefer_engine`?"));
}

fn declared(target: &model::Target) -> Option<Map<String, Value>> {
    let settings = match target.policy.as_str() {
        "idle" => json!({"idle": 1800, "loud": false}),
        _ => json!({}),
    };
    settings.as_object().cloned()
}

#[test]
fn a_policys_own_settings_are_checked_against_its_declaration() {
    let fit = |text: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut config =
            build(Some(file.path().to_owned()), text, false, &Flags::default(), &Known::only(some_backends())).unwrap();
        match fit_policy_settings(&mut config, &declared) {
            Ok(()) => Ok(config),
            Err(error) => Err(error.to_string()),
        }
    };
    let good = fit(&with_target("policy = \"idle\"\nheal = { idle = \"5m\" }")).unwrap();
    assert_eq!(Value::Object(good.targets[0].heal.policy.clone()), json!({"idle": 300.0, "loud": false}));

    let wrong = fit(&with_target("policy = \"idle\"\nheal = { idel = \"5m\", attemps = 3 }")).unwrap_err();
    assert!(wrong.contains("did you mean `idle`?") && wrong.contains("did you mean `attempts`?"), "{wrong}");
    assert!(wrong.contains(":6:10\n"), "with its place: {wrong}");
    let wrong = fit(&with_target("policy = \"idle\"\nheal = { loud = \"5m\" }")).unwrap_err();
    assert!(wrong.contains("expected true or false"), "{wrong}");

    let two = with_target("policy = \"idle\"\n") + &with_target("").replace("\"a\"", "\"b\"").replace("8080", "8081");
    let shared = fit(&format!("[defaults.heal]\nidle = 60\n{two}")).unwrap();
    assert_eq!(shared.targets[0].heal.policy["idle"], json!(60));
    assert!(shared.targets[1].heal.policy.is_empty(), "another target's policy knows it");
    let nobodys = fit(&format!("[defaults.heal]\nidling = 60\n{two}")).unwrap_err();
    assert!(nobodys.contains("declares no such one") && nobodys.contains(":2:1"), "{nobodys}");
}

#[test]
fn durations_read_back() {
    for text in ["0s", "500ms", "30s", "5m", "1h", "1d"] {
        assert_eq!(show_duration(parse_duration(text).unwrap()), text);
    }
    for text in ["", "s", "30", "-1s", "1.5s", "1 s", "1w", "99999999999999999999s", "18446744073709551615d"] {
        assert_eq!(parse_duration(text), None, "{text}");
    }
}

#[test]
fn a_named_file_must_be_there() {
    let flags = Flags { config: Some("/nowhere/config.toml".into()), ..Flags::default() };
    let error = load_with(&flags, &Known::only(some_backends())).unwrap_err().to_string();
    assert!(error.contains("/nowhere/config.toml") && error.contains("--config"), "{error}");
}

/// The environment belongs to the whole process, so these run in one of their own.
fn in_child(test: &str, env: &[(&str, &str)]) -> Option<String> {
    if std::env::var_os("CONFIG_TEST_CHILD").is_some() {
        return None;
    }
    let name = format!("config::tests::{test}");
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture"])
        .env("CONFIG_TEST_CHILD", "1")
        .envs(env.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && text.contains("test result: ok. 1 passed"), "{text}");
    Some(text)
}

fn from_environment(listen: Option<&str>) -> Result<Config, ConfigError> {
    let flags = Flags { listen: listen.map(str::to_owned), ..Flags::default() };
    let text = "[api]\nlisten = \"127.0.0.1:1\"\n[defaults.heal]\ngrace = \"1s\"\nattempts = 1\n";
    build(Some("config.toml".into()), text, true, &flags, &Known::only(some_backends()))
}

#[test]
fn environment_wins_over_the_file_and_flags_over_both() {
    let env = [
        ("AI_MONITOR_API__LISTEN", "127.0.0.1:2"),
        ("AI_MONITOR_DEFAULTS__HEAL__ATTEMPTS", "7"),
        ("AI_MONITOR_DEFAULTS__HEAL__ALLOW", "[\"pull\"]"),
        ("AI_MONITOR_DASHBOARD", "require"),
    ];
    if in_child("environment_wins_over_the_file_and_flags_over_both", &env).is_some() {
        return;
    }
    let config = from_environment(None).unwrap();
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.defaults.heal.attempts, 7);
    assert_eq!(config.defaults.heal.grace, Duration::from_secs(1), "key by key");
    assert_eq!(config.defaults.heal.allow, ["pull"]);
    assert_eq!(from_environment(Some("127.0.0.1:3")).unwrap().listen.port(), 3);
}

#[test]
fn a_mistake_in_the_environment_is_named_by_its_variable() {
    let env = [("AI_MONITOR_DEFAULTS__TIMOUT", "5s"), ("AI_MONITOR_TARGET__0__URL", "x")];
    if in_child("a_mistake_in_the_environment_is_named_by_its_variable", &env).is_some() {
        return;
    }
    let error = from_environment(Some("0.0.0.0:5000")).unwrap_err().to_string();
    for part in ["--> environment variable AI_MONITOR_DEFAULTS__TIMOUT", "did you mean `timeout`?", "--> flag --listen"]
    {
        assert!(error.contains(part), "{part} in: {error}");
    }
    assert!(error.contains("the environment cannot name one"), "{error}");
}

#[test]
fn the_bundled_plugins_take_the_example_and_the_documented_file() {
    let registry = Registry::bundled();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    std::fs::write(&file, example()).unwrap();
    check(&file, &registry).unwrap();
    let documented = r#"
[api]
listen = "127.0.0.1:5000"
[defaults]
check_interval = "30s"
timeout = "5s"
policy = "default"
[[target]]
name = "ollama"
backend = "ollama"
url = "http://127.0.0.1:11434"
[target.process]
command = ["ollama", "serve"]  # without it: observed only
env = { OLLAMA_DEBUG = "0" }
[target.heal]  # policy-api.md
grace = "10s"
[[target]]
name = "coder"
backend = "openai"
url = "http://127.0.0.1:8080"
inference = { every = "5m" }  # refused, with the reason, where the manifest names what each costs
"#;
    std::fs::write(&file, documented).unwrap();
    let config = check(&file, &registry).unwrap();
    assert_eq!(config.targets[0].process.env["OLLAMA_DEBUG"], "0");
    std::fs::write(&file, documented.replace("[target.heal]", "inference = { every = \"5m\" }\n[target.heal]"))
        .unwrap();
    let refused = check(&file, &registry).unwrap_err().to_string();
    assert!(refused.contains("unknown key `inference` in [target.process]"), "{refused}");
    // Ollama, too: what the clock asks for goes to the runner's own port, which no timer sees.
    std::fs::write(&file, documented.replace("backend = \"openai\"", "backend = \"ollama\"")).unwrap();
    let every = check(&file, &registry).unwrap().targets[1].inference.as_ref().and_then(|inference| inference.every);
    assert_eq!(every, Some(Duration::from_secs(300)));
}

proptest::proptest! {
    /// Whatever is in the file: an answer, and a message that can be printed.
    #[test]
    fn no_text_breaks_the_reader(
        cut in 0usize..400,
        insert in "\\PC{0,6}|[\\[\\]{}=\"'\n\t#., ]{1,4}|target|heal|7|-1|1e400|9999999999999999999999|true",
    ) {
        let example = example();
        let cut = (0..=cut.min(example.len())).rev().find(|i| example.is_char_boundary(*i)).unwrap();
        for text in [format!("{}{insert}{}", &example[..cut], &example[cut..]), format!("{}{insert}", &example[..cut]), insert] {
            if let Err(error) = read(&text) {
                assert!(error.to_string().contains("mistake"));
            }
        }
    }
}

#[test]
fn each_flag_moves_its_own_place() {
    let flags = Flags { data_dir: Some("d".into()), ..Flags::default() };
    let moved = places(&flags);
    assert_eq!((moved.data.as_path(), moved.plugins.as_path()), (Path::new("d"), Path::new("d/plugins")));
    assert_eq!((moved.config, moved.policies), (places(&Flags::default()).config, places(&Flags::default()).policies));
}

#[test]
fn the_configuration_of_the_readme_is_good() {
    let readme = include_str!("../../../README.md");
    let (_, rest) = readme.split_once("```toml\n").expect("the README shows a configuration");
    let (text, _) = rest.split_once("```").expect("it ends");
    let config = read(text).expect("it passes the check");
    assert_eq!(config.targets.len(), 2);
}

/// With the bundled plugins, as the user's own file is checked.
fn said_of_custom(settings: &str) -> String {
    let text = format!("[[target]]\nname = \"c\"\nbackend = \"custom\"\nurl = \"http://127.0.0.1:1\"\n{settings}");
    let registry = crate::plugin::Registry::bundled();
    match build(Some("config.toml".into()), &text, false, &Flags::default(), &Known::only(backends(&registry))) {
        Ok(_) => "good".into(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_stands_deep_in_settings_is_told_with_place_and_remedy() {
    insta::assert_snapshot!(said_of_custom(
        r#"
[target.settings.liveness]
path = "status"
metod = "GET"
expect = { status = [200, 999], pointer = "state", one_of = "up" }
[target.settings.readiness]
models = { id = "/id" }
[target.settings.progress]
path = "/p"
headers = { x = 1 }
[target.settings.load]
path = "/l/{model}"
after = ["lodaed"]
"#
    ));
}

#[test]
fn what_only_the_plugin_can_tell_has_a_caret_too() {
    insta::assert_snapshot!(said_of_custom(
        "[target.settings.liveness]\npath = \"/status\"\nexpect = { regex = \"(up\", status = 200 }\n"
    ));
    insta::assert_snapshot!(said_of_custom(
        "[target.settings.liveness]\nheaders = { \"X.Y\" = \"1\", Authorization = \"Bearer x\" }\n"
    ));
    assert_eq!(said_of_custom("[target.settings.liveness]\npath = \"/status\"\n"), "good");
    assert_eq!(said_of_custom(""), "good");
}

#[test]
fn the_configurations_of_the_custom_guide_pass() {
    let guide = include_str!("../../../docs/custom.md");
    let blocks: Vec<&str> = guide.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 4);
    let registry = crate::plugin::Registry::bundled();
    for block in blocks {
        let known = Known::only(backends(&registry));
        let checked = build(Some("config.toml".into()), block, false, &Flags::default(), &known);
        assert!(checked.is_ok(), "{}", checked.err().map(|e| e.to_string()).unwrap_or_default());
    }
}
