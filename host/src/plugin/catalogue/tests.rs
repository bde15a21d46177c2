use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use jiff::Timestamp;

use super::*;
use crate::{
    plugin::{Ended, Grants, PluginState, PluginView, Source},
    time::Now,
};

/// Time in hand, ms.
#[derive(Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Now {
        Now { mono: Duration::from_millis(self.0.load(Ordering::Relaxed)), wall: Timestamp::UNIX_EPOCH }
    }
}

struct Stage {
    hand: Arc<Hand>,
    catalogue: Arc<Catalogue>,
    _folders: (tempfile::TempDir, tempfile::TempDir),
}

impl Stage {
    fn new() -> Stage {
        let folders = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let hand = Arc::new(Hand::default());
        let catalogue = Catalogue::open(hand.clone(), Registry::bundled(), folders.0.path(), folders.1.path(), false);
        Stage { hand, catalogue, _folders: folders }
    }

    fn library(&self, name: &str) -> PathBuf {
        let path = self.catalogue.folder().join(name);
        std::fs::write(&path, name).unwrap();
        path
    }

    fn use_it(&self, library: &Path, manifest: Manifest) {
        self.catalogue.loading(library, manifest.clone().into(), "hash");
        self.catalogue.take_over(library, Plugin::of_test(manifest), "hash".into());
    }

    fn version(&self, id: &str) -> Result<String, Absent> {
        self.catalogue.take(id, "http://a/").map(|plugin| plugin.manifest().version.clone())
    }

    fn view(&self, id: &str) -> Vec<PluginView> {
        let view = self.catalogue.view([("one", "mine"), ("two", "ollama")].into_iter());
        view.plugins.into_iter().filter(|p| p.id == id).collect()
    }

    /// A session of the plugin that is in use for `target` ends 10 ms later.
    fn end(&self, plugin: &Plugin, target: &str, failure: Option<&str>) {
        self.hand.0.fetch_add(10, Ordering::Relaxed);
        let failure = failure.map(str::to_owned);
        plugin.ended(&Ended { target, session: "liveness", took: Duration::from_millis(5), failure });
    }

    fn later(&self, ms: u64) {
        self.hand.0.fetch_add(ms, Ordering::Relaxed);
    }
}

fn manifest(id: &str, version: &str) -> Manifest {
    let text = serde_json::json!({"contract":"1.0","abi":1,"id":id,"version":version,"label":id,
        "probes":{"liveness":{"routes":["GET /"],"deadline_ms":100}}});
    serde_json::from_value(text).unwrap()
}

#[test]
fn a_plugin_comes_is_replaced_and_goes() {
    let stage = Stage::new();
    assert!(matches!(stage.version("mine"), Err(Absent::Unknown { .. })));
    let library = stage.library("libmine.so");
    stage.catalogue.store().change("mine", |kept| kept.grants = Some(Grants::default())).unwrap();
    stage.catalogue.loading(&library, manifest("mine", "1").into(), "hash");
    assert!(matches!(stage.version("mine"), Err(Absent::Loading { .. })));
    stage.use_it(&library, manifest("mine", "1"));
    assert_eq!(stage.version("mine"), Ok("1".into()));
    let first = stage.catalogue.take("mine", "http://a/").unwrap();
    stage.catalogue.loading(&library, manifest("mine", "2").into(), "hash");
    assert_eq!(stage.version("mine"), Ok("1".into()), "the old one serves while the new one is loaded");
    stage.use_it(&library, manifest("mine", "2"));
    assert_eq!(stage.version("mine"), Ok("2".into()));
    assert_eq!(stage.view("mine")[0].targets, ["one"]);
    // A session under way goes on with the old one, and its failure is not the new one's.
    for _ in 0..3 {
        stage.end(&first, "http://a/", Some("it crashed"));
    }
    assert_eq!(stage.version("mine"), Ok("2".into()));
    stage.catalogue.gone(&library, None);
    let absent = stage.version("mine").unwrap_err();
    assert!(matches!(&absent, Absent::Removed { .. }) && !absent.is_passing(), "{absent}");
}

