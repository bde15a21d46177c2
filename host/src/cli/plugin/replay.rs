//! `ai-monitor plugin replay`: a session file against a plugin.

use std::{path::PathBuf, process::ExitCode};

use ai_monitor_plugin_api::{
    event::{Event, SessionKind},
    recording::Said,
};
use anyhow::Context;

use super::{
    source::{Source, read_recording},
    trace::said,
};
use crate::plugin::{StepError, Wanted};

#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct Args {
    /// A session file: an event or effect as JSON in each line, with a header in front
    file: PathBuf,
    /// A library, or the id of a bundled plugin [default: the bundled one that the file names]
    #[arg(value_name = "PATH|ID")]
    plugin: Option<String>,
}

pub(super) async fn replay(args: &Args) -> anyhow::Result<ExitCode> {
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
    let plugin = Source::find(&name)?.open().await?;
    let manifest = plugin.manifest();
    if let Some(header) = &recording.header {
        say!("{} {}, {}: {}", header.plugin, header.version, header.backend, header.shows);
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
    say!("no difference");
    Ok(ExitCode::SUCCESS)
}
