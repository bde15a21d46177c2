//! The processes of a target as a session is told of them: names, arguments, where they listen.

use ai_monitor_plugin_api::{event::Process, report::Engine};

/// The name of its file, without Windows' ending.
pub fn name(process: &Process) -> &str {
    process.exe.strip_suffix(".exe").unwrap_or(&process.exe)
}

/// The value of an argument: `--port 1` or `--port=1`.
pub fn argument<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    args.iter().enumerate().find_map(|(at, arg)| match arg.strip_prefix(name)? {
        "" => args.get(at + 1).map(String::as_str),
        rest => rest.strip_prefix('='),
    })
}

/// Where it listens: the port of its command line, if the host has proven it, else the first that it has.
pub fn address(process: &Process) -> Option<&str> {
    let asked = argument(&process.args, "--port").map(|port| format!("/{port}"));
    let named = asked.and_then(|port| process.addresses.iter().find(|address| address.ends_with(&port)));
    named.or(process.addresses.first()).map(String::as_str)
}

/// A process as an engine: `name/port`, which stays while it is the same process.
pub fn engine(process: &Process) -> Engine {
    let port = address(process).and_then(|address| address.rsplit('/').next());
    let port = port.or(argument(&process.args, "--port")).unwrap_or(&process.id);
    Engine { id: format!("{}/{port}", name(process)), process: Some(process.id.clone()), ..Engine::default() }
}

#[cfg(test)]
mod tests {
    use ai_monitor_plugin_api::event::Role;

    use super::*;

    fn runner(args: &[&str], addresses: &[&str]) -> Process {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        Process {
            id: "3".into(),
            parent: None,
            role: Role::Engine,
            exe: "llama-server.exe".into(),
            args: own(args),
            addresses: own(addresses),
        }
    }

    #[test]
    fn the_port_of_the_command_line_is_preferred_once_it_is_proven() {
        assert_eq!(address(&runner(&["--port", "81"], &["3/80", "3/81"])), Some("3/81"));
        assert_eq!(address(&runner(&["--port=81"], &["3/80", "3/81"])), Some("3/81"));
        assert_eq!(address(&runner(&["--port", "82"], &["3/80"])), Some("3/80"));
        assert_eq!(address(&runner(&["--port", "82"], &[])), None);
        assert_eq!(engine(&runner(&["--port", "82"], &[])).id, "llama-server/82");
        assert_eq!(engine(&runner(&["--portable", "82"], &[])).id, "llama-server/3");
    }
}
