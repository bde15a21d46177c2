//! stub
use ai_monitor_plugin_api::{Io, Plugin, Stop, effect::Request, event::Start, export_plugin};

/// The plugin.
pub struct Probe;

impl Plugin for Probe {
    const MANIFEST: &'static str = include_str!("manifest.json");

    async fn probe(io: &mut Io, _start: &Start) -> Result<(), Stop> {
        io.request(Request::get("/", 4000)).await?;
        Ok(())
    }
}

export_plugin!(Probe);
