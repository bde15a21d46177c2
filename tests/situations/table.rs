//! The table: for each backend and situation, what the monitor shows and what the plugin reports.

use self::Situation::*;

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Situation {
    /// A model is in memory, and nobody asks anything.
    Idle,
    /// Its model is on its way into memory.
    Loading,
    /// A user's answer is being made.
    Busy,
    /// A user's answer stands still, and every route answers.
    Stalled,
    /// Connections are taken, and nothing is answered.
    Silent,
    /// The configuration requires a model that is not there.
    ModelMissing,
    /// It wants a key that it does not get.
    Unauthorised,
    /// Another program answers at its address.
    AnotherServer,
    /// Every route answers 500.
    Errors,
    /// JSON that ends in its middle.
    HalfAnAnswer,
    /// JSON of the right names, with values of other types.
    WrongTypes,
    /// A byte of the body a second.
    SlowDrip,
    /// RST in the middle of each answer.
    ResetConnection,
}

/// What is expected of one backend in one situation.
#[derive(Debug)]
pub struct Cell {
    /// The fault's class, or the state where there is none.
    pub shows: &'static str,
    /// What liveness, readiness and progress report; empty where the depth before it failed.
    pub sees: [&'static str; 3],
    /// Why it cannot be told from being well, or not told at all.
    pub blind: Option<&'static str>,
}

/// A backend.
pub struct Row {
    /// Its target's name in the test.
    pub name: &'static str,
    /// Its name for people.
    pub label: &'static str,
    pub cells: &'static [(Situation, Cell)],
}

impl Situation {
    /// Its name in the page.
    pub fn label(self) -> &'static str {
        match self {
            Idle => "idle",
            Loading => "loading",
            Busy => "busy",
            Stalled => "stalled",
            Silent => "silent",
            ModelMissing => "model missing",
            Unauthorised => "unauthorised",
            AnotherServer => "another server",
            Errors => "errors",
            HalfAnAnswer => "half-broken JSON",
            WrongTypes => "wrong types",
            SlowDrip => "slow drip",
            ResetConnection => "reset connection",
        }
    }
}

impl Cell {
    const fn shows(shows: &'static str, sees: [&'static str; 3]) -> Cell {
        Cell { shows, sees, blind: None }
    }

    const fn but(self, blind: &'static str) -> Cell {
        Cell { blind: Some(blind), ..self }
    }
}

pub fn cell(name: &str, situation: Situation) -> &'static Cell {
    let row = TABLE.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no row {name}"));
    let cell = row.cells.iter().find(|(of, _)| *of == situation).map(|(_, cell)| cell);
    cell.unwrap_or_else(|| panic!("{name} has no cell for {situation:?}"))
}

const NO_ROUTE: &str = "the protocol has no route that tells it";
const BREAKS_OFF: &str =
    "it tells nothing of its work, and whatever asks for its models may break off the answer that it is giving";
const NO_KEY: &str =
    "its key guards what touches its models alone, and that no probe asks for: a request may break off an answer";
const NO_REQUESTS: &str =
    "its HTTP API does not tell which requests are under way; models, liveness and errors are told";
const NOT_LISTED_YET: &str =
    "a model is listed as loaded when it is; one on its way is not told from one that is not loaded";
const LOCALAI_BUSY: &str = "it counts the requests only of models whose configuration limits them; what `/backend/monitor` calls busy is not that";
const REFUSES: &str = "it refuses connections until its model is there: told from *not running* only where its process is \
                       known, by `process.command`; else `offline`";
const NO_BODY: &str = "its liveness route answers without a body, so there is nothing in it to be broken: shown as \
                       *answers in part*, and `erring` once inference fails, too";
const SPEAKS: &str = "whatever speaks `/v1` is taken for such a server: only what does not is told";
const CUSTOM: &str = "only your settings say what a good answer is: anything else is an error";

