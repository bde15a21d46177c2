//! Ten processes that look like the server and are none of the monitor's business.

use std::{
    fs::OpenOptions,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{
    bed::{Bed, MONITOR},
    process::Process,
    wait::wait_until,
};

/// The ten, with what each has in common with a server.
pub struct Bystanders {
    living: Vec<(&'static str, Process)>,
    /// Dropping these would close the standard inputs that some wait at.
    _parents: Vec<Child>,
    /// What they say: why one of them ended by itself.
    words: PathBuf,
}

impl Bystanders {
    pub fn start(bed: &Bed) -> Bystanders {
        let elsewhere = bed.folder("elsewhere");
        let words_of_all = elsewhere.join("bystanders.log");
        let twin = ai_monitor::demo::install(Path::new(MONITOR), &elsewhere).expect("the twins' programs");
        let model = elsewhere.join("twin.gguf");
        std::fs::write(&model, "a model of somebody else").expect("the twin's model");
        let port = || bed.free_address().port().to_string();
        let (ollama, llama) = (twin.front.as_os_str(), twin.engine.as_os_str());

        // One shell is the parent of them all, as a terminal is of what its user starts.
        let script = r#"
            OLLAMA_HOST=127.0.0.1:$3 OLLAMA_MODELS="$6" "$1" serve &
            "$1" run demo <&3 &
            "$1" run serve <&3 &
            "$2" --model "$5" --port $4 &
            wait"#;
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec 3<&0; {script}"), "sh"]).arg(ollama).arg(llama);
        shell.args([port(), port()]).arg(&model).arg(elsewhere.join("models"));
        let shell = quiet(&mut shell, &words_of_all).spawn().expect("the bystanders' shell");
        let parent = Process::find(shell.id()).expect("the bystanders' shell");
        let ours = wait_until(Duration::from_secs(10), "four processes of the bystanders' shell", || {
            let children: Vec<Process> =
                parent.children().into_iter().filter(|c| c.exe().is_some_and(|e| e.starts_with(&elsewhere))).collect();
            if children.len() == 4 { Ok(children) } else { Err(format!("{children:?}")) }
        });
        let mut living: Vec<_> =
            ours.into_iter().map(|p| ("an executable of the server's name in another folder", p)).collect();
        living.push(("the shell that they share", parent));

        let mut parents = vec![shell];
        let mut alone = |what: &'static str, command: &mut Command| {
            let child = quiet(command, &words_of_all).spawn().unwrap_or_else(|e| panic!("a bystander ({what}): {e}"));
            living.push((what, Process::find(child.id()).unwrap_or_else(|| panic!("a bystander ({what}) is gone"))));
            parents.push(child);
        };
        alone("the server's words as its own name", Command::new("sleep").arg0("ollama serve").arg("600"));
        alone("the engine's words as its own name", Command::new("sleep").arg0("llama-server").arg("600"));
        // `sh -c` keeps its words on its command line while its child sleeps.
        let words = "sleep 600; : ollama serve --model tiny llama-server --port 11434";
        alone("the server's words on its command line", Command::new("sh").args(["-c", words]));
        alone("an editor of the server's log", Command::new("tail").args(["-f", "-n0"]).arg(log_named(bed)));
        alone(
            "a reader of the engine's file",
            Command::new("sh").args(["-c", "exec sleep 600 < \"$1\"", "sh"]).arg(llama),
        );
        let ten = Bystanders { living, _parents: parents, words: words_of_all };
        assert_eq!(ten.living.len(), 10, "ten bystanders");
        ten
    }

    /// Fails the test if one of them is gone.
    pub fn assert_alive(&self) {
        for (what, process) in &self.living {
            let said = || std::fs::read_to_string(&self.words).unwrap_or_default();
            assert!(
                process.lives(),
                "bystander {} ({what}) did not live to the end; they said:\n{}",
                process.pid,
                said()
            );
        }
    }
}

fn log_named(bed: &Bed) -> std::path::PathBuf {
    let log = bed.folder("elsewhere").join("ollama-serve.log");
    std::fs::write(&log, "").expect("a log");
    log
}

/// Their words go to a file: read when one of them is gone.
fn quiet<'a>(command: &'a mut Command, words: &Path) -> &'a mut Command {
    let file = OpenOptions::new().append(true).create(true).open(words).expect("a file for their words");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(file)
}
