//! The rules of `ai-monitor plugin check` in processes of their own: whatever a plugin does there ends that process.
//!
//! The rules that look at the same sessions share one, so that each session is played once; where it ends, they are
//! put to the test one by one. A plugin that hangs costs its time a few times, and not once for each rule.

use std::{
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use ai_monitor_plugin_api::conformance::Rule;
use anyhow::{Context, bail};
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
};

use super::check::{Args, Problem, Row};
use crate::plugin::{Isolation, Tie};

/// For one process, on a machine that has other things to do. A call that does not come back ends it before.
const PATIENCE: Duration = Duration::from_secs(300);
/// For opening a library.
const OPENED_WITHIN: Duration = Duration::from_secs(30);
/// After so many rules that came to no end the others are not run.
const HANGS_MAX: usize = 3;
/// What a process may write: verdicts with sessions in them.
const OUTPUT_MAX: u64 = 64 * 1024 * 1024;
/// Its last words that are shown.
const WORDS_SHOWN: usize = 400;
/// In front of what a process says: the plugin may write, too.
pub(super) const MARK: &str = "ai-monitor-verdict ";

/// What a process says of its rules; one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    /// One for each rule.
    Rows(Vec<Row>),
    /// The library is no plugin.
    Refused { code: String, text: String, remedy: String },
    /// A call into the plugin did not come back.
    Stuck(String),
}

/// Whether the library can be opened, and why not.
pub(super) async fn opened(args: &Args) -> Result<(), Problem> {
    match asked(args, &[], OPENED_WITHIN).await {
        Ok(Said::Rows(_)) => Ok(()),
        Ok(Said::Refused { code, text, remedy }) => Err(Problem { code, text, remedy: Some(remedy) }),
        Ok(Said::Stuck(text)) => Err(Problem { code: "hangs_while_opened".into(), text, remedy: None }),
        Err(error) => Err(Problem {
            code: "crashed_while_opened".into(),
            text: format!("it cannot be opened: {error:#}"),
            remedy: Some("look at what it does as it is opened: initialisers, and what it is linked with".into()),
        }),
    }
}

/// What came of each rule, in their order.
pub(super) fn rows(args: &Args, rules: Vec<&'static Rule>) -> impl Stream<Item = Row> {
    let at_once = std::thread::available_parallelism().map_or(2, usize::from).clamp(1, 8);
    let (together, apart): (Vec<_>, Vec<_>) = rules.iter().partition(|rule| rule.shares_its_sessions());
    let hangs = std::sync::Arc::new(AtomicUsize::new(0));
    // The longest first.
    let groups = Some(together).filter(|together| !together.is_empty()).into_iter();
    let groups = groups.chain(apart.into_iter().map(|rule| vec![rule]));
    let each = move |group: Vec<&'static Rule>| {
        let hangs = hangs.clone();
        async move { of_group(args, &group, &hangs).await }
    };
    let come = Box::pin(stream::iter(groups).map(each).buffer_unordered(at_once));
    in_order(rules, come)
}

/// Puts what comes in any order into the order of the rules, each as soon as it can be told.
fn in_order(rules: Vec<&'static Rule>, come: impl Stream<Item = Vec<Row>> + Unpin) -> impl Stream<Item = Row> {
    let state = (rules.into_iter(), Vec::<Row>::new(), come);
    stream::unfold(state, async |(mut rules, mut waiting, mut come)| {
        let rule = rules.next()?;
        loop {
            if let Some(at) = waiting.iter().position(|row: &Row| row.rule == rule.name) {
                let row = waiting.swap_remove(at);
                return Some((row, (rules, waiting, come)));
            }
            match come.next().await {
                Some(more) => waiting.extend(more),
                None => return Some((Row::new(rule, "failed", "nothing was said of it"), (rules, waiting, come))),
            }
        }
    })
}

