use std::{
    io::Read,
    sync::atomic::{AtomicU32, Ordering},
};

use super::*;
use crate::{
    plugin::{Absent, PluginState, Registry, Store, folder::platform},
    time::SystemClock,
};

/// Loads files that are made by [`Stage::drop_in`]: behind the head of a library, a manifest, or a word for a mishap.
struct Pretend {
    loads: AtomicU32,
}

impl Loader for Pretend {
    fn load<'a>(&'a self, library: &'a Path) -> Loading<'a> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        let bytes = std::fs::read(library).unwrap();
        let path = library.to_owned();
        Box::pin(async move {
            match &bytes[platform::HEAD..] {
                b"no entry" => Err(LoadError::NoPlugin { path, stem: "x".into() }),
                b"hang" => std::future::pending().await,
                b"panic" => panic!("as a bug of the loader's does"),
                manifest => Ok(Plugin::of_test(serde_json::from_slice(manifest).unwrap())),
            }
        })
    }
}

struct Stage {
    folder: tempfile::TempDir,
    data: tempfile::TempDir,
    catalogue: Arc<Catalogue>,
    loader: Arc<Pretend>,
    keeper: Option<tokio::task::JoinHandle<()>>,
}

impl Stage {
    fn new() -> Stage {
        let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let catalogue = open(folder.path(), data.path());
        let loader = Arc::new(Pretend { loads: AtomicU32::new(0) });
        Stage { folder, data, catalogue, loader, keeper: None }
    }

    fn start(mut self) -> Stage {
        let keeper = Keeper::new(self.catalogue.clone(), self.loader.clone(), self.data.path()).unwrap();
        self.keeper = Some(tokio::spawn(keeper.run()));
        self
    }