pub const TABLE: &[Row] = &[
    Row {
        name: "ollama",
        label: "Ollama",
        cells: &[
            (Idle, Cell::shows("online", ["ok", "1 loaded, 1 unloaded", "0 running"])),
            (Loading, Cell::shows("busy", ["ok", "2 unloaded", "unavailable"])),
            (Busy, Cell::shows("busy", ["ok", "1 loaded, 1 unloaded", "1 running, counted"])),
            (Stalled, Cell::shows("stalled", ["ok", "1 loaded, 1 unloaded", "1 running, counted"])),
            (Silent, Cell::shows("unresponsive", ["timeout, headers", "", ""])),
            (ModelMissing, Cell::shows("model_missing", ["ok", "1 loaded, 1 unloaded", "0 running"])),
            (Unauthorised, Cell::shows("access", ["unauthorised", "", ""])),
            (AnotherServer, Cell::shows("port_conflict", ["ok", "1 loaded, 1 unloaded", "no engine"])),
            (Errors, Cell::shows("erring", ["failed", "", ""])),
            (HalfAnAnswer, Cell::shows("erring", ["malformed", "", ""])),
            (WrongTypes, Cell::shows("erring", ["malformed", "", ""])),
            (SlowDrip, Cell::shows("erring", ["timeout, body", "", ""])),
            (ResetConnection, Cell::shows("erring", ["reset, headers", "", ""])),
        ],
    },
    Row {
        name: "llama.cpp",
        label: "llama.cpp",
        cells: &[
            (Idle, Cell::shows("online", ["ok", "1 loaded", "0 running"])),
            (Loading, Cell::shows("loading", ["unavailable", "", ""])),
            (Busy, Cell::shows("busy", ["ok", "1 loaded", "1 running, counted"])),
            (Stalled, Cell::shows("stalled", ["ok", "1 loaded", "1 running, counted"])),
            (Silent, Cell::shows("unresponsive", ["timeout, headers", "", ""])),
            (ModelMissing, Cell::shows("model_missing", ["ok", "1 loaded", "0 running"])),
            (Unauthorised, Cell::shows("access", ["ok", "unauthorised", "unauthorised"])),
            (AnotherServer, Cell::shows("port_conflict", ["foreign", "", ""]).but(SPEAKS)),
            (Errors, Cell::shows("erring", ["failed", "", ""])),
            (HalfAnAnswer, Cell::shows("erring", ["malformed", "", ""])),
            (WrongTypes, Cell::shows("erring", ["malformed", "", ""])),
            (SlowDrip, Cell::shows("erring", ["timeout, body", "", ""])),
            (ResetConnection, Cell::shows("erring", ["reset, headers", "", ""])),
        ],
    },
    Row {
        name: "llama.cpp-router",
        label: "llama.cpp, router",
        cells: &[
            (Idle, Cell::shows("online", ["ok", "1 loaded, 1 unloaded", "0 running, counted"])),
            (Loading, Cell::shows("busy", ["ok", "1 loading, 1 unloaded", "unavailable"])),
            (Busy, Cell::shows("busy", ["ok", "1 loaded, 1 unloaded", "1 running, counted"])),
            (Stalled, Cell::shows("stalled", ["ok", "1 loaded, 1 unloaded", "1 running, counted"])),
            (Silent, Cell::shows("unresponsive", ["timeout, headers", "", ""])),
            (ModelMissing, Cell::shows("model_missing", ["ok", "1 loaded, 1 unloaded", "0 running, counted"])),
            (Unauthorised, Cell::shows("access", ["ok", "unauthorised", "unauthorised"])),
            (AnotherServer, Cell::shows("port_conflict", ["foreign", "", ""]).but(SPEAKS)),
            (Errors, Cell::shows("erring", ["failed", "", ""])),
            (HalfAnAnswer, Cell::shows("erring", ["malformed", "", ""])),
            (WrongTypes, Cell::shows("erring", ["malformed", "", ""])),
            (SlowDrip, Cell::shows("erring", ["timeout, body", "", ""])),
            (ResetConnection, Cell::shows("erring", ["reset, body", "", ""])),
        ],
    },
    Row {
        name: "vllm",
        label: "vLLM",
        cells: &[
            (Idle, Cell::shows("online", ["ok", "1 loaded", "0 running, counted"])),
            (Loading, Cell::shows("loading", ["refused", "", ""]).but(REFUSES)),
            (Busy, Cell::shows("busy", ["ok", "1 loaded", "1 running, counted"])),
            (Stalled, Cell::shows("stalled", ["ok", "1 loaded", "1 running, counted"])),
            (Silent, Cell::shows("unresponsive", ["timeout, headers", "", ""])),
            (ModelMissing, Cell::shows("model_missing", ["ok", "1 loaded", "0 running, counted"])),
            (Unauthorised, Cell::shows("access", ["ok", "unauthorised", "0 running, counted"])),
            (AnotherServer, Cell::shows("port_conflict", ["foreign", "", ""]).but(SPEAKS)),
            (Errors, Cell::shows("erring", ["failed", "", ""])),
            (HalfAnAnswer, Cell::shows("online", ["ok", "malformed", "0 running"]).but(NO_BODY)),
            (WrongTypes, Cell::shows("online", ["ok", "malformed", "0 running, counted"]).but(NO_BODY)),
            (SlowDrip, Cell::shows("online", ["ok", "timeout, body", "timeout, body"]).but(NO_BODY)),
            (ResetConnection, Cell::shows("erring", ["reset, headers", "", ""])),
        ],
    },
    Row {
        name: "llama-cpp-python",
        label: "llama-cpp-python",
        cells: &[
            (Idle, Cell::shows("online", ["ok", "1 loaded", "work not known"])),
            (Loading, Cell::shows("loading", ["refused", "", ""]).but(REFUSES)),
            (Busy, Cell::shows("online", ["ok", "1 loaded", "work not known"]).but(BREAKS_OFF)),
            (Stalled, Cell::shows("online", ["ok", "1 loaded", "work not known"]).but(BREAKS_OFF)),
            (Silent, Cell::shows("unresponsive", ["timeout, headers", "", ""])),
            (ModelMissing, Cell::shows("model_missing", ["ok", "1 loaded", "work not known"])),
            (Unauthorised, Cell::shows("online", ["ok", "1 loaded", "work not known"]).but(NO_KEY)),
            (AnotherServer, Cell::shows("port_conflict", ["foreign", "", ""]).but(SPEAKS)),
            (Errors, Cell::shows("erring", ["failed", "", ""])),
            (HalfAnAnswer, Cell::shows("erring", ["malformed", "", ""])),
            (WrongTypes, Cell::shows("erring", ["foreign", "", ""])),
            (SlowDrip, Cell::shows("erring", ["timeout, body", "", ""])),
            (ResetConnection, Cell::shows("erring", ["reset, body", "", ""])),
        ],
    },
    Row {
        name: "text-generation-webui",
        label: "text-generation-webui",
        cells: &[
            (Idle, Cell::shows("online", ["ok", "1 loaded, 1 unloaded", "0 running, counted"])),
            (Loading, Cell::shows("loading", ["refused", "", ""]).but(REFUSES)),
            (Busy, Cell::shows("busy", ["ok", "1 loaded, 1 unloaded", "1 running, counted"])),
            (Stalled, Cell::shows("stalled", ["ok", "1 loaded, 1 unloaded", "1 running, counted"])),
            (Silent, Cell::shows("unresponsive", ["timeout, headers", "", ""])),
            (ModelMissing, Cell::shows("model_missing", ["ok", "1 loaded, 1 unloaded", "0 running, counted"])),
            (Unauthorised, Cell::shows("access", ["unauthorised", "", ""])),
            (AnotherServer, Cell::shows("port_conflict", ["foreign", "", ""]).but(SPEAKS)),
            (Errors, Cell::shows("erring", ["failed", "", ""])),
            (HalfAnAnswer, Cell::shows("erring", ["malformed", "", ""])),
            (WrongTypes, Cell::shows("erring", ["malformed", "", ""])),
            (SlowDrip, Cell::shows("erring", ["timeout, body", "", ""])),
            (ResetConnection, Cell::shows("erring", ["reset, body", "", ""])),
        ],
    },
    Row {
        name: "other-v1",
        label: "other `/v1`",
        cells: &[
            (Idle, Cell::shows("online", ["ok", "1 in a state not known", "work not known"])),
            (Loading, Cell::shows("online", ["ok", "1 in a state not known", "work not known"]).but(NO_ROUTE)),
            (Busy, Cell::shows("online", ["ok", "1 in a state not known", "work not known"]).but(NO_ROUTE)),
            (Stalled, Cell::shows("online", ["ok", "1 in a state not known", "work not known"]).but(NO_ROUTE)),
            (Silent, Cell::shows("unresponsive", ["timeout, headers", "", ""])),
            (ModelMissing, Cell::shows("model_missing", ["ok", "1 in a state not known", "work not known"])),
            (Unauthorised, Cell::shows("access", ["unauthorised", "", ""])),
            (AnotherServer, Cell::shows("port_conflict", ["foreign", "", ""]).but(SPEAKS)),
            (Errors, Cell::shows("erring", ["failed", "", ""])),
            (HalfAnAnswer, Cell::shows("erring", ["malformed", "", ""])),
            (WrongTypes, Cell::shows("erring", ["malformed", "", ""])),
            (SlowDrip, Cell::shows("erring", ["timeout, body", "", ""])),
            (ResetConnection, Cell::shows("erring", ["reset, body", "", ""])),
        ],
    },
    Row {
        name: "lm-studio",
        label: "LM Studio",
        cells: &[
            (Idle, Cell::shows("online", ["ok", "1 loaded, 1 unloaded", "1 engine, work not known"])),
            (Loading, Cell::shows("online", ["ok", "2 unloaded", "no engine"]).but(NOT_LISTED_YET)),
            (Busy, Cell::shows("online", ["ok", "1 loaded, 1 unloaded", "1 engine, work not known"]).but(NO_REQUESTS)),
            (
                Stalled,
                Cell::shows("online", ["ok", "1 loaded, 1 unloaded", "1 engine, work not known"]).but(NO_REQUESTS),
            ),
            (Silent, Cell::shows("unresponsive", ["timeout, headers", "", ""])),
            (ModelMissing, Cell::shows("model_missing", ["ok", "1 loaded, 1 unloaded", "1 engine, work not known"])),
            (Unauthorised, Cell::shows("access", ["ok", "unauthorised", "work not known"])),
            (AnotherServer, Cell::shows("port_conflict", ["foreign", "", ""])),
            (Errors, Cell::shows("erring", ["failed", "", ""])),
            (HalfAnAnswer, Cell::shows("erring", ["malformed", "", ""])),
            (WrongTypes, Cell::shows("erring", ["malformed", "", ""])),
            (SlowDrip, Cell::shows("erring", ["timeout, body", "", ""])),
            (ResetConnection, Cell::shows("erring", ["reset, body", "", ""])),
        ],
    },
    Row {
        name: "localai",
        label: "LocalAI",
        cells: &[
            (Idle, Cell::shows("online", ["ok", "1 loaded, 1 unloaded", "1 engine, work not known"])),
            (Loading, Cell::shows("loading", ["ok", "unavailable", "engine loading"])),
            (Busy, Cell::shows("online", ["ok", "1 loaded, 1 unloaded", "1 engine, work not known"]).but(LOCALAI_BUSY)),
            (
                Stalled,
                Cell::shows("online", ["ok", "1 loaded, 1 unloaded", "1 engine, work not known"]).but(LOCALAI_BUSY),
            ),
            (Silent, Cell::shows("unresponsive", ["timeout, headers", "", ""])),
            (ModelMissing, Cell::shows("model_missing", ["ok", "1 loaded, 1 unloaded", "1 engine, work not known"])),
            (Unauthorised, Cell::shows("access", ["ok", "unauthorised", "unauthorised"])),
            (AnotherServer, Cell::shows("port_conflict", ["foreign", "", ""])),
            (Errors, Cell::shows("erring", ["failed", "", ""])),
            (HalfAnAnswer, Cell::shows("online", ["ok", "malformed", "malformed"]).but(NO_BODY)),
            (WrongTypes, Cell::shows("online", ["ok", "malformed", "malformed"]).but(NO_BODY)),
            (SlowDrip, Cell::shows("online", ["ok", "timeout, body", "timeout, body"]).but(NO_BODY)),
            (ResetConnection, Cell::shows("erring", ["reset, headers", "", ""])),
        ],
    },
    Row {
        name: "localai-with-limits",
        label: "LocalAI, with limits",
        cells: &[
            (Idle, Cell::shows("online", ["ok", "1 loaded, 1 unloaded", "0 running"])),
            (Loading, Cell::shows("loading", ["ok", "unavailable", "engine loading"])),
            (Busy, Cell::shows("busy", ["ok", "1 loaded, 1 unloaded", "1 running"])),
            (Stalled, Cell::shows("stalled", ["ok", "1 loaded, 1 unloaded", "1 running"])),
            (Silent, Cell::shows("unresponsive", ["timeout, headers", "", ""])),
            (ModelMissing, Cell::shows("model_missing", ["ok", "1 loaded, 1 unloaded", "0 running"])),
            (Unauthorised, Cell::shows("access", ["ok", "unauthorised", "unauthorised"])),
            (AnotherServer, Cell::shows("port_conflict", ["foreign", "", ""])),
            (Errors, Cell::shows("erring", ["failed", "", ""])),
            (HalfAnAnswer, Cell::shows("online", ["ok", "malformed", "malformed"]).but(NO_BODY)),
            (WrongTypes, Cell::shows("online", ["ok", "malformed", "malformed"]).but(NO_BODY)),
            (SlowDrip, Cell::shows("online", ["ok", "timeout, body", "timeout, body"]).but(NO_BODY)),
            (ResetConnection, Cell::shows("erring", ["reset, headers", "", ""])),
        ],
    },
    Row {
        name: "custom",
        label: "custom",
        cells: &[
            (Idle, Cell::shows("online", ["ok", "1 loaded, 1 unloaded", "0 running, counted"])),
            (Loading, Cell::shows("loading", ["unavailable", "", ""])),
            (Busy, Cell::shows("busy", ["ok", "1 loaded, 1 unloaded", "1 running, counted"])),
            (Stalled, Cell::shows("stalled", ["ok", "1 loaded, 1 unloaded", "1 running, counted"])),
            (Silent, Cell::shows("unresponsive", ["timeout, headers", "", ""])),
            (ModelMissing, Cell::shows("model_missing", ["ok", "1 loaded, 1 unloaded", "0 running, counted"])),
            (Unauthorised, Cell::shows("access", ["unauthorised", "", ""])),
            (AnotherServer, Cell::shows("erring", ["malformed", "", ""]).but(CUSTOM)),
            (Errors, Cell::shows("erring", ["failed", "", ""])),
            (HalfAnAnswer, Cell::shows("erring", ["malformed", "", ""])),
            (WrongTypes, Cell::shows("erring", ["unavailable", "", ""])),
            (SlowDrip, Cell::shows("erring", ["timeout, body", "", ""])),
            (ResetConnection, Cell::shows("erring", ["reset, body", "", ""])),
        ],
    },
];
