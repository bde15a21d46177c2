//! One look at a target: refresh what is known of its processes, run the probes of a round, hand all to health.

use std::{sync::Arc, time::Duration};

use ai_monitor_plugin_api::{
    event::{Depth, InferenceAsk, Outcome},
    report::{Engine, Model},
};
use jiff::Timestamp;

use super::target::TargetTask;
use crate::{
    act,
    health::{
        look::{Look, Said},
        machine::Verdict,
        observation::{Identity, Observation, SessionEnd},
        signals::{PortHolder, Signals, TreeProcess},
    },
    journal::record::Sample,
    probe::{
        identify::{identify, tells_flavours},
        session::{LookAnswers, ProbeAsk},
    },
    process,
};

/// A model is asked for so little that even a slow machine answers soon.
const PROMPT: &str = "Say: ok";
const MAX_TOKENS: u32 = 8;

/// What a look is to do beside the round's own probes.
#[derive(Debug, Clone, Default)]
pub(super) struct Wish {
    pub infer: Option<Infer>,
    /// Ask who holds the port, even while the server lives.
    pub port: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Infer {
    /// `None`: the first that is fit.
    pub model: Option<String>,
    pub scheduled: bool,
}

/// What stays known from the last looks, for views, policies and acts.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub version: Option<String>,
    pub variant: Option<String>,
    pub who: Who,
    pub models: Option<Vec<Model>>,
    pub engines: Vec<Engine>,
    pub tree: Vec<TreeProcess>,
    /// What liveness asked for.
    pub liveness_path: Option<String>,
    pub last_check: Option<Timestamp>,
    pub last_success: Option<Timestamp>,
    /// ms
    pub response_time: Option<f64>,
    /// Bytes that the tree held when it last served.
    pub memory: u64,
    /// Looks in a row that were judged foreign or malformed: identification is due.
    pub strange: u32,
    /// The models when it last served: what must be there again.
    pub well: Option<Vec<Model>>,
}

/// Whom the answers come from, by the rules of all plugins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Who {
    /// Not asked, or not answered as it would be another time.
    #[default]
    NotAsked,
    /// Nobody that the plugins know, or one of several that the target is not configured as: it would be the same again
    /// until the plugins (of this count of changes), the process or the answers are others.
    Nobody {
        plugins: u64,
    },
    Known(Identity),
}

impl Who {
    fn known(&self) -> Option<&Identity> {
        match self {
            Who::Known(identity) => Some(identity),
            Who::NotAsked | Who::Nobody { .. } => None,
        }
    }
}

