//! The binary `ai-monitor`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // As a plugin's child it opens that plugin and does nothing else; nothing of the monitor may run before.
    if let Some(code) = ai_monitor::plugin::as_plugin_child(std::env::args_os().skip(1)) {
        return code;
    }
    // Under the name of a model server this binary is the demo's (see `demo`); then nothing of the monitor may run.
    if let Some(code) = ai_monitor::demo::as_model_server(std::env::args().skip(1).collect()) {
        return code;
    }
    ai_monitor::cli::main()
}
