//! What a failed request means: the client's errors in the contract's words.

use std::{error::Error, io};

use ai_monitor_plugin_api::event::{At, Outcome};

/// Why there is no whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub outcome: Outcome,
    pub at: At,
    /// The system's words.
    pub text: Option<String>,
}

impl Failure {
    pub fn timeout(at: At) -> Failure {
        Failure { outcome: Outcome::Timeout, at, text: None }
    }

    pub fn unreachable(text: &str) -> Failure {
        Failure { outcome: Outcome::Unreachable, at: At::Connect, text: Some(text.into()) }
    }

    pub fn too_large(text: String) -> Failure {
        Failure { outcome: Outcome::TooLarge, at: At::Body, text: Some(text) }
    }

    /// `at`: how far the request had come.
    pub fn of(error: &reqwest::Error, at: At) -> Failure {
        let at = if error.is_connect() { At::Connect } else { at };
        let (outcome, at) = outcome(error, at);
        Failure { outcome, at, text: Some(root(error)) }
    }
}

fn outcome(error: &(dyn Error + 'static), at: At) -> (Outcome, At) {
    let mut cause = Some(error);
    while let Some(this) = cause {
        if let Some(error) = this.downcast_ref::<hyper::Error>() {
            if error.is_parse_too_large() {
                return (Outcome::TooLarge, at);
            }
            if error.is_parse() {
                return (Outcome::Malformed, at);
            }
            if error.is_incomplete_message() {
                return (Outcome::Reset, at);
            }
        }
        let io = this.downcast_ref::<io::Error>();
        if let Some(found) = io.and_then(|error| of_io(error.kind(), at)) {
            return found;
        }
        cause = this.source();
    }
    match at {
        At::Connect => (Outcome::Unreachable, at),
        At::Send | At::Headers | At::Body => (Outcome::Reset, at),
    }
}

fn of_io(kind: io::ErrorKind, at: At) -> Option<(Outcome, At)> {
    use io::ErrorKind as K;
    Some(match kind {
        K::ConnectionRefused => (Outcome::Refused, At::Connect),
        // The system gave up before our own limit.
        K::TimedOut => (Outcome::Timeout, at),
        K::BrokenPipe if at == At::Headers => (Outcome::Reset, At::Send),
        K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof => (Outcome::Reset, at),
        // Chunks that are none.
        K::InvalidData | K::InvalidInput if at == At::Body => (Outcome::Malformed, at),
        _ => return None,
    })
}

/// The innermost cause in the system's words, without its number: "Connection refused".
pub(super) fn root(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = cause.to_string();
    let text = text.split(" (os error ").next().unwrap_or_default();
    crate::probe::session::cut(text)
}
