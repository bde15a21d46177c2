//! The task that owns one target's life. Others send it messages; every settled change wakes all who wait.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ai_monitor_plugin_api::event::{Depth, Role};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

use super::{
    core::{Control, Core},
    look::{Infer, Known, Wish},
    view::HealAnswer,
};
use crate::{
    config::model::Target,
    health::{
        fault::{Fault, FaultClass},
        machine::{Again, ExitSeen, Health, Verdict},
        signals::{Owner, ProcessId},
        state::State,
    },
    incident::{budget::Budget, life::Incident},
    journal::record::{IncidentId, NonDecision},
    plugin::{Absent, Plugin},
    probe::{http::TargetClient, schedule::Schedule},
    process::{
        self,
        watch::{SeenProcess, Wanted, Watch},
    },
};

/// What others ask of a target's task.
#[derive(Debug)]
pub(super) enum Message {
    /// A person's heal.
    Heal { force: bool, reply: oneshot::Sender<HealAnswer> },
}

/// The end of a watched process.
pub(super) type ExitEvent = (ProcessId, Role, process::Exit);

/// One target's life. Fields are shared by the files of this room that carry on its parts: `look`, `heal`, `verify`.
pub(super) struct TargetTask {
    pub core: Arc<Core>,
    pub config: Target,
    /// The one of the last look that had one: what it said of itself stays on view.
    pub plugin: Option<Arc<Plugin>>,
    /// Why the last look had none.
    pub lacked: Option<Absent>,
    /// Why the target's settings do not fit the plugin.
    pub unfit: Option<String>,
    /// Counts up as plugins come, change and go.
    pub plugins: watch::Receiver<u64>,
    pub client: TargetClient,
    pub health: Health,
    pub watch: Watch,
    pub known: Known,
    pub budget: Budget,
    pub verdict: Option<Verdict>,
    /// The last look was not sound: the next one asks more.
    pub trouble: bool,
    pub incident: Option<(IncidentId, Incident)>,
    pub last_incident: Option<IncidentId>,
    /// Given up, until a good look, a person or a new incident clears it.
    pub gave_up: bool,
    /// A class that was left or given up is not opened again until then.
    pub quiet: BTreeMap<FaultClass, Duration>,
    pub inbox: mpsc::Receiver<Message>,
    pub control: watch::Receiver<Control>,
    /// People who wait for the heal under way.
    pub joined: Vec<oneshot::Sender<HealAnswer>>,
    pub exits: JoinSet<ExitEvent>,
    armed: Vec<ProcessId>,
    schedule: Schedule,
    /// The last thing that was not done, so that it is told once.
    last_non_decision: Option<(Option<FaultClass>, &'static str)>,
    sound_since: Option<Duration>,
    last_inference: Option<Duration>,
    state_since: Option<(State, jiff::Timestamp)>,
}

/// What woke the task.
enum Woke {
    Due,
    Exit(ProcessId, Role, process::Exit),
    Asked(Message),
    Switched,
    /// Plugins came, changed or went.
    Plugins,
    Nobody,
}

impl TargetTask {
    pub fn new(
        core: Arc<Core>,
        mut config: Target,
        inbox: mpsc::Receiver<Message>,
        addresses: Vec<std::net::SocketAddr>,
    ) -> TargetTask {
        let plugin = core.plugins.registry().get(&config.backend).cloned();
        let unfit = plugin.as_ref().and_then(|plugin| super::plugins::fit(&mut config, plugin));
        let client = core.driver.target(&config.url, config.auth.clone());
        let spec = plugin.as_ref().map(|p| p.manifest().process.clone()).unwrap_or_default();
        let facts = super::plugins::facts(&config, plugin.as_deref(), addresses.is_empty());
        let ready_before = core.journal.ready_before(&config.name);
        let roles = spec.clone();
        let mut watch = Watch::new(Wanted { addresses, command: config.process.command.clone(), spec });
        let seen = core.journal.seen_processes(&config.name, &core.boot);
        watch.remember(seen.into_iter().filter_map(|id| {
            let process = process::find(id.pid).filter(|p| p.id == id)?;
            Some((id, SeenProcess { role: process::role(&process, &roles, true), exe: process.exe }))
        }));
        for started in core.journal.started_processes(&config.name).into_iter().filter(|s| s.boot == core.boot) {
            watch.started(started.process);
            if process::is_alive(started.process) {
                tracing::info!("{}: found again as process {}", config.name, started.process);
            } else {
                watch.left_by(started.process);
            }
        }
        let window = config.heal.attempts_window.max(config.heal.repairs_window).max(config.heal.backoff_max);
        let since = core.clock.now().wall - jiff::SignedDuration::try_from(window).unwrap_or_default();
        let budget = Budget::from_spent(core.journal.spent_since(&config.name, since));
        let last_incident = core.journal.incidents(Some(&config.name), 1).ok().and_then(|rows| Some(rows.first()?.id));
        let (control, plugins) = (core.control.subscribe(), core.plugins.changes());
        let seed = config.name.bytes().fold(0_u64, |hash, b| hash.wrapping_mul(31).wrapping_add(u64::from(b)));
        let schedule = Schedule::new(config.check_interval, seed);
        TargetTask {
            core,
            config,
            plugin,
            lacked: None,
            unfit,
            plugins,
            client,
            health: Health::new(facts, ready_before),
            watch,
            known: Known::default(),
            budget,
            verdict: None,
            trouble: true,
            incident: None,
            last_incident,
            gave_up: false,
            quiet: BTreeMap::new(),
            inbox,
            control,
            joined: Vec::new(),
            exits: JoinSet::new(),
            armed: Vec::new(),
            schedule,
            last_non_decision: None,
            sound_since: None,
            last_inference: None,
            state_since: None,
        }
    }

