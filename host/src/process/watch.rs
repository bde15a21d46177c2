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

use ai_monitor_plugin_api::{event::Role, manifest::ProcessSpec};

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
    pub(super) arguments: BTreeMap<ProcessId, Vec<String>>,
    /// Of the same tree: where each is reached, when it was last asked.
    addresses: BTreeMap<ProcessId, Vec<SocketAddr>>,
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
            addresses: BTreeMap::new(),
            owner,
            stranger: None,
        }
    }

    /// From now on the tree is judged by this: the target's plugin is another.
    pub fn set_spec(&mut self, spec: ProcessSpec) {
        self.wanted.spec = spec;
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
        // Empty when the root is gone. Asked once: reading of each process what it does is most of a refresh.
        let mut members = before.map(|id| super::refresh(id, &[])).unwrap_or_default();
        if let Some(dead) = before.filter(|_| members.is_empty()) {
            self.left_by(dead);
        }
        if members.is_empty() || (self.presumed && self.is_another_server()) {
            (self.root, self.presumed) = (None, false);
            self.find_root(&mut holder);
            members = self.root.as_ref().map(|root| super::refresh(root.id, &[])).unwrap_or_default();
        }
        let root = self.root.as_ref().map(|r| r.id);
        let new_root = root.is_some() && root != before;
        if new_root || root.is_none() {
            self.owner = self.whose();
        }
        let (tree, new) = self.tree(members, port);
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

    /// The living processes: `members`, the tree below the root, or without a root what an earlier one left behind.
    /// Under a living root a leftover of an older one is no part of the tree; `reap` finds it by [`Self::members`].
    fn tree(&mut self, mut members: Vec<Process>, ask_ports: bool) -> (Vec<TreeProcess>, Vec<ProcessId>) {
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
        self.arguments = members.iter().map(|p| (p.id, super::session_view::mask(&p.args))).collect();
        if ask_ports || !self.knows_ports_of(&members) {
            let mut ports = super::ports_of(&members.iter().map(|p| p.id).collect::<Vec<_>>());
            self.addresses = members.iter().map(|p| (p.id, ports.remove(&p.id).unwrap_or_default())).collect();
        }
        let tree = members
            .iter()
            .enumerate()
            .map(|(index, p)| TreeProcess {
                id: p.id,
                parent: p.parent,
                role: self.role_of(p, root),
                lost_engine: super::lost_engine(p, &self.wanted.spec),
                exe: p.name.clone(),
                state: p.state,
                cpu: p.cpu,
                read_bytes: p.read_bytes,
                memory_bytes: p.memory_bytes,
                addresses: self.addresses.get(&p.id).cloned().unwrap_or_default(),
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
            let listens = |own: &Vec<SocketAddr>| !own.is_empty() || self.role_of(p, root) == Role::Other;
            self.addresses.get(&p.id).is_some_and(listens)
        };
        members.len() == self.addresses.len() && members.iter().all(knows)
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

#[cfg(test)]
mod tests;
