//! Lua: the sandbox, the acts, one driver for live and replayed incidents.

mod acts;
mod clock;
pub mod error;
mod host;
pub mod incident_shape;
mod meter;
mod place;
pub mod run;
pub mod sample;
mod sandbox;
pub mod settings;
pub mod step;
pub mod store;
mod suggest;
pub mod view;
pub mod walk;
pub mod watch;

#[cfg(test)]
mod tests;

pub use error::PolicyError;
pub use run::{Entered, PolicyRun, Why};
pub use store::{PolicyInfo, PolicySources, PolicyStore};
pub use view::IncidentView;
pub use watch::{resume_watched, start_watched};
