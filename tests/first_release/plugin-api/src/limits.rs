//! Limits of the contract that both sides keep, in bytes.

/// A manifest.
pub const MANIFEST_MAX: usize = 256 * 1024;
/// A manifest's `id`: its library and its manifest are files everywhere.
pub const ID_MAX: usize = 64;
/// A manifest's `label`, and its `version`: what stands beside them must stay in sight.
pub const LABEL_MAX: usize = 128;
/// An effect, report included.
pub const EFFECT_MAX: usize = 1024 * 1024;
/// The text of an error; what is longer is cut.
pub const ERROR_MAX: usize = 4096;
/// The path and the headers of a request together, each header as `name: value` and line end. Servers refuse more, and
/// what they then say would be said of the target.
pub const REQUEST_HEAD_MAX: usize = 16 * 1024;
/// The body of a request.
pub const REQUEST_BODY_MAX: usize = 256 * 1024;
/// The body of a response, whatever `max_bytes` says.
pub const RESPONSE_BODY_MAX: usize = 4 * 1024 * 1024;
