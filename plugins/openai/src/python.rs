//! What is peculiar to llama-cpp-python's server, which has no more routes than the protocol.
//!
//! Unless it was started with `--interrupt_requests false`, it breaks off the answer that it is giving as soon as
//! another request comes (measured with 0.3.36: the user's stream ends at once, as if it were whole). And it cannot be
//! seen whether it is giving one.

use ai_monitor_plugin_api::{event::Start, report::ModelState};
use plugin_parts::process;

use crate::api::List;

/// With several models, it throws one out to load another.
pub fn state(list: &List) -> Option<ModelState> {
    (list.models().len() == 1).then_some(ModelState::Loaded)
}

/// Why it may not be asked for a token.
pub fn is_unfit(start: &Start, list: &List) -> Option<String> {
    if list.models().len() > 1 {
        return Some("it has several models in turn: naming one could throw another out".into());
    }
    let lets_finish = start.processes.iter().flatten().any(|process| {
        let value = process::argument(&process.args, "--interrupt_requests");
        value.is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "false" | "0" | "no" | "off"))
    });
    let why = "a request breaks off the answer that it may be giving: start it with `--interrupt_requests false`";
    (!lets_finish).then(|| why.into())
}
