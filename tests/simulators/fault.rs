//! What a simulator can be told to do wrong: the words of this project's own server, and some more.

use serde::{Deserialize, Serialize};

/// Orders come here, on the server's own port; this route is never spoilt.
pub const PATH: &str = ai_monitor::demo::control::PATH;

/// One way to fail. `{"fault": "slow_load", "seconds": 3}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// The process ends.
    Exit {
        #[serde(default)]
        code: i32,
    },
    /// SIGTERM has no effect.
    IgnoreSigterm,
    /// No request is answered and no open stream goes on; the process sleeps.
    Hang,
    /// Open and new generations give no further token; every route answers.
    Stall,
    /// Requests are refused: the queue is full.
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
    /// RST in the middle of the answer.
    Reset,
    /// As if a key were asked for, and this were none.
    Unauthorised,
    /// Loading, also at the start, takes so long.
    SlowLoad { seconds: f64 },
    /// The engines end, the server lives.
    LoseEngines,
    /// Time per token.
    Pace { ms: u64 },
    /// All of the above end, where the process still lives to be told.
    Clear,
}

/// How every answer is spoilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoilt {
    Errors { everywhere: bool },
    BrokenJson,
    WrongTypes,
    Drip,
    Reset,
    Unauthorised,
}

/// What is wrong at the moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Active {
    pub ignore_sigterm: bool,
    pub hang: bool,
    pub stall: bool,
    pub busy: bool,
    pub spoilt: Option<Spoilt>,
    pub load_seconds: f64,
    pub pace_ms: u64,
}

impl Default for Active {
    fn default() -> Active {
        Active {
            ignore_sigterm: false,
            hang: false,
            stall: false,
            busy: false,
            spoilt: None,
            load_seconds: 0.05,
            pace_ms: 20,
        }
    }
}

impl Active {
    /// Takes up what lasts.
    pub fn take(&mut self, fault: &Fault) {
        match *fault {
            Fault::Exit { .. } | Fault::LoseEngines => {}
            Fault::IgnoreSigterm => self.ignore_sigterm = true,
            Fault::Hang => self.hang = true,
            Fault::Stall => self.stall = true,
            Fault::Busy => self.busy = true,
            Fault::Errors { everywhere } => self.spoilt = Some(Spoilt::Errors { everywhere }),
            Fault::BrokenJson => self.spoilt = Some(Spoilt::BrokenJson),
            Fault::WrongTypes => self.spoilt = Some(Spoilt::WrongTypes),
            Fault::Drip => self.spoilt = Some(Spoilt::Drip),
            Fault::Reset => self.spoilt = Some(Spoilt::Reset),
            Fault::Unauthorised => self.spoilt = Some(Spoilt::Unauthorised),
            Fault::SlowLoad { seconds } => self.load_seconds = seconds,
            Fault::Pace { ms } => self.pace_ms = ms,
            Fault::Clear => *self = Active::default(),
        }
    }
}
