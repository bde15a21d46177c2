//! A target and its plugin: which one it is looked at with now, and what changes with it.

use std::sync::Arc;

use ai_monitor_plugin_api::manifest::{Confidence, Manifest};
use tokio::sync::watch;

use super::{
    core::{Control, Core},
    look::Who,
    target::TargetTask,
};
use crate::{
    config,
    health::machine::{Again, Facts, Verdict},
    plugin::{Absent, Keeper, Plugin, PluginsView},
};

impl TargetTask {
    /// The plugin for the next look; what rests on its manifest is renewed where it is another than before.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(super) fn take_plugin(&mut self) -> Result<Arc<Plugin>, Lacking> {
        let taken = self.core.plugins.take(&self.config.backend, self.client.url().as_str());
        self.lacked = taken.as_ref().err().cloned();
        let plugin = taken.map_err(Lacking::Absent)?;
        if self.plugin.as_ref().is_some_and(|before| Arc::ptr_eq(before, &plugin)) {
            return match &self.unfit {
                None => Ok(plugin),
                Some(why) => Err(Lacking::Settings(why.clone())),
            };
        }
        let manifest = plugin.manifest();
        self.unfit = fit(&mut self.config, &plugin);
        self.watch.set_spec(manifest.process.clone());
        self.health.set_facts(facts(&self.config, Some(&plugin), self.watch.is_remote()));
        // Its rules may tell another flavour.
        self.known.who = Who::NotAsked;
        self.plugin = Some(plugin.clone());
        match &self.unfit {
            None => Ok(plugin),
            Some(why) => Err(Lacking::Settings(why.clone())),
        }
    }

    /// Why there is no plugin, if that is not only for a moment.
    pub(super) fn lacks_plugin(&self) -> Option<Absent> {
        let taken = self.core.plugins.take(&self.config.backend, self.client.url().as_str());
        taken.err().filter(|absent| !absent.is_passing())
    }

    /// Would the next look be through another plugin than the last, or through one at last, or through none?
    pub(super) fn plugin_changed(&self) -> bool {
        match (self.core.plugins.take(&self.config.backend, self.client.url().as_str()), &self.lacked) {
            (Ok(now), None) => !self.plugin.as_ref().is_some_and(|before| Arc::ptr_eq(before, &now)),
            (Ok(_), Some(_)) => true,
            // Another target's session failed: it is noticed at the next look.
            (Err(absent), None) => !absent.is_passing(),
            (Err(now), Some(before)) => std::mem::discriminant(&now) != std::mem::discriminant(before),
        }
    }

    /// At the start: a plugin that is about to be loaded is waited for, so that a heal that was cut short is not given
    /// up for the lack of it. The loading has a bound of its own.
    pub(super) async fn await_plugin(&mut self) {
        let mut control = self.control.clone();
        loop {
            self.plugins.mark_unchanged();
            let taken = self.core.plugins.take(&self.config.backend, self.client.url().as_str());
            if !matches!(taken, Err(Absent::Loading { .. })) {
                return;
            }
            tokio::select! {
                changed = self.plugins.changed() => if changed.is_err() { return },
                _ = control.wait_for(|c| c.shutting_down) => return,
            }
        }
    }

    /// Nothing can be inspected: unknown, with the reason, and never down.
    pub(super) fn without_plugin(&mut self, lacking: Lacking) -> Verdict {
        let (why, again) = match lacking {
            Lacking::Absent(absent) => (absent.to_string(), absent.again()),
            Lacking::Settings(why) => (why, None),
        };
        let again = again.filter(|again| *again < self.config.check_interval);
        let verdict = Verdict {
            state: crate::health::state::State::Unknown,
            why,
            fault: None,
            suspect: None,
            again: again.map_or(Again::AtInterval, Again::After),
            moving: None,
            in_flight: false,
        };
        self.verdict = Some(verdict.clone());
        verdict
    }
}

/// Why a target cannot be looked at.
#[derive(Debug, Clone)]
pub(super) enum Lacking {
    Absent(Absent),
    Settings(String),
}

