//! Which class of fault a look shows, asked from top to bottom: the first that holds.

use std::time::Duration;

use ai_monitor_plugin_api::{
    event::{Depth, Outcome, Role},
    report::{InferenceResult, Phase},
};
use serde_json::{Map, Value, json};

use super::{
    fault::{EvidenceLine, FaultClass},
    look::{Look, Said, errs, silent},
    machine::{ENGINE_ENDS, Health, living},
    movement::Movement,
    signals::{PortHolder, RunState},
};

/// A class that shows itself in one look.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub class: FaultClass,
    pub depth: Depth,
    pub model: Option<String>,
    pub lines: Vec<EvidenceLine>,
    pub facts: Map<String, Value>,
    pub also: Vec<FaultClass>,
    /// Does all that the class demands hold, but for the second look?
    pub ripe: bool,
    /// Only an inference probe can decide.
    pub needs_token: bool,
    /// When to look again; `None`: at once.
    pub look_again: Option<Duration>,
}

impl Candidate {
    fn new(class: FaultClass, depth: Depth) -> Candidate {
        Candidate {
            class,
            depth,
            model: None,
            lines: Vec::new(),
            facts: Map::new(),
            also: Vec::new(),
            ripe: true,
            needs_token: false,
            look_again: None,
        }
    }

    fn line(mut self, from: &str, text: impl Into<String>) -> Candidate {
        self.lines.push(EvidenceLine { from: from.into(), text: text.into() });
        self
    }

    fn fact(mut self, name: &str, value: Value) -> Candidate {
        if !value.is_null() {
            self.facts.insert(name.into(), value);
        }
        self
    }
}

/// Little work does not show in a shorter time, by the steps in which the system counts it.
const SHORTEST_FLAT: Duration = Duration::from_secs(1);

type Rule = fn(&Health, &Look, &Movement) -> Option<Candidate>;

/// In the order of the list of classes.
const RULES: &[Rule] = &[port_conflict, dead, unresponsive, access, front_only, stalled, erring, model_missing];

/// The first class that holds, with the others that do named in it.
pub fn of(health: &Health, look: &Look, tree_moved: &Movement) -> Option<Candidate> {
    let mut holding = RULES.iter().filter_map(|rule| rule(health, look, tree_moved));
    let mut first = holding.next()?;
    first.also = holding.map(|c| c.class).collect();
    Some(first)
}

fn port_conflict(health: &Health, look: &Look, _: &Movement) -> Option<Candidate> {
    let facts = health.facts();
    // The target's own process is no other program, however strangely it answers: that is `erring`.
    let foreign = look.any(Outcome::Foreign).filter(|_| look.signals.port != PortHolder::Target);
    let other = look.signals.identity.as_ref().filter(|i| i.backend != facts.backend && !facts.any_identity);
    let held = match &look.signals.port {
        PortHolder::Other { name, id, supervisor, forwarder, ours } => Some((name, id, supervisor, forwarder, ours)),
        _ => None,
    };
    // A stranger that holds the port and does not answer as this backend. Where many programs speak the protocol and no
    // command says which one it should be, its file proves nothing: what it answers is judged.
    // What a plugin failed to ask says nothing of who holds the port.
    let answers = !matches!(look.said(Depth::Liveness), Said::Failed(_));
    let any_program = facts.any_identity && !facts.has_command;
    let stranger = held.filter(|_| !answers && !any_program);
    if foreign.is_none() && other.is_none() && stranger.is_none() {
        return None;
    }
    let mut c = Candidate::new(FaultClass::PortConflict, Depth::Liveness);
    if let Some((name, id, supervisor, forwarder, ours)) = held {
        let role = if *forwarder { ", which only forwards to another machine" } else { "" };
        c = c
            .line("ports", format!("the port is held by {name} ({id}){role}"))
            .fact("holder", json!(name))
            .fact("ours", json!(ours))
            .fact("supervisor", json!(supervisor));
    } else {
        c = c.fact("ours", json!(false));
    }
    if let Some(identity) = other {
        c = c.line("identify", format!("{} answers here, not {}", identity.backend, facts.backend));
        if held.is_none() {
            c = c.fact("holder", json!(identity.backend));
        }
    }
    if let Some(record) = foreign {
        c = c.line("liveness", record.sentence());
    }
    Some(c.fact("access_denied", json!(false)))
}

