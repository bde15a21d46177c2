//! One look at all servers of this machine: who holds an address, where a backend's processes listen, and which of them
//! are only another one's engine.

use std::{collections::BTreeSet, net::SocketAddr};

use ai_monitor_plugin_api::{
    event::Role,
    manifest::{Manifest, ProcessSpec},
};

use super::{
    Holder, Listener, Process, ancestors, is_reaper, parent,
    ports::{nearness, reached_at, topmost},
    role,
};
use crate::health::signals::{Owner, ProcessId};

/// All processes and all listening sockets, as they were at one moment.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    all: Vec<Process>,
    listeners: Vec<Listener>,
}

/// Whose engine a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOf {
    /// The plugin's id.
    pub backend: String,
    /// The server above it. `None`: that one is gone, and left it behind.
    pub server: Option<ProcessId>,
}

impl Survey {
    /// Reads the files of all processes, which takes some milliseconds: not for a thread that others wait for. What the
    /// system does not tell is left out.
    pub fn take() -> Survey {
        Survey { all: super::all().unwrap_or_default(), listeners: super::listeners().unwrap_or_default() }
    }

    #[cfg(test)]
    pub fn of(all: Vec<Process>, listeners: Vec<Listener>) -> Survey {
        Survey { all, listeners }
    }

    /// Who gets a connection to this address.
    pub fn holder(&self, addr: SocketAddr) -> Holder {
        let Some(best) = self.listeners.iter().filter_map(|l| nearness(l, addr)).max() else { return Holder::Nobody };
        let answering = self.listeners.iter().filter(|l| nearness(l, addr) == Some(best));
        let pids: BTreeSet<u32> = answering.flat_map(|l| l.pids.iter().copied()).collect();
        let holders: Vec<Process> = self.all.iter().filter(|p| pids.contains(&p.id.pid)).cloned().collect();
        match topmost(&holders, &|| self.all.clone()) {
            Some(process) => Holder::Known(Box::new(process)),
            None => Holder::NotPermitted,
        }
    }

    /// The address that the holder is bound to; the wildcard is reached from other machines, too.
    pub fn bound(&self, addr: SocketAddr) -> Option<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|l| Some((nearness(l, addr)?, l.addr)))
            .max_by_key(|(near, _)| *near)
            .map(|(_, a)| a)
    }

    /// Where processes listen that a manifest names as its server, as a client of this machine reaches them.
    pub fn listening(&self, manifests: &[&Manifest]) -> BTreeSet<SocketAddr> {
        let is_server = |pid: &u32| {
            let process = self.all.iter().find(|p| p.id.pid == *pid);
            process.is_some_and(|p| manifests.iter().any(|m| role(p, &m.process, false) == Role::Main))
        };
        self.listeners.iter().filter(|l| l.pids.iter().any(is_server)).flat_map(reached_at).collect()
    }

    /// Is it another server's engine? It is when the server stands above it; or when that is gone and it is known by
    /// what it was started as, or by lying in its backend's own folder.
    pub fn engine_of(&self, process: &Process, manifests: &[&Manifest]) -> Option<EngineOf> {
        let above = ancestors(&self.all, process);
        let server_above = |m: &&Manifest| {
            let server = above.iter().find(|a| role(a, &m.process, false) == Role::Main)?;
            (role(process, &m.process, true) == Role::Engine)
                .then(|| EngineOf { backend: m.id.clone(), server: Some(server.id) })
        };
        manifests.iter().find_map(server_above).or_else(|| self.left_behind(process, manifests))
    }

    fn left_behind(&self, process: &Process, manifests: &[&Manifest]) -> Option<EngineOf> {
        // A launcher or a shell above it started it as a server of its own.
        if parent(&self.all, process).is_some_and(|p| !is_reaper(p)) {
            return None;
        }
        let is_server = manifests.iter().any(|m| role(process, &m.process, false) == Role::Main);
        let is_left = |m: &&&Manifest| {
            role(process, &m.process, false) == Role::Engine && (!is_server || lies_in_folder_of(process, m))
        };
        manifests.iter().find(is_left).map(|m| EngineOf { backend: m.id.clone(), server: None })
    }

    /// Whose a server is, as long as nothing is configured for it.
    pub fn owner(&self, process: &Process, spec: &ProcessSpec) -> Owner {
        super::owner(process, &self.all, false, None, &spec.main)
    }
}

