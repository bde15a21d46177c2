//! Which models are loaded, for how long, and who may use them: Ollama's scheduler as measured on a real one.
//!
//! What was measured and holds here: a model that is loading is not listed; one whose runner died stays listed until
//! the next request, which loads it anew; a request to an idle runner pings it first, and while that ping hangs,
//! listing and unloading wait, too; a second request to a busy one is not pinged, it waits for ever; an unload while
//! a request is in flight says that it was done and ends nothing.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{Mutex, Notify, OwnedSemaphorePermit};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    keep_alive::{self, KeepAlive},
    models::{Model, Refusal},
    runner::{Launcher, Runner},
};
use crate::demo::fault::{Fault, Order};

#[derive(Debug)]
pub struct Scheduler {
    launcher: Launcher,
    /// What later engines are to do wrong.
    faults: std::sync::Mutex<Vec<Order>>,
    /// One request at a time is given its runner.
    turn: Mutex<()>,
    loaded: Mutex<Vec<Arc<Runner>>>,
    changed: Arc<Notify>,
    waiting: AtomicUsize,
    limits: Limits,
}

/// Settings from the environment.
#[derive(Debug, Clone, Copy)]
struct Limits {
    keep: KeepAlive,
    max_loaded: usize,
    max_queue: usize,
}

impl Limits {
    fn from_environment() -> Limits {
        let text = |name: &str| std::env::var(name).ok();
        let number = |name: &str, default| text(name).and_then(|t| t.parse().ok()).unwrap_or(default);
        let keep = text("OLLAMA_KEEP_ALIVE").and_then(|t| KeepAlive::from_json(&json!(t)).ok());
        Limits {
            keep: keep.unwrap_or(keep_alive::DEFAULT),
            max_loaded: number("OLLAMA_MAX_LOADED_MODELS", 3),
            max_queue: number("OLLAMA_MAX_QUEUE", 512),
        }
    }
}

impl Scheduler {
    pub fn new(engine: PathBuf, faults: Vec<Order>, http: reqwest::Client) -> Scheduler {
        Scheduler {
            launcher: Launcher { engine, http, ending: CancellationToken::new(), engines: TaskTracker::new() },
            faults: std::sync::Mutex::new(faults),
            turn: Mutex::new(()),
            loaded: Mutex::new(Vec::new()),
            changed: Arc::new(Notify::new()),
            waiting: AtomicUsize::new(0),
            limits: Limits::from_environment(),
        }
    }

    /// Gives a place at the model's runner, which is loaded if it has to be.
    pub async fn acquire(
        &self,
        model: &Model,
        keep: Option<KeepAlive>,
        context: Option<u64>,
    ) -> Result<Lease, Refusal> {
        model.check()?;
        let waiting = self.queue()?;
        let mut lease = self.lease(model, keep, context).await?;
        // Who waits for a runner that is loaded no longer counts: only a load fills the queue (measured).
        drop(waiting);
        lease.place = lease.runner.places.clone().acquire_owned().await.ok();
        Ok(lease)
    }

    /// Loads the model, and uses it for nothing.
    pub async fn load(&self, model: &Model, keep: Option<KeepAlive>, context: Option<u64>) -> Result<(), Refusal> {
        model.check()?;
        let _waiting = self.queue()?;
        self.lease(model, keep, context).await.map(drop)
    }

