//! Health with time in hand: each test is a short film of looks.

use std::time::Duration;

use ai_monitor_plugin_api::{
    event::{At, Depth, Outcome, Role},
    manifest::LostEngine,
    report::{Counter, Engine, Inference, InferenceResult, Model, ModelState, Phase, Report, Symptom},
};
use jiff::{SignedDuration, Timestamp};

use super::{
    fault::FaultClass,
    look::Look,
    machine::{Again, ExitSeen, Facts, Health, Verdict},
    observation::{Identity, Observation, RequestRecord, SessionEnd},
    signals::{Owner, PortHolder, ProcessId, RunState, Signals, TreeProcess},
    state::State,
};
use crate::time::Now;

const SERVER: ProcessId = ProcessId { pid: 100, start: 1 };
const RUNNER: ProcessId = ProcessId { pid: 101, start: 2 };

/// One target and its clock.
#[derive(Clone)]
struct Film {
    health: Health,
    ms: u64,
    slept: u64,
    tree: Option<Vec<TreeProcess>>,
    port: PortHolder,
    identity: Option<Identity>,
}

fn process(id: ProcessId, role: Role) -> TreeProcess {
    TreeProcess {
        id,
        parent: (role == Role::Engine).then_some(SERVER.pid),
        role,
        lost_engine: None,
        exe: if role == Role::Engine { "llama-server".into() } else { "ollama".into() },
        state: RunState::Sleeping,
        cpu: Some(Duration::ZERO),
        read_bytes: Some(0),
        memory_bytes: Some(1 << 20),
        addresses: Vec::new(),
        session_id: if role == Role::Engine { "1".into() } else { "0".into() },
    }
}

fn facts() -> Facts {
    Facts {
        backend: "ollama".into(),
        remote: false,
        has_command: true,
        autostart: true,
        rival: None,
        any_identity: false,
        lost_engine: Some(LostEngine::NextRequest),
        stall_after: Duration::from_secs(10),
        models: Vec::new(),
    }
}

fn film() -> Film {
    film_with(facts(), true)
}

fn film_with(facts: Facts, ever_ready: bool) -> Film {
    Film {
        health: Health::new(facts, ever_ready),
        ms: 0,
        slept: 0,
        tree: Some(vec![process(SERVER, Role::Main), process(RUNNER, Role::Engine)]),
        port: PortHolder::Target,
        identity: None,
    }
}

/// What one depth answers in a look.
fn said(depth: Depth, outcome: Outcome, at: Option<At>, report: Report) -> Observation {
    let status = match outcome {
        Outcome::Ok => Some(200),
        Outcome::Unauthorised => Some(401),
        Outcome::Failed => Some(500),
        Outcome::Overloaded => Some(503),
        _ => None,
    };
    Observation {
        depth,
        at: Timestamp::UNIX_EPOCH,
        took: Duration::ZERO,
        plugin: "ollama".into(),
        plugin_version: "1".into(),
        end: SessionEnd::Report,
        requests: vec![RequestRecord {
            of: Some(depth),
            to: "target".into(),
            method: "GET".into(),
            path: "/x".into(),
            status,
            outcome,
            at,
            ms: 1,
            bytes: 0,
            text: None,
        }],
        report: Some(report),
    }
}

fn ok(depth: Depth) -> Observation {
    said(depth, Outcome::Ok, None, Report::default())
}

fn bad(depth: Depth, outcome: Outcome) -> Observation {
    said(depth, outcome, None, Report::default())
}

fn silent(depth: Depth) -> Observation {
    said(depth, Outcome::Timeout, Some(At::Headers), Report::default())
}

fn working(running: u64, decoded: u64) -> Observation {
    let engine = Engine {
        id: "llama-server/1".into(),
        process: Some("1".into()),
        model: Some("tiny".into()),
        running: Some(running),
        queued: Some(0),
        capacity: Some(1),
        phase: None,
        counters: Some(vec![Counter { id: "slot0/1/decode".into(), kind: "decode".into(), value: decoded }]),
    };
    said(Depth::Progress, Outcome::Ok, None, Report { engines: Some(vec![engine]), ..Report::default() })
}

fn token(result: InferenceResult) -> Observation {
    let outcome = match result {
        InferenceResult::Timeout => Outcome::Timeout,
        InferenceResult::Failed => Outcome::Failed,
        _ => Outcome::Ok,
    };
    let inference = Inference {
        model: None,
        result: Some(result),
        text: None,
        tokens: None,
        first_token_ms: None,
        decode_tps: None,
        finish: None,
    };
    said(Depth::Inference, outcome, Some(At::Headers), Report { inference: Some(inference), ..Report::default() })
}

impl Film {
    /// Lets time go by and looks.
    fn look(&mut self, after_ms: u64, observations: Vec<Observation>) -> Verdict {
        self.ms += after_ms;
        let wall = Timestamp::UNIX_EPOCH
            + SignedDuration::from_millis(i64::try_from(self.ms + self.slept).expect("a film is short"));
        let look = Look {
            now: Now { mono: Duration::from_millis(self.ms), wall },
            observations,
            signals: Signals {
                tree: self.tree.clone(),
                port: self.port.clone(),
                identity: self.identity.take(),
                own_requests: 0,
                owner: Owner::Command,
            },
        };
        self.health.look(&look)
    }

