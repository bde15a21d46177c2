//! The guide for plugin authors, followed word by word: its files written, its commands run, their output compared.
//!
//! A comment of HTML in front of a fenced block says what the block is; a block without one is for reading.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{
    harness::{bed::MONITOR, isolated, isolation::Isolation, plugins::root, say},
    test_name,
};

/// For one block; the first build of a crate is the longest.
const WITHIN: Duration = Duration::from_secs(180);

#[test]
fn the_guide_works_as_it_stands() {
    isolated(test_name!(the_guide_works_as_it_stands), |isolation| {
        if isolation == Isolation::Ports {
            return say("the guide is not followed: it needs ports of its own");
        }
        let page = fs::read_to_string(root().join("docs/plugins/guide.md")).expect("the guide");
        let blocks = blocks(&page);
        assert!(blocks.len() > 10, "the guide's blocks are not found");
        let mut author = Author::new();
        let mut printed = String::new();
        for (i, (what, text)) in blocks.iter().enumerate() {
            match what {
                What::File(path) => author.writes(path, text),
                What::Run => printed = author.runs(text),
                What::Background(until) => author.leaves_running(text, until),
                What::RunUntilItPrints => {
                    let Some((What::Prints, wanted)) = blocks.get(i + 1) else {
                        panic!("what should it print?\n{text}")
                    };
                    let end = Instant::now() + WITHIN;
                    while missing(&author.runs(text), wanted).is_some() && Instant::now() < end {
                        // What it shows is made by another process's next look.
                        thread::sleep(Duration::from_millis(100));
                    }
                    printed = author.runs(text);
                }
                What::Prints => {
                    if let Some(line) = missing(&printed, text) {
                        panic!("{line:?} is not in what was printed:\n{printed}");
                    }
                }
            }
        }
    });
}

/// What is to be done with a block.
#[derive(Debug)]
enum What {
    File(String),
    Run,
    RunUntilItPrints,
    /// Until a line holds this text.
    Background(String),
    /// Compared with what the last command printed.
    Prints,
}

fn what(comment: &str) -> Option<What> {
    let comment = comment.strip_prefix("<!--")?.strip_suffix("-->")?.trim();
    Some(match comment {
        "run" => What::Run,
        "run until it prints the next" => What::RunUntilItPrints,
        "prints" => What::Prints,
        other => match other.split_once(": ") {
            Some(("file", path)) => What::File(path.into()),
            Some(("run in the background until it says", text)) => What::Background(text.into()),
            _ => panic!("the guide says {comment:?}, which means nothing here"),
        },
    })
}

fn blocks(page: &str) -> Vec<(What, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    let mut before = None;
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            let text: String = lines.by_ref().take_while(|line| *line != "```").flat_map(|line| [line, "\n"]).collect();
            blocks.extend(before.take().map(|what| (what, text)));
        } else {
            before = what(line);
        }
    }
    blocks
}

/// The first line of `wanted` that is not in what was printed, in order. `…` stands for anything; how many spaces there
/// are does not count.
fn missing<'a>(printed: &str, wanted: &'a str) -> Option<&'a str> {
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let printed: Vec<String> = printed.lines().map(squeeze).collect();
    let mut rest = printed.iter();
    wanted.lines().find(|line| {
        let parts: Vec<String> = line.split('…').map(squeeze).filter(|part| !part.is_empty()).collect();
        !rest.any(|line| {
            let mut at = 0;
            parts.iter().all(|part| match line[at..].find(part.as_str()) {
                Some(found) => {
                    at += found + part.len();
                    true
                }
                None => false,
            })
        })
    })
}

/// Somebody who follows the guide, in a home of their own.
struct Author {
    home: tempfile::TempDir,
    now_in: PathBuf,
    running: Vec<Child>,
}

impl Author {
    fn new() -> Author {
        // Outside of the repository, as an author is.
        let home = tempfile::tempdir().expect("a home");
        let (bin, work) = (home.path().join("bin"), home.path().join("work"));
        for folder in [&bin, &work] {
            fs::create_dir(folder).expect("a folder");
        }
        std::os::unix::fs::symlink(MONITOR, bin.join("ai-monitor")).expect("the monitor on the path");
        // What a build leaves is kept between runs of the test, at the place where the guide looks for it.
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guide-target");
        fs::create_dir_all(&kept).expect("a folder for what is built");
        let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let shim = format!("#!/bin/sh\n[ -e target ] || ln -s '{}' target\nexec '{cargo}' \"$@\"\n", kept.display());
        fs::write(bin.join("cargo"), shim).expect("cargo on the path");
        fs::set_permissions(bin.join("cargo"), fs::Permissions::from_mode(0o755)).expect("a script that runs");
        Author { now_in: work, home, running: Vec::new() }
    }

    fn writes(&self, path: &str, text: &str) {
        let path = self.now_in.join(path);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("its folder");
        fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    fn shell(&self, script: &str) -> Command {
        let users_home = env::var("HOME").unwrap_or_default();
        let kept = |name: &str, folder: &str| env::var(name).unwrap_or_else(|_| format!("{users_home}/{folder}"));
        let path = format!("{}:{}", self.home.path().join("bin").display(), env::var("PATH").unwrap_or_default());
        let mut command = Command::new("bash");
        command.args(["-euc", script]).current_dir(&self.now_in).stdin(Stdio::null());
        command.env("HOME", self.home.path()).env("PATH", path);
        command.env("CARGO_HOME", kept("CARGO_HOME", ".cargo")).env("RUSTUP_HOME", kept("RUSTUP_HOME", ".rustup"));
        // The machine of a test has no way out. What the plugin's crate needs, the monitor's own build has fetched.
        command.env("CARGO_NET_OFFLINE", "true").env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");
        for inherited in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "CARGO_MANIFEST_DIR"] {
            command.env_remove(inherited);
        }
        command
    }

    /// Gives what it printed; fails the test where a command fails.
    fn runs(&mut self, script: &str) -> String {
        let place = self.home.path().join("now-in");
        let script = format!("trap 'pwd > \"{}\"' EXIT\nexec 2>&1\n{script}", place.display());
        let mut child = self.shell(&script).stdout(Stdio::piped()).process_group(0).spawn().expect("bash runs");
        let mut stdout = child.stdout.take().expect("its output is ours");
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut printed = Vec::new();
            let _ = stdout.read_to_end(&mut printed);
            let _ = sender.send(String::from_utf8_lossy(&printed).into_owned());
        });
        let printed = receiver.recv_timeout(WITHIN).unwrap_or_else(|_| {
            let _ = child.kill();
            panic!("not over after {WITHIN:?}:\n{script}")
        });
        let status = child.wait().expect("bash ends");
        assert!(status.success(), "{status} in\n{script}\nit printed:\n{printed}");
        println!("$ {script}\n{printed}");
        self.now_in = fs::read_to_string(place).expect("where it is now").trim_end().into();
        printed
    }

    /// Returns when a line holds `until`.
    fn leaves_running(&mut self, script: &str, until: &str) {
        let script = format!("exec 2>&1\n{script}");
        let mut child = self.shell(&script).stdout(Stdio::piped()).spawn().expect("bash runs");
        let lines = BufReader::new(child.stdout.take().expect("its output is ours")).lines();
        self.running.push(child);
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                println!("> {line}");
                let _ = sender.send(line);
            }
        });
        let end = Instant::now() + WITHIN;
        loop {
            match receiver.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(until) => return,
                Ok(_) => {}
                Err(e) => panic!("it never said {until:?} ({e}):\n{script}"),
            }
        }
    }
}

impl Drop for Author {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
