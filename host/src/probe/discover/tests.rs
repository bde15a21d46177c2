//! Looks around among small servers, with processes and sockets made up where real ones cannot be had.

use ai_monitor_plugin_api::manifest::Confidence;
use tokio::net::TcpListener;

use super::*;
use crate::{
    health::signals::{ProcessId, RunState},
    probe::testing::{Connection, Server, manifest},
    process::Listener,
};

const OLLAMA: &str = "HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\nOllama is running";

fn ollama(ports: &[u16]) -> Manifest {
    let mut manifest = manifest("ollama", r#"[{"is":"likely","all":[{"get":"/","contains":"Ollama is running"}]}]"#);
    manifest.ports = ports.to_vec();
    manifest.process.main = vec!["ollama".into()];
    manifest.process.engines =
        vec![ai_monitor_plugin_api::manifest::EngineSpec { exe: vec!["llama-server".into()], ..Default::default() }];
    manifest
}

/// Numbers that no process has.
fn process(pid: u32, parent: u32, name: &str) -> Process {
    let pid = 4_000_000_000 + pid;
    Process {
        id: ProcessId { pid, start: u64::from(pid) },
        parent: Some(if parent == 0 { 1 } else { 4_000_000_000 + parent }),
        exe: Some(format!("/opt/{name}").into()),
        name: name.into(),
        comm: name.into(),
        title: name.into(),
        args: vec!["serve".into()],
        state: RunState::Sleeping,
        cpu: None,
        read_bytes: None,
        memory_bytes: None,
        user: None,
        session: None,
    }
}

fn held(address: SocketAddr, by: &Process) -> Listener {
    Listener { addr: address, v6_only: true, user: None, pids: vec![by.id.pid] }
}

async fn around(manifest: &Manifest, survey: &Survey, skip: &[SocketAddr]) -> Discovery {
    discover_by(&Driver::new().unwrap(), &[manifest], survey, skip).await
}

#[tokio::test]
async fn finds_what_answers_and_tells_where_it_looked() {
    let backend = Server::answering(OLLAMA).await;
    let stranger = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
    let closed = Server::answering("").await.stop().await;
    let own = Server::answering(OLLAMA).await;
    let manifest = ollama(&[backend.port(), stranger.port(), closed.port(), own.port(), 0]);
    let all = around(&manifest, &Survey::default(), &[own.address()]).await;

    let [found] = &all.found[..] else { panic!("{all:?}") };
    assert_eq!(found.address, backend.address());
    assert_eq!(found.url.as_str(), format!("http://{}/", backend.address()));
    assert_eq!(found.identity.as_ref().map(|who| who.backend.as_str()), Some("ollama"));
    let seen =
        |address: SocketAddr| all.looked.iter().find(|look| look.address == address).map(|look| look.seen.clone());
    assert_eq!(seen(backend.address()), Some(Seen::Backend));
    assert_eq!(seen(stranger.address()), Some(Seen::Stranger));
    assert_eq!(seen(closed), Some(Seen::Nobody));
    assert_eq!(seen(SocketAddr::from((Ipv6Addr::LOCALHOST, backend.port()))), Some(Seen::Nobody));
    assert_eq!(seen(own.address()), None);
    assert_eq!(own.connections(), 0, "our own port is not touched");
}

#[tokio::test]
async fn a_server_is_found_on_any_port_by_its_process_and_its_engine_is_not_asked() {
    let (server, engine) = (Server::answering(OLLAMA).await, Server::answering(OLLAMA).await);
    let (main, runner) = (process(1, 0, "ollama"), process(2, 1, "llama-server"));
    let listeners = vec![held(server.address(), &main), held(engine.address(), &runner)];
    let survey = Survey::of(vec![main.clone(), runner], listeners);
    // The engine's port is also one of the usual ones.
    let all = around(&ollama(&[engine.port()]), &survey, &[]).await;
    let [found] = &all.found[..] else { panic!("{all:?}") };
    assert_eq!(found.address, server.address());
    let holder = found.holder.as_ref().expect("its process is known");
    assert_eq!((holder.process.id, holder.forwards), (main.id, false));
    assert_eq!(holder.command(), Some(vec!["/opt/ollama".to_owned(), "serve".into()]));
    let seen = all.looked.iter().find(|looked| looked.address == engine.address()).map(|looked| &looked.seen);
    assert_eq!(seen, Some(&Seen::Engine(EngineOf { backend: "ollama".into(), server: Some(main.id) })));
    assert_eq!(engine.connections(), 0);
}

#[tokio::test]
async fn this_process_is_never_found() {
    let server = Server::answering(OLLAMA).await;
    let all = around(&ollama(&[server.port()]), &Survey::take(), &[]).await;
    assert_eq!((all.found.len(), server.connections()), (0, 0), "{all:?}");
}

#[tokio::test]
async fn localhost_that_is_two_servers_is_two_and_one_on_both_is_one() {
    let v4 = Server::answering(OLLAMA).await;
    let v6_address = SocketAddr::from((Ipv6Addr::LOCALHOST, v4.port()));
    let answer = |mut connection: Connection| async move {
        while connection.request().await.is_some() {
            connection.send(OLLAMA.as_bytes()).await;
        }
    };
    let Ok(listener) = TcpListener::bind(v6_address).await else {
        return crate::left_out("servers on two addresses: there is no ::1 here");
    };
    let _v6 = Server::on(listener, answer);
    let (one, other) = (process(1, 0, "ollama"), process(2, 0, "ollama"));
    let two = Survey::of(vec![one.clone(), other.clone()], vec![held(v4.address(), &one), held(v6_address, &other)]);
    let all = around(&ollama(&[v4.port()]), &two, &[]).await;
    let found: Vec<_> = all.found.iter().map(|f| (f.address, f.also.len(), f.is_one_of_two)).collect();
    assert_eq!(found, [(v4.address(), 0, true), (v6_address, 0, true)]);
    let first = all.found[0].name(|_| false);
    assert_eq!(all.found[1].name(|name| name == first), format!("ollama-{}", v4.port()));

    let on_both = Survey::of(vec![one.clone()], vec![held(v4.address(), &one), held(v6_address, &one)]);
    let again = around(&ollama(&[v4.port()]), &on_both, &[v4.address()]).await;
    assert!(again.looked.is_empty(), "it is known: {again:?}");
    let other_one = around(&ollama(&[v4.port()]), &two, &[v4.address()]).await;
    assert_eq!(other_one.found.len(), 1, "the other one is not: {other_one:?}");
    for survey in [on_both, Survey::default()] {
        let all = around(&ollama(&[v4.port()]), &survey, &[]).await;
        let found: Vec<_> = all.found.iter().map(|f| (f.address, f.also.clone(), f.is_one_of_two)).collect();
        assert_eq!(found, [(v4.address(), vec![v6_address], false)]);
    }
}

#[tokio::test]
async fn a_forwarder_is_said_to_be_one() {
    let server = Server::answering(OLLAMA).await;
    let ssh = process(1, 0, "ssh");
    let survey = Survey::of(vec![ssh.clone()], vec![held(server.address(), &ssh)]);
    let all = around(&ollama(&[server.port()]), &survey, &[]).await;
    assert!(all.found[0].holder.as_ref().is_some_and(|holder| holder.forwards), "{all:?}");
}

#[tokio::test]
async fn a_server_that_only_its_name_tells_is_said_to_be_there() {
    let server = Server::answering("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await;
    let main = process(1, 0, "ollama");
    let survey = Survey::of(vec![main.clone()], vec![held(server.address(), &main)]);
    let all = around(&ollama(&[]), &survey, &[]).await;
    let [looked] = &all.looked[..] else { panic!("{all:?}") };
    assert_eq!((&looked.seen, looked.named_by.as_deref()), (&Seen::Stranger, Some("ollama")));
    assert!(all.found.is_empty(), "a name alone is no proof");
}

#[tokio::test]
async fn a_server_that_answers_nothing_is_told_from_none() {
    let server = Server::closing_after("").await;
    let all = around(&ollama(&[server.port()]), &Survey::default(), &[]).await;
    assert_eq!(all.looked[0].seen, Seen::Silent);
    assert!(all.found.is_empty());
}

#[test]
fn names_are_each_ones_own() {
    let who = Identity { backend: "openai".into(), confidence: Confidence::Certain, variant: Some("llama.cpp".into()) };
    let found = Found {
        url: Url::parse("http://[::1]:80/").unwrap(),
        address: "[::1]:80".parse().unwrap(),
        also: vec![],
        identity: Some(who.clone()),
        candidates: vec![who],
        holder: None,
        is_one_of_two: false,
    };
    let mut taken: Vec<String> = Vec::new();
    for expected in ["llama.cpp", "llama.cpp-80", "llama.cpp-80-ipv6", "llama.cpp-80-2", "llama.cpp-80-3"] {
        let name = found.name(|name| taken.iter().any(|t| t == name));
        assert_eq!(name, expected);
        taken.push(name);
    }
}

#[test]
fn a_command_with_a_secret_in_it_is_not_repeated() {
    let mut process = process(1, 0, "llama-server");
    process.args = ["--api-key", "s3cret"].map(str::to_owned).to_vec();
    let holder = PortHolder { process, owner: Owner::Found, forwards: false, bound: None };
    assert_eq!(holder.command(), None);
}