    /// Runs until the monitor ends. `first`: staggered, so that not all targets are asked at once.
    pub async fn run(mut self, first: Duration) {
        self.publish();
        self.await_plugin().await;
        if self.is_watched() {
            self.take_up().await;
        } else {
            self.abandon_all();
        }
        let mut due = self.core.clock.now().mono + first;
        let mut infer = false;
        loop {
            if self.control.borrow().shutting_down {
                return;
            }
            if !self.is_watched() {
                self.rest().await;
                due = self.core.clock.now().mono;
                continue;
            }
            match self.wait(due).await {
                Woke::Nobody => return,
                Woke::Switched => {
                    self.publish();
                    continue;
                }
                Woke::Plugins if !self.plugin_changed() => continue,
                Woke::Due | Woke::Plugins => {}
                Woke::Exit(id, role, exit) => self.note_exit(id, role, exit),
                Woke::Asked(Message::Heal { force, reply }) => {
                    self.person_heals(force, reply).await;
                    due = self.core.clock.now().mono + self.config.check_interval;
                    continue;
                }
            }
            let wish = Wish { infer: self.inference_due(std::mem::take(&mut infer)), port: false };
            let began = self.core.clock.now().mono;
            let verdict = self.look(wish).await;
            let again = verdict.again.clone();
            match &verdict.fault {
                Some(fault) => {
                    self.publish();
                    let fault = fault.clone();
                    self.decide(fault, verdict).await;
                }
                None => self.no_fault(&verdict),
            }
            self.publish();
            due = match again {
                Again::AtInterval => self.schedule.next(began),
                Again::After(wait) => self.core.clock.now().mono + wait,
                Again::Infer => {
                    infer = true;
                    self.core.clock.now().mono
                }
            };
        }
    }

    pub fn is_watched(&self) -> bool {
        self.control.borrow().watches(&self.config.name, self.config.enabled)
    }

    pub fn is_enabled(&self, control: &Control) -> bool {
        control.is_enabled(&self.config.name, self.config.enabled)
    }

    /// Nothing is probed or healed; a person's heal is answered with the reason.
    async fn rest(&mut self) {
        self.verdict = None;
        self.gave_up = false;
        self.publish();
        tokio::select! {
            changed = self.control.changed() => if changed.is_err() { self.inbox.close() },
            message = self.inbox.recv() => if let Some(Message::Heal { reply, .. }) = message {
                let answer = HealAnswer { success: false, message: self.why_not_watched(), incident: None };
                let _ = reply.send(answer);
            },
        }
        if self.is_watched() {
            self.health.afresh();
        }
    }

