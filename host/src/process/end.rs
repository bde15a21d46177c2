//! Ending a whole tree: politely at the root, by force only where that was allowed, and never past a process whose
//! start does not match.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::{Instant, timeout, timeout_at};

use super::{Exit, Signal, SignalError, exited, find, imp, is_alive, refresh, signal, state};
use crate::health::signals::{ProcessId, RunState};

/// So long a killed process may take to go. One that is still there then is stuck in the kernel (its device, most
/// likely).
const KILL_WAIT: Duration = Duration::from_secs(5);

/// So many times is looked for new children while the tree is being frozen. Two are enough unless it forks on and on.
const FREEZE_ROUNDS: usize = 16;

/// How the end of a tree went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedTree {
    /// All that lived in the tree and are gone now.
    pub gone: Vec<ProcessId>,
    /// All that live on. Empty: the tree has ended.
    pub survivors: Vec<Survivor>,
    /// Was force needed and used? False also where nobody asked for it.
    pub forced: bool,
    /// How the root ended, where it did.
    pub exit: Option<Exit>,
}

impl EndedTree {
    pub fn is_complete(&self) -> bool {
        self.survivors.is_empty()
    }
}

/// A process that lives on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survivor {
    pub id: ProcessId,
    pub name: String,
    pub state: RunState,
    /// Why it could not be signalled; `None`: it was, and it is still there (or force was not allowed).
    pub error: Option<String>,
}

/// Ends `root` and what belongs to it: SIGTERM to the root alone (which ends its children itself), up to `grace` for it
/// to go; what it leaves behind is asked the same way. With `force` all that is left then is killed, new children
/// included. `members` are processes known to belong to it; those of them that are orphans by now are only found so.
///
/// Waits for ends by event, at most `grace` and a few seconds. A root that is gone already is no error: its members are
/// ended.
pub async fn end_tree(root: ProcessId, members: &[ProcessId], grace: Duration, force: bool) -> EndedTree {
    let mut tree = Tree { root, leads_session: leads_session(root), living: BTreeMap::new(), errors: BTreeMap::new() };
    tree.look(members);
    let deadline = Instant::now() + grace;
    let mut exit = None;
    if is_alive(root) && tree.ask(root) {
        exit = timeout_at(deadline, exited(root)).await.ok();
    }
    if !is_alive(root) {
        tree.look(members);
        let left: Vec<ProcessId> = tree.left();
        let asked: Vec<ProcessId> = left.into_iter().filter(|id| tree.ask(*id)).collect();
        wait_for(&asked, deadline).await;
    }
    let mut forced = false;
    if force && !tree.left().is_empty() {
        forced = tree.kill(members);
        wait_for(&tree.left(), Instant::now() + KILL_WAIT).await;
        // What was out of sight when its parent was frozen.
        tree.look(members);
        if !tree.left().is_empty() && tree.kill(members) {
            wait_for(&tree.left(), Instant::now() + KILL_WAIT).await;
        }
    }
    if exit.is_none() && !is_alive(root) {
        exit = timeout(KILL_WAIT, exited(root)).await.ok();
    }
    tree.report(forced, exit)
}

struct Tree {
    root: ProcessId,
    /// Then all of its session belong to it, orphans too.
    leads_session: bool,
    /// All that were ever seen living in it, with their names.
    living: BTreeMap<ProcessId, String>,
    errors: BTreeMap<ProcessId, String>,
}

impl Tree {
    /// Adds what belongs to the tree now; true: somebody was new.
    fn look(&mut self, members: &[ProcessId]) -> bool {
        let before = self.living.len();
        let mut known: Vec<ProcessId> = members.to_vec();
        known.extend(self.living.keys());
        if self.leads_session {
            known.extend(imp::session_members(self.root));
        }
        for process in refresh(self.root, &known) {
            self.living.insert(process.id, process.name);
        }
        self.living.len() > before
    }

    /// Who still lives; the root first.
    fn left(&self) -> Vec<ProcessId> {
        let mut left: Vec<ProcessId> = self.living.keys().copied().filter(|id| is_alive(*id)).collect();
        left.sort_by_key(|id| *id != self.root);
        left
    }

    /// Sends it and remembers why it could not be sent; true: it was sent.
    fn send(&mut self, id: ProcessId, what: Signal) -> bool {
        match signal(id, what) {
            Ok(()) => true,
            Err(SignalError::Gone) => false,
            Err(error) => {
                self.errors.insert(id, error.to_string());
                false
            }
        }
    }

    /// Asks politely. A stopped process gets the question first and is then let go on: it does nothing else before.
    fn ask(&mut self, id: ProcessId) -> bool {
        let stopped = state(id) == Some(RunState::Stopped);
        let sent = self.send(id, Signal::Terminate);
        if sent && stopped {
            self.send(id, Signal::Continue);
        }
        sent
    }

    /// Kills all of it; true: somebody was killed. Everybody is frozen first, because the children of a process that
    /// forks while it is killed are not to be found any more once it is dead.
    fn kill(&mut self, members: &[ProcessId]) -> bool {
        for _ in 0..FREEZE_ROUNDS {
            for id in self.left() {
                // Where it fails, the kill says why.
                let _ = signal(id, Signal::Freeze);
            }
            if !self.look(members) {
                break;
            }
        }
        let mut killed = false;
        for id in self.left() {
            killed |= self.send(id, Signal::Kill);
        }
        killed
    }

