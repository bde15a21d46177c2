//! What a demo server can be told to do wrong.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// The environment variable with a JSON list of [`Order`]s that hold from the start.
pub const VARIABLE: &str = "AI_MONITOR_DEMO_FAULTS";

/// One way to fail. `{"fault": "slow_load", "seconds": 3}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// The process ends.
    Exit {
        #[serde(default)]
        code: i32,
    },
    /// The process ends by a signal (abort).
    Crash,
    /// The process stops itself (SIGSTOP): its port accepts, nothing answers. Unix only.
    Stop,
    /// SIGTERM has no effect.
    IgnoreSigterm,
    /// No request is answered and no open stream goes on; the process sleeps.
    Hang,
    /// `/slots` is never answered, the rest is (llama.cpp#27388).
    SlotsHang,
    /// Open and new generations give no further token; every route answers (mlx-lm#1834).
    Stall,
    /// As `stall`, while a processor is busy (ollama#3552).
    Spin,
    /// Inference answers 503, the queue is full (ollama#4124).
    Busy,
    /// Status 500: of inference, or of every route.
    Errors {
        #[serde(default)]
        everywhere: bool,
    },
    /// Bodies are cut in their middle, with a matching length.
    BrokenJson,
    /// JSON of the right names, every value of another type.
    WrongTypes,
    /// A byte of the body a second.
    Drip,
    /// The connection ends in the middle of the body.
    Reset,
    /// 307 to another place.
    Redirect,
    /// A body of 1 GiB.
    HugeBody,
    /// 401.
    Unauthorised,
    /// Loading takes so long.
    SlowLoad { seconds: f64 },
    /// The engine ends while it loads.
    LoadFails,
    /// Work on a prompt takes so long: a processor is busy, no counter moves.
    Prompt { seconds: f64 },
    /// Time per token.
    Pace { ms: u64 },
    /// Unloading is accepted and not done (ollama#7779).
    KeepLoaded,
    /// All of the above end, where the process still lives to be told.
    Clear,
}

/// Who of the two is to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    #[default]
    Front,
    Engine,
}

/// A fault with who is to have it. `{"fault": "hang", "in": "engine"}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    #[serde(rename = "in", default)]
    pub part: Part,
    #[serde(flatten)]
    pub fault: Fault,
}

impl Fault {
    /// Does it describe how this server is from now on (so that later engines have it too), rather than what
    /// happens once?
    pub fn lasts(&self) -> bool {
        matches!(
            self,
            Fault::SlowLoad { .. }
                | Fault::LoadFails
                | Fault::Prompt { .. }
                | Fault::Pace { .. }
                | Fault::IgnoreSigterm
                | Fault::Clear
        )
    }
}

/// The orders of the environment.
pub fn from_environment() -> Result<Vec<Order>, String> {
    match std::env::var(VARIABLE) {
        Ok(text) if !text.trim().is_empty() => {
            serde_json::from_str(&text).map_err(|e| format!("{VARIABLE} is not a list of faults: {e}"))
        }
        _ => Ok(Vec::new()),
    }
}

/// How every answer is spoilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoilt {
    Errors { everywhere: bool },
    BrokenJson,
    WrongTypes,
    Drip,
    Reset,
    Redirect,
    HugeBody,
    Unauthorised,
}

/// What is wrong at the moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Active {
    pub ignore_sigterm: bool,
    pub hang: bool,
    pub slots_hang: bool,
    pub stall: bool,
    pub spin: bool,
    pub busy: bool,
    pub spoilt: Option<Spoilt>,
    pub slow_load: Duration,
    pub load_fails: bool,
    pub prompt: Duration,
    pub pace: Duration,
    pub keep_loaded: bool,
}

impl Default for Active {
    fn default() -> Self {
        Active {
            ignore_sigterm: false,
            hang: false,
            slots_hang: false,
            stall: false,
            spin: false,
            busy: false,
            spoilt: None,
            slow_load: Duration::ZERO,
            load_fails: false,
            prompt: Duration::ZERO,
            pace: Duration::from_millis(20),
            keep_loaded: false,
        }
    }
}

