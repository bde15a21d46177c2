//! A small model server of our own, failing on command: the demo, and the tests' faulty backend.
//!
//! It speaks Ollama's protocol as recorded from a real one, and its engine is a real child process that speaks
//! llama.cpp's. Both are this same binary under another file name, because that is what the monitor's rules (exact
//! executable names) see: [`install`] puts it into a folder as `ollama` and `llama-server`, and
//! [`as_model_server`] acts as the one that it was started as.

pub mod control;
pub mod engine;
pub mod fault;
pub mod front;
mod misbehave;
mod process;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The file name, without the system's suffix, under which the binary is the server.
pub const FRONT: &str = "ollama";
/// The file name, without the system's suffix, under which the binary is the engine.
pub const ENGINE: &str = "llama-server";

/// The two programs of one demo server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// `FOLDER/ollama`: start it as `ollama serve`, with `OLLAMA_HOST` and `OLLAMA_MODELS` of its own.
    pub front: PathBuf,
    /// `FOLDER/llama-server`: its engine, and a llama.cpp server in its own right.
    pub engine: PathBuf,
}

/// Puts `binary` (this program's own file) into `folder` under its two names: hard links where the file system
/// allows, else copies. What is there already is replaced.
pub fn install(binary: &Path, folder: &Path) -> io::Result<Programs> {
    fs::create_dir_all(folder)?;
    let place = |name: &str| -> io::Result<PathBuf> {
        let path = folder.join(format!("{name}{}", env::consts::EXE_SUFFIX));
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        if fs::hard_link(binary, &path).is_err() {
            fs::copy(binary, &path)?;
        }
        Ok(path)
    };
    Ok(Programs { front: place(FRONT)?, engine: place(ENGINE)? })
}

/// Acts as a model server if the program's own file has such a name; `None`: it has not, and is the monitor.
///
/// `args` are the arguments without the program's name. Call it before anything else: as a model server this binary
/// must have nothing of the monitor about it.
pub fn as_model_server(args: Vec<String>) -> Option<ExitCode> {
    let exe = env::current_exe().ok()?;
    let run: fn(Vec<String>) -> Result<(), String> = match exe.file_stem()?.to_str()? {
        FRONT => front::run,
        ENGINE => engine::run,
        _ => return None,
    };
    Some(match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            process::log(&format!("Error: {why}"));
            ExitCode::FAILURE
        }
    })
}