/// Was it started from a folder that has the backend's name (`/usr/lib/ollama/llama-server`)? The file itself may be a
/// link to another place.
fn lies_in_folder_of(process: &Process, manifest: &Manifest) -> bool {
    let title = std::path::Path::new(&process.title);
    [process.exe.as_deref(), Some(title)]
        .into_iter()
        .flatten()
        .filter_map(|path| path.parent())
        .any(|folder| folder.components().any(|part| part.as_os_str().eq_ignore_ascii_case(manifest.id.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{health::signals::RunState, plugin::Registry};

    /// `path` is the executable; its file name is its name.
    fn process(pid: u32, parent: u32, path: &str, args: &[&str]) -> Process {
        let name = path.rsplit('/').next().unwrap_or(path);
        Process {
            id: ProcessId { pid, start: u64::from(pid) },
            parent: Some(parent),
            exe: Some(path.into()),
            name: name.into(),
            comm: name.chars().take(15).collect(),
            title: path.into(),
            args: args.iter().map(|a| (*a).to_owned()).collect(),
            state: RunState::Sleeping,
            cpu: None,
            read_bytes: None,
            memory_bytes: None,
            user: None,
            session: None,
        }
    }

    fn listener(addr: &str, pids: &[u32]) -> Listener {
        Listener { addr: addr.parse().unwrap(), v6_only: false, user: None, pids: pids.to_vec() }
    }

    fn at(addr: &str) -> SocketAddr {
        addr.parse().unwrap()
    }

    fn with_bundled<T>(ask: impl FnOnce(&[&Manifest]) -> T) -> T {
        let registry = Registry::bundled();
        let manifests: Vec<&Manifest> = registry.iter().map(|p| &**p.manifest()).collect();
        ask(&manifests)
    }

    #[test]
    fn a_backends_processes_are_found_wherever_they_listen() {
        let all = vec![
            process(10, 1, "/usr/bin/ollama", &["serve"]),
            process(20, 1, "/opt/llama-server", &[]),
            process(30, 1, "/usr/bin/nginx", &[]),
            process(40, 1, "/usr/bin/python3.11", &["/venv/bin/vllm", "serve"]),
        ];
        let listeners = vec![
            listener("0.0.0.0:7001", &[10]),
            listener("[::]:7002", &[20]),
            listener("127.0.0.1:7003", &[30]),
            listener("192.168.1.5:7004", &[40]),
            listener("127.0.0.1:7005", &[]),
        ];
        let survey = Survey::of(all, listeners);
        let found = with_bundled(|manifests| survey.listening(manifests));
        let expected = ["127.0.0.1:7001", "127.0.0.1:7002", "[::1]:7002", "192.168.1.5:7004"].map(at);
        assert_eq!(found, BTreeSet::from(expected));
        assert_eq!(survey.bound(at("127.0.0.1:7001")), Some(at("0.0.0.0:7001")));
        assert!(matches!(survey.holder(at("127.0.0.1:7001")), Holder::Known(p) if p.id.pid == 10));
        assert_eq!(survey.holder(at("127.0.0.1:7005")), Holder::NotPermitted);
        assert_eq!(survey.holder(at("127.0.0.1:7006")), Holder::Nobody);
    }

    #[test]
    fn an_engine_is_known_by_the_server_above_it() {
        let all = vec![
            process(1, 0, "/sbin/init", &[]),
            process(10, 1, "/usr/bin/ollama", &["serve"]),
            process(11, 10, "/usr/lib/ollama/llama-server", &["--port", "1"]),
            process(20, 1, "/opt/llama-server", &["--models-dir", "m"]),
            process(21, 20, "/opt/llama-server", &["--port", "2"]),
            process(30, 1, "/bin/bash", &[]),
            process(31, 30, "/opt/llama-server", &["-m", "x"]),
        ];
        let survey = Survey::of(all.clone(), vec![]);
        let of = |pid: u32| {
            let process = all.iter().find(|p| p.id.pid == pid).unwrap();
            with_bundled(|manifests| survey.engine_of(process, manifests))
                .map(|engine| (engine.backend, engine.server.map(|id| id.pid)))
        };
        assert_eq!(of(11), Some(("ollama".into(), Some(10))));
        assert_eq!(of(21), Some(("openai".into(), Some(20))));
        for server in [10, 20, 31] {
            assert_eq!(of(server), None, "{server}");
        }
    }

    #[test]
    fn what_a_dead_server_left_behind_is_no_server() {
        let all = vec![
            process(1, 0, "/sbin/init", &[]),
            process(11, 1, "/usr/lib/ollama/llama-server", &["--port", "1"]),
            process(12, 1, "/usr/bin/ollama", &["runner", "--port", "3"]),
            process(21, 1, "/opt/llama-server", &["-m", "x"]),
            process(30, 1, "/bin/bash", &[]),
            process(31, 30, "/usr/lib/ollama/llama-server", &["-m", "x"]),
        ];
        let survey = Survey::of(all.clone(), vec![]);
        let of = |pid: u32| {
            let process = all.iter().find(|p| p.id.pid == pid).unwrap();
            with_bundled(|manifests| survey.engine_of(process, manifests)).map(|e| (e.backend, e.server))
        };
        for left in [11, 12] {
            assert_eq!(of(left), Some(("ollama".into(), None)), "{left}");
        }
        assert_eq!(of(21), None, "a user's own server that lost its shell");
        assert_eq!(of(31), None, "somebody started it by hand");
    }

    #[test]
    fn forked_workers_are_one_server() {
        let all = vec![process(10, 1, "/opt/llama-server", &[]), process(11, 10, "/opt/llama-server", &[])];
        let survey = Survey::of(all, vec![listener("127.0.0.1:80", &[10, 11])]);
        assert!(matches!(survey.holder(at("127.0.0.1:80")), Holder::Known(p) if p.id.pid == 10));
    }
}
