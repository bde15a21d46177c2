//! A small HTTP client of the tests' own: it shares no code with what it tests.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use serde_json::Value;

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// The body as JSON; fails the test with the body if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {}", self.body))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

pub fn get(address: SocketAddr, path: &str, within: Duration) -> io::Result<Answer> {
    Open::send(address, "GET", path, None, within)?.whole()
}

pub fn post(address: SocketAddr, path: &str, body: &Value, within: Duration) -> io::Result<Answer> {
    Open::send(address, "POST", path, Some(body), within)?.whole()
}

/// An answer whose head is read and whose body is still coming.
pub struct Open {
    reader: BufReader<TcpStream>,
    end: Instant,
    status: u16,
    headers: Vec<(String, String)>,
    body: Length,
}

enum Length {
    Known(usize),
    Chunked { left: usize },
    ToTheEnd,
}

impl Open {
    /// Sends a request and reads the answer's head. `within` is for all of it, the body included.
    pub fn send(
        address: SocketAddr,
        method: &str,
        path: &str,
        body: Option<&Value>,
        within: Duration,
    ) -> io::Result<Open> {
        let end = Instant::now() + within;
        let mut stream = TcpStream::connect_timeout(&address, within)?;
        stream.set_write_timeout(Some(within))?;
        let kind = if body.is_some() { "Content-Type: application/json\r\n" } else { "" };
        let body = body.map(Value::to_string).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{kind}Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes())?;
        let mut open =
            Open { reader: BufReader::new(stream), end, status: 0, headers: Vec::new(), body: Length::ToTheEnd };
        let first = open.line()?;
        let status = first.split(' ').nth(1).and_then(|s| s.parse().ok());
        open.status = status.ok_or_else(|| io::Error::other(format!("no status in {first:?}")))?;
        loop {
            let line = open.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            open.headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        let header = |name: &str| open.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v);
        if header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            open.body = Length::Chunked { left: 0 };
        } else if let Some(length) = header("content-length").and_then(|v| v.parse().ok()) {
            open.body = Length::Known(length);
        }
        Ok(open)
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    /// A line without its end, of the head or of a chunk's own.
    fn line(&mut self) -> io::Result<String> {
        self.limit()?;
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    fn limit(&mut self) -> io::Result<()> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.reader.get_ref().set_read_timeout(Some(left))
    }

    /// The next line of the body (of NDJSON, of an event stream); `None` at its end.
    pub fn next_line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            if self.read(&mut byte)? == 0 {
                return Ok((!line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned()));
            }
            if byte[0] == b'\n' {
                return Ok(Some(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned()));
            }
            line.push(byte[0]);
        }
    }

    /// As [`Self::next_line`], but gives up sooner, with `TimedOut` or `WouldBlock`.
    pub fn next_line_within(&mut self, within: Duration) -> io::Result<Option<String>> {
        let whole = self.end;
        self.end = whole.min(Instant::now() + within);
        let line = self.next_line();
        self.end = whole;
        line
    }

    fn whole(mut self) -> io::Result<Answer> {
        let mut body = Vec::new();
        self.read_to_end(&mut body)?;
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Answer { status: self.status, headers: self.headers, body })
    }
}

impl Read for Open {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Length::Chunked { left: 0 } = self.body {
            let mut size = self.line()?;
            if size.is_empty() {
                // The end of the chunk before.
                size = self.line()?;
            }
            let size = usize::from_str_radix(size.trim(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
            self.body = if size == 0 { Length::Known(0) } else { Length::Chunked { left: size } };
        }
        self.limit()?;
        let most = match self.body {
            Length::Known(left) | Length::Chunked { left } => left.min(buffer.len()),
            Length::ToTheEnd => buffer.len(),
        };
        if most == 0 {
            return Ok(0);
        }
        let read = self.reader.read(&mut buffer[..most])?;
        match &mut self.body {
            Length::Known(left) | Length::Chunked { left } if read == 0 && *left > 0 => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Length::Known(left) | Length::Chunked { left } => *left -= read,
            Length::ToTheEnd => {}
        }
        Ok(read)
    }
}
