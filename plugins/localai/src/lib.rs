//! ai-monitor's probe plugin for LocalAI.

use ai_monitor_plugin_api::{Io, Plugin, Stop, effect::Request, event::Start, export_plugin};

/// The plugin.
pub struct LocalAi;

export_plugin!(LocalAi);

impl Plugin for LocalAi {
    const MANIFEST: &'static str = include_str!("manifest.json");

    async fn probe(io: &mut Io, start: &Start) -> Result<(), Stop> {
        io.request(Request::get("/healthz", start.deadline_ms)).await.map(drop)
    }
}