#[test]
fn a_drop_in_stands_in_for_the_bundled_one_visibly() {
    let stage = Stage::new();
    let bundled = stage.version("ollama").unwrap();
    let library = stage.library("ollama.so");
    stage.catalogue.loading(&library, manifest("ollama", "99").into(), "hash");
    assert_eq!(stage.version("ollama"), Ok(bundled.clone()), "until it is loaded");
    stage.use_it(&library, manifest("ollama", "99"));
    assert_eq!(stage.version("ollama"), Ok("99".into()));
    assert_eq!(stage.catalogue.registry().get("ollama").unwrap().manifest().version, "99");
    let view = stage.view("ollama");
    assert_eq!(view.len(), 1);
    assert!(view[0].replaces_bundled && view[0].origin == Source::Folder && view[0].targets == ["two"]);
    stage.catalogue.gone(&library, None);
    assert_eq!(stage.version("ollama"), Ok(bundled));
    assert_eq!(stage.view("ollama")[0].origin, Source::Bundled);
}

#[test]
fn a_file_that_cannot_be_used_leaves_the_old_one_in_use_and_says_so() {
    let stage = Stage::new();
    let library = stage.library("mine.so");
    stage.use_it(&library, manifest("mine", "1"));
    let crashed = Refusal::Crashed { how: "crashed (SIGSEGV)".into() };
    stage.catalogue.refuse(&library, Some(manifest("mine", "2").into()), crashed);
    assert_eq!(stage.version("mine"), Ok("1".into()));
    let view = &stage.view("mine")[0];
    assert_eq!((view.state, view.version.as_str()), (PluginState::Ready, "1"));
    assert_eq!(view.next_version.as_deref(), Some("2"));
    assert_eq!(view.problem.as_ref().unwrap().code, "crashed_while_loading");
    let broken = stage.library("other.so");
    stage.catalogue.refuse(&broken, None, Refusal::NoManifest { path: broken.with_extension("json") });
    let files = stage.catalogue.view(std::iter::empty()).files;
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].problem.code, "no_manifest");
}

/// Goes with its plugin, and sees whether the catalogue can be asked then.
struct Farewell {
    catalogue: Arc<Catalogue>,
    could_ask: Arc<Mutex<Vec<bool>>>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        self.could_ask.lock().unwrap().push(self.catalogue.state.try_lock().is_ok());
    }
}

