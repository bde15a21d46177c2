//! What this project adds to v4.3's calls: the snapshot, the incidents, the events.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{fake::Server, wire::call};
use crate::monitor::view::Snapshot;

#[tokio::test]
async fn targets_is_the_whole_snapshot() {
    let server = Server::start().await;
    let reply = call(&server, "GET", "/api/ai-monitor/targets", "").await.json();
    assert_eq!(reply["status"], "success");
    let read: Snapshot = serde_json::from_value(reply["data"].clone()).unwrap();
    assert_eq!(read.targets.len(), server.monitor.snapshot_now().targets.len());
    assert_eq!(reply["data"]["targets"][0]["state"], "online");
}

#[tokio::test]
async fn an_unknown_incident_is_404_and_a_wrong_number_400() {
    let server = Server::start().await;
    assert_eq!(call(&server, "GET", "/api/ai-monitor/incidents/99", "").await.status, 404);
    assert_eq!(call(&server, "GET", "/api/ai-monitor/incidents/first", "").await.status, 400);
    assert_eq!(call(&server, "GET", "/api/ai-monitor/incidents?limit=0", "").await.status, 400);
}

#[tokio::test]
async fn each_change_is_told_to_those_who_listen() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let ask = format!("GET /api/ai-monitor/events HTTP/1.1\r\nHost: {}\r\n\r\n", server.addr);
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut seen = String::new();
    read_until(&mut stream, &mut seen, "event: changed\ndata: 1\n\n").await;
    assert!(seen.to_ascii_lowercase().contains("content-type: text/event-stream"), "{seen}");
    server.monitor.change(|snapshot| snapshot.debug_mode = true);
    read_until(&mut stream, &mut seen, "event: changed\ndata: 2\n\n").await;
}

async fn read_until(stream: &mut TcpStream, seen: &mut String, wanted: &str) {
    let mut buffer = [0; 4096];
    while !seen.contains(wanted) {
        let read = timeout(Duration::from_secs(10), stream.read(&mut buffer)).await;
        let read = read.unwrap_or_else(|_| panic!("{wanted:?} did not come: {seen}")).unwrap();
        assert_ne!(read, 0, "ended: {seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
}