    fn well(&mut self) -> Verdict {
        self.look(1000, vec![ok(Depth::Liveness), ok(Depth::Readiness), working(0, 0)])
    }

    fn runner(&mut self) -> &mut TreeProcess {
        self.tree.as_mut().and_then(|t| t.get_mut(1)).expect("the film has a runner")
    }

    fn server(&mut self) -> &mut TreeProcess {
        self.tree.as_mut().and_then(|t| t.get_mut(0)).expect("the film has a server")
    }

    fn burn(&mut self, ms: u64) {
        let cpu = self.runner().cpu.unwrap_or_default();
        self.runner().cpu = Some(cpu + Duration::from_millis(ms));
    }
}

fn class(verdict: &Verdict) -> Option<FaultClass> {
    verdict.fault.as_ref().map(|f| f.class)
}

#[test]
fn a_first_failure_is_looked_at_again_at_once_and_then_confirmed() {
    let mut film = film();
    assert_eq!(film.well().state, State::Online);
    let first = film.look(1000, vec![bad(Depth::Liveness, Outcome::Failed)]);
    assert_eq!((first.state, class(&first), first.suspect), (State::Checking, None, Some(FaultClass::Erring)));
    assert!(matches!(first.again, Again::After(wait) if wait <= Duration::from_secs(1)));
    let second = film.look(300, vec![bad(Depth::Liveness, Outcome::Failed)]);
    assert_eq!((second.state, class(&second)), (State::Offline, Some(FaultClass::Erring)));
}

#[test]
fn one_error_between_good_looks_is_no_fault() {
    let mut film = film();
    film.well();
    for _ in 0..5 {
        assert_eq!(class(&film.look(1000, vec![bad(Depth::Liveness, Outcome::Reset)])), None);
        assert!(film.well().is_sound());
    }
}

#[test]
fn an_exit_is_confirmed_by_one_look() {
    let mut film = film();
    film.well();
    let now = Now { mono: Duration::from_millis(film.ms), wall: Timestamp::UNIX_EPOCH };
    film.health.exited(ExitSeen { process: SERVER, code: None, signal: Some(9), uptime: None }, now);
    film.tree = Some(Vec::new());
    film.port = PortHolder::Nobody;
    let verdict = film.look(1, vec![bad(Depth::Liveness, Outcome::Refused)]);
    let fault = verdict.fault.expect("dead is confirmed");
    assert_eq!(fault.class, FaultClass::Dead);
    assert_eq!(fault.evidence.lines[0].text, "100 was ended by SIGKILL, cause not proven");
    assert_eq!(fault.evidence.facts["signal"], 9);
}

/// vllm#48966: the server exits with 0. Any unexpected exit counts.
#[test]
fn an_exit_with_code_zero_is_dead_all_the_same() {
    let mut film = film();
    film.well();
    let now = Now { mono: Duration::from_millis(film.ms), wall: Timestamp::UNIX_EPOCH };
    film.health.exited(ExitSeen { process: SERVER, code: Some(0), signal: None, uptime: None }, now);
    film.tree = Some(Vec::new());
    film.port = PortHolder::Nobody;
    assert_eq!(class(&film.look(1, vec![bad(Depth::Liveness, Outcome::Refused)])), Some(FaultClass::Dead));
}

/// llama-server at SIGTERM with a request in flight: its port is closed at once, and it works on for a minute.
#[test]
fn a_server_that_closed_its_port_is_dead_only_when_it_stands_still() {
    let mut film = film();
    film.well();
    film.port = PortHolder::Nobody;
    for _ in 0..4 {
        film.burn(500);
        let verdict = film.look(1000, vec![bad(Depth::Liveness, Outcome::Refused)]);
        assert_eq!((class(&verdict), verdict.state), (None, State::Busy), "{verdict:?}");
    }
    assert_eq!(class(&film.look(1000, vec![bad(Depth::Liveness, Outcome::Refused)])), None);
    assert_eq!(class(&film.look(1000, vec![bad(Depth::Liveness, Outcome::Refused)])), Some(FaultClass::Dead));
}

/// faults.md, rule 5: a command in the file asks for a running server.
#[test]
fn a_target_with_a_command_and_no_process_is_dead_from_the_first_confirmed_look() {
    let mut film = film_with(facts(), false);
    film.tree = Some(Vec::new());
    film.port = PortHolder::Nobody;
    assert_eq!(class(&film.look(0, vec![bad(Depth::Liveness, Outcome::Refused)])), None);
    assert_eq!(class(&film.look(300, vec![bad(Depth::Liveness, Outcome::Refused)])), Some(FaultClass::Dead));
}

