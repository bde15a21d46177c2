//! What a played server has: models, requests under way, engines, and what is wrong with it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    Fault, Kind,
    engine::{Doing, Engine, Looks},
    fault::Active,
    process::Options,
};

/// How long a thread sleeps before it looks whether its client is still there.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    Unloaded,
    Loading,
    Loaded,
}

/// What can be counted.
#[derive(Debug, Clone, Default)]
pub struct Work {
    pub running: u64,
    pub waiting: u64,
    pub prompt_tokens: u64,
    pub tokens: u64,
    pub finished: u64,
}

struct State {
    models: BTreeMap<String, Load>,
    work: BTreeMap<String, Work>,
    faults: Active,
    engines: Vec<Engine>,
    /// The models of its start are not all there yet.
    starting: bool,
}

/// Shared by all connections.
pub struct World {
    pub kind: Kind,
    state: Mutex<State>,
    changed: Condvar,
}

impl State {
    /// The start is over once nothing of it is being loaded; what is loaded later is no start.
    fn notice_start(&mut self) {
        self.starting &= self.models.values().any(|load| *load == Load::Loading);
    }
}

impl World {
    pub fn begin(options: &Options) -> Arc<World> {
        let mut faults = Active::default();
        options.faults.iter().for_each(|fault| faults.take(fault));
        let models = options.models.iter().map(|(name, _)| (name.clone(), Load::Unloaded)).collect();
        let state = State { models, work: BTreeMap::new(), faults, engines: Vec::new(), starting: true };
        let world = Arc::new(World { kind: options.kind, state: Mutex::new(state), changed: Condvar::new() });
        for (name, _) in options.models.iter().filter(|(_, loaded)| *loaded) {
            world.load(name);
        }
        world.state().notice_start();
        let watched = world.clone();
        std::thread::spawn(move || {
            loop {
                watched.pause();
                watched.bury_engines();
            }
        });
        world
    }

    /// vLLM ends with its engine, with code 0 (vllm#48966); the others have one model less.
    fn bury_engines(&self) {
        let mut state = self.state();
        let State { engines, models, .. } = &mut *state;
        for ended in engines.extract_if(.., Engine::has_ended) {
            if self.kind == Kind::Vllm {
                std::process::exit(0);
            }
            models.insert(ended.model.clone(), Load::Unloaded);
        }
    }

    pub fn faults(&self) -> Active {
        self.state().faults.clone()
    }

    pub fn order(&self, fault: &Fault) {
        if let Fault::Exit { code } = fault {
            std::process::exit(*code);
        }
        let mut state = self.state();
        if *fault == Fault::LoseEngines {
            state.engines.iter_mut().for_each(Engine::crash);
        }
        state.faults.take(fault);
        set_engines_to_work(&mut state);
        drop(state);
        self.changed.notify_all();
    }

    /// Sleeps a little, or until something changes.
    pub fn pause(&self) {
        let _ = self.changed.wait_timeout(self.state(), PAUSE);
    }

    pub fn models(&self) -> Vec<(String, Load)> {
        self.state().models.iter().map(|(name, load)| (name.clone(), *load)).collect()
    }

    pub fn loaded(&self) -> Vec<String> {
        self.models().into_iter().filter(|(_, load)| *load == Load::Loaded).map(|(name, _)| name).collect()
    }

    pub fn load_of(&self, model: &str) -> Option<Load> {
        self.state().models.get(model).copied()
    }

    /// Is a model still being loaded?
    pub fn is_loading(&self) -> bool {
        self.models().iter().any(|(_, load)| *load == Load::Loading)
    }

    /// Are the models of its start still coming in?
    pub fn is_starting(&self) -> bool {
        self.state().starting
    }

    /// Until nothing is being loaded.
    pub fn wait_loaded(&self) {
        while self.is_loading() {
            self.pause();
        }
    }

    /// One model more, not loaded.
    pub fn add(&self, model: &str) {
        self.state().models.entry(model.to_owned()).or_insert(Load::Unloaded);
        self.changed.notify_all();
    }

    /// Begins to load a model that is there and not loaded.
    pub fn load(self: &Arc<World>, model: &str) {
        let mut state = self.state();
        let Some(load @ Load::Unloaded) = state.models.get_mut(model) else { return };
        *load = Load::Loading;
        if let Some(looks) = looks(self.kind) {
            match Engine::start(&looks, model) {
                Ok(engine) => state.engines.push(engine),
                Err(e) => eprintln!("no engine for {model}: {e}"),
            }
        }
        set_engines_to_work(&mut state);
        let takes = Duration::try_from_secs_f64(state.faults.load_seconds).unwrap_or_default();
        drop(state);
        let (world, model) = (self.clone(), model.to_owned());
        std::thread::spawn(move || {
            std::thread::sleep(takes);
            let mut state = world.state();
            if state.models.get(&model) == Some(&Load::Loading) {
                state.models.insert(model, Load::Loaded);
            }
            state.notice_start();
            set_engines_to_work(&mut state);
            drop(state);
            world.changed.notify_all();
        });
    }