/// What is wrong, told to all who wait for it.
#[derive(Debug, Clone)]
pub struct Faults(Arc<watch::Sender<Active>>);

impl Faults {
    pub fn new(orders: impl IntoIterator<Item = Fault>) -> Faults {
        let faults = Faults(Arc::new(watch::Sender::new(Active::default())));
        for fault in orders {
            faults.obey(&fault);
        }
        faults
    }

    pub fn now(&self) -> Active {
        self.0.borrow().clone()
    }

    /// Waits while `hold` is true of what is wrong.
    pub async fn while_true(&self, hold: impl Fn(&Active) -> bool) {
        let mut seen = self.0.subscribe();
        // The sender lives in `self`, so this can only end by the condition.
        let _ = seen.wait_for(|active| !hold(active)).await;
    }

    /// Takes up a fault. Those that end or stop the process do not return.
    pub fn obey(&self, fault: &Fault) {
        let seconds = |s: f64| Duration::try_from_secs_f64(s).unwrap_or(Duration::ZERO);
        let set = |change: &dyn Fn(&mut Active)| self.0.send_modify(|active| change(active));
        match *fault {
            Fault::Exit { code } => std::process::exit(code),
            Fault::Crash => std::process::abort(),
            Fault::Stop => super::process::stop_self(),
            Fault::IgnoreSigterm => set(&|a| a.ignore_sigterm = true),
            Fault::Hang => set(&|a| a.hang = true),
            Fault::SlotsHang => set(&|a| a.slots_hang = true),
            Fault::Stall => set(&|a| a.stall = true),
            Fault::Spin => set(&|a| a.spin = true),
            Fault::Busy => set(&|a| a.busy = true),
            Fault::Errors { everywhere } => set(&|a| a.spoilt = Some(Spoilt::Errors { everywhere })),
            Fault::BrokenJson => set(&|a| a.spoilt = Some(Spoilt::BrokenJson)),
            Fault::WrongTypes => set(&|a| a.spoilt = Some(Spoilt::WrongTypes)),
            Fault::Reset => set(&|a| a.spoilt = Some(Spoilt::Reset)),
            Fault::Drip => set(&|a| a.spoilt = Some(Spoilt::Drip)),
            Fault::Redirect => set(&|a| a.spoilt = Some(Spoilt::Redirect)),
            Fault::HugeBody => set(&|a| a.spoilt = Some(Spoilt::HugeBody)),
            Fault::Unauthorised => set(&|a| a.spoilt = Some(Spoilt::Unauthorised)),
            Fault::SlowLoad { seconds: s } => set(&|a| a.slow_load = seconds(s)),
            Fault::LoadFails => set(&|a| a.load_fails = true),
            Fault::Prompt { seconds: s } => set(&|a| a.prompt = seconds(s)),
            Fault::Pace { ms } => set(&|a| a.pace = Duration::from_millis(ms)),
            Fault::KeepLoaded => set(&|a| a.keep_loaded = true),
            Fault::Clear => set(&|a| *a = Active::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_names_its_part_or_means_the_front() {
        let orders: Vec<Order> = serde_json::from_str(
            r#"[{"fault": "slow_load", "seconds": 1.5, "in": "engine"}, {"fault": "errors"}, {"fault": "exit", "code": 3}]"#,
        )
        .unwrap();
        assert_eq!(orders[0], Order { part: Part::Engine, fault: Fault::SlowLoad { seconds: 1.5 } });
        assert_eq!(orders[1], Order { part: Part::Front, fault: Fault::Errors { everywhere: false } });
        assert_eq!(orders[2], Order { part: Part::Front, fault: Fault::Exit { code: 3 } });
        assert!(serde_json::from_str::<Order>(r#"{"fault": "catch_fire"}"#).is_err());
    }

    #[test]
    fn clear_ends_what_was_ordered() {
        let faults = Faults::new([Fault::Hang, Fault::Drip, Fault::Pace { ms: 1 }]);
        assert!(faults.now().hang);
        assert_eq!(faults.now().spoilt, Some(Spoilt::Drip));
        faults.obey(&Fault::Clear);
        assert_eq!(faults.now(), Active::default());
    }
}
