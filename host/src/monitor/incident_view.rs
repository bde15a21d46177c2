//! The incident as a policy sees it: brought up to date before each step.

use ai_monitor_plugin_api::report::ModelState;
use serde_json::Value;

use super::target::TargetTask;
use crate::{
    incident::{
        act::BudgetKind,
        life::{Incident, MOST_ACTS},
    },
    journal::record::IncidentId,
    policy::view::{
        EvidenceView, IncidentView, LeftView, ModelView, PastView, ProcessView, TargetView, TimeView, TriedView,
        VitalsView, owner_word,
    },
    process,
};

/// What `past` reaches back.
const PAST: jiff::SignedDuration = jiff::SignedDuration::from_hours(30 * 24);
const MOST_PAST: usize = 100;

impl TargetTask {
    pub(super) fn incident_view(&self, id: IncidentId, incident: &Incident) -> Value {
        let now = self.core.clock.now();
        let ago = |at: jiff::Timestamp| now.wall.duration_since(at).as_secs_f64();
        let models = self.known.models.iter().flatten().map(|m| ModelView {
            id: m.id.clone(),
            aliases: m.aliases.clone(),
            state: m.state.map(state_word).unwrap_or("unknown").to_owned(),
            size_bytes: m.size_bytes,
            gpu_bytes: m.gpu_bytes,
            idle: None,
        });
        let tried = incident.tried.iter().map(|t| TriedView {
            act: t.call.act.clone(),
            result: t.outcome.result.clone(),
            by: t.outcome.by.clone(),
            fault: t.class.to_string(),
            ago: ago(t.at.wall),
            took: t.outcome.took.as_secs_f64(),
        });
        let rows = self.core.journal.incidents(Some(&self.config.name), MOST_PAST + 1).unwrap_or_default();
        let past = rows.into_iter().filter(|r| r.id != id).filter_map(|row| {
            let closed = row.closed?;
            (now.wall.duration_since(closed) < PAST).then(|| PastView {
                fault: row.class.to_string(),
                ended: row.ended.map_or("abandoned", |e| e.as_str()).to_owned(),
                by: row.by,
                ago: ago(closed),
                took: closed.duration_since(row.opened).as_secs_f64(),
            })
        });
        let root = self.known.tree.first().filter(|p| process::is_alive(p.id));
        let left = |kind| self.budget.left(kind, &self.config.heal, now.wall).unwrap_or(0);
        let zoned = now.wall.to_zoned_datetime(jiff::tz::TimeZone::system());
        IncidentView {
            id: id.to_string(),
            fault: incident.class().to_string(),
            model: incident.fault.model.clone(),
            target: TargetView {
                name: self.config.name.clone(),
                backend: self.config.backend.clone(),
                tags: self.config.tags.clone(),
                interval: self.config.check_interval.as_secs_f64(),
                owner: owner_word(self.watch.owner()),
            },
            evidence: EvidenceView::from(&incident.fault.evidence),
            models: models.collect(),
            process: root.map(|p| ProcessView {
                uptime: process::watch::uptime(p.id).unwrap_or_default().as_secs_f64(),
                memory: self.known.tree.iter().filter_map(|p| p.memory_bytes).sum(),
            }),
            vitals: VitalsView { memory_free: process::memory().map_or(0, |m| m.available), gpus: Vec::new() },
            time: TimeView::at(&zoned, incident.opened.wall, false),
            tried: tried.collect(),
            past: past.take(MOST_PAST).collect(),
            left: LeftView {
                starts: left(BudgetKind::Starts),
                repairs: left(BudgetKind::Repairs),
                acts: u32::try_from(MOST_ACTS.saturating_sub(incident.tried.len())).unwrap_or(0),
            },
            upstream: Vec::new(),
        }
        .to_value()
    }
}

fn state_word(state: ModelState) -> &'static str {
    match state {
        ModelState::Unloaded => "unloaded",
        ModelState::Loading => "loading",
        ModelState::Loaded => "loaded",
        ModelState::Sleeping => "sleeping",
        ModelState::Stopping => "stopping",
        ModelState::Failed => "failed",
    }
}
