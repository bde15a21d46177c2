//! Scripted sessions against real sockets: what they are told, what is recorded, and each limit.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use ai_monitor_plugin_api::{
    Io, Stop,
    event::{At, Outcome, Role},
    report::RepairResult,
    table::AimPlugin,
};
use serde_json::json;
use tokio::time::timeout;
use url::Url;

use super::*;
use crate::probe::{
    http::Driver,
    testing::{Connection, PATIENCE, Server},
};

/// A session that wants these effects, one after the other, whatever it is told. The last one again and again.
struct Script {
    effects: Vec<Result<Wanted, StepError>>,
    /// So long it thinks about each.
    thinks: Duration,
    seen: Arc<Mutex<Vec<Event>>>,
}

impl Steps for Script {
    async fn step(&mut self, event: &Event) -> Result<Wanted, StepError> {
        tokio::time::sleep(self.thinks).await;
        let mut seen = self.seen.lock().unwrap();
        let next = self.effects[seen.len().min(self.effects.len() - 1)].clone();
        seen.push(event.clone());
        next
    }
}

fn effect(value: Value) -> Result<Wanted, StepError> {
    Wanted::read(value.to_string().as_bytes(), false).map_err(StepError::Protocol)
}

fn get(path: &str) -> Value {
    json!({"effect": "request", "method": "GET", "path": path, "timeout_ms": 10_000})
}

fn report() -> Value {
    json!({"effect": "report", "report": {}})
}

fn read() -> Value {
    json!({"effect": "read"})
}

struct Stage {
    client: TargetClient,
    deadline: Duration,
    late: Duration,
    thinks: Duration,
    of: Option<Depth>,
    answers: Option<Arc<LookAnswers>>,
}

impl Stage {
    fn at(address: SocketAddr) -> Stage {
        let url = Url::parse(&format!("http://{address}")).unwrap();
        let client = Driver::new().unwrap().target(&url, None);
        let (deadline, thinks) = (PATIENCE, Duration::ZERO);
        Stage { client, deadline, late: LATE, thinks, of: Some(Depth::Readiness), answers: None }
    }

    fn plan(&self) -> Plan {
        let kind = SessionKind::Probe { depth: Depth::Readiness, inference: None };
        Plan {
            start: start(kind, Timestamp::now(), self.deadline, Map::new(), None),
            of: self.of,
            deadline: self.deadline,
            late: self.late,
            grant: Grant::new(&["GET /*".into(), "POST /*".into(), "local GET /health".into()]),
            answers: self.answers.clone(),
        }
    }

    async fn play(&self, effects: impl IntoIterator<Item = Value>) -> (Run, Vec<Event>) {
        self.play_steps(effects.into_iter().map(effect).collect(), self.plan()).await
    }

    async fn play_steps(&self, effects: Vec<Result<Wanted, StepError>>, plan: Plan) -> (Run, Vec<Event>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script = Script { effects, thinks: self.thinks, seen: seen.clone() };
        let run =
            timeout(2 * PATIENCE, self.client.run(std::future::ready(Ok(script)), plan)).await.expect("a session ends");
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        (run, seen)
    }
}