impl TargetTask {
    /// One look, judged.
    pub(super) async fn look(&mut self, wish: Wish) -> Verdict {
        let plugin = match self.take_plugin() {
            Ok(plugin) => plugin,
            Err(lacking) => return self.without_plugin(lacking),
        };
        let looks = if plugin.is_in_process() { &self.core.looks } else { &self.core.drop_in_looks };
        let _turn = looks.clone().acquire_owned().await.ok();
        let seen = self.watch.refresh(wish.port || self.trouble);
        self.remember_processes(&seen.new);
        let own_requests = self.client.open_requests();
        let tree = seen.tree.clone();
        let mut port = seen.port;
        let mut owner = seen.owner;
        let mut identity = None;
        if seen.new_root {
            self.known.who = Who::NotAsked;
        }
        // Only then it matters, and a rival may be installed, or go, at any time.
        let may_be_started = self.config.process.command.is_some() && self.config.process.autostart;
        if may_be_started && !self.health.ever_ready() && self.watch.root().is_none() {
            self.health.set_rival(process::enabled_rival(&plugin.manifest().rivals));
        }
        // A flavour may take harm from what another one is asked for: at first contact it is known before the first probe.
        let mut asked = false;
        if self.known.who == Who::NotAsked && tells_flavours(plugin.manifest()) {
            let patience = self.deadline(&plugin, Depth::Liveness);
            identity = tokio::time::timeout(patience, self.identify()).await.unwrap_or_default();
            asked = true;
        }

        let mut observations = Vec::new();
        let answers = Arc::new(LookAnswers::default());
        let liveness = self.probe_sharing(&plugin, Depth::Liveness, &tree, &answers).await;
        let answered = answered(&liveness);
        let odd = liveness.requests.iter().any(|r| matches!(r.outcome, Outcome::Foreign | Outcome::Malformed));
        self.known.strange = if odd { self.known.strange + 1 } else { 0 };
        // Whom another one's answers come from is asked at each look: a fault is never confirmed by what is remembered.
        let facts = self.health.facts();
        let is_another_s = |i: &Identity| i.backend != facts.backend && !facts.any_identity;
        let due = match &self.known.who {
            Who::NotAsked => true,
            Who::Nobody { plugins } => *plugins != *self.plugins.borrow(),
            Who::Known(who) => is_another_s(who),
        };
        if answered && !asked && (due || self.known.strange >= 2) {
            identity = self.identify().await;
        }
        let alive = matches!(liveness.said(), Said::Ok(_));
        observations.push(liveness);
        // Who holds the port without being of the target by its file, and answers as it, is the target's process.
        if alive
            && identity.as_ref().or(self.known.who.known()).is_none_or(|i| self.may_answer_as(&i.backend))
            // What only forwards never stands for the server behind it (faults.md, rule 11).
            && let Some(stranger) = self.watch.stranger().filter(|s| !process::is_forwarder(s)).cloned()
        {
            self.watch.adopt(stranger);
            let seen = self.watch.refresh(false);
            (port, owner) = (seen.port, seen.owner);
        }
        if alive {
            for depth in [Depth::Readiness, Depth::Progress] {
                if plugin.manifest().probes.contains_key(&depth) {
                    observations.push(self.probe_sharing(&plugin, depth, &tree, &answers).await);
                }
            }
            if let Some(infer) = wish.infer.filter(|_| plugin.manifest().probes.contains_key(&Depth::Inference)) {
                observations.push(self.probe(&plugin, Depth::Inference, &tree, Some(infer)).await);
            }
        } else if port == PortHolder::Target {
            // Silent, or gone since the refresh: the port tells.
            let seen = self.watch.refresh(true);
            (port, owner) = (seen.port, seen.owner);
        }

        let look = Look {
            now: self.core.clock.now(),
            observations,
            signals: Signals { tree, port, identity, own_requests, owner },
        };
        let verdict = self.health.look(&look);
        self.trouble = !verdict.is_sound();
        self.remember(&look, &verdict, alive);
        self.arm_exit_events();
        self.verdict = Some(verdict.clone());
        verdict
    }

    /// One probe of this depth. It asks all that it wants to know itself.
    pub(super) async fn probe(
        &self,
        plugin: &crate::plugin::Plugin,
        depth: Depth,
        tree: &Option<Vec<TreeProcess>>,
        infer: Option<Infer>,
    ) -> Observation {
        let ask = self.ask(plugin, depth, tree, infer);
        self.client.probe(plugin, ask).await
    }

    /// One of the probes of a look that asks what changes nothing: what an earlier one was just told is not asked again.
    async fn probe_sharing(
        &self,
        plugin: &crate::plugin::Plugin,
        depth: Depth,
        tree: &Option<Vec<TreeProcess>>,
        answers: &Arc<LookAnswers>,
    ) -> Observation {
        let ask = ProbeAsk { answers: Some(answers.clone()), ..self.ask(plugin, depth, tree, None) };
        self.client.probe(plugin, ask).await
    }

