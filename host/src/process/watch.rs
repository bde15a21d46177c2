//! What is known of one target's processes: its root, its tree, who holds its port, and whose it is.
//!
//! A process is the target's when it holds the target's port and is of the configured command's executable or of an
//! exact name in the manifest, or when it answers there as the backend; never by a substring, never without its start
//! time.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
};

use ai_monitor_plugin_api::{
    event::{self, Role},
    manifest::ProcessSpec,
};

use super::{Holder, Process};
use crate::health::signals::{Owner, PortHolder, ProcessId, RunState, TreeProcess};

/// What does not change while the target is watched.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The addresses that the URL may mean; empty: it is not on this machine.
    pub addresses: Vec<SocketAddr>,
    pub command: Option<Vec<String>>,
    pub spec: ProcessSpec,
}

/// One target's processes.
#[derive(Debug)]
pub struct Watch {
    wanted: Wanted,
    root: Option<Process>,
    /// The root runs the configured command and has not listened anywhere yet: it may still turn out to be another
    /// server of the same command (two targets, or a user's own on another port). It is in `seen` only when it is sure.
    presumed: bool,
    /// Did this monitor (now or in an earlier life) start the root?
    started: BTreeSet<ProcessId>,
    /// Every process that was once seen in this target's tree.
    seen: BTreeMap<ProcessId, SeenProcess>,
    /// Of the tree at the last refresh, without secrets.
    arguments: BTreeMap<ProcessId, Vec<String>>,
    /// Of the same tree: where each listens, when it was last asked.
    ports: BTreeMap<ProcessId, Vec<u16>>,
    owner: Owner,
    /// Holds the port, is not of the target by its executable, and may still answer as it.
    stranger: Option<Process>,
}

/// A process once seen in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenProcess {
    pub role: Role,
    pub exe: Option<PathBuf>,
}

/// What one refresh found.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Root first; leftovers of a root that is gone, too. `None`: not known.
    pub tree: Option<Vec<TreeProcess>>,
    pub port: PortHolder,
    pub owner: Owner,
    /// Ids that were not in the tree before.
    pub new: Vec<ProcessId>,
    /// The root is another process than before.
    pub new_root: bool,
}

impl Watch {
    pub fn new(wanted: Wanted) -> Watch {
        let owner = match (&wanted.command, wanted.addresses.is_empty()) {
            (_, true) => Owner::None,
            (Some(_), false) => Owner::Command,
            (None, false) => Owner::Found,
        };
        Watch {
            wanted,
            root: None,
            presumed: false,
            started: BTreeSet::new(),
            seen: BTreeMap::new(),
            arguments: BTreeMap::new(),
            ports: BTreeMap::new(),
            owner,
            stranger: None,
        }
    }

    pub fn is_remote(&self) -> bool {
        self.wanted.addresses.is_empty()
    }

    pub fn root(&self) -> Option<&Process> {
        self.root.as_ref()
    }

    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    pub fn stranger(&self) -> Option<&Process> {
        self.stranger.as_ref()
    }

    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// A process that this monitor started, now or in an earlier life: it becomes the root.
    pub fn started(&mut self, id: ProcessId) {
        self.started.insert(id);
        if let Some(process) = super::find(id.pid).filter(|p| p.id == id) {
            self.adopt(process);
        }
    }

    /// Processes that an earlier life of this monitor saw in the tree.
    pub fn remember(&mut self, ids: impl IntoIterator<Item = (ProcessId, SeenProcess)>) {
        self.seen.extend(ids);
    }

    /// A server that this monitor started has died: the engines in its session are what it left, also those that came
    /// after the last look (a user's request loads a model between two looks). Nobody else can be in that session; its
    /// number alone would not do where it was used again, so only engines are taken.
    pub fn left_by(&mut self, dead: ProcessId) {
        if !self.started.contains(&dead) || super::find(dead.pid).is_some_and(|p| p.id != dead) {
            return;
        }
        for id in super::session_members(dead) {
            let engine =
                super::find(id.pid).filter(|p| p.id == id && super::role(p, &self.wanted.spec, true) == Role::Engine);
            if let Some(process) = engine {
                self.seen.entry(id).or_insert(SeenProcess { role: Role::Engine, exe: process.exe });
            }
        }
    }

