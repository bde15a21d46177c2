//! A server that gives the same answer to a path each time, and remembers what it was asked.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// What is sent before the connection is closed: a whole answer, or any bytes.
pub type Bytes = Vec<u8>;

/// An answer with a status and a body of JSON.
pub fn answer(status: u16, body: impl AsRef<[u8]>) -> Bytes {
    let body = body.as_ref();
    let mut bytes = format!(
        "HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Serves until the test's process ends.
#[derive(Debug, Clone)]
pub struct Canned {
    pub address: SocketAddr,
    /// The heads of requests.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Canned {
    /// Answers `METHOD /path` with these bytes, anything else with 404.
    pub fn start(answers: &[(&str, Bytes)]) -> Canned {
        Canned::at(SocketAddr::from(([127, 0, 0, 1], 0)), answers, answer(404, b"{}"))
    }

    /// At this address, and with these bytes for anything else.
    pub fn at(address: SocketAddr, answers: &[(&str, Bytes)], otherwise: Bytes) -> Canned {
        let listener = TcpListener::bind(address).unwrap_or_else(|e| panic!("{address}: {e}"));
        let address = listener.local_addr().expect("its address");
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let answers: BTreeMap<String, Bytes> =
            answers.iter().map(|(on, bytes)| ((*on).to_owned(), bytes.clone())).collect();
        let seen = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = serve(stream, &answers, &otherwise, &seen);
            }
        });
        Canned { address, asked }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked for since the last call, in order.
    pub fn asked(&self) -> Vec<String> {
        self.heads().iter().map(|head| first_words(head)).collect()
    }

    /// The same, with all headers.
    pub fn heads(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `METHOD /path`.
fn first_words(head: &str) -> String {
    head.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn serve(
    mut stream: TcpStream,
    answers: &BTreeMap<String, Bytes>,
    otherwise: &Bytes,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    if head.is_empty() {
        // Connected only to see whether anybody listens.
        return Ok(());
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    // A body that is left unread would make the close a reset.
    let length =
        head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.trim().parse().ok());
    stream.read_exact(&mut vec![0; length.unwrap_or(0)])?;
    let bytes = answers.get(&first_words(&head)).unwrap_or(otherwise);
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(head);
    stream.write_all(bytes)
}
