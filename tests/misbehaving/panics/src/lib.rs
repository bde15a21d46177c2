//! A plugin in Rust that panics when the answer has come.

use ai_monitor_plugin_api::{Io, Plugin, Stop, effect::Request, event::Start, export_plugin};

/// The plugin.
pub struct Panics;

export_plugin!(Panics);

impl Plugin for Panics {
    const MANIFEST: &'static str = include_str!("manifest.json");

    async fn probe(io: &mut Io, _: &Start) -> Result<(), Stop> {
        let answer = io.request(Request::get("/version", 4_000)).await?;
        let moons: Option<u64> = answer.headers.get("x-moons").and_then(|moons| moons.parse().ok());
        io.report.version = Some(moons.expect("a planet has moons").to_string());
        Ok(())
    }
}
