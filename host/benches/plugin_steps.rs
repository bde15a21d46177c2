//! What a plugin costs: one step in process, one step in a child, and a library from its load to its first report.
//!
//! `cargo bench -p ai-monitor --bench plugin_steps`. The goals, on a machine that is idle: under 2.5 µs, under 25 µs,
//! under 20 ms. The machine's load is printed before and after, for the figures are of this machine at this time.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use ai_monitor::{
    health::observation::SessionEnd,
    plugin::{Isolation, Plugin, PluginSession, Registry, StepError, Wanted},
    probe::{http::Driver, session::ProbeAsk},
};
use ai_monitor_plugin_api::event::{Depth, Event, Outcome, Response, SessionKind, Start};
use criterion::{BatchSize, Criterion};
use futures_util::FutureExt as _;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::Runtime,
};

fn main() {
    // `cargo test --all-targets` runs benchmarks too, without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return println!("nothing measured: run cargo bench -p ai-monitor --bench plugin_steps");
    }
    print_load("before");
    let mut criterion = Criterion::default().configure_from_args();
    in_process(&mut criterion);
    let runtime = Runtime::new().expect("a runtime");
    in_a_child(&mut criterion, &runtime);
    first_report(&mut criterion, &runtime);
    criterion.final_summary();
    print_load("after");
}

/// Runnable processes in the last minute, beside the number of cores.
fn print_load(when: &str) {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_else(|_| "not known".into());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("load {when}: {} on {cores} cores", load.trim());
}

fn start(depth: Depth) -> Event {
    Event::Start(Start::new(SessionKind::Probe { depth, inference: None }, 30_000, "2026-11-24T04:02:00Z"))
}

/// An answer of 500 bytes, as Ollama gives them.
fn response() -> Event {
    let mut body = String::from(r#"{"version":"0.32.15","models":[],"notes":""#);
    body.push_str(&"x".repeat(500 - body.len() - 2));
    body.push_str("\"}");
    Event::Response(Response {
        request: 0,
        ms: 4,
        outcome: Outcome::Ok,
        at: None,
        status: Some(200),
        headers: [("content-type".into(), "application/json; charset=utf-8".into())].into(),
        body: Some(body),
        utf8: Some(true),
        text: None,
    })
}

/// Nothing is waited for in process.
fn step(session: &mut PluginSession, event: &Event) -> Result<Wanted, StepError> {
    session.step(event).now_or_never().expect("a step in process is ready at once")
}

fn in_process(criterion: &mut Criterion) {
    let registry = Registry::bundled();
    let ollama = registry.get("ollama").expect("it is bundled");
    let response = response();
    let asked = |depth| {
        let mut session = ollama.session().now_or_never().expect("ready at once").expect("a session");
        step(&mut session, &start(depth)).expect("a request");
        session
    };
    for (name, depth) in [("answer to next request", Depth::Readiness), ("answer to report", Depth::Liveness)] {
        criterion.bench_function(&format!("one step in process, {name}"), |bench| {
            bench.iter_batched(
                || asked(depth),
                // Given back, so that its end is not measured.
                |mut session| (step(&mut session, &response).expect("an effect"), session),
                BatchSize::SmallInput,
            );
        });
    }
}

/// The library that cargo built of a bundled plugin, beside this program.
fn library() -> PathBuf {
    let program = std::env::current_exe().expect("the benchmark's own path");
    program.with_file_name(libloading::library_filename("ai_monitor_ollama"))
}

fn isolation() -> Isolation {
    Isolation::with_program(env!("CARGO_BIN_EXE_ai-monitor"))
}

fn in_a_child(criterion: &mut Criterion, runtime: &Runtime) {
    let plugin = runtime.block_on(Plugin::isolated(&library(), &isolation())).expect("it is loaded");
    let plugin = Arc::new(plugin);
    criterion.bench_function("one step in a child, answer to next request", |bench| {
        bench.iter_custom(|times| {
            let (plugin, response) = (plugin.clone(), response());
            let measured = async move {
                let mut measured = Duration::ZERO;
                for _ in 0..times {
                    let mut session = plugin.session().await.expect("a session");
                    session.step(&start(Depth::Readiness)).await.expect("a request");
                    let begun = Instant::now();
                    session.step(&response).await.expect("an effect");
                    measured += begun.elapsed();
                    // To its end, so that its child is used again.
                    while !matches!(session.step(&response).await, Ok(Wanted::Report(_)) | Err(_)) {}
                }
                measured
            };
            // On a worker, as the monitor's looks are: elsewhere each answer would wake two threads.
            runtime.block_on(runtime.spawn(measured)).expect("no panic")
        });
    });
}

fn first_report(criterion: &mut Criterion, runtime: &Runtime) {
    let target = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address")).parse().expect("an URL");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.is_ok_and(|n| n > 0) {}
                let answer =
                    b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 21\r\n\r\n{\"version\":\"0.32.15\"}";
                let _ = stream.write_all(answer).await;
            }
        });
        Driver::new().expect("an HTTP client").target(&url, None)
    });
    let mut group = criterion.benchmark_group("library");
    group.sample_size(50);
    group.bench_function("from its load to its first report", |bench| {
        bench.iter_custom(|times| {
            let loads = async {
                let mut measured = Duration::ZERO;
                for _ in 0..times {
                    let ask = ProbeAsk {
                        depth: Depth::Liveness,
                        inference: None,
                        deadline: Duration::from_secs(5),
                        settings: Default::default(),
                        variant: None,
                        processes: None,
                        addresses: Default::default(),
                        answers: None,
                    };
                    let begun = Instant::now();
                    let plugin = Plugin::isolated(&library(), &isolation()).await.expect("it is loaded");
                    let observation = target.probe(&plugin, ask).await;
                    measured += begun.elapsed();
                    assert_eq!(observation.end, SessionEnd::Report);
                }
                measured
            };
            runtime.block_on(loads)
        });
    });
    group.finish();
}
