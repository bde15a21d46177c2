//! Plugins of one's own, dropped into the folder while the monitor runs: taken up, replaced, given up, held back, told.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    harness::{
        Bed, Monitor,
        browser::Browser,
        canned::{Canned, answer},
        isolated,
        misbehaving::{self, ComesTo, Way},
        small_plugin::Small,
    },
    test_name,
};

const SOON: Duration = Duration::from_secs(60);

/// A server that answers `GET /version`, and a monitor that looks at it through a plugin `small`.
struct Ground {
    server: Canned,
    monitor: Monitor,
    scratch: PathBuf,
    plugins: PathBuf,
}

impl Ground {
    fn new(bed: &Bed) -> Ground {
        let server = Canned::start(&[("GET /version", answer(200, "{}"))]);
        let monitor = Monitor::start(bed, &target("it", "small", &server.url()));
        let plugins = monitor.folder.join("data/plugins");
        Ground { server, monitor, scratch: bed.folder("built"), plugins }
    }

    fn drop_in(&self, plugin: &Small) -> PathBuf {
        plugin.drop_into(&self.scratch, &self.plugins)
    }

    /// Until the target is seen through this version; it is `online` all the while, if it was before.
    fn wait_version(&self, version: &str, online_meanwhile: bool) {
        self.monitor.wait_for(SOON, &format!("version {version}"), |monitor| {
            let target = monitor.target("it");
            if online_meanwhile {
                assert_eq!(target["state"], "online", "an observation was lost: {target}");
            }
            let seen = target["version"] == json!(version) && target["state"] == "online";
            if seen { Ok(()) } else { Err(format!("{} {}: {}", target["version"], target["state"], target["why"])) }
        });
    }

    fn wait_why(&self, words: &str) {
        self.monitor.wait_for(SOON, &format!("the target to say {words:?}"), |monitor| {
            let target = monitor.target("it");
            let why = target["why"].as_str().unwrap_or_default().to_owned();
            if why.contains(words) { Ok(()) } else { Err(format!("{}: {why}", target["state"])) }
        });
        assert_eq!(self.monitor.target("it")["state"], "unknown", "never down for the lack of a plugin");
        self.monitor.assert_no_incident("it");
    }
}

fn target(name: &str, backend: &str, url: &str) -> String {
    format!(
        "[[target]]\nname = {}\nbackend = {}\nurl = {}\ncheck_interval = \"200ms\"\n",
        json!(name),
        json!(backend),
        json!(url)
    )
}

/// The plugin of this id, or null; of two the one of the folder.
fn plugin(monitor: &Monitor, id: &str) -> Value {
    let all = monitor.get("plugins");
    let all = all["data"]["plugins"].as_array().cloned().unwrap_or_default();
    let of_it: Vec<Value> = all.into_iter().filter(|p| p["id"] == id).collect();
    let of_folder = of_it.iter().find(|p| p["origin"] == "folder");
    of_folder.or(of_it.first()).cloned().unwrap_or(Value::Null)
}

/// Waits until the plugin, or the file of this name, has this problem; gives it.
fn wait_problem(monitor: &Monitor, name: &str, code: &str) -> Value {
    monitor.wait_for(SOON, &format!("{name}: {code}"), |monitor| {
        let data = monitor.get("plugins")["data"].clone();
        let of_plugin = data["plugins"].as_array().into_iter().flatten().filter(|p| p["id"] == name);
        let of_file = data["files"].as_array().into_iter().flatten();
        let of_file = of_file.filter(|f| f["file"].as_str().is_some_and(|f| Path::new(f).ends_with(name)));
        let problems: Vec<&Value> = of_plugin.chain(of_file).map(|with| &with["problem"]).collect();
        match problems.iter().find(|problem| problem["code"] == code) {
            Some(problem) => Ok((**problem).clone()),
            None => Err(format!("{problems:?} in {data}")),
        }
    })
}

