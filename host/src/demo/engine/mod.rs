//! The engine: llama.cpp's server as far as a monitor sees it.

mod args;
mod generate;
mod routes;
mod slots;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64},
    },
    time::{Duration, Instant},
};

use self::{args::Args, slots::Slots};
use super::{
    fault::{self, Faults, Part},
    process,
};

/// What all routes share.
#[derive(Debug)]
struct Engine {
    args: Args,
    faults: Faults,
    slots: Slots,
    loaded: AtomicBool,
    /// The last request that keeps it awake.
    last_work: Mutex<Instant>,
    predicted: AtomicU64,
    decoded: AtomicU64,
}

impl Engine {
    /// Asleep: it would have to load its model again to work.
    fn is_sleeping(&self) -> bool {
        let Some(after) = self.args.sleep_idle else { return false };
        !self.slots.is_busy() && self.last_work.lock().is_ok_and(|last| last.elapsed() >= after)
    }

    /// Every request but `/health`, `/props`, `/models` and `/metrics` wakes it (measured).
    fn wake(&self) {
        if let Ok(mut last) = self.last_work.lock() {
            *last = Instant::now();
        }
    }
}

/// `llama-server --model FILE --host H --port N …`: serves until told to end.
pub fn run(args: Vec<String>) -> Result<(), String> {
    let args = Args::parse(args)?;
    // Given to this process alone; a front hands over only what is meant for its engines.
    let orders = fault::from_environment()?;
    let faults = Faults::new(orders.into_iter().filter(|o| o.part == Part::Engine).map(|o| o.fault));
    process::block_on(async move {
        let listener = process::listen(args.address).await?;
        process::log(&format!("llama-server: listening on http://{}", args.address));
        let engine = Arc::new(Engine {
            slots: Slots::new(args.parallel, args.context),
            args,
            faults: faults.clone(),
            loaded: AtomicBool::new(false),
            last_work: Mutex::new(Instant::now()),
            predicted: AtomicU64::new(0),
            decoded: AtomicU64::new(0),
        });
        let serve = axum::serve(listener, routes::router(engine.clone()));
        tokio::select! {
            ended = serve => ended.map_err(|e| e.to_string()),
            why = load(&engine) => Err(why),
            () = process::told_to_end(&faults) => Ok(()),
        }
    })
}

/// Loads the model, and then never returns; returns why it cannot be loaded.
async fn load(engine: &Engine) -> String {
    let wanted = engine.faults.now();
    burn(wanted.slow_load).await;
    if wanted.load_fails {
        return format!("error loading model: invalid file magic: {}", engine.args.model.display());
    }
    if let Err(e) = std::fs::metadata(&engine.args.model) {
        return format!("error loading model: failed to open {}: {e}", engine.args.model.display());
    }
    engine.loaded.store(true, std::sync::atomic::Ordering::SeqCst);
    engine.wake();
    process::log("llama-server: model loaded");
    std::future::pending().await
}

/// Uses about a quarter of a processor for so long: work that no counter shows.
async fn burn(how_long: Duration) {
    let end = Instant::now() + how_long;
    while Instant::now() < end {
        spin_briefly();
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}

fn spin_briefly() {
    let end = Instant::now() + Duration::from_millis(5);
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}
