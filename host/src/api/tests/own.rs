//! What this project adds to v4.3's calls: the snapshot, the incidents, the events.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    fake::{AT, FakeMonitor, Server, plugins, usual},
    wire::call,
};
use crate::{
    health::fault::{Fault, FaultClass},
    journal::record::{Ended, IncidentId, Record},
    monitor::{
        handle::{Handle, Manage},
        view::Snapshot,
    },
    plugin::PluginsView,
};

#[tokio::test]
async fn targets_is_the_whole_snapshot() {
    let server = Server::start().await;
    let reply = call(&server, "GET", "/api/ai-monitor/targets", "").await.json();
    assert_eq!(reply["status"], "success");
    let read: Snapshot = serde_json::from_value(reply["data"].clone()).unwrap();
    assert_eq!(read.targets.len(), server.monitor.snapshot_now().targets.len());
    assert_eq!(reply["data"]["targets"][0]["state"], "online");
}

fn opened(class: FaultClass) -> Record {
    let evidence = json!({
        "since": AT, "failures": 2, "depth": "liveness", "lines": [{ "from": "liveness", "text": "refused" }],
    });
    Record::Opened {
        fault: Fault { class, model: None, evidence: serde_json::from_value(evidence).unwrap() },
        policy: "default".into(),
        sources: Vec::new(),
        settings: json!({}),
        incident: json!({}),
        boot: "boot".into(),
        debug: false,
        by_person: false,
    }
}

/// One healed incident of `ollama`, one open of `coder`.
fn two_incidents(server: &Server) -> (IncidentId, IncidentId) {
    let journal = server.monitor.journal();
    let at: Timestamp = AT.parse().unwrap();
    let healed = journal.open_incident("ollama", at, &opened(FaultClass::Stalled), &[]).unwrap();
    let ended = Record::Ended { ended: Ended::Healed, reason: "a token came".into(), by: Some("reload".into()) };
    journal.append(healed, at, &ended).unwrap();
    let open = journal.open_incident("coder", at, &opened(FaultClass::Dead), &[]).unwrap();
    (healed, open)
}

async fn ids(server: &Server, query: &str) -> Vec<i64> {
    let reply = call(server, "GET", &format!("/api/ai-monitor/incidents{query}"), "").await.json();
    assert_eq!(reply["status"], "success");
    reply["incidents"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn incidents_are_listed_newest_first() {
    let server = Server::start().await;
    assert_eq!(ids(&server, "").await, [0; 0]);
    let (healed, open) = two_incidents(&server);
    assert_eq!(ids(&server, "").await, [open, healed]);
    assert_eq!(ids(&server, "?limit=1").await, [open]);
    assert_eq!(ids(&server, "?target=ollama").await, [healed]);
    assert_eq!(ids(&server, "?target=nobody").await, [0; 0]);
}

#[tokio::test]
async fn an_incident_comes_with_its_story() {
    let server = Server::start().await;
    let (healed, _) = two_incidents(&server);
    let reply = call(&server, "GET", &format!("/api/ai-monitor/incidents/{healed}"), "").await.json();
    assert_eq!(reply["incident"]["target"], "ollama");
    assert_eq!((&reply["incident"]["class"], &reply["incident"]["by"]), (&json!("stalled"), &json!("reload")));
    let story = reply["story"].as_array().unwrap();
    assert_eq!(story[0]["kind"], "stalled");
    assert!(story.last().unwrap()["text"].as_str().unwrap().contains("reload"), "{reply}");
    assert_eq!(reply["text"], format!("the story of #{healed}"));
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

#[tokio::test]
async fn plugins_are_listed_and_a_person_looks_after_them() {
    let server = Server::of(FakeMonitor::new(Snapshot { plugins: plugins(), ..usual() })).await;
    let all = call(&server, "GET", "/api/ai-monitor/plugins", "").await.json();
    assert_eq!(serde_json::from_value::<PluginsView>(all["data"].clone()).unwrap(), plugins());
    let one = call(&server, "GET", "/api/ai-monitor/plugins/acme-probe", "").await.json();
    assert_eq!(one["plugin"]["state"], "quarantined");
    let unknown = call(&server, "GET", "/api/ai-monitor/plugins/nobody", "").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.json()["message"].as_str().unwrap().contains("acme-probe"), "{unknown:?}");

    let released = call(&server, "POST", "/api/ai-monitor/plugins/acme-probe/release", "").await.json();
    assert_eq!(
        (&released["message"], &released["plugin"]["state"]),
        (&json!("acme-probe is released"), &json!("ready"))
    );
    // What was shown is what is granted.
    let other = json!({"asks_for": {"liveness": {"routes": ["POST /y"]}}}).to_string();
    let misspelt = call(&server, "POST", "/api/ai-monitor/plugins/mine/consent", r#"{"ask_for": {}}"#).await;
    assert_eq!(misspelt.status, 400, "a key that is not known must not grant all");
    assert_eq!(call(&server, "POST", "/api/ai-monitor/plugins/mine/consent", &other).await.status, 400);
    let seen = json!({"asks_for": {"liveness": {"routes": ["POST /x"]}}}).to_string();
    assert_eq!(call(&server, "POST", "/api/ai-monitor/plugins/mine/consent", &seen).await.status, 200);
    for what in ["disable", "enable"] {
        assert_eq!(call(&server, "POST", &format!("/api/ai-monitor/plugins/mine/{what}"), "").await.status, 200);
    }
    assert_eq!(call(&server, "POST", "/api/ai-monitor/plugins/nobody/release", "").await.status, 404);
    let managed = server.monitor.managed.lock().unwrap().clone();
    let what: Vec<_> = managed.iter().map(|(id, what)| (id.as_str(), what)).collect();
    let [(_, Manage::Release), ("mine", Manage::Consent { seen: Some(_) }), (_, Manage::Disable), (_, Manage::Enable)] =
        what.as_slice()
    else {
        panic!("{what:?}");
    };
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
