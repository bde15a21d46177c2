//! The one table of acts: names, rungs, arguments, results. Checks, policies and the executor all read this.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What is lost if the act is right. A total order: guards speak in rungs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// Nothing.
    Look,
    /// Our own request.
    Request,
    /// Nothing that lives; resources are used.
    Start,
    /// A loaded model.
    Model,
    /// Its engine child.
    Runner,
    /// All requests of the server.
    Stop,
    /// And what it had no time to save.
    Kill,
    /// The device's other users.
    Device,
}

impl Rung {
    pub const ALL: [Rung; 8] =
        [Rung::Look, Rung::Request, Rung::Start, Rung::Model, Rung::Runner, Rung::Stop, Rung::Kill, Rung::Device];

    pub fn as_str(self) -> &'static str {
        match self {
            Rung::Look => "look",
            Rung::Request => "request",
            Rung::Start => "start",
            Rung::Model => "model",
            Rung::Runner => "runner",
            Rung::Stop => "stop",
            Rung::Kill => "kill",
            Rung::Device => "device",
        }
    }
}

/// Which budget an act draws on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetKind {
    /// Only counted.
    None,
    Starts,
    Repairs,
}

/// The type of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgType {
    /// Seconds, 0 or more.
    Seconds,
    Bool,
    Text,
    /// `info`, `warn`, `urgent`.
    Level,
}

/// One act: everything that is known of it.
#[derive(Debug, PartialEq, Eq)]
pub struct ActSpec {
    pub name: &'static str,
    pub rung: Rung,
    pub budget: BudgetKind,
    pub args: &'static [(&'static str, ArgType)],
    pub required: &'static [&'static str],
    /// Results beside `done`, `unsupported` and `refused`.
    pub results: &'static [&'static str],
    /// It works on a model; default: the incident's.
    pub on_model: bool,
    /// Does this build have it? One that is not built answers `unsupported`.
    pub built: bool,
}

/// Arguments of every act.
pub const COMMON_ARGS: &[(&str, ArgType)] = &[("because", ArgType::Text), ("ask", ArgType::Bool)];

use ArgType::{Bool, Level, Seconds, Text};

const START_RESULTS: &[&str] = &["exited", "not_ready", "no_memory", "port_conflict"];

