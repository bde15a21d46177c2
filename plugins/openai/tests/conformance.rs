//! The plugin keeps every rule of the contract, and says to its recorded sessions what it said then.

use ai_monitor_openai::PLUGIN;
use ai_monitor_plugin_api::conformance::Kit;

#[test]
fn keeps_the_contract() {
    Kit::new(&PLUGIN).recordings_in("tests/sessions").assert();
}