    pub fn unload(&self, model: &str) {
        let mut state = self.state();
        if let Some(load) = state.models.get_mut(model) {
            *load = Load::Unloaded;
        }
        state.engines.retain(|engine| engine.model != model);
        drop(state);
        self.changed.notify_all();
    }

    pub fn end_engines(&self) {
        self.state().engines.clear();
    }

    /// Of one model.
    pub fn work_of(&self, model: &str) -> Work {
        self.state().work.get(model).cloned().unwrap_or_default()
    }

    /// A request for a loaded model: it waits for its turn, then makes tokens. Dropping it is its end.
    pub fn generate(self: &Arc<World>, model: &str, tokens: u64) -> Generation {
        self.work(model, |work| work.waiting += 1);
        Generation { world: self.clone(), model: model.to_owned(), left: tokens, running: false }
    }

    fn work<T>(&self, model: &str, change: impl FnOnce(&mut Work) -> T) -> T {
        let mut state = self.state();
        let done = change(state.work.entry(model.to_owned()).or_default());
        set_engines_to_work(&mut state);
        drop(state);
        self.changed.notify_all();
        done
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many requests of a model run at once.
pub fn capacity(kind: Kind) -> u64 {
    match kind {
        Kind::Vllm => 256,
        Kind::LmStudio => 4,
        _ => 1,
    }
}

/// The engines of a backend, where they are processes of their own.
fn looks(kind: Kind) -> Option<Looks> {
    let looks = Looks { file: "", title: None, arguments: &[], outlives: false, answers: false, burns_ms: 1 };
    Some(match kind {
        Kind::LmStudio => Looks { file: "node", arguments: &["llmworker.js"], outlives: true, ..looks },
        Kind::LocalAi | Kind::LocalAiWithLimits => {
            Looks { file: "llama-cpp-fallback", arguments: &["--addr", "127.0.0.1:{port}"], burns_ms: 6, ..looks }
        }
        Kind::Vllm => Looks { file: "python3", title: Some("VLLM::EngineCore"), outlives: true, ..looks },
        Kind::LlamaRouter | Kind::TextGenerationWebui => {
            let arguments = &["--host", "127.0.0.1", "--port", "{port}", "--alias", "{model}"];
            Looks { file: "llama-server", arguments, answers: true, ..looks }
        }
        _ => return None,
    })
}

fn set_engines_to_work(state: &mut State) {
    let still = state.faults.stall || state.faults.hang;
    let State { engines, models, work, .. } = state;
    for engine in engines {
        let runs = work.get(&engine.model).is_some_and(|work| work.running > 0);
        engine.set(match () {
            () if models.get(&engine.model) == Some(&Load::Loading) => Doing::Loading,
            () if runs && still => Doing::Stalled,
            () if runs => Doing::Generating,
            () => Doing::Nothing,
        });
    }
}

/// One request for tokens.
pub struct Generation {
    world: Arc<World>,
    model: String,
    left: u64,
    running: bool,
}

/// `Some(None)`: nothing yet.
impl Iterator for Generation {
    type Item = Option<String>;

    fn next(&mut self) -> Option<Option<String>> {
        let capacity = capacity(self.world.kind);
        if !self.running {
            self.running = self.world.work(&self.model, |work| {
                let turn = work.running < capacity;
                if turn {
                    (work.waiting, work.running) = (work.waiting - 1, work.running + 1);
                    work.prompt_tokens += 28;
                }
                turn
            });
        }
        let faults = self.world.faults();
        if self.running && self.world.load_of(&self.model) != Some(Load::Loaded) {
            return None; // its engine has ended
        }
        if !self.running || faults.stall || faults.hang {
            self.world.pause();
            return Some(None);
        }
        if self.left == 0 {
            return None;
        }
        std::thread::sleep(Duration::from_millis(faults.pace_ms));
        self.left -= 1;
        let made = self.world.work(&self.model, |work| {
            work.tokens += 1;
            work.tokens
        });
        const WORDS: [&str; 7] = ["the", "of", "and", "to", "in", "is", "you"];
        Some(Some(format!(" {}", WORDS[usize::try_from(made % 7).unwrap_or(0)])))
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        let running = self.running;
        self.world.work(&self.model, |work| {
            if running {
                work.running -= 1;
                work.finished += 1;
            } else {
                work.waiting -= 1;
            }
        });
    }
}
