//! `ai-monitor status`: what the running monitor sees.

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use comfy_table::{ContentArrangement, Table, presets::UTF8_HORIZONTAL_ONLY};

use super::{client::Client, out};
use crate::{config::Flags, monitor::view::Snapshot, plugin::PluginsView};

pub(super) async fn status(flags: &Flags, json: bool) -> anyhow::Result<ExitCode> {
    let answer = Client::of(flags)?.get("/api/ai-monitor/targets", Duration::from_secs(5)).await?;
    let data = answer.get("data").cloned().context("the answer has no data")?;
    if json {
        out::json(&data)?;
        return Ok(ExitCode::SUCCESS);
    }
    let snapshot: Snapshot = serde_json::from_value(data).context("the answer is of another version of ai-monitor")?;
    show!("{}", render(&snapshot));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn render(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    if !snapshot.monitoring_active {
        text.push_str("Monitoring is stopped: nothing is probed or healed.\n");
    }
    for trouble in &snapshot.troubles {
        text.push_str(&format!("! {trouble}\n"));
    }
    text.push_str(&plugins(&snapshot.plugins));
    if snapshot.targets.is_empty() {
        text.push_str("No target is watched.\n");
        return text;
    }
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["target", "state", "why", "backend", "process"]);
    for target in &snapshot.targets {
        let version = target.version.as_deref().map(|v| format!(" {v}")).unwrap_or_default();
        let why = match &target.step {
            Some(step) => format!("{}; now: {step}", target.why),
            None => target.why.clone(),
        };
        table.add_row([
            target.name.clone(),
            target.state.as_str().replace('_', " "),
            why,
            format!("{}{version}\n{}", target.label, target.url),
            target.owner_text.clone(),
        ]);
    }
    text.push_str(&format!("{table}\n"));
    for target in &snapshot.targets {
        if let Some(hint) = &target.hint {
            text.push_str(&format!("{}: {hint}\n", target.name));
        }
    }
    text
}

/// The plugins that are not well, and the files that are none; those that are well say nothing.
fn plugins(all: &PluginsView) -> String {
    let mut text = String::new();
    if all.safe_mode {
        text.push_str("Safe mode: bundled plugins alone are used.\n");
    }
    for plugin in all.unwell() {
        let why = super::plugin::why(plugin).replace('\n', ". ");
        text.push_str(&format!("! plugin {} {}: {}: {why}\n", plugin.id, plugin.version, plugin.state.as_str()));
    }
    for file in &all.files {
        let problem = &file.problem;
        text.push_str(&format!("! {}: {}. What to do: {}\n", file.file, problem.text, problem.remedy));
    }
    text
}
