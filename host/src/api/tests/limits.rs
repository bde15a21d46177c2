//! Bodies, heads, connections and slow clients have their ends.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    fake::{FakeMonitor, Server, usual},
    wire::{call, send, until_closed},
};
use crate::api::Limits;

const HEAL: &str = "/api/ai-monitor/heal";
/// Long enough for a client that does not dawdle.
const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_body_beyond_64_kib_is_413() {
    let server = Server::start().await;
    let most = Limits::default().body_bytes;
    assert_eq!(most, 65_536);
    let filled = |size: usize| {
        let frame = r#"{"x":""}"#.len();
        format!(r#"{{"x":"{}"}}"#, "a".repeat(size - frame))
    };
    let reply = call(&server, "POST", "/api/ai-monitor/debug", &filled(most)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let reply = call(&server, "POST", "/api/ai-monitor/debug", &filled(most + 1)).await;
    assert_eq!((reply.status, reply.json()["status"].as_str()), (413, Some("error")));
}

#[tokio::test]
async fn a_declared_length_is_refused_before_the_body_comes() {
    let server = Server::start().await;
    let head = format!("POST {HEAL} HTTP/1.1\r\nHost: {}\r\nContent-Length: 1000000000\r\n\r\n", server.addr);
    assert_eq!(send(&server, head.as_bytes()).await.unwrap().status, 413);
}

#[tokio::test]
async fn an_undeclared_length_is_counted() {
    let server = Server::start().await;
    let mut request = format!("POST {HEAL} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n", server.addr);
    for _ in 0..65 {
        request.push_str(&format!("400\r\n{}\r\n", " ".repeat(1024)));
    }
    assert_eq!(send(&server, request.as_bytes()).await.unwrap().status, 413);
}

#[tokio::test]
async fn too_large_a_head_is_431() {
    let server = Server::start().await;
    let host = server.addr;
    let long = format!("GET / HTTP/1.1\r\nHost: {host}\r\nX: {}\r\n\r\n", "a".repeat(64 * 1024));
    assert_eq!(send(&server, long.as_bytes()).await.map(|r| r.status), Some(431));
    let many = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{}\r\n", "X: a\r\n".repeat(200));
    assert_eq!(send(&server, many.as_bytes()).await.map(|r| r.status), Some(431));
}

#[tokio::test]
async fn a_head_that_does_not_end_is_hung_up_on() {
    let limits = Limits { head_timeout: SHORT, ..Limits::default() };
    let server = Server::with(FakeMonitor::new(usual()), limits).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: ").await.unwrap();
    let reply = until_closed(&mut stream).await;
    assert!(reply.is_none_or(|reply| reply.status == 408));
}

#[tokio::test]
async fn a_body_that_does_not_end_is_408() {
    let limits = Limits { body_timeout: SHORT, ..Limits::default() };
    let server = Server::with(FakeMonitor::new(usual()), limits).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let head = format!("POST {HEAL} HTTP/1.1\r\nHost: {}\r\nContent-Length: 20\r\n\r\n{{", server.addr);
    stream.write_all(head.as_bytes()).await.unwrap();
    let reply = until_closed(&mut stream).await.unwrap();
    assert_eq!((reply.status, reply.json()["status"].as_str()), (408, Some("error")));
    assert!(server.monitor.healed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_body_that_breaks_off_heals_nothing() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let head = format!("POST {HEAL} HTTP/1.1\r\nHost: {}\r\nContent-Length: 20\r\n\r\n{{", server.addr);
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    until_closed(&mut stream).await;
    assert!(server.monitor.healed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn connections_beyond_the_most_wait_and_are_served_after() {
    let limits = Limits { connections: 4, head_timeout: SHORT, ..Limits::default() };
    let server = Server::with(FakeMonitor::new(usual()), limits).await;
    let mut idle = Vec::new();
    for _ in 0..10 {
        idle.push(TcpStream::connect(server.addr).await.unwrap());
    }
    let began = std::time::Instant::now();
    assert_eq!(call(&server, "GET", "/api/health", "").await.status, 200);
    // Two lots of idle ones before it were hung up on.
    assert!(began.elapsed() >= SHORT, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_hung_up_on() {
    let limits = Limits { connections: 1, write_timeout: SHORT, ..Limits::default() };
    let server = Server::with(FakeMonitor::new(usual()), limits).await;
    let long = "x".repeat(1000) + "\n";
    std::fs::write(server.logs.path().join("ai_monitor.log"), long.repeat(4000)).unwrap();
    let ask = format!("GET /api/ai-monitor/logs?lines=10000 HTTP/1.1\r\nHost: {}\r\n\r\n", server.addr);
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    // More answers than the buffers between the two can hold.
    stream.write_all(ask.repeat(8).as_bytes()).await.unwrap();
    // The one place is free again.
    let asked = timeout(Duration::from_secs(30), call(&server, "GET", "/api/health", ""));
    assert_eq!(asked.await.expect("it is still waited for").status, 200);
}

#[tokio::test]
async fn the_33rd_event_stream_is_told_so() {
    let server = Server::start().await;
    let ask = format!("GET /api/ai-monitor/events HTTP/1.1\r\nHost: {}\r\n\r\n", server.addr);
    let mut open = Vec::new();
    for _ in 0..32 {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(ask.as_bytes()).await.unwrap();
        // Its first bytes: it holds its place.
        stream.read_u8().await.unwrap();
        open.push(stream);
    }
    let reply = call(&server, "GET", "/api/ai-monitor/events", "").await;
    assert_eq!((reply.status, reply.json()["status"].as_str()), (503, Some("error")));
}

#[tokio::test]
async fn a_heal_goes_on_when_its_caller_hangs_up() {
    let server = Server::start().await;
    let (monitor, let_go) = (&server.monitor, &server.monitor.let_go);
    let_go.send_replace(false);
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let head = format!("POST /api/ai-monitor/heal-now HTTP/1.1\r\nHost: {}\r\n\r\n", server.addr);
    stream.write_all(head.as_bytes()).await.unwrap();
    monitor.begun.subscribe().wait_for(|begun| *begun == 3).await.unwrap();
    drop(stream);
    let_go.send_replace(true);
    let mut number = 0;
    while monitor.healed.lock().unwrap().len() < 3 {
        number = timeout(Duration::from_secs(10), crate::monitor::handle::Handle::changed(&**monitor, number))
            .await
            .expect("the heal did not go on");
    }
}

#[tokio::test]
async fn the_end_waits_for_nobody_who_only_listens() {
    let limits = Limits { end_timeout: Duration::from_secs(600), ..Limits::default() };
    let mut server = Server::with(FakeMonitor::new(usual()), limits).await;
    let ask = format!("GET /api/ai-monitor/events HTTP/1.1\r\nHost: {}\r\n\r\n", server.addr);
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(ask.as_bytes()).await.unwrap();
    stream.read_u8().await.unwrap();
    server.shutdown.cancel();
    let ended = timeout(Duration::from_secs(30), &mut server.serving).await;
    ended.expect("it waits for who only listens").unwrap().unwrap();
    assert!(TcpStream::connect(server.addr).await.is_err());
}

#[tokio::test]
async fn the_end_lets_an_answer_be_finished_but_not_for_long() {
    for (finishes, end_timeout) in [(true, Duration::from_secs(600)), (false, SHORT)] {
        let limits = Limits { end_timeout, ..Limits::default() };
        let mut server = Server::with(FakeMonitor::new(usual()), limits).await;
        server.monitor.let_go.send_replace(false);
        let head = format!("POST /api/ai-monitor/heal-now HTTP/1.1\r\nHost: {}\r\n\r\n", server.addr);
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        server.monitor.begun.subscribe().wait_for(|begun| *begun == 3).await.unwrap();
        server.shutdown.cancel();
        server.monitor.let_go.send_replace(finishes);
        let ended = timeout(Duration::from_secs(10), &mut server.serving).await;
        ended.expect("it did not end").unwrap().unwrap();
        assert_eq!(until_closed(&mut stream).await.map(|reply| reply.status), finishes.then_some(200));
    }
}

#[tokio::test]
async fn a_connection_that_idles_between_two_calls_is_closed() {
    let limits = Limits { head_timeout: SHORT, ..Limits::default() };
    let server = Server::with(FakeMonitor::new(usual()), limits).await;
    let head = format!("GET /api/health HTTP/1.1\r\nHost: {}\r\n\r\n", server.addr);
    assert_eq!(send(&server, head.as_bytes()).await.map(|reply| reply.status), Some(200));
}