    /// As after the monitor's end.
    async fn restart(mut self) -> Stage {
        let keeper = self.keeper.take().unwrap();
        keeper.abort();
        assert!(keeper.await.unwrap_err().is_cancelled());
        let catalogue = open(self.folder.path(), self.data.path());
        Stage { catalogue, keeper: None, ..self }.start()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A library that loads as `inside` says, and a manifest beside it; each whole at once.
    fn drop_in(&self, name: &str, inside: &str, beside: &Manifest) {
        let mut bytes = Vec::new();
        let own = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        own.take(platform::HEAD as u64).read_to_end(&mut bytes).unwrap();
        bytes.extend(inside.as_bytes());
        put(&self.path(name).with_extension("json"), serde_json::to_string(beside).unwrap().as_bytes());
        put(&self.path(name), &bytes);
    }

    fn good(&self, name: &str, manifest: &Manifest) {
        self.drop_in(name, &serde_json::to_string(manifest).unwrap(), manifest);
    }

    /// Until it holds, seen at each change.
    async fn until(&self, what: &str, holds: impl Fn(&Catalogue) -> bool) {
        let mut changes = self.catalogue.changes();
        let seen = async {
            while !holds(&self.catalogue) {
                changes.changed().await.unwrap()
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), seen).await.is_err() {
            panic!("not seen: {what}; {:#?}", self.catalogue.view(std::iter::empty()));
        }
    }

    async fn version(&self, id: &str, version: &str) {
        self.until(&format!("{id} {version}"), |c| {
            c.take(id, "http://a/").is_ok_and(|p| p.manifest().version == version)
        })
        .await;
    }

    async fn problem(&self, id: &str, code: &str) {
        self.until(&format!("{id}: {code}"), |c| {
            let view = c.view(std::iter::empty());
            let of_plugin =
                view.plugins.iter().any(|p| p.id == id && p.problem.as_ref().is_some_and(|p| p.code == code));
            of_plugin || view.files.iter().any(|f| f.file.contains(id) && f.problem.code == code)
        })
        .await;
    }
}

fn open(folder: &Path, data: &Path) -> Arc<Catalogue> {
    Catalogue::open(Arc::new(SystemClock::default()), Registry::bundled(), folder, data, false)
}

fn put(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    std::fs::write(&new, bytes).unwrap();
    std::fs::rename(&new, path).unwrap();
}

fn manifest(id: &str, version: &str, routes: &[&str]) -> Manifest {
    let text = serde_json::json!({"contract":"1.0","abi":1,"id":id,"version":version,"label":id,
        "probes":{"liveness":{"routes":routes,"deadline_ms":100}}});
    serde_json::from_value(text).unwrap()
}

#[tokio::test]
async fn a_library_is_taken_up_replaced_and_given_up_while_the_monitor_runs() {
    let stage = Stage::new().start();
    stage.good("libmine.so", &manifest("mine", "1", &["GET /"]));
    stage.version("mine", "1").await;
    let first = Arc::downgrade(&stage.catalogue.take("mine", "http://a/").unwrap());
    stage.good("libmine.so", &manifest("mine", "2", &["GET /"]));
    stage.version("mine", "2").await;
    assert!(first.upgrade().is_none(), "nobody holds the old one any more");
    let copies = std::fs::read_dir(stage.data.path().join("plugin-copies")).unwrap().count();
    assert_eq!(copies, 1, "the old one's private copy is gone");
    std::fs::remove_file(stage.path("libmine.so")).unwrap();
    stage.until("removed", |c| matches!(c.take("mine", "http://a/"), Err(Absent::Removed { .. }))).await;
}

#[tokio::test]
async fn an_update_that_asks_for_more_waits_for_consent() {
    let stage = Stage::new().start();
    stage.good("mine.so", &manifest("mine", "1", &["GET /"]));
    stage.version("mine", "1").await;
    stage.good("mine.so", &manifest("mine", "2", &["GET /", "POST /x"]));
    stage.problem("mine", "awaiting_consent").await;
    stage.version("mine", "1").await;
    assert_eq!(stage.loader.loads.load(Ordering::Relaxed), 1, "it was not even opened");
    // After a restart the old one is not there any more: then the target waits.
    let stage = stage.restart().await;
    stage.until("waits", |c| matches!(c.take("mine", "http://a/"), Err(Absent::Consent { .. }))).await;
    assert!(stage.catalogue.consent("mine", None).unwrap());
    stage.version("mine", "2").await;
    // What asks for less is taken at once.
    stage.good("mine.so", &manifest("mine", "3", &["GET /"]));
    stage.version("mine", "3").await;
}

#[tokio::test]
async fn each_way_of_not_loading_is_told_and_the_rest_goes_on() {
    let stage = Stage::new();
    stage.drop_in("noentry.so", "no entry", &manifest("noentry", "1", &["GET /"]));
    let (beside, inside) = (manifest("differs", "1", &["GET /"]), manifest("differs", "2", &["GET /"]));
    stage.drop_in("differs.so", &serde_json::to_string(&inside).unwrap(), &beside);
    put(&stage.path("orphan.so"), b"no library");
    put(&stage.path("broken.so"), b"no library");
    put(&stage.path("broken.json"), b"{");
    put(&stage.path("text.so"), b"no library");
    put(&stage.path("text.json"), serde_json::to_string(&manifest("text", "1", &["GET /"])).unwrap().as_bytes());
    stage.good("good.so", &manifest("good", "1", &["GET /"]));
    let stage = stage.start();
    for (id, code) in [
        ("noentry", "no_entry"),
        ("differs", "manifest_differs"),
        ("orphan", "no_manifest"),
        ("broken", "bad_manifest"),
        ("text", "cannot_open"),
    ] {
        stage.problem(id, code).await;
    }
    stage.version("good", "1").await;
    let view = stage.catalogue.view(std::iter::empty());
    let differs = view.plugins.iter().find(|p| p.id == "differs").unwrap();
    assert_eq!(differs.state, PluginState::Failed);
    assert!(differs.why.contains("at /version"), "{}", differs.why);
}

#[tokio::test]
async fn of_two_with_one_id_the_one_that_is_used_stays_and_the_other_gets_its_turn() {
    let stage = Stage::new();
    stage.good("a.so", &manifest("mine", "a", &["GET /"]));
    stage.good("b.so", &manifest("mine", "b", &["GET /"]));
    let stage = stage.start();
    stage.version("mine", "a").await;
    stage.problem("b.so", "duplicate_id").await;
    stage.good("0.so", &manifest("mine", "0", &["GET /"]));
    stage.problem("0.so", "duplicate_id").await;
    stage.version("mine", "a").await;
    std::fs::remove_file(stage.path("a.so")).unwrap();
    stage.version("mine", "0").await;
}

#[cfg(unix)]
#[tokio::test]
async fn what_was_refused_for_its_rights_is_taken_up_once_they_are_mended() {
    use std::os::unix::fs::PermissionsExt;
    let stage = Stage::new();
    let set_mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    stage.good("mine.so", &manifest("mine", "1", &["GET /"]));
    stage.good("other.so", &manifest("other", "1", &["GET /"]));
    set_mode(&stage.path("mine.so"), 0o666);
    let stage = stage.start();
    stage.version("other", "1").await;
    stage.problem("mine", "permissions").await;
    set_mode(&stage.path("mine.so"), 0o644);
    stage.version("mine", "1").await;
    // The folder, too: everything in it rests on its rights.
    set_mode(stage.folder.path(), 0o777);
    stage.problem("other", "permissions").await;
    set_mode(stage.folder.path(), 0o700);
    let well = |c: &Catalogue| c.view(std::iter::empty()).plugins.iter().all(|p| p.problem.is_none());
    stage.until("nothing is refused any more", well).await;
}

#[tokio::test]
async fn a_second_file_of_the_id_that_cannot_even_be_used_displaces_nothing() {
    let stage = Stage::new().start();
    stage.good("mine.so", &manifest("mine", "1", &["GET /"]));
    stage.version("mine", "1").await;
    // As one who ships for several systems does: they share the manifest.
    put(&stage.path("mine.dll"), &windows_library());
    stage.problem("mine.dll", "duplicate_id").await;
    stage.good("copy.so", &manifest("mine", "2", &["GET /", "POST /x"]));
    stage.problem("copy.so", "duplicate_id").await;
    for name in ["mine.dll", "copy.so"] {
        std::fs::remove_file(stage.path(name)).unwrap();
        stage
            .until(&format!("{name} is gone"), |c| {
                !c.view(std::iter::empty()).files.iter().any(|f| f.file.ends_with(name))
            })
            .await;
        stage.version("mine", "1").await;
    }
    assert_eq!(stage.loader.loads.load(Ordering::Relaxed), 1, "no other one was opened");
}

/// The first bytes of a library for Windows on x86-64.
fn windows_library() -> Vec<u8> {
    let mut head = vec![0; 256];
    head[..2].copy_from_slice(b"MZ");
    head[0x3c] = 0x80;
    head[0x80..0x86].copy_from_slice(b"PE\0\0\x64\x86");
    head
}

#[tokio::test]
async fn a_quarantine_outlives_the_monitor_and_ends_with_another_file() {
    let stage = Stage::new().start();
    stage.good("mine.so", &manifest("mine", "1", &["GET /"]));
    stage.version("mine", "1").await;
    let plugin = stage.catalogue.take("mine", "http://a/").unwrap();
    for session in ["liveness"; 3] {
        let failure = Some("it crashed".to_owned());
        plugin.ended(&crate::plugin::Ended { target: "http://a/", session, took: Duration::ZERO, failure });
    }
    drop(plugin);
    let quarantined = |c: &Catalogue| matches!(c.take("mine", "http://a/"), Err(Absent::Quarantined { .. }));
    assert!(quarantined(&stage.catalogue));
    let stage = stage.restart().await;
    stage.until("quarantined still", quarantined).await;
    stage.problem("mine", "quarantined").await;
    assert!(stage.catalogue.release("mine").unwrap());
    stage.version("mine", "1").await;
    stage.catalogue.store().change("mine", |kept| kept.disabled = true).unwrap();
    let stage = stage.restart().await;
    stage.problem("mine", "disabled").await;
    assert!(stage.catalogue.set_disabled("mine", false).unwrap());
    stage.version("mine", "1").await;
    stage.good("mine.so", &manifest("mine", "2", &["GET /"]));
    stage.version("mine", "2").await;
    assert_eq!(Store::open(stage.data.path()).get("mine").quarantine, None);
}

#[tokio::test]
async fn nothing_is_loaded_while_what_was_granted_cannot_be_read() {
    let stage = Stage::new();
    std::fs::create_dir(stage.data.path().join("plugins.json")).unwrap();
    stage.good("mine.so", &manifest("mine", "1", &["GET /"]));
    let stage = Stage { catalogue: open(stage.folder.path(), stage.data.path()), ..stage }.start();
    stage.problem("mine", "grants_unknown").await;
    assert_eq!(stage.loader.loads.load(Ordering::Relaxed), 0);
    assert!(stage.catalogue.notice().is_some_and(|n| n.contains("plugins.json")), "it is told for good");
}

#[tokio::test]
async fn no_plugin_is_being_loaded_for_ever() {
    let stage = Stage::new();
    // Announced as the monitor began, and gone before it looked.
    stage.good("early.so", &manifest("early", "1", &["GET /"]));
    let stage = Stage { catalogue: open(stage.folder.path(), stage.data.path()), ..stage };
    let loading = |c: &Catalogue, id: &str| matches!(c.take(id, "http://a/"), Err(Absent::Loading { .. }));
    assert!(loading(&stage.catalogue, "early"));
    std::fs::remove_file(stage.path("early.so")).unwrap();
    // Its loading breaks off.
    stage.drop_in("broken.so", "panic", &manifest("broken", "1", &["GET /"]));
    // While it is loaded, another plugin takes its file's place, and that one cannot be used.
    stage.drop_in("changed.so", "hang", &manifest("changed", "1", &["GET /"]));
    let stage = stage.start();
    stage.until("it is no longer waited for", |c| !loading(c, "early")).await;
    stage.problem("broken", "cannot_open").await;
    stage.until("it hangs", |c| c.view(std::iter::empty()).plugins.iter().any(|p| p.id == "changed")).await;
    put(&stage.path("changed.so"), b"no library");
    put(
        &stage.path("changed.json"),
        serde_json::to_string(&manifest("successor", "1", &["GET /"])).unwrap().as_bytes(),
    );
    stage.problem("successor", "cannot_open").await;
    stage.until("it is no longer waited for", |c| !loading(c, "changed")).await;
}

#[tokio::test]
async fn a_library_that_never_answers_holds_up_no_other() {
    let stage = Stage::new();
    stage.drop_in("a.so", "hang", &manifest("a", "1", &["GET /"]));
    stage.good("b.so", &manifest("b", "1", &["GET /"]));
    let stage = stage.start();
    stage.version("b", "1").await;
    assert!(matches!(stage.catalogue.take("a", "http://a/"), Err(Absent::Loading { .. })));
}
