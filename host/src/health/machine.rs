//! The state machine: looks and exit events in, a verdict out.
//!
//! No verdict, bad or good, rests on one look (measured: `/health` still answered 0.3 ms after SIGSTOP). A first
//! failure asks for a second look at once; a class is confirmed when the second shows it too, and whatever else the
//! class demands holds.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use ai_monitor_plugin_api::{
    event::{Depth, Role},
    manifest::LostEngine,
    report::{InferenceResult, ModelState, Phase},
};
use jiff::Timestamp;

use super::{
    candidate::{self, Candidate},
    fault::{Evidence, Fault, FaultClass},
    look::{Look, Said},
    movement::{Measures, Movement, Scope},
    signals::{PortHolder, ProcessId, RunState, TreeProcess},
    state::State,
};
use crate::time::Now;

/// How long after a sleep of the machine nothing is confirmed: all timers start afresh (faults.md, rule 8).
pub const SUSPEND_GRACE: Duration = Duration::from_secs(60);
/// The wall clock may be set; a sleep is longer than any correction of it that should matter.
const SUSPEND_GAP: Duration = Duration::from_secs(20);
/// The second look is asked for at once; so much lies between two looks, that a burst of them measures something.
pub const SECOND_LOOK: Duration = Duration::from_millis(300);
/// Engines that end so often within [`ENGINE_ENDS_WINDOW`] are not coming back by themselves.
pub const ENGINE_ENDS: usize = 3;
pub const ENGINE_ENDS_WINDOW: Duration = Duration::from_secs(600);

/// What does not change from look to look.
#[derive(Debug, Clone)]
pub struct Facts {
    pub backend: String,
    /// The address is not on this machine: no process stands behind it.
    pub remote: bool,
    /// There is a command to start it with.
    pub has_command: bool,
    /// A target with a command that does not run is started (unless this is off and it was never seen ready).
    pub autostart: bool,
    /// Who else is set to start it, as of the last look at which nothing of it ran: at boot it may only be slower, and is
    /// waited for (faults.md, rule 5).
    pub rival: Option<String>,
    /// Many speak this protocol: an identity of another plugin never makes it another's (plugin-contract, 6).
    pub any_identity: bool,
    pub lost_engine: Option<LostEngine>,
    /// T: flat for so long with work in flight is a stall.
    pub stall_after: Duration,
    /// Models that the configuration requires, by id or alias.
    pub models: Vec<String>,
}

/// What a look led to.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub state: State,
    /// One sentence.
    pub why: String,
    /// A confirmed fault.
    pub fault: Option<Fault>,
    /// A sign that is not confirmed.
    pub suspect: Option<FaultClass>,
    pub again: Again,
    /// What progresses, in words.
    pub moving: Option<String>,
    /// Requests at work or waiting, now or when last known.
    pub in_flight: bool,
}

/// When the next look is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Again {
    AtInterval,
    After(Duration),
    /// With an inference probe: everything else stands still, and only a token decides.
    Infer,
}

impl Verdict {
    /// It serves, and nothing speaks against it.
    pub fn is_sound(&self) -> bool {
        self.fault.is_none()
            && self.suspect.is_none()
            && matches!(self.state, State::Online | State::Busy | State::Sleeping | State::Slow)
    }

    /// It serves what it has, though a model that the configuration requires may not be among it. For what is learnt of a
    /// server that runs (it was ready, so much it held), never for calling it well: that is [`Verdict::is_sound`].
    pub fn serves(&self) -> bool {
        let class = self.fault.as_ref().map(|fault| fault.class).or(self.suspect);
        self.is_sound() || class == Some(FaultClass::ModelMissing)
    }

    /// A class showed itself and is not confirmed yet.
    pub fn is_undecided(&self) -> bool {
        self.suspect.is_some() && self.fault.is_none()
    }
}

/// How a process ended, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitSeen {
    pub process: ProcessId,
    pub code: Option<i32>,
    pub signal: Option<i32>,
    /// s, where the start is known.
    pub uptime: Option<u64>,
}

impl ExitSeen {
    /// "4711 was ended by SIGKILL, cause not proven": evidence, not adjectives (faults.md, rule 7).
    pub fn sentence(&self) -> String {
        match (self.code, self.signal) {
            (_, Some(9)) => format!("{} was ended by SIGKILL, cause not proven", self.process),
            (_, Some(signal)) => format!("{} was ended by signal {signal}", self.process),
            (Some(code), _) => format!("{} exited with {code}", self.process),
            _ => format!("{} ended; how is not known to a process that is not its parent", self.process),
        }
    }
}

