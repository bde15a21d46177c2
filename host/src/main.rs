use std::process::ExitCode;

fn main() -> ExitCode {
    // Under a model server's name this binary is the demo's model server, and nothing else.
    if let Some(code) = ai_monitor::demo::as_model_server(std::env::args().skip(1).collect()) {
        return code;
    }
    ExitCode::SUCCESS
}
