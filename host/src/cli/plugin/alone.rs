//! One rule of `ai-monitor plugin check`, in the process that was started for it.

use ai_monitor_plugin_api::{
    conformance::{Kit, Rule, Verdict},
    event::Event,
};

use super::{
    check::{Args, Row},
    source::{Source, absolute, read_recording},
};
use crate::plugin::{self, Isolation, Plugin, StepError};

/// What this process may use, in bytes: many times what a plugin may, for the kit keeps what it played.
#[cfg(unix)]
const MEMORY_MAX: u64 = 2 * 1024 * 1024 * 1024;

pub(super) async fn test(args: &Args, source: &Source, rule: &'static Rule) -> anyhow::Result<Row> {
    limit();
    let kit = match source {
        Source::Bundled(table) => Kit::new(table),
        Source::Library(path) => {
            let table = plugin::open_pointer(&absolute(path)?)?;
            // SAFETY: a library that exports this name promises a table of the contract; it stays loaded.
            unsafe { Kit::from_pointer(table) }
        }
    };
    let mut kit = kit.seed(args.seed()).fuzzed(args.sessions()).alone();
    if let Some(manifest) = source.manifest_beside()? {
        kit = kit.file(manifest);
    }
    for file in args.recordings() {
        kit = kit.recordings([read_recording(file)?]);
    }
    let verdict = match (rule.name, source) {
        ("does_no_io", Source::Library(path)) => no_io(&kit, &absolute(path)?).await,
        _ => kit.test(rule),
    };
    Ok(row(rule, verdict))
}

fn row(rule: &Rule, verdict: Verdict) -> Row {
    let (verdict, text, session) = match verdict {
        Verdict::Passed(text) => ("passed", text, None),
        Verdict::Failed { why, session } => ("failed", why, session.map(|session| session.to_text())),
        Verdict::DoesNotApply(text) => ("does_not_apply", text, None),
    };
    Row {
        rule: rule.name.into(),
        says: rule.says.into(),
        section: rule.section.into(),
        verdict: verdict.into(),
        text,
        session,
    }
}

/// The sessions again, in the sandbox in which drop-in plugins run: there a call of the system ends the process.
async fn no_io(kit: &Kit, library: &std::path::Path) -> Verdict {
    let failed = |why: String| Verdict::Failed { why, session: None };
    let sessions = match kit.sessions() {
        Ok(sessions) => sessions,
        Err(why) => return Verdict::DoesNotApply(why),
    };
    let plugin = match Plugin::isolated(library, &Isolation::this_program()).await {
        Ok(plugin) => plugin,
        Err(error) => return failed(error.to_string()),
    };
    let played = sessions.len();
    for session in sessions {
        if let Err(why) = play(&plugin, &session).await {
            return failed(why);
        }
    }
    let where_ = if cfg!(target_os = "linux") { "where only computing is allowed" } else { "in a process of its own" };
    Verdict::Passed(format!("{played} sessions {where_}"))
}

async fn play(plugin: &Plugin, events: &[Event]) -> Result<(), String> {
    let mut session = plugin.session().await.map_err(|error| error.to_string())?;
    for event in events {
        match session.step(event).await {
            Ok(_) => {}
            Err(error @ (StepError::Crashed(_) | StepError::Overrun(_))) => return Err(error.to_string()),
            // Another rule tells of these.
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

/// A plugin that takes all there is is to end itself and not the machine.
#[cfg(unix)]
fn limit() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    // Where the system refuses, the rule's own time is the bound.
    let _ = setrlimit(Resource::Data, Rlimit { current: Some(MEMORY_MAX), maximum: Some(MEMORY_MAX) });
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

#[cfg(not(unix))]
fn limit() {}
