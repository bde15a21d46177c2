//! `ai-monitor plugin list`: every plugin, with its state.

use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets::UTF8_HORIZONTAL_ONLY};

use super::way::Way;
use crate::{
    cli::out,
    config::Flags,
    plugin::{PluginView, PluginsView, Source},
};

pub(super) async fn list(flags: &Flags, json: bool) -> anyhow::Result<ExitCode> {
    let way = Way::of(flags)?;
    let all = way.all().await?;
    if json {
        out::json(&all)?;
        return Ok(ExitCode::SUCCESS);
    }
    if matches!(way, Way::Unattended(_)) {
        say!("No monitor runs with this data folder: the libraries of the folder are not loaded.");
    }
    show!("{}", render(&all));
    Ok(ExitCode::SUCCESS)
}

fn render(all: &PluginsView) -> String {
    let mut text = String::new();
    if all.safe_mode {
        text.push_str("Safe mode: bundled plugins alone are used.\n");
    }
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["plugin", "version", "state", "why", "targets"]);
    for plugin in &all.plugins {
        table.add_row([
            format!("{}\n{}", plugin.id, origin(plugin)),
            plugin.version.clone(),
            plugin.state.as_str().to_owned(),
            why(plugin),
            plugin.targets.join(", "),
        ]);
    }
    text.push_str(&format!("{table}\nPlugin folder: {}\n", all.folder));
    for file in &all.files {
        let problem = &file.problem;
        text.push_str(&format!("{}: {}. What to do: {}\n", file.file, problem.text, problem.remedy));
    }
    text
}

fn origin(plugin: &PluginView) -> String {
    let file = plugin
        .library
        .as_deref()
        .map(|path| std::path::Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned());
    match (plugin.origin, file) {
        (Source::Bundled, _) => "bundled".into(),
        (Source::Folder, file) => file.unwrap_or_else(|| "folder".into()),
    }
}

/// The reason and, where something is to be done, what.
pub(in crate::cli) fn why(plugin: &PluginView) -> String {
    match &plugin.problem {
        Some(problem) => format!("{}\nWhat to do: {}", plugin.why, problem.remedy),
        None => plugin.why.clone(),
    }
}
