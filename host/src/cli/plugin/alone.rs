//! Rules of `ai-monitor plugin check`, in the process that was started for them.

use std::{process::ExitCode, time::Duration};

use ai_monitor_plugin_api::{
    conformance::{Kit, Rule, Verdict, stuck},
    event::Event,
};

use super::{
    check::{Args, Row},
    of_rules::{MARK, Said},
    source::{Source, absolute, read_recording},
};
use crate::{
    cli::out,
    plugin::{self, Isolation, Plugin, Problem, Refusal, StepError},
};

/// What this process may use, in bytes: many times what a plugin may, for the kit keeps what it played.
#[cfg(unix)]
const MEMORY_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// No call of a plugin takes a second; on a machine that has other things to do, this is still no call that comes back.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// Says what came of the rules, to the process of this number that started this one for them.
pub(super) async fn answer(
    args: &Args,
    source: &Source,
    parent: u32,
    rules: Vec<&'static Rule>,
) -> anyhow::Result<ExitCode> {
    plugin::end_with(parent)?;
    limit();
    guard();
    match test(args, source, &rules).await? {
        Ok(rows) => say(&Said::Rows(rows))?,
        Err(refusal) => {
            let Problem { code, text, remedy } = refusal.problem();
            say(&Said::Refused { code, text, remedy })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn say(said: &Said) -> anyhow::Result<()> {
    out::raw(&format!("\n{MARK}{}", serde_json::to_string(said)?));
    Ok(())
}

/// Ends this process where a call of the plugin does not come back: nothing else can.
fn guard() {
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(Duration::from_millis(200));
            if let Some(function) = stuck(STUCK_AFTER) {
                let seconds = STUCK_AFTER.as_secs();
                let _ = say(&Said::Stuck(format!(
                    "`{function}` did not come back within {seconds} s: an endless loop, or it waits for something. A \
                     monitor ends a plugin's process after one second in a call"
                )));
                std::process::exit(0);
            }
        }
    });
}

async fn test(args: &Args, source: &Source, rules: &[&'static Rule]) -> anyhow::Result<Result<Vec<Row>, Refusal>> {
    let kit = match source {
        Source::Bundled(table) => Kit::new(table),
        Source::Library(path) => {
            let path = absolute(path)?;
            let table = match plugin::open_pointer(&path) {
                Ok(table) => table,
                Err(error) => return Ok(Err(Refusal::of(error, &path))),
            };
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
    let verdicts = match (rules, source) {
        ([rule], Source::Library(path)) if rule.name == "does_no_io" => vec![no_io(&kit, &absolute(path)?).await],
        (rules, _) => kit.test_all(rules),
    };
    Ok(Ok(rules.iter().zip(verdicts).map(|(rule, verdict)| row(rule, verdict)).collect()))
}

fn row(rule: &Rule, verdict: Verdict) -> Row {
    match verdict {
        Verdict::Passed(text) => Row::new(rule, "passed", text),
        Verdict::Failed { why, session } => {
            Row { session: session.map(|session| session.to_text()), ..Row::new(rule, "failed", why) }
        }
        Verdict::DoesNotApply(text) => Row::new(rule, "does_not_apply", text),
    }
}

/// The sessions again, in the sandbox in which drop-in plugins run: there a call of the system ends the process. As the
/// library is opened files can be read, for the loader must: an initialiser that writes, connects or starts something
/// ends it, and one that reads gets nothing where Landlock is, and is not seen.
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
    let where_ = if cfg!(target_os = "linux") {
        "where only computing is allowed; which files its initialisers try to read as it is opened is not seen"
    } else {
        "in a process of its own; here the system refuses no call, so what it opens is not seen"
    };
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