/// Sorted by rung.
pub const ACTS: &[ActSpec] = &[
    ActSpec {
        name: "wait",
        rung: Rung::Look,
        budget: BudgetKind::None,
        args: &[("seconds", Seconds), ("window", Bool)],
        required: &[],
        results: &["no_window"],
        on_model: false,
        built: true,
    },
    ActSpec {
        name: "collect",
        rung: Rung::Look,
        budget: BudgetKind::None,
        args: &[("note", Text)],
        required: &[],
        results: &["partial"],
        on_model: false,
        built: true,
    },
    ActSpec {
        name: "notify",
        rung: Rung::Look,
        budget: BudgetKind::None,
        args: &[("text", Text), ("level", Level)],
        required: &["text"],
        results: &["failed"],
        on_model: false,
        built: true,
    },
    ActSpec {
        name: "cancel",
        rung: Rung::Request,
        budget: BudgetKind::Repairs,
        args: &[],
        required: &[],
        results: &["nothing"],
        on_model: false,
        built: true,
    },
    ActSpec {
        name: "adopt",
        rung: Rung::Start,
        budget: BudgetKind::Repairs,
        args: &[],
        required: &[],
        results: &["not_ours", "supervised"],
        on_model: false,
        built: true,
    },
    ActSpec {
        name: "start",
        rung: Rung::Start,
        budget: BudgetKind::Starts,
        args: &[("debug", Bool), ("other_port", Bool), ("within", Seconds)],
        required: &[],
        results: START_RESULTS,
        on_model: false,
        built: true,
    },
    ActSpec {
        name: "reap",
        rung: Rung::Start,
        budget: BudgetKind::Repairs,
        args: &[],
        required: &[],
        results: &["nothing", "foreign", "survived"],
        on_model: false,
        built: true,
    },
    ActSpec {
        name: "clean_temp",
        rung: Rung::Start,
        budget: BudgetKind::Repairs,
        args: &[("older_than", Seconds)],
        required: &[],
        results: &["nothing", "failed"],
        on_model: false,
        built: true,
    },
    ActSpec {
        name: "load",
        rung: Rung::Start,
        budget: BudgetKind::Repairs,
        args: &[("model", Text)],
        required: &[],
        results: &["failed", "no_memory"],
        on_model: true,
        built: true,
    },
    ActSpec {
        name: "pull",
        rung: Rung::Start,
        budget: BudgetKind::Repairs,
        args: &[("model", Text)],
        required: &[],
        results: &["failed"],
        on_model: true,
        built: true,
    },
    ActSpec {
        name: "unload",
        rung: Rung::Model,
        budget: BudgetKind::Repairs,
        args: &[("model", Text)],
        required: &[],
        results: &["nothing", "still_loaded", "failed"],
        on_model: true,
        built: true,
    },
    ActSpec {
        name: "reload",
        rung: Rung::Model,
        budget: BudgetKind::Repairs,
        args: &[("model", Text), ("within", Seconds)],
        required: &[],
        results: &["still_loaded", "load_failed"],
        on_model: true,
        built: true,
    },
    ActSpec {
        name: "end_runner",
        rung: Rung::Runner,
        budget: BudgetKind::Repairs,
        args: &[("model", Text)],
        required: &[],
        results: &["nothing", "survived"],
        on_model: true,
        built: true,
    },
    ActSpec {
        name: "hand_over",
        rung: Rung::Stop,
        budget: BudgetKind::Starts,
        args: &[("within", Seconds)],
        required: &[],
        results: &["none", "failed"],
        on_model: false,
        built: false,
    },
    ActSpec {
        name: "restart",
        rung: Rung::Stop,
        budget: BudgetKind::Starts,
        args: &[("grace", Seconds), ("force", Bool), ("debug", Bool), ("within", Seconds)],
        required: &[],
        results: &["ignored", "survived", "exited", "not_ready", "no_memory", "port_conflict"],
        on_model: false,
        built: true,
    },
    ActSpec {
        name: "reload_driver",
        rung: Rung::Device,
        budget: BudgetKind::Starts,
        args: &[],
        required: &[],
        results: &["in_use", "failed"],
        on_model: false,
        built: false,
    },
];

/// The act of this name.
pub fn spec(name: &str) -> Option<&'static ActSpec> {
    ACTS.iter().find(|a| a.name == name)
}

/// What a policy asked: checked against [`ACTS`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActCall {
    /// A name of [`ACTS`].
    pub act: String,
    /// The arguments that the policy gave, without `because` and `ask`. Seconds are numbers.
    pub args: Map<String, Value>,
    pub because: Option<String>,
    pub ask: bool,
    /// `default.lua:38`.
    pub line: String,
}

impl ActCall {
    pub fn spec(&self) -> &'static ActSpec {
        spec(&self.act).expect("an ActCall is built by the policy room from a name of ACTS")
    }

    /// `restart{grace=5}`.
    pub fn sentence(&self) -> String {
        if self.args.is_empty() {
            return self.act.clone();
        }
        let args: Vec<String> = self.args.iter().map(|(k, v)| format!("{k}={v}")).collect();
        format!("{}{{{}}}", self.act, args.join(","))
    }
}

/// How an act ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// `done`, one of the act's own results, `unsupported` or `refused`.
    pub result: String,
    pub took: Duration,
    /// Which guard refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// How far a restart came: `stop`, `kill`, `start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// For people.
    #[serde(default)]
    pub detail: String,
    /// Did it change anything in the world? Then the host looks again.
    #[serde(default)]
    pub changed: bool,
}

impl Outcome {
    pub fn new(result: &str, detail: impl Into<String>) -> Outcome {
        Outcome {
            result: result.into(),
            took: Duration::ZERO,
            by: None,
            step: None,
            detail: detail.into(),
            changed: false,
        }
    }

    pub fn done(detail: impl Into<String>) -> Outcome {
        Outcome { changed: true, ..Outcome::new("done", detail) }
    }

    pub fn refused(by: &str, detail: impl Into<String>) -> Outcome {
        Outcome { by: Some(by.into()), ..Outcome::new("refused", detail) }
    }

    pub fn ok(&self) -> bool {
        self.result == "done"
    }
}
