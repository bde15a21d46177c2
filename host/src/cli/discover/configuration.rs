//! The configuration for what was found, in TOML: it passes the check as it is, and with its hints taken.

use super::{Server, owner};
use crate::health::signals::Owner;

/// For these servers. `added`: to a file that is there already.
pub(super) fn of(servers: &[&Server], added: bool) -> String {
    let mut text = String::new();
    if !added {
        text.push_str(
            "# The configuration of ai-monitor, from what `ai-monitor discover` found.\n\
             # Check it with `ai-monitor check FILE`. Without a command a server is only watched.\n",
        );
    }
    for server in servers {
        if !text.is_empty() {
            text.push('\n');
        }
        match &server.found.identity {
            Some(who) => target(&mut text, server, &who.backend, ""),
            // The user's choice: until then none is taken.
            None => {
                let names: Vec<&str> = server.found.candidates.iter().map(|who| who.backend.as_str()).collect();
                text.push_str(&format!("# It could be {}: choose, and take the # away.\n", names.join(" or ")));
                target(&mut text, server, names.first().copied().unwrap_or_default(), "# ");
            }
        }
    }
    text
}

/// `mark` goes in front of each line.
fn target(text: &mut String, server: &Server, backend: &str, mark: &str) {
    let mut line = |content: String| text.push_str(&format!("{mark}{content}\n"));
    let url = server.found.url.as_str().trim_end_matches('/');
    line("[[target]]".into());
    line(format!("name = {}", quote(&server.name)));
    line(format!("backend = {}", quote(backend)));
    line(format!("url = {}", quote(url)));
    let Some(holder) = &server.found.holder else {
        line("# Its process is not to be seen: watched only.".into());
        return;
    };
    let who = comment(&format!("{} ({})", holder.process.name, holder.process.id));
    match holder.command() {
        Some(command) if holder.owner == Owner::Found && !holder.forwards => {
            let is_relative =
                |word: &String| word.contains('/') && !word.starts_with(['/', '-']) && !word.contains("://");
            let from_elsewhere = command.iter().skip(1).any(is_relative);
            let command: Vec<String> = command.iter().map(|word| quote(word)).collect();
            line(format!("# {who} runs there. With these lines the monitor may start and restart it:"));
            line("# [target.process]".into());
            line(format!("# command = [{}]", command.join(", ")));
            if from_elsewhere {
                line("# It has paths that begin where it was started: write them in full.".into());
            }
            line(
                "# Variables that it was started with, such as where its models lie: env = { NAME = \"value\" }".into(),
            );
        }
        None if holder.owner == Owner::Found && !holder.forwards => {
            line(format!(
                "# {who} runs there. Its command cannot be repeated here: there is a secret in it, or it cannot be read."
            ));
        }
        _ => line(format!("# {who} holds the port: {}.", comment(&owner(holder)))),
    }
}

/// On one line, so that nothing of it can become configuration.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A basic string: on one line, whatever is in it.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use ai_monitor_plugin_api::manifest::Confidence;

    use super::*;
    use crate::{
        config::{self, model::Config},
        health::{
            observation::Identity,
            signals::{ProcessId, RunState},
        },
        plugin::Registry,
        probe::discover::{Found, PortHolder},
        process::Process,
    };

    fn server(name: &str, address: &str, backends: &[&str], holder: Option<(&[&str], Owner, bool)>) -> Server {
        let who =
            |backend: &&str| Identity { backend: (*backend).into(), confidence: Confidence::Possible, variant: None };
        let candidates: Vec<Identity> = backends.iter().map(who).collect();
        let holder = holder.map(|(command, owner, forwards)| PortHolder {
            process: Process {
                id: ProcessId { pid: 7, start: 1 },
                parent: None,
                exe: command.first().map(Into::into),
                name: command.first().map_or("x", |c| c).into(),
                comm: String::new(),
                title: "x".into(),
                args: command.iter().skip(1).map(|a| (*a).to_owned()).collect(),
                state: RunState::Sleeping,
                cpu: None,
                read_bytes: None,
                memory_bytes: None,
                user: None,
                session: None,
            },
            owner,
            forwards,
            bound: None,
        });
        Server {
            found: Found {
                url: url::Url::parse(&format!("http://{address}/")).unwrap(),
                address: address.parse().unwrap(),
                also: vec![],
                identity: (candidates.len() == 1).then(|| candidates[0].clone()),
                candidates,
                holder,
                is_one_of_two: false,
            },
            name: name.into(),
            label: String::new(),
            version: None,
            models: None,
            configured: None,
        }
    }

    fn checked(text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        std::fs::write(&file, text).unwrap();
        config::check(&file, &Registry::bundled()).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    #[test]
    fn it_passes_the_check_as_it_is_and_with_its_hints_taken() {
        let command: &[&str] = &["/opt/a \"b\"\\ollama", "serve", "ä\n[[target]]"];
        let servers = [
            server("ollama", "127.0.0.1:11434", &["ollama"], Some((command, Owner::Found, false))),
            server("ollama-11434", "[::1]:11434", &["ollama"], Some((&["evil\nname = 1"], Owner::Found, true))),
            server("llama", "127.0.0.1:8080", &["openai"], Some((&["l", "--api-key", "s3cret"], Owner::Found, false))),
            server("tie", "127.0.0.1:9", &["ollama", "openai"], Some((&["x"], Owner::Unit("x.service".into()), false))),
            server("unseen", "127.0.0.1:10", &["lm-studio"], None),
        ];
        let text = of(&servers.iter().collect::<Vec<_>>(), false);
        assert!(!text.contains("s3cret"), "{text}");
        let config = checked(&text);
        let names: Vec<&str> = config.targets.iter().map(|target| target.name.as_str()).collect();
        assert_eq!(names, ["ollama", "ollama-11434", "llama", "unseen"], "a tie is the user's choice");
        assert!(config.targets.iter().all(|target| target.process.command.is_none()), "nothing is mended unasked");

        let keys = ["[", "name = ", "backend = ", "url = ", "command = "];
        let is_hint = |line: &str| keys.iter().any(|key| line.starts_with(key));
        let taken: String = text
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(hint) if is_hint(hint) => format!("{hint}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let config = checked(&taken);
        assert_eq!(config.targets.len(), 5, "{taken}");
        let expected: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(config.targets[0].process.command.as_ref(), Some(&expected));
        assert_eq!(config.targets[1].process.command, None, "what only forwards is never mended");
    }
}
