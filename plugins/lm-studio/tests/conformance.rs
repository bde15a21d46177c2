//! The plugin keeps every rule of the contract, whatever goes wrong in the sessions that are kept of it, and these
//! lead to every route of its manifest. That it says to them what it said then is for `sessions.rs`.

use ai_monitor_lm_studio::PLUGIN;
use ai_monitor_plugin_api::conformance::Kit;

#[test]
fn keeps_the_contract() {
    Kit::new(&PLUGIN).recordings_in("tests/sessions").recordings_lead_everywhere().assert();
}