    fn why_not_watched(&self) -> String {
        let control = self.control.borrow();
        if !control.monitoring {
            "monitoring is stopped: start it first".into()
        } else {
            format!("{} is disabled: enable it first", self.config.name)
        }
    }

    async fn wait(&mut self, due: Duration) -> Woke {
        let now = self.core.clock.now().mono;
        tokio::select! {
            biased;
            changed = self.control.changed() => if changed.is_ok() { Woke::Switched } else { Woke::Nobody },
            Some(Ok((id, role, exit))) = self.exits.join_next(), if !self.exits.is_empty() => Woke::Exit(id, role, exit),
            message = self.inbox.recv() => message.map_or(Woke::Nobody, Woke::Asked),
            () = tokio::time::sleep(due.saturating_sub(now)) => Woke::Due,
            changed = self.plugins.changed() => if changed.is_ok() { Woke::Plugins } else { Woke::Nobody },
        }
    }

    /// The end of a watched process is an event, not found at the next poll.
    pub(super) fn arm_exit_events(&mut self) {
        let known = &self.known.tree;
        self.armed.retain(|id| known.iter().any(|p| p.id == *id) || process::is_alive(*id));
        for member in known {
            if member.role == Role::Other || self.armed.contains(&member.id) {
                continue;
            }
            let (id, role) = (member.id, member.role);
            self.armed.push(id);
            self.exits.spawn(async move { (id, role, process::exited(id).await) });
        }
    }

    pub(super) fn note_exit(&mut self, id: ProcessId, role: Role, exit: process::Exit) {
        self.armed.retain(|armed| *armed != id);
        tracing::info!("{}: process {id} ended", self.config.name);
        if role == Role::Main && self.watch.root().is_none_or(|root| root.id == id) {
            let exit = ExitSeen { process: id, code: exit.code, signal: exit.signal, uptime: None };
            self.health.exited(exit, self.core.clock.now());
        }
    }

    pub(super) fn remember_processes(&mut self, new: &[ProcessId]) {
        for id in new {
            self.core.journal.saw_process(&self.config.name, *id, &self.core.boot, self.core.clock.now().wall);
        }
    }

    /// An inference probe: on suspicion, or by the clock where the configuration asks for it.
    pub(super) fn inference_due(&mut self, suspicion: bool) -> Option<Infer> {
        let model = self.config.inference.as_ref().and_then(|i| i.model.clone());
        if suspicion {
            let stalled = self.known.engines.iter().find_map(|e| e.model.clone());
            return Some(Infer { model: model.or(stalled), scheduled: false });
        }
        let every = self.config.inference.as_ref().and_then(|i| i.every)?;
        // The configuration refuses it; a plugin that came later is held to the same.
        let probe = self.plugin.as_ref().and_then(|p| p.manifest().probes.get(&Depth::Inference));
        if probe.is_some_and(|probe| probe.side_effect.is_some()) {
            return None;
        }
        let now = self.core.clock.now().mono;
        if self.last_inference.is_some_and(|last| now.saturating_sub(last) < every) {
            return None;
        }
        self.last_inference = Some(now);
        Some(Infer { model, scheduled: true })
    }

    fn no_fault(&mut self, verdict: &Verdict) {
        let now = self.core.clock.now();
        if verdict.is_sound() {
            self.gave_up = false;
            let since = *self.sound_since.get_or_insert(now.mono);
            if now.mono.saturating_sub(since) >= self.config.heal.steady {
                self.budget.steady(now.wall);
            }
            self.budget.prune(&self.config.heal, now.wall);
            self.last_non_decision = None;
            return;
        }
        self.sound_since = None;
        if let Some(class) = verdict.suspect {
            self.not_done(Some(class), "one failure only", &verdict.why);
        }
    }