fn outcomes(requests: &[RequestRecord]) -> Vec<Outcome> {
    requests.iter().map(|request| request.outcome).collect()
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_session_that_waits_for_its_process_is_cancelled_too() {
    let stage = Stage::at(([127, 0, 0, 1], 9).into());
    let never = std::future::pending::<Result<Script, StepError>>();
    let run = async { stage.client.run(never, stage.plan()).await };
    let (run, _) = timeout(PATIENCE, async { tokio::join!(run, async { stage.client.cancel_all() }) })
        .await
        .expect("it does not wait for what never comes");
    assert_eq!(run.ended, Err(SessionEnd::Cancelled));
}

#[tokio::test]
async fn a_session_is_told_what_its_requests_gave_and_ends_with_its_report() {
    let server = Server::answering(ok("{\"version\":\"1\"}")).await;
    let judged = json!({"effect": "report", "report": {"version": "1", "judged": [
        {"request": 1, "outcome": "malformed", "text": "not a list"}]}});
    let mut second = get("/api/tags");
    second["of"] = json!("liveness");
    let (run, seen) = Stage::at(server.address()).play([get("/api/version"), second, judged]).await;

    assert!(matches!(&seen[0], Event::Start(start) if start.deadline_ms == 10_000), "{seen:?}");
    let Event::Response(response) = &seen[1] else { panic!("{seen:?}") };
    assert_eq!((response.request, response.outcome, response.status), (0, Outcome::Ok, Some(200)));
    assert_eq!((response.body.as_deref(), response.utf8), (Some("{\"version\":\"1\"}"), Some(true)));
    assert!(matches!(&seen[2], Event::Response(response) if response.request == 1));

    let (end, report, requests) = run.into_probe();
    assert_eq!(end, SessionEnd::Report);
    assert_eq!(report.unwrap().version.as_deref(), Some("1"));
    assert_eq!(outcomes(&requests), [Outcome::Ok, Outcome::Malformed]);
    assert_eq!(requests[1].text.as_deref(), Some("not a list"));
    assert_eq!((requests[0].of, requests[1].of), (Some(Depth::Readiness), Some(Depth::Liveness)));
    assert_eq!((requests[0].path.as_str(), requests[0].bytes), ("/api/version", 15));
}

/// A server that gives one answer to all, and how many requests it got.
async fn counting(answer: String) -> (Server, Arc<AtomicU32>) {
    let count = Arc::new(AtomicU32::new(0));
    let counted = count.clone();
    let server = Server::start(move |mut connection| {
        let (answer, count) = (answer.clone(), counted.clone());
        async move {
            while connection.request().await.is_some() {
                count.fetch_add(1, Ordering::SeqCst);
                connection.send(answer.as_bytes()).await;
            }
        }
    })
    .await;
    (server, count)
}

#[tokio::test]
async fn the_depths_of_a_look_share_good_answers_and_no_bad_ones() {
    let (server, count) = counting(ok("{}")).await;
    let stage = Stage { answers: Some(Arc::default()), ..Stage::at(server.address()) };
    for _ in 0..2 {
        let (run, seen) = stage.play([get("/api/version"), get("/api/version?x"), report()]).await;
        assert_eq!(outcomes(&run.requests), [Outcome::Ok, Outcome::Ok]);
        let Event::Response(response) = &seen[2] else { panic!("{seen:?}") };
        assert_eq!((response.request, response.body.as_deref()), (1, Some("{}")));
    }
    assert_eq!(count.load(Ordering::SeqCst), 2, "each of the two questions once");
    Stage { answers: None, ..stage }.play([get("/api/version"), get("/api/version"), report()]).await;
    assert_eq!(count.load(Ordering::SeqCst), 4, "without a look to share, each is asked");

    let (failing, count) = counting("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".into()).await;
    let stage = Stage { answers: Some(Arc::default()), ..Stage::at(failing.address()) };
    stage.play([get("/api/version"), get("/api/version"), report()]).await;
    assert_eq!(count.load(Ordering::SeqCst), 2, "a failure is asked about again");
}

#[tokio::test]
async fn what_the_depths_of_a_look_share_is_bounded_in_bytes() {
    let look = || Some(Arc::<LookAnswers>::default());
    let (server, count) = counting(ok(&"x".repeat(100 * 1024))).await;
    let stage = Stage { answers: look(), ..Stage::at(server.address()) };
    stage.play([get("/long"), get("/long"), report()]).await;
    assert_eq!(count.load(Ordering::SeqCst), 2, "what is that long is not kept");

    let (server, count) = counting(ok(&"x".repeat(60 * 1024))).await;
    let stage = Stage { answers: look(), ..Stage::at(server.address()) };
    let paths: Vec<String> = (0..20).map(|i| format!("/{i}")).collect();
    stage.play(paths.iter().map(|path| get(path)).chain([report()])).await;
    stage.play([get("/19"), report()]).await;
    assert_eq!(count.load(Ordering::SeqCst), 20, "the newest is kept");
    stage.play([get("/0"), report()]).await;
    assert_eq!(count.load(Ordering::SeqCst), 21, "the oldest made room");
}

#[test]
fn the_start_has_whole_seconds_and_the_effects_of_this_host() {
    let kind = SessionKind::Repair { repair: "unload".into(), args: Map::new() };
    let at = "2026-11-24T04:02:00.987Z".parse().unwrap();
    let start = start(kind, at, Duration::from_secs(30), Map::new(), Some("vllm".into()));
    let written = serde_json::to_string(&Event::Start(start)).unwrap();
    assert!(written.starts_with(r#"{"event":"start","#), "{written}");
    let written: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(written["now"], "2026-11-24T04:02:00Z");
    assert_eq!(written["effects"], json!(["request", "read", "wait", "report"]));
    assert_eq!(
        (&written["session"], &written["deadline_ms"], &written["variant"]),
        (&json!("repair"), &json!(30_000), &json!("vllm"))
    );
}

fn processes(address: SocketAddr) -> (Vec<Process>, BTreeMap<String, SocketAddr>) {
    let name = format!("1/{}", address.port());
    let process = Process {
        id: "1".into(),
        parent: None,
        role: Role::Engine,
        exe: "llama-server".into(),
        args: vec![],
        addresses: vec![name.clone()],
    };
    (vec![process], BTreeMap::from([(name, address), ("9/9".into(), address)]))
}

#[tokio::test]
async fn processes_and_their_addresses_are_for_plugins_that_declare_the_need() {
    let target = Server::silent().await;
    let engine = Server::answering(ok("{}")).await;
    let stage = Stage::at(target.address());
    let (processes, addresses) = processes(engine.address());
    let ask = |to: &str| {
        vec![
            effect(json!({"effect": "request", "method": "GET", "path": "/health", "to": to, "timeout_ms": 9_000})),
            effect(report()),
        ]
    };
    let name = format!("1/{}", engine.port());

    let plan = stage.plan().with_processes(&["processes".into()], Some(processes.clone()), &addresses);
    let (run, seen) = stage.play_steps(ask(&name), plan).await;
    assert!(matches!(&seen[0], Event::Start(start) if start.processes.as_ref() == Some(&processes)));
    assert_eq!(outcomes(&run.requests), [Outcome::Ok]);
    assert_eq!(run.requests[0].to, name);

    let plan = stage.plan().with_processes(&["processes".into()], Some(processes.clone()), &addresses);
    let (run, _) = stage.play_steps(ask("9/9"), plan).await;
    assert!(matches!(run.ended, Err(SessionEnd::ProtocolError(_))), "no process has that address: {:?}", run.ended);

    let plan = stage.plan().with_processes(&[], Some(processes), &addresses);
    let (run, seen) = stage.play_steps(ask(&name), plan).await;
    assert!(matches!(&seen[0], Event::Start(start) if start.processes.is_none()));
    assert!(matches!(run.ended, Err(SessionEnd::ProtocolError(_))), "{:?}", run.ended);
    assert_eq!((engine.connections(), target.connections()), (1, 0));
}

#[tokio::test]
async fn a_request_that_is_not_granted_ends_the_session_and_touches_nothing() {
    let server = Server::answering(ok("")).await;
    let mut plan = Stage::at(server.address()).plan();
    plan.grant = Grant::new(&["GET /api/ps".into()]);
    let (run, _) = Stage::at(server.address()).play_steps(vec![effect(get("/api/delete"))], plan).await;
    let expected = "GET /api/delete is not among the routes that the manifest asks for here (GET /api/ps)";
    assert_eq!(run.ended, Err(SessionEnd::ProtocolError(expected.into())));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_failed_request_is_an_event_and_the_session_goes_on() {
    let address = Server::silent().await.stop().await;
    let (run, seen) = Stage::at(address).play([get("/"), report()]).await;
    assert!(run.ended.is_ok());
    let Event::Response(response) = &seen[1] else { panic!("{seen:?}") };
    assert_eq!((response.outcome, response.at, response.status), (Outcome::Refused, Some(At::Connect), None));
    assert!(response.body.is_none() && response.text.is_some());
}

#[tokio::test]
async fn at_the_deadline_the_request_times_out_and_further_ones_are_not_done() {
    let server = Server::silent().await;
    let stage = Stage { deadline: Duration::from_millis(150), ..Stage::at(server.address()) };
    let (run, seen) = stage.play([get("/"), get("/"), get("/"), report()]).await;
    assert!(run.ended.is_ok());
    assert_eq!(outcomes(&run.requests), [Outcome::Timeout, Outcome::Deadline, Outcome::Deadline]);
    assert!(matches!(&seen[2], Event::Response(response) if response.outcome == Outcome::Deadline));
    assert_eq!(server.connections(), 1);

    let (run, seen) = stage.play([get("/")]).await;
    assert!(matches!(run.ended, Err(SessionEnd::Overrun(_))), "{:?}", run.ended);
    assert_eq!(seen.len(), 1 + 1 + 8, "start, the timeout, and eight answers");
}

#[tokio::test]
async fn a_wait_is_cut_short_by_the_deadline() {
    let server = Server::silent().await;
    let stage = Stage { deadline: Duration::from_millis(50), ..Stage::at(server.address()) };
    let (run, seen) = stage.play([json!({"effect": "wait", "ms": 3_600_000}), report()]).await;
    assert!(run.ended.is_ok());
    // The deadline counts from the session's start: the wait itself may be shorter than it.
    assert!(matches!(&seen[1], Event::Waited(waited) if waited.ms < 60_000), "{seen:?}");
}

#[tokio::test]
async fn requests_and_waits_are_counted() {
    let address = Server::silent().await.stop().await;
    let stage = Stage::at(address);
    let (run, _) = stage.play([get("/")]).await;
    assert_eq!(run.ended, Err(SessionEnd::ProtocolError("over a limit: more than 64 requests".into())));
    assert_eq!(run.requests.len(), 64);

    let (run, _) = stage.play([json!({"effect": "wait", "ms": 9})]).await;
    assert!(matches!(run.ended, Err(SessionEnd::ProtocolError(_))), "{:?}", run.ended);

    let stage = Stage { deadline: Duration::ZERO, ..stage };
    let (run, seen) = stage.play([json!({"effect": "wait", "ms": 10})]).await;
    assert_eq!(run.ended, Err(SessionEnd::ProtocolError("over a limit: more than 256 waits".into())));
    assert_eq!(seen.len(), 257);
}

/// Waits and lines are many, and each may cost a plugin a second.
#[tokio::test]
async fn whatever_a_session_wants_long_after_its_deadline_it_is_stopped() {
    let server = Server::answering(ok(&"x\n".repeat(9_000))).await;
    let mut stage = Stage {
        deadline: Duration::from_secs(2),
        late: Duration::from_millis(50),
        thinks: Duration::from_millis(5),
        ..Stage::at(server.address())
    };
    let stopped = Err(SessionEnd::Overrun("still at work 0.05 s after its deadline".into()));
    let mut stream = get("/");
    stream["stream"] = json!(true);
    let (run, seen) = stage.play([stream, read()]).await;
    assert_eq!(run.ended, stopped);
    assert!(matches!(seen.last(), Some(Event::Line(_))), "what lay ready was read until then");
    stage.deadline = Duration::ZERO;
    let (run, seen) = stage.play([json!({"effect": "wait", "ms": 10})]).await;
    assert_eq!(run.ended, stopped);
    assert!(matches!(seen.last(), Some(Event::Waited(_))), "it waited until then: {seen:?}");
    stage.late = Duration::ZERO;
    let (run, _) = stage.play([report()]).await;
    assert!(run.ended.is_ok(), "a report is taken: {:?}", run.ended);
}

#[tokio::test]
async fn a_stream_is_read_step_by_step() {
    let server = Server::answering(ok("one\ntwo\n")).await;
    let mut stream = get("/");
    stream["stream"] = json!(true);
    let (run, seen) = Stage::at(server.address()).play([stream.clone(), read(), read(), read(), report()]).await;
    assert!(run.ended.is_ok());
    assert!(matches!(&seen[1], Event::Response(response) if response.body.is_none() && response.status == Some(200)));
    assert!(matches!(&seen[2], Event::Line(line) if line.line == "one"));
    assert!(matches!(&seen[3], Event::Line(line) if line.line == "two"));
    assert!(matches!(&seen[4], Event::End(end) if end.outcome == Outcome::Ok && end.at.is_none()));
    assert_eq!((run.requests[0].outcome, run.requests[0].bytes), (Outcome::Ok, 8));

    let (run, _) = Stage::at(server.address()).play([stream, report()]).await;
    assert!(run.ended.is_ok(), "an unread stream is closed by any other effect");
    let (run, _) = Stage::at(server.address()).play([read()]).await;
    assert!(matches!(run.ended, Err(SessionEnd::ProtocolError(_))), "{:?}", run.ended);
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_recorded_so() {
    let server = Server::closing_after("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\none\n").await;
    let mut stream = get("/");
    stream["stream"] = json!(true);
    let (run, seen) = Stage::at(server.address()).play([stream, read(), read(), report()]).await;
    assert!(matches!(&seen[3], Event::End(end) if end.outcome == Outcome::Reset && end.at == Some(At::Body)));
    assert_eq!((run.requests[0].outcome, run.requests[0].at), (Outcome::Reset, Some(At::Body)));
    assert_eq!(run.requests[0].status, Some(200));
}

#[tokio::test]
async fn a_server_that_sends_too_many_lines_is_not_the_plugins_fault() {
    let server = Server::answering(ok(&"x\n".repeat(10_001))).await;
    let mut stream = get("/");
    stream["stream"] = json!(true);
    let mut effects = vec![stream];
    effects.resize(10_002, read());
    effects.push(report());
    let (run, seen) = Stage::at(server.address()).play(effects).await;
    assert!(run.ended.is_ok(), "{:?}", run.ended);
    assert!(matches!(seen.last(), Some(Event::End(end)) if end.outcome == Outcome::TooLarge));
    assert_eq!(run.requests[0].outcome, Outcome::TooLarge);
}

#[tokio::test]
async fn a_session_that_gives_up_is_told_apart_from_one_out_of_protocol() {
    let stage = Stage::at("127.0.0.1:1".parse().unwrap());
    for (error, end) in [
        (StepError::Plugin("no".into()), SessionEnd::PluginError("no".into())),
        (StepError::Panic("index".into()), SessionEnd::PluginError("panicked: index".into())),
        (StepError::Protocol("no JSON".into()), SessionEnd::ProtocolError("no JSON".into())),
        (StepError::Crashed("SIGSEGV".into()), SessionEnd::Crashed("SIGSEGV".into())),
        (StepError::Overrun("a step".into()), SessionEnd::Overrun("a step".into())),
    ] {
        let (run, _) = stage.play_steps(vec![Err(error)], stage.plan()).await;
        assert_eq!(run.ended, Err(end));
    }
    let (run, _) = stage.play([json!({"effect": "report", "report": {"models": 1}})]).await;
    assert!(matches!(run.into_probe().0, SessionEnd::ProtocolError(_)));
}

#[tokio::test]
async fn a_repair_gives_its_result() {
    let server = Server::answering(ok("{}")).await;
    let stage = Stage { of: None, ..Stage::at(server.address()) };
    let done = json!({"effect": "report", "report": {"result": "done", "expect": [{"process": "1", "gone": true}]}});
    let post = json!({"effect": "request", "method": "POST", "path": "/api/generate", "timeout_ms": 9_000,
        "body": "{}", "of": "liveness", "note": "unload tiny"});
    let done = Wanted::read(done.to_string().as_bytes(), true).map_err(StepError::Protocol);
    let (run, _) = stage.play_steps(vec![effect(post), done], stage.plan()).await;
    let (end, report, requests, reached) = run.into_repair();
    assert_eq!(end, SessionEnd::Report);
    assert_eq!(report.map(|report| report.result), Some(Some(RepairResult::Done)));
    assert_eq!(requests[0].of, None, "a repair's requests are no evidence");
    assert_eq!(reached.as_deref(), Some("POST /api/generate (unload tiny)"));
}

#[tokio::test]
async fn all_sessions_of_a_target_can_be_cancelled_at_once() {
    let (told, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |mut connection: Connection| {
        let told = told.clone();
        async move {
            connection.request().await;
            let _ = told.send(());
            connection.closed().await;
            let _ = told.send(());
        }
    })
    .await;
    let stage = Stage::at(server.address());
    let sessions = async { tokio::join!(stage.play([get("/a")]), stage.play([get("/b")])) };
    let cancel = async {
        asked.recv().await;
        asked.recv().await;
        assert_eq!(stage.client.open_requests(), 2);
        stage.client.cancel_all()
    };
    let (((a, _), (b, _)), open) = tokio::join!(sessions, cancel);
    assert_eq!(open, 2);
    assert_eq!((a.ended, b.ended), (Err(SessionEnd::Cancelled), Err(SessionEnd::Cancelled)));
    assert_eq!(a.reached.as_deref(), Some("GET /a"));
    assert_eq!(stage.client.open_requests(), 0);
    for _ in 0..2 {
        timeout(PATIENCE, asked.recv()).await.expect("the connections are closed");
    }
    let (run, _) = stage.play([report()]).await;
    assert!(run.ended.is_ok(), "a later session is not touched");
}

#[tokio::test]
async fn dropping_a_session_cancels_it() {
    let (told, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |mut connection: Connection| {
        let told = told.clone();
        async move {
            connection.request().await;
            let _ = told.send(());
            connection.closed().await;
            let _ = told.send(());
        }
    })
    .await;
    let stage = Stage::at(server.address());
    tokio::select! {
        _ = stage.play([get("/")]) => panic!("the server says nothing"),
        asked = asked.recv() => assert!(asked.is_some()),
    }
    assert_eq!(stage.client.open_requests(), 0);
    timeout(PATIENCE, asked.recv()).await.expect("the connection is closed");
}

/// A plugin behind its table.
struct Small;

impl ai_monitor_plugin_api::Plugin for Small {
    const MANIFEST: &'static str = r#"{"contract":"1.0","abi":1,"id":"small","version":"1.2","label":"Small",
        "probes":{"liveness":{"routes":["GET /version"],"deadline_ms":9000}},
        "repairs":{"unload":{"title":"Unload","routes":["POST /unload"],"deadline_ms":9000}}}"#;

    async fn probe(io: &mut Io, start: &Start) -> Result<(), Stop> {
        let answer = io.request(ai_monitor_plugin_api::effect::Request::get("/version", start.deadline_ms)).await?;
        io.report.version = answer.body;
        Ok(())
    }
}

static SMALL: AimPlugin = ai_monitor_plugin_api::export::table::<Small>();

fn ask(depth: Depth) -> ProbeAsk {
    ProbeAsk {
        depth,
        inference: None,
        deadline: Duration::from_secs(7_200),
        settings: Map::new(),
        variant: None,
        processes: None,
        addresses: BTreeMap::new(),
        answers: None,
    }
}

#[tokio::test]
async fn a_plugins_look_is_an_observation() {
    let server = Server::answering(ok("7")).await;
    let client = Stage::at(server.address()).client;
    let plugin = Plugin::from_table(&SMALL).unwrap();
    let before = Timestamp::now();
    let seen = client.probe(&plugin, ask(Depth::Liveness)).await;
    assert_eq!((seen.depth, &seen.end), (Depth::Liveness, &SessionEnd::Report));
    assert_eq!((seen.plugin.as_str(), seen.plugin_version.as_str()), ("small", "1.2"));
    assert_eq!(seen.report.as_ref().and_then(|report| report.version.as_deref()), Some("7"));
    assert_eq!(seen.requests[0].sentence(), format!("GET /version: ok (200), {} ms", seen.requests[0].ms));
    assert!(seen.at >= before && seen.took < PATIENCE);
    assert_eq!(client.pinned(), Some(server.address()));
}

#[tokio::test]
async fn what_the_manifest_does_not_have_is_not_done() {
    let server = Server::answering(ok("7")).await;
    let client = Stage::at(server.address()).client;
    let plugin = Plugin::from_table(&SMALL).unwrap();
    let seen = client.probe(&plugin, ask(Depth::Inference)).await;
    assert!(matches!(seen.end, SessionEnd::ProtocolError(_)) && seen.report.is_none());
    let ProbeAsk { deadline, settings, variant, processes, addresses, .. } = ask(Depth::Liveness);
    let ask = RepairAsk { repair: "pull".into(), args: Map::new(), deadline, settings, variant, processes, addresses };
    let run = client.repair(&plugin, ask.clone()).await;
    assert!(matches!(run.end, SessionEnd::ProtocolError(_)) && run.report.is_none());
    // Declared, but this plugin's code has no repairs: its own answer.
    let run = client.repair(&plugin, RepairAsk { repair: "unload".into(), ..ask }).await;
    assert_ne!(run.report.and_then(|report| report.result), Some(RepairResult::Done));
    assert_eq!(server.connections(), 0);
}