#[test]
fn without_a_command_and_never_seen_ready_it_is_not_running() {
    for facts in [Facts { has_command: false, ..facts() }, Facts { autostart: false, ..facts() }] {
        let mut film = film_with(facts, false);
        film.tree = Some(Vec::new());
        film.port = PortHolder::Nobody;
        for _ in 0..3 {
            let verdict = film.look(300, vec![bad(Depth::Liveness, Outcome::Refused)]);
            assert_eq!((class(&verdict), verdict.state), (None, State::Offline));
        }
    }
}

#[test]
fn who_else_is_set_to_start_it_is_waited_for_until_nobody_is() {
    let mut film = film_with(facts(), false);
    film.tree = Some(Vec::new());
    film.port = PortHolder::Nobody;
    film.health.set_rival(Some("x.service".into()));
    for _ in 0..3 {
        let verdict = film.look(300, vec![bad(Depth::Liveness, Outcome::Refused)]);
        assert_eq!((class(&verdict), verdict.state), (None, State::Offline));
        assert!(verdict.why.contains("x.service"), "{}", verdict.why);
    }
    film.health.set_rival(None);
    film.look(300, vec![bad(Depth::Liveness, Outcome::Refused)]);
    assert_eq!(class(&film.look(300, vec![bad(Depth::Liveness, Outcome::Refused)])), Some(FaultClass::Dead));
}

#[test]
fn a_living_process_before_its_first_ready_is_loading_never_dead() {
    let mut film = film_with(facts(), true);
    film.port = PortHolder::Nobody;
    for _ in 0..5 {
        let verdict = film.look(1000, vec![bad(Depth::Liveness, Outcome::Refused)]);
        assert_eq!((class(&verdict), verdict.state), (None, State::Loading));
    }
}

#[test]
fn a_silent_server_that_works_is_busy() {
    let mut film = film();
    film.well();
    for _ in 0..4 {
        film.burn(3000);
        let verdict = film.look(5000, vec![silent(Depth::Liveness)]);
        assert_eq!((class(&verdict), verdict.state), (None, State::Busy), "{verdict:?}");
    }
}

#[test]
fn a_silent_server_that_stands_still_is_unresponsive_at_the_second_look() {
    let mut film = film();
    film.well();
    assert_eq!(class(&film.look(5000, vec![silent(Depth::Liveness)])), None);
    let verdict = film.look(5300, vec![silent(Depth::Liveness)]);
    assert_eq!(class(&verdict), Some(FaultClass::Unresponsive));
}

/// measured: `/health` still answered 0.3 ms after SIGSTOP.
#[test]
fn a_stopped_process_is_unresponsive_though_its_last_answer_was_good() {
    let mut film = film();
    film.well();
    film.server().state = RunState::Stopped;
    let first = film.look(100, vec![ok(Depth::Liveness), ok(Depth::Readiness), working(0, 0)]);
    assert_eq!(class(&first), None);
    let second = film.look(300, vec![silent(Depth::Liveness)]);
    assert_eq!(class(&second), Some(FaultClass::Unresponsive));
}

#[test]
fn a_traced_process_is_left_to_who_debugs_it() {
    let mut film = film();
    film.well();
    film.server().state = RunState::Traced;
    for _ in 0..3 {
        assert_eq!(class(&film.look(5000, vec![silent(Depth::Liveness)])), None);
    }
}

#[test]
fn without_known_processes_silence_is_offline_and_no_fault() {
    let mut film = film_with(Facts { remote: true, ..facts() }, true);
    film.tree = None;
    film.port = PortHolder::Unknown;
    for _ in 0..4 {
        let verdict = film.look(5000, vec![silent(Depth::Liveness)]);
        assert_eq!((class(&verdict), verdict.state), (None, State::Offline));
    }
}

/// ollama#10119: the front answers in µs, no token comes.
#[test]
fn a_stopped_engine_under_a_front_that_answers_is_stalled() {
    let mut film = film();
    film.look(1000, vec![ok(Depth::Liveness), ok(Depth::Readiness), working(1, 5)]);
    film.runner().state = RunState::Stopped;
    let round = || vec![ok(Depth::Liveness), ok(Depth::Readiness), silent(Depth::Progress)];
    assert_eq!(class(&film.look(1000, round())), None);
    let verdict = film.look(300, round());
    let fault = verdict.fault.expect("stalled is confirmed");
    assert_eq!(fault.class, FaultClass::Stalled);
    assert_eq!(fault.evidence.facts["in_flight"], 1);
}

/// Measured: during 14 s of prompt processing every counter stood still; only `cpu` moved.
#[test]
fn prompt_processing_with_still_counters_is_busy() {
    let mut film = film();
    film.look(1000, vec![ok(Depth::Liveness), ok(Depth::Readiness), working(1, 0)]);
    for _ in 0..10 {
        film.burn(1900);
        let verdict = film.look(2000, vec![ok(Depth::Liveness), ok(Depth::Readiness), working(1, 0)]);
        assert_eq!((class(&verdict), verdict.suspect, verdict.state), (None, None, State::Busy), "{verdict:?}");
    }
}

