//! Answers read within bounds: whole, or line by line.

use ai_monitor_plugin_api::event::{At, Outcome};
use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout_at};

use super::{failure::Failure, millis, target::OpenRequest};

/// The most that a request may ask for, in bytes.
pub(crate) const MAX_BODY: usize = ai_monitor_plugin_api::limits::RESPONSE_BODY_MAX;
const MAX_LINE: usize = 256 * 1024;

/// A body as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub text: String,
    /// False: bad bytes were replaced.
    pub utf8: bool,
}

impl Text {
    /// A character that is cut at the end of a body that broke off is left out: the server did not send it so.
    pub fn new(mut bytes: Vec<u8>, broke_off: bool) -> Text {
        if let Err(error) = std::str::from_utf8(&bytes)
            && broke_off
            && error.error_len().is_none()
        {
            bytes.truncate(error.valid_up_to());
        }
        match String::from_utf8(bytes) {
            Ok(text) => Text { text, utf8: true },
            Err(error) => Text { text: String::from_utf8_lossy(error.as_bytes()).into_owned(), utf8: false },
        }
    }
}

/// A body, and why it is not whole.
pub(super) struct Collected {
    pub bytes: Vec<u8>,
    pub broke: Option<Failure>,
}

/// Reads until the end, the limit or the time, whichever comes first. What came is kept.
pub(super) async fn collect(mut response: reqwest::Response, until: Instant, max: usize) -> Collected {
    let mut bytes = Vec::new();
    let broke = loop {
        match next_chunk(&mut response, until).await {
            Ok(None) => break None,
            Ok(Some(chunk)) => {
                let room = max - bytes.len();
                bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room {
                    break Some(too_large(max));
                }
            }
            Err(failure) => break Some(failure),
        }
    };
    Collected { bytes, broke }
}

async fn next_chunk(response: &mut reqwest::Response, until: Instant) -> Result<Option<Bytes>, Failure> {
    match timeout_at(until, response.chunk()).await {
        Ok(Ok(chunk)) => Ok(chunk),
        Ok(Err(error)) => Err(Failure::of(&error, At::Body)),
        Err(_elapsed) => Err(Failure::timeout(At::Body)),
    }
}

fn too_large(max: usize) -> Failure {
    Failure::too_large(format!("more than {max} bytes"))
}

/// A streamed answer. Dropping it closes the connection, by which the server learns that nobody listens.
pub(crate) struct LineStream {
    /// `None` once the answer is at its end.
    response: Option<reqwest::Response>,
    buffer: BytesMut,
    /// Up to here the buffer has been looked at: no line ends before.
    searched: usize,
    start: Instant,
    until: Instant,
    max: usize,
    bytes: usize,
    _open: OpenRequest,
}

/// What the next read of a stream gave. `ms` counts from the request's sending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    Line { ms: u64, line: String },
    End { ms: u64, outcome: Outcome, at: Option<At>, text: Option<String> },
}

impl LineStream {
    pub(super) fn new(
        response: reqwest::Response,
        start: Instant,
        until: Instant,
        max: usize,
        open: OpenRequest,
    ) -> LineStream {
        LineStream {
            response: Some(response),
            buffer: BytesMut::new(),
            searched: 0,
            start,
            until,
            max,
            bytes: 0,
            _open: open,
        }
    }

    /// Bytes of the body so far.
    pub fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// Since the request was sent.
    pub fn ms(&self) -> u64 {
        millis(self.start.elapsed())
    }

    /// The next complete line without its line end; or the end. What follows the last line end of a whole answer is a
    /// line, of one that broke off it is not.
    pub async fn next(&mut self) -> Line {
        loop {
            if let Some(end) = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n') {
                let line = self.buffer.split_to(self.searched + end + 1);
                self.searched = 0;
                return self.line(&line);
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > MAX_LINE {
                return self.end(Some(Failure::too_large(format!("a line of more than {MAX_LINE} bytes"))));
            }
            let Some(response) = &mut self.response else {
                return if self.buffer.is_empty() {
                    self.end(None)
                } else {
                    let line = self.buffer.split();
                    self.searched = 0;
                    self.line(&line)
                };
            };
            match next_chunk(response, self.until).await {
                Ok(None) => self.response = None,
                Ok(Some(chunk)) => {
                    self.bytes += chunk.len();
                    if self.bytes > self.max {
                        return self.end(Some(too_large(self.max)));
                    }
                    self.buffer.extend_from_slice(&chunk);
                }
                Err(failure) => return self.end(Some(failure)),
            }
        }
    }

    fn line(&self, line: &[u8]) -> Line {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > MAX_LINE {
            return self.end(Some(Failure::too_large(format!("a line of more than {MAX_LINE} bytes"))));
        }
        Line::Line { ms: self.ms(), line: Text::new(line.to_vec(), false).text }
    }

    fn end(&self, failure: Option<Failure>) -> Line {
        match failure {
            None => Line::End { ms: self.ms(), outcome: Outcome::Ok, at: None, text: None },
            Some(Failure { outcome, at, text }) => Line::End { ms: self.ms(), outcome, at: Some(at), text },
        }
    }
}
