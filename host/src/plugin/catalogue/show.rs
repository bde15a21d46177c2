//! The catalogue as it is shown.

use std::path::Path;

use ai_monitor_plugin_api::manifest::Manifest;
use jiff::SignedDuration;

use super::{Catalogue, DropIn, Stage, State};
use crate::{
    plugin::{FileView, Grants, Held, PluginState, PluginView, PluginsView, Refusal, Source, Standing},
    time::Now,
};

impl Catalogue {
    /// `targets`: name and backend of each.
    pub fn view<'a>(&self, targets: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> PluginsView {
        let now = self.clock.now();
        let state = self.state();
        let of_bundled = state.bundled.iter().filter(|p| !state.drop_ins.get(&p.manifest().id).is_some_and(stands_in));
        let bundled = of_bundled.map(|plugin| bundled_view(&state, plugin.manifest(), now));
        let dropped = state.drop_ins.iter().map(|(id, drop_in)| self.drop_in_view(&state, id, drop_in, now));
        let mut plugins: Vec<PluginView> = bundled.chain(dropped).collect();
        plugins.sort_by(|a, b| a.id.cmp(&b.id).then(b.library.cmp(&a.library)));
        for plugin in plugins.iter_mut() {
            // A drop-in that a bundled one is used in place of has no targets now.
            let used = plugin.origin == Source::Bundled
                || state.drop_ins.get(&plugin.id).is_some_and(stands_in)
                || state.bundled.get(&plugin.id).is_none();
            if used {
                let own = targets.clone().filter(|(_, backend)| *backend == plugin.id);
                plugin.targets = own.map(|(name, _)| name.to_owned()).collect();
            }
            let held = match (plugin.origin, plugin.state) {
                (_, PluginState::Ready) => 0,
                (Source::Folder, _) => plugin.targets.len(),
                (Source::Bundled, _) => held_from(&state, &plugin.id, now),
            };
            plugin.held_targets = held.min(plugin.targets.len());
        }
        let of_a_plugin = |path: &Path, refusal: &Refusal| {
            !matches!(refusal, Refusal::Duplicate { .. }) && state.drop_ins.values().any(|d| d.library == path)
        };
        let files = state.files.iter().filter(|(path, refusal)| !of_a_plugin(path, refusal));
        PluginsView {
            safe_mode: self.safe_mode,
            folder: self.folder.display().to_string(),
            plugins,
            files: files
                .map(|(path, refusal)| FileView {
                    file: path.display().to_string(),
                    hash: state.hashes.get(path).cloned(),
                    problem: refusal.problem(),
                })
                .collect(),
        }
    }

    fn drop_in_view(&self, state: &State, id: &str, drop_in: &DropIn, now: Now) -> PluginView {
        let there = &drop_in.manifest;
        let in_use = drop_in.in_use.as_ref().map(|u| u.plugin.manifest());
        let manifest = in_use.unwrap_or(there);
        let mut view = view_of(manifest, Source::Folder);
        view.library = Some(drop_in.library.display().to_string());
        view.library_hash = state.hashes.get(&drop_in.library).cloned();
        view.in_use_hash = drop_in.in_use.as_ref().map(|u| u.hash.clone());
        view.replaces_bundled = in_use.is_some() && state.bundled.get(id).is_some();
        view.granted = self.store.get(id).grants.unwrap_or_default();
        if let Stage::Refused(refusal) = &drop_in.stage {
            view.problem = Some(refusal.problem());
            view.next_version = in_use.filter(|used| used.version != there.version).map(|_| there.version.clone());
            if let Refusal::Consent { more, .. } = refusal {
                view.asks_for = Some(more.clone());
                view.next_version = in_use.map(|_| there.version.clone());
            }
        }
        let standing = state.standings.get(&(id.to_owned(), String::new()));
        if let Some(standing) = standing {
            stand(&mut view, standing, now);
        }
        (view.state, view.why) = match (&drop_in.stage, in_use.is_some()) {
            (_, true) if view.state != PluginState::Ready => return view,
            (Stage::Refused(refusal), true) => {
                (PluginState::Ready, format!("in use; the file there now is not: {refusal}"))
            }
            (_, true) if view.replaces_bundled => (PluginState::Ready, "in use, in place of the bundled one".into()),
            (_, true) => (PluginState::Ready, "in use".into()),
            (Stage::Refused(refusal), false) => {
                let fallback = if stands_in(drop_in) || state.bundled.get(id).is_none() {
                    String::new()
                } else {
                    "; the bundled one is used".to_owned()
                };
                (state_of(refusal), format!("{refusal}{fallback}"))
            }
            (_, false) => (PluginState::Loading, "it is being loaded".into()),
        };
        view
    }
}