    /// From now on this is the target's process.
    pub fn adopt(&mut self, process: Process) {
        self.seen.insert(process.id, SeenProcess { role: Role::Main, exe: process.exe.clone() });
        self.stranger = None;
        self.presumed = false;
        self.root = Some(process);
        // Not left to the next refresh: for that one it is no new root.
        self.owner = self.whose();
    }

    /// Processes of the tree (or left behind by it) that live now, root first.
    pub fn members(&self) -> Vec<ProcessId> {
        let root = self.root.as_ref().map(|r| r.id);
        root.into_iter().chain(self.seen.keys().copied().filter(|id| Some(*id) != root)).collect()
    }

    pub fn seen(&self, id: ProcessId) -> Option<&SeenProcess> {
        self.seen.get(&id)
    }

    /// Looks at the processes and the port. With `port`, the holder is asked even while the root lives, and all ports are
    /// asked anew.
    pub fn refresh(&mut self, port: bool) -> Seen {
        if self.is_remote() {
            return Seen {
                tree: None,
                port: PortHolder::Unknown,
                owner: Owner::None,
                new: Vec::new(),
                new_root: false,
            };
        }
        let before = self.root.as_ref().map(|r| r.id);
        let mut holder = None;
        if let Some(dead) = before.filter(|id| !super::is_alive(*id)) {
            self.left_by(dead);
        }
        if !before.is_some_and(super::is_alive) || (self.presumed && self.is_another_server()) {
            (self.root, self.presumed) = (None, false);
            self.find_root(&mut holder);
        }
        let root = self.root.as_ref().map(|r| r.id);
        let new_root = root.is_some() && root != before;
        if new_root || root.is_none() {
            self.owner = self.whose();
        }
        let (tree, new) = self.tree(port);
        let port = self.port_view(holder, port, &tree);
        let known = !(tree.is_empty() && self.owner == Owner::NotPermitted);
        Seen { tree: known.then_some(tree), port, owner: self.owner.clone(), new, new_root }
    }

    /// The process behind the target: the holder of its port, or one that runs exactly the configured command.
    fn find_root(&mut self, holder_out: &mut Option<Holder>) {
        self.stranger = None;
        self.owner = Owner::Found;
        let holder = self.ask_holder();
        match &holder {
            Holder::Known(process) => {
                let top = self.top_of(process.as_ref());
                if self.is_main(&top) {
                    self.adopt(top);
                } else if !self.seen.contains_key(&process.id) {
                    self.stranger = Some(process.as_ref().clone());
                }
            }
            Holder::NotPermitted => {}
            Holder::Nobody => {
                if let Some(process) = self.not_listening_yet() {
                    (self.root, self.presumed) = (Some(process), true);
                    self.owner = self.whose();
                }
            }
        }
        if matches!(holder, Holder::NotPermitted) {
            self.owner = Owner::NotPermitted;
        }
        *holder_out = Some(holder);
    }

    fn ask_holder(&self) -> Holder {
        self.ask_holder_near(&[])
    }

    fn ask_holder_near(&self, near: &[ProcessId]) -> Holder {
        let mut not_permitted = false;
        for address in &self.wanted.addresses {
            match super::holder_near(*address, near) {
                known @ Holder::Known(_) => return known,
                Holder::NotPermitted => not_permitted = true,
                Holder::Nobody => {}
            }
        }
        if not_permitted { Holder::NotPermitted } else { Holder::Nobody }
    }

    /// The topmost ancestor of the same executable: forked workers share their parent's socket.
    fn top_of(&self, process: &Process) -> Process {
        let mut top = process.clone();
        while let Some(parent) = top.parent.and_then(super::find) {
            if parent.exe.is_none() || parent.exe != process.exe || !self.is_main(&parent) {
                break;
            }
            top = parent;
        }
        top
    }

