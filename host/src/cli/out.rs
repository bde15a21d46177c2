//! What commands print. Whoever reads may go before the end (`| head -1`), and what is shown came from plugins, servers
//! and files: the first is no failure, and nothing of the second is obeyed by a terminal.

use std::{
    fmt::Arguments,
    io::{self, ErrorKind, Write},
    process::ExitCode,
    sync::OnceLock,
};

use serde::Serialize;

use crate::plugin::text;

/// The first error of standard output, but for a reader that is gone.
static FAILED: OnceLock<String> = OnceLock::new();

/// As `println!`.
macro_rules! say {
    ($($what:tt)*) => { $crate::cli::out::line(format_args!($($what)*)) };
}

/// As `print!`.
macro_rules! show {
    ($($what:tt)*) => { $crate::cli::out::text(format_args!($($what)*)) };
}

/// As `eprintln!`.
macro_rules! complain {
    ($($what:tt)*) => { $crate::cli::out::to_stderr(format_args!($($what)*)) };
}

pub(in crate::cli) fn line(what: Arguments<'_>) {
    write(&format!("{}\n", text::plain(&what.to_string())));
}

pub(in crate::cli) fn text(what: Arguments<'_>) {
    write(&text::plain(&what.to_string()));
}

/// For scripts: as it is, for JSON has its own way with control characters.
pub(in crate::cli) fn json(value: &impl Serialize) -> serde_json::Result<()> {
    write(&format!("{}\n", serde_json::to_string_pretty(value)?));
    Ok(())
}

/// One line, as it is: for another process of ours.
pub(in crate::cli) fn raw(line: &str) {
    write(&format!("{line}\n"));
}

pub(in crate::cli) fn to_stderr(what: Arguments<'_>) {
    // Nobody is left to be told.
    let _ = writeln!(io::stderr(), "{}", text::plain(&what.to_string()));
}

/// The command's own code, unless what it said could not be written.
pub(in crate::cli) fn code(of_command: ExitCode) -> ExitCode {
    match FAILED.get() {
        None => of_command,
        Some(error) => {
            complain!("error: the output cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(text: &str) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        let _ = FAILED.set(error.to_string());
    }
}
