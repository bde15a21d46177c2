//! End-to-end tests: the real binary against servers that fail, on a machine of each test's own.
//!
//! Two tiers share one set of scenarios. `demo` runs in a plain `cargo test`, against this project's own model server.
//! `real` runs against llama.cpp's server and Ollama when `AI_MONITOR_REAL_SERVERS` names the folder that
//! `.ci/real-servers.sh` made, and says that it was left out when not.
//!
//! Processes, signals and namespaces are Linux's here; elsewhere the library's own tests stand alone.
#![cfg(target_os = "linux")]

mod harness;

mod acts;
mod architecture;
mod bad_input;
mod contract;
mod custom;
mod demo_server;
mod discover;
mod evidence;
mod example_c;
mod first_minutes;
mod first_release;
mod guide;
mod healing;
mod identity;
mod isolation;
mod launcher;
mod left_alone;
mod model_repairs;
mod plugin_tools;
mod plugins;
mod plugins_real;
mod reports;
mod rivals;
mod simulators;
mod situations;
mod survival;
mod switches;
mod v43_client;

use harness::{Backend, Bed, Kind, Tier, backend, isolated, say};

/// Runs one scenario against one kind of server, with ten bystanders that must live through it.
fn scenario(name: &str, kind: Kind, tier: Tier, play: fn(&Bed, &Backend)) {
    if tier == Tier::Real
        && let Err(why) = backend::real_servers()
    {
        return say(&format!("{name} is left out: {why}"));
    }
    isolated(name, |isolation| {
        let bed = Bed::new(isolation).with_bystanders();
        let backend = Backend::new(&bed, kind, tier);
        play(&bed, &backend);
    });
}

/// Makes a test per scenario and tier: `tiers! { demo, real: name(Kind), … }`.
#[macro_export]
macro_rules! tiers {
    ($($module:ident = $tier:ident { $($name:ident($kind:ident)),* $(,)? })*) => {
        $(mod $module {
            use $crate::harness::{Kind, Tier};
            $(#[test]
            fn $name() {
                $crate::scenario($crate::test_name!($name), Kind::$kind, Tier::$tier, super::$name);
            })*
        })*
    };
}