fn dead(health: &Health, look: &Look, tree_moved: &Movement) -> Option<Candidate> {
    let Said::Failed(record) = look.said(Depth::Liveness) else { return None };
    let gone = health.exit.is_some();
    if !matches!(record.outcome, Outcome::Refused | Outcome::Reset) || (record.outcome == Outcome::Reset && !gone) {
        return None;
    }
    let facts = health.facts();
    let living = living(look)?;
    let main_lives = living.iter().any(|p| p.role == Role::Main);
    let listens = look.signals.port == PortHolder::Target;
    if listens {
        return None;
    }
    let was_ready = if main_lives { health.ready } else { health.ever_ready };
    let wanted = facts.has_command && facts.autostart && facts.rival.is_none() && !main_lives;
    if !was_ready && !wanted && !gone {
        return None;
    }
    // Before its first ready a living process is loading, never dead (faults.md, rule 5).
    if main_lives && !health.ready {
        return None;
    }
    // One that closed its port and works on (llama-server does, at SIGTERM with a request in flight) is ending politely.
    if main_lives && matches!(tree_moved, Movement::Moved(_)) {
        return None;
    }
    let mut c = Candidate::new(FaultClass::Dead, Depth::Liveness);
    c.ripe = !main_lives || *tree_moved == Movement::Flat;
    if let Some(exit) = &health.exit {
        c = c
            .line("exit", exit.sentence())
            .fact("exit_code", json!(exit.code))
            .fact("signal", json!(exit.signal))
            .fact("uptime", json!(exit.uptime));
    } else if main_lives {
        c = c.line("ports", "its process lives and no longer listens");
    } else {
        c = c.line("tree", "no process of it lives");
    }
    let leftovers: Vec<String> = living.iter().map(|p| format!("{} ({})", p.exe, p.id)).collect();
    if !leftovers.is_empty() {
        c = c.line("tree", format!("left behind: {}", leftovers.join(", ")));
    }
    Some(c.line("liveness", record.sentence()).fact("oom", json!(false)).fact("leftovers", json!(leftovers.len())))
}

fn unresponsive(health: &Health, look: &Look, tree_moved: &Movement) -> Option<Candidate> {
    let living = living(look)?;
    let stopped = living.iter().find(|p| p.role == Role::Main && p.state == RunState::Stopped);
    if living.iter().any(|p| p.role == Role::Main && p.state == RunState::Traced) {
        return None; // somebody debugs it
    }
    let quiet = match look.said(Depth::Liveness) {
        Said::Failed(r) if silent(r) => Some(r),
        _ => None,
    };
    if living.is_empty() || (quiet.is_none() && stopped.is_none()) {
        return None;
    }
    if stopped.is_none() && matches!(tree_moved, Movement::Moved(_)) {
        return None; // it works: busy
    }
    let runner = living.iter().any(|p| p.role == Role::Engine && p.state == RunState::Stopped);
    let mut c = Candidate::new(FaultClass::Unresponsive, Depth::Liveness)
        .fact("flat_for", json!(health.flat_for(look.now).as_secs_f64()))
        .fact("runner", json!(runner && stopped.is_none()));
    if let Some(p) = stopped {
        c = c.line("tree", format!("{} ({}) is stopped (state T)", p.exe, p.id));
    }
    if let Some(record) = quiet {
        c = c.line("liveness", record.sentence());
    }
    c.ripe = stopped.is_some() || *tree_moved == Movement::Flat;
    if *tree_moved == Movement::Flat {
        c = c.line("cpu", format!("nothing moved for {} s", health.flat_for(look.now).as_secs()));
    }
    Some(c)
}

