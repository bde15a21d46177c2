//! ai-monitor's probe plugin for LM Studio.

use ai_monitor_plugin_api::{Io, Plugin, Stop, effect::Request, event::Start, export_plugin};

/// The plugin.
pub struct LmStudio;

export_plugin!(LmStudio);

impl Plugin for LmStudio {
    const MANIFEST: &'static str = include_str!("manifest.json");

    async fn probe(io: &mut Io, start: &Start) -> Result<(), Stop> {
        io.request(Request::get("/lmstudio-greeting", start.deadline_ms)).await.map(drop)
    }
}