/// A plugin's numbers may be anything: their sum neither ends the monitor's task nor comes to none.
#[test]
fn more_requests_than_can_be_counted_are_in_flight() {
    let most =
        |id: &str| Engine { id: id.into(), running: Some(u64::MAX), queued: Some(u64::MAX), ..Engine::default() };
    let mut film = film();
    film.look(1000, vec![ok(Depth::Liveness), ok(Depth::Readiness), working(1, 0)]);
    film.burn(1900);
    let report = Report { engines: Some(vec![most("a"), most("b")]), ..Report::default() };
    let progress = said(Depth::Progress, Outcome::Ok, None, report);
    let verdict = film.look(2000, vec![ok(Depth::Liveness), ok(Depth::Readiness), progress]);
    assert_eq!((class(&verdict), verdict.state), (None, State::Busy), "{verdict:?}");
}

#[test]
fn in_flight_and_flat_is_stalled_only_after_t() {
    let mut film = film();
    film.look(1000, vec![ok(Depth::Liveness), ok(Depth::Readiness), working(1, 7)]);
    let round = || vec![ok(Depth::Liveness), ok(Depth::Readiness), working(1, 7)];
    for _ in 0..4 {
        let verdict = film.look(2000, round());
        assert_eq!((class(&verdict), verdict.suspect), (None, Some(FaultClass::Stalled)));
    }
    assert_eq!(class(&film.look(2500, round())), Some(FaultClass::Stalled));
}

/// What idles stands still for hours, and rightly: only from its first request on it counts.
#[test]
fn idle_time_before_the_first_request_is_no_stall() {
    let mut film = film();
    assert!((0..20).all(|_| film.well().is_sound()));
    let asked = || vec![ok(Depth::Liveness), ok(Depth::Readiness), working(1, 0)];
    for after in [1000, 300, 300] {
        let verdict = film.look(after, asked());
        assert_eq!((class(&verdict), verdict.suspect, verdict.state), (None, None, State::Busy), "{verdict:?}");
    }
    // Still at it, T after it began: a stall, with the time that it had work.
    for _ in 0..3 {
        assert_eq!(class(&film.look(3000, asked())), None);
    }
    let fault = film.look(3000, asked()).fault.expect("a stall is found");
    assert_eq!((fault.class, &fault.evidence.facts["flat_for"]), (FaultClass::Stalled, &12.6.into()));
    assert_eq!(fault.evidence.lines[0].text, "1 in flight, flat for 12 s");
}

/// Over a long idle time before it, what a slow request does would be no share of a core at all.
#[test]
fn little_work_after_a_long_idle_time_is_work() {
    let mut film = film();
    assert!((0..20).all(|_| film.look(60_000, vec![ok(Depth::Liveness), working(0, 0)]).is_sound()));
    film.look(1000, vec![ok(Depth::Liveness), working(1, 0)]);
    for n in 0..80 {
        film.burn(10);
        let verdict = film.look(250, vec![ok(Depth::Liveness), working(1, 0)]);
        assert_eq!((class(&verdict), verdict.suspect), (None, None), "at look {n}: {}", verdict.why);
    }
}

#[test]
fn idle_time_before_requests_wait_is_no_lost_engine() {
    let mut film = film();
    assert!((0..20).all(|_| film.well().is_sound()));
    let waiting = || {
        let engine = Engine {
            id: "llama-server/1".into(),
            process: Some("1".into()),
            running: Some(0),
            queued: Some(3),
            ..Engine::default()
        };
        let report = Report { engines: Some(vec![engine]), ..Report::default() };
        vec![ok(Depth::Liveness), ok(Depth::Readiness), said(Depth::Progress, Outcome::Ok, None, report)]
    };
    for after in [1000, 300, 300] {
        let verdict = film.look(after, waiting());
        assert_eq!((class(&verdict), verdict.suspect), (None, None), "{verdict:?}");
    }
    film.look(10_000, waiting());
    assert_eq!(class(&film.look(300, waiting())), Some(FaultClass::FrontOnly));
}

#[test]
fn a_token_that_moves_ends_the_suspicion() {
    let mut film = film();
    film.look(1000, vec![ok(Depth::Liveness), ok(Depth::Readiness), working(1, 7)]);
    for _ in 0..4 {
        film.look(2000, vec![ok(Depth::Liveness), ok(Depth::Readiness), working(1, 7)]);
    }
    let verdict = film.look(2000, vec![ok(Depth::Liveness), ok(Depth::Readiness), working(1, 8)]);
    assert_eq!((class(&verdict), verdict.state), (None, State::Busy));
    let verdict = film.look(2000, vec![ok(Depth::Liveness), ok(Depth::Readiness), working(1, 8)]);
    assert_eq!(class(&verdict), None, "what stood still before it moved counts for nothing");
}

