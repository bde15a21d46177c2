//! Whose a server is: ours to mend, somebody else's, or only found.

use super::{Process, Program, imp, is_main_name, is_reaper, is_shell, parent};
use crate::health::signals::{Owner, ProcessId};

/// Somebody who restarts a process that ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Supervisor {
    /// A systemd unit.
    Unit(String),
    /// A container, by engine and short id, or by name.
    Container(String),
    /// A service of Windows or launchd.
    Service(String),
}

/// Whose the server is (design.md, *What is whose*).
///
/// `root`: the topmost process of the server. `all`: processes with its parent among them. `started_by_us`: this monitor started it (in this run, or by
/// its records with pid and start). `command`: the configured command. `main_names`: the manifest's `process.main`.
pub fn owner(
    root: &Process,
    all: &[Process],
    started_by_us: bool,
    command: Option<&[String]>,
    main_names: &[String],
) -> Owner {
    if started_by_us {
        return Owner::Child;
    }
    match imp::supervisor(root.id) {
        Some(Supervisor::Unit(name)) => return Owner::Unit(name),
        Some(Supervisor::Container(name)) => return Owner::Container(name),
        Some(Supervisor::Service(name)) => return Owner::Service(name),
        None => {}
    }
    if root.exe.is_none() {
        return Owner::NotPermitted;
    }
    if let Some(parent) = foreign_parent(root, all) {
        return Owner::Parent(format!("{} (pid {})", parent.name, parent.id));
    }
    match command {
        Some(command) if is_main_name(root, main_names) || runs(root, command) => Owner::Command,
        _ => Owner::Found,
    }
}

fn runs(process: &Process, command: &[String]) -> bool {
    Program::of(command).is_some_and(|program| program.is_run_by(process))
}

/// The living parent, unless it is a place to start things from, a reaper of orphans, or this monitor.
fn foreign_parent<'a>(root: &Process, all: &'a [Process]) -> Option<&'a Process> {
    let parent = parent(all, root)?;
    let harmless = is_shell(parent) || is_reaper(parent) || is_self(parent.id);
    (!harmless).then_some(parent)
}

fn is_self(id: ProcessId) -> bool {
    id.pid == std::process::id()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::signals::RunState;

    const OWN: u32 = u32::MAX - 1;

    /// Numbers that no process has, so that the system knows no unit for them.
    fn process(pid: u32, parent: u32, exe: Option<&str>) -> Process {
        let name = exe.and_then(|e| e.rsplit('/').next()).unwrap_or("hidden").to_owned();
        Process {
            id: ProcessId { pid, start: u64::from(pid) },
            parent: Some(parent),
            exe: exe.map(Into::into),
            comm: name.clone(),
            title: name.clone(),
            name,
            args: vec![],
            state: RunState::Sleeping,
            cpu: None,
            read_bytes: None,
            memory_bytes: None,
            user: None,
            session: None,
        }
    }

    fn under(parent: Process) -> Owner {
        let root = process(OWN, parent.id.pid, Some("/usr/local/bin/ollama"));
        let command = ["ollama".to_owned(), "serve".to_owned()];
        owner(&root, &[parent, root.clone()], false, Some(&command), &["ollama".to_owned()])
    }

    #[test]
    fn a_shell_a_reaper_and_this_monitor_are_no_supervisors() {
        for name in ["/bin/bash", "/usr/bin/fish", "/usr/bin/tmux", "/usr/lib/systemd/systemd", "/usr/bin/tini"] {
            assert_eq!(under(process(4_000_000_000, 1, Some(name))), Owner::Command, "{name}");
        }
        let mut own = process(std::process::id(), 1, Some("/usr/bin/ai-monitor"));
        own.id.start = 0;
        assert_eq!(under(own), Owner::Command);
        assert_eq!(under(process(1, 0, None)), Owner::Command);
    }

    #[test]
    fn any_other_living_parent_is_somebody_elses() {
        for (exe, name) in
            [("/opt/supervisord", "supervisord"), ("/opt/ollama app", "ollama app"), ("/usr/bin/basher", "basher")]
        {
            assert_eq!(under(process(4_000_000_000, 1, Some(exe))), Owner::Parent(format!("{name} (pid 4000000000)")));
        }
        let mut dead = process(4_000_000_000, 1, Some("/opt/supervisord"));
        dead.state = RunState::Zombie;
        assert_eq!(under(dead), Owner::Command, "a dead parent supervises nothing");
        let mut younger = process(4_000_000_000, 1, Some("/opt/supervisord"));
        younger.id.start = u64::MAX;
        assert_eq!(under(younger), Owner::Command, "it has the number of the parent, and is not it");
    }

    #[test]
    fn without_a_command_it_is_only_found_and_another_program_is_not_ours() {
        let command = ["sh".to_owned()];
        let root = process(OWN, 1, Some("/usr/local/bin/ollama"));
        let ask =
            |root: &Process, command, names: &[String]| owner(root, std::slice::from_ref(root), false, command, names);
        assert_eq!(ask(&root, None, &["ollama".into()]), Owner::Found);
        assert_eq!(ask(&root, Some(&command[..]), &["llama-server".into()]), Owner::Found);
        assert_eq!(ask(&root, Some(&command[..]), &["ollam".into()]), Owner::Found, "no part of a name");
        let hidden = process(OWN, 1, None);
        assert_eq!(ask(&hidden, Some(&command[..]), &["hidden".into()]), Owner::NotPermitted);
        assert_eq!(owner(&hidden, &[], true, None, &[]), Owner::Child);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_real_orphan_of_the_configured_executable_is_ours_to_mend() {
        use crate::process::{
            all,
            bystanders::{OUT_OF_REACH, out_of_reach},
            find,
        };
        let orphan = out_of_reach("exec >&-; sleep 1000 & wait");
        let root = find(orphan.id.pid).unwrap();
        let command = ["sh", "-c", OUT_OF_REACH].map(str::to_owned);
        let all = all().unwrap();
        // Where the tests run under a reaper of their own, that one is a living parent.
        let expected = match parent(&all, &root) {
            Some(p) if !is_reaper(p) && !is_shell(p) => Owner::Parent(format!("{} (pid {})", p.name, p.id)),
            _ => Owner::Command,
        };
        assert_eq!(owner(&root, &all, false, Some(&command), &[]), expected);
        let another = ["sh", "-c", "another script"].map(str::to_owned);
        assert_ne!(owner(&root, &all, false, Some(&another), &[]), Owner::Command);
    }
}