fn access(_: &Health, look: &Look, _: &Movement) -> Option<Candidate> {
    for depth in [Depth::Liveness, Depth::Readiness, Depth::Inference] {
        if let Said::Failed(record) = look.said(depth)
            && record.outcome == Outcome::Unauthorised
        {
            return Some(
                Candidate::new(FaultClass::Access, depth)
                    .line(depth.as_str(), record.sentence())
                    .fact("status", json!(record.status)),
            );
        }
    }
    None
}

fn front_only(health: &Health, look: &Look, _: &Movement) -> Option<Candidate> {
    let Said::Ok(front) = look.said(Depth::Liveness) else { return None };
    let facts = health.facts();
    let failed_symptom = look.symptoms().find(|s| matches!(s.id.as_str(), "engine_dead" | "model_crashed"));
    let lost = health.lost_for_good;
    let ends = health.engine_ends.len();
    let waiting = health.queued > 0 && health.running == 0 && health.still_for(look.now) >= facts.stall_after;
    let failed_phase = look.phase() == Some(Phase::Failed);
    let mut c = Candidate::new(FaultClass::FrontOnly, Depth::Inference)
        .line("liveness", front.sentence())
        .fact("child_gone", json!(lost || (ends >= ENGINE_ENDS && health.engine_lost)))
        .fact("waiting", json!(health.queued));
    if let Some(symptom) = failed_symptom {
        c.model = symptom.model.clone();
        c = c.line(look_line(look, &symptom.id), symptom.text.clone());
    } else if lost {
        c = c.line("tree", "an engine that had been there is gone, and this backend starts no new one");
    } else if ends >= ENGINE_ENDS {
        c = c.line("tree", format!("engines ended {ends} times in 10 minutes"));
    } else if failed_phase {
        c = c.line("readiness", "the server itself says that it failed");
    } else if waiting {
        c = c.line("progress", format!("{} requests wait and none is running", health.queued));
    } else {
        return None;
    }
    // A token proves that the engine lives, whatever else was seen.
    if look.inference() == Some(InferenceResult::Output) {
        return None;
    }
    // A backend that starts a new engine by itself may do so at the next request: only a token decides.
    let by_ends_alone = failed_symptom.is_none() && !lost && !failed_phase && !waiting;
    if by_ends_alone && look.inference() == Some(InferenceResult::Skipped) {
        return None;
    }
    c.ripe = !by_ends_alone || look.inference().is_some();
    c.needs_token = !c.ripe;
    Some(c)
}

fn look_line<'a>(look: &Look, symptom: &str) -> &'a str {
    let depth = look
        .observations
        .iter()
        .find(|o| o.report.as_ref().is_some_and(|r| r.symptoms.iter().any(|s| s.id == symptom)))
        .map(|o| o.depth);
    depth.map_or("symptom", Depth::as_str)
}

