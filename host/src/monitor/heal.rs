//! Drives one incident: does what the pure machine wants, journals it, and tells it what came of it.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::{
    core::Control,
    look::{Who, Wish},
    target::{Message, TargetTask},
    view::HealAnswer,
};
use crate::{
    act::{Ground, Loaded, Notes},
    health::{fault::Fault, machine::Verdict, signals::ProcessId},
    incident::{
        act::{ActCall, Outcome, Rung},
        guards,
        life::{Got, Incident, Wants},
    },
    journal::{
        Journal,
        record::{Ended, IncidentId, Record, StartedProcess},
    },
    plugin::Plugin,
    policy::{PolicyRun, PolicySources, PolicyStore, resume_watched, step::Step},
};

/// After the end the rest of the ladder is run dry, to show what would have come next: at most so many acts.
const REST_SHOWN: usize = 12;

/// What a heal holds beside the incident.
pub(super) struct Heal {
    pub id: IncidentId,
    pub policy: String,
    pub run: Option<PolicyRun>,
    /// What was loaded when the fault was seen.
    pub loaded: Vec<Loaded>,
    /// Models that an `unload` of this incident took out: not loaded again.
    pub taken_out: Vec<String>,
    /// The act under way when the monitor ended, with what it may touch.
    pub resumed: Option<Vec<ProcessId>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Heal {
    pub(super) fn new(id: IncidentId, policy: String, run: Option<PolicyRun>, loaded: Vec<Loaded>) -> Heal {
        Heal { id, policy, run, loaded, taken_out: Vec::new(), resumed: None, permit: None }
    }
}

impl TargetTask {
    /// Opens an incident and drives it to its end.
    pub(super) async fn heal(&mut self, fault: Fault, verdict: Verdict, by_person: bool, force: bool) {
        let now = self.core.clock.now();
        let sources = self.sources();
        let settings = self.config.heal.clone();
        let mut incident = Incident::new(fault.clone(), verdict, self.watch.owner().clone(), settings, now);
        incident.debug = self.control.borrow().debug;
        incident.by_person = by_person;
        incident.force = force;
        let loaded = Loaded::of(self.known.well.as_deref().unwrap_or_default(), now.wall);
        let opened = Record::Opened {
            fault: fault.clone(),
            policy: sources.name.clone(),
            sources: sources.files.iter().map(|f| (f.name.clone(), f.hash.clone())).collect(),
            settings: json!({ "heal": self.config.heal, "loaded": loaded }),
            incident: self.incident_view(0, &incident),
            boot: self.core.boot.clone(),
            debug: incident.debug,
            by_person,
        };
        // A journal that cannot be written must not stop a heal: it keeps what it could not write, and says so.
        let id = match self.core.journal.open_incident(&self.config.name, now.wall, &opened, &sources.files) {
            Ok(id) => id,
            Err(error) => {
                self.core.board.trouble("journal", Some(error.to_string()));
                0
            }
        };
        tracing::warn!(target: "recovery", "{}: {} (incident #{id}): {}", self.config.name, fault.class, first_line(&fault));
        let run = self.policy_run(&sources);
        let heal = Heal::new(id, sources.name.clone(), run, loaded);
        let class = incident.class();
        self.incident = Some((id, incident));
        self.drive(heal, Wants::Enter(class)).await;
    }

    /// The sources of the target's policy. A broken file is told; the last good one runs, or the shipped default.
    fn sources(&self) -> PolicySources {
        self.core.policy_in_force(&self.config.policy).unwrap_or_else(PolicyStore::shipped_default)
    }

    fn policy_run(&self, sources: &PolicySources) -> Option<PolicyRun> {
        match PolicyRun::start(sources, self.policy_settings()) {
            Ok(run) => Some(run),
            Err(error) => {
                tracing::error!("policy {}: {error}", sources.name);
                None
            }
        }
    }

    pub(super) fn policy_settings(&self) -> serde_json::Value {
        crate::policy::settings::of_target(&self.config.heal)
    }

    /// One thing at a time, until the incident ends.
    pub(super) async fn drive(&mut self, mut heal: Heal, mut wants: Wants) {
        loop {
            self.publish();
            if wants == Wants::End {
                break;
            }
            let Some(got) = self.do_wanted(&mut heal, wants).await else {
                // The monitor ends: the journal says how far it came, and the next one takes it up.
                return;
            };
            let now = self.core.clock.now();
            let mut log = Vec::new();
            let Some((_, incident)) = &mut self.incident else { return };
            // The guards judge by whose it is now, not by whose it was before the last wait.
            incident.owner = self.watch.owner().clone();
            wants = incident.on(got, now, &mut self.budget, &mut log);
            for record in log {
                self.write(&heal, &record);
            }
        }
        self.finish(heal).await;
    }

