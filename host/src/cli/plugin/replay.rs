//! `ai-monitor plugin replay`: a session file against a plugin.

use std::{path::PathBuf, process::ExitCode};

use ai_monitor_plugin_api::{
    effect::Effect,
    event::{Event, SessionKind},
    recording::{Header, Recording, Said},
};
use anyhow::Context;

use super::{
    source::{Source, read_recording},
    trace::said,
};
use crate::{
    config::Flags,
    plugin::{StepError, Wanted},
};

#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct Args {
    /// A session file: an event or effect as JSON in each line, with a header in front
    file: PathBuf,
    /// A library, or the id of a bundled or an installed plugin [default: the one that the file names]
    #[arg(value_name = "PATH|ID")]
    plugin: Option<String>,
}

pub(super) async fn replay(flags: &Flags, args: &Args) -> anyhow::Result<ExitCode> {
    let mut recording = read_recording(&args.file)?;
    let repair = recording.start().is_some_and(|start| matches!(start.session, SessionKind::Repair { .. }));
    for step in &mut recording.steps {
        // Both sides as the host understands them: a default that is written out is no difference.
        if let Said::Effect(effect) = &step.said
            && let Ok(read) = Wanted::read(effect.as_bytes(), repair)
        {
            step.said = said(&Ok::<_, StepError>(read));
        }
    }
    let named = recording.header.as_ref().map(|header| header.plugin.clone());
    let name = args.plugin.clone().or(named).context("the file names no plugin: give one behind it")?;
    let plugin = Source::find(flags, &name).await?.open().await?;
    let manifest = plugin.manifest();
    if let Some(header) = &recording.header {
        say!("{}", headline(header));
    }
    say!("played to {} {}, {} steps", manifest.id, manifest.version, recording.steps.len());
    let mut session = plugin.session().await?;
    for (index, step) in recording.steps.iter().enumerate() {
        let event: Event =
            serde_json::from_str(&step.event).with_context(|| format!("the event of step {index} cannot be read"))?;
        let said = said(&session.step(&event).await);
        if let Err(difference) = recording.compare(index, &said) {
            say!("{difference}");
            return Ok(ExitCode::FAILURE);
        }
        if matches!(said, Said::Failed { .. }) {
            say!("step {index}: it fails as it did");
        }
    }
    if !is_whole(&recording) {
        say!(
            "no difference as far as the file goes, but it is cut: its last line is neither a report nor a failure. \
             Record the session again, or restore the file's end"
        );
        return Ok(ExitCode::FAILURE);
    }
    say!("no difference");
    Ok(ExitCode::SUCCESS)
}

/// `ollama 1.0.0, Ollama 0.32.15: idle`, of what the header says.
fn headline(header: &Header) -> String {
    let mut text = format!("{} {}", header.plugin, header.version);
    for (between, said) in [(", ", &header.backend), (": ", &header.shows)] {
        if !said.is_empty() {
            text.push_str(between);
            text.push_str(said);
        }
    }
    text
}

/// Does the session end in it?
fn is_whole(recording: &Recording) -> bool {
    match recording.steps.last().map(|step| &step.said) {
        Some(Said::Failed { .. }) => true,
        Some(Said::Effect(effect)) => {
            serde_json::from_str(effect).is_ok_and(|effect: Effect| matches!(effect, Effect::Report { .. }))
        }
        Some(Said::Nothing) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headline_has_no_gaps() {
        let header = |backend: &str, shows: &str| Header {
            plugin: "toy".into(),
            version: "1".into(),
            backend: backend.into(),
            shows: shows.into(),
            ..Header::default()
        };
        assert_eq!(headline(&header("", "")), "toy 1");
        assert_eq!(headline(&header("Toy 3", "")), "toy 1, Toy 3");
        assert_eq!(headline(&header("", "idle")), "toy 1: idle");
        assert_eq!(headline(&header("Toy 3", "idle")), "toy 1, Toy 3: idle");
    }
}