#[test]
fn a_plugin_is_taken_up_replaced_and_given_up_while_the_monitor_runs() {
    isolated(test_name!(a_plugin_is_taken_up_replaced_and_given_up_while_the_monitor_runs), |isolation| {
        let bed = Bed::new(isolation);
        let ground = Ground::new(&bed);
        ground.wait_why("there is no plugin named \"small\"");

        let library = ground.drop_in(&Small::new("small", "1"));
        ground.wait_version("1", false);
        let looks = ground.server.asked().len();
        ground.drop_in(&Small::new("small", "2"));
        ground.wait_version("2", true);
        assert!(ground.server.asked().len() > looks, "it was looked at all the while");
        assert_eq!(plugin(&ground.monitor, "small")["version"], "2");
        assert_eq!(plugin(&ground.monitor, "small")["targets"], json!(["it"]));

        fs::remove_file(&library).expect("the library goes");
        ground.wait_why("was removed");
        let (_, status) = ground.monitor.run(&["status"]);
        assert!(status.contains("unknown") && status.contains("was removed"), "{status}");

        // It comes back, and is known still after the monitor's own end.
        ground.drop_in(&Small::new("small", "3"));
        ground.wait_version("3", false);
        let Ground { server, mut monitor, scratch, plugins } = ground;
        monitor.terminate();
        let (folder, listen) = (monitor.folder.clone(), monitor.listen);
        drop(monitor);
        let ground = Ground { server, monitor: Monitor::start_again(folder, listen), scratch, plugins };
        ground.wait_version("3", false);
    });
}

/// As who builds a plugin again and again: the bytes tell, and not what they say of their version.
#[test]
fn another_build_of_the_same_version_is_taken_over_while_the_monitor_runs() {
    isolated(test_name!(another_build_of_the_same_version_is_taken_over_while_the_monitor_runs), |isolation| {
        let bed = Bed::new(isolation);
        let ground = Ground::new(&bed);
        let mut hashes = BTreeSet::new();
        for (build, there_before) in [("first build", false), ("second build", true)] {
            let library = ground.drop_in(&Small::new("small", "1").saying(build));
            // What the page shows of the target, too.
            ground.wait_version(build, there_before);
            let small = plugin(&ground.monitor, "small");
            assert_eq!((&small["version"], &small["state"]), (&json!("1"), &json!("ready")), "{small}");
            assert_eq!((&small["in_use_hash"], &small["problem"]), (&json!(sha256(&library)), &json!(null)), "{small}");
            hashes.insert(small["in_use_hash"].to_string());
            let (_, status) = ground.monitor.run(&["status"]);
            assert!(status.contains(build) && !status.contains("! plugin"), "{status}");
        }
        assert_eq!(hashes.len(), 2, "{hashes:?}");
        let log = ground.monitor.log();
        assert!(log.contains("plugin small: another build of 1 ("), "{log}");
    });
}