/// Some rules in one process; where that ends, one by one.
async fn of_group(args: &Args, rules: &[&'static Rule], hangs: &AtomicUsize) -> Vec<Row> {
    let not_run = |rule: &Rule| {
        let text = format!(
            "{HANGS_MAX} others came to no end, and these would take as long for nothing. Mend that first; `--only \
             NAME` runs one of them"
        );
        Row::new(rule, "not_run", text)
    };
    if hangs.load(Ordering::Relaxed) >= HANGS_MAX {
        return rules.iter().map(|rule| not_run(rule)).collect();
    }
    let failed = |rule: &Rule, why: &str| Row::new(rule, "failed", why);
    match (asked(args, rules, PATIENCE).await, rules) {
        (Ok(Said::Rows(rows)), _) => rows,
        (Ok(Said::Refused { text, remedy, .. }), _) => {
            rules.iter().map(|rule| failed(rule, &format!("{text}. What to do: {remedy}"))).collect()
        }
        (Ok(Said::Stuck(why)), [rule]) => {
            hangs.fetch_add(1, Ordering::Relaxed);
            vec![failed(rule, &why)]
        }
        // The one of them that is about that; the others cannot be told.
        (Ok(Said::Stuck(why)), rules) => {
            hangs.fetch_add(1, Ordering::Relaxed);
            let culprit = rules.iter().find(|rule| rule.name == "steps_only_compute").or(rules.first());
            let row = |rule: &&'static Rule| match culprit.is_some_and(|culprit| culprit.name == rule.name) {
                true => failed(rule, &why),
                false => {
                    Row::new(rule, "not_run", "a call that did not come back ended the sessions that they look at")
                }
            };
            rules.iter().map(row).collect()
        }
        (Err(error), [rule]) => vec![failed(rule, &format!("{error:#}"))],
        (Err(_), rules) => {
            let mut rows = Vec::new();
            for rule in rules {
                rows.extend(Box::pin(of_group(args, &[*rule], hangs)).await);
            }
            rows
        }
    }
}

/// What a process says that was started for these rules.
async fn asked(args: &Args, rules: &[&'static Rule], patience: Duration) -> anyhow::Result<Said> {
    let mut command = Command::new(Isolation::this_program().program());
    command.args(["plugin", "check", args.plugin(), "--alone", &std::process::id().to_string()]);
    for rule in rules {
        command.args(["--only", rule.name]);
    }
    command.args(["--seed", &args.seed().to_string(), "--sessions", &args.sessions().to_string()]);
    for file in args.recordings() {
        command.arg("--recording").arg(file);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // With all that the plugin starts.
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command.spawn().context("the rule's process could not be started")?;
    let _tie = Tie::to_its_end(&child).context("the rule's process could not be tied to this one")?;
    let Ok(output) = tokio::time::timeout(patience, output(&mut child)).await else {
        end_all(&child);
        return Ok(Said::Stuck(format!("it did not come to an end within {} s", patience.as_secs())));
    };
    let (written, words, status) = output?;
    let said = written.lines().rev().find_map(|line| line.strip_prefix(MARK));
    if let Some(said) = said.and_then(|json| serde_json::from_str(json).ok()) {
        return Ok(said);
    }
    let words = words.trim();
    let from = words.char_indices().rev().nth(WORDS_SHOWN).map_or(0, |(at, _)| at);
    bail!("its process ended: {}{}{}", ended(status), if words.is_empty() { "" } else { ": " }, &words[from..])
}

/// Ends what the child has started, too. Itself it is ended as it is dropped.
#[cfg(unix)]
fn end_all(child: &Child) {
    // It has a number as long as nobody has waited for it, so the group is its own.
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

/// Its job ends them.
#[cfg(not(unix))]
fn end_all(_child: &Child) {}

async fn output(child: &mut Child) -> anyhow::Result<(String, String, std::process::ExitStatus)> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let read_out = async {
        if let Some(stdout) = stdout {
            stdout.take(OUTPUT_MAX).read_to_end(&mut out).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    let read_err = async {
        if let Some(stderr) = stderr {
            stderr.take(OUTPUT_MAX).read_to_end(&mut err).await?;
        }
        Ok(())
    };
    tokio::try_join!(read_out, read_err).context("its output could not be read")?;
    let status = child.wait().await.context("its end could not be waited for")?;
    Ok((String::from_utf8_lossy(&out).into_owned(), String::from_utf8_lossy(&err).into_owned(), status))
}

/// `SIGSEGV`, `exit status: 3`.
fn ended(status: std::process::ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return crate::signal_name::signal_name(signal);
    }
    status.to_string()
}
