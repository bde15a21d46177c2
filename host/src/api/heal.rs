//! `POST /heal` and `/heal-now`: a person's heal of one target, of all, or of those that are down.

use std::sync::Arc;

use axum::extract::State;
use futures_util::future::join_all;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Api,
    envelope::{ApiError, Envelope, Outcome, iso},
    input::Input,
    v43,
};
use crate::monitor::{
    handle::{Handle, UnknownTarget},
    view::{HealAnswer, TargetView},
};

#[derive(Debug, Deserialize)]
pub(super) struct Heal {
    /// Nothing: all that are enabled.
    model: Option<String>,
    /// Skips the guard that leaves a busy server alone, and no other.
    #[serde(default)]
    force: bool,
}

pub(super) async fn heal(State(api): State<Api>, Input(asked): Input<Heal>) -> Result<Envelope, ApiError> {
    match asked.model {
        Some(name) => heal_one(api, name, asked.force).await,
        None => heal_all(api, asked.force).await,
    }
}

async fn heal_one(api: Api, name: String, force: bool) -> Result<Envelope, ApiError> {
    let healed = to_its_end(&api, |monitor| async move { (monitor.heal(&name, force).await, name) }).await?;
    let (answer, name) = healed;
    let answer = answer.map_err(|unknown| ApiError::BadRequest(unknown.to_string()))?;
    Ok(Envelope::new(Outcome::of(answer.success))
        .with("model", name)
        .with("success", answer.success)
        .with("message", answer.message)
        .with("incident", answer.incident)
        .with("data", v43::summary(&api.monitor.snapshot())))
}

async fn heal_all(api: Api, force: bool) -> Result<Envelope, ApiError> {
    let names = names(&api, |target| target.enabled);
    let healed = heal_each(&api, names, force).await?;
    Ok(Envelope::new(Outcome::of(healed.all_well()))
        .with("results", healed.results())
        .with("message", healed.message("no target is enabled"))
        .with("details", healed.details())
        .with("data", v43::summary(&api.monitor.snapshot())))
}

#[derive(Debug, Deserialize)]
pub(super) struct HealNow {
    #[serde(default)]
    force: bool,
}

pub(super) async fn heal_now(State(api): State<Api>, Input(asked): Input<HealNow>) -> Result<Envelope, ApiError> {
    let before = v43::summary(&api.monitor.snapshot());
    let down = names(&api, v43::is_down);
    if down.is_empty() {
        let text = match api.monitor.snapshot().monitoring_active {
            true => "nothing is down",
            false => "monitoring is stopped, so nothing is known to be down: start it first",
        };
        return Ok(Envelope::success()
            .with("message", text)
            .with("offline_models", Vec::<String>::new())
            .with("data", before));
    }
    let healed = heal_each(&api, down.clone(), asked.force).await?;
    let after = v43::summary(&api.monitor.snapshot());
    Ok(Envelope::new(Outcome::of(healed.all_well()))
        .with("message", healed.message("nothing is down"))
        .with("offline_models", down)
        .with("healing_results", healed.results())
        .with("details", healed.details())
        .with("before", before)
        .with("after", after.clone())
        .with("data", after)
        .with("timestamp", iso(Timestamp::now())))
}

fn names(api: &Api, which: impl Fn(&TargetView) -> bool) -> Vec<String> {
    api.monitor.snapshot().targets.iter().filter(|t| which(t)).map(|t| t.name.clone()).collect()
}

/// What came of several heals, in the order of the targets.
struct Healed(Vec<(String, Result<HealAnswer, UnknownTarget>)>);

impl Healed {
    fn well(answer: &Result<HealAnswer, UnknownTarget>) -> bool {
        answer.as_ref().is_ok_and(|answer| answer.success)
    }

    fn all_well(&self) -> bool {
        self.0.iter().all(|(_, answer)| Self::well(answer))
    }

    /// v4.3's name → bool.
    fn results(&self) -> Map<String, Value> {
        self.0.iter().map(|(name, answer)| (name.clone(), Value::from(Self::well(answer)))).collect()
    }

    /// Name → the reason or result in words.
    fn details(&self) -> Map<String, Value> {
        let text = |answer: &Result<HealAnswer, UnknownTarget>| match answer {
            Ok(answer) => answer.message.clone(),
            Err(unknown) => unknown.to_string(),
        };
        self.0.iter().map(|(name, answer)| (name.clone(), Value::from(text(answer)))).collect()
    }

    fn message(&self, none: &str) -> String {
        let well = self.0.iter().filter(|(_, answer)| Self::well(answer)).count();
        match self.0.len() {
            0 => none.to_owned(),
            total if total == well => format!("{well} of {total} serve"),
            total => {
                let rest: Vec<&str> =
                    self.0.iter().filter(|(_, answer)| !Self::well(answer)).map(|(name, _)| name.as_str()).collect();
                format!("{well} of {total} serve; not healed: {}", rest.join(", "))
            }
        }
    }
}

/// All at once: how many acts run at a time on this machine is the monitor's to say.
async fn heal_each(api: &Api, names: Vec<String>, force: bool) -> Result<Healed, ApiError> {
    to_its_end(api, move |monitor| async move {
        let heals = names.into_iter().map(|name| {
            let monitor = Arc::clone(&monitor);
            async move {
                let answer = monitor.heal(&name, force).await;
                (name, answer)
            }
        });
        Healed(join_all(heals).await)
    })
    .await
}

/// Runs a heal in a task of its own, so that it is finished also when the caller hangs up.
async fn to_its_end<T, F>(api: &Api, heal: impl FnOnce(Arc<dyn Handle>) -> F) -> Result<T, ApiError>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let slot = Arc::clone(&api.heal_calls).try_acquire_owned().map_err(|_| ApiError::TooMany {
        what: format!("{} calls that wait for a heal", api.settings.limits.heal_calls),
    })?;
    let work = heal(Arc::clone(&api.monitor));
    tokio::spawn(async move {
        let done = work.await;
        drop(slot);
        done
    })
    .await
    .map_err(|error| ApiError::Failed {
        message: "the heal broke off by an error in ai-monitor itself: see ai_monitor.log".to_owned(),
        cause: error.to_string(),
    })
}
