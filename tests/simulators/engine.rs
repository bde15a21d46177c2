//! An engine: a child process that uses a processor while there is work, and none while there is none.

use std::{
    io::{self, BufRead, Write},
    net::TcpListener,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{llama_router, process};

/// What an engine does, as its server tells it: a line with the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    Nothing,
    /// A processor works, and nothing is answered.
    Loading,
    Generating,
    /// A generation is under way and stands still.
    Stalled,
}

const WORDS: [(Doing, &str); 4] = [
    (Doing::Nothing, "nothing"),
    (Doing::Loading, "loading"),
    (Doing::Generating, "generating"),
    (Doing::Stalled, "stalled"),
];

/// A running engine. Dropping it ends it.
pub struct Engine {
    pub model: String,
    child: Child,
    orders: ChildStdin,
    doing: Doing,
}

/// How an engine's process looks to who lists processes.
#[derive(Debug, Clone)]
pub struct Looks {
    /// The file's name.
    pub file: &'static str,
    /// `argv[0]`, if it renames itself.
    pub title: Option<&'static str>,
    /// Arguments; `{port}` is a port that it listens on.
    pub arguments: &'static [&'static str],
    /// Outlives its server, if that is killed.
    pub outlives: bool,
    /// Answers on its port as llama.cpp's server.
    pub answers: bool,
    /// How long it uses a processor, of every 20 ms of work: where nothing is counted, only that shows the work.
    pub burns_ms: u64,
}

/// What the child's process is told at its start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stage {
    model: String,
    port: Option<u16>,
    outlives: bool,
    answers: bool,
    burns_ms: u64,
}

impl Engine {
    /// Starts one from the folder of the server's own file.
    pub fn start(looks: &Looks, model: &str) -> io::Result<Engine> {
        let own = std::env::current_exe()?;
        let file = own.with_file_name(looks.file);
        process::place(&own, &file)?;
        let port = match looks.arguments.iter().any(|a| a.contains("{port}")) {
            true => Some(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port()),
            false => None,
        };
        let number = port.map(|p| p.to_string()).unwrap_or_default();
        let arguments = looks.arguments.iter().map(|a| a.replace("{port}", &number).replace("{model}", model));
        let mut command = engine_command(&file, looks.title);
        process::arguments(&mut command, arguments);
        let Looks { outlives, answers, burns_ms, .. } = *looks;
        command.env(
            process::VARIABLE,
            process::engine_stage(Stage { model: model.to_owned(), port, outlives, answers, burns_ms }),
        );
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let orders = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Engine { model: model.to_owned(), child, orders, doing: Doing::Nothing })
    }

    /// Ends it, as a crash would: nobody is told.
    pub fn crash(&mut self) {
        let _ = self.child.kill();
    }

    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }

    /// Tells it what to do, if that is news.
    pub fn set(&mut self, doing: Doing) {
        if self.doing != doing {
            self.doing = doing;
            let word = WORDS.iter().find(|(d, _)| *d == doing).map_or("nothing", |(_, word)| word);
            // One that has ended works no more.
            let _ = writeln!(self.orders, "{word}");
        }
    }
}

fn engine_command(file: &Path, title: Option<&str>) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(file);
    if let Some(title) = title {
        command.arg0(title);
    }
    command
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child's own side of what it does.
#[derive(Debug, Default)]
pub struct Inside {
    doing: AtomicU8,
    /// Tokens made.
    pub decoded: AtomicU64,
    /// Generations begun.
    pub tasks: AtomicU64,
}

impl Inside {
    pub fn doing(&self) -> Doing {
        WORDS[usize::from(self.doing.load(Ordering::SeqCst)).min(WORDS.len() - 1)].0
    }

    fn told(&self, word: &str) {
        let Some(place) = WORDS.iter().position(|(_, w)| *w == word) else { return };
        if self.doing() == Doing::Nothing && WORDS[place].0 == Doing::Generating {
            self.tasks.fetch_add(1, Ordering::SeqCst);
        }
        self.doing.store(u8::try_from(place).unwrap_or_default(), Ordering::SeqCst);
    }
}

/// The child. It ends with its server's end of the pipe, unless it is one that outlives it.
pub fn run(stage: Stage) {
    let inside = Arc::new(Inside::default());
    let listener = stage.port.and_then(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    let _listener = match listener {
        Some(listener) if stage.answers => {
            llama_router::serve_child(listener, stage.model, inside.clone());
            None
        }
        listener => listener,
    };
    let (seen, burns) = (inside.clone(), stage.burns_ms);
    let worker = std::thread::spawn(move || {
        loop {
            match seen.doing() {
                Doing::Nothing | Doing::Stalled => std::thread::park(),
                doing => {
                    let end = Instant::now() + Duration::from_millis(burns);
                    while Instant::now() < end {
                        std::hint::spin_loop();
                    }
                    if doing == Doing::Generating {
                        seen.decoded.fetch_add(1, Ordering::SeqCst);
                    }
                    std::thread::sleep(Duration::from_millis(20_u64.saturating_sub(burns)));
                }
            }
        }
    });
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        inside.told(&line);
        worker.thread().unpark();
    }
    if stage.outlives {
        loop {
            std::thread::park();
        }
    }
}
