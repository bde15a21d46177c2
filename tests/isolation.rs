//! Plugins that misbehave, each in its own way: the reason is right, and a good plugin beside them notices nothing.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use ai_monitor::{
    health::observation::{Observation, SessionEnd},
    plugin::{Isolation, LoadError, Plugin, TableError},
    probe::{
        http::{Driver, TargetClient},
        session::ProbeAsk,
    },
};
use ai_monitor_plugin_api::event::Depth;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::Runtime,
};

use crate::harness::{
    misbehaving::{self, ComesTo, Way},
    plugins::{compile_c, root},
    wait::{is, wait_until},
};

/// Far above what anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn isolation() -> Isolation {
    Isolation::with_program(env!("CARGO_BIN_EXE_ai-monitor"))
}

/// A server that answers every request of a connection with 200.
async fn server() -> TargetClient {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = Vec::new();
                while stream.read_buf(&mut request).await.is_ok_and(|count| count > 0) {
                    if request.ends_with(b"\r\n\r\n") {
                        request.clear();
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n{\"version\":\"1.0\"}";
                        if stream.write_all(answer).await.is_err() {
                            break;
                        }
                    }
                }
            });
        }
    });
    Driver::new().expect("an HTTP client").target(&url.parse().expect("an URL"), None)
}

async fn look(plugin: &Plugin, target: &TargetClient) -> Observation {
    let ask = ProbeAsk {
        depth: Depth::Liveness,
        inference: None,
        deadline: Duration::from_secs(20),
        settings: Default::default(),
        variant: None,
        processes: None,
        addresses: Default::default(),
        answers: None,
    };
    target.probe(plugin, ask).await
}

/// What a way came to, where it is not as expected.
async fn try_out(way: Way, library: &Path, target: &TargetClient) -> Result<(), String> {
    let plugin = match (Plugin::isolated(library, &isolation()).await, way.comes_to) {
        (Ok(plugin), ComesTo::NotLoaded(_)) => return Err(format!("it was loaded: {plugin:?}")),
        (Ok(plugin), _) => plugin,
        (Err(error), ComesTo::NotLoaded(words)) => {
            let text = error.to_string();
            let its_own = matches!(error, LoadError::Crashed { .. } | LoadError::Overrun { .. });
            return is(its_own && text.contains(words) && text.contains(&library.display().to_string()), text);
        }
        (Err(error), _) => return Err(format!("it was not loaded: {error}")),
    };
    assert_eq!(plugin.manifest().id, way.id());
    // Twice: after the first, another child must do as well.
    for _ in 0..2 {
        let observation = look(&plugin, target).await;
        let right = match (way.comes_to, &observation.end) {
            (ComesTo::Good, SessionEnd::Report) => observation.report.is_some(),
            (ComesTo::PluginError(words), SessionEnd::PluginError(text))
            | (ComesTo::ProtocolError(words), SessionEnd::ProtocolError(text))
            | (ComesTo::Crashed(words), SessionEnd::Crashed(text))
            | (ComesTo::Overrun(words), SessionEnd::Overrun(text)) => text.contains(words),
            _ => false,
        };
        is(right, &observation.end)?;
    }
    Ok(())
}