    fn report(self, forced: bool, exit: Option<Exit>) -> EndedTree {
        let (mut gone, mut survivors) = (Vec::new(), Vec::new());
        for (id, name) in self.living {
            match state(id) {
                Some(state) => {
                    survivors.push(Survivor { id, name, state, error: self.errors.get(&id).cloned() });
                }
                None => gone.push(id),
            }
        }
        EndedTree { gone, survivors, forced, exit }
    }
}

fn leads_session(root: ProcessId) -> bool {
    find(root.pid).is_some_and(|p| p.id == root && p.session == Some(root.pid))
}

async fn wait_for(processes: &[ProcessId], deadline: Instant) {
    for id in processes {
        if timeout_at(deadline, exited(*id)).await.is_err() {
            return;
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::process::bystanders::{Child, Lookalikes, out_of_reach};

    // No trap that ends a shell is used here: a signal that comes right before its `wait` is only heeded after it.
    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_polite_server_is_not_forced() {
        let child = Child::shell("sleep 1000 & echo ready; wait");
        child.line().await;
        let ended = end_tree(child.id, &[], LONG, true).await;
        assert!(ended.is_complete() && !ended.forced, "{ended:?}");
        assert!(ended.gone.len() == 2 && ended.gone.contains(&child.id), "what it left behind was asked, too");
    }

    /// llama.cpp#27388: SIGTERM is ignored.
    #[tokio::test]
    async fn a_server_that_ignores_the_polite_signal_is_killed_with_its_children_only_where_force_is_allowed() {
        let bystanders = Lookalikes::ten();
        let child = Child::shell("trap '' TERM; sh -c 'trap \"\" TERM; sleep 1000 & echo ready; wait' & wait");
        child.line().await;
        let tree = refresh(child.id, &[]);
        assert_eq!(tree.len(), 3, "{tree:?}");
        let asked = end_tree(child.id, &[], Duration::from_millis(50), false).await;
        assert!(asked.gone.is_empty() && !asked.forced, "{asked:?}");
        assert_eq!(asked.survivors.len(), 3);
        let ended = end_tree(child.id, &[], Duration::from_millis(50), true).await;
        assert!(ended.is_complete() && ended.forced, "{ended:?}");
        assert_eq!(ended.gone.len(), 3);
        bystanders.all_live();
    }

    #[tokio::test]
    async fn a_stopped_server_is_let_go_on_to_end_by_itself() {
        let child = Child::shell("sleep 1000 & echo ready; wait");
        child.line().await;
        signal(child.id, Signal::Freeze).unwrap();
        child.wait_for(RunState::Stopped);
        let ended = end_tree(child.id, &[], LONG, false).await;
        assert!(!is_alive(child.id) && !ended.forced, "{ended:?}");
    }

    /// ollama#5642: SIGKILL of the server leaves its runner behind.
    #[tokio::test]
    async fn the_orphans_of_a_dead_root_are_ended_by_what_was_known_of_them() {
        let bystanders = Lookalikes::ten();
        let child = Child::shell(
            "sh -c 'sh -c \"trap : TERM; trap \\\"\\\" TERM; sleep 1000 & echo ready; wait\" & wait' & wait",
        );
        child.line().await;
        let members: Vec<ProcessId> = refresh(child.id, &[]).iter().skip(1).map(|p| p.id).collect();
        assert_eq!(members.len(), 3);
        let root = members[0];
        signal(root, Signal::Kill).unwrap();
        exited(root).await;
        assert_eq!(end_tree(root, &[], Duration::ZERO, true).await.gone, [], "nothing is guessed");
        let ended = end_tree(root, &members, Duration::from_millis(50), true).await;
        assert!(ended.is_complete() && ended.forced, "{ended:?}");
        assert_eq!(ended.gone.len(), 2);
        bystanders.all_live();
    }

    /// vllm#17676: SIGTERM ends the server and leaves its workers.
    #[tokio::test]
    async fn what_a_polite_root_leaves_in_its_session_is_found_though_nobody_knew_it() {
        let root = out_of_reach("(sh -c 'sleep 1000 & wait' >&- &); exec >&-; sleep 1000 & wait");
        let session = imp::session_members(root.id);
        assert!(!session.is_empty());
        let ended = end_tree(root.id, &[], LONG, true).await;
        assert!(ended.is_complete(), "{ended:?}");
        assert!(session.iter().all(|id| !is_alive(*id)));
    }

    #[tokio::test]
    async fn a_member_whose_number_is_used_again_is_left_alone() {
        let child = Child::shell("exec sleep 1000");
        let stranger = Child::shell("exec sleep 1000");
        let before = ProcessId { start: stranger.id.start - 1, ..stranger.id };
        let ended = end_tree(child.id, &[before], LONG, true).await;
        assert_eq!(ended.gone, [child.id]);
        assert!(is_alive(stranger.id));
        let none = end_tree(before, &[], LONG, true).await;
        assert!(none.is_complete() && none.gone.is_empty());
        assert!(is_alive(stranger.id));
    }

    #[tokio::test]
    async fn a_tree_that_forks_without_end_is_ended_whole() {
        let child = Child::shell("trap '' TERM; echo ready; while :; do sleep 1000 & sleep 0.001; done");
        child.line().await;
        let ended = end_tree(child.id, &[], Duration::from_millis(50), true).await;
        assert!(ended.is_complete() && ended.forced, "{ended:?}");
        let left: Vec<_> =
            super::super::all().unwrap().into_iter().filter(|p| p.session == Some(child.id.pid)).collect();
        assert!(left.iter().all(|p| p.state == RunState::Zombie), "{left:?}");
    }
}