    /// Of the configured command's executable, or of an exact name of the manifest.
    fn is_main(&self, process: &Process) -> bool {
        let program = self.wanted.command.as_deref().and_then(super::Program::of);
        program.is_some_and(|p| p.is_run_by(process)) || super::role(process, &self.wanted.spec, false) == Role::Main
    }

    /// What was presumed to become the target's server listens by now: at the target's address, or as another server?
    fn is_another_server(&mut self) -> bool {
        let Some(root) = self.root.as_ref().map(|r| r.id) else { return false };
        if !super::listens(root) {
            return false;
        }
        let ours = matches!(self.ask_holder_near(&[root]), Holder::Known(p) if p.id == root);
        if let (true, Some(process)) = (ours, self.root.clone()) {
            self.adopt(process);
        }
        !ours
    }

    /// A start under way (ours before a crash, or the user's): exactly the configured command, not listening yet. One
    /// that listens is another server of the same command; one that this run started for another target is that one's.
    fn not_listening_yet(&self) -> Option<Process> {
        let command = self.wanted.command.as_deref()?;
        let arguments = command.get(1..).unwrap_or_default();
        let program = super::Program::of(command)?;
        let running = super::executing(&program.exe).ok()?;
        let runs = |p: &Process| p.state != RunState::Zombie && p.args.ends_with(arguments) && program.is_run_by(p);
        let mut matching = running
            .iter()
            .filter(|p| runs(p))
            // A child has its parent's command line until it runs a program of its own: it is no second server.
            .filter(|p| !super::parent(&running, p).is_some_and(runs))
            .filter(|p| self.started.contains(&p.id) || !(super::is_own_child(p.id) || super::listens(p.id)));
        let found = matching.next()?;
        // Two of them: which is ours cannot be told, so neither is touched.
        if matching.next().is_some() && !self.started.contains(&found.id) { None } else { Some(found.clone()) }
    }

    fn whose(&self) -> Owner {
        let Some(root) = &self.root else {
            return match (&self.wanted.command, &self.owner) {
                (_, Owner::NotPermitted) => Owner::NotPermitted,
                (Some(_), _) => Owner::Command,
                (None, _) => Owner::Found,
            };
        };
        let started = self.started.contains(&root.id);
        self.owner_of(root, started)
    }

    fn owner_of(&self, process: &Process, started: bool) -> Owner {
        let parent: Vec<Process> = process.parent.and_then(super::find).into_iter().collect();
        super::owner(process, &parent, started, self.wanted.command.as_deref(), &self.wanted.spec.main)
    }

    /// The living processes: the tree below the root, and what an earlier root left behind.
    fn tree(&mut self, ask_ports: bool) -> (Vec<TreeProcess>, Vec<ProcessId>) {
        let mut members = Vec::new();
        if let Some(root) = &self.root {
            // Under a living root a leftover of an older one is no part of the tree; `reap` finds it by `members`.
            members = super::refresh(root.id, &[]);
        }
        let mut new = Vec::new();
        let root = self.root.as_ref().map(|r| r.id);
        for process in members.iter().filter(|_| !self.presumed) {
            let role = self.role_of(process, root);
            if self.seen.insert(process.id, SeenProcess { role, exe: process.exe.clone() }).is_none() {
                new.push(process.id);
            }
        }
        let in_tree: BTreeSet<ProcessId> = members.iter().map(|p| p.id).collect();
        let mut leftovers = Vec::new();
        self.seen.retain(|id, _| {
            if in_tree.contains(id) {
                return true;
            }
            match super::find(id.pid).filter(|p| p.id == *id && p.state != RunState::Zombie) {
                Some(process) => {
                    leftovers.push(process);
                    true
                }
                None => false,
            }
        });
        if root.is_none() {
            members.extend(leftovers);
        }
        self.arguments = members.iter().map(|p| (p.id, mask(&p.args))).collect();
        if ask_ports || !self.knows_ports_of(&members) {
            let mut ports = super::ports_of(&members.iter().map(|p| p.id).collect::<Vec<_>>());
            let of = |p: &Process| (p.id, own_ports(ports.remove(&p.id).unwrap_or_default()));
            self.ports = members.iter().map(of).collect();
        }
        let tree = members
            .iter()
            .enumerate()
            .map(|(index, p)| TreeProcess {
                id: p.id,
                parent: p.parent,
                role: self.role_of(p, root),
                exe: p.name.clone(),
                state: p.state,
                cpu: p.cpu,
                read_bytes: p.read_bytes,
                memory_bytes: p.memory_bytes,
                ports: self.ports.get(&p.id).cloned().unwrap_or_default(),
                session_id: index.to_string(),
            })
            .collect();
        (tree, new)
    }

