//! The child's side: opens the one library that it was started for, and answers the host, one frame for each.

use std::{fs::File, io, io::Write, path::Path, process::ExitCode};

use ai_monitor_plugin_api::{
    limits::EFFECT_MAX,
    table::{AIM_OK, AIM_PANIC},
};

use super::{
    COMMAND,
    frame::{BlockingFrameReader, FrameError, Kind, Stepped, frame},
    refused::Refused,
    stdio,
};
use crate::plugin::{load, sandbox, table::Table};

/// Runs this process as a plugin's child if that is what it was started for. To be asked first of all in `main`:
/// nothing of the monitor (no runtime, no thread, no file) may be there when a plugin's code runs.
///
/// `arguments`: without the program's own name.
pub fn as_plugin_child(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter();
    if arguments.next()? != COMMAND {
        return None;
    }
    let (Some(library), Some(host)) = (arguments.next(), arguments.next()) else {
        eprintln!("error: `{COMMAND}` is how ai-monitor starts itself for a plugin; it is not for people");
        return Some(ExitCode::FAILURE);
    };
    let host = host.to_str().and_then(|pid| pid.parse().ok()).unwrap_or_default();
    Some(match serve(Path::new(&library), host) {
        // The host closed the pipe: the usual end.
        Ok(()) | Err(FrameError::Closed) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plugin child: {error}");
            ExitCode::FAILURE
        }
    })
}

/// The two pipes to the host.
struct Pipes {
    orders: BlockingFrameReader<File>,
    answers: File,
}

impl Pipes {
    fn say(&mut self, kind: Kind, parts: &[&[u8]]) -> Result<(), FrameError> {
        // At once: a plugin that dies within a call leaves whole frames.
        self.answers.write_all(&frame(kind, parts)?).map_err(FrameError::Io)
    }
}

fn serve(library: &Path, host: u32) -> Result<(), FrameError> {
    sandbox::at_start(host)?;
    let (orders, answers) = stdio::take()?;
    let mut fence = sandbox::Fence::new(&orders, &answers, library);
    let mut pipes = Pipes { orders: BlockingFrameReader::new(orders), answers };
    expect(&mut pipes, Kind::Open)?;
    pipes.say(Kind::Started, &[])?;

    // Its initialisers are its code, too.
    fence.before_opening();
    let table = match load::open_table(library) {
        Ok(table) => table,
        Err(error) => return refuse(&mut pipes, Refused::of(error)),
    };
    fence.before_running();
    if let Some(missing) = fence.missing() {
        pipes.say(Kind::Unfenced, &[missing.as_bytes()])?;
    }
    pipes.say(Kind::Loaded, &[])?;
    match table.manifest() {
        Ok(manifest) => pipes.say(Kind::Manifest, &[&manifest])?,
        Err(source) => {
            let error = load::LoadError::Table { path: library.to_owned(), source };
            return refuse(&mut pipes, Refused::of(error));
        }
    }
    loop {
        expect(&mut pipes, Kind::Create)?;
        session(&mut pipes, &table)?;
    }
}

/// One session, from `Create` to `Destroy`.
fn session(pipes: &mut Pipes, table: &Table) -> Result<(), FrameError> {
    let mut handle = match table.create() {
        Ok(handle) => handle,
        Err(text) => return pipes.say(Kind::NotCreated, &[text.as_bytes()]),
    };
    pipes.say(Kind::Created, &[])?;
    loop {
        match pipes.orders.next()? {
            (Kind::Step, event) => {
                let (code, out) = handle.step(&event, EFFECT_MAX);
                drop(event);
                let text;
                let (how, bytes) = match code {
                    _ if out.full => (Stepped::TooLarge, &[][..]),
                    AIM_OK => (Stepped::Effect, &out.bytes[..]),
                    code => {
                        text = out.text();
                        (if code == AIM_PANIC { Stepped::Panic } else { Stepped::Error }, text.as_bytes())
                    }
                };
                pipes.say(Kind::Stepped, &[&[how as u8], bytes])?;
            }
            (Kind::Destroy, _) => {
                drop(handle);
                return pipes.say(Kind::Destroyed, &[]);
            }
            (kind, _) => return Err(out_of_order(kind)),
        }
    }
}

fn expect(pipes: &mut Pipes, wanted: Kind) -> Result<(), FrameError> {
    match pipes.orders.next()? {
        (kind, _) if kind == wanted => Ok(()),
        (kind, _) => Err(out_of_order(kind)),
    }
}

/// Says why there is no plugin, and that is all that this process was for.
fn refuse(pipes: &mut Pipes, refused: Refused) -> Result<(), FrameError> {
    let json = serde_json::to_vec(&refused).map_err(io::Error::from)?;
    pipes.say(Kind::Refused, &[&json])
}

fn out_of_order(kind: Kind) -> FrameError {
    FrameError::Io(io::Error::new(io::ErrorKind::InvalidData, format!("the host sent {kind:?} out of order")))
}