    fn ask(
        &self,
        plugin: &crate::plugin::Plugin,
        depth: Depth,
        tree: &Option<Vec<TreeProcess>>,
        infer: Option<Infer>,
    ) -> ProbeAsk {
        let scene = act::scene(&self.config, self.known.variant.clone(), &self.watch, tree.as_deref());
        let inference = infer.map(|i| InferenceAsk {
            model: i.model,
            prompt: PROMPT.into(),
            max_tokens: MAX_TOKENS,
            scheduled: i.scheduled,
        });
        ProbeAsk { inference, ..scene.probe(depth, self.deadline(plugin, depth)) }
    }

    /// For a session of this depth.
    fn deadline(&self, plugin: &crate::plugin::Plugin, depth: Depth) -> Duration {
        let spec = plugin.manifest().probes.get(&depth);
        let of_manifest = spec.map_or(Duration::from_secs(5), |p| Duration::from_millis(p.deadline_ms));
        match depth {
            Depth::Liveness => self.config.timeout.unwrap_or(of_manifest),
            Depth::Inference => self.config.inference.as_ref().and_then(|i| i.timeout).unwrap_or(of_manifest),
            Depth::Readiness | Depth::Progress => of_manifest,
        }
    }

    /// Is what identification calls by this name the target's server, once it answers as the settings want it? Where a
    /// command says which program it should be, another one is not.
    fn may_answer_as(&self, backend: &str) -> bool {
        let any_program = self.health.facts().any_identity && self.config.process.command.is_none();
        backend == self.config.backend || any_program
    }

    /// Who answers here, by the rules of all plugins. `None`: nobody that is known for sure.
    async fn identify(&mut self) -> Option<Identity> {
        let plugins = *self.plugins.borrow();
        let found = identify(&self.client, &self.core.plugins.registry()).await;
        let is_settled = found.is_settled;
        let Some(identity) = found.seen_as(&self.config.backend) else {
            if is_settled {
                self.known.strange = 0;
                // Strange answers of one that is known do not make it another one.
                if self.known.who.known().is_none() {
                    (self.known.who, self.known.variant) = (Who::Nobody { plugins }, None);
                }
            }
            return None;
        };
        self.known.variant = identity.variant.clone();
        self.known.who = Who::Known(identity.clone());
        self.known.strange = 0;
        Some(identity)
    }

    fn remember(&mut self, look: &Look, verdict: &Verdict, alive: bool) {
        let known = &mut self.known;
        known.last_check = Some(look.now.wall);
        if let Some(version) = look.version() {
            known.version = Some(version.to_owned());
        }
        if let Some(models) = look.models() {
            known.models = Some(models.to_vec());
        }
        if let Some(engines) = look.engines() {
            known.engines = engines.to_vec();
        }
        if let Some(tree) = &look.signals.tree {
            known.tree = tree.clone();
        }
        let record = look.at(Depth::Liveness).and_then(|o| o.requests.first());
        if let Some(record) = record {
            known.liveness_path = Some(record.path.clone());
        }
        known.response_time = record.filter(|r| r.status.is_some()).map(|r| r.ms as f64);
        if verdict.is_sound() {
            known.last_success = Some(look.now.wall);
        }
        if verdict.serves() {
            known.memory = known.tree.iter().filter_map(|p| p.memory_bytes).sum();
            known.well = known.models.clone();
            self.core.journal.mark_ready(&self.config.name, look.now.wall);
        }
        let text = (!verdict.is_sound()).then(|| verdict.why.clone());
        for observation in &look.observations {
            self.core.journal.sample(Sample {
                target: self.config.name.clone(),
                at: observation.at,
                depth: observation.depth,
                ok: alive && observation.requests.iter().all(|r| r.outcome == Outcome::Ok),
                ms: observation.requests.last().map(|r| r.ms),
                state: verdict.state.as_str().into(),
                text: text.clone(),
            });
        }
    }
}

/// Did anything answer with a status?
fn answered(observation: &Observation) -> bool {
    observation.end == SessionEnd::Report && observation.requests.iter().any(|r| r.status.is_some())
}
