//! `clean_temp`: what crashes left in the folder for temporary files is removed: only what the manifest's `stale` names,
//! is old, and belongs to this user.

use std::{
    io,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use ai_monitor_plugin_api::{event::Role, manifest::ProcessSpec};

use super::{Ground, blocking::blocking, seconds};
use crate::{
    health::signals::{ProcessId, RunState},
    incident::act::{ActCall, Outcome},
    process::{self, Process, Program, stale},
};

/// Younger things may be in use.
const OLDER_THAN: Duration = Duration::from_secs(3600);
/// For the look and for the removal each.
const LIMIT: Duration = Duration::from_secs(60);
/// The removal begins nothing new after this.
const ENOUGH: Duration = Duration::from_secs(50);

pub(super) async fn clean_temp(ground: &mut Ground<'_>, call: &ActCall) -> Outcome {
    let manifest = ground.plugin.manifest();
    if manifest.files.stale.is_empty() {
        return Outcome::new("unsupported", "this backend leaves nothing that is known to be stale");
    }
    let asked = seconds(call, "older_than").unwrap_or(OLDER_THAN);
    let now = SystemTime::now();
    let rules = manifest.files.stale.iter().filter_map(|rule| {
        let older = asked.max(Duration::from_secs(rule.older_s));
        Some(Rule {
            pattern: stale::Pattern::of(&rule.glob)?,
            before: now.checked_sub(older).unwrap_or(SystemTime::UNIX_EPOCH),
            only_stopped: rule.only.as_deref() == Some("stopped"),
        })
    });
    let rules: Vec<Rule> = rules.collect();
    if rules.is_empty() {
        return Outcome::new("nothing", "no place of it is known here");
    }
    let spec = manifest.process.clone();
    ground.watch.refresh(true);
    let stale = Stale {
        rules,
        members: ground.watch.members(),
        spec,
        program: ground.target.process.command.as_deref().and_then(Program::of),
    };
    let looking = stale.clone();
    let (found, user) = match blocking(LIMIT, "looking for stale files", move || looking.find()).await {
        Ok(found) => found,
        Err(error) => return Outcome::new("failed", error.to_string()),
    };
    if found.is_empty() {
        return Outcome::new(
            "nothing",
            match user {
                Some(user) => format!("what it leaves is touched only while it is stopped: {user}"),
                None => "nothing of it is old enough".into(),
            },
        );
    }
    ground.notes.intent("clean_temp", Vec::new(), format!("removes {}", named(&found)));
    match blocking(LIMIT, "removing stale files", move || stale.remove(found)).await {
        Ok((removed, left)) if left.is_empty() => Outcome::done(format!("removed {}", named(&removed))),
        Ok((removed, left)) => {
            let changed = !removed.is_empty();
            Outcome { changed, ..Outcome::new("failed", format!("still there: {}", named(&left))) }
        }
        Err(error) => Outcome { changed: true, ..Outcome::new("failed", error.to_string()) },
    }
}

/// One rule of the manifest, for now and here.
#[derive(Debug, Clone)]
struct Rule {
    pattern: stale::Pattern,
    /// Not written to since then.
    before: SystemTime,
    only_stopped: bool,
}

/// What may be removed, and who may still use it.
#[derive(Debug, Clone)]
struct Stale {
    rules: Vec<Rule>,
    /// The target's own processes, its leftovers among them.
    members: Vec<ProcessId>,
    spec: ProcessSpec,
    /// What the target's command runs, whose name the manifest need not know.
    program: Option<Program>,
}

impl Stale {
    /// What may be removed now; and who runs, where that leaves some of it alone.
    fn find(&self) -> (Vec<PathBuf>, Option<String>) {
        let user = self.rules.iter().any(|rule| rule.only_stopped).then(|| self.user()).flatten();
        let free = self.rules.iter().filter(|rule| !(rule.only_stopped && user.is_some()));
        (free.flat_map(|rule| rule.pattern.find(rule.before)).collect(), user)
    }

    /// Who may use these files: the target's own processes, or any other server of the same kind, for they share the
    /// folder. In words.
    fn user(&self) -> Option<String> {
        if let Some(own) = self.members.iter().find(|id| process::is_alive(**id)) {
            return Some(format!("its process {own} runs"));
        }
        self.user_among(process::all())
    }

    fn user_among(&self, all: io::Result<Vec<Process>>) -> Option<String> {
        let all = match all {
            Ok(all) => all,
            // What cannot be seen may run.
            Err(error) => return Some(format!("which processes run cannot be known ({error})")),
        };
        let is_server = |p: &&Process| {
            let runs_it = self.program.as_ref().is_some_and(|program| program.is_run_by(p));
            p.state != RunState::Zombie && (runs_it || process::role(p, &self.spec, false) == Role::Main)
        };
        all.iter().find(is_server).map(|p| format!("{} ({}) runs, which is one of its kind", p.name, p.id))
    }

    /// Removes of these what may still be removed: a server may have been started meanwhile. Gives what is gone, and
    /// what is left.
    fn remove(&self, found: Vec<PathBuf>) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let until = Instant::now() + ENOUGH;
        let (still, _) = self.find();
        for path in found.iter().filter(|path| still.contains(path)) {
            if Instant::now() >= until {
                break;
            }
            if let Err(error) = stale::remove(path) {
                tracing::warn!(path = %path.display(), %error, "a stale file could not be removed");
            }
        }
        found.into_iter().partition(|path| path.symlink_metadata().is_err_and(|e| e.kind() == io::ErrorKind::NotFound))
    }
}

fn named(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(name: &str, args: &[&str], state: RunState) -> Process {
        Process {
            id: ProcessId { pid: 4711, start: 5 },
            parent: Some(1),
            exe: Some(format!("/usr/bin/{name}").into()),
            name: name.into(),
            comm: name.into(),
            title: name.into(),
            args: args.iter().map(|a| (*a).to_owned()).collect(),
            state,
            cpu: None,
            read_bytes: None,
            memory_bytes: None,
            user: None,
            session: None,
        }
    }

    fn stale(program: Option<Program>) -> Stale {
        let spec = ProcessSpec { main: vec!["ollama".into()], engines: Vec::new(), lost_engine: None };
        Stale { rules: Vec::new(), members: Vec::new(), spec, program }
    }

    #[test]
    fn any_server_of_its_kind_uses_what_they_share() {
        let user = |process| stale(None).user_among(Ok(vec![running("bash", &[], RunState::Sleeping), process]));
        let other = user(running("ollama", &["serve"], RunState::Sleeping)).expect("another instance");
        assert!(other.starts_with("ollama (4711) runs"), "{other}");
        assert_eq!(user(running("ollama", &["serve"], RunState::Zombie)), None);
        assert_eq!(user(running("ollama-exporter", &[], RunState::Running)), None);
    }

    #[test]
    fn another_run_of_the_target_s_own_command_uses_it() {
        let program = Program { exe: "/usr/bin/my-server".into(), leading: Vec::new() };
        let all = || Ok(vec![running("my-server", &["--port", "9"], RunState::Sleeping)]);
        assert!(stale(Some(program)).user_among(all()).is_some());
        assert_eq!(stale(None).user_among(all()), None);
    }

    #[test]
    fn where_nothing_can_be_seen_it_may_run() {
        let unseen = stale(None).user_among(Err(io::Error::from(io::ErrorKind::PermissionDenied)));
        assert!(unseen.is_some_and(|why| why.contains("cannot be known")));
    }
}
