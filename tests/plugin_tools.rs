//! The authors' commands: a new plugin is written, built, put to the test, run, recorded and played again.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::harness::{
    bed::MONITOR,
    canned::{Canned, answer},
    plugins::{compile_c, root},
    wait_until,
};

const VERSION: &str = r#"{"result": "KoboldCpp", "version": "1.76"}"#;

fn monitor(arguments: &[&str]) -> Output {
    // A journal and a configuration of nobody's.
    let home = tempfile::tempdir().expect("a folder");
    Command::new(MONITOR)
        .args(arguments)
        .env("HOME", home.path())
        .env_remove("AI_MONITOR_SOURCE")
        .output()
        .expect("ai-monitor starts")
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[track_caller]
fn succeeds(arguments: &[&str]) -> String {
    let output = monitor(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", printed(&output));
    printed(&output)
}

#[track_caller]
fn fails(arguments: &[&str]) -> String {
    let output = monitor(arguments);
    assert!(!output.status.success(), "{arguments:?}: {}", printed(&output));
    printed(&output)
}

/// The plugin that `plugin new --c` writes, changed, as a library.
fn new_in_c(folder: &Path, change: impl Fn(String) -> String) -> String {
    succeeds(&["plugin", "new", "mine", "--c", "--path", &text(folder)]);
    let (source, library) = (folder.join("mine/mine.c"), folder.join("mine/mine.so"));
    let code = fs::read_to_string(&source).expect("the C file");
    fs::write(&source, change(code)).expect("the C file");
    compile_c(&source, &folder.join("mine"), &library);
    text(&library)
}

#[test]
fn whoever_reads_may_go_before_the_end() {
    for arguments in [&["plugin", "list"][..], &["plugin", "check", "ollama", "--only", "manifest_reads"], &["--help"]]
    {
        let data = tempfile::tempdir().expect("a folder");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = Command::new(MONITOR).args(arguments).env("HOME", data.path()).stdout(writer).output();
        let output = output.expect("ai-monitor starts");
        let said = printed(&output);
        assert!(output.status.success() && said.is_empty(), "{arguments:?}: {}: {said}", output.status);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let data = tempfile::tempdir().expect("a folder");
    let full = fs::File::options().write(true).open("/dev/full").expect("the full device");
    let output = Command::new(MONITOR).args(["plugin", "list"]).env("HOME", data.path()).stdout(full).output();
    let output = output.expect("ai-monitor starts");
    assert!(!output.status.success() && printed(&output).contains("the output cannot be written"), "{output:?}");
}

#[test]
fn no_command_touches_a_file_of_grants_that_it_cannot_understand() {
    let data = tempfile::tempdir().expect("a folder");
    let (file, broken) = (data.path().join("plugins.json"), "{\"plugins\":{\"mine\":");
    fs::write(&file, broken).expect("a broken file");
    for arguments in [&["list"][..], &["consent", "mine", "--yes"], &["disable", "mine"]] {
        let printed = fails(&[&["plugin"][..], arguments, &["--data-dir", &text(data.path())]].concat());
        assert!(printed.contains("plugins.json is broken"), "{printed}");
        assert_eq!(fs::read_to_string(&file).expect("it is there"), broken);
    }
    assert_eq!(fs::read_dir(data.path()).expect("the folder").count(), 1);
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// With `code` run at each step's begin.
fn at_each_step(source: &str, code: &str) -> String {
    let at = source.find("static int32_t step(").expect("the step function");
    let body = at + source[at..].find('{').expect("its body") + 1;
    format!("#include <stdio.h>\n{}\n  {code}\n{}", &source[..body], &source[body..])
}

#[test]
fn a_new_plugin_in_c_passes_and_runs_and_its_session_replays() {
    let folder = tempfile::tempdir().expect("a folder");
    let library = new_in_c(folder.path(), |source| source);
    let checked = succeeds(&["plugin", "check", &library, "--sessions", "50", "--json"]);
    let checked: Value = serde_json::from_str(&checked).unwrap_or_else(|e| panic!("{e}: {checked}"));
    assert_eq!((&checked["failed"], &checked["seed"]), (&0.into(), &1.into()), "{checked:#}");
    let verdict = |name: &str| {
        let rules = checked["rules"].as_array().expect("rules");
        rules.iter().find(|row| row["rule"] == name).map(|row| row["verdict"].clone()).unwrap_or_default()
    };
    for name in ["does_no_io", "manifest_equals_its_file", "cancelled_sessions_leave_nothing", "nothing_panics"] {
        assert_eq!(verdict(name), "passed", "{name}");
    }
    assert_eq!(verdict("inference_looks_before_it_asks"), "does_not_apply");

    let server = Canned::start(&[("GET /api/extra/version", answer(200, VERSION))]);
    let file = text(&folder.path().join("session.jsonl"));
    let ran = succeeds(&["plugin", "run", &library, "--url", &server.url(), "--record", &file, "--shows", "idle"]);
    for line in ["→ GET /api/extra/version", "← 200 ok", "\"version\": \"1.76\""] {
        assert!(ran.contains(line), "{line:?} is not in:\n{ran}");
    }
    assert!(succeeds(&["plugin", "replay", &file, &library]).contains("no difference"));
    let session = fs::read_to_string(&file).expect("the session");
    assert!(session.starts_with(r#"{"recording":1,"plugin":"mine","#), "{session}");
    fs::write(&file, session.replace(r#"{"version":"1.76"}"#, r#"{"version":"1.77"}"#)).expect("the session");
    let told = fails(&["plugin", "replay", &file, &library]);
    assert!(told.contains("/report/version") && told.contains("1.77") && told.contains("1.76"), "{told}");

    let lines: Vec<&str> = session.lines().collect();
    for kept in 2..lines.len() {
        fs::write(&file, lines[..kept].join("\n")).expect("the session");
        let told = fails(&["plugin", "replay", &file, &library]);
        assert!(told.contains("mine 1.0.0: idle\n"), "{told}");
        assert!(told.contains("no difference as far as the file goes, but it is cut"), "{kept} lines: {told}");
    }
}

#[test]
fn a_mistake_in_naming_the_plugin_is_told_for_what_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let library = new_in_c(folder.path(), |source| source);
    let (inside, missing) = (text(&folder.path().join("mine")), text(&folder.path().join("nothing.so")));
    let url = ["--url", "http://127.0.0.1:9"];
    for command in [&["check"][..], &["run", url[0], url[1]], &["install", "--yes"]] {
        let told = |plugin: &str| fails(&[&["plugin", command[0], plugin][..], &command[1..]].concat());
        let of_missing = told(&missing);
        assert!(of_missing.contains("there is no file") && of_missing.contains(&missing), "{of_missing}");
        let of_folder = told(&inside);
        assert!(
            of_folder.contains("is a folder: name the library in it") && of_folder.contains(&library),
            "{of_folder}"
        );
        let of_empty = told(&text(tempfile::tempdir().expect("a folder").path()));
        assert!(of_empty.contains("no library lies in it"), "{of_empty}");
        let of_id = told(if command[0] == "install" { "ollama" } else { "olama" });
        assert!(of_id.contains("is bundled") || of_id.contains("plugins: custom, "), "{of_id}");
    }
    let manifest = folder.path().join("mine/mine.json");
    for command in [&["check"][..], &["run", url[0], url[1]], &["install", "--yes"]] {
        let told = fails(&[&["plugin", command[0], &text(&manifest)][..], &command[1..]].concat());
        assert!(told.contains("name the library, not its manifest"), "{told}");
    }
    fs::write(&manifest, "{\"id\":").expect("half a manifest");
    let told = fails(&["plugin", "install", &library, "--yes"]);
    assert_eq!(told.matches("mine.json").count(), 1, "{told}");
    fs::remove_file(&manifest).expect("its manifest goes");
    assert!(fails(&["plugin", "install", &library, "--yes"]).contains("--manifest FILE"));
    let told = fails(&["plugin", "install", &library, "--yes", "--manifest", &missing]);
    assert!(told.contains("there is no file") && told.contains("which --manifest names"), "{told}");
    assert!(fails(&["plugin", "check", &library, "--sessions", "0"]).contains("0 is not in"));
}

#[test]
fn a_run_takes_the_urls_and_settings_that_a_target_takes() {
    for (url, right) in [
        ("127.0.0.1:7777", "write \"http://127.0.0.1:7777\""),
        ("localhost:7777", "write \"http://localhost:7777\""),
        ("ftp://127.0.0.1", "only http and https are spoken"),
        ("http://user:secret@127.0.0.1", "a secret never stands"),
    ] {
        let told = fails(&["plugin", "run", "ollama", "--url", url]);
        assert!(told.contains(right), "{url}: {told}");
    }
    let server = Canned::start(&[("GET /", answer(200, "{}"))]);
    let url = server.url();
    let run = ["plugin", "run", "custom", "--url", &url, "--settings"];
    let told = fails(&[&run[..], &["nosuch=1"]].concat());
    assert!(told.contains("has no setting `nosuch`") && told.contains("its settings: liveness"), "{told}");
    assert!(fails(&[&run[..], &["liveness=1"]].concat()).contains("expected a table"));
    assert!(server.asked().is_empty(), "{:?}", server.asked());
    succeeds(&[&run[..], &[r#"liveness={"path":"/"}"#]].concat());
}

#[test]
fn a_run_asks_first_which_flavour_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = text(&folder.path().join("session.jsonl"));
    let title = answer(200, r#"{"info":{"title":"🦙 llama.cpp Python API"}}"#);
    let server = Canned::start(&[("GET /openapi.json", title), ("GET /v1/models", answer(200, "{}"))]);
    let url = server.url();
    let run = ["plugin", "run", "openai", "--url", &url, "--record", &file];
    let ran = succeeds(&run);
    assert!(ran.contains("identified as openai, flavour llama-cpp-python"), "{ran}");
    assert!(fs::read_to_string(&file).expect("the session").contains(r#""variant":"llama-cpp-python""#));
    // Its list of models breaks off a user's answer.
    assert!(server.asked().iter().all(|asked| asked != "GET /v1/models"), "{:?}", server.asked());
    let named = monitor(&[&run[..], &["--variant", "vllm"]].concat());
    assert!(!printed(&named).contains("identified"), "{}", printed(&named));
    assert!(fs::read_to_string(&file).expect("the session").contains(r#""variant":"vllm""#));
}

#[test]
fn a_plugin_that_opens_a_file_fails_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let code = r#"FILE *file = fopen("/etc/hostname", "r"); if (file) fclose(file);"#;
    let library = new_in_c(folder.path(), |source| at_each_step(&source, code));
    let told = fails(&["plugin", "check", &library, "--only", "does_no_io", "--only", "nothing_panics"]);
    assert!(told.contains("FAIL  does_no_io") && told.contains("open"), "{told}");
    assert!(told.contains("ok    nothing_panics"), "{told}");
}

/// Opening runs initialisers. The loader reads files then, so that they read some is not seen, and nobody says that it is.
#[test]
fn what_a_librarys_initialisers_do_is_seen_but_for_reading() {
    let with = |name: &str, code: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let library = new_in_c(folder.path(), |source| {
            let head = "#include <stdio.h>\nextern int socket(int, int, int);\n";
            format!("{head}{source}\n__attribute__((constructor)) static void {name}(void) {{ {code} }}\n")
        });
        let output = monitor(&["plugin", "check", &library, "--only", "does_no_io"]);
        (output.status.success(), printed(&output))
    };
    let (passed, told) = with("connects", "socket(2, 1, 0);");
    assert!(!passed && told.contains("socket"), "{told}");
    let (_, told) = with("reads", r#"FILE *file = fopen("/etc/hostname", "r"); if (file) fclose(file);"#);
    assert!(told.contains("which files its initialisers try to read as it is opened is not seen"), "{told}");
}

#[test]
fn a_rule_whose_process_dies_fails_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let library = new_in_c(folder.path(), |source| at_each_step(&source, "volatile int *nowhere = 0; *nowhere = 1;"));
    let told = fails(&["plugin", "check", &library, "--only", "nothing_panics", "--only", "manifest_id"]);
    assert!(told.contains("FAIL  nothing_panics") && told.contains("SIGSEGV"), "{told}");
    assert!(told.contains("ok    manifest_id"), "{told}");
}

/// Two hang at once, and then one more: else this would be two minutes for each of some fifty rules.
#[test]
fn a_plugin_that_hangs_costs_its_time_a_few_times_and_not_once_for_each_rule() {
    let folder = tempfile::tempdir().expect("a folder");
    let library = new_in_c(folder.path(), |source| at_each_step(&source, "for (volatile int go = 1; go;) {}"));
    let told = json_of_a_failure(&["plugin", "check", &library, "--json"]);
    let rows = told["rules"].as_array().expect("rules");
    let of = |verdict: &str| rows.iter().filter(|row| row["verdict"] == verdict).collect::<Vec<_>>();
    let stuck = of("failed");
    assert!((3..12).contains(&stuck.len()), "{stuck:#?}");
    for row in &stuck {
        assert!(row["text"].as_str().expect("a text").contains("`step` did not come back"), "{row}");
    }
    assert!(stuck.iter().any(|row| row["rule"] == "steps_only_compute"), "{stuck:#?}");
    assert!(of("not_run").len() > 30 && told["not_run"] == of("not_run").len(), "{told:#}");
    assert!(of("passed").iter().any(|row| row["rule"] == "table_abi"), "what was told before the hang stays");
}

fn json_of_a_failure(arguments: &[&str]) -> Value {
    let output = monitor(arguments);
    assert!(!output.status.success(), "{arguments:?}: {}", printed(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", printed(&output)))
}

#[test]
fn the_processes_of_the_rules_end_with_the_one_that_checks() {
    let folder = tempfile::tempdir().expect("a folder");
    let library = new_in_c(folder.path(), |source| at_each_step(&source, "for (volatile int go = 1; go;) {}"));
    let mut check = Command::new(MONITOR)
        .args(["plugin", "check", &library, "--only", "nothing_panics"])
        .env("HOME", folder.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("ai-monitor starts");
    let children = format!("/proc/{0}/task/{0}/children", check.id());
    let child = wait_until(Duration::from_secs(60), "the rule's process", || {
        let children = fs::read_to_string(&children).unwrap_or_default();
        let of_the_rule = |child: &&str| {
            fs::read_to_string(format!("/proc/{child}/cmdline")).is_ok_and(|line| line.contains("nothing_panics"))
        };
        children.split_whitespace().find(of_the_rule).map(str::to_owned).ok_or(children.clone())
    });
    check.kill().expect("it is there to be killed");
    check.wait().expect("it was killed");
    // Before its own guard would end it.
    wait_until(Duration::from_secs(5), "the end of the rule's process", || {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        // A zombie, where nobody takes in orphans.
        let is_over = stat.is_empty() || stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'));
        if is_over { Ok(()) } else { Err(stat) }
    });
}

#[test]
fn a_library_that_is_no_plugin_is_told_once_and_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder_of = |name: &str| {
        let folder = folder.path().join(name);
        fs::create_dir(&folder).expect("a folder");
        folder
    };
    let library = new_in_c(&folder_of("hidden"), |source| format!("#define ai_monitor_plugin_v1 of_no_name\n{source}"));
    let told = fails(&["plugin", "check", &library]);
    assert_eq!(told.matches("exports neither").count(), 1, "{told}");
    for part in
        ["What to do: export the plugin", "in C the table `ai_monitor_plugin_v1`", "No rule was put to the test"]
    {
        assert!(told.contains(part), "{part:?} is not in {told}");
    }
    let told = json_of_a_failure(&["plugin", "check", &library, "--json"]);
    assert_eq!((&told["problem"]["code"], &told["rules"]), (&"no_entry".into(), &Value::Array(Vec::new())), "{told}");

    let manifest = text(&folder.path().join("hidden/mine/mine.json"));
    let told = json_of_a_failure(&["plugin", "check", &manifest, "--json"]);
    assert!(told["problem"]["text"].is_string() && told["rules"].as_array().is_some_and(Vec::is_empty), "{told}");

    // Ended with SIGBUS, as of a file that was cut off. Its first one is taken by the handler of Rust, which steps aside.
    let library = new_in_c(&folder_of("cut"), |source| {
        format!(
            "extern int raise(int);\n{source}\n__attribute__((constructor)) static void opened(void) {{ raise(7); raise(7); }}\n"
        )
    });
    let told = fails(&["plugin", "check", &library]);
    assert_eq!(told.matches("SIGBUS").count(), 1, "{told}");
    assert!(!told.contains("signal 7") && told.contains("What to do"), "{told}");
}

#[test]
fn what_the_answers_did_not_lead_to_is_told_at_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let library = new_in_c(folder.path(), |source| source);
    let check = ["plugin", "check", &library, "--only", "answers_lead_everywhere"];
    let told = succeeds(&check);
    for part in [
        "NOT TESTED",
        "no recording of the real server was given",
        "progress: `GET /api/extra/perf` was judged malformed",
        "--record FILE",
    ] {
        assert!(told.contains(part), "{part:?} is not in {told}");
    }
    // What the manifest knows the server by is answered.
    assert!(!told.contains("liveness:"), "{told}");

    let perf = answer(200, r#"{"queue": 0, "idle": 1}"#);
    let server = Canned::start(&[("GET /api/extra/version", answer(200, VERSION)), ("GET /api/extra/perf", perf)]);
    let file = text(&folder.path().join("session.jsonl"));
    let look = ["plugin", "run", &library, "--url", &server.url(), "--depth", "progress", "--record", &file];
    succeeds(&look);
    assert!(succeeds(&[&check[..], &["--recording", &file]].concat()).contains("1 recording was given"));
    let told = succeeds(&[&check[..], &["--recording", &file, "--json"]].concat());
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|e| panic!("{e}: {told}"));
    let left = told["not_reached"].as_str().expect("readiness was not recorded");
    assert!(left.contains("readiness:") && !left.contains("progress:"), "{left}");
}

#[test]
fn a_manifest_beside_that_differs_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let library = new_in_c(folder.path(), |source| source);
    let manifest = folder.path().join("mine/mine.json");
    let other = fs::read_to_string(&manifest).expect("the manifest").replace("5001", "5002");
    fs::write(&manifest, other).expect("the manifest");
    let told = fails(&["plugin", "check", &library, "--only", "manifest_equals_its_file"]);
    assert!(told.contains("`/ports`: the file has [5002], the library [5001]"), "{told}");
    let told = fails(&["plugin", "check", &library, "--only", "manifest_equals_its_fil"]);
    assert!(told.contains("did you mean manifest_equals_its_file"), "{told}");

    let server = Canned::start(&[("GET /api/extra/version", answer(200, VERSION))]);
    let look = ["plugin", "run", &library, "--url", &server.url()];
    let told = succeeds(&look);
    assert!(told.contains("something else than the library at /ports") && told.contains("would not load it"), "{told}");
    fs::write(&manifest, "{").expect("the manifest");
    assert!(succeeds(&look).contains("the manifest beside the library cannot be read"), "{told}");
}

#[test]
fn a_misspelled_key_of_a_manifest_is_told_where_the_author_looks() {
    let folder = tempfile::tempdir().expect("a folder");
    let library = new_in_c(folder.path(), |source| source.replace(r#"\"ports\""#, r#"\"port\""#));
    let manifest = folder.path().join("mine/mine.json");
    let right = fs::read_to_string(&manifest).expect("the manifest");
    fs::write(&manifest, right.replace("\"ports\"", "\"port\"")).expect("the manifest");
    let server = Canned::start(&[("GET /api/extra/version", answer(200, VERSION))]);
    let told = succeeds(&["plugin", "run", &library, "--url", &server.url()]);
    assert!(told.contains("the manifest has /port, which this ai-monitor does not know"), "{told}");
    let plugins = text(&folder.path().join("plugins"));
    let data = text(&folder.path().join("data"));
    let install = ["plugin", "install", &library, "--yes", "--plugin-dir", &plugins, "--data-dir", &data];
    let told = monitor(&[&install[..], &["--listen", "127.0.0.1:1"]].concat());
    assert!(printed(&told).contains("the manifest has /port"), "{}", printed(&told));
}

#[test]
fn a_bundled_plugins_sessions_replay_and_a_repair_asks_first() {
    let session = text(&root().join("plugins/ollama/tests/sessions/busy.jsonl"));
    assert!(succeeds(&["plugin", "replay", &session]).contains("no difference"));
    let server = Canned::start(&[("POST /api/generate", answer(200, r#"{"done":true,"done_reason":"unload"}"#))]);
    let url = server.url();
    let repair = ["plugin", "run", "ollama", "--url", &url, "--repair", "unload", "--arg", "model=tiny"];
    assert!(fails(&repair).contains("--yes"));
    assert!(server.asked().is_empty(), "{:?}", server.asked());
    let done = succeeds(&[&repair[..], &["--yes"]].concat());
    assert!(done.contains("\"result\": \"done\""), "{done}");
}

/// A crate is built here from nothing, which takes its time.
mod real {
    use super::*;
    use crate::harness::{backend, say};

    #[test]
    fn a_new_plugin_in_rust_builds_and_passes() {
        if let Err(why) = backend::real_servers() {
            return say(&format!("the new crate is left out: {why}"));
        }
        let folder = tempfile::tempdir().expect("a folder");
        succeeds(&["plugin", "new", "my-server", "--path", &text(folder.path())]);
        let crate_folder = folder.path().join("my-server");
        let target: PathBuf = folder.path().join("target");
        let cargo = |what: &str| {
            let done = Command::new(env!("CARGO"))
                .args([what, "--offline"])
                .current_dir(&crate_folder)
                .env("CARGO_TARGET_DIR", &target)
                .output()
                .expect("cargo starts");
            assert!(done.status.success(), "cargo {what}: {}", printed(&done));
            printed(&done)
        };
        assert!(cargo("test").contains("keeps_the_contract ... ok"));
        // The tests do not leave the library where it is dropped in from.
        cargo("build");
        let library = target.join("debug/libmy_server.so");
        fs::copy(crate_folder.join("src/manifest.json"), target.join("debug/libmy_server.json")).expect("the manifest");
        let told = succeeds(&["plugin", "check", &text(&library), "--sessions", "50"]);
        assert!(told.contains(" 0 failed") && told.contains("ok    manifest_equals_its_file"), "{told}");
    }
}
