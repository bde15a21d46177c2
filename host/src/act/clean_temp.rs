//! `clean_temp`: what crashes left in the folder for temporary files is removed: only what the manifest's `stale` names,
//! is old, and belongs to this user.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use super::{Ground, seconds};
use crate::{
    incident::act::{ActCall, Outcome},
    process::{self, stale},
};

/// Younger things may be in use.
const OLDER_THAN: Duration = Duration::from_secs(3600);

pub(super) async fn clean_temp(ground: &mut Ground<'_>, call: &ActCall) -> Outcome {
    let rules = ground.plugin.manifest().files.stale.clone();
    if rules.is_empty() {
        return Outcome::new("unsupported", "this backend leaves nothing that is known to be stale");
    }
    ground.watch.refresh(true);
    let runs = ground.watch.members().into_iter().any(process::is_alive);
    let asked = seconds(call, "older_than").unwrap_or(OLDER_THAN);
    let now = SystemTime::now();
    let wanted: Vec<(stale::Pattern, Duration)> = rules
        .iter()
        .filter(|rule| !(runs && rule.only.as_deref() == Some("stopped")))
        .filter_map(|rule| Some((stale::Pattern::of(&rule.glob)?, asked.max(Duration::from_secs(rule.older_s)))))
        .collect();
    if wanted.is_empty() {
        let why =
            if runs { "what it leaves is touched only while it is stopped" } else { "no place of it is known here" };
        return Outcome::new("nothing", why);
    }
    let found = {
        let wanted = wanted.clone();
        blocking(move || find(&wanted, now)).await
    };
    if found.is_empty() {
        return Outcome::new("nothing", "nothing of it is old enough");
    }
    ground.notes.intent("clean_temp", Vec::new(), format!("removes {}", named(&found)));
    let (removed, left) = blocking(move || {
        let mut removed = Vec::new();
        for path in &found {
            match stale::remove(path) {
                Ok(()) => removed.push(path.clone()),
                Err(error) => tracing::warn!(path = %path.display(), %error, "a stale file could not be removed"),
            }
        }
        (removed, find(&wanted, now))
    })
    .await;
    if left.is_empty() {
        return Outcome::done(format!("removed {}", named(&removed)));
    }
    Outcome { changed: !removed.is_empty(), ..Outcome::new("failed", format!("still there: {}", named(&left))) }
}

fn find(wanted: &[(stale::Pattern, Duration)], now: SystemTime) -> Vec<PathBuf> {
    wanted.iter().flat_map(|(pattern, older)| pattern.find(now.checked_sub(*older).unwrap_or(now))).collect()
}

fn named(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and this act with it.
            Err(_) => std::future::pending().await,
        },
    }
}
