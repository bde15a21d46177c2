//! A server of fixed pages, in a thread of the test: it remembers what it was asked.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

/// Listens until the test's process ends.
pub struct Fake {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

/// One page: the path, its status line and headers (`200 OK`, or `200 OK\r\nServer: x`), its body.
pub type Page<'a> = (&'a str, &'a str, &'a str);

impl Fake {
    /// Every path that is not among the pages is answered by `other`, a head and a body.
    pub fn start(address: SocketAddr, pages: &[Page<'_>], other: (&str, &str)) -> Fake {
        let listener = TcpListener::bind(address).unwrap_or_else(|e| panic!("{address}: {e}"));
        let own = |(path, head, body): &Page<'_>| ((*path).to_owned(), (*head).to_owned(), (*body).to_owned());
        let pages: Arc<Vec<_>> = Arc::new(pages.iter().map(own).collect());
        let other = Arc::new((other.0.to_owned(), other.1.to_owned()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let address = listener.local_addr().expect("its address");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (pages, other, log) = (pages.clone(), other.clone(), log.clone());
                std::thread::spawn(move || serve(stream, &pages, &other, &log));
            }
        });
        Fake { address, asked }
    }

    /// The heads of all requests so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("the log").clone()
    }
}

fn serve(
    stream: TcpStream,
    pages: &[(String, String, String)],
    other: &(String, String),
    log: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let length = head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        log.lock().expect("the log").push(head);
        let page = pages.iter().find(|(known, ..)| *known == path);
        let (status, body) = page.map_or((&other.0, &other.1), |(_, status, body)| (status, body));
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        reader.get_mut().write_all(answer.as_bytes()).ok()?;
    }
}
