//! ai-monitor's probe plugin for Custom.

use ai_monitor_plugin_api::{Io, Plugin, Stop, effect::Request, event::Start, export_plugin};

/// The plugin.
pub struct Custom;

export_plugin!(Custom);

impl Plugin for Custom {
    const MANIFEST: &'static str = include_str!("manifest.json");

    async fn probe(io: &mut Io, start: &Start) -> Result<(), Stop> {
        io.request(Request::get("/", start.deadline_ms)).await.map(drop)
    }
}