    /// `None`: the monitor ends.
    async fn do_wanted(&mut self, heal: &mut Heal, wants: Wants) -> Option<Got> {
        if self.control.borrow().shutting_down {
            return None;
        }
        if !self.is_watched() {
            return Some(Got::Withdrawn(self.control.borrow().why_not().into()));
        }
        // Without a plugin nothing is seen, and nothing is done unseen; nor with settings that it does not understand.
        let absent = self.lacks_plugin().map(|absent| absent.to_string());
        if let Some(why) = absent.or_else(|| self.unfit.clone()) {
            return Some(Got::Withdrawn(why));
        }
        Some(match wants {
            Wants::End => return None,
            Wants::Enter(class) => self.enter(heal, class),
            Wants::TakeOver => {
                let sources = PolicyStore::shipped_default();
                heal.policy = sources.name.clone();
                heal.run = self.policy_run(&sources);
                let class = self.incident.as_ref()?.1.class();
                self.enter(heal, class)
            }
            Wants::EnterDebug => match heal.run.as_mut().map(PolicyRun::enter_debug) {
                Some(Ok(entered)) => Got::Entered(entered.map(|e| (e.file, e.why.to_string()))),
                Some(Err(error)) => Got::Stepped(Step::Failed { error: error.to_string() }),
                None => Got::Entered(None),
            },
            Wants::Resume(outcome) => self.resume_policy(heal, outcome).await,
            Wants::Turn if heal.permit.is_some() => Got::Turn { waited: false },
            Wants::Turn => {
                if let Ok(permit) = self.core.turns.clone().try_acquire_owned() {
                    heal.permit = Some(permit);
                    return Some(Got::Turn { waited: false });
                }
                let turns = self.core.turns.clone();
                tokio::select! {
                    permit = turns.acquire_owned() => {
                        heal.permit = permit.ok();
                        Got::Turn { waited: true }
                    }
                    got = interrupted(
                        &mut self.control, &mut self.inbox, &mut self.joined, (&self.config.name, self.config.enabled)
                    ) => return got,
                }
            }
            Wants::WaitUntil(until) => {
                // Who waits has no turn: others act meanwhile.
                heal.permit = None;
                return self.wait_while_looking(heal, until).await;
            }
            Wants::Act(call) => {
                let Some(plugin) = self.plugin.clone() else {
                    // Never seen through one in this life of the monitor: what the act is to be judged by is not known.
                    return Some(Got::Withdrawn(format!("the plugin {} is not there yet", self.config.backend)));
                };
                let outcome = self.act(heal, &plugin, &call).await?;
                heal.permit = None;
                Got::Acted(outcome)
            }
            Wants::Look { after } => {
                let deep = after.as_deref().is_some_and(looks_deep) || self.was_changed_deep();
                Got::Looked(self.verify(heal, deep).await?)
            }
        })
    }

    fn enter(&mut self, heal: &mut Heal, class: crate::health::fault::FaultClass) -> Got {
        match heal.run.as_mut().map(|run| run.enter(class)) {
            Some(Ok(entered)) => Got::Entered(Some((entered.file, entered.why.to_string()))),
            Some(Err(error)) => Got::Stepped(Step::Failed { error: error.to_string() }),
            None => Got::Stepped(Step::Failed { error: "the policy could not be started".into() }),
        }
    }

    async fn resume_policy(&mut self, heal: &mut Heal, outcome: Option<Outcome>) -> Got {
        let Some(run) = heal.run.take() else {
            return Got::Stepped(Step::Failed { error: "the policy could not be started".into() });
        };
        let view = match &self.incident {
            Some((id, incident)) => self.incident_view(*id, incident),
            None => json!({}),
        };
        let (run, step) = resume_watched(run, view.clone(), outcome).await;
        heal.run = run;
        for (text, line) in heal.run.as_mut().map(PolicyRun::take_logs).unwrap_or_default() {
            self.write(heal, &Record::Log { text, line });
        }
        if let Step::Act(call) = &step {
            self.write(heal, &Record::Asked { call: call.clone(), incident: view });
        }
        Got::Stepped(step)
    }