/// ollama#15950: the runner accepts, nothing is known to be in flight: only a token decides.
#[test]
fn a_silent_progress_route_with_nothing_known_in_flight_asks_for_a_token() {
    let mut film = film();
    film.well();
    let round = || vec![ok(Depth::Liveness), ok(Depth::Readiness), silent(Depth::Progress)];
    let mut asked = false;
    for _ in 0..8 {
        let verdict = film.look(2500, round());
        assert_eq!(class(&verdict), None);
        asked |= verdict.again == Again::Infer;
    }
    assert!(asked, "an inference probe was asked for");
    let mut last = round();
    last.push(token(InferenceResult::Timeout));
    assert_eq!(class(&film.look(2500, last)), Some(FaultClass::Stalled));
}

#[test]
fn a_token_that_comes_clears_a_silent_progress_route() {
    let mut film = film();
    film.well();
    for _ in 0..8 {
        film.look(2500, vec![ok(Depth::Liveness), ok(Depth::Readiness), silent(Depth::Progress)]);
    }
    let round =
        vec![ok(Depth::Liveness), ok(Depth::Readiness), silent(Depth::Progress), token(InferenceResult::Output)];
    let verdict = film.look(2500, round);
    assert_eq!((class(&verdict), verdict.state), (None, State::Online));
    assert!(verdict.why.starts_with("answers in part"), "{}", verdict.why);
}

#[test]
fn a_token_that_cannot_be_asked_for_proves_nothing() {
    let mut film = film();
    film.well();
    let round = || vec![ok(Depth::Liveness), ok(Depth::Readiness), silent(Depth::Progress)];
    for _ in 0..8 {
        film.look(2500, round());
    }
    let verdict = film.look(2500, [round(), vec![token(InferenceResult::Skipped)]].concat());
    assert_eq!((class(&verdict), verdict.state, verdict.again), (None, State::Online, Again::AtInterval));
}

#[test]
fn where_cpu_cannot_be_read_nothing_is_stalled() {
    let mut film = film();
    film.runner().cpu = None;
    for _ in 0..10 {
        let verdict = film.look(5000, vec![ok(Depth::Liveness), ok(Depth::Readiness), working(1, 7)]);
        assert_eq!(class(&verdict), None);
    }
}

/// ollama#4124: 503 server busy: the queue is full. Leave it alone.
#[test]
fn a_full_queue_is_busy() {
    let mut film = film();
    film.well();
    for _ in 0..3 {
        let verdict =
            film.look(1000, vec![ok(Depth::Liveness), ok(Depth::Readiness), bad(Depth::Progress, Outcome::Overloaded)]);
        assert_eq!((class(&verdict), verdict.state), (None, State::Busy));
    }
}

#[test]
fn a_refused_key_is_access_and_alive() {
    let mut film = film();
    film.look(0, vec![bad(Depth::Liveness, Outcome::Unauthorised)]);
    let verdict = film.look(300, vec![bad(Depth::Liveness, Outcome::Unauthorised)]);
    assert_eq!((class(&verdict), verdict.state), (Some(FaultClass::Access), State::KeyRefused));
    assert_eq!(verdict.state.v43(), "unknown");
}

#[test]
fn a_refused_key_on_the_progress_route_alone_is_no_fault() {
    let mut film = film();
    film.well();
    for _ in 0..3 {
        let round = vec![ok(Depth::Liveness), ok(Depth::Readiness), bad(Depth::Progress, Outcome::Unauthorised)];
        let verdict = film.look(1000, round);
        assert_eq!((class(&verdict), verdict.state), (None, State::Online));
    }
}

#[test]
fn another_backend_on_the_port_is_a_port_conflict_named() {
    let mut film = film();
    film.tree = Some(Vec::new());
    film.port = PortHolder::Other {
        id: ProcessId { pid: 7, start: 7 },
        name: "nginx".into(),
        supervisor: Some("nginx.service".into()),
        forwarder: false,
        ours: false,
    };
    film.look(0, vec![bad(Depth::Liveness, Outcome::NotFound)]);
    let verdict = film.look(300, vec![bad(Depth::Liveness, Outcome::NotFound)]);
    let fault = verdict.fault.expect("confirmed");
    assert_eq!(fault.class, FaultClass::PortConflict);
    assert_eq!(fault.evidence.facts["holder"], "nginx");
    assert_eq!(fault.evidence.facts["supervisor"], "nginx.service");
}

/// A vLLM is a `python3.11`: its file tells nothing, its answers do.
#[test]
fn a_program_of_any_name_that_speaks_openai_is_judged_by_what_it_answers() {
    let of = |outcome| {
        let facts = Facts { backend: "openai".into(), any_identity: true, has_command: false, ..facts() };
        let mut film = film_with(facts, false);
        film.tree = Some(Vec::new());
        film.port = PortHolder::Other {
            id: ProcessId { pid: 7, start: 7 },
            name: "python3.11".into(),
            supervisor: None,
            forwarder: false,
            ours: false,
        };
        film.look(0, vec![bad(Depth::Liveness, outcome)]);
        film.look(300, vec![bad(Depth::Liveness, outcome)])
    };
    assert_eq!(of(Outcome::Unauthorised).state, State::KeyRefused);
    assert_eq!(class(&of(Outcome::Failed)), Some(FaultClass::Erring));
    let silent = of(Outcome::Timeout);
    assert_eq!((class(&silent), silent.state), (None, State::Offline));
    assert!(silent.why.contains("held by python3.11 (7)"), "{}", silent.why);
}