/// The target's settings as this plugin wants them; gives why they do not fit it.
pub(super) fn fit(config: &mut config::model::Target, plugin: &Plugin) -> Option<String> {
    let manifest = plugin.manifest();
    match config::fit_settings(manifest, &config.written) {
        Ok(settings) => {
            config.settings = settings;
            None
        }
        Err(why) => {
            Some(format!("[target.settings] do not fit the plugin {} {}: {why}", manifest.id, manifest.version))
        }
    }
}

/// What health is told of a target once, as far as it rests on the plugin's manifest.
pub(super) fn facts(config: &config::model::Target, plugin: Option<&Plugin>, remote: bool) -> Facts {
    let manifest = plugin.map(|p| p.manifest());
    Facts {
        backend: config.backend.clone(),
        remote,
        has_command: config.process.command.as_ref().is_some_and(|c| !c.is_empty()),
        autostart: config.process.autostart,
        // Asked for when it matters, at each look anew.
        rival: None,
        any_identity: manifest.is_some_and(|m| is_any_program(m)),
        lost_engine: manifest.and_then(|m| m.process.lost_engine),
        stall_after: config.stall_after,
        models: config.models.clone(),
    }
}

/// Is whoever answers as the settings want the target's server, though other rules know it by another name? Where the
/// plugin has no rules, its settings alone say what the server is; where it knows some flavours and takes whatever else
/// speaks the protocol, many programs are meant (section 2 of the contract, `identify`).
fn is_any_program(manifest: &Manifest) -> bool {
    let rules = &manifest.identify;
    let knows_flavours = rules.iter().any(|rule| rule.variant.is_some());
    let takes_the_protocol = rules.iter().any(|rule| rule.is == Confidence::Possible && rule.variant.is_none());
    rules.is_empty() || (knows_flavours && takes_the_protocol)
}

/// Keeps the catalogue as the folder is, until the monitor ends.
pub(super) async fn keep(keeper: Keeper, mut control: watch::Receiver<Control>) {
    tokio::select! {
        () = keeper.run() => {}
        _ = control.wait_for(|c| c.shutting_down) => {}
    }
}

/// The plugins, each with the targets that use it.
pub(super) fn view(core: &Core) -> PluginsView {
    let snapshot = core.board.snapshot();
    core.plugins.view(snapshot.targets.iter().map(|t| (t.name.as_str(), t.backend.as_str())))
}

/// Puts every change of the plugins, and of which targets there are for them, on the board, until the monitor ends.
pub(super) async fn keep_on_view(core: Arc<Core>) {
    let mut control = core.control.subscribe();
    let (mut changes, mut targets) = (core.plugins.changes(), core.board.more_targets());
    loop {
        changes.mark_unchanged();
        targets.mark_unchanged();
        let view = view(&core);
        if core.board.snapshot().plugins != view {
            core.board.own(|own| own.plugins = view);
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            more = targets.changed() => if more.is_err() { return },
            _ = control.wait_for(|c| c.shutting_down) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::Registry;

    #[test]
    fn which_plugins_mean_any_program_is_told_by_their_rules() {
        let bundled = Registry::bundled();
        let of = |id: &str| is_any_program(bundled.get(id).expect("a bundled plugin").manifest());
        assert_eq!(["custom", "openai"].map(of), [true, true]);
        assert_eq!(["ollama", "lm-studio", "localai"].map(of), [false, false, false]);
        // One of the folder's is held to the same.
        let rules = |rules: &str| {
            let manifest = format!(
                r#"{{"contract":"1.0","abi":1,"id":"mine","version":"1","label":"Mine","probes":{{}},"identify":{rules}}}"#
            );
            is_any_program(&serde_json::from_str(&manifest).expect("a manifest"))
        };
        let certain = r#"{"is":"certain","variant":"a","all":[{"get":"/a","has":["/a"]}]}"#;
        let protocol = r#"{"is":"possible","all":[{"get":"/b","has":["/b"]}]}"#;
        assert!(rules("[]") && rules(&format!("[{certain},{protocol}]")));
        assert!(!rules(&format!("[{certain}]")) && !rules(&format!("[{protocol}]")));
    }
}
