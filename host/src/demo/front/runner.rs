//! A runner: the engine process of one loaded model, and who uses it.

use std::{
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    process::Command,
    sync::{Semaphore, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    keep_alive::KeepAlive,
    models::{self, Model, Refusal},
};
use crate::demo::{
    control,
    fault::{self, Order},
    process,
};

/// Ollama asks a runner so long, twice, before it holds it for unhealthy.
const PING: Duration = Duration::from_secs(10);
/// `OLLAMA_LOAD_TIMEOUT`.
const LOAD: Duration = Duration::from_secs(5 * 60);

/// One engine process with one model.
#[derive(Debug)]
pub struct Runner {
    pub model: Model,
    pub context: u64,
    port: u16,
    gone: watch::Receiver<Option<String>>,
    kill: CancellationToken,
    /// `OLLAMA_NUM_PARALLEL` requests at a time; the rest waits here, before the engine.
    pub places: Arc<Semaphore>,
    usage: Mutex<Usage>,
}

#[derive(Debug)]
struct Usage {
    requests: u32,
    keep: KeepAlive,
    expires: Timestamp,
}

/// How engines are started, and how all of them are ended.
#[derive(Debug)]
pub struct Launcher {
    pub engine: PathBuf,
    pub http: reqwest::Client,
    /// Cancelled: every engine is killed.
    pub ending: CancellationToken,
    /// A task per living engine.
    pub engines: TaskTracker,
}

impl Runner {
    /// Starts the engine and waits until it has loaded the model. Dropping this future ends the engine.
    pub async fn start(
        launcher: &Launcher,
        model: &Model,
        context: u64,
        keep: KeepAlive,
        faults: &[Order],
    ) -> Result<Runner, Refusal> {
        let engine = &launcher.engine;
        let broken = |text: String| Refusal::new(500, text);
        let port = free_port().await.map_err(|e| broken(format!("no port for the runner: {e}")))?;
        let mut command = Command::new(engine);
        command.arg("--model").arg(model.path()).args(["--port", &port.to_string()]);
        command.args(["--ctx-size", &context.to_string(), "--alias", &model.name]).stdin(Stdio::null());
        command.env(fault::VARIABLE, serde_json::to_string(faults).unwrap_or_default());
        let mut child = command.spawn().map_err(|e| {
            let checked = engine.display();
            broken(format!("error starting llama-server: llama-server binary not found (checked: {checked}): {e}"))
        })?;

        let (ended, gone) = watch::channel(None);
        let kill = launcher.ending.child_token();
        let wanted = kill.clone();
        launcher.engines.spawn(async move {
            let status = tokio::select! {
                status = child.wait() => status,
                () = wanted.cancelled() => {
                    // A stopped or hung engine would not obey anything softer.
                    let _ = child.start_kill();
                    child.wait().await
                }
            };
            let how = status.map_or_else(|e| e.to_string(), |s| s.to_string());
            process::log(&format!("llama-server for port {port} ended: {how}"));
            ended.send_replace(Some(how));
        });

        let now = Timestamp::now();
        let usage = Mutex::new(Usage { requests: 0, keep, expires: keep.expires(now) });
        let places = Arc::new(Semaphore::new(1));
        let runner = Runner { model: model.clone(), context, port, gone, kill, places, usage };
        runner.loaded(&launcher.http).await?;
        Ok(runner)
    }

    async fn loaded(&self, http: &reqwest::Client) -> Result<(), Refusal> {
        let end = Instant::now() + LOAD;
        let mut gone = self.gone.clone();
        while Instant::now() < end {
            if self.answers(http, Duration::from_secs(1)).await {
                return Ok(());
            }
            // The engine tells nobody that it is ready: it is asked, as Ollama does.
            let pause = tokio::time::sleep(Duration::from_millis(10));
            tokio::select! {
                () = pause => {}
                how = gone.wait_for(Option::is_some) => {
                    let how = how.ok().and_then(|h| h.clone()).unwrap_or_default();
                    return Err(Refusal::new(500, format!("llama-server process has terminated: {how}")));
                }
            }
        }
        Err(Refusal::new(500, "timed out waiting for llama-server to start - progress 0.00 - "))
    }

    async fn answers(&self, http: &reqwest::Client, within: Duration) -> bool {
        let asked = http.get(self.url("/health")).timeout(within).send().await;
        asked.is_ok_and(|answer| answer.status().is_success())
    }

    /// Is it well? Takes up to twice the time of a ping when it is not, and nobody else gets on meanwhile.
    pub async fn is_healthy(&self, http: &reqwest::Client) -> bool {
        !self.is_gone() && (self.answers(http, PING).await || self.answers(http, PING).await)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn is_gone(&self) -> bool {
        self.gone.borrow().is_some()
    }

    /// Ends the engine and waits until it has gone.
    pub async fn end(&self) {
        self.kill.cancel();
        let mut gone = self.gone.clone();
        // An error means that the task which reaps it is gone: then so is the engine.
        let _ = gone.wait_for(Option::is_some).await;
    }

    /// Hands a fault on to the engine.
    pub async fn order(&self, http: &reqwest::Client, order: &Order) -> bool {
        let asked = http.post(self.url(control::PATH)).timeout(Duration::from_secs(2)).body(json!(order).to_string());
        asked.send().await.is_ok_and(|answer| answer.status().is_success())
    }

    /// A request begins; it may bring a new `keep_alive`.
    pub fn begin(&self, keep: Option<KeepAlive>) {
        let mut usage = self.usage();
        usage.requests += 1;
        usage.keep = keep.unwrap_or(usage.keep);
        usage.expires = usage.keep.expires(Timestamp::now());
    }

    /// A request ends: the time to live begins anew.
    pub fn finish(&self) {
        let mut usage = self.usage();
        usage.requests = usage.requests.saturating_sub(1);
        usage.expires = usage.keep.expires(Timestamp::now());
    }

    pub fn is_idle(&self) -> bool {
        self.usage().requests == 0
    }

    /// Is to be unloaded: now if it is idle, else when its request ends.
    pub fn forget_keep(&self) {
        let mut usage = self.usage();
        usage.keep = KeepAlive::For(Duration::ZERO);
        if usage.requests == 0 {
            usage.expires = Timestamp::now();
        }
    }

    pub fn expires(&self) -> Timestamp {
        self.usage().expires
    }

    /// A row of `GET /api/ps`.
    pub fn row(&self) -> Value {
        json!({"name": self.model.name, "model": self.model.name, "size": models::SIZE_LOADED,
            "digest": self.model.digest, "details": models::details(), "expires_at": self.expires().to_string(),
            "size_vram": 0, "context_length": self.context})
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.kill.cancel();
    }
}

/// A port that is free now; the engine binds it a moment later, as Ollama's does.
async fn free_port() -> std::io::Result<u16> {
    TcpListener::bind(("127.0.0.1", 0)).await?.local_addr().map(|a| a.port())
}