/// Does it stand in for a bundled plugin of its id, also where it is held back?
fn stands_in(drop_in: &DropIn) -> bool {
    drop_in.in_use.is_some()
        || matches!(
            drop_in.stage,
            Stage::AtStart | Stage::Refused(Refusal::Consent { .. } | Refusal::Quarantined { .. })
        )
}

fn state_of(refusal: &Refusal) -> PluginState {
    match refusal {
        Refusal::Disabled { .. } => PluginState::Disabled,
        Refusal::Consent { .. } => PluginState::AwaitingConsent,
        Refusal::Quarantined { .. } => PluginState::Quarantined,
        Refusal::SafeMode => PluginState::NotLoaded,
        _ => PluginState::Failed,
    }
}

fn view_of(manifest: &Manifest, origin: Source) -> PluginView {
    PluginView {
        id: manifest.id.clone(),
        label: manifest.label.clone(),
        version: manifest.version.clone(),
        contract: manifest.contract.clone(),
        abi: manifest.abi,
        origin,
        library: None,
        library_hash: None,
        in_use_hash: None,
        replaces_bundled: false,
        state: PluginState::Ready,
        why: String::new(),
        problem: None,
        next_version: None,
        granted: Grants::of(manifest),
        asks_for: None,
        failures: 0,
        last_failure: None,
        retry_at: None,
        targets: Vec::new(),
        held_targets: 0,
    }
}

/// A bundled plugin stands per target: it is shown as it stands with the target where it fails most.
fn bundled_view(state: &State, manifest: &Manifest, now: Now) -> PluginView {
    let mut view = view_of(manifest, Source::Bundled);
    view.why = "bundled".into();
    let own = state.standings.iter().filter(|((id, _), _)| *id == manifest.id);
    let Some(((_, target), standing)) = own.max_by_key(|(_, standing)| standing.failures()) else { return view };
    stand(&mut view, standing, now);
    if view.state == PluginState::BackingOff {
        view.why = format!("with {target}: {}", view.why);
    }
    view
}

/// How many targets a bundled plugin is held back from.
fn held_from(state: &State, id: &str, now: Now) -> usize {
    let own = state.standings.iter().filter(|((of, _), _)| of == id);
    own.filter(|(_, standing)| standing.held(now.mono).is_some()).count()
}

fn stand(view: &mut PluginView, standing: &Standing, now: Now) {
    view.failures = standing.failures();
    view.last_failure = standing.last().cloned();
    let reason = standing.last().map(ToString::to_string).unwrap_or_default();
    match standing.held(now.mono) {
        Some(Held::Quarantined) => {
            view.state = PluginState::Quarantined;
            view.why = format!("quarantined after {} failures in a row: {reason}", view.failures);
            let refusal = Refusal::Quarantined { id: view.id.clone(), reason };
            view.problem.get_or_insert(refusal.problem());
        }
        Some(Held::BackingOff { until }) => {
            view.state = PluginState::BackingOff;
            view.why = format!("it failed and is tried again soon: {reason}");
            let left = SignedDuration::try_from(until.saturating_sub(now.mono)).unwrap_or_default();
            view.retry_at = now.wall.checked_add(left).ok();
        }
        None => {}
    }
}
