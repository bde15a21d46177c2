//! The border between ai-monitor and its probe plugins.
//!
//! A session is a pure function of its events: an event in, one effect out. The host does the effect and answers
//! with the next event. A plugin in Rust writes a session as one `async fn` over [`Io`] and never sees the border:
//!
//! ```
//! use ai_monitor_plugin_api::{Io, Plugin, Stop, effect::Request, event::Start, export_plugin};
//!
//! struct Example;
//!
//! impl Plugin for Example {
//!     const MANIFEST: &str = r#"{"contract":"1.0","abi":1,"id":"example","version":"1.0.0","label":"Example",
//!         "probes":{"liveness":{"routes":["GET /version"],"deadline_ms":5000}}}"#;
//!
//!     async fn probe(io: &mut Io, _start: &Start) -> Result<(), Stop> {
//!         let answer = io.request(Request::get("/version", 4000)).await?;
//!         io.report.version = answer.body;
//!         Ok(())
//!     }
//! }
//!
//! export_plugin!(Example);
//! ```
//!
//! Plugins in other languages use `include/ai_monitor_plugin.h`.

pub mod effect;
pub mod event;
pub mod export;
pub mod io;
pub mod limits;
pub mod manifest;
pub mod report;
pub mod route;
mod session;
pub mod table;

use std::future::Future;

use serde::{Deserialize, Deserializer, de::DeserializeOwned};

pub use crate::io::{Io, Next, Stop};
use crate::{
    event::Start,
    report::{RepairReport, RepairResult},
};

/// A probe plugin. [`export_plugin!`] puts it behind the C table.
pub trait Plugin: 'static {
    /// The manifest as JSON; see [`manifest::Manifest`].
    const MANIFEST: &'static str;

    /// One look at the target. Whatever its end, what is in `io.report` by then is reported.
    fn probe(io: &mut Io, start: &Start) -> impl Future<Output = Result<(), Stop>> + Send;

    /// One repair of the manifest's `repairs`. Without any, the default is never asked.
    fn repair(io: &mut Io<RepairReport>, _start: &Start) -> impl Future<Output = Result<(), Stop>> + Send {
        async {
            io.report.result = Some(RepairResult::Unsupported);
            Ok(())
        }
    }
}

/// Reads `null` as what an absent value is: both mean "not known".
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Option::deserialize(d).map(Option::unwrap_or_default)
}

/// Reads a value of a closed list that this build does not know as absent, so that what is newer stays readable.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(d: D) -> Result<Option<T>, D::Error> {
    let value = Option::<serde_json::Value>::deserialize(d)?;
    Ok(value.and_then(|v| serde_json::from_value(v).ok()))
}
