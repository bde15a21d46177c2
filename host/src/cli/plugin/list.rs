//! `ai-monitor plugin list`: every plugin, with its state.

use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets::UTF8_HORIZONTAL_ONLY};

use crate::{config::Flags, plugin::Registry};

pub(super) async fn list(_flags: &Flags, json: bool) -> anyhow::Result<ExitCode> {
    let registry = Registry::bundled();
    let manifests = registry.iter().map(|p| p.manifest());
    if json {
        let rows: Vec<_> = manifests.map(|m| serde_json::json!({"id": m.id, "version": m.version})).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["plugin", "version", "from"]);
    for manifest in manifests {
        table.add_row([manifest.id.as_str(), manifest.version.as_str(), "bundled"]);
    }
    println!("{table}");
    Ok(ExitCode::SUCCESS)
}
