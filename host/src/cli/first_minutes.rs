//! The first five minutes: what was found, who owns it, what would let the monitor mend it, and where to look.

use std::{fmt::Write as _, time::Duration};

use super::run::Running;
use crate::{
    config,
    health::{signals::Owner, state::State},
    monitor::{
        LOOK_AGAIN,
        handle::Handle,
        view::{Snapshot, TargetView},
    },
    probe::discover::Discovery,
};

/// What is slow to answer is told as "not looked at yet".
const FIRST_LOOKS: Duration = Duration::from_secs(6);

/// Prints it, once all that is there was looked at.
pub(super) async fn tell(running: &Running) {
    let core = running.monitor.core();
    if core.config.file.is_some() {
        wait_for_first_looks(running).await;
        show!("{}", configured(&running.monitor.snapshot(), running));
        return;
    }
    let discovery = running.monitor.discover().await;
    wait_for_first_looks(running).await;
    let snapshot = running.monitor.snapshot();
    if snapshot.targets.is_empty() {
        show!("{}", nothing(&discovery, running));
    } else {
        show!("{}", found(&snapshot, &discovery, running));
    }
    tokio::spawn(running.monitor.clone().keep_discovering());
}

async fn wait_for_first_looks(running: &Running) {
    let looked = async {
        let mut seen = 0;
        while running.monitor.snapshot().targets.iter().any(|t| !is_settled(t)) {
            seen = running.monitor.changed(seen).await;
        }
    };
    let _ = tokio::time::timeout(FIRST_LOOKS, looked).await;
}

/// Looked at, and nothing under way that will be over in a moment.
fn is_settled(target: &TargetView) -> bool {
    match target.state {
        State::Unknown => target.last_check.is_some() && target.fault.is_none() && target.owner != Owner::Command,
        State::Checking | State::Loading | State::Healing => false,
        _ => true,
    }
}

fn dashboard(running: &Running) -> String {
    format!("\nDashboard: http://{}/   Ctrl-C ends the monitor, not the servers.\n", running.listen)
}

fn configured(snapshot: &Snapshot, running: &Running) -> String {
    let mut text = String::new();
    let file = snapshot.config_file.as_deref().unwrap_or_default();
    let _ = writeln!(text, "Watching {} target{} of {file}:", snapshot.targets.len(), plural(snapshot.targets.len()));
    for target in &snapshot.targets {
        text.push_str(&describe(target));
    }
    text.push_str(&dashboard(running));
    text
}

fn found(snapshot: &Snapshot, discovery: &Discovery, running: &Running) -> String {
    let mut text = String::from("No configuration file: watching what was found, observed only.\n");
    for target in &snapshot.targets {
        text.push_str(&describe(target));
    }
    text.push_str(&ties(discovery));
    text.push_str("\nTo keep them, as a configuration to change: ai-monitor discover --save\n");
    text.push_str(&dashboard(running));
    text
}

fn describe(target: &TargetView) -> String {
    let mut text = String::new();
    let version = target.version.as_deref().map(|v| format!(" {v}")).unwrap_or_default();
    let address = target.address.as_deref().map(|a| format!(" ({a})")).unwrap_or_default();
    let variant = target.variant.as_deref().map(|v| format!(" [{v}]")).unwrap_or_default();
    let _ = writeln!(text, "\n  {}: {}{variant}{version} at {}{address}", target.name, target.label, target.url);
    let _ = writeln!(text, "    state   {}: {}", target.state.as_str().replace('_', " "), target.why);
    if let Some(models) = &target.models {
        let loaded: Vec<&str> = models
            .iter()
            .filter(|m| m.state == Some(ai_monitor_plugin_api::report::ModelState::Loaded))
            .map(|m| m.id.as_str())
            .collect();
        let loaded = if loaded.is_empty() { "none loaded".into() } else { format!("loaded: {}", loaded.join(", ")) };
        let _ = writeln!(text, "    models  {} known, {loaded}", models.len());
    }
    let _ = writeln!(text, "    owner   {}", target.owner_text);
    if let Some(hint) = &target.hint {
        let _ = writeln!(text, "    mend    {hint}");
    }
    text
}

fn nothing(discovery: &Discovery, running: &Running) -> String {
    let mut text = String::from("No configuration file, and no model server was found.\n\nLooked at:\n");
    for looked in &discovery.looked {
        let _ = writeln!(text, "  {:<21} {}", looked.address.to_string(), super::discover::seen_in_words(looked));
    }
    text.push_str(&ties(discovery));
    let _ = writeln!(
        text,
        "It looks again every {} s; what starts there is watched at once, observed only.",
        LOOK_AGAIN.as_secs()
    );
    text.push_str("\nTo see it work now: ai-monitor demo\n");
    let _ = writeln!(text, "\nA configuration to copy to {}:\n", running.places.config.display());
    for line in config::example().lines() {
        let _ = writeln!(text, "    {line}");
    }
    text.push('\n');
    text.push_str(&dashboard(running));
    text
}

/// What could be one of several backends is not watched until a person has chosen.
fn ties(discovery: &Discovery) -> String {
    let mut text = String::new();
    for found in discovery.found.iter().filter(|found| found.identity.is_none()) {
        let names: Vec<&str> = found.candidates.iter().map(|who| who.backend.as_str()).collect();
        let url = found.url.as_str().trim_end_matches('/');
        let _ =
            writeln!(text, "\n  {url} could be {}: choose one (ai-monitor discover prints both)", names.join(" or "));
    }
    text
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}
