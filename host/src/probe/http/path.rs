//! A request's path: what a session may name, and nothing that could leave the target's base URL.

use std::fmt;

/// Starts with `/`; may have a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPath(String);

/// A path that no request may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the path {path:?} {problem}")]
pub struct BadPath {
    path: String,
    problem: &'static str,
}

impl RequestPath {
    pub fn new(path: &str) -> Result<RequestPath, BadPath> {
        let bad = |problem| Err(BadPath { path: crate::probe::session::cut(path), problem });
        if !path.starts_with('/') {
            return bad("does not start with /");
        }
        // A URL reader would turn \ into / and drop tabs and line ends: what was granted would not be what is sent.
        if !path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#')) {
            return bad("has a character that must be percent-encoded");
        }
        let dots = |segment: &str| {
            let segment = segment.to_ascii_lowercase().replace("%2e", ".");
            segment == "." || segment == ".."
        };
        if without_query(path).split('/').any(dots) {
            return bad("has a . or .. segment");
        }
        Ok(RequestPath(path.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn without_query(&self) -> &str {
        without_query(&self.0)
    }
}

impl fmt::Display for RequestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn without_query(path: &str) -> &str {
    path.split_once('?').map_or(path, |(path, _)| path)
}