fn stalled(health: &Health, look: &Look, _: &Movement) -> Option<Candidate> {
    let Said::Ok(_) = look.said(Depth::Liveness) else { return None };
    // Whose processes are not known (remote) cannot be told from working hard.
    let living = living(look)?;
    let facts = health.facts();
    let stopped = living.iter().find(|p| p.role == Role::Engine && p.state == RunState::Stopped);
    if living.iter().any(|p| p.state == RunState::Traced) {
        return None;
    }
    if look.inference() == Some(InferenceResult::Output) {
        return None;
    }
    let progress_silent = match look.said(Depth::Progress) {
        Said::Failed(r) if silent(r) => Some(r),
        _ => None,
    };
    let token_late = look.inference() == Some(InferenceResult::Timeout);
    // Work in flight counts from when it was first seen. A route that is silent and a token that does not come are our
    // own requests, asked of what may have had nothing to do before.
    let (flat_for, still_for) = (health.flat_for(look.now), health.still_for(look.now));
    let in_flight = health.in_flight(look);
    let asked_in_vain = progress_silent.is_some() || token_late;
    let holds =
        stopped.is_some() || (in_flight && still_for >= SHORTEST_FLAT) || (asked_in_vain && flat_for >= SHORTEST_FLAT);
    // Asked for a token, and none could be asked for without harm: nothing is proven, and it is asked again in time.
    let undecidable = look.inference() == Some(InferenceResult::Skipped) && stopped.is_none() && !in_flight;
    if !holds || undecidable {
        return None;
    }
    let mut c = Candidate::new(FaultClass::Stalled, Depth::Progress)
        .fact("in_flight", json!(health.requests()))
        .fact("flat_for", json!(if in_flight { still_for } else { flat_for }.as_secs_f64()))
        .fact("own_request", json!(look.signals.own_requests > 0));
    c.model = engine_model(look, stopped.map(|p| p.session_id.as_str()));
    if let Some(p) = stopped {
        c = c.line("tree", format!("the engine {} ({}) is stopped (state T)", p.exe, p.id));
    }
    if let Some(record) = progress_silent {
        c = c.line("progress", record.sentence());
    }
    if token_late {
        c.depth = Depth::Inference;
        c = c.line("inference", "no token in the time given");
    }
    if in_flight {
        c = c.line("progress", format!("{} in flight, flat for {} s", health.requests(), still_for.as_secs()));
    }
    let long_enough = |time: Duration| time >= facts.stall_after;
    // In flight is known, or our own request is what stands still: else only a token decides.
    c.ripe = stopped.is_some() || (in_flight && long_enough(still_for)) || (token_late && long_enough(flat_for));
    c.needs_token = !c.ripe && !in_flight && long_enough(flat_for);
    if !c.ripe && !c.needs_token {
        c.look_again = Some((facts.stall_after / 4).clamp(Duration::from_millis(300), Duration::from_millis(2500)));
    }
    Some(c)
}

/// The model of the engine that stands still, where the report tells.
fn engine_model(look: &Look, process: Option<&str>) -> Option<String> {
    let engines = look.engines()?;
    let by_process = engines.iter().find(|e| process.is_some() && e.process.as_deref() == process);
    let engine = by_process.or_else(|| engines.iter().find(|e| e.running.unwrap_or(0) > 0)).or(engines.first())?;
    engine.model.clone()
}

fn erring(health: &Health, look: &Look, _: &Movement) -> Option<Candidate> {
    if look.phase() == Some(Phase::Loading) {
        return None;
    }
    for depth in [Depth::Liveness, Depth::Inference] {
        let failed = match look.said(depth) {
            Said::Failed(r) if r.outcome == Outcome::Foreign && look.signals.port != PortHolder::Target => None,
            Said::Failed(r) if errs(r) => Some(r),
            _ => None,
        };
        let token_failed = depth == Depth::Inference && look.inference() == Some(InferenceResult::Failed);
        if failed.is_none() && !token_failed {
            continue;
        }
        let count = health.errors.get(&depth).copied().unwrap_or(1);
        let mut c = Candidate::new(FaultClass::Erring, depth).fact("failed", json!(count)).fact("of", json!(count));
        c = match failed {
            Some(record) => c.line(depth.as_str(), record.sentence()),
            None => c.line("inference", "the inference failed"),
        };
        return Some(c);
    }
    None
}

/// A model that the configuration requires is in no list; where the list is not known, nothing is said. What does not
/// answer or is still loading lists nothing that counts.
fn model_missing(health: &Health, look: &Look, _: &Movement) -> Option<Candidate> {
    let Said::Ok(_) = look.said(Depth::Liveness) else { return None };
    if matches!(look.phase(), Some(Phase::Loading | Phase::Starting)) {
        return None;
    }
    let models = look.models()?;
    let is_there = |wanted: &String| models.iter().any(|m| m.id == *wanted || m.aliases.contains(wanted));
    let mut missing = health.facts().models.iter().filter(|wanted| !is_there(wanted));
    let first = missing.next()?;
    let count = models.len();
    let s = if count == 1 { "" } else { "s" };
    let mut c = Candidate::new(FaultClass::ModelMissing, Depth::Readiness)
        .line("readiness", format!("{first} is not among its {count} model{s}"));
    for more in missing {
        c = c.line("readiness", format!("nor is {more}"));
    }
    c.model = Some(first.clone());
    Some(c)
}
