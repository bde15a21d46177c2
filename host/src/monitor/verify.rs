//! Looking again after an act: at the depth that failed, and as deep as the act could have broken.
//!
//! This is the one look that may load (faults.md, rule 10): exactly the models that were loaded when the fault was
//! seen, with the expiry that they had left, except what an `unload` of this incident took out.

use ai_monitor_plugin_api::{
    event::Depth,
    report::{ModelState, RepairResult},
};

use super::{
    heal::Heal,
    look::{Infer, Wish},
    target::TargetTask,
};
use crate::{
    act::{self, Loaded},
    health::{
        fault::{Evidence, EvidenceLine, Fault, FaultClass},
        machine::{Again, Verdict},
        state::State,
    },
};

/// A restarted server with many models is proven by these; asking all of them would be load of our own.
const MOST_MODELS_ASKED: usize = 3;

impl TargetTask {
    /// `None`: the monitor ends.
    pub(super) async fn verify(&mut self, heal: &Heal, deep: bool) -> Option<Verdict> {
        let verdict = self.settle(Wish { infer: None, port: true }).await;
        if self.control.borrow().shutting_down {
            return None;
        }
        if !verdict.is_sound() || verdict.state == State::Sleeping {
            return Some(verdict);
        }
        if !deep && !self.failed_deep() {
            return Some(verdict);
        }
        let wanted: Vec<Loaded> =
            heal.loaded.iter().filter(|l| !heal.taken_out.contains(&l.id) && !l.has_expired()).cloned().collect();
        if wanted.is_empty() {
            return Some(verdict); // none was loaded: it ends at readiness
        }
        for model in &wanted {
            if let Some(broken) = self.load_again(model).await {
                return Some(broken);
            }
        }
        let mut last = verdict;
        for model in wanted.iter().take(MOST_MODELS_ASKED) {
            if !self.completes(&model.id) {
                continue;
            }
            last = self.token_of(&model.id).await;
            if self.control.borrow().shutting_down {
                return None;
            }
            if !last.is_sound() {
                return Some(last);
            }
        }
        Some(last)
    }

    /// Only an inference showed the fault: only an inference shows that it is gone.
    pub(super) fn failed_deep(&self) -> bool {
        self.incident.as_ref().is_some_and(|(_, i)| i.fault.evidence.depth == Depth::Inference)
    }

    /// `None`: it is loaded. Otherwise what the failed load means.
    async fn load_again(&mut self, model: &Loaded) -> Option<Verdict> {
        let plugin = self.plugin.clone()?;
        let is_loaded = |models: &Option<Vec<ai_monitor_plugin_api::report::Model>>| {
            models.as_ref().is_some_and(|m| m.iter().any(|m| m.id == model.id && m.state == Some(ModelState::Loaded)))
        };
        if is_loaded(&self.known.models) && !self.known.engines.is_empty() {
            return None;
        }
        let seen = self.watch.refresh(false);
        let scene = act::scene(&self.config, self.known.variant.clone(), &self.watch, seen.tree.as_deref());
        let ask = scene.repair(plugin.manifest(), "load", model.load_args(self.core.clock.now().wall))?;
        let mut control = self.control.clone();
        let run = tokio::select! {
            run = self.client.repair(&plugin, ask) => run,
            _ = control.wait_for(|c| c.shutting_down) => return None,
        };
        let report = run.report.unwrap_or_default();
        // `unsupported`: its models are there from its start, or not at all; a token tells.
        if matches!(report.result, Some(RepairResult::Done | RepairResult::Already | RepairResult::Unsupported)) {
            return None;
        }
        let words = report.text.or(run.requests.last().map(|r| r.sentence())).unwrap_or_else(|| "no answer".into());
        Some(self.broken_load(&model.id, &words))
    }

    /// A start whose model does not load again serves nobody: the front alone lives.
    fn broken_load(&self, model: &str, words: &str) -> Verdict {
        let now = self.core.clock.now();
        let text = format!("{model} does not load again: {words}");
        Verdict {
            state: State::Offline,
            why: text.clone(),
            fault: Some(Fault {
                class: FaultClass::FrontOnly,
                model: Some(model.to_owned()),
                evidence: Evidence {
                    since: now.wall,
                    failures: 1,
                    depth: Depth::Inference,
                    also: Vec::new(),
                    symptoms: Vec::new(),
                    lines: vec![EvidenceLine { from: "inference".into(), text }],
                    facts: [("child_gone".to_owned(), true.into()), ("waiting".to_owned(), 0.into())]
                        .into_iter()
                        .collect(),
                },
            }),
            suspect: None,
            again: Again::AtInterval,
            moving: None,
            in_flight: false,
        }
    }

    fn completes(&self, model: &str) -> bool {
        let of = |m: &ai_monitor_plugin_api::report::Model| {
            m.capabilities.as_ref().is_none_or(|c| c.iter().any(|c| c == "completion"))
        };
        self.known.models.as_ref().and_then(|m| m.iter().find(|m| m.id == model)).is_none_or(of)
    }

    /// Looks with an inference probe until a token came or a class is confirmed.
    async fn token_of(&mut self, model: &str) -> Verdict {
        let infer = Infer { model: Some(model.to_owned()), scheduled: false };
        self.settle(Wish { infer: Some(infer), port: false }).await
    }
}