fn sha256(file: &Path) -> String {
    let output = std::process::Command::new("sha256sum").arg(file).output().expect("sha256sum");
    String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn an_update_that_asks_for_more_waits_for_consent() {
    isolated(test_name!(an_update_that_asks_for_more_waits_for_consent), |isolation| {
        let bed = Bed::new(isolation);
        let ground = Ground::new(&bed);
        ground.drop_in(&Small::new("small", "1"));
        ground.wait_version("1", false);
        ground.drop_in(&Small::new("small", "2").asking("POST /delete"));
        let problem = wait_problem(&ground.monitor, "small", "awaiting_consent");
        assert!(problem["text"].as_str().is_some_and(|t| t.contains("POST /delete")), "{problem}");
        ground.wait_version("1", true);
        let (_, status) = ground.monitor.run(&["status"]);
        assert!(status.contains("POST /delete") && status.contains("plugin consent small"), "{status}");
        // Nobody is there to be asked: nothing is granted.
        let (refused, text) = ground.monitor.run(&["plugin", "consent", "small"]);
        assert!(!refused.success() && text.contains("POST /delete") && !text.contains("GET /version"), "{text}");
        let (granted, text) = ground.monitor.run(&["plugin", "consent", "small", "--yes"]);
        assert!(granted.success(), "{text}");
        ground.wait_version("2", true);
        let routes = &plugin(&ground.monitor, "small")["granted"]["liveness"]["routes"];
        assert_eq!(routes, &json!(["GET /version", "POST /delete"]));
    });
}

#[test]
fn each_way_of_not_being_loaded_is_told_with_what_to_do() {
    isolated(test_name!(each_way_of_not_being_loaded_is_told_with_what_to_do), |isolation| {
        let bed = Bed::new(isolation);
        let ground = Ground::new(&bed);
        let path = |name: &str| ground.plugins.join(name);
        ground.drop_in(&Small::new("small", "1"));
        ground.wait_version("1", false);

        let abi = Small { abi: 7, ..Small::new("old", "1") };
        ground.drop_in(&abi);
        let differs = Small { version_inside: Some("9".into()), ..Small::new("differs", "1") };
        ground.drop_in(&differs);
        let alone = ground.drop_in(&Small::new("alone", "1"));
        fs::remove_file(alone.with_extension("json")).expect("its manifest goes");
        let broken = ground.drop_in(&Small::new("broken", "1"));
        fs::write(broken.with_extension("json"), "{\"id\":").expect("half a manifest");
        let writable = ground.drop_in(&Small::new("writable", "1"));
        set_mode(&writable, 0o666);
        let text = ground.drop_in(&Small::new("text", "1"));
        fs::write(&text, "no library").expect("text");
        let windows = ground.drop_in(&Small::new("windows", "1"));
        fs::write(&windows, windows_library()).expect("the head of a library for Windows");
        let empty = ground.drop_in(&Small::new("empty", "1"));
        compile_nothing(&bed, &empty);
        let second = path("second.so");
        fs::copy(path("libsmall.so"), &second).expect("a copy");
        fs::copy(path("libsmall.json"), second.with_extension("json")).expect("a copy");

        let mut problems = Vec::new();
        for (name, code, words) in [
            ("old", "other_abi", "ABI 7"),
            ("differs", "manifest_differs", "/version"),
            ("libalone.so", "no_manifest", "libalone.json"),
            ("libbroken.so", "bad_manifest", "libbroken.json"),
            ("writable", "permissions", "chmod go-w"),
            ("text", "cannot_open", "no library"),
            ("windows", "other_platform", "for Windows on x86-64"),
            ("empty", "no_entry", "ai_monitor_plugin_v1"),
            ("second.so", "duplicate_id", "libsmall.so"),
        ] {
            let problem = wait_problem(&ground.monitor, name, code);
            assert!(problem.to_string().contains(words), "{problem}");
            problems.push(problem);
        }
        ground.wait_version("1", true);
        let (disabled, text) = ground.monitor.run(&["plugin", "disable", "small"]);
        assert!(disabled.success(), "{text}");
        ground.wait_why("plugin enable small");
        problems.push(wait_problem(&ground.monitor, "small", "disabled"));
        let texts: BTreeSet<&str> = problems.iter().filter_map(|problem| problem["text"].as_str()).collect();
        assert_eq!(texts.len(), problems.len(), "each is told by words of its own: {texts:?}");
        for command in [&["status"][..], &["plugin", "list"]] {
            let (_, said) = ground.monitor.run(command);
            for part in problems.iter().flat_map(|problem| [&problem["text"], &problem["remedy"]]) {
                let part = part.as_str().filter(|part| !part.is_empty()).expect("a problem and what to do");
                assert!(said.contains(part), "{part:?} is not told by {command:?}:\n{said}");
            }
        }
        ground.monitor.run(&["plugin", "enable", "small"]);
        ground.wait_version("1", false);
    });
}

#[test]
fn a_plugin_stands_in_for_a_bundled_one_but_not_in_safe_mode() {
    isolated(test_name!(a_plugin_stands_in_for_a_bundled_one_but_not_in_safe_mode), |isolation| {
        let bed = Bed::new(isolation);
        let server = Canned::start(&[("GET /version", answer(200, "{}"))]);
        let mut monitor = Monitor::start(&bed, &target("it", "ollama", &server.url()));
        let plugins = monitor.folder.join("data/plugins");
        Small::new("ollama", "77").drop_into(&bed.folder("built"), &plugins);
        monitor.wait_for(SOON, "the drop-in to be used", |monitor| {
            let plugin = plugin(monitor, "ollama");
            if plugin["replaces_bundled"] == true { Ok(()) } else { Err(plugin.to_string()) }
        });
        monitor.wait_state("it", "online", SOON);
        let (_, list) = monitor.run(&["plugin", "list"]);
        assert!(list.contains("in place of the bundled one"), "{list}");
        assert!(monitor.log().contains("stands in for the bundled one"), "it is in the log");

        let (folder, listen) = (monitor.folder.clone(), monitor.listen);
        monitor.terminate();
        drop(monitor);
        let monitor = Monitor::start_with(folder, listen, &["--safe-mode"]);
        let data = monitor.get("plugins")["data"].clone();
        assert_eq!(data["safe_mode"], true);
        let used: Vec<&Value> =
            data["plugins"].as_array().into_iter().flatten().filter(|p| p["id"] == "ollama").collect();
        assert_eq!(used.len(), 2, "{used:?}");
        assert!(used.iter().any(|p| p["origin"] == "folder" && p["state"] == "not_loaded"), "{used:?}");
        assert_eq!(monitor.get("plugins/ollama")["plugin"]["origin"], "folder", "of two the one of the folder");
        let (_, status) = monitor.run(&["status"]);
        assert!(status.contains("Safe mode"), "{status}");
    });
}

#[test]
fn a_plugin_is_installed_and_removed_with_and_without_a_monitor() {
    isolated(test_name!(a_plugin_is_installed_and_removed_with_and_without_a_monitor), |isolation| {
        let bed = Bed::new(isolation);
        let mut ground = Ground::new(&bed);
        let built = |plugin: &Small| {
            let library = plugin.build(&ground.scratch.join(&plugin.version));
            library.to_str().expect("a path").to_owned()
        };
        let (one, two) = (built(&Small::new("small", "1")), built(&Small::new("small", "2").asking("POST /more")));
        let (refused, text) = ground.monitor.run(&["plugin", "install", &one]);
        assert!(!refused.success() && text.contains("GET /version"), "{text}");
        assert!(!ground.plugins.join("libsmall.so").exists(), "without a yes nothing is done");
        let (installed, text) = ground.monitor.run(&["plugin", "install", &one, "--yes"]);
        assert!(installed.success() && text.contains("small 1 is in use"), "{text}");
        ground.wait_version("1", false);
        let (installed, text) = ground.monitor.run(&["plugin", "install", &two, "--yes"]);
        assert!(installed.success() && text.contains("more: liveness: POST /more"), "{text}");
        ground.wait_version("2", true);
        let (installed, text) = ground.monitor.run(&["plugin", "install", &one, "--yes"]);
        assert!(installed.success() && text.contains("a step back, from version 2 to 1"), "{text}");
        ground.wait_version("1", true);

        let built_for = |abi| Small { abi, ..Small::new("small", "3") };
        let differs = Small { version_inside: Some("4".into()), ..Small::new("small", "3") };
        let installed = ground.plugins.join("libsmall.so");
        let works = fs::read(&installed).expect("it is there");
        for (bad, words) in [(built_for(2), "for ABI 2"), (differs, "at /version")] {
            let bad = bad.build(&ground.scratch.join(words));
            let bad = bad.to_str().expect("a path");
            let (refused, text) = ground.monitor.run(&["plugin", "install", bad, "--yes"]);
            let told = text.contains(words) && text.contains("nothing was installed. What to do");
            assert!(!refused.success() && told, "{text}");
            assert!(fs::read(&installed).expect("it is there") == works, "what works is left: {words}");
        }

        let (checked, text) = ground.monitor.run(&["plugin", "check", "small", "--only", "manifest_id"]);
        assert!(checked.success() && text.contains("ok    manifest_id"), "an installed one by its id: {text}");
        let (ran, text) = ground.monitor.run(&["plugin", "run", "small", "--url", &ground.server.url()]);
        assert!(ran.success() && text.contains("small 1 at"), "{text}");

        let elsewhere = bed.folder("elsewhere");
        let named = ["--plugin-dir", elsewhere.to_str().expect("a path")];
        for command in [&["install", &one, "--yes"][..], &["remove", "small", "--yes"], &["list"]] {
            let (refused, text) = ground.monitor.run(&[&["plugin"], command, &named].concat());
            let names_both = text.contains(named[1]) && text.contains(ground.plugins.to_str().expect("a path"));
            assert!(!refused.success() && names_both, "{text}");
        }
        assert_eq!(fs::read_dir(&elsewhere).expect("it is there").count(), 0);
        let the_same = ["--plugin-dir", ground.plugins.to_str().expect("a path")];
        assert!(ground.monitor.run(&[&["plugin", "list"][..], &the_same].concat()).0.success());

        let (removed, text) = ground.monitor.run(&["plugin", "remove", "small", "--yes"]);
        assert!(removed.success() && text.contains("small is removed."), "{text}");
        let (_, list) = ground.monitor.run(&["plugin", "list"]);
        assert!(!list.contains("libsmall.so"), "it has let go of it: {list}");
        ground.wait_why("was removed");

        ground.monitor.terminate();
        let (installed, text) = ground.monitor.run(&["plugin", "install", &one, "--yes"]);
        assert!(installed.success() && text.contains("when ai-monitor runs"), "{text}");
        let (_, list) = ground.monitor.run(&["plugin", "list"]);
        assert!(list.contains("not loaded") && list.contains("libsmall.so"), "{list}");
        let (removed, text) = ground.monitor.run(&["plugin", "remove", "small", "--yes"]);
        assert!(removed.success(), "{text}");
        assert!(!ground.plugins.join("libsmall.so").exists() && !ground.plugins.join("libsmall.json").exists());
        let (bundled, text) = ground.monitor.run(&["plugin", "remove", "ollama", "--yes"]);
        assert!(!bundled.success() && text.contains("is bundled"), "{text}");
    });
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode");
}

/// The first bytes of a library for Windows on x86-64.
fn windows_library() -> Vec<u8> {
    let mut head = vec![0; 256];
    head[..2].copy_from_slice(b"MZ");
    head[0x3c] = 0x80;
    head[0x80..0x86].copy_from_slice(b"PE\0\0\x64\x86");
    head
}

/// A library that is no plugin.
fn compile_nothing(bed: &Bed, library: &Path) {
    let source = bed.folder("built").join("nothing.c");
    fs::write(&source, "int nothing;\n").expect("a source");
    let new = library.with_extension("new");
    let compiled = std::process::Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&new).arg(&source).status();
    assert!(compiled.expect("a C compiler").success());
    fs::rename(&new, library).expect("put in place");
}

