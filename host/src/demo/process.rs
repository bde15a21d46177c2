//! What a demo process does with its own process: log, stop itself, wait to be told to end.

use std::{
    io::{self, Write},
    net::SocketAddr,
};

use tokio::net::TcpListener;

use super::fault::Faults;

/// Writes a line to stderr. With the reader of a pipe gone this ends the process, as it does Ollama: a Go program
/// dies of SIGPIPE when it writes to a broken stderr, and a supervisor that reads its servers' output through pipes
/// takes them along when it crashes. A Rust program would go on and hide that.
pub fn log(line: &str) {
    if let Err(e) = writeln!(io::stderr().lock(), "{line}")
        && e.kind() == io::ErrorKind::BrokenPipe
    {
        const DIED_OF_SIGPIPE: i32 = 128 + 13;
        std::process::exit(DIED_OF_SIGPIPE);
    }
}

/// Stops this process until somebody continues it.
#[cfg(unix)]
pub fn stop_self() {
    use rustix::process::{Signal, getpid, kill_process};
    if let Err(e) = kill_process(getpid(), Signal::STOP) {
        log(&format!("cannot stop itself: {e}"));
    }
}

#[cfg(not(unix))]
pub fn stop_self() {
    log("a process cannot stop itself on this system: order \"hang\" instead");
}

/// Waits for the polite request to end (SIGTERM, Ctrl-C), unless the faults say to ignore it.
#[cfg(unix)]
pub async fn told_to_end(faults: &Faults) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if !faults.now().ignore_sigterm {
            return;
        }
        log("told to end, and ignores it");
    }
}

#[cfg(not(unix))]
pub async fn told_to_end(faults: &Faults) {
    loop {
        if tokio::signal::ctrl_c().await.is_err() {
            return std::future::pending().await;
        }
        if !faults.now().ignore_sigterm {
            return;
        }
        log("told to end, and ignores it");
    }
}

/// Runs a server's future. Two threads: a demo must not take the machine.
pub fn block_on<F: Future<Output = Result<(), String>>>(future: F) -> Result<(), String> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| format!("no runtime: {e}"))?
        .block_on(future)
}

/// Listens, with Go's words for a port that is taken, which is what Ollama's users (and the monitor) read.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|e| {
        let why = match e.kind() {
            io::ErrorKind::AddrInUse => "address already in use".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => e.to_string(),
        };
        format!("listen tcp {address}: bind: {why}")
    })
}