    /// A tree of the same processes, whose server and engines all listened already, is not asked again: that costs more
    /// than all else of a refresh. One that opens another port, or closes its own, is asked when something is wrong.
    fn knows_ports_of(&self, members: &[Process]) -> bool {
        let root = self.root.as_ref().map(|r| r.id);
        let knows = |p: &Process| {
            let listens = |ports: &Vec<u16>| !ports.is_empty() || self.role_of(p, root) == Role::Other;
            self.ports.get(&p.id).is_some_and(listens)
        };
        members.len() == self.ports.len() && members.iter().all(knows)
    }

    fn role_of(&self, process: &Process, root: Option<ProcessId>) -> Role {
        if Some(process.id) == root {
            return Role::Main;
        }
        match self.seen.get(&process.id) {
            Some(seen) if root.is_none() => seen.role,
            _ => super::role(process, &self.wanted.spec, true),
        }
    }

    fn port_view(&self, holder: Option<Holder>, ask: bool, tree: &[TreeProcess]) -> PortHolder {
        if holder.is_none() && !ask {
            return if self.root.is_some() { PortHolder::Target } else { PortHolder::Unknown };
        }
        let near: Vec<ProcessId> = tree.iter().map(|t| t.id).collect();
        match holder.unwrap_or_else(|| self.ask_holder_near(&near)) {
            Holder::Nobody => PortHolder::Nobody,
            Holder::NotPermitted => PortHolder::Unknown,
            Holder::Known(p) => {
                if self.root.is_some() && tree.iter().any(|t| t.id == p.id) {
                    return PortHolder::Target;
                }
                let owner = self.owner_of(&p, false);
                PortHolder::Other {
                    id: p.id,
                    supervisor: match owner {
                        Owner::Unit(name) | Owner::Container(name) | Owner::Service(name) => Some(name),
                        _ => None,
                    },
                    forwarder: super::is_forwarder(&p),
                    ours: self.seen.contains_key(&p.id),
                    name: p.name.clone(),
                }
            }
        }
    }

    /// The processes of the last refresh's tree as sessions see them, and the addresses that they may reach.
    pub fn for_sessions(&self, tree: &[TreeProcess]) -> (Vec<event::Process>, BTreeMap<String, SocketAddr>) {
        let ids: BTreeMap<u32, &str> = tree.iter().map(|p| (p.id.pid, p.session_id.as_str())).collect();
        let mut addresses = BTreeMap::new();
        let processes = tree
            .iter()
            .map(|p| {
                let mut own = Vec::new();
                for port in &p.ports {
                    let name = format!("{}/{port}", p.session_id);
                    addresses.insert(name.clone(), SocketAddr::from(([127, 0, 0, 1], *port)));
                    own.push(name);
                }
                event::Process {
                    id: p.session_id.clone(),
                    parent: p.parent.and_then(|pid| ids.get(&pid)).map(|s| (*s).to_owned()),
                    role: p.role,
                    exe: p.exe.clone(),
                    args: self.arguments.get(&p.id).cloned().unwrap_or_default(),
                    addresses: own,
                }
            })
            .collect();
        (processes, addresses)
    }
}

/// How long it has lived, where the system tells its start in a way that can be compared with now.
#[cfg(target_os = "linux")]
pub fn uptime(id: ProcessId) -> Option<std::time::Duration> {
    let since_boot: f64 = std::fs::read_to_string("/proc/uptime").ok()?.split(' ').next()?.parse().ok()?;
    let started = id.start as f64 / rustix::param::clock_ticks_per_second() as f64;
    std::time::Duration::try_from_secs_f64(since_boot - started).ok()
}