/// Targets that are well, beside the misbehaving ones.
const HEALTHY: usize = 50;
/// Between two looks at one target, any other healthy one is looked at so often and no more: none is left behind. By
/// the same monitor, and by one beside it that has no misbehaving plugins.
const OTHERS_BETWEEN: usize = 6;
/// For all the misbehaving ones to come to their end: below the patience of who watches the test.
const IN_ALL: Duration = Duration::from_secs(170);

#[test]
fn a_folder_of_misbehaving_plugins_harms_nobody_else() {
    isolated(test_name!(a_folder_of_misbehaving_plugins_harms_nobody_else), |isolation| {
        let bed = Bed::new(isolation);
        let plugins = bed.folder("monitor").join("data/plugins");
        fs::create_dir_all(&plugins).expect("the plugin folder");
        let ways = misbehaving::WAYS;
        ways.iter().for_each(|way| drop(way.build(&plugins)));
        let servers: Vec<Canned> = ways.iter().map(|_| Canned::start(&[("GET /version", answer(200, "{}"))])).collect();
        let version = answer(200, r#"{"version":"0.32.15"}"#);
        let healthy: Vec<Canned> =
            (0..HEALTHY).map(|_| Canned::start(&[("GET /api/version", version.clone())])).collect();
        let mut well = String::new();
        for (index, server) in healthy.iter().enumerate() {
            well.push_str(&target(&format!("well-{index}"), "ollama", &server.url()).replace("200ms", "1s"));
        }
        let mut config = well.clone();
        for (way, server) in ways.iter().zip(&servers) {
            config.push_str(&target(&way.id(), &way.id(), &server.url()));
        }
        // Both have the same machine at every moment: what makes one late alone is the plugins.
        let mut undisturbed = Monitor::start_in(&bed, "undisturbed", &well);
        let mut monitor = Monitor::start(&bed, &config);

        let until = Instant::now() + IN_ALL;
        for way in ways {
            let id = way.id();
            let (state, words) = match way.comes_to {
                ComesTo::Good => ("ready", ""),
                ComesTo::NotLoaded(words) => ("failed", words),
                ComesTo::PluginError(words)
                | ComesTo::ProtocolError(words)
                | ComesTo::Crashed(words)
                | ComesTo::Overrun(words) => ("quarantined", words),
            };
            wait_plugin(&monitor, until, &id, state, words);
        }
        let (_, status) = monitor.run(&["status"]);
        for way in ways {
            let name = way.id();
            let good = way.comes_to == ComesTo::Good;
            let view = monitor.wait_state(&name, if good { "online" } else { "unknown" }, SOON);
            let line = status.lines().find(|line| line.starts_with(&format!("! plugin {name} ")));
            assert_eq!(good, line.is_none(), "{view}\n{status}");
            let reason = reason(&monitor, &name);
            assert!(line.is_none_or(|line| line.contains(&reason)), "{name}: {line:?} has no {reason:?}");
            monitor.assert_no_incident(&name);
        }
        Runtime::new().expect("a runtime").block_on(assert_page_shows(&monitor, ways));
        for index in 0..HEALTHY {
            assert_eq!(monitor.target(&format!("well-{index}"))["state"], "online");
        }
        monitor.terminate();
        undisturbed.terminate();
        let looks = |monitor: &Monitor| looks_of_well(&monitor.folder.join("data/journal.db"));
        assert_on_time(&looks(&monitor), &looks(&undisturbed));
    });
}

/// Why a plugin is in its state, in the API's words.
fn reason(monitor: &Monitor, id: &str) -> String {
    let plugin = plugin(monitor, id);
    let reason = plugin["why"].as_str().and_then(|why| why.lines().next()).unwrap_or_default().trim_end_matches('.');
    assert!(!reason.is_empty(), "every string holds an empty reason: {plugin}");
    reason.to_owned()
}

/// In a real browser, where one is wanted: the page has a row for each of them, with its state and its reason.
async fn assert_page_shows(monitor: &Monitor, ways: &[Way]) {
    let Some(browser) = Browser::open().await else { return };
    browser.go(&format!("http://{}/ai-monitor/plugins", monitor.listen)).await;
    browser.until("document.querySelector('.plugins tbody tr')").await;
    for way in ways {
        let id = way.id();
        let row = format!("document.querySelector('[data-key=\"folder {id}\"]')?.textContent ?? ''");
        let row = browser.eval(&row).await;
        let row = row.as_str().unwrap_or_default().to_lowercase();
        let state = match way.comes_to {
            ComesTo::Good => "ready",
            ComesTo::NotLoaded(_) => "not loaded",
            _ => "quarantined",
        };
        // What is well needs none.
        let reason = if state == "ready" { String::new() } else { reason(monitor, &id).to_lowercase() };
        assert!(row.contains(state) && row.contains(&reason), "{id} is {state}, for {reason:?}; the page has {row:?}");
    }
    assert_eq!(browser.complaints().await, [""; 0]);
}

/// Waits until the plugin is in this state, with these words in the reason.
fn wait_plugin(monitor: &Monitor, until: Instant, id: &str, state: &str, words: &str) {
    monitor.wait_for(
        until.saturating_duration_since(Instant::now()),
        &format!("{id} to be {state}: {words}"),
        |monitor| {
            let plugin = plugin(monitor, id);
            let why = plugin["why"].as_str().unwrap_or_default();
            // Where the machine is so busy that a session's time is over before its requests are.
            let late =
                [("more than 64 requests", "answers of deadline"), ("more than 256 waits", "after its deadline")];
            let in_time = !late.iter().any(|(in_time, late)| words.contains(in_time) && why.contains(late));
            if plugin["state"] == state && (why.contains(words) || !in_time) {
                Ok(())
            } else {
                Err(format!("{} {why}", plugin["state"]))
            }
        },
    );
}

/// Looks at targets that are well, by the journal: when (ns), and at which.
fn looks_of_well(journal: &Path) -> Vec<(i64, String)> {
    let connection = rusqlite::Connection::open(journal).expect("the journal");
    let query = "SELECT at, target FROM sample WHERE depth = 0 AND target LIKE 'well-%' ORDER BY at";
    let mut statement = connection.prepare(query).expect("a question");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("the samples");
    rows.collect::<Result<_, _>>().expect("rows")
}

/// In the order of the looks, whatever the machine's load was: the monitor whose plugins misbehave kept all targets
/// that are well in step with each other, and with the looks that another monitor had time for meanwhile.
fn assert_on_time(looks: &[(i64, String)], undisturbed: &[(i64, String)]) {
    let of = places(looks);
    assert_eq!(of.len(), HEALTHY);
    for own in of.values() {
        for pair in own.windows(2) {
            let (most, count) = most_looked_at(&looks[pair[0] + 1..pair[1]]);
            assert!(
                count <= OTHERS_BETWEEN,
                "{most} was looked at {count} times between two looks at {}",
                looks[pair[0]].1
            );
        }
    }
    let other = places(undisturbed);
    assert_eq!(other.len(), HEALTHY);
    for (target, own) in &of {
        let times: Vec<i64> = own.iter().map(|place| looks[*place].0).collect();
        let theirs: Vec<i64> = other[target].iter().map(|place| undisturbed[*place].0).collect();
        let between = |from: i64, to: i64| theirs.iter().filter(|at| (from..to).contains(*at)).count();
        for pair in times.windows(2) {
            let missed = between(pair[0], pair[1]);
            assert!(missed <= OTHERS_BETWEEN, "{target} was looked at {missed} times elsewhere, and not here");
        }
        let (first, last) = (times[0], times[times.len() - 1]);
        let all = between(first, last);
        assert!(times.len() * 2 >= all, "{target} was looked at {} times here, and {all} times elsewhere", times.len());
    }
}

/// Where each target stands in the order of looks.
fn places(looks: &[(i64, String)]) -> BTreeMap<&str, Vec<usize>> {
    let mut of: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, (_, target)) in looks.iter().enumerate() {
        of.entry(target).or_default().push(place);
    }
    of
}

fn most_looked_at(looks: &[(i64, String)]) -> (&str, usize) {
    let counts = places(looks).into_iter().map(|(target, places)| (target, places.len()));
    counts.max_by_key(|(_, count)| *count).unwrap_or_default()
}
