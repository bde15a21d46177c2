//! What end-to-end tests stand on: a machine of their own, the real monitor, servers, bystanders, and waiting.

pub mod backend;
pub mod bed;
pub mod browser;
pub mod bystanders;
pub mod canned;
pub mod http;
pub mod isolation;
pub mod looker;
pub mod misbehaving;
pub mod monitor;
pub mod plugins;
pub mod process;
pub mod server;
pub mod small_plugin;
pub mod story;
pub mod user;
pub mod wait;

pub use self::{
    backend::{Backend, Kind, Tier},
    bed::Bed,
    isolation::{isolated, say},
    monitor::Monitor,
    server::Server,
    user::User,
    wait::wait_until,
};

/// Names a test's own function as the test runner does, for [`isolated`].
#[macro_export]
macro_rules! test_name {
    ($name:ident) => {
        concat!(module_path!(), "::", stringify!($name))
    };
}
