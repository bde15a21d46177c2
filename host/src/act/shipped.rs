//! The manifest's word on how its backend is started, for this system and a target's address.

use ai_monitor_plugin_api::manifest::{Manifest, ProcessSpec, StartSpec};
use url::Url;

/// The command that the manifest names for this system, with the target's address in it.
pub fn command(manifest: &Manifest, url: &Url) -> Option<Vec<String>> {
    let start = manifest.start.iter().find(|start| is_for_this_system(start))?;
    Some(start.argv.iter().map(|argument| fill(argument, url)).collect())
}

/// What the manifest says of a command's program.
pub(super) fn of_program<'a>(manifest: &'a Manifest, command: &[String]) -> Option<&'a StartSpec> {
    let program = file_name(command.first()?);
    let names_it = |start: &&StartSpec| start.argv.first().is_some_and(|named| file_name(named) == program);
    manifest.start.iter().filter(|start| is_for_this_system(start)).find(names_it)
}

/// Whether the manifest's own command for this system is one that only asks for the server, and ends.
pub fn launches(manifest: &Manifest) -> bool {
    let start = manifest.start.iter().find(|start| is_for_this_system(start));
    start.is_some_and(|start| is_launcher(start, &manifest.process))
}

/// Whether a command only asks for the server and ends, as `lms server start` does: the manifest names its program for
/// a start and not for the server's process.
pub(super) fn is_launcher(start: &StartSpec, process: &ProcessSpec) -> bool {
    let Some(program) = start.argv.first().map(|argument| file_name(argument)) else { return false };
    !process.main.is_empty() && !process.main.iter().any(|main| main == program)
}

/// `{host}` and `{port}` of the target.
pub(super) fn fill(text: &str, url: &Url) -> String {
    let port = url.port_or_known_default().map(|port| port.to_string()).unwrap_or_default();
    text.replace("{host}", url.host_str().unwrap_or("127.0.0.1")).replace("{port}", &port)
}

fn is_for_this_system(start: &StartSpec) -> bool {
    start.os.as_deref().is_none_or(|os| os == std::env::consts::OS)
}

/// Without its folder, and without Windows' ending.
fn file_name(path: &str) -> &str {
    let name = path.rsplit(if cfg!(windows) { &['/', '\\'][..] } else { &['/'][..] }).next().unwrap_or(path);
    if cfg!(windows) { name.strip_suffix(".exe").unwrap_or(name) } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_start(start: &str, main: &str) -> Manifest {
        let text = format!(
            r#"{{"contract":"1.0","abi":1,"id":"b","version":"1","label":"B","probes":{{}},
                "process":{{"main":{main}}},"start":{start}}}"#
        );
        serde_json::from_str(&text).expect("a manifest")
    }

    fn url(text: &str) -> Url {
        text.parse().expect("a URL")
    }

    #[test]
    fn the_command_is_for_this_system_and_this_address() {
        let manifest = with_start(
            r#"[{"os":"none","argv":["no"]},{"argv":["serve","--address","{host}:{port}"]}]"#,
            r#"["serve"]"#,
        );
        let command = |at: &str| command(&manifest, &url(at)).expect("a command");
        assert_eq!(command("http://127.0.0.1:8081"), ["serve", "--address", "127.0.0.1:8081"]);
        assert_eq!(command("http://[::1]:8081/base"), ["serve", "--address", "[::1]:8081"]);
        assert_eq!(command("http://localhost"), ["serve", "--address", "localhost:80"]);
        assert_eq!(super::command(&with_start("[]", "[]"), &url("http://localhost")), None);
    }

    #[test]
    fn a_program_that_is_no_server_launches_one() {
        let lms = with_start(r#"[{"argv":["lms","server","start"]}]"#, r#"["llmster"]"#);
        assert!(launches(&lms));
        let command = ["/home/me/.lmstudio/bin/lms".to_owned(), "server".into()];
        assert!(of_program(&lms, &command).is_some());
        assert_eq!(of_program(&lms, &["lms-old".to_owned()]), None);
        assert_eq!(of_program(&lms, &[]), None);

        assert!(!launches(&with_start(r#"[{"argv":["ollama","serve"]}]"#, r#"["ollama","ollama.exe"]"#)));
        // Whose server's name is not known, its command is taken for the server.
        assert!(!launches(&with_start(r#"[{"argv":["any"]}]"#, "[]")));
        assert!(!launches(&with_start("[]", r#"["ollama"]"#)));
    }
}
