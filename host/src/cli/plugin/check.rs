//! `ai-monitor plugin check`: every rule of the contract, and what came of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use ai_monitor_plugin_api::conformance::{FUZZED, Kit, REACH, Rule, SEED};
use anyhow::{Context, bail};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use super::{of_rules, source::Source};
use crate::{cli::out, config::Flags};

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
    /// How this program, whose process this is the number of, starts itself for the rules of `--only`; without any, to
    /// see whether the library can be opened
    #[arg(long, hide = true, value_name = "PID")]
    alone: Option<u32>,
}

/// What came of one rule: in `--json`, and between the processes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Row {
    pub rule: String,
    pub says: String,
    /// Where it stands.
    pub section: String,
    /// `passed`, `failed`, `does_not_apply`, `not_run`.
    pub verdict: String,
    /// How much was looked at, why it failed, why it does not apply, or why it was not run.
    pub text: String,
    /// The session that shows the failure, as a session file's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

impl Row {
    pub(super) fn new(rule: &Rule, verdict: &str, text: impl Into<String>) -> Row {
        Row {
            rule: rule.name.into(),
            says: rule.says.into(),
            section: rule.place(),
            verdict: verdict.into(),
            text: text.into(),
            session: None,
        }
    }
}

pub(super) async fn check(flags: &Flags, args: Args) -> anyhow::Result<ExitCode> {
    if let Some(parent) = args.alone {
        let source = Source::exactly(&args.plugin);
        let rules = if args.only.is_empty() { Vec::new() } else { chosen(&args.only)? };
        return super::alone::answer(&args, &source, parent, rules).await;
    }
    let source = match Source::find(flags, &args.plugin).await {
        Ok(source) => source,
        Err(error) if args.json => {
            return nothing(&args, &Problem { code: "no_library".into(), text: format!("{error:#}"), remedy: None });
        }
        Err(error) => return Err(error),
    };
    // The processes of the rules are told which it is, and need not find it again.
    let args = Args { plugin: source.name(), ..args };
    let rules = chosen(&args.only)?;
    if source.manifest_beside()?.is_none() && matches!(source, Source::Library(_)) {
        complain!("note: no manifest lies beside the library, so whether they are the same is not tested");
    }
    for file in &args.recording {
        super::source::read_recording(file)?;
    }
    if let (Source::Library(_), Err(problem)) = (&source, of_rules::opened(&args).await) {
        return nothing(&args, &problem);
    }
    let mut rows = std::pin::pin!(of_rules::rows(&args, rules));
    let mut told = Vec::new();
    let (mut behind, mut not_run) = (None, None);
    while let Some(mut row) = rows.next().await {
        let text = row.session.take();
        let has_session = text.is_some();
        let session = text.and_then(|text| saved(&args, &row.rule, &text).transpose()).transpose()?;
        if !args.json {
            print(&row, session.as_deref(), has_session, &args.plugin);
        }
        match row.verdict.as_str() {
            "not_run" => drop(not_run.get_or_insert(row.text.clone())),
            "does_not_apply" if row.rule == REACH => behind = Some(row.text.clone()),
            _ => {}
        }
        let mut value = serde_json::to_value(&row)?;
        if let Some(path) = &session {
            value["session"] = path.display().to_string().into();
        }
        told.push(value);
    }
    let count = |verdict: &str| told.iter().filter(|row| row["verdict"] == verdict).count();
    let (passed, failed, rest) = (count("passed"), count("failed"), count("does_not_apply"));
    let left = count("not_run");
    if args.json {
        let all = serde_json::json!({"plugin": args.plugin, "seed": args.seed, "passed": passed, "failed": failed,
            "does_not_apply": rest, "not_run": left, "not_reached": behind, "rules": told});
        out::json(&all)?;
    } else {
        if let Some(why) = not_run {
            say!("\nnot run: {left} rules: {why}");
        }
        if let Some(text) = behind {
            say!("\nNOT TESTED: {text}.");
        }
        say!("\n{passed} rules passed, {failed} failed, {rest} could not be put to the test. Seed {}.", args.seed);
    }
    Ok(if failed + left == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Why no rule at all could be put to the test.
pub(super) struct Problem {
    /// One word for scripts.
    pub code: String,
    pub text: String,
    /// What to do, where the text does not say it.
    pub remedy: Option<String>,
}

/// Says once why no rule was put to the test.
fn nothing(args: &Args, problem: &Problem) -> anyhow::Result<ExitCode> {
    let Problem { code, text, remedy } = problem;
    if args.json {
        let all = serde_json::json!({"plugin": args.plugin, "seed": args.seed, "passed": 0, "failed": 0,
            "does_not_apply": 0, "not_run": Kit::rules().count(), "rules": [],
            "problem": {"code": code, "text": text, "remedy": remedy}});
        out::json(&all)?;
    } else {
        say!("FAIL  {}: {text}", args.plugin);
        if let Some(remedy) = remedy {
            say!("      What to do: {remedy}");
        }
        say!("\nNo rule was put to the test.");
    }
    Ok(ExitCode::FAILURE)
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
            say!("FAIL  {}: {}", row.rule, row.says);
            say!("      {}", row.text.replace('\n', "\n      "));
            say!("      the rule: {}", row.section);
            match session {
                Some(path) => say!("      see it again: ai-monitor plugin replay {} {plugin}", path.display()),
                None if has_session => say!("      `--save DIR` writes the session that shows it"),
                None => {}
            }
        }
        // All of them are told together, at the end.
        "not_run" => {}
        _ if row.rule == REACH => say!("-     {}: not everywhere, see below", row.rule),
        _ => say!("-     {}: does not apply: {}", row.rule, row.text),
    }
}

impl Args {
    pub(super) fn plugin(&self) -> &str {
        &self.plugin
    }

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
