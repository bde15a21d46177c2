//! `ai-monitor plugin check`: every rule of the contract, each in a process of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Duration,
};

use ai_monitor_plugin_api::conformance::{FUZZED, Kit, Rule, SEED};
use anyhow::{Context, bail};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
};

use super::source::Source;
use crate::{cli::out, config::Flags, plugin::Isolation};

/// For one rule, on a machine that has other things to do.
const RULE_PATIENCE: Duration = Duration::from_secs(120);
/// What a rule's process may write: a verdict with a session in it.
const OUTPUT_MAX: u64 = 16 * 1024 * 1024;
/// Its last words that are shown.
const WORDS_SHOWN: usize = 400;
/// In front of the verdict in what a rule's process writes: the plugin may write, too.
const MARK: &str = "ai-monitor-verdict ";

#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct Args {
    /// A library, or the id of a bundled or an installed plugin
    #[arg(value_name = "PATH|ID")]
    plugin: String,
    /// The fuzzer's seed; the same one plays the same sessions
    #[arg(long, default_value_t = SEED)]
    seed: u64,
    /// How many sessions the fuzzer plays
    #[arg(long, default_value_t = FUZZED * 4, value_parser = clap::value_parser!(u32).range(1..))]
    sessions: u32,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
    /// This rule only; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// A session of the real backend, written by `plugin run --record`; may be given several times
    #[arg(long, value_name = "FILE")]
    recording: Vec<PathBuf>,
    /// Where sessions that break a rule are written, to be replayed [default: none is written]
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// How this program starts itself for one rule
    #[arg(long, hide = true)]
    alone: bool,
}

/// What came of one rule; one line of JSON between the processes and in `--json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Row {
    pub rule: String,
    pub says: String,
    pub section: String,
    /// `passed`, `failed`, `does_not_apply`.
    pub verdict: String,
    /// How much was looked at, why it failed, or why it does not apply.
    pub text: String,
    /// The session that shows the failure, as a session file's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

pub(super) async fn check(flags: &Flags, args: Args) -> anyhow::Result<ExitCode> {
    let source = if args.alone { Source::exactly(&args.plugin) } else { Source::find(flags, &args.plugin).await? };
    // The processes of the rules are told which it is, and need not find it again.
    let args = Args { plugin: source.name(), ..args };
    let rules = chosen(&args.only)?;
    if args.alone {
        let [rule] = rules[..] else { bail!("`--alone` goes with one `--only`") };
        let row = super::alone::test(&args, &source, rule).await?;
        out::raw(&format!("\n{MARK}{}", serde_json::to_string(&row)?));
        return Ok(ExitCode::SUCCESS);
    }
    if source.manifest_beside()?.is_none() && matches!(source, Source::Library(_)) {
        complain!("note: no manifest lies beside the library, so whether they are the same is not tested");
    }
    for file in &args.recording {
        super::source::read_recording(file)?;
    }
    let at_once = std::thread::available_parallelism().map_or(2, usize::from).clamp(1, 8);
    let rows = stream::iter(rules).map(|rule| of_rule(&args, rule)).buffered(at_once);
    let mut rows = std::pin::pin!(rows);
    let mut told = Vec::new();
    while let Some(mut row) = rows.next().await {
        let text = row.session.take();
        let has_session = text.is_some();
        let session = text.and_then(|text| saved(&args, &row.rule, &text).transpose()).transpose()?;
        if args.json {
            let mut value = serde_json::to_value(&row)?;
            if let Some(path) = &session {
                value["session"] = path.display().to_string().into();
            }
            told.push(value);
        } else {
            told.push(serde_json::json!({ "verdict": row.verdict }));
            print(&row, session.as_deref(), has_session, &args.plugin);
        }
    }
    let count = |verdict: &str| told.iter().filter(|row| row["verdict"] == verdict).count();
    let (passed, failed, rest) = (count("passed"), count("failed"), count("does_not_apply"));
    if args.json {
        let all = serde_json::json!({"plugin": args.plugin, "seed": args.seed, "passed": passed, "failed": failed,
            "does_not_apply": rest, "rules": told});
        out::json(&all)?;
    } else {
        say!("\n{passed} rules passed, {failed} failed, {rest} could not be put to the test. Seed {}.", args.seed);
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen(only: &[String]) -> anyhow::Result<Vec<&'static Rule>> {
    let all: Vec<&'static Rule> = Kit::rules().collect();
    if only.is_empty() {
        return Ok(all);
    }
    only.iter()
        .map(|name| match all.iter().find(|rule| rule.name == name) {
            Some(rule) => Ok(*rule),
            None => {
                let near = all.iter().max_by(|a, b| strsim::jaro(a.name, name).total_cmp(&strsim::jaro(b.name, name)));
                bail!("no rule is called {name}; did you mean {}?", near.map_or("another", |rule| rule.name))
            }
        })
        .collect()
}

/// One rule, in a process of its own: whatever it does ends that process.
async fn of_rule(args: &Args, rule: &'static Rule) -> Row {
    match in_process(args, rule).await {
        Ok(row) => row,
        Err(error) => Row {
            rule: rule.name.into(),
            says: rule.says.into(),
            section: rule.section.into(),
            verdict: "failed".into(),
            text: format!("{error:#}"),
            session: None,
        },
    }
}

async fn in_process(args: &Args, rule: &Rule) -> anyhow::Result<Row> {
    let mut command = Command::new(Isolation::this_program().program());
    command.args(["plugin", "check", &args.plugin, "--alone", "--only", rule.name]);
    command.args(["--seed", &args.seed.to_string(), "--sessions", &args.sessions.to_string()]);
    for file in &args.recording {
        command.arg("--recording").arg(file);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().context("the rule's process could not be started")?;
    let output = tokio::time::timeout(RULE_PATIENCE, output(&mut child)).await;
    let Ok(output) = output else {
        // It is ended as it is dropped.
        bail!("it did not come to an end within {} s", RULE_PATIENCE.as_secs());
    };
    let (written, words, status) = output?;
    let verdict = written.lines().rev().find_map(|line| line.strip_prefix(MARK));
    if let Some(row) = verdict.and_then(|json| serde_json::from_str::<Row>(json).ok()) {
        return Ok(row);
    }
    let words = words.trim();
    let from = words.char_indices().rev().nth(WORDS_SHOWN).map_or(0, |(at, _)| at);
    bail!("its process ended: {}{}{}", ended(status), if words.is_empty() { "" } else { ": " }, &words[from..])
}

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

fn saved(args: &Args, rule: &str, text: &str) -> anyhow::Result<Option<PathBuf>> {
    let Some(folder) = &args.save else { return Ok(None) };
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(format!("{rule}.jsonl"));
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Some(path))
}

fn print(row: &Row, session: Option<&Path>, has_session: bool, plugin: &str) {
    match row.verdict.as_str() {
        "passed" => say!("ok    {} ({})", row.rule, row.text),
        "failed" => {
            say!("FAIL  {}: {} (section {})", row.rule, row.says, row.section);
            say!("      {}", row.text.replace('\n', "\n      "));
            match session {
                Some(path) => say!("      see it again: ai-monitor plugin replay {} {plugin}", path.display()),
                None if has_session => say!("      `--save DIR` writes the session that shows it"),
                None => {}
            }
        }
        _ => say!("-     {}: does not apply: {}", row.rule, row.text),
    }
}

impl Args {
    pub(super) fn recordings(&self) -> &[PathBuf] {
        &self.recording
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    pub(super) fn sessions(&self) -> u32 {
        self.sessions
    }
}
