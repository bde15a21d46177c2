//! The user's folder, the shipped policies, what is recorded of them.

use serde_json::Map;

use super::*;
use crate::policy::{PolicyStore, Why};

fn store(files: &[(&str, &str)]) -> (tempfile::TempDir, PolicyStore) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let store = PolicyStore::new(Some(dir.path().into()));
    (dir, store)
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

const FIVE_LINES: &str = "policy { api = 1, about = \"five lines\", settings = { idle = 30 * minute } }\nlocal tools = require \"tools\"\nfunction heal.stalled() act.restart {} end\nfunction heal.debug() end\n";

#[test]
fn sources_hold_all_that_is_required_and_can_be_run_without_the_folder() {
    let (dir, store) = store(&[("mine.lua", FIVE_LINES), ("tools.lua", "return 1"), ("other.lua", "broken(")]);
    let sources = store.load("mine").unwrap();
    let names: Vec<&str> = sources.files.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["mine.lua", "tools.lua", "default.lua"]);
    // echo -n 'return 1' | sha256sum
    assert_eq!(sources.files[1].hash, "486d9affb60dbb0063b03d8e23a6ccf6364ce203dc3a9f56f20e750eb41ecade");
    drop(dir);
    let mut run = PolicyRun::start(&sources, json!({})).unwrap();
    assert_eq!(run.enter(FaultClass::Dead).unwrap().why, Why::Default);
}

#[test]
fn a_check_tells_what_a_policy_is() {
    let (dir, store) = store(&[("mine.lua", FIVE_LINES), ("tools.lua", "return 1")]);
    let info = store.check("mine", &map(json!({ "idle": "1h" }))).unwrap();
    assert_eq!(info.about, "five lines");
    assert_eq!(info.ladders, ["stalled", "debug"]);
    assert_eq!(info.requires, ["tools.lua"]);
    assert_eq!(info.settings, map(json!({ "idle": 1800 })));
    assert_eq!((info.file, info.replaces_shipped), (Some(dir.path().join("mine.lua")), false));
    let info = store.check("default", &Map::new()).unwrap();
    assert_eq!((info.file, info.replaces_shipped), (None, false));
    assert_eq!(store.names(), ["default", "mine", "tools"]);
}

#[test]
fn a_check_refuses_settings_that_do_not_fit() {
    let (_dir, store) = store(&[("mine.lua", FIVE_LINES), ("tools.lua", "return 1")]);
    let error = |given| store.check("mine", &map(given)).unwrap_err().to_string();
    assert_eq!(
        error(json!({ "idel": 3 })),
        "the settings of policy 'mine': it declares no setting 'idel'; did you mean 'idle'? (its own: idle)"
    );
    assert_eq!(
        error(json!({ "idle": "soon" })),
        "the settings of policy 'mine': 'idle' is a number or a duration such as \"30m\", not \"soon\""
    );
    assert_eq!(
        error(json!({ "idle": true })),
        "the settings of policy 'mine': 'idle' has the default 1800, so true does not fit"
    );
}

#[test]
fn a_users_file_replaces_the_shipped_one_and_the_shipped_one_still_takes_over() {
    let (_dir, store) = store(&[
        ("default.lua", "policy { api = 1, about = \"mine\" }\nfunction heal.dead() leave \"mine\" end"),
        (
            "other.lua",
            "local default = require \"default\"\npolicy { api = 1, about = \"x\" }\nheal.dead = default.dead",
        ),
    ]);
    let info = store.check("default", &Map::new()).unwrap();
    assert!(info.replaces_shipped);
    let sources = store.load("default").unwrap();
    let names: Vec<&str> = sources.files.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["default.lua", "shipped/default.lua"]);
    let mut run = PolicyRun::start(&sources, json!({})).unwrap();
    assert_eq!(run.enter(FaultClass::Dead).unwrap().why, Why::Own);
    assert!(matches!(run.resume(&stalled(), None), Step::Leave { .. }));
    let entered = run.enter(FaultClass::Stalled).unwrap();
    assert_eq!((entered.file.as_str(), entered.why), ("shipped/default.lua", Why::Default));
    assert_eq!(act(run.resume(&stalled(), None)).line.split(':').next(), Some("shipped/default.lua"));
    let mut run = PolicyRun::start(&store.load("other").unwrap(), json!({})).unwrap();
    run.enter(FaultClass::Dead).unwrap();
    assert!(matches!(run.resume(&stalled(), None), Step::Leave { .. }), "require takes the user's");
    assert_eq!(run.enter(FaultClass::Stalled).unwrap().file, "shipped/default.lua");
}

#[test]
fn what_cannot_be_read_is_named_with_what_to_do() {
    let (dir, store) = store(&[("big.lua", &"-".repeat(300 << 10)), ("tools.lua", "return 1")]);
    std::fs::write(dir.path().join("bytes.lua"), [0xff, 0xfe]).unwrap();
    std::fs::create_dir(dir.path().join("folder.lua")).unwrap();
    let error = |name| store.load(name).unwrap_err().to_string();
    assert!(error("../mine").starts_with("'../mine' is no name of a policy: use lower-case letters"));
    assert!(error("defalt").ends_with("and the shipped ones; did you mean 'default'?"), "{}", error("defalt"));
    assert!(error("big").ends_with("larger than 256 KiB: split it with require"));
    assert!(error("bytes").ends_with("bytes.lua: is not UTF-8 text"));
    assert!(error("folder").ends_with("folder.lua: cannot be read: it is not a regular file"));
    assert_eq!(error("tools"), "tools.lua: policy { api = 1, about = \"…\" } is missing at its top");
    assert!(
        PolicyStore::new(None)
            .load("mine")
            .unwrap_err()
            .to_string()
            .ends_with("the shipped ones (there is no policy folder)")
    );
}

#[test]
fn more_than_sixteen_files_spend_the_load_budget() {
    let files: Vec<(String, String)> = (0..20)
        .map(|n| (format!("p{n}.lua"), format!("policy {{ api = 1, about = \"x\" }}\nrequire \"p{}\"", n + 1)))
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
    let (_dir, store) = store(&files);
    let error = store.load("p0").unwrap_err().to_string();
    assert!(error.starts_with("budget: load") && error.ends_with("at p15.lua:2"), "{error}");
}

#[test]
fn a_file_that_breaks_later_leaves_the_last_good_one_in_force() {
    let (dir, store) = store(&[("mine.lua", "policy { api = 1, about = \"good\" }")]);
    let (good, trouble) = store.in_force("mine").unwrap();
    assert_eq!(trouble, None);
    std::fs::write(dir.path().join("mine.lua"), "policy {").unwrap();
    let (kept, trouble) = store.in_force("mine").unwrap();
    assert_eq!(kept, good);
    assert!(trouble.unwrap().to_string().starts_with("mine.lua:1: "));
    assert!(PolicyStore::new(Some(dir.path().into())).in_force("mine").is_err(), "it never loaded here");
}
