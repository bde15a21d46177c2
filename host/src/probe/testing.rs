//! Servers that behave as a test says, on real sockets of 127.0.0.1.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use ai_monitor_plugin_api::manifest::Manifest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A test that waits longer than this has failed.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Listens until it is dropped or stopped.
pub struct Server {
    address: SocketAddr,
    connections: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Runs `serve` for each connection, one task each.
    pub async fn start<F, S>(serve: S) -> Server
    where
        S: Fn(Connection) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), serve)
    }

    pub fn on<F, S>(listener: TcpListener, serve: S) -> Server
    where
        S: Fn(Connection) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicU32::new(0));
        let count = connections.clone();
        let task = tokio::spawn(async move {
            // Dropped with the listener: so are the connections.
            let mut serving = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                serving.spawn(serve(Connection { stream, unread: Vec::new() }));
            }
        });
        Server { address, connections, task }
    }

    /// Answers each request of a connection with the same bytes, and keeps the connection.
    pub async fn answering(bytes: impl Into<Vec<u8>>) -> Server {
        let bytes: Arc<[u8]> = bytes.into().into();
        Server::start(move |mut connection| {
            let bytes = bytes.clone();
            async move {
                while connection.request().await.is_some() {
                    connection.send(&bytes).await;
                }
            }
        })
        .await
    }

    /// Answers one request with these bytes and closes the connection.
    pub async fn closing_after(bytes: impl Into<Vec<u8>>) -> Server {
        let bytes: Arc<[u8]> = bytes.into().into();
        Server::start(move |mut connection| {
            let bytes = bytes.clone();
            async move {
                connection.request().await;
                connection.send(&bytes).await;
            }
        })
        .await
    }

    /// Takes requests and says nothing.
    pub async fn silent() -> Server {
        Self::answering("").await
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Taken so far.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::SeqCst)
    }

    /// Closes the listener and all connections; gives the address, at which nobody listens any more.
    pub async fn stop(mut self) -> SocketAddr {
        self.task.abort();
        let _ = (&mut self.task).await;
        self.address
    }
}

/// One connection, seen from the server.
pub struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    /// Reads one request with its body; `None`: the client closed. The head comes with its names in lower case.
    pub async fn request(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.unread[..end + 4]).into_owned();
                let length = head
                    .lines()
                    .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok())
                    .unwrap_or(0);
                if self.unread.len() >= end + 4 + length {
                    let rest = self.unread.split_off(end + 4 + length);
                    let request = std::mem::replace(&mut self.unread, rest);
                    return Some(String::from_utf8_lossy(&request).into_owned());
                }
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.unread.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// False: the client has gone.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Returns when the client has closed the connection.
    pub async fn closed(&mut self) {
        while self.request().await.is_some() {}
    }

    /// Closes with RST instead of FIN.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}

/// A manifest with these identification rules and nothing else.
pub fn manifest(id: &str, rules: &str) -> Manifest {
    let identify: serde_json::Value = serde_json::from_str(rules).unwrap();
    let manifest = serde_json::json!({
        "contract": "1.0", "abi": 1, "id": id, "version": "0.0.0", "label": id, "probes": {}, "identify": identify,
    });
    serde_json::from_value(manifest).unwrap()
}
