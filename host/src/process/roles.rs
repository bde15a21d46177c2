//! What a process is by its exact name: server, engine, shell, reaper, forwarder. Never by a part of a name.

use ai_monitor_plugin_api::{
    event::Role,
    manifest::{EngineSpec, LostEngine, ProcessSpec},
};

use super::{Process, imp};

/// They give people a place to start things from, and do not start anything again by themselves.
const SHELLS: &[&str] = &[
    // Shells.
    "ash",
    "bash",
    "csh",
    "dash",
    "elvish",
    "fish",
    "ksh",
    "mksh",
    "nu",
    "oksh",
    "rc",
    "sh",
    "tcsh",
    "xonsh",
    "yash",
    "zsh",
    "bash.exe",
    "cmd.exe",
    "explorer.exe",
    "nu.exe",
    "powershell.exe",
    "pwsh",
    "pwsh.exe",
    // What stands between a login and a shell, and between a shell and a program.
    "doas",
    "login",
    "pkexec",
    "run0",
    "runuser",
    "script",
    "su",
    "sudo",
    "systemd-run",
    "time",
    "userinit.exe",
    "dropbear",
    "mosh-server",
    "sshd",
    "sshd-auth",
    "sshd-session",
    "sshd.exe",
    "telnetd",
    // Terminals and what keeps them.
    "abduco",
    "alacritty",
    "alacritty.exe",
    "conhost.exe",
    "dtach",
    "foot",
    "footclient",
    "ghostty",
    "gnome-terminal-",
    "gnome-terminal-server",
    "kgx",
    "kitty",
    "konsole",
    "lxterminal",
    "mate-terminal",
    "OpenConsole.exe",
    "ptyxis-agent",
    "qterminal",
    "screen",
    "SCREEN",
    "st",
    "terminator",
    "tilix",
    "tmux",
    "tmux: server",
    "ttyd",
    "urxvt",
    "urxvtd",
    "wezterm",
    "wezterm-gui",
    "wezterm-gui.exe",
    "WindowsTerminal.exe",
    "xfce4-terminal",
    "xterm",
    "yakuake",
    "zellij",
    "Terminal",
    "iTerm2",
    "iTermServer",
];

/// They take in the orphans of others.
const REAPERS: &[&str] =
    &["catatonit", "docker-init", "dumb-init", "init", "launchd", "podman-init", "systemd", "tini"];

/// A port that they hold belongs to a server elsewhere.
const FORWARDERS: &[&str] = &[
    "autossh",
    "caddy",
    "com.docker.backend",
    "com.docker.backend.exe",
    "containers-rootlessport",
    "docker-proxy",
    "envoy",
    "gvproxy",
    "haproxy",
    "limactl",
    "nginx",
    "nginx.exe",
    "pasta",
    "pasta.avx2",
    "passt",
    "passt.avx2",
    "plink.exe",
    "rootlessport",
    "slirp4netns",
    "socat",
    "ssh",
    "ssh.exe",
    "sshd",
    "sshd-session",
    "sshd.exe",
    "stunnel",
    "stunnel4",
    "svchost.exe",
    "traefik",
    "vpnkit",
    "wslhost.exe",
    "wslrelay.exe",
];

/// Programs that run what their arguments name; a version may follow (`python3.11`).
const INTERPRETERS: &[&str] = &[
    "ash", "bash", "bun", "dash", "deno", "dotnet", "java", "ksh", "lua", "luajit", "node", "nodejs", "perl", "php",
    "pwsh", "pypy", "python", "pythonw", "Rscript", "ruby", "sh", "uv", "zsh",
];

/// The exact names of a process: its executable's file, and for a script also the script's.
pub fn names(process: &Process) -> Vec<String> {
    let mut names = vec![process.name.clone()];
    if process.name == "busybox" {
        // One file of many programs: which one, the name says that it was called by.
        names.push(base(&process.title).to_owned());
    }
    if is_interpreter(&process.name)
        && let Some(script) = process.args.iter().find(|a| !a.starts_with('-'))
    {
        names.push(base(script).to_owned());
    }
    names
}

/// Is it one of the manifest's `process.main`?
pub fn is_main_name(process: &Process, main_names: &[String]) -> bool {
    names(process).iter().any(|name| main_names.iter().any(|main| same(name, main)))
}

/// What a process is to the backend. `under_main`: a process of the backend stands above it.
///
/// A llama.cpp router and its children are the same file, so below the server the engines are asked first.
pub fn role(process: &Process, spec: &ProcessSpec, under_main: bool) -> Role {
    let main = is_main_name(process, &spec.main);
    match engine_kind(process, spec, under_main || !main) {
        Some(_) => Role::Engine,
        None if main && !under_main => Role::Main,
        None => Role::Other,
    }
}

/// What the manifest says of losing an engine of this one's kind; `None`: nothing of its own.
pub fn lost_engine(process: &Process, spec: &ProcessSpec) -> Option<LostEngine> {
    engine_kind(process, spec, true)?.lost_engine
}

