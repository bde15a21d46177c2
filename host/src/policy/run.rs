//! A policy that runs for one incident: it enters a ladder and says one step after the other.

use std::sync::Arc;

use mlua::{Table, Thread, Value as LuaValue, thread::ThreadStatus};
use serde_json::{Map, Value, json};

use super::{
    error::PolicyError,
    host::Host,
    incident_shape::{INCIDENT, OUTCOME},
    meter::Limits,
    place::place_of_failed,
    sandbox::Machine,
    step::Step,
    store::{PolicySources, SHIPPED_DEFAULT},
};
use crate::{health::fault::FaultClass, incident::act::Outcome, journal::record::SourceFile};

/// Why a file's ladder is the one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The policy has a ladder for the class.
    Own,
    /// It has one for every class without its own.
    Any,
    /// It has neither: the shipped default's.
    Default,
}

impl Why {
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Own => "own",
            Why::Any => "any",
            Why::Default => "the default's",
        }
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A ladder was entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// `default.lua`
    pub file: String,
    pub why: Why,
}

/// One policy for one incident. It can be moved between threads.
pub struct PolicyRun {
    machine: Machine,
    name: String,
    /// File names.
    main: String,
    fallback: String,
    /// The file whose ladder was entered last.
    current: Option<String>,
    thread: Option<Thread>,
    incident: Option<Table>,
    failed: Option<String>,
    watches_reads: bool,
}

impl std::fmt::Debug for PolicyRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyRun").field("policy", &self.name).field("current", &self.current).finish_non_exhaustive()
    }
}

impl PolicyRun {
    /// Loads the policy and the shipped default from recorded sources. `settings`: `grace` (s), `attempts` and the
    /// policy's own ([`super::settings::of_target`]).
    ///
    /// # Errors
    /// The top level failed or spent its budget, or the sources are incomplete.
    pub fn start(sources: &PolicySources, settings: Value) -> Result<PolicyRun, PolicyError> {
        Self::start_within(sources, settings, Limits::default())
    }

    pub(super) fn start_within(
        sources: &PolicySources,
        settings: Value,
        limits: Limits,
    ) -> Result<PolicyRun, PolicyError> {
        let files: Arc<[SourceFile]> = sources.files.clone().into();
        let name = sources.name.clone();
        let source_of = move |file: &str| {
            files
                .iter()
                .find(|f| f.name == file)
                .cloned()
                .ok_or_else(|| PolicyError::Incomplete { policy: name.clone(), file: file.into() })
        };
        let given = match settings {
            Value::Object(given) => given,
            _ => Map::new(),
        };
        let machine = Machine::new(Host::new(limits, Box::new(source_of), given))?;
        let main = format!("{}.lua", sources.name);
        machine.load(&main)?;
        let fallback = sources.fallback().to_owned();
        if !machine.host.state().files.iter().any(|f| f.source.name == fallback) {
            machine.load(&fallback)?;
        }
        machine.host.state().running = true;
        Ok(PolicyRun {
            machine,
            name: sources.name.clone(),
            main,
            fallback,
            current: None,
            thread: None,
            incident: None,
            failed: None,
            watches_reads: false,
        })
    }

    /// Begins the ladder of a class: its own, else `any`, else the shipped default's. What ran before is dropped.
    ///
    /// # Errors
    /// The policy has failed already, or nobody has a ladder (`self_inflicted`).
    pub fn enter(&mut self, class: FaultClass) -> Result<Entered, PolicyError> {
        let (main, fallback) = (self.main.clone(), self.fallback.clone());
        let choices = [
            (&main, class.as_str(), Why::Own),
            (&main, "any", Why::Any),
            (&fallback, class.as_str(), Why::Default),
            (&fallback, "any", Why::Default),
        ];
        for (file, part, why) in choices {
            if let Some(ladder) = self.ladder(file, part)? {
                return self.begin(ladder, file.clone(), why);
            }
        }
        Err(PolicyError::NoLadder { policy: self.name.clone(), class: class.to_string() })
    }

    /// Begins the debug part of the file whose ladder ended. `None`: there is none.
    ///
    /// # Errors
    /// The policy has failed already.
    pub fn enter_debug(&mut self) -> Result<Option<Entered>, PolicyError> {
        let file = self.current.clone().unwrap_or_else(|| self.main.clone());
        let Some(part) = self.ladder(&file, "debug")? else { return Ok(None) };
        let why = if file == self.main { Why::Own } else { Why::Default };
        self.begin(part, file, why).map(Some)
    }

