//! Who descends from whom, asked of the kernel for one process at a time.

use std::{collections::BTreeSet, path::Path, sync::OnceLock};

use super::proc::{Folder, Stat, all, describe, pids, read_short};
use crate::{
    health::signals::{ProcessId, RunState},
    process::{Process, gather},
};

/// See [`crate::process::refresh`].
pub fn refresh(root: ProcessId, known: &[ProcessId]) -> Vec<Process> {
    if !lists_children() {
        return all().map(|all| gather(&all, root, known)).unwrap_or_default();
    }
    let mut found: Vec<Process> = Vec::new();
    let mut seen = BTreeSet::new();
    for start in std::iter::once(&root).chain(known) {
        // What the process must be to belong here: this very one, or a child of the one above.
        let mut waiting = vec![(start.pid, Meant::Exactly(*start))];
        while let Some((pid, meant)) = waiting.pop() {
            if seen.contains(&pid) {
                continue;
            }
            let Ok(folder) = Folder::open(pid) else { continue };
            let Some(stat) = folder.stat(pid).filter(|s| s.state != RunState::Zombie && meant.is(s)) else { continue };
            seen.insert(pid);
            waiting.extend(children(&folder, &stat).into_iter().map(|child| (child, Meant::ChildOf(pid))));
            found.push(describe(&folder, stat));
        }
    }
    found
}

enum Meant {
    Exactly(ProcessId),
    ChildOf(u32),
}

impl Meant {
    fn is(&self, stat: &Stat) -> bool {
        match self {
            Meant::Exactly(id) => stat.id == *id,
            Meant::ChildOf(parent) => stat.parent == Some(*parent),
        }
    }
}

/// Each thread has a list of the children that it forked.
fn children(folder: &Folder, stat: &Stat) -> Vec<u32> {
    let threads = match stat.threads {
        0 | 1 => vec![stat.id.pid.to_string().into_bytes()],
        _ => folder.list("task").unwrap_or_default(),
    };
    let lists = threads.iter().filter_map(|t| folder.read(&format!("task/{}/children", str::from_utf8(t).ok()?)).ok());
    lists
        .flat_map(|list| {
            let text = String::from_utf8_lossy(&list);
            text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()
        })
        .collect()
}

/// Kernels built without `CONFIG_PROC_CHILDREN` have no such lists.
fn lists_children() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        let own = std::process::id();
        Path::new(&format!("/proc/{own}/task/{own}/children")).exists()
    })
}

/// All living processes of the session that `leader` opened, without itself. The number of a session is not given to a
/// new process while one member lives, so this also finds the orphans of a leader that is gone.
pub fn session_members(leader: ProcessId) -> Vec<ProcessId> {
    let Ok(pids) = pids() else { return Vec::new() };
    // One cheap question to all, and a look only at those that are in it.
    let in_it = |pid: &u32| {
        // SAFETY: getsid reads and writes nothing of ours. (Not by rustix: kernel threads have session 0, and it takes
        // for granted that nobody has.)
        let session = unsafe { libc::getsid((*pid).cast_signed()) };
        session.cast_unsigned() == leader.pid
    };
    pids.into_iter()
        .filter(in_it)
        .filter_map(|pid| Stat::parse(pid, &read_short(&format!("/proc/{pid}/stat"))?))
        .filter(|s| s.state != RunState::Zombie && s.session == leader.pid)
        .filter(|s| s.id.start >= leader.start && s.id != leader)
        .map(|s| s.id)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Signal, bystanders::Child, exited, find, signal, tree};

    #[tokio::test]
    async fn the_kernels_lists_and_the_look_at_all_give_the_same_tree() {
        let child = Child::shell(r#"sh -c 'sh -c "sleep 1000 & echo ready; wait" & wait' & sleep 1000 & wait"#);
        child.line().await;
        let mut walked: Vec<ProcessId> = refresh(child.id, &[]).iter().map(|p| p.id).collect();
        assert_eq!(walked.first(), Some(&child.id));
        let all = all().unwrap();
        let mut scanned: Vec<ProcessId> = tree(&all, child.id).iter().map(|p| p.id).collect();
        walked.sort();
        scanned.sort();
        assert_eq!(walked, scanned);
        assert_eq!(refresh(ProcessId { start: child.id.start - 1, ..child.id }, &[]), []);
    }

    #[tokio::test]
    async fn an_orphan_stays_in_the_tree_of_those_who_knew_it() {
        let child = Child::shell(r#"sh -c 'sh -c "sleep 1000 & echo ready; wait" & wait' & wait; sleep 1000 & wait"#);
        child.line().await;
        let known: Vec<ProcessId> = refresh(child.id, &[]).iter().map(|p| p.id).collect();
        assert_eq!(known.len(), 4);
        signal(known[1], Signal::Kill).unwrap();
        exited(known[1]).await;
        let left: Vec<ProcessId> = refresh(child.id, &known).iter().map(|p| p.id).collect();
        assert!(left.first() == Some(&child.id) && left.ends_with(&known[2..]), "{left:?} of {known:?}");
        assert!(!refresh(child.id, &[]).iter().any(|p| known[1..].contains(&p.id)), "unknown orphans are not guessed");
    }

    #[tokio::test]
    async fn a_process_that_executes_another_program_is_seen_anew() {
        let script = r#"kill -STOP $$; exec sh -c "echo again; sleep 1000 & wait" second"#;
        let child = Child::shell(script);
        child.wait_for(RunState::Stopped);
        let before = find(child.id.pid).unwrap();
        assert_eq!(before.args, ["-c", script]);
        signal(child.id, Signal::Continue).unwrap();
        assert_eq!(child.line().await, "again");
        let after = find(child.id.pid).unwrap();
        assert_eq!(after.id, before.id);
        assert_eq!(after.args.last().map(String::as_str), Some("second"));
    }
}