    fn queue(&self) -> Result<Waiting<'_>, Refusal> {
        let waiting = Waiting::begin(&self.waiting);
        if waiting.place > self.limits.max_queue {
            return Err(Refusal::new(503, BUSY));
        }
        Ok(waiting)
    }

    async fn lease(&self, model: &Model, keep: Option<KeepAlive>, context: Option<u64>) -> Result<Lease, Refusal> {
        let _turn = self.turn.lock().await;
        if let Some(runner) = self.usable(model, context).await {
            return Ok(self.begin(runner, keep));
        }
        self.make_room().await;
        let faults = self.faults.lock().map(|f| f.clone()).unwrap_or_default();
        let context = context.unwrap_or(super::models::CONTEXT);
        let stay = keep.unwrap_or(self.limits.keep);
        let runner = Runner::start(&self.launcher, model, context, stay, &faults).await?;
        let runner = Arc::new(runner);
        self.loaded.lock().await.push(runner.clone());
        Ok(self.begin(runner, keep))
    }

    /// The model's runner, if it is there and can be used; one that cannot is ended.
    async fn usable(&self, model: &Model, context: Option<u64>) -> Option<Arc<Runner>> {
        let mut loaded = self.loaded.lock().await;
        let at = loaded.iter().position(|r| r.model.name == model.name)?;
        let runner = loaded[at].clone();
        let fits = context.is_none_or(|c| c == runner.context);
        let well = fits && !runner.is_gone() && (!runner.is_idle() || runner.is_healthy(&self.launcher.http).await);
        if well {
            return Some(runner);
        }
        if !runner.is_gone() {
            crate::demo::process::log("llama-server unhealthy: server not responding, or other options wanted");
            runner.end().await;
        }
        loaded.remove(at);
        None
    }

    fn begin(&self, runner: Arc<Runner>, keep: Option<KeepAlive>) -> Lease {
        runner.begin(keep);
        Lease { runner, changed: self.changed.clone(), place: None }
    }

    /// Unloads an idle model if another one would be too many.
    async fn make_room(&self) {
        let mut loaded = self.loaded.lock().await;
        if loaded.len() < self.limits.max_loaded {
            return;
        }
        let idle = loaded.iter().enumerate().filter(|(_, r)| r.is_idle()).min_by_key(|(_, r)| r.expires());
        if let Some(at) = idle.map(|(at, _)| at) {
            loaded.remove(at).end().await;
        }
    }

    /// Unloads a model, unless it is in use: then it goes when its last request ends.
    pub async fn unload(&self, model: &Model) {
        let mut loaded = self.loaded.lock().await;
        let Some(at) = loaded.iter().position(|r| r.model.name == model.name) else { return };
        loaded[at].forget_keep();
        if loaded[at].is_idle() {
            loaded.remove(at).end().await;
        }
    }

    /// `GET /api/ps`.
    pub async fn list(&self) -> Value {
        let loaded = self.loaded.lock().await;
        json!({"models": loaded.iter().rev().map(|r| r.row()).collect::<Vec<_>>()})
    }

    /// Hands a fault to all engines, and to later ones if it lasts.
    pub async fn order(&self, order: &Order) -> usize {
        if order.fault.lasts()
            && let Ok(mut faults) = self.faults.lock()
        {
            if order.fault == Fault::Clear {
                faults.clear();
            } else {
                faults.push(order.clone());
            }
        }
        let runners = self.loaded.lock().await.clone();
        let mut told = 0;
        for runner in runners {
            told += usize::from(runner.order(&self.launcher.http, order).await);
        }
        told
    }

    /// Unloads what has expired. Never returns.
    pub async fn expire_for_ever(&self) {
        loop {
            let next = {
                let mut loaded = self.loaded.lock().await;
                let now = Timestamp::now();
                while let Some(at) = loaded.iter().position(|r| r.is_idle() && r.expires() <= now) {
                    loaded.remove(at).end().await;
                }
                loaded.iter().filter(|r| r.is_idle()).map(|r| r.expires()).min()
            };
            let pause = next.map_or(Duration::MAX, |at| {
                Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO)
            });
            let _ = tokio::time::timeout(pause, self.changed.notified()).await;
        }
    }

    /// Ends all engines, also one that is being loaded or pinged.
    pub async fn end_all(&self) {
        self.launcher.ending.cancel();
        self.launcher.engines.close();
        self.launcher.engines.wait().await;
    }
}

pub const BUSY: &str = "server busy, please try again.  maximum pending requests exceeded";

/// A use of a runner. Dropping it ends the use, also when the client has left.
#[derive(Debug)]
pub struct Lease {
    pub runner: Arc<Runner>,
    changed: Arc<Notify>,
    place: Option<OwnedSemaphorePermit>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.runner.finish();
        self.changed.notify_one();
    }
}

struct Waiting<'a> {
    count: &'a AtomicUsize,
    place: usize,
}

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Waiting<'a> {
        Waiting { count, place: count.fetch_add(1, Ordering::SeqCst) + 1 }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }
}