#[derive(Debug, Clone)]
struct Suspicion {
    class: FaultClass,
    since: Timestamp,
    failures: u32,
}

/// The memory of one target.
#[derive(Debug, Clone)]
pub struct Health {
    facts: Facts,
    /// This target was ready once (by the journal, or since).
    pub(super) ever_ready: bool,
    /// The process that lives now was ready once.
    pub(super) ready: bool,
    root: Option<ProcessId>,
    pub(super) exit: Option<ExitSeen>,
    suspicion: Option<Suspicion>,
    state: State,
    last: Option<(Now, Measures)>,
    /// Since when nothing moved, by what counts for a stall.
    flat_since: Option<Duration>,
    /// What was measured when something last moved, or work came in: little work does not show from one look to the
    /// next, and adds up.
    flat_base: Option<Measures>,
    /// Since when work has been seen in flight, at each look.
    work_since: Option<Duration>,
    /// Requests at work and waiting when last known.
    pub(super) running: u64,
    pub(super) queued: u64,
    /// Engines that were there, each with what it means that it is gone.
    engines: BTreeMap<ProcessId, Option<LostEngine>>,
    pub(super) engine_ends: VecDeque<Duration>,
    pub(super) engine_lost: bool,
    /// One is gone of a kind that never comes back, and none has come since.
    pub(super) lost_for_good: bool,
    grace_until: Option<Duration>,
    /// Consecutive bad looks of liveness or inference, for `erring`.
    pub(super) errors: BTreeMap<Depth, u32>,
}

impl Health {
    /// `ever_ready`: by the journal, it was ready once before this monitor began.
    pub fn new(facts: Facts, ever_ready: bool) -> Health {
        Health {
            facts,
            ever_ready,
            ready: false,
            root: None,
            exit: None,
            suspicion: None,
            state: State::Unknown,
            last: None,
            flat_since: None,
            flat_base: None,
            work_since: None,
            running: 0,
            queued: 0,
            engines: BTreeMap::new(),
            engine_ends: VecDeque::new(),
            engine_lost: false,
            lost_for_good: false,
            grace_until: None,
            errors: BTreeMap::new(),
        }
    }

    /// The target's plugin is another: what was seen of the target stays known.
    pub fn set_facts(&mut self, facts: Facts) {
        self.facts = facts;
    }

