//! The binary `ai-monitor`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Under the name of a model server this binary is the demo's (see `demo`); then nothing of the monitor may run.
    if let Some(code) = ai_monitor::demo::as_model_server(std::env::args().skip(1).collect()) {
        return code;
    }
    ai_monitor::cli::main()
}
