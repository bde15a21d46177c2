//! The driver against servers that misbehave.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{net::TcpListener, sync::mpsc, time::timeout};

use super::*;
use crate::probe::testing::{Connection, PATIENCE, Server};

/// A deadline that is to pass. What comes before it must have come by then on a busy machine too.
const SOON: Duration = Duration::from_secs(1);

fn client_of(url: &str, auth: Option<Auth>) -> TargetClient {
    Driver::new().unwrap().target(&Url::parse(url).unwrap(), auth)
}

fn client(server: &Server) -> TargetClient {
    client_of(&format!("http://{}", server.address()), None)
}

fn get(path: &str, limit: Duration) -> Call {
    Call {
        method: Method::Get,
        to: To::Target,
        path: RequestPath::new(path).unwrap(),
        headers: HeaderMap::new(),
        body: None,
        until: Instant::now() + limit,
        max_bytes: 1024 * 1024,
        stream: false,
        auth: true,
    }
}

async fn ask(server: &Server, limit: Duration) -> Answer {
    client(server).call(&get("/", limit)).await.0
}

fn text(answer: &Answer) -> Option<&str> {
    answer.body.as_ref().map(|body| body.text.as_str())
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_closed_port_refuses() {
    let address = Server::silent().await.stop().await;
    let answer = client_of(&format!("http://{address}"), None).call(&get("/", PATIENCE)).await.0;
    assert_eq!((answer.outcome, answer.at, answer.status), (Outcome::Refused, Some(At::Connect), None));
    assert!(answer.text.as_ref().is_some_and(|text| !text.contains("os error")), "{answer:?}");
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_unreachable() {
    let answer = client_of("http://no-such-host.invalid:1", None).call(&get("/", PATIENCE)).await.0;
    assert_eq!((answer.outcome, answer.at), (Outcome::Unreachable, Some(At::Connect)));
}

/// The accept queue is full: the system drops the first packet, so no connection comes about.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_queue_times_out_in_connecting() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let _first = tokio::net::TcpStream::connect(address).await.unwrap();
    let answer = client_of(&format!("http://{address}"), None).call(&get("/", SOON)).await.0;
    assert_eq!((answer.outcome, answer.at, answer.status), (Outcome::Timeout, Some(At::Connect), None));
}

#[tokio::test]
async fn a_server_that_says_nothing_times_out_before_the_headers() {
    let server = Server::silent().await;
    let answer = ask(&server, SOON).await;
    assert_eq!((answer.outcome, answer.at, answer.status), (Outcome::Timeout, Some(At::Headers), None));
    assert!(answer.ms >= 1000 && answer.body.is_none(), "{answer:?}");
}

#[tokio::test]
async fn silence_on_a_connection_that_is_reused_is_before_the_headers_too() {
    let server = Server::start(|mut connection: Connection| async move {
        connection.request().await;
        connection.send(ok("once").as_bytes()).await;
        connection.closed().await;
    })
    .await;
    let client = client(&server);
    assert_eq!(client.call(&get("/", PATIENCE)).await.0.outcome, Outcome::Ok);
    let answer = client.call(&get("/", SOON)).await.0;
    assert_eq!((answer.outcome, answer.at), (Outcome::Timeout, Some(At::Headers)));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_slow_drip_times_out_in_the_body_and_what_came_is_kept() {
    let server = Server::start(|mut connection: Connection| async move {
        connection.request().await;
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"models\":[\xc3").await;
        connection.closed().await;
    })
    .await;
    let answer = ask(&server, SOON).await;
    assert_eq!((answer.outcome, answer.at, answer.status), (Outcome::Timeout, Some(At::Body), Some(200)));
    // The half of a character at the end is the network's doing, not the server's.
    assert_eq!(answer.body, Some(body::Text { text: "{\"models\":[".into(), utf8: true }));
}

#[tokio::test]
async fn a_gigabyte_is_not_read() {
    let (told, mut tell) = mpsc::unbounded_channel();
    let server = Server::start(move |mut connection| {
        let told = told.clone();
        async move {
            connection.request().await;
            connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await;
            let chunk = vec![b'x'; 64 * 1024];
            let mut sent = 0;
            while connection.send(&chunk).await {
                sent += chunk.len();
            }
            let _ = told.send(sent);
        }
    })
    .await;
    let answer = ask(&server, PATIENCE).await;
    assert_eq!((answer.outcome, answer.at, answer.status), (Outcome::TooLarge, Some(At::Body), Some(200)));
    assert_eq!(answer.bytes, 1024 * 1024);
    let sent = timeout(PATIENCE, tell.recv()).await.expect("the connection is closed").unwrap();
    assert!(sent < 100_000_000, "{sent} bytes left the server");
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_whole() {
    let server = Server::answering(ok("12345")).await;
    let mut call = get("/", PATIENCE);
    call.max_bytes = 5;
    assert_eq!(client(&server).call(&call).await.0.outcome, Outcome::Ok);
    call.max_bytes = 4;
    let answer = client(&server).call(&call).await.0;
    assert_eq!((answer.outcome, text(&answer)), (Outcome::TooLarge, Some("1234")));
}

#[tokio::test]
async fn a_body_shorter_than_promised_is_a_reset_in_the_body() {
    let server = Server::closing_after("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
    let answer = ask(&server, PATIENCE).await;
    assert_eq!((answer.outcome, answer.at, answer.status), (Outcome::Reset, Some(At::Body), Some(200)));
    assert_eq!(text(&answer), Some("half"));
}

#[tokio::test]
async fn a_connection_reset_in_the_body_is_told_so() {
    let (go, wait) = mpsc::unbounded_channel::<()>();
    let wait = Arc::new(Mutex::new(Some(wait)));
    let server = Server::start(move |mut connection| {
        let wait = wait.lock().unwrap().take();
        async move {
            connection.request().await;
            connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\none\n\r\n").await;
            // A reset would overtake what the client has not read yet.
            wait.unwrap().recv().await;
            connection.reset();
        }
    })
    .await;
    let call = Call { stream: true, ..get("/", PATIENCE) };
    let (_, lines) = client(&server).call(&call).await;
    let mut lines = lines.unwrap();
    let first = lines.next().await;
    go.send(()).unwrap();
    let all = [first, lines.next().await];
    assert_eq!((self::lines(&all), end(&all)), (vec!["one"], (Outcome::Reset, Some(At::Body))));
}

#[tokio::test]
async fn a_connection_closed_without_an_answer_is_a_reset_before_the_headers() {
    let server = Server::closing_after("").await;
    let answer = ask(&server, PATIENCE).await;
    assert_eq!((answer.outcome, answer.at, answer.status), (Outcome::Reset, Some(At::Headers), None));
    assert_eq!(server.connections(), 1, "a new connection that breaks is evidence: it is not tried again");
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_malformed() {
    let server = Server::closing_after("220 mail.example ESMTP\r\n").await;
    let answer = ask(&server, PATIENCE).await;
    assert_eq!((answer.outcome, answer.at, answer.status), (Outcome::Malformed, Some(At::Headers), None));
}

#[tokio::test]
async fn broken_chunks_are_malformed() {
    let server = Server::closing_after("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n").await;
    let answer = ask(&server, PATIENCE).await;
    assert_eq!((answer.outcome, answer.at, answer.status), (Outcome::Malformed, Some(At::Body), Some(200)));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::answering(ok("caught")).await;
    let to = format!("HTTP/1.1 302 Found\r\nlocation: http://{}/\r\ncontent-length: 0\r\n\r\n", elsewhere.address());
    let server = Server::answering(to).await;
    let answer = ask(&server, PATIENCE).await;
    assert_eq!((answer.outcome, answer.at, answer.status), (Outcome::Redirect, None, Some(302)));
    assert!(answer.headers.contains_key("location"));
    assert_eq!((server.connections(), elsewhere.connections()), (1, 0));
}

#[tokio::test]
async fn large_headers_are_too_large_in_either_size() {
    for (size, status) in [(17 * 1024, Some(200)), (600 * 1024, None)] {
        let head = format!("HTTP/1.1 200 OK\r\nx-huge: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(size));
        let server = Server::closing_after(head).await;
        let answer = ask(&server, PATIENCE).await;
        assert_eq!((answer.outcome, answer.at, answer.status), (Outcome::TooLarge, Some(At::Headers), status));
        assert!(answer.headers.is_empty());
    }
}

#[tokio::test]
async fn a_status_gives_the_outcome() {
    for (status, outcome) in [
        (204, Outcome::Ok),
        (401, Outcome::Unauthorised),
        (404, Outcome::NotFound),
        (405, Outcome::Unsupported),
        (422, Outcome::Rejected),
        (429, Outcome::Overloaded),
        (500, Outcome::Failed),
        (503, Outcome::Unavailable),
    ] {
        let server = Server::answering(format!("HTTP/1.1 {status} Word\r\ncontent-length: 0\r\n\r\n")).await;
        let answer = ask(&server, PATIENCE).await;
        assert_eq!((answer.outcome, answer.at, answer.status), (outcome, None, Some(status)));
    }
}

#[tokio::test]
async fn cookies_are_dropped_and_headers_joined() {
    let server = Server::answering(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nX-A: 1\r\nx-a: 2\r\nServer: \xffodd\r\ncontent-length: 0\r\n\r\n"
            .to_vec(),
    )
    .await;
    let answer = ask(&server, PATIENCE).await;
    assert_eq!(answer.headers.get("x-a").map(String::as_str), Some("1, 2"));
    assert!(!answer.headers.contains_key("set-cookie") && answer.headers.contains_key("server"));
}

#[tokio::test]
async fn bad_bytes_are_replaced_and_told() {
    let server = Server::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\na\xffb".to_vec()).await;
    let answer = ask(&server, PATIENCE).await;
    assert_eq!(answer.body, Some(body::Text { text: "a\u{fffd}b".into(), utf8: false }));
}

/// Answers every request with itself.
async fn echo() -> Server {
    Server::start(|mut connection: Connection| async move {
        while let Some(request) = connection.request().await {
            connection.send(ok(&request).as_bytes()).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_path_prefix_of_the_base_url_stays_and_a_query_is_passed_on() {
    let server = echo().await;
    let client = client_of(&format!("http://user:secret@{}/ollama/?x=1#y", server.address()), None);
    let answer = client.call(&get("/api/show?q=a%20b", PATIENCE)).await.0;
    let request = text(&answer).unwrap().to_ascii_lowercase();
    assert!(request.starts_with("get /ollama/api/show?q=a%20b http/1.1\r\n"), "{request}");
    assert!(!request.contains("authorization"), "keys in a URL are not sent: {request}");
    assert_eq!(client.url().as_str(), format!("http://{}/ollama/", server.address()));
}

#[tokio::test]
async fn the_key_goes_to_the_target_and_nowhere_else_and_is_read_each_time() {
    let server = echo().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "first\n").unwrap();
    let client = client_of(&format!("http://{}", server.address()), Some(Auth::BearerFile(file.path().into())));
    let sent = async |call: Call| text(&client.call(&call).await.0).unwrap().to_ascii_lowercase();

    assert!(sent(get("/", PATIENCE)).await.contains("authorization: bearer first\r\n"));
    std::fs::write(file.path(), "second").unwrap();
    assert!(sent(get("/", PATIENCE)).await.contains("authorization: bearer second\r\n"));
    let local = Call { to: To::Local(server.address()), ..get("/", PATIENCE) };
    assert!(!sent(local).await.contains("authorization"));
    let without = Call { auth: false, ..get("/", PATIENCE) };
    assert!(!sent(without).await.contains("authorization"));
}

#[tokio::test]
async fn a_key_that_cannot_be_read_is_told_with_the_servers_answer() {
    let server = Server::answering("HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n").await;
    let auth = Auth::BearerEnv("AI_MONITOR_TEST_NO_SUCH_VARIABLE".into());
    let client = client_of(&format!("http://{}", server.address()), Some(auth));
    let answer = client.call(&get("/", PATIENCE)).await.0;
    assert_eq!(answer.outcome, Outcome::Unauthorised);
    let text = answer.text.unwrap();
    assert!(text.contains("AI_MONITOR_TEST_NO_SUCH_VARIABLE") && text.contains("without a key"), "{text}");
}

#[tokio::test]
async fn reads_share_a_connection_and_a_post_has_its_own() {
    let server = echo().await;
    let client = client(&server);
    for _ in 0..3 {
        client.call(&get("/", PATIENCE)).await;
    }
    assert_eq!(server.connections(), 1);
    let post = Call { method: Method::Post, body: Some("{}".into()), ..get("/", PATIENCE) };
    let answer = client.call(&post).await.0;
    assert!(text(&answer).unwrap().ends_with("\r\n\r\n{}"), "{answer:?}");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn an_idle_connection_that_the_server_closes_is_no_failure() {
    // Each connection serves one request and closes on the second, as a server does whose keep-alive ran out just then.
    let server = Server::start(|mut connection: Connection| async move {
        connection.request().await;
        connection.send(ok("served").as_bytes()).await;
        connection.request().await;
    })
    .await;
    let client = client(&server);
    for _ in 0..3 {
        let answer = client.call(&get("/", PATIENCE)).await.0;
        assert_eq!((answer.outcome, text(&answer)), (Outcome::Ok, Some("served")), "{answer:?}");
    }
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn localhost_is_pinned_to_the_address_that_answered_until_it_refuses() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        return crate::left_out("`localhost` of two addresses: there is no ::1 here");
    };
    let port = listener.local_addr().unwrap().port();
    let serve = |mut connection: Connection| async move {
        while let Some(request) = connection.request().await {
            connection.send(ok(&request).as_bytes()).await;
        }
    };
    let six = Server::on(listener, serve);
    let client = client_of(&format!("http://localhost:{port}"), None);
    assert_eq!(client.pinned(), None);
    let answer = client.call(&get("/", PATIENCE)).await.0;
    assert!(text(&answer).unwrap().contains(&format!("host: localhost:{port}\r\n")), "{answer:?}");
    assert_eq!(client.pinned(), Some(six.address()));

    let four = Server::on(TcpListener::bind(("127.0.0.1", port)).await.unwrap(), serve);
    client.call(&get("/", PATIENCE)).await;
    assert_eq!(four.connections(), 0, "the other server of this port is not asked");

    six.stop().await;
    let answer = client.call(&get("/", PATIENCE)).await.0;
    assert_eq!((answer.outcome, client.pinned()), (Outcome::Refused, None));
    assert_eq!(client.call(&get("/", PATIENCE)).await.0.outcome, Outcome::Ok);
    assert_eq!(client.pinned(), Some(four.address()));
}

async fn stream(server: &Server, limit: Duration, max_bytes: usize) -> Vec<Line> {
    let call = Call { stream: true, max_bytes, ..get("/", limit) };
    let (answer, lines) = client(server).call(&call).await;
    assert_eq!((answer.outcome, &answer.body), (Outcome::Ok, &None));
    let mut lines = lines.unwrap();
    let mut all = Vec::new();
    loop {
        let next = lines.next().await;
        let end = matches!(next, Line::End { .. });
        all.push(next);
        if end {
            return all;
        }
    }
}

fn lines(all: &[Line]) -> Vec<&str> {
    all.iter()
        .filter_map(|line| match line {
            Line::Line { line, .. } => Some(line.as_str()),
            Line::End { .. } => None,
        })
        .collect()
}

fn end(all: &[Line]) -> (Outcome, Option<At>) {
    match all.last() {
        Some(Line::End { outcome, at, .. }) => (*outcome, *at),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_stream_comes_line_by_line_however_it_is_cut() {
    let (go, wait) = mpsc::unbounded_channel::<()>();
    let wait = Arc::new(Mutex::new(Some(wait)));
    let server = Server::start(move |mut connection| {
        let wait = wait.lock().unwrap().take();
        async move {
            connection.request().await;
            connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\na\r\n\nb\r\n").await;
            wait.unwrap().recv().await;
            connection.send(b"5\r\nc\nd\xffe\r\n0\r\n\r\n").await;
        }
    })
    .await;
    let call = Call { stream: true, ..get("/", PATIENCE) };
    let (_, lines) = client(&server).call(&call).await;
    let mut lines = lines.unwrap();
    let mut got = Vec::new();
    for _ in 0..2 {
        got.push(lines.next().await);
    }
    go.send(()).unwrap();
    for _ in 0..3 {
        got.push(lines.next().await);
    }
    let words: Vec<_> = self::lines(&got);
    assert_eq!(words, ["a", "", "bc", "d\u{fffd}e"], "{got:?}");
    assert_eq!(end(&got), (Outcome::Ok, None));
    assert_eq!(lines.bytes(), 10);
}

#[tokio::test]
async fn a_stream_that_breaks_off_does_not_give_half_a_line() {
    let server = Server::closing_after("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7\r\none\ntwo\r\n").await;
    let all = stream(&server, PATIENCE, MAX_BODY).await;
    assert_eq!((lines(&all), end(&all)), (vec!["one"], (Outcome::Reset, Some(At::Body))));
}

#[tokio::test]
async fn a_stream_that_pauses_too_long_times_out() {
    let server = Server::start(|mut connection: Connection| async move {
        connection.request().await;
        connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\none\n\r\n").await;
        connection.closed().await;
    })
    .await;
    let all = stream(&server, SOON, MAX_BODY).await;
    assert_eq!((lines(&all), end(&all)), (vec!["one"], (Outcome::Timeout, Some(At::Body))));
}

#[tokio::test]
async fn lines_and_streams_are_bounded() {
    let long = format!("one\n{}\n", "x".repeat(256 * 1024 + 1));
    let all = stream(&Server::answering(ok(&long)).await, PATIENCE, MAX_BODY).await;
    assert_eq!((lines(&all), end(&all)), (vec!["one"], (Outcome::TooLarge, Some(At::Body))));

    let longest = format!("{}\n", "x".repeat(256 * 1024));
    let all = stream(&Server::answering(ok(&longest)).await, PATIENCE, MAX_BODY).await;
    assert_eq!((lines(&all).len(), end(&all)), (1, (Outcome::Ok, None)));

    let all = stream(&Server::answering(ok(&longest)).await, PATIENCE, 1000).await;
    assert_eq!((lines(&all).len(), end(&all)), (0, (Outcome::TooLarge, Some(At::Body))));
}

#[tokio::test]
async fn a_refusal_of_a_stream_is_a_whole_answer() {
    let server = Server::answering("HTTP/1.1 404 No\r\ncontent-length: 4\r\n\r\nno\r\n").await;
    let call = Call { stream: true, ..get("/", PATIENCE) };
    let (answer, lines) = client(&server).call(&call).await;
    assert_eq!((answer.outcome, text(&answer)), (Outcome::NotFound, Some("no\r\n")));
    assert!(lines.is_none());
}

#[tokio::test]
async fn a_request_is_open_until_its_stream_is_dropped_and_the_server_learns_of_it() {
    let (told, mut tell) = mpsc::unbounded_channel();
    let server = Server::start(move |mut connection| {
        let told = told.clone();
        async move {
            connection.request().await;
            connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            connection.closed().await;
            let _ = told.send(());
        }
    })
    .await;
    let client = client(&server);
    let call = Call { stream: true, ..get("/", PATIENCE) };
    let (_, lines) = client.call(&call).await;
    assert_eq!(client.open_requests(), 1);
    drop(lines);
    assert_eq!(client.open_requests(), 0);
    timeout(PATIENCE, tell.recv()).await.expect("the connection is closed");
}
