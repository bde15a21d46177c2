//! Where in a policy something happened, and a Lua error in the words of a person.

use mlua::Lua;

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
    let said = of_host.map_or(text, |(_, said)| said);
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