fn engine_kind<'s>(process: &Process, spec: &'s ProcessSpec, by_file_alone: bool) -> Option<&'s EngineSpec> {
    spec.engines.iter().find(|engine| matches_engine(process, engine, by_file_alone))
}

/// `by_file_alone`: an engine that no argument tells from a server of the same file is an engine here.
fn matches_engine(process: &Process, engine: &EngineSpec, by_file_alone: bool) -> bool {
    let by_file = engine.exe.iter().any(|exe| names(process).iter().any(|name| same(name, exe)));
    let by_title = engine.title.iter().any(|title| *title == process.title || *title == process.comm);
    let has_arguments = engine
        .args
        .iter()
        .all(|wanted| process.args.iter().any(|argument| argument == wanted || base(argument) == wanted));
    let named = by_title || (by_file && (by_file_alone || !engine.args.is_empty()));
    let anonymous = engine.exe.is_empty() && engine.title.is_empty() && !engine.args.is_empty();
    (named || anonymous) && has_arguments
}

/// Does it only pass traffic on?
pub fn is_forwarder(process: &Process) -> bool {
    let kubectl = matches!(process.name.as_str(), "kubectl" | "kubectl.exe");
    is_one_of(process, FORWARDERS) || (kubectl && process.args.iter().any(|a| a == "port-forward"))
}

/// Is it a shell, a terminal or a login?
pub fn is_shell(process: &Process) -> bool {
    is_one_of(process, SHELLS) || matches!(process.comm.as_str(), "tmux: server" | "login")
}

/// Does it only take in orphans?
pub fn is_reaper(process: &Process) -> bool {
    // WSL's own init stands between Windows and each shell under names that it makes up.
    let wsl = process.exe.as_deref().is_some_and(|exe| exe == "/init");
    process.id.pid <= 1 || wsl || is_one_of(process, REAPERS)
}

/// Does this executable run what its arguments name?
pub fn is_interpreter(name: &str) -> bool {
    let name = name.strip_suffix(".exe").unwrap_or(name);
    let plain = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    INTERPRETERS.iter().any(|interpreter| same(name, interpreter) || same(plain, interpreter))
}

fn is_one_of(process: &Process, list: &[&str]) -> bool {
    let names = names_for_lists(process);
    list.iter().any(|entry| names.iter().any(|name| same(name, entry)))
}

/// A script is not taken for the program that it is named after.
fn names_for_lists(process: &Process) -> Vec<&str> {
    match process.name.as_str() {
        "busybox" => vec![base(&process.title)],
        name => vec![name],
    }
}

fn base(path: &str) -> &str {
    path.rsplit(if cfg!(windows) { &['/', '\\'][..] } else { &['/'][..] })
        .next()
        .unwrap_or(path)
        .trim_start_matches('-')
}