#[test]
fn an_openai_target_is_never_another_s_by_identity() {
    let identity = Identity {
        backend: "localai".into(),
        confidence: ai_monitor_plugin_api::manifest::Confidence::Certain,
        variant: None,
    };
    let mut film = film_with(Facts { any_identity: true, ..facts() }, true);
    for _ in 0..2 {
        film.identity = Some(identity.clone());
        assert_eq!(class(&film.well()), None);
    }
    let mut film = self::film();
    film.identity = Some(identity.clone());
    film.well();
    film.identity = Some(identity);
    assert_eq!(class(&film.well()), Some(FaultClass::PortConflict));
}

#[test]
fn an_engine_gone_for_good_is_front_only() {
    let mut film = film_with(Facts { lost_engine: Some(LostEngine::Never), ..facts() }, true);
    film.well();
    film.tree = Some(vec![process(SERVER, Role::Main)]);
    let first = film.look(1000, vec![ok(Depth::Liveness), ok(Depth::Readiness)]);
    assert_eq!(first.suspect, Some(FaultClass::FrontOnly));
    assert_eq!(class(&film.look(300, vec![ok(Depth::Liveness), ok(Depth::Readiness)])), Some(FaultClass::FrontOnly));
}

/// vLLM with two GPUs, of a plugin whose other backends start their engines anew: each kind is judged by itself.
#[test]
fn one_lost_engine_of_a_kind_that_never_comes_back_is_enough() {
    let worker = |pid: u32, lost_engine| {
        let id = ProcessId { pid, start: 1 };
        TreeProcess { lost_engine, ..process(id, Role::Engine) }
    };
    let tree = |workers: &[(u32, Option<LostEngine>)]| {
        let workers = workers.iter().map(|(pid, lost_engine)| worker(*pid, *lost_engine));
        Some([process(SERVER, Role::Main)].into_iter().chain(workers).collect())
    };
    let round = || vec![ok(Depth::Liveness), ok(Depth::Readiness), working(0, 0)];
    let never = Some(LostEngine::Never);
    let mut film = film_with(Facts { lost_engine: Some(LostEngine::NextRequest), ..facts() }, true);
    film.tree = tree(&[(201, never), (202, never), (203, None)]);
    assert!(film.well().is_sound());
    // One that the next request brings back.
    film.tree = tree(&[(201, never), (202, never)]);
    assert!(film.look(1000, round()).is_sound());
    film.tree = tree(&[(201, never)]);
    assert_eq!(film.look(1000, round()).suspect, Some(FaultClass::FrontOnly));
    let mut confirmed = film.clone();
    assert_eq!(class(&confirmed.look(300, round())), Some(FaultClass::FrontOnly));
    // A token proves that it works, and a new engine that it came back after all.
    let mut works = film.clone();
    assert!(works.look(300, [round(), vec![token(InferenceResult::Output)]].concat()).is_sound());
    film.tree = tree(&[(201, never), (204, never)]);
    assert!(film.look(300, round()).is_sound());
}

/// Ollama starts a new runner at the next request: one lost engine is no fault; three in ten minutes are.
#[test]
fn a_lost_engine_of_ollama_is_no_fault_until_the_third() {
    let mut film = film();
    for n in 0..3_u32 {
        let id = ProcessId { pid: 200 + n, start: u64::from(n) };
        film.tree = Some(vec![process(SERVER, Role::Main), process(id, Role::Engine)]);
        assert!(film.well().is_sound());
        film.tree = Some(vec![process(SERVER, Role::Main)]);
        let verdict = film.look(1000, vec![ok(Depth::Liveness), ok(Depth::Readiness)]);
        assert_eq!(verdict.suspect.is_some(), n == 2, "after {} lost engines", n + 1);
    }
    let round = || vec![ok(Depth::Liveness), ok(Depth::Readiness)];
    let verdict = film.look(300, round());
    assert_eq!((class(&verdict), verdict.again), (None, Again::Infer), "only a token decides");
    let with_token = |result| [round(), vec![token(result)]].concat();
    assert_eq!(class(&film.clone().look(300, with_token(InferenceResult::Failed))), Some(FaultClass::FrontOnly));
    assert_eq!(class(&film.clone().look(300, with_token(InferenceResult::Skipped))), None);
    assert!(film.look(300, with_token(InferenceResult::Output)).is_sound());
}

/// A user who switches between models ends engines all day long: they go with their models.
#[test]
fn engines_that_go_with_their_models_are_no_sign() {
    let mut film = film();
    for n in 0..6_u32 {
        let id = ProcessId { pid: 200 + n, start: u64::from(n) };
        film.tree = Some(vec![process(SERVER, Role::Main), process(id, Role::Engine)]);
        assert!(film.well().is_sound());
        film.tree = Some(vec![process(SERVER, Role::Main)]);
        let unloaded = Report { models: Some(Vec::new()), ..Report::default() };
        let verdict = film.look(1000, vec![ok(Depth::Liveness), said(Depth::Readiness, Outcome::Ok, None, unloaded)]);
        assert!(verdict.is_sound(), "{verdict:?}");
    }
}