#[test]
fn each_way_to_misbehave_ends_its_own_session_with_the_reason_and_good_ones_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let all = misbehaving::build_all(folder.path());
    let runtime = Runtime::new().expect("a runtime");
    let failures = runtime.block_on(async {
        let target = Arc::new(server().await);
        let good = misbehaving::named("good").build(folder.path());
        let good = Plugin::isolated(&good, &isolation()).await.expect("the good one is loaded");
        let (over, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let beside = tokio::spawn({
            let (over, looks, target) = (over.clone(), looks.clone(), target.clone());
            async move {
                while !over.load(Ordering::Relaxed) {
                    let observation = look(&good, &target).await;
                    assert_eq!(observation.end, SessionEnd::Report);
                    looks.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let tries = all.into_iter().map(|(way, library)| {
            let target = target.clone();
            tokio::spawn(async move {
                let tried = tokio::time::timeout(2 * PATIENCE, try_out(way, &library, &target)).await;
                (way, tried.unwrap_or_else(|_| Err("nothing: it holds up the host".into())))
            })
        });
        let mut failures = Vec::new();
        for tried in tries.collect::<Vec<_>>() {
            let (way, outcome) = tried.await.expect("the test itself does not panic");
            if let Err(instead) = outcome {
                failures.push(format!("{} should be {:?}, was {instead}", way.name, way.comes_to));
            }
        }
        over.store(true, Ordering::Relaxed);
        beside.await.expect("every look of the good plugin gives a report");
        assert!(looks.load(Ordering::Relaxed) > 10, "{looks:?}");
        // Each child that ended is reaped while the runtime lives.
        wait_until(PATIENCE, "no zombies", || {
            let zombies = children_of(std::process::id()).into_iter().filter(|child| child.state == 'Z').count();
            is(zombies == 0, zombies)
        });
        failures
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    drop(runtime);
    assert!(!Path::new("/tmp/a-plugin-was-here").exists());
}

/// A plugin's process, as `/proc` shows it.
#[derive(Debug)]
struct Child {
    pid: u32,
    state: char,
}

/// The plugins' processes that a process started.
fn children_of(host: u32) -> Vec<Child> {
    let stats = fs::read_dir("/proc").expect("/proc").flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let (state, parent) = (fields.next()?.chars().next()?, fields.next()?.parse::<u32>().ok()?);
        (name == "ai-mon-plugin" && parent == host).then_some(Child { pid, state })
    });
    stats.collect()
}

#[test]
fn children_are_used_again_and_no_more_are_kept_than_needed() {
    let folder = tempfile::tempdir().expect("a folder");
    let library = misbehaving::named("good").build(folder.path());
    let runtime = Runtime::new().expect("a runtime");
    let (plugin, target) = runtime.block_on(async {
        let plugin = Plugin::isolated(&library, &isolation()).await.expect("it is loaded");
        (Arc::new(plugin), Arc::new(server().await))
    });
    // Other tests of this process have children, too.
    let children = || {
        let mut pids: Vec<u32> = children_of(std::process::id()).iter().map(|child| child.pid).collect();
        pids.retain(|pid| {
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split('\0').any(|argument| Path::new(argument) == library)
        });
        pids
    };
    runtime.block_on(async {
        let looks = (0..12).map(|_| {
            let (plugin, target) = (plugin.clone(), target.clone());
            tokio::spawn(async move { look(&plugin, &target).await.end })
        });
        for look in looks.collect::<Vec<_>>() {
            assert_eq!(look.await.expect("no panic"), SessionEnd::Report);
        }
    });
    let kept = wait_until(PATIENCE, "a few idle children", || {
        let children = children();
        if (1..=4).contains(&children.len()) { Ok(children) } else { Err(format!("{children:?}")) }
    });
    for _ in 0..10 {
        assert_eq!(runtime.block_on(look(&plugin, &target)).end, SessionEnd::Report);
    }
    let now = children();
    assert!(now.iter().any(|pid| kept.contains(pid)), "{now:?}, of {kept:?}");
    drop(plugin);
    wait_until(PATIENCE, "the end of all", || is(children().is_empty(), children()));
}

#[test]
fn load_errors_come_back_from_the_child_with_their_kind() {
    let folder = tempfile::tempdir().expect("a folder");
    let of = |name: &str, source: &str| {
        let library = folder.path().join(format!("{name}.so"));
        let file = folder.path().join("source.c");
        fs::write(&file, source).expect("the source");
        compile_c(&file, &root().join("plugin-api/include"), &library);
        library
    };
    let text = folder.path().join("text.so");
    fs::write(&text, "no library").expect("a text");
    let runtime = Runtime::new().expect("a runtime");
    let error = |library: &Path| runtime.block_on(Plugin::isolated(library, &isolation())).expect_err("no plugin");

    let absent = error(&folder.path().join("absent.so"));
    assert!(matches!(absent, LoadError::Open { .. }), "{absent}");
    let text = error(&text);
    assert!(matches!(text, LoadError::Open { .. }), "{text}");
    let plain = error(&of("plain", "extern int answer; int answer = 42;"));
    assert!(matches!(&plain, LoadError::NoPlugin { stem, .. } if stem == "plain"), "{plain}");
    // Only the four bytes of `abi` are there: whoever read on would leave the object.
    let other = error(&of(
        "other",
        "extern const unsigned ai_monitor_plugin_v1 __attribute__((visibility(\"default\")));\nconst unsigned ai_monitor_plugin_v1 = 99;",
    ));
    assert!(matches!(other, LoadError::Table { source: TableError::OtherAbi { found: 99 }, .. }), "{other}");
    let table = |functions: &str| {
        format!(
            "#include <ai_monitor_plugin.h>\nstatic int32_t m(const aim_sink *o) {{ return o->put(o->ctx, (const uint8_t *)\"{{}}\", 2); }}\nconst aim_plugin ai_monitor_plugin_v1 = {{ AIM_ABI, {functions} }};"
        )
    };
    let small = error(&of("small", &table("16, m, NULL, NULL, NULL, NULL")));
    assert!(matches!(small, LoadError::Table { source: TableError::TooSmall { found: 16, .. }, .. }), "{small}");
    let hollow = error(&of("hollow", &table("sizeof(aim_plugin), m, NULL, NULL, NULL, NULL")));
    assert!(matches!(hollow, LoadError::Table { source: TableError::NoFunction("create"), .. }), "{hollow}");

    let nobody = Isolation::with_program("/nowhere/ai-monitor");
    let error = runtime.block_on(Plugin::isolated(&folder.path().join("plain.so"), &nobody)).expect_err("no program");
    assert!(matches!(error, LoadError::NotStarted { .. }), "{error}");
}

/// Set: this process is to hold a plugin's child in the midst of a step, until it is killed.
const HOLD: &str = "ISOLATION_HOLD";

/// The host that is killed: this test binary, run again.
fn be_a_host(library: &Path) {
    Runtime::new().expect("a runtime").block_on(async {
        let target = server().await;
        let plugin = Plugin::isolated(library, &isolation()).await.expect("it is loaded");
        // Looks for ever: each ends after a second.
        loop {
            look(&plugin, &target).await;
        }
    });
}

#[test]
fn no_child_survives_the_death_of_its_host() {
    if let Some(library) = env::var_os(HOLD) {
        return be_a_host(Path::new(&library));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let library = misbehaving::named("spins").build(folder.path());
    let mut host = Command::new(env::current_exe().expect("the test's own path"))
        .args(["isolation::no_child_survives_the_death_of_its_host", "--exact", "--nocapture"])
        .env(HOLD, library)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the test binary runs again");
    let spinning = wait_until(PATIENCE, "a child that spins", || {
        let children = children_of(host.id());
        children.iter().find(|child| child.state == 'R').map(|child| child.pid).ok_or(format!("{children:?}"))
    });
    host.kill().expect("it is ours");
    host.wait().expect("it is ours");
    wait_until(PATIENCE, "the child's end", || {
        let stat = fs::read_to_string(format!("/proc/{spinning}/stat")).unwrap_or_default();
        is(!stat.contains("(ai-mon-plugin)") || stat.contains(") Z "), stat)
    });
}
