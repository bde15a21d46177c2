//! Limits of the contract that both sides keep, in bytes.

/// A manifest.
pub const MANIFEST_MAX: usize = 256 * 1024;
/// An effect, report included.
pub const EFFECT_MAX: usize = 1024 * 1024;
/// The text of an error; what is longer is cut.
pub const ERROR_MAX: usize = 4096;
/// The body of a request.
pub const REQUEST_BODY_MAX: usize = 256 * 1024;
/// The body of a response, whatever `max_bytes` says.
pub const RESPONSE_BODY_MAX: usize = 4 * 1024 * 1024;