#[test]
fn the_backend_s_own_words_that_its_engine_died_are_front_only() {
    let mut film = film();
    film.well();
    let crashed = || {
        let symptom = Symptom {
            id: "model_crashed".into(),
            text: "llama runner process has terminated: CUDA error".into(),
            model: Some("tiny".into()),
            engine: None,
        };
        said(Depth::Readiness, Outcome::Ok, None, Report { symptoms: vec![symptom], ..Report::default() })
    };
    film.look(1000, vec![ok(Depth::Liveness), crashed()]);
    let verdict = film.look(300, vec![ok(Depth::Liveness), crashed()]);
    let fault = verdict.fault.expect("confirmed");
    assert_eq!((fault.class, fault.model.as_deref()), (FaultClass::FrontOnly, Some("tiny")));
    assert_eq!(fault.evidence.symptoms, ["model_crashed"]);
}

#[test]
fn a_sleeping_server_is_well_and_loading_is_a_state_of_its_own() {
    let mut film = film();
    let phase = |phase| said(Depth::Readiness, Outcome::Ok, None, Report { phase: Some(phase), ..Report::default() });
    let sleeping = film.look(0, vec![ok(Depth::Liveness), phase(Phase::Sleeping)]);
    assert_eq!((sleeping.state, sleeping.is_sound()), (State::Sleeping, true));
    let loading = film.look(1000, vec![ok(Depth::Liveness), phase(Phase::Loading)]);
    assert_eq!((loading.state, class(&loading)), (State::Loading, None));
    let unavailable =
        said(Depth::Liveness, Outcome::Unavailable, None, Report { phase: Some(Phase::Loading), ..Report::default() });
    let loading = film.look(1000, vec![unavailable]);
    assert_eq!((loading.state, class(&loading)), (State::Loading, None));
}

/// faults.md, rule 8.
#[test]
fn after_a_sleep_of_the_machine_all_timers_start_afresh() {
    let mut film = film();
    film.well();
    film.look(1000, vec![bad(Depth::Liveness, Outcome::Failed)]);
    film.slept = 3_600_000;
    let woke = film.look(300, vec![bad(Depth::Liveness, Outcome::Failed)]);
    assert_eq!(class(&woke), None);
    for _ in 0..20 {
        assert_eq!(class(&film.look(1000, vec![bad(Depth::Liveness, Outcome::Failed)])), None, "in the grace time");
    }
    film.look(60_000, vec![bad(Depth::Liveness, Outcome::Failed)]);
    assert_eq!(class(&film.look(300, vec![bad(Depth::Liveness, Outcome::Failed)])), Some(FaultClass::Erring));
}

#[test]
fn a_plugin_s_own_failure_is_never_evidence() {
    let mut film = film();
    film.well();
    for _ in 0..3 {
        let mut observation = bad(Depth::Liveness, Outcome::Refused);
        observation.end = SessionEnd::PluginError("boom".into());
        observation.report = None;
        let verdict = film.look(1000, vec![observation]);
        assert_eq!((class(&verdict), verdict.state), (None, State::Unknown));
    }
}

/// A look at a target that lacks a model which its configuration requires.
fn lacking_a_model() -> Vec<Observation> {
    let report = Report { models: Some(Vec::new()), ..Report::default() };
    vec![ok(Depth::Liveness), said(Depth::Readiness, Outcome::Ok, None, report)]
}

/// It serves all the rest: once it stops listening it is dead, not on its way to its first ready.
#[test]
fn a_server_that_only_lacks_a_model_was_ready() {
    let mut film = film_with(Facts { models: vec!["big".into()], ..facts() }, false);
    for _ in 0..2 {
        let verdict = film.look(1000, lacking_a_model());
        assert_eq!((verdict.serves(), verdict.is_sound()), (true, false), "{verdict:?}");
    }
    assert!(film.health.ever_ready());
    film.port = PortHolder::Nobody;
    film.look(1000, vec![bad(Depth::Liveness, Outcome::Refused)]);
    assert_eq!(class(&film.look(300, vec![bad(Depth::Liveness, Outcome::Refused)])), Some(FaultClass::Dead));
}

#[test]
fn what_loads_or_answers_nothing_has_no_list_yet() {
    let loading = |liveness: Outcome, phase| {
        let mut film = film_with(Facts { models: vec!["big".into()], ..facts() }, false);
        let report = Report { phase, models: Some(Vec::new()), ..Report::default() };
        film.look(1000, vec![said(Depth::Liveness, liveness, None, report)])
    };
    for verdict in [
        loading(Outcome::Ok, Some(Phase::Loading)),
        loading(Outcome::Ok, Some(Phase::Starting)),
        loading(Outcome::Refused, None),
    ] {
        assert_eq!((verdict.state, verdict.serves(), verdict.suspect), (State::Loading, false, None), "{verdict:?}");
    }
    assert!(loading(Outcome::Ok, None).serves());
}

