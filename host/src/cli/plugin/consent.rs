//! `ai-monitor plugin consent ID`: shows what an update asks for beyond what was granted, and grants it.

use std::process::ExitCode;

use anyhow::bail;
use serde_json::json;

use super::{question, way::Way};
use crate::{config::Flags, plugin::Store};

pub(super) async fn consent(flags: &Flags, id: &str, yes: bool) -> anyhow::Result<ExitCode> {
    let way = Way::of(flags)?;
    let plugin = way.one(id).await?;
    let Some(more) = plugin.asks_for else {
        say!("{id} asks for nothing more: {}", plugin.why);
        return Ok(ExitCode::SUCCESS);
    };
    let version = plugin.next_version.unwrap_or(plugin.version);
    say!("{id} {version} asks for more than was granted:");
    show!("{}", question::lines(&more));
    if !question::yes("Grant that?", yes)? {
        bail!("nothing was granted");
    }
    let message = match &way {
        Way::Monitor { client, .. } => Way::post(client, id, "consent", json!({ "asks_for": more })).await?,
        Way::Unattended(places) => {
            Store::read(&places.data)?.change(id, |kept| {
                kept.grants = Some(kept.grants.take().unwrap_or_default().with(&more));
            })?;
            format!("{id} is granted what it asks for, and will be loaded when ai-monitor runs")
        }
    };
    say!("{message}");
    Ok(ExitCode::SUCCESS)
}
