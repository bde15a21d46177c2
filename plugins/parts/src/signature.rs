//! Error texts that name what broke, as llama.cpp and the servers around it write them.

/// Text in an error, in lower case, and the symptom that it stands for. The first that is found counts, so causes
/// stand before the crash that they led to.
const SIGNATURES: &[(&str, &str)] = &[
    ("no space left on device", "no_space"),
    ("out of memory", "out_of_memory"),
    ("cudamalloc failed", "out_of_memory"),
    ("requires more system memory", "out_of_memory"),
    ("unable to allocate", "out_of_memory"),
    // LM Studio's guard against a load that would not fit (lmstudio-bug-tracker#927).
    ("insufficient system resources", "out_of_memory"),
    ("cuda error", "device_error"),
    ("rocm error", "device_error"),
    ("hip error", "device_error"),
    ("errordevicelost", "device_error"),
    ("initialize nvml", "device_error"),
    ("exceeds file size", "model_corrupt"),
    ("invalid file magic", "model_corrupt"),
    ("digest mismatch", "model_corrupt"),
    ("not within the file bounds", "model_corrupt"),
    ("timed out waiting for llama runner", "load_timeout"),
    ("timed out waiting for llama-server", "load_timeout"),
    ("timed out waiting for server to start", "load_timeout"),
    ("llama-server binary not found", "not_installed"),
    // LocalAI, where the program that runs this kind of model was never installed (pkg/model/initializers.go).
    ("backend not found:", "not_installed"),
    ("unknown model architecture", "load_failed"),
    ("error loading model", "load_failed"),
    ("failed to load model", "load_failed"),
    ("failed to load the model", "load_failed"),
    // LocalAI (pkg/model/initializers.go and loader.go).
    ("could not load model", "load_failed"),
    ("grpc service not ready", "load_failed"),
    ("load is in cooldown after a recent failure", "load_failed"),
    // LM Studio (lmstudio-bug-tracker#1347, #2255).
    ("the model has crashed", "model_crashed"),
    // LocalAI#5339: nobody answers at the port of a backend that had been started.
    ("rpc error: code = unavailable", "engine_dead"),
    ("runner process has terminated", "engine_dead"),
    ("llama-server process has terminated", "engine_dead"),
    ("runner process no longer running", "engine_dead"),
    ("running the model: unexpected eof", "engine_dead"),
    ("enginecore encountered an issue", "engine_dead"),
    ("enginedeaderror", "engine_dead"),
];

/// The symptom that an error text stands for, where it is a known one.
pub fn symptom(text: &str) -> Option<&'static str> {
    let text = text.to_ascii_lowercase();
    // llama.cpp's router, of a child that ended before it was ready.
    let by_router = || (text.starts_with("model name=") && text.ends_with("failed to load")).then_some("load_failed");
    SIGNATURES.iter().find(|(part, _)| text.contains(part)).map(|(_, id)| *id).or_else(by_router)
}

#[cfg(test)]
mod tests {
    use super::symptom;

    #[test]
    fn reported_errors_are_known_and_others_are_not_guessed() {
        for (text, id) in [
            ("llama runner process has terminated: CUDA error", Some("device_error")),
            ("llama runner process has terminated: cudaMalloc failed: out of memory", Some("out_of_memory")),
            ("llama runner process has terminated: exit status 2", Some("engine_dead")),
            ("an error was encountered while running the model: unexpected EOF", Some("engine_dead")),
            ("tensor \"output.weight\" offset+size (247136) exceeds file size (100000)", Some("model_corrupt")),
            ("invalid file magic", Some("model_corrupt")),
            ("timed out waiting for llama runner to start - progress 0.00", Some("load_timeout")),
            ("error starting llama-server: llama-server binary not found (checked: …)", Some("not_installed")),
            (
                "The model has crashed without additional information. (Exit code: 18446744072635812000)",
                Some("model_crashed"),
            ),
            ("Error: Model loading aborted due to insufficient system resources.", Some("out_of_memory")),
            ("Failed to load model \"unsloth/gpt-oss-20b\".", Some("load_failed")),
            ("rpc error: code = Unavailable desc = error reading from server: EOF", Some("engine_dead")),
            (
                "could not load model: rpc error: code = Unavailable desc = error reading from server: EOF",
                Some("load_failed"),
            ),
            ("could not load model: rpc error: code = Unknown desc = CUDA error: out of memory", Some("out_of_memory")),
            ("grpc service not ready: backend process exited with code 127", Some("load_failed")),
            ("model \"q\" load is in cooldown after a recent failure; retry after 9s", Some("load_failed")),
            ("failed to load model with internal loader: backend not found: whisper", Some("not_installed")),
            ("rpc error: code = Unimplemented desc = unknown method Status", None),
            ("model \"q\" is at capacity (max_concurrent=1); retry after 1s", None),
            ("model name=broken failed to load", Some("load_failed")),
            ("the image failed to load", None),
            ("model 'nope' not found", None),
            ("server busy, please try again.  maximum pending requests exceeded", None),
        ] {
            assert_eq!(symptom(text), id, "{text}");
        }
    }
}
