//! HTTP/1.1 over plain sockets, a thread per connection: every byte of an answer, and every way to break it off, is in
//! our hands.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    fault::{self, Fault, Spoilt},
    world::World,
};

/// The most that a request's body may have.
const BODY_MAX: usize = 1 << 20;

#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: String,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// `GET /v1/models`
    pub fn route(&self) -> (&str, &str) {
        (&self.method, &self.path)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The body, or null if it is no JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A value of the query, as it stands there.
    pub fn asked(&self, name: &str) -> Option<&str> {
        self.query.split('&').filter_map(|pair| pair.split_once('=')).find(|(n, _)| *n == name).map(|(_, v)| v)
    }
}

/// An answer, before anything spoils it.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
}

pub enum Body {
    Whole(Vec<u8>),
    /// Pieces as they come; `None`: nothing yet. Chunked, or all at once at the end.
    Pieces {
        chunked: bool,
        pieces: Box<dyn Iterator<Item = Option<String>> + Send>,
    },
}

impl Reply {
    pub fn json(status: u16, value: &Value) -> Reply {
        Reply::text(status, "application/json", &value.to_string())
    }

    pub fn text(status: u16, kind: &str, text: &str) -> Reply {
        let headers = vec![("Content-Type", kind.to_owned())];
        Reply { status, headers, body: Body::Whole(text.as_bytes().to_vec()) }
    }

    /// A status alone.
    pub fn empty(status: u16) -> Reply {
        Reply { status, headers: Vec::new(), body: Body::Whole(Vec::new()) }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Reply {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// One server's own answers.
pub trait Backend: Send + Sync {
    fn answer(&self, world: &Arc<World>, request: &Request) -> Reply;

    /// What it answers to who has no key, where a key is needed.
    fn refusal(&self, path: &str) -> Option<Reply>;

    /// Its words for an error of its own.
    fn failure(&self) -> Reply;
}

/// Serves for ever.
pub fn serve(listener: &TcpListener, world: &Arc<World>, backend: &Arc<dyn Backend>) {
    for stream in listener.incoming().flatten() {
        let (world, backend) = (world.clone(), backend.clone());
        std::thread::spawn(move || {
            // However a connection ends, the others go on.
            let _ = converse(stream, &world, &*backend);
        });
    }
}

fn converse(stream: TcpStream, world: &Arc<World>, backend: &dyn Backend) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = read(&mut reader)? {
        if request.path == fault::PATH {
            let answer = match serde_json::from_slice::<Fault>(&request.body) {
                Ok(order) => {
                    world.order(&order);
                    Reply::json(200, &json!({"ordered": order}))
                }
                Err(e) => Reply::json(400, &json!({"error": format!("not a fault: {e}")})),
            };
            send(&stream, answer, None, world)?;
            continue;
        }
        while world.faults().hang {
            world.pause();
            leave_with_client(&stream)?;
        }
        let spoilt = world.faults().spoilt;
        let refused = if spoilt == Some(Spoilt::Unauthorised) { backend.refusal(&request.path) } else { None };
        let fails = match spoilt {
            Some(Spoilt::Errors { everywhere }) => everywhere || is_inference(&request.path),
            _ => false,
        };
        let reply = if let Some(refusal) = refused {
            refusal
        } else if fails {
            backend.failure()
        } else {
            backend.answer(world, &request)
        };
        send(&stream, reply, spoilt, world)?;
    }
    Ok(())
}

fn is_inference(path: &str) -> bool {
    matches!(path, "/v1/chat/completions" | "/v1/completions" | "/v1/embeddings" | "/chat")
}

fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let Some(first) = line(reader)? else { return Ok(None) };
    let mut words = first.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(io::Error::other(format!("no request line: {first:?}")));
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = Vec::new();
    while let Some(line) = line(reader)? {
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    let mut request =
        Request { method: method.into(), path: path.into(), query: query.into(), headers, body: Vec::new() };
    let length: usize = request.header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
    if length > BODY_MAX {
        return Err(io::Error::other("a body beyond all reason"));
    }
    request.body = vec![0; length];
    reader.read_exact(&mut request.body)?;
    Ok(Some(request))
}

/// A line without its end; `None` at the end of the connection.
fn line(reader: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut line = String::new();
    let read = reader.by_ref().take(64 * 1024).read_line(&mut line)?;
    Ok((read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
}

fn send(mut stream: &TcpStream, reply: Reply, spoilt: Option<Spoilt>, world: &World) -> io::Result<()> {
    let Reply { status, headers, body } = reply;
    let mut head = format!("HTTP/1.1 {status} {}\r\n", words_of(status));
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let whole = match body {
        Body::Whole(whole) => whole,
        Body::Pieces { chunked: true, pieces } => {
            write!(stream, "{head}Transfer-Encoding: chunked\r\n\r\n")?;
            for piece in pieces {
                match piece {
                    Some(piece) => write!(stream, "{:x}\r\n{piece}\r\n", piece.len())?,
                    None => leave_with_client(stream)?,
                }
            }
            return stream.write_all(b"0\r\n\r\n");
        }
        Body::Pieces { chunked: false, pieces } => {
            let mut whole = String::new();
            for piece in pieces {
                match piece {
                    Some(piece) => whole.push_str(&piece),
                    None => leave_with_client(stream)?,
                }
            }
            whole.into_bytes()
        }
    };
    let whole = spoil(whole, spoilt);
    head.push_str(&format!("Content-Length: {}\r\n\r\n", whole.len()));
    match spoilt {
        Some(Spoilt::Drip) => {
            stream.write_all(head.as_bytes())?;
            for byte in whole {
                std::thread::sleep(Duration::from_secs(1));
                if world.faults().spoilt != Some(Spoilt::Drip) {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                stream.write_all(&[byte])?;
            }
            Ok(())
        }
        Some(Spoilt::Reset) => {
            let mut all = head.into_bytes();
            // Of an answer without a body, the head is what breaks off.
            let end = if whole.is_empty() { all.len() / 2 } else { all.len() + whole.len() / 2 };
            all.extend(whole);
            stream.write_all(&all[..end])?;
            // With no time to linger, closing sends RST.
            rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?;
            Err(io::ErrorKind::ConnectionReset.into())
        }
        _ => stream.write_all(&[head.as_bytes(), &whole].concat()),
    }
}

fn spoil(whole: Vec<u8>, spoilt: Option<Spoilt>) -> Vec<u8> {
    match spoilt {
        Some(Spoilt::BrokenJson) => whole[..whole.len() / 2].to_vec(),
        Some(Spoilt::WrongTypes) => match serde_json::from_slice::<Value>(&whole) {
            Ok(value) => twisted(&value).to_string().into_bytes(),
            Err(_) => whole,
        },
        _ => whole,
    }
}

/// JSON of the same names whose values are all of another type.
fn twisted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), twisted(value))).collect(),
        Value::Array(_) => json!({"0": "a list no more"}),
        Value::String(_) => json!(7),
        Value::Number(_) => json!("seven"),
        Value::Bool(_) => json!([]),
        Value::Null => json!({}),
    }
}

/// Fails when the client has gone.
fn leave_with_client(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_millis(1)))?;
    let gone = matches!(stream.peek(&mut [0]), Ok(0));
    stream.set_read_timeout(None)?;
    if gone { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
}

fn words_of(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Whatever",
    }
}