    /// Begins the care for a healthy target. `None`: this policy has none.
    ///
    /// # Errors
    /// The policy has failed already.
    pub fn enter_upkeep(&mut self) -> Result<Option<Entered>, PolicyError> {
        let Some(part) = self.ladder(&self.main, "upkeep")? else { return Ok(None) };
        self.begin(part, self.main.clone(), Why::Own).map(Some)
    }

    fn ladder(&self, file: &str, part: &str) -> Result<Option<mlua::Function>, PolicyError> {
        match &self.failed {
            Some(failed) => Err(PolicyError::Spent(failed.clone())),
            None => self.machine.ladder(file, part).map_err(PolicyError::Spent),
        }
    }

    fn begin(&mut self, part: mlua::Function, file: String, why: Why) -> Result<Entered, PolicyError> {
        let thread = self.machine.lua.create_thread(part);
        let thread = self.machine.outcome(thread).map_err(PolicyError::Spent)?;
        self.thread = Some(thread);
        self.current = Some(file.clone());
        Ok(Entered { file, why })
    }

    /// Runs until the next step. `outcome`: of the act asked last, `None` right after entering. `incident`: by the
    /// table of fields, brought up to date. It blocks for 100 ms at most of its own time; see [`super::watch`].
    ///
    /// A [`Step::Failed`] is final: from then on every resume says the same.
    pub fn resume(&mut self, incident: &Value, outcome: Option<&Outcome>) -> Step {
        if let Some(error) = &self.failed {
            return Step::Failed { error: error.clone() };
        }
        match self.burst(incident, outcome) {
            Ok(step) => {
                if !matches!(step, Step::Act(_)) {
                    self.thread = None;
                }
                step
            }
            Err(error) => {
                self.thread = None;
                self.failed = Some(error.clone());
                Step::Failed { error }
            }
        }
    }

    fn burst(&mut self, incident: &Value, outcome: Option<&Outcome>) -> Result<Step, String> {
        let Some(thread) = self.thread.clone() else { return Err("no ladder was entered".into()) };
        self.machine.host.meter.begin(false);
        self.machine.host.state().asked = None;
        let argument = self.argument(incident, outcome);
        let argument = self.machine.outcome(argument)?;
        let resumed = thread.resume::<()>(argument);
        self.machine.outcome_at(resumed, || place_of_failed(&thread))?;
        if thread.status() != ThreadStatus::Resumable {
            return Ok(Step::End);
        }
        self.machine.host.state().asked.take().ok_or_else(|| "it stopped without asking for anything".into())
    }

    /// The incident for a function that begins, the outcome for an act that waits for it.
    fn argument(&mut self, incident: &Value, outcome: Option<&Outcome>) -> mlua::Result<LuaValue> {
        let empty = Map::new();
        let fields = incident.as_object().unwrap_or(&empty);
        let table = self.machine.record(&INCIDENT, fields, self.incident.take())?;
        self.incident = Some(table.clone());
        let Some(outcome) = outcome else { return Ok(LuaValue::Table(table)) };
        let answer = json!({
            "result": outcome.result, "ok": outcome.ok(), "took": outcome.took.as_secs_f64(),
            "by": outcome.by, "step": outcome.step, "detail": outcome.detail,
        });
        let fields = answer.as_object().unwrap_or(&empty);
        let answer = self.machine.record(&OUTCOME, fields, None)?;
        if !self.watches_reads {
            return Ok(LuaValue::Table(answer));
        }
        let number = (self.machine.host.state().acts as usize).saturating_sub(1);
        Ok(LuaValue::Table(self.machine.watched(number, answer)?))
    }

    /// For a walk: notes which outcomes the policy reads.
    pub(super) fn watch_reads(&mut self) {
        self.watches_reads = true;
    }

    /// The acts whose outcomes were read, by number, each with how many acts had been asked by then.
    pub(super) fn reads(&self) -> Vec<(usize, usize)> {
        self.machine.host.state().reads.clone()
    }

    /// The lines of `log` since the last call, each with its place.
    pub fn take_logs(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.machine.host.state().logs)
    }

    /// Lines of `log` beyond the limit: counted and dropped.
    pub fn dropped_logs(&self) -> u32 {
        self.machine.host.state().dropped_logs
    }

    /// Bytes that its machine holds now.
    pub fn used_memory(&self) -> usize {
        self.machine.lua.used_memory()
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Is the shipped default among these under a name of its own, because the user's folder has another?
pub(super) fn fallback_of(files: &[SourceFile]) -> &'static str {
    if files.iter().any(|f| f.name == SHIPPED_DEFAULT) { SHIPPED_DEFAULT } else { "default.lua" }
}