#[test]
fn nobody_waits_while_a_plugin_is_put_away() {
    let stage = Stage::new();
    let library = stage.library("mine.so");
    let could_ask = Arc::new(Mutex::new(Vec::new()));
    let use_it = |version| {
        let plugin = Plugin::of_test(manifest("mine", version));
        let farewell = Farewell { catalogue: stage.catalogue.clone(), could_ask: could_ask.clone() };
        plugin.listen(Arc::new(move |_: &Ended<'_>| _ = &farewell));
        stage.catalogue.loading(&library, plugin.manifest().clone(), "hash");
        stage.catalogue.take_over(&library, plugin, "hash".into());
    };
    use_it("1");
    use_it("2");
    stage.catalogue.set_disabled("mine", true).unwrap();
    stage.catalogue.set_disabled("mine", false).unwrap();
    use_it("3");
    let disabled = Refusal::Disabled { id: "mine".into() };
    stage.catalogue.refuse(&library, Some(manifest("mine", "3").into()), disabled);
    use_it("4");
    stage.catalogue.gone(&library, None);
    assert_eq!(*could_ask.lock().unwrap(), [true; 4]);
}

#[test]
fn another_file_of_the_same_id_touches_nothing_of_the_one_in_use() {
    let stage = Stage::new();
    let (used, other) = (stage.library("mine.so"), stage.library("mine.dll"));
    stage.use_it(&used, manifest("mine", "1"));
    let refusals = [
        Refusal::OtherPlatform { found: "a library for Windows on x86-64".into(), needed: "Linux".into() },
        Refusal::Permissions { path: other.clone(), why: "others can write it".into(), remedy: "chmod".into() },
        Refusal::Crashed { how: "SIGSEGV".into() },
        Refusal::Consent { id: "mine".into(), more: Grants::default() },
    ];
    for refusal in refusals {
        stage.catalogue.refuse(&other, Some(manifest("mine", "2").into()), refusal);
        assert_eq!(stage.version("mine"), Ok("1".into()));
        let view = &stage.view("mine")[0];
        assert_eq!(view.library.as_deref(), used.to_str(), "the file in use is still told as its own");
        assert_eq!((view.problem.as_ref(), view.asks_for.as_ref()), (None, None));
        let files = stage.catalogue.view(std::iter::empty()).files;
        assert_eq!(files.iter().map(|f| f.problem.code.as_str()).collect::<Vec<_>>(), ["duplicate_id"]);
    }
    stage.catalogue.gone(&other, None);
    assert_eq!(stage.version("mine"), Ok("1".into()), "it goes, and takes nothing with it");
}

#[test]
fn what_a_person_holds_back_keeps_its_id_and_what_cannot_be_used_does_not() {
    let stage = Stage::new();
    let (first, second) = (stage.library("a.so"), stage.library("b.so"));
    let refuse = |refusal| stage.catalogue.refuse(&first, Some(manifest("mine", "1").into()), refusal);
    for refusal in [
        Refusal::Consent { id: "mine".into(), more: Grants::default() },
        Refusal::Quarantined { id: "mine".into(), reason: "it crashed".into() },
        Refusal::Disabled { id: "mine".into() },
    ] {
        refuse(refusal);
        assert_eq!(stage.catalogue.holder("mine", &second), Some(first.clone()), "no other file slips past it");
    }
    stage.catalogue.refuse(&second, Some(manifest("mine", "2").into()), Refusal::NoEntry);
    assert_eq!(stage.catalogue.to_look_at_again(), Vec::<PathBuf>::new());
    refuse(Refusal::NoEntry);
    assert_eq!(stage.catalogue.holder("mine", &second), None);
    assert_eq!(stage.catalogue.to_look_at_again(), [second], "it has its turn");
}

#[test]
fn three_failures_quarantine_over_the_monitors_end_until_a_person_releases_it() {
    let stage = Stage::new();
    let library = stage.library("mine.so");
    stage.use_it(&library, manifest("mine", "1"));
    let plugin = stage.catalogue.take("mine", "http://a/").unwrap();
    stage.end(&plugin, "http://a/", Some("it crashed: SIGSEGV"));
    let absent = stage.catalogue.take("mine", "http://b/").unwrap_err();
    assert_eq!(absent.again(), Some(Duration::from_secs(1)), "all its targets wait");
    assert!(absent.to_string().contains("liveness: it crashed: SIGSEGV"), "{absent}");
    assert_eq!(stage.view("mine")[0].state, PluginState::BackingOff);
    for _ in 0..2 {
        stage.later(5000);
        assert!(stage.version("mine").is_ok(), "tried again");
        stage.end(&plugin, "http://a/", Some("it crashed: SIGSEGV"));
    }
    stage.later(1_000_000);
    assert!(matches!(stage.version("mine"), Err(Absent::Quarantined { .. })));
    assert_eq!(stage.view("mine")[0].state, PluginState::Quarantined);
    let kept = Store::open(stage._folders.1.path()).get("mine").quarantine.expect("it is kept");
    assert_eq!(kept.library, "hash");
    assert!(kept.reason.contains("SIGSEGV"), "{}", kept.reason);
    assert!(stage.catalogue.release("mine").unwrap());
    assert_eq!(stage.version("mine"), Ok("1".into()));
    assert!(!stage.catalogue.release("mine").unwrap(), "so already");
    assert_eq!(Store::open(stage._folders.1.path()).get("mine").quarantine, None);
}

#[test]
fn a_bundled_plugin_backs_off_from_the_hostile_server_alone() {
    let stage = Stage::new();
    let plugin = stage.catalogue.take("ollama", "http://hostile/").unwrap();
    for _ in 0..10 {
        stage.end(&plugin, "http://hostile/", Some("it failed: panicked"));
        assert!(matches!(stage.catalogue.take("ollama", "http://hostile/"), Err(Absent::BackingOff { .. })));
        assert!(stage.catalogue.take("ollama", "http://good/").is_ok());
        stage.later(61_000);
        assert!(stage.catalogue.take("ollama", "http://hostile/").is_ok(), "never for good");
    }
    assert!(matches!(stage.catalogue.set_disabled("ollama", true), Err(ManageError::Bundled { .. })));
}

#[test]
fn the_targets_that_cannot_be_looked_at_are_counted_and_no_others() {
    let stage = Stage::new();
    let held = |id: &str| {
        let targets = [("a", "ollama"), ("b", "ollama"), ("c", "mine"), ("d", "mine"), ("e", "broken")];
        let view = stage.catalogue.view(targets.into_iter());
        view.one(id).map(|p| (p.held_targets, p.targets.len())).unwrap()
    };
    assert_eq!(held("ollama"), (0, 2));
    let bundled = stage.catalogue.take("ollama", "http://hostile/").unwrap();
    stage.end(&bundled, "http://hostile/", Some("it failed: panicked"));
    assert_eq!(held("ollama"), (1, 2), "the other one is looked at");
    let library = stage.library("mine.so");
    stage.use_it(&library, manifest("mine", "1"));
    assert_eq!(held("mine"), (0, 2));
    let crashed = || Refusal::Crashed { how: "SIGSEGV".into() };
    stage.catalogue.refuse(&library, Some(manifest("mine", "2").into()), crashed());
    assert_eq!(held("mine"), (0, 2), "the old one is used");
    let plugin = stage.catalogue.take("mine", "http://c/").unwrap();
    stage.end(&plugin, "http://c/", Some("it crashed"));
    assert_eq!(held("mine"), (2, 2));
    stage.catalogue.refuse(&stage.library("broken.so"), Some(manifest("broken", "1").into()), crashed());
    assert_eq!(held("broken"), (1, 1), "nothing stands in for it");
    stage.catalogue.refuse(&stage.library("ollama.so"), Some(manifest("ollama", "9").into()), crashed());
    assert_eq!(held("ollama"), (0, 0), "the bundled one is used");
}

#[test]
fn consent_is_given_to_what_was_seen() {
    let stage = Stage::new();
    let library = stage.library("mine.so");
    stage.use_it(&library, manifest("mine", "1"));
    let mut two = manifest("mine", "2");
    let granted = Grants::of(&two);
    stage.catalogue.store().change("mine", |kept| kept.grants = Some(granted.clone())).unwrap();
    two.probes.values_mut().for_each(|p| p.routes.push("POST /x".into()));
    let more = granted.missing(&Grants::of(&two));
    stage.catalogue.refuse(&library, Some(two.into()), Refusal::Consent { id: "mine".into(), more: more.clone() });
    assert_eq!(stage.version("mine"), Ok("1".into()), "the old one stays in use");
    let view = &stage.view("mine")[0];
    assert_eq!((view.asks_for.as_ref(), view.next_version.as_deref()), (Some(&more), Some("2")));
    let other = stage.catalogue.consent("mine", Some(&Grants::default()));
    assert!(matches!(other, Err(ManageError::AsksOther { .. })));
    assert!(stage.catalogue.consent("mine", Some(&more)).unwrap());
    assert_eq!(stage.catalogue.to_look_at_again(), [library]);
    let kept = stage.catalogue.store().get("mine").grants.unwrap();
    assert_eq!(kept.sessions["liveness"].routes, ["GET /", "POST /x"]);
    assert!(!stage.catalogue.consent("mine", None).unwrap(), "nothing waits any more");
}

#[test]
fn what_is_disabled_is_not_used_from_the_next_look_on() {
    let stage = Stage::new();
    let library = stage.library("mine.so");
    stage.use_it(&library, manifest("mine", "1"));
    assert!(stage.catalogue.set_disabled("mine", true).unwrap());
    let absent = stage.version("mine").unwrap_err();
    assert!(absent.to_string().contains("plugin enable mine"), "{absent}");
    assert_eq!(stage.view("mine")[0].state, PluginState::Disabled);
    assert!(stage.catalogue.set_disabled("mine", false).unwrap());
    assert_eq!(stage.catalogue.to_look_at_again(), [library]);
    assert!(matches!(stage.catalogue.set_disabled("nobody", true), Err(ManageError::Unknown { .. })));
}

#[test]
fn safe_mode_knows_what_is_there_and_uses_none_of_it() {
    let stage = Stage::new();
    let library = stage.library("ollama.so");
    let text = serde_json::to_string(&manifest("ollama", "99")).unwrap();
    std::fs::write(library.with_extension("json"), text).unwrap();
    let data = tempfile::tempdir().unwrap();
    let safe = Catalogue::open(stage.hand.clone(), Registry::bundled(), stage.catalogue.folder(), data.path(), true);
    assert_ne!(safe.take("ollama", "http://a/").unwrap().manifest().version, "99");
    let view = safe.view(std::iter::empty());
    let states: Vec<_> = view.plugins.iter().filter(|p| p.id == "ollama").map(|p| (p.origin, p.state)).collect();
    assert!(view.safe_mode);
    assert!(states.contains(&(Source::Folder, PluginState::NotLoaded)), "{states:?}");
    assert!(states.contains(&(Source::Bundled, PluginState::Ready)), "{states:?}");
    assert_eq!(view.one("ollama").map(|p| p.origin), Some(Source::Folder), "about the other nothing can be done");
    assert_eq!(view.one("custom").map(|p| p.origin), Some(Source::Bundled));
    assert_eq!(view.one("nobody"), None);
    assert_eq!(view.ids(), "custom, lm-studio, localai, ollama, openai");
}