    /// A confirmed fault: an incident, or why there is none.
    async fn decide(&mut self, fault: Fault, verdict: Verdict) {
        self.sound_since = None;
        let now = self.core.clock.now();
        if !self.watch.owner().is_ours() && fault.class != FaultClass::Access {
            let text = format!("{}: {}", fault.class, crate::incident::guards::whose(self.watch.owner()));
            self.tell_once(&fault, "observed only", &text);
            return;
        }
        if self.quiet.get(&fault.class).is_some_and(|until| now.mono < *until) {
            self.not_done(Some(fault.class), "quiet", &verdict.why);
            return;
        }
        self.heal(fault, verdict, false, false).await;
    }

    fn tell_once(&mut self, fault: &Fault, why: &'static str, text: &str) {
        if self.last_non_decision != Some((Some(fault.class), why)) {
            tracing::warn!(target: "recovery", "{}: {} ({why}: {text})", self.config.name, fault.class);
        }
        self.not_done(Some(fault.class), why, text);
    }

    /// What was not done is written down as plainly as what was, once.
    pub(super) fn not_done(&mut self, class: Option<FaultClass>, why: &'static str, text: &str) {
        if self.last_non_decision == Some((class, why)) {
            return;
        }
        self.last_non_decision = Some((class, why));
        self.core.journal.non_decision(&NonDecision {
            target: self.config.name.clone(),
            at: self.core.clock.now().wall,
            class,
            why: why.into(),
            text: text.into(),
        });
    }

    /// A person's heal looks first, so it heals what is down without waiting for the next check.
    async fn person_heals(&mut self, force: bool, reply: oneshot::Sender<HealAnswer>) {
        let answer = |success, message: String, incident| HealAnswer { success, message, incident };
        let verdict = self.settle(Wish { infer: None, port: true }).await;
        self.publish();
        let fault = match &verdict.fault {
            None if verdict.is_sound() => {
                let text = format!("{} is well: nothing to do ({})", self.config.name, verdict.why);
                let _ = reply.send(answer(true, text, None));
                return;
            }
            None => {
                let _ = reply.send(answer(false, format!("no fault is proven: {}", verdict.why), None));
                return;
            }
            Some(fault) => fault.clone(),
        };
        if !self.watch.owner().is_ours() {
            let text = format!("observed only: {}", crate::incident::guards::whose(self.watch.owner()));
            let text = match self.hint() {
                Some(hint) => format!("{text}. {hint}"),
                None => text,
            };
            let _ = reply.send(answer(false, text, None));
            return;
        }
        self.budget.clear(self.core.clock.now().wall);
        self.quiet.clear();
        self.gave_up = false;
        self.joined.push(reply);
        self.heal(fault, verdict, true, force).await;
        self.publish();
    }

    pub fn owner(&self) -> &Owner {
        self.watch.owner()
    }

    pub fn state(&self) -> State {
        let control = self.control.borrow();
        if !control.monitoring {
            return State::Paused;
        }
        if !self.is_enabled(&control) {
            return State::Disabled;
        }
        drop(control);
        // Where nothing is really done, nothing is being mended.
        let mends = |i: &Incident| !i.settings.dry_run && i.class() != FaultClass::Access;
        if self.incident.as_ref().is_some_and(|(_, incident)| mends(incident)) {
            return State::Healing;
        }
        let Some(verdict) = &self.verdict else { return State::Unknown };
        if self.gave_up && !verdict.is_sound() { State::Failed } else { verdict.state }
    }

    /// Since when it is in its state.
    pub fn since(&mut self, state: State) -> Option<jiff::Timestamp> {
        match self.state_since {
            Some((was, at)) if was == state => Some(at),
            _ => {
                let at = self.core.clock.now().wall;
                self.state_since = Some((state, at));
                Some(at)
            }
        }
    }

    /// The path of the plugin's first liveness route, for `GET /config`.
    pub fn health_endpoint(&self) -> String {
        let routes = self.plugin.as_ref().and_then(|p| p.manifest().probes.get(&Depth::Liveness)).map(|p| &p.routes);
        let first = routes.and_then(|r| r.first()).map(|r| r.split_whitespace().last().unwrap_or("/").to_owned());
        // A route with a `*` names no path: what was asked for does.
        let named = first.filter(|path| !path.contains('*')).or_else(|| self.known.liveness_path.clone());
        named.unwrap_or_else(|| "/".into())
    }
}