#[test]
fn a_required_model_that_no_known_list_has_is_missing() {
    let required = |names: &[&str]| Facts { models: names.iter().map(|n| (*n).to_owned()).collect(), ..facts() };
    let listed = |film: &mut Film, models: Option<&[&str]>| {
        let model = |id: &&str| Model {
            id: (*id).to_owned(),
            aliases: vec![id.trim_end_matches(":latest").to_owned()],
            ..Model::default()
        };
        let models = models.map(|names| names.iter().map(model).collect());
        let report = Report { models, ..Report::default() };
        film.look(1000, vec![ok(Depth::Liveness), said(Depth::Readiness, Outcome::Ok, None, report)])
    };
    let mut film = film_with(required(&["tiny", "big"]), true);
    // Not known: nothing is said.
    assert!((0..3).all(|_| listed(&mut film, None).is_sound()));
    let have: &[&str] = &["tiny:latest", "other"];
    assert_eq!(listed(&mut film, Some(have)).suspect, Some(FaultClass::ModelMissing));
    let fault = listed(&mut film, Some(have)).fault.expect("the second look confirms it");
    assert_eq!((fault.class, fault.model.as_deref()), (FaultClass::ModelMissing, Some("big")));
    assert_eq!(fault.evidence.lines[0].text, "big is not among its 2 models");
    // It came, under its own name.
    assert!(listed(&mut film, Some(&["tiny:latest", "big"])).is_sound());
}

/// The system counts in steps of 10 ms: one of them between two looks may be a probe's answer.
#[test]
fn one_tick_now_and_then_hides_no_stall() {
    let mut film = film();
    film.well();
    film.look(500, vec![ok(Depth::Liveness), working(1, 41)]);
    let looks = (0..40).map(|n| {
        film.burn(if n % 4 == 0 { 10 } else { 0 });
        film.look(350, vec![ok(Depth::Liveness), working(1, 41)])
    });
    assert_eq!(looks.fold(None, |_, verdict| class(&verdict)), Some(FaultClass::Stalled));
}

/// 4 % of a core: from one look to the next that is one tick, and over many it is work.
#[test]
fn little_work_adds_up_over_many_looks() {
    let mut film = film();
    film.well();
    film.look(500, vec![ok(Depth::Liveness), working(1, 41)]);
    for n in 0..80 {
        film.burn(10);
        let verdict = film.look(250, vec![ok(Depth::Liveness), working(1, 41)]);
        assert_eq!((class(&verdict), verdict.suspect), (None, None), "at look {n}: {}", verdict.why);
    }
}

#[test]
fn a_strange_answer_of_its_own_process_is_erring_and_of_another_a_port_conflict() {
    let strange = |port: PortHolder| {
        let mut film = film();
        film.well();
        film.port = port;
        film.look(1000, vec![bad(Depth::Liveness, Outcome::Foreign)]);
        film.look(300, vec![bad(Depth::Liveness, Outcome::Foreign)]).fault.expect("confirmed")
    };
    assert_eq!(strange(PortHolder::Target).class, FaultClass::Erring);
    let unknown = strange(PortHolder::Unknown);
    assert_eq!((unknown.class, unknown.evidence.also), (FaultClass::PortConflict, Vec::new()));
}

#[test]
fn a_model_that_loads_keeps_its_server_busy() {
    let mut film = film();
    film.well();
    let loading = Model { id: "tiny".into(), state: Some(ModelState::Loading), ..Model::default() };
    let report = Report { models: Some(vec![loading]), ..Report::default() };
    let verdict = film.look(1000, vec![ok(Depth::Liveness), said(Depth::Readiness, Outcome::Ok, None, report)]);
    assert_eq!((verdict.state, &*verdict.why), (State::Busy, "tiny is being loaded"));
    // By its engine alone; that it does not answer yet is no failure.
    let engine = Engine { id: "llama-server/1".into(), phase: Some(Phase::Loading), ..Engine::default() };
    let report = Report { engines: Some(vec![engine]), ..Report::default() };
    let progress = said(Depth::Progress, Outcome::Unavailable, None, report);
    let verdict = film.look(1000, vec![ok(Depth::Liveness), ok(Depth::Readiness), progress]);
    assert_eq!((verdict.state, &*verdict.why), (State::Busy, "a model is being loaded"));
}

#[test]
fn how_many_models_are_loaded_is_said_only_where_it_is_told() {
    let why = |states: &[Option<ModelState>]| {
        let model = |state: &Option<ModelState>| Model { id: "m".into(), state: *state, ..Model::default() };
        let report = Report { models: Some(states.iter().map(model).collect()), ..Report::default() };
        film().look(1000, vec![ok(Depth::Liveness), said(Depth::Readiness, Outcome::Ok, None, report)]).why
    };
    assert_eq!(why(&[None, None]), "it answers");
    assert_eq!(why(&[Some(ModelState::Loaded), Some(ModelState::Unloaded)]), "it answers; 1 model loaded");
    assert_eq!(why(&[]), "it answers; 0 models loaded");
}
