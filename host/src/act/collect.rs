//! `collect`: the evidence of a fault in a folder of its own, secrets removed: what was seen, who runs, the server's
//! output, its own logs, and the free space where its models lie.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Ground, blocking::blocking, text};
use crate::{
    incident::act::{ActCall, Outcome},
    logs::try_tail,
    process::{self, places},
    secrets::{redact, redact_json},
};

/// Lines of each log.
const LINES: usize = 2_000;
/// So many bundles are kept of all targets together.
const KEPT: usize = 50;
/// Models and logs may lie on a share that does not answer: the rest of the bundle does not wait for it.
const FREE_SPACE_LIMIT: Duration = Duration::from_secs(5);
const SEARCH_LIMIT: Duration = Duration::from_secs(10);
const WRITING_LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn collect(ground: &mut Ground<'_>, call: &ActCall) -> Outcome {
    let now = Timestamp::now();
    let files = ground.plugin.manifest().files.clone();
    let mut not_known = Vec::new();
    let disks = blocking(FREE_SPACE_LIMIT, "asking for the free space", move || disks(&files.models)).await;
    let disks = disks.unwrap_or_else(|error| {
        not_known.push(error.to_string());
        Value::Null
    });
    let evidence = evidence(ground, text(call, "note"), now, disks);
    let search = move || {
        let found = files.logs.iter().filter_map(|place| places::newest_log(&places::expand(place)?));
        found.enumerate().map(|(n, log)| (format!("log-{}.log", n + 1), log)).collect()
    };
    let found = blocking(SEARCH_LIMIT, "looking for the server's logs", search).await;
    let found: Vec<(String, PathBuf)> = found.unwrap_or_else(|error| {
        not_known.push(error.to_string());
        Vec::new()
    });
    let mut logs = vec![("output.log".to_owned(), ground.output.clone())];
    logs.extend(found);
    let bundles = ground.bundles.clone();
    // The target's name, as its output's file has it.
    let target = ground.output.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = format!("{target}-{}", now.strftime("%Y%m%dT%H%M%SZ"));
    let written = blocking(WRITING_LIMIT, "writing the bundle", move || {
        let written = write(&bundles, &name, &evidence, &logs);
        keep_newest(&bundles, KEPT);
        written
    });
    match written.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok((folder, left_out)) if left_out.is_empty() && not_known.is_empty() => {
            Outcome { changed: false, ..Outcome::done(folder.display().to_string()) }
        }
        Ok((folder, left_out)) => {
            let lacks: Vec<String> =
                left_out.into_iter().map(|what| format!("without {what}")).chain(not_known).collect();
            Outcome::new("partial", format!("{}: {}", folder.display(), lacks.join("; ")))
        }
        Err(error) => Outcome::new("partial", format!("the bundle could not be written: {error}")),
    }
}

/// The free space at these places of a manifest.
fn disks(models: &[String]) -> Value {
    let disks = models.iter().filter_map(|place| {
        let place = places::expand(place)?;
        Some(json!({"free_bytes": places::free_bytes(&place)?, "path": place}))
    });
    disks.collect()
}

/// What is known of the target now.
fn evidence(ground: &mut Ground<'_>, note: Option<&str>, now: Timestamp, disks: Value) -> Value {
    let seen = ground.watch.refresh(true);
    let manifest = ground.plugin.manifest();
    let processes: Vec<Value> = seen
        .tree
        .iter()
        .flatten()
        .map(|member| {
            let found = process::find(member.id.pid).filter(|p| p.id == member.id);
            let arguments = found.map(|p| process::mask(&p.args));
            json!({"process": member, "arguments": arguments})
        })
        .collect();
    let memory = process::memory().map(|m| json!({"total": m.total, "available": m.available}));
    json!({
        "at": now,
        "note": note,
        "monitor": env!("CARGO_PKG_VERSION"),
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "target": {
            "name": ground.target.name,
            "backend": ground.target.backend,
            "plugin": format!("{} {}", manifest.id, manifest.version),
            "variant": ground.variant,
            "url": ground.target.url.as_str(),
            "command": ground.target.process.command.as_deref().map(process::mask),
        },
        "fault": ground.fault,
        "owner": seen.owner,
        "port": seen.port,
        "processes": seen.tree.is_some().then_some(processes),
        "models": ground.models,
        "engines": ground.engines,
        "memory": memory,
        "disks": disks,
    })
}