    /// Waits, for time or until somebody or something interrupts; looks at the target meanwhile.
    async fn wait_while_looking(&mut self, heal: &Heal, until: Duration) -> Option<Got> {
        let now = self.core.clock.now().mono;
        let step = self.config.check_interval.min(Duration::from_secs(5));
        let next_look = now + step;
        let wake = until.min(next_look);
        let ended = tokio::select! {
            biased;
            got = interrupted(
                &mut self.control, &mut self.inbox, &mut self.joined, (&self.config.name, self.config.enabled)
            ) => return got,
            Some(ended) = self.exits.join_next(), if !self.exits.is_empty() => ended.ok(),
            () = tokio::time::sleep(wake.saturating_sub(now)) => None,
        };
        if let Some((id, role, exit)) = ended {
            self.note_exit(id, role, exit);
        } else if wake == until {
            return Some(Got::Waited);
        }
        let verdict = self.look(Wish::default()).await;
        // A passing look is shallow: before it ends the incident as healed, it is looked as deep as after an act.
        if verdict.is_sound() && (self.was_changed_deep() || self.failed_deep()) {
            return Some(Got::Looked(self.verify(heal, true).await?));
        }
        Some(Got::Looked(verdict))
    }

    /// Did an act of this incident change something that only a token proves whole?
    fn was_changed_deep(&self) -> bool {
        self.incident.as_ref().is_some_and(|(_, incident)| incident.changed_by().any(looks_deep))
    }

    /// Does the act. `None`: the monitor ends in the middle of it.
    async fn act(&mut self, heal: &mut Heal, plugin: &Plugin, call: &ActCall) -> Option<Outcome> {
        let (id, incident) = self.incident.as_ref()?;
        let fault = incident.fault.clone();
        let may_kill = guards::may_kill(&self.config.heal, incident.by_person);
        let debug = incident.debug;
        let mut notes = JournalNotes { journal: self.core.journal.clone(), clock: self.core.clock.clone(), id: *id };
        if call.spec().rung > Rung::Look {
            tracing::warn!(target: "recovery", "{}: {} ({})", self.config.name, call.sentence(), call.line);
        }
        let registry = self.core.plugins.registry();
        let mut ground = Ground {
            target: &self.config,
            plugin,
            client: &self.client,
            registry: &registry,
            watch: &mut self.watch,
            notes: &mut notes,
            fault: &fault,
            tree: self.known.tree.clone(),
            engines: self.known.engines.clone(),
            models: self.known.models.clone().unwrap_or_default(),
            loaded: heal.loaded.clone(),
            variant: self.known.variant.clone(),
            may_kill,
            debug,
            output: self.core.output_of(&self.config.name),
            bundles: self.core.bundles(),
            memory_needed: self.known.memory,
            resumed: heal.resumed.take(),
        };
        let mut control = self.control.clone();
        let outcome = tokio::select! {
            outcome = ground.act(call) => outcome,
            _ = control.wait_for(|c| c.shutting_down) => return None,
        };
        if call.act == "unload"
            && outcome.ok()
            && let Some(model) = call.args.get("model").and_then(|m| m.as_str()).map(str::to_owned).or(fault.model)
        {
            heal.taken_out.push(model);
        }
        if matches!(call.act.as_str(), "start" | "restart") && outcome.changed {
            // Another process: what was counted of the old one counts for nothing.
            self.health.afresh();
            self.known.who = Who::NotAsked;
        }
        if call.spec().rung > Rung::Look {
            tracing::warn!(target: "recovery", "{}: {} → {}: {}", self.config.name, call.act, outcome.result, outcome.detail);
        }
        if outcome.changed {
            let spent = crate::journal::record::Spent {
                act: call.act.clone(),
                budget: call.spec().budget,
                at: self.core.clock.now().wall,
                took: outcome.took,
            };
            self.core.journal.spent(&self.config.name, &spent);
        }
        Some(outcome)
    }

    pub(super) fn write(&self, heal: &Heal, record: &Record) {
        if heal.id == 0 {
            return;
        }
        let written = self.core.journal.append(heal.id, self.core.clock.now().wall, record);
        // What could not be written may still be kept in memory: that is a trouble, too.
        let trouble = written.err().map(|error| error.to_string()).or_else(|| self.core.journal.health());
        self.core.board.trouble("journal", trouble);
    }