    /// Who else is set to start it now.
    pub fn set_rival(&mut self, rival: Option<String>) {
        self.facts.rival = rival;
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    pub fn ever_ready(&self) -> bool {
        self.ever_ready
    }

    /// Counters start afresh: after a start, a restart, a sleep of the machine. What the target has been stays known.
    pub fn afresh(&mut self) {
        *self = Health {
            ever_ready: self.ever_ready,
            engine_ends: std::mem::take(&mut self.engine_ends),
            ..Health::new(self.facts.clone(), false)
        };
    }

    /// The watched server process ended. The look that must follow at once confirms it.
    pub fn exited(&mut self, exit: ExitSeen, now: Now) {
        self.suspicion = Some(Suspicion { class: FaultClass::Dead, since: now.wall, failures: 1 });
        self.exit = Some(exit);
    }

    /// One look.
    pub fn look(&mut self, look: &Look) -> Verdict {
        if let Some(verdict) = self.slept(look) {
            return verdict;
        }
        self.notice_processes(look);
        let measures = Measures::of(look);
        let movement = |scope| match &self.last {
            Some((_, earlier)) => measures.since(earlier, scope),
            None => Movement::NotKnown("it was looked at for the first time"),
        };
        let tree_moved = movement(Scope::Tree);
        let engines_moved = match (movement(Scope::Engines), &self.flat_base) {
            (Movement::Flat, Some(base)) => measures.since(base, Scope::Engines),
            (moved, _) => moved,
        };
        self.notice_flatness(look, &engines_moved, &measures);
        self.notice_work(look, &measures);
        self.notice_errors(look);
        self.last = Some((look.now, measures));

        let verdict = match candidate::of(self, look, &tree_moved) {
            Some(candidate) => self.weigh(candidate, look, &tree_moved),
            None => self.well(look, &engines_moved),
        };
        if verdict.serves() {
            (self.ready, self.ever_ready) = (true, true);
            self.exit = None;
        }
        self.state = verdict.state;
        verdict
    }

    /// A gap between the clocks means that the machine slept.
    fn slept(&mut self, look: &Look) -> Option<Verdict> {
        let (before, _) = self.last.as_ref()?;
        let mono = look.now.mono.saturating_sub(before.mono);
        let wall = look.now.wall.duration_since(before.wall);
        let gap = Duration::try_from(wall).unwrap_or_default().saturating_sub(mono);
        if gap < SUSPEND_GAP {
            return None;
        }
        let state = self.state;
        self.afresh();
        self.state = state;
        self.grace_until = Some(look.now.mono + SUSPEND_GRACE);
        Some(Verdict {
            state,
            why: format!("the machine slept for {} s: looking afresh", gap.as_secs()),
            fault: None,
            suspect: None,
            again: Again::After(SECOND_LOOK),
            moving: None,
            in_flight: false,
        })
    }

    fn notice_processes(&mut self, look: &Look) {
        let Some(tree) = &look.signals.tree else { return };
        // Leftovers alone have no root: they are no new server.
        let root = tree.iter().find(|p| p.role == Role::Main).map(|p| p.id);
        if root.is_some() && self.root.is_some() && root != self.root {
            // Another process: what the old one was counts for nothing.
            self.ready = false;
            self.engines.clear();
            self.engine_lost = false;
            self.lost_for_good = false;
            self.exit = None;
        }
        if root.is_some() {
            self.root = root;
        }
        let engines = tree.iter().filter(|p| p.role == Role::Engine && p.state != RunState::Zombie);
        let living: BTreeMap<ProcessId, Option<LostEngine>> =
            engines.map(|p| (p.id, p.lost_engine.or(self.facts.lost_engine))).collect();
        let gone: Vec<_> = self.engines.iter().filter(|(id, _)| !living.contains_key(id)).map(|(_, l)| *l).collect();
        let lost = gone.len();
        // An engine that goes with its model was unloaded; one that leaves its model listed died.
        let loaded = look.models().map(|m| m.iter().filter(|m| m.state == Some(ModelState::Loaded)).count());
        let died = loaded.map_or(lost, |loaded| lost.min(loaded.saturating_sub(living.len())));
        for _ in 0..died {
            self.engine_ends.push_back(look.now.mono);
        }
        while self.engine_ends.front().is_some_and(|at| look.now.mono.saturating_sub(*at) > ENGINE_ENDS_WINDOW) {
            self.engine_ends.pop_front();
        }
        self.engine_lost = living.is_empty() && (lost > 0 || self.engine_lost);
        let is_one_new = living.keys().any(|id| !self.engines.contains_key(id));
        self.lost_for_good = gone.contains(&Some(LostEngine::Never)) || (self.lost_for_good && !is_one_new);
        self.engines = living;
    }

    fn notice_flatness(&mut self, look: &Look, movement: &Movement, measures: &Measures) {
        if matches!(movement, Movement::Moved(_)) || self.flat_base.is_none() || look.signals.tree.is_none() {
            self.flat_base = Some(measures.clone());
        }
        match movement {
            Movement::Flat => {
                let before = self.last.as_ref().map_or(look.now.mono, |(now, _)| now.mono);
                self.flat_since.get_or_insert(before);
            }
            Movement::Moved(_) => self.flat_since = None,
            // Too short a window says nothing; what cannot be read is not flat.
            Movement::NotKnown(_) if look.signals.tree.is_none() => self.flat_since = None,
            Movement::NotKnown(_) => {}
        }
    }

    fn notice_work(&mut self, look: &Look, measures: &Measures) {
        let known: Vec<_> = look.engines().unwrap_or_default().iter().filter(|e| e.running.is_some()).collect();
        if !known.is_empty() {
            self.running = known.iter().filter_map(|e| e.running).fold(0, u64::saturating_add);
            self.queued = known.iter().filter_map(|e| e.queued).fold(0, u64::saturating_add);
        } else if look.engines().is_some_and(<[_]>::is_empty) {
            (self.running, self.queued) = (0, 0);
        }
        if !self.in_flight(look) {
            self.work_since = None;
        } else if self.work_since.is_none() {
            self.work_since = Some(look.now.mono);
            // Spread over the idle time before it, what it does would be too little to be called movement.
            self.flat_base = Some(measures.clone());
        }
    }

    fn notice_errors(&mut self, look: &Look) {
        for depth in [Depth::Liveness, Depth::Inference] {
            match look.said(depth) {
                Said::Ok(_) => {
                    self.errors.remove(&depth);
                }
                Said::Failed(r) if super::look::errs(r) => *self.errors.entry(depth).or_default() += 1,
                Said::Failed(_) | Said::Nothing => {}
            }
        }
    }

    /// How long nothing moved, with work to do or without.
    pub(super) fn flat_for(&self, now: Now) -> Duration {
        self.flat_since.map_or(Duration::ZERO, |since| now.mono.saturating_sub(since))
    }

    /// How long nothing moved though there was work all that time: what idles stands still, too, and rightly.
    pub(super) fn still_for(&self, now: Now) -> Duration {
        let working_for = self.work_since.map_or(Duration::ZERO, |since| now.mono.saturating_sub(since));
        self.flat_for(now).min(working_for)
    }

    /// Those that run and those that wait. A plugin's numbers are anything at all.
    pub(super) fn requests(&self) -> u64 {
        self.running.saturating_add(self.queued)
    }

    pub(super) fn in_flight(&self, look: &Look) -> bool {
        self.requests() > 0 || look.signals.own_requests > 0
    }

    /// A class shows itself: is it confirmed?
    fn weigh(&mut self, candidate: Candidate, look: &Look, tree_moved: &Movement) -> Verdict {
        let suspicion = match self.suspicion.take() {
            Some(s) if s.class == candidate.class => Suspicion { failures: s.failures + 1, ..s },
            // An exit that the look does not bear out, or another class than before: it begins anew.
            _ => Suspicion { class: candidate.class, since: look.now.wall, failures: 1 },
        };
        let grace = self.grace_until.is_some_and(|until| look.now.mono < until);
        let confirmed = suspicion.failures >= 2 && candidate.ripe && !grace;
        let moving = match tree_moved {
            Movement::Moved(what) => Some(what.clone()),
            _ => None,
        };
        let again = if confirmed {
            Again::AtInterval
        } else if candidate.needs_token && suspicion.failures >= 2 && look.at(Depth::Inference).is_none() {
            Again::Infer
        } else {
            Again::After(candidate.look_again.unwrap_or(SECOND_LOOK))
        };
        let was_serving = matches!(self.state, State::Online | State::Busy | State::Sleeping | State::Checking);
        let state = match (confirmed, candidate.class) {
            (true, FaultClass::Access) => State::KeyRefused,
            (true, _) => State::Offline,
            (false, _) if was_serving => State::Checking,
            (false, _) => self.state,
        };
        let fault = confirmed.then(|| Fault {
            class: candidate.class,
            model: candidate.model.clone(),
            evidence: Evidence {
                since: suspicion.since,
                failures: suspicion.failures,
                depth: candidate.depth,
                also: candidate.also.clone(),
                symptoms: look.symptoms().map(|s| s.id.clone()).collect(),
                lines: candidate.lines.clone(),
                facts: candidate.facts.clone(),
            },
        });
        let why =
            candidate.lines.first().map_or_else(|| candidate.class.as_str().replace('_', " "), |l| l.text.clone());
        self.suspicion = Some(suspicion);
        Verdict {
            state,
            why,
            fault,
            suspect: (!confirmed).then_some(candidate.class),
            again,
            moving,
            in_flight: self.in_flight(look),
        }
    }

    /// No class holds: it is well, or nothing can be said.
    fn well(&mut self, look: &Look, movement: &Movement) -> Verdict {
        let moving = match movement {
            Movement::Moved(what) => Some(what.clone()),
            _ => None,
        };
        let in_flight = self.in_flight(look);
        let calm = |state, why: String| Verdict {
            state,
            why,
            fault: None,
            suspect: None,
            again: Again::AtInterval,
            moving: moving.clone(),
            in_flight,
        };
        let liveness = look.said(Depth::Liveness);
        let verdict = if let Some(failure) = look.plugin_failure() {
            calm(State::Unknown, failure)
        } else if let Said::Failed(record) = liveness {
            self.silent_without_fault(look, record.sentence(), &calm)
        } else if liveness == Said::Nothing {
            calm(State::Unknown, "nothing could be inspected".into())
        } else {
            self.serving(look, &calm)
        };
        if verdict.is_sound() || verdict.state == State::Loading {
            self.suspicion = None;
        }
        verdict
    }

    /// Liveness failed, and no class may be named.
    fn silent_without_fault(&self, look: &Look, why: String, calm: &dyn Fn(State, String) -> Verdict) -> Verdict {
        let lives = look.signals.tree.as_ref().is_some_and(|t| t.iter().any(|p| p.state != RunState::Zombie));
        if look.phase() == Some(Phase::Loading) {
            return calm(State::Loading, "it is loading".into());
        }
        if lives && !self.ready {
            return calm(State::Loading, format!("its process lives and was not ready yet: {why}"));
        }
        if lives && let Some(moving) = &calm(State::Busy, String::new()).moving {
            return calm(State::Busy, format!("silent and working ({moving}): left alone"));
        }
        if let PortHolder::Other { name, id, .. } = &look.signals.port {
            return calm(State::Offline, format!("{why}; the port is held by {name} ({id})"));
        }
        if look.signals.tree.as_ref().is_some_and(Vec::is_empty) {
            let text = match &self.facts.rival {
                Some(rival) => {
                    format!("not running, and never seen ready: {rival} is set to start it, and is waited for")
                }
                None if self.facts.has_command => "not running; autostart is off and it was never seen ready".into(),
                None => "not running, and there is no command to start it with".into(),
            };
            return calm(State::Offline, text);
        }
        calm(State::Offline, format!("{why}; its process is not known, so nothing can be proven"))
    }

    fn serving(&self, look: &Look, calm: &dyn Fn(State, String) -> Verdict) -> Verdict {
        match look.phase() {
            Some(Phase::Sleeping) => return calm(State::Sleeping, "asleep: it loads at the next request".into()),
            Some(Phase::Loading | Phase::Starting) => return calm(State::Loading, "it is loading".into()),
            _ => {}
        }
        let overloaded = look.any(ai_monitor_plugin_api::event::Outcome::Overloaded);
        let probe = calm(State::Busy, String::new());
        if let Some(record) = overloaded {
            return calm(State::Busy, format!("its queue is full: {}", record.sentence()));
        }
        let requests = self.requests();
        if requests > 0 {
            let s = if requests == 1 { "" } else { "s" };
            let what = probe.moving.as_deref().unwrap_or("nothing measured against it yet");
            return calm(State::Busy, format!("{requests} request{s} in flight ({what})"));
        }
        // Its server serves meanwhile; how long a load may take is not known here.
        if let Some(what) = loading(look) {
            let moving = probe.moving.map(|moving| format!(" ({moving})")).unwrap_or_default();
            return calm(State::Busy, format!("{what}{moving}"));
        }
        for depth in [Depth::Readiness, Depth::Progress, Depth::Inference] {
            if let Said::Failed(record) = look.said(depth) {
                return calm(State::Online, format!("answers in part: {}", record.sentence()));
            }
        }
        let told = look.models().filter(|m| m.is_empty() || m.iter().any(|m| m.state.is_some()));
        let loaded = told.map(|m| m.iter().filter(|m| m.state == Some(ModelState::Loaded)).count());
        match (loaded, look.inference()) {
            (_, Some(InferenceResult::Output)) => calm(State::Online, "it answers, and a token comes out".into()),
            (Some(n), _) => {
                calm(State::Online, format!("it answers; {n} model{} loaded", if n == 1 { "" } else { "s" }))
            }
            (None, _) => calm(State::Online, "it answers".into()),
        }
    }
}

/// A model on its way into memory, in words.
fn loading(look: &Look) -> Option<String> {
    let is_loading = |phase: Option<Phase>| matches!(phase, Some(Phase::Loading | Phase::Starting));
    if let Some(model) = look.models().unwrap_or_default().iter().find(|m| m.state == Some(ModelState::Loading)) {
        return Some(format!("{} is being loaded", model.id));
    }
    let engine = look.engines().unwrap_or_default().iter().find(|engine| is_loading(engine.phase))?;
    Some(format!("{} is being loaded", engine.model.as_deref().unwrap_or("a model")))
}

/// The living processes of a look's tree.
pub(super) fn living(look: &Look) -> Option<Vec<&TreeProcess>> {
    Some(look.signals.tree.as_ref()?.iter().filter(|p| p.state != RunState::Zombie).collect())
}