/// Writes a bundle; gives its folder and what could not be put into it.
fn write(
    bundles: &Path,
    name: &str,
    evidence: &Value,
    logs: &[(String, PathBuf)],
) -> io::Result<(PathBuf, Vec<String>)> {
    fs::create_dir_all(bundles)?;
    let folder = new_folder(bundles, name)?;
    let text = serde_json::to_string_pretty(&redact_json(evidence)).map_err(io::Error::other)?;
    fs::write(folder.join("evidence.json"), text)?;
    let mut left_out = Vec::new();
    for (file, log) in logs.iter().filter(|(_, log)| log.exists()) {
        // From which file it is stands in its first line.
        let last = match try_tail(log, LINES) {
            Ok(last) => last,
            Err(error) => {
                left_out.push(format!("{} ({error})", log.display()));
                continue;
            }
        };
        let lines = std::iter::once(format!("# {}", log.display())).chain(last);
        let text: String = lines.map(|line| redact(&line) + "\n").collect();
        if let Err(error) = fs::write(folder.join(file), text) {
            left_out.push(format!("{} ({error})", log.display()));
        }
    }
    Ok((folder, left_out))
}

/// A folder that nobody else can read.
fn new_folder(bundles: &Path, name: &str) -> io::Result<PathBuf> {
    for n in 1..100 {
        let folder = bundles.join(if n == 1 { name.to_owned() } else { format!("{name}-{n}") });
        match create_private(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created.map(|()| folder),
        }
    }
    Err(io::Error::other(format!("there are a hundred bundles of {name}")))
}

#[cfg(unix)]
fn create_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(folder)
}

/// The data folder is in the user's profile, which others cannot read.
#[cfg(not(unix))]
fn create_private(folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)
}

/// Removes the oldest bundles. Only folders that have the one file that each bundle has.
fn keep_newest(bundles: &Path, kept: usize) {
    let entries = fs::read_dir(bundles).into_iter().flatten().flatten();
    let mut all: Vec<_> = entries
        .filter(|entry| entry.path().join("evidence.json").is_file())
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    all.sort();
    for (_, folder) in all.iter().take(all.len().saturating_sub(kept)) {
        if let Err(error) = fs::remove_dir_all(folder) {
            tracing::warn!(folder = %folder.display(), %error, "an old bundle could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_bundle_has_what_there_is_and_no_secrets() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let log = folder.path().join("server.log");
        fs::write(&log, "started\nAuthorization: Bearer abc.def\nCookie: a=b; c=d\nProxy-Authorization: Basic eA==\n")
            .expect("a log");
        let bundles = folder.path().join("bundles");
        let evidence = json!({"note": "it said \"api_key=abc\"", "auth": {"user": "me"}});
        let logs = [("output.log".into(), folder.path().join("none.log")), ("log-1.log".into(), log.clone())];
        let (first, left_out) = write(&bundles, "it-1", &evidence, &logs).expect("a bundle");
        assert_eq!((first.clone(), left_out), (bundles.join("it-1"), vec![]));
        let read = |name: &str| fs::read_to_string(first.join(name)).expect("a file of the bundle");
        let kept: Value = serde_json::from_str(&read("evidence.json")).expect("JSON still");
        assert_eq!(kept, json!({"note": "it said \"api_key=***\"", "auth": "***"}));
        let lines = "started\nAuthorization: Bearer ***\nCookie: ***\nProxy-Authorization: Basic ***\n";
        assert_eq!(read("log-1.log"), format!("# {}\n{lines}", log.display()));
        assert!(!first.join("output.log").exists());
        // What is there and cannot be read is said.
        let unreadable = folder.path().join("folder.log");
        fs::create_dir(&unreadable).expect("a folder by a log's name");
        let (_, left_out) = write(&bundles, "it-0", &evidence, &[("log-1.log".into(), unreadable)]).expect("a bundle");
        assert!(matches!(&left_out[..], [one] if one.contains("folder.log (")), "{left_out:?}");
        // In the same second.
        assert_eq!(write(&bundles, "it-1", &evidence, &[]).expect("another").0, bundles.join("it-1-2"));
    }

    #[test]
    fn the_oldest_bundles_go_and_nothing_that_is_none() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        fs::create_dir(folder.path().join("mine")).expect("a folder");
        for (name, age) in [("a", 30), ("b", 20), ("c", 10)] {
            let bundle = folder.path().join(name);
            fs::create_dir(&bundle).expect("a folder");
            fs::write(bundle.join("evidence.json"), "{}").expect("its file");
            let handle = fs::File::open(&bundle).expect("the folder");
            handle.set_modified(SystemTime::now() - Duration::from_secs(age)).expect("its time");
        }
        keep_newest(folder.path(), 1);
        let mut left: Vec<_> = fs::read_dir(folder.path()).expect("it").flatten().map(|e| e.file_name()).collect();
        left.sort();
        assert_eq!(left, ["c", "mine"]);
    }
}