/// How long it has lived, where the system tells its start in a way that can be compared with now.
#[cfg(not(target_os = "linux"))]
pub fn uptime(_id: ProcessId) -> Option<std::time::Duration> {
    None
}

fn own_ports(addresses: Vec<SocketAddr>) -> Vec<u16> {
    let mut ports: Vec<u16> = addresses.iter().map(SocketAddr::port).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Arguments without secrets: what follows or is set by a name that sounds like a key is masked.
fn mask(args: &[String]) -> Vec<String> {
    let secret = |name: &str| {
        let name = name.to_ascii_lowercase();
        ["key", "token", "secret", "password", "auth"].iter().any(|word| name.contains(word))
    };
    let mut masked = Vec::with_capacity(args.len());
    let mut hide_next = false;
    for arg in args {
        if std::mem::take(&mut hide_next) && !arg.starts_with('-') {
            masked.push("***".to_owned());
            continue;
        }
        match arg.split_once('=') {
            Some((name, _)) if secret(name) => masked.push(format!("{name}=***")),
            None if arg.starts_with('-') && secret(arg) => {
                hide_next = true;
                masked.push(arg.clone());
            }
            _ => masked.push(arg.clone()),
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::mask;
    #[cfg(target_os = "linux")]
    use super::{Owner, PortHolder, Wanted, Watch};
    #[cfg(target_os = "linux")]
    use crate::process::bystanders::Child;

    /// A target on a port where nobody listens, with this script as its command.
    #[cfg(target_os = "linux")]
    fn watch(script: &str) -> Watch {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let command = Some(["sh", "-c", script].map(str::to_owned).to_vec());
        Watch::new(Wanted { addresses: vec![nobody], command, spec: Default::default() })
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_start_under_way_is_found_by_its_command_and_is_not_remembered_before_it_listens() {
        let script = "sleep 1000 & wait; # under way";
        let child = Child::shell(script);
        let mut watch = watch(script);
        let seen = watch.refresh(true);
        assert_eq!(watch.root().map(|r| r.id), Some(child.id));
        assert_eq!(seen.port, PortHolder::Nobody);
        assert!(
            seen.new.is_empty() && watch.seen(child.id).is_none(),
            "it may be another's: never reaped as a leftover"
        );
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn ports_of_a_tree_that_has_not_changed_are_asked_anew_only_when_something_is_wrong() {
        use std::os::{fd::AsRawFd, unix::process::CommandExt};
        const NOTHING: [u16; 0] = [];
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let fd = server.as_raw_fd();
        let script = "kill -STOP $$; exec 9>&-; echo closed; exec sleep 1000";
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script]);
        // SAFETY: plain system calls between fork and exec. Where 9 is what a failed exec is told by, only that is lost.
        unsafe {
            command.pre_exec(move || match (libc::dup2(fd, 9), libc::fcntl(9, libc::F_SETFD, 0)) {
                (9, 0) => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        let child = Child::run(command);
        child.wait_for(super::RunState::Stopped);
        let mut watch = watch(script);
        watch.adopt(crate::process::find(child.id.pid).unwrap());
        let mut ports = |anew| watch.refresh(anew).tree.unwrap()[0].ports.clone();
        let port = server.local_addr().unwrap().port();
        assert_eq!(ports(false), [port]);
        crate::process::signal(child.id, crate::process::Signal::Continue).unwrap();
        assert_eq!(child.line().await, "closed");
        assert_eq!(ports(false), [port]);
        assert_eq!(ports(true), NOTHING);
        // And one that listens nowhere is asked each time.
        assert!(!watch.knows_ports_of(&[crate::process::find(child.id.pid).unwrap()]));
    }

    /// Between fork and exec every child has its parent's command line; a subshell keeps it.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_child_with_its_parents_command_line_is_no_second_server() {
        let script = "(sleep 1000; :) & wait; # twice";
        let child = Child::shell(script);
        while !crate::process::all().unwrap().iter().any(|p| p.parent == Some(child.id.pid) && p.args.len() > 1) {
            std::thread::yield_now();
        }
        let mut watch = watch(script);
        watch.refresh(true);
        assert_eq!(watch.root().map(|r| r.id), Some(child.id));
    }

    /// Two targets, or a target and a user's own server, with the same command and different ports by environment.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_same_command_that_listens_elsewhere_is_another_server() {
        use std::os::{
            fd::{AsRawFd, BorrowedFd},
            unix::process::CommandExt,
        };
        let script = "sleep 1000 & wait; # elsewhere";
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let fd = server.as_raw_fd();
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script]);
        // SAFETY: one plain system call between fork and exec, on a descriptor that is open there.
        unsafe {
            command.pre_exec(move || {
                Ok(rustix::io::fcntl_setfd(BorrowedFd::borrow_raw(fd), rustix::io::FdFlags::empty())?)
            });
        }
        let other = Child::run(command);
        let mut ours = watch(script);
        ours.refresh(true);
        assert_eq!(ours.root(), None);
        assert_eq!(ours.members(), []);
        assert_eq!(*ours.owner(), Owner::Command, "its own may be started");
        // Taken for a start under way before it listened: dropped as soon as it listens elsewhere.
        let mut early = watch(script);
        (early.root, early.presumed) = (crate::process::find(other.id.pid), true);
        early.refresh(false);
        assert_eq!(early.root(), None);
        assert_eq!(early.members(), []);
    }

    /// ollama#5642, with a runner that nobody has looked at yet when its server is killed.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_engine_that_came_after_the_last_look_is_left_behind_too() {
        use ai_monitor_plugin_api::manifest::{EngineSpec, ProcessSpec};

        use crate::process::{Signal, end_tree, exited, is_alive, signal};
        let folder = tempfile::tempdir().unwrap();
        let (go, script) = (folder.path().join("go"), "while [ ! -e $GO ]; do sleep 0.01; done; sleep 1000 & wait");
        let launch = crate::process::Launch {
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
            env: [("GO".to_owned(), go.display().to_string())].into(),
            output: folder.path().join("server.log"),
            cwd: None,
        };
        let server = crate::process::start(&launch).unwrap().id;
        let mut watch = watch(script);
        let engine = EngineSpec { exe: vec!["sleep".into()], args: vec!["1000".into()], ..Default::default() };
        watch.wanted.spec = ProcessSpec { engines: vec![engine], ..Default::default() };
        watch.started(server);
        watch.refresh(false);
        std::fs::write(&go, "").unwrap();
        let runner = loop {
            let below = crate::process::refresh(server, &[]);
            if let Some(runner) = below.iter().find(|p| p.args == ["1000"]) {
                break runner.id;
            }
            std::thread::yield_now();
        };
        signal(server, Signal::Kill).unwrap();
        exited(server).await;
        let tree = watch.refresh(false).tree.unwrap();
        assert_eq!(tree.iter().map(|p| p.id).collect::<Vec<_>>(), [runner], "it is left behind, and known");
        end_tree(runner, &[], std::time::Duration::ZERO, true).await;
        assert!(!is_alive(runner));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_was_started_for_another_target_is_that_ones() {
        let folder = tempfile::tempdir().unwrap();
        let script = "sleep 1000 & wait; # another target's";
        let launch = crate::process::Launch {
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
            env: Default::default(),
            output: folder.path().join("other.log"),
            cwd: None,
        };
        let started = crate::process::start(&launch).unwrap();
        let mut other = watch(script);
        other.refresh(true);
        assert_eq!(other.root(), None);
        other.started(started.id);
        assert_eq!(other.root().map(|r| r.id), Some(started.id));
        crate::process::end_tree(started.id, &[], std::time::Duration::ZERO, true).await;
    }

    #[test]
    fn secrets_in_arguments_are_masked() {
        let args = ["--api-key", "s3cret", "--port", "80", "--token=abc", "--api-key-file"];
        let masked = mask(&args.map(str::to_owned));
        assert_eq!(masked, ["--api-key", "***", "--port", "80", "--token=***", "--api-key-file"]);
    }
}
