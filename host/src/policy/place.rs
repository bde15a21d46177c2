//! Where in a policy something happened, and a Lua error in the words of a person.

use std::ffi::CStr;

use mlua::{Lua, Thread, ffi};

/// The chunk name of the host's own Lua: its lines mean nothing to the author of a policy.
pub const HOST_CHUNK: &str = "host";

/// Frames of the host's own that may lie above the policy's.
const MOST_FRAMES: usize = 32;

/// `mine.lua:3`: the line of the policy that is being run.
pub fn place(lua: &Lua) -> Option<String> {
    for level in 0..MOST_FRAMES {
        let frame = lua.inspect_stack(level, |debug| {
            let source = debug.source();
            let file = source.short_src.map(|s| s.into_owned()).unwrap_or_default();
            (file, debug.current_line())
        })?;
        if let (file, Some(line)) = frame
            && file.ends_with(".lua")
        {
            return Some(format!("{file}:{line}"));
        }
    }
    None
}

/// The line on which a thread failed: for lack of memory an error has no text and no place of its own.
pub fn place_of_failed(thread: &Thread) -> Option<String> {
    for level in 0..MOST_FRAMES {
        // SAFETY: lua_Debug is plain data; all zeroes are a valid one.
        let mut frame: ffi::lua_Debug = unsafe { std::mem::zeroed() };
        // SAFETY: `thread` keeps its state alive, nothing runs on it now, and asking for source and line neither
        // allocates nor raises.
        if unsafe { ffi::lua_getinfo(thread.state(), level as i32, c"sl".as_ptr(), &mut frame) } == 0 {
            return None;
        }
        if frame.short_src.is_null() {
            continue;
        }
        // SAFETY: the name of a chunk lives, with its end marked, as long as the function on the stack that it is of.
        let file = unsafe { CStr::from_ptr(frame.short_src) }.to_string_lossy();
        if file.ends_with(".lua") && frame.currentline > 0 {
            return Some(format!("{file}:{}", frame.currentline));
        }
    }
    None
}

/// The text with its place before it.
pub fn at(lua: &Lua, text: impl std::fmt::Display) -> String {
    match place(lua) {
        Some(place) => format!("{place}: {text}"),
        None => text.to_string(),
    }
}

/// The first line of an error, with the policy's place where the error was raised in the host's own Lua.
pub fn describe(error: &mlua::Error) -> String {
    match error {
        mlua::Error::SyntaxError { message, .. } => tidy(message, ""),
        mlua::Error::RuntimeError(message) => {
            let (text, trace) = message.split_once("\nstack traceback:").unwrap_or((message, ""));
            tidy(text, trace)
        }
        mlua::Error::CallbackError { traceback, cause } => {
            let text = describe(cause);
            tidy(&format!("{HOST_CHUNK}:0: {text}"), traceback)
        }
        mlua::Error::WithContext { cause, .. } => describe(cause),
        other => other.to_string(),
    }
}

fn tidy(text: &str, trace: &str) -> String {
    let text = text.strip_prefix("runtime error: ").unwrap_or(text).trim();
    if policy_frame(text).is_some_and(|place| text.starts_with(place)) {
        return text.to_owned();
    }
    let of_host = text.strip_prefix(HOST_CHUNK).and_then(|rest| rest.strip_prefix(':')?.split_once(": "));
    let said = match of_host.map_or(text, |(_, said)| said) {
        // An address is another one in every run.
        raised if raised.starts_with("table: 0x") => "an error was raised that is a table, not a text",
        raised if raised.starts_with("function: 0x") => "an error was raised that is a function, not a text",
        said => said,
    };
    match trace.lines().map(str::trim).find_map(policy_frame) {
        Some(place) => format!("{place}: {said}"),
        None => said.to_owned(),
    }
}

/// `mine.lua:3` of a line of a traceback, if that is the policy's.
fn policy_frame(line: &str) -> Option<&str> {
    let end = line.find(".lua:")? + ".lua:".len();
    let digits = line[end..].bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0).then(|| &line[..end + digits])
}