    /// The end: what would have come next, the state, the people who wait.
    async fn finish(&mut self, mut heal: Heal) {
        let Some((id, incident)) = self.incident.take() else { return };
        let (ended, reason, by) =
            incident.ended.clone().unwrap_or((Ended::Abandoned, "it ended without a reason".into(), None));
        self.last_incident = Some(id);
        if matches!(ended, Ended::Healed | Ended::Recovered | Ended::Left) {
            let next = self.rest_of_ladder(&mut heal, &incident).await;
            if !next.is_empty() {
                self.write(&heal, &Record::WouldHave { text: next.join(", ") });
            }
        }
        let now = self.core.clock.now().mono;
        if matches!(ended, Ended::Left | Ended::GaveUp) {
            self.quiet.insert(incident.class(), now + self.config.heal.quiet);
        }
        self.gave_up = ended == Ended::GaveUp;
        let by_text = by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
        let text = format!("{}{by_text}: {reason}", ended.as_str().replace('_', " "));
        tracing::warn!(target: "recovery", "{}: incident #{id} {text}", self.config.name);
        while let Ok(Message::Heal { reply, .. }) = self.inbox.try_recv() {
            self.joined.push(reply);
        }
        let success = matches!(ended, Ended::Healed | Ended::Recovered);
        for reply in self.joined.drain(..) {
            let _ = reply.send(HealAnswer { success, message: text.clone(), incident: Some(id) });
        }
    }

    /// Runs the rest of the ladder dry.
    async fn rest_of_ladder(&mut self, heal: &mut Heal, incident: &Incident) -> Vec<String> {
        let mut next = Vec::new();
        let view = self.incident_view(heal.id, incident);
        let mut outcome = incident.tried.last().map(|t| t.outcome.clone());
        while next.len() < REST_SHOWN {
            let Some(run) = heal.run.take() else { break };
            let (run, step) = resume_watched(run, view.clone(), outcome.take()).await;
            heal.run = run;
            match step {
                Step::Act(call) => {
                    next.push(call.sentence());
                    outcome = Some(Outcome::new("done", "dry"));
                }
                Step::End => {
                    next.push("the debug part".into());
                    break;
                }
                Step::GiveUp { .. } => {
                    next.push("give up".into());
                    break;
                }
                Step::Leave { .. } | Step::Failed { .. } => break,
            }
        }
        next
    }
}

/// A person's word while something waits. `None`: the monitor ends.
async fn interrupted(
    control: &mut watch::Receiver<Control>,
    inbox: &mut mpsc::Receiver<Message>,
    joined: &mut Vec<oneshot::Sender<HealAnswer>>,
    target: (&str, bool),
) -> Option<Got> {
    loop {
        tokio::select! {
            changed = control.changed() => {
                let now = control.borrow();
                if changed.is_err() || now.shutting_down {
                    return None;
                }
                if !now.watches(target.0, target.1) {
                    return Some(Got::Withdrawn(now.why_not().into()));
                }
            }
            message = inbox.recv() => match message {
                Some(Message::Heal { force, reply }) => {
                    joined.push(reply);
                    return Some(Got::Person { force });
                }
                None => return None,
            },
        }
    }
}

/// After these the look goes as deep as they could have broken: a token must come out.
fn looks_deep(act: &str) -> bool {
    matches!(act, "start" | "restart" | "reload" | "load" | "end_runner" | "reap" | "unload" | "adopt")
}

fn first_line(fault: &Fault) -> String {
    fault.evidence.lines.first().map(|l| l.text.clone()).unwrap_or_default()
}

/// Writes an act's own notes into its incident.
struct JournalNotes {
    journal: Arc<Journal>,
    clock: Arc<dyn crate::time::Clock>,
    id: IncidentId,
}

impl JournalNotes {
    fn append(&self, record: &Record) {
        if self.id != 0
            && let Err(error) = self.journal.append(self.id, self.clock.now().wall, record)
        {
            tracing::error!("journal: {error}");
        }
    }
}

impl Notes for JournalNotes {
    fn intent(&mut self, act: &str, touches: Vec<ProcessId>, text: String) {
        self.append(&Record::Intent { act: act.into(), touches, text });
    }

    fn phase(&mut self, text: String, started: Option<ProcessId>) {
        self.append(&Record::Phase { text, started });
    }

    fn started(&mut self, process: StartedProcess) {
        self.journal.started(&process);
    }

    fn notified(&mut self, level: &str, text: &str) {
        self.append(&Record::Notified { level: level.into(), text: text.into() });
    }
}