fn same(a: &str, b: &str) -> bool {
    if imp::IGNORE_CASE { a.eq_ignore_ascii_case(b) } else { a == b }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::signals::{ProcessId, RunState};

    fn process(name: &str, args: &[&str]) -> Process {
        Process {
            id: ProcessId { pid: 100, start: 5 },
            parent: Some(50),
            exe: Some(format!("/usr/bin/{name}").into()),
            name: name.into(),
            comm: name.chars().take(15).collect(),
            title: name.into(),
            args: args.iter().map(|a| a.to_string()).collect(),
            state: RunState::Sleeping,
            cpu: None,
            read_bytes: None,
            memory_bytes: None,
            user: None,
            session: None,
        }
    }

    fn engine(exe: &[&str], title: &[&str], args: &[&str]) -> EngineSpec {
        let own = |list: &[&str]| list.iter().map(|s| s.to_string()).collect();
        EngineSpec { exe: own(exe), title: own(title), args: own(args), lost_engine: None }
    }

    fn spec(main: &[&str], engines: Vec<EngineSpec>) -> ProcessSpec {
        ProcessSpec { main: main.iter().map(|s| s.to_string()).collect(), engines, lost_engine: None }
    }

    #[test]
    fn ollama_has_a_server_and_a_runner() {
        let spec = spec(&["ollama"], vec![engine(&["llama-server"], &[], &[]), engine(&["ollama"], &[], &["runner"])]);
        assert_eq!(role(&process("ollama", &["serve"]), &spec, false), Role::Main);
        assert_eq!(role(&process("llama-server", &["--port", "1"]), &spec, true), Role::Engine);
        // An orphan, too.
        assert_eq!(role(&process("llama-server", &["--port", "1"]), &spec, false), Role::Engine);
        assert_eq!(role(&process("ollama", &["runner", "--port", "1"]), &spec, true), Role::Engine);
        assert_eq!(role(&process("ollama", &["runner", "--port", "1"]), &spec, false), Role::Engine);
        // Looks like it, by a part of the name or of the command line.
        for (name, args) in [("ollama2", vec!["serve"]), ("vim", vec!["ollama"]), ("llama-server-old", vec![])] {
            assert_eq!(role(&process(name, &args), &spec, true), Role::Other, "{name}");
            assert_eq!(role(&process(name, &args), &spec, false), Role::Other, "{name}");
        }
    }

    #[test]
    fn a_router_and_its_children_are_the_same_file() {
        let spec = spec(&["llama-server"], vec![engine(&["llama-server"], &[], &[])]);
        assert_eq!(role(&process("llama-server", &[]), &spec, false), Role::Main);
        assert_eq!(role(&process("llama-server", &[]), &spec, true), Role::Engine);
    }

    #[test]
    fn a_process_that_renames_itself_is_known_by_its_whole_title() {
        let spec = spec(&["vllm"], vec![engine(&[], &["VLLM::EngineCore", "VLLM::EngineCor"], &[])]);
        let mut core = process("python3.11", &[]);
        core.comm = "VLLM::EngineCor".into();
        assert_eq!(role(&core, &spec, true), Role::Engine);
        core.comm = "VLLM::Engine".into();
        assert_eq!(role(&core, &spec, true), Role::Other);
        // The server itself is a script.
        let server = process("python3.11", &["/opt/venv/bin/vllm", "serve", "m"]);
        assert_eq!(role(&server, &spec, false), Role::Main);
        assert_eq!(role(&process("python3.11", &["-m", "http.server"]), &spec, false), Role::Other);
    }

    #[test]
    fn what_a_lost_engine_means_is_said_of_its_kind() {
        let never = EngineSpec { lost_engine: Some(LostEngine::Never), ..engine(&[], &["VLLM::EngineCor"], &[]) };
        let spec = spec(&["vllm", "llama-server"], vec![engine(&["llama-server"], &[], &[]), never]);
        let mut core = process("python3.11", &[]);
        core.comm = "VLLM::EngineCor".into();
        assert_eq!(lost_engine(&core, &spec), Some(LostEngine::Never));
        assert_eq!(lost_engine(&process("llama-server", &[]), &spec), None);
        assert_eq!(lost_engine(&process("python3.11", &[]), &spec), None);
    }

    /// vLLM's processes (v1/engine/utils.py, v1/executor/multiproc_executor.py), as Linux cuts their titles.
    #[test]
    fn vllms_workers_and_cores_are_engines_by_the_bundled_manifest() {
        let registry = crate::plugin::Registry::bundled();
        let spec = &registry.get("openai").expect("it is bundled").manifest().process;
        for title in [
            "VLLM::EngineCore",
            "VLLM::EngineCore_DP1",
            "VLLM::Worker",
            "VLLM::Worker_TP3",
            "VLLM::Worker_PP0_TP1",
            "VLLM::Worker_DP0_TP1_EP1",
            "VLLM::Worker_EP1",
        ] {
            let mut engine = process("python3.12", &["-c", "from multiprocessing.spawn import spawn_main"]);
            engine.comm = title.chars().take(15).collect();
            engine.title = title.into();
            assert_eq!(role(&engine, spec, true), Role::Engine, "{title}");
            assert_eq!(lost_engine(&engine, spec), Some(LostEngine::Never), "{title}");
        }
        for title in ["VLLM::APIServer_0", "VLLM::DPCoordinator", "VLLM::Work", "python3.12"] {
            let mut other = process("python3.12", &[]);
            other.comm = title.chars().take(15).collect();
            other.title = title.into();
            assert_eq!(role(&other, spec, true), Role::Other, "{title}");
        }
    }

    #[test]
    fn forwarders_shells_and_reapers_are_told_by_whole_names() {
        for name in ["ssh", "docker-proxy", "rootlessport", "wslrelay.exe", "socat"] {
            assert!(is_forwarder(&process(name, &[])), "{name}");
        }
        for name in ["ssh-agent", "sshfs", "ollama", "kubectl"] {
            assert!(!is_forwarder(&process(name, &[])), "{name}");
        }
        assert!(is_forwarder(&process("kubectl", &["port-forward", "svc/x", "1:2"])));
        assert!(is_shell(&process("bash", &[])) && !is_shell(&process("bashful", &[])));
        assert!(!is_shell(&process("busybox", &[])));
        let mut shell = process("busybox", &[]);
        shell.title = "-sh".into();
        assert!(is_shell(&shell));
        assert!(is_reaper(&process("systemd", &["--user"])) && !is_reaper(&process("systemd-run", &[])));
        // A script that is named like a shell's neighbour is not one.
        assert!(!is_forwarder(&process("python3", &["/home/me/ssh"])));
    }

    #[test]
    fn interpreters_may_have_a_version() {
        for name in ["python", "python3", "python3.11", "node", "ruby3.1", "bash", "python.exe"] {
            assert!(is_interpreter(name), "{name}");
        }
        for name in ["pythonic", "ollama", "llama-server", "shell"] {
            assert!(!is_interpreter(name), "{name}");
        }
    }
}
