//! The target in words: the view that page, API, command line and log share.

use super::{target::TargetTask, view::TargetView};
use crate::{
    act::shipped,
    health::{
        signals::{Owner, ProcessId},
        state::State,
    },
    incident::guards::whose,
    process,
};

impl TargetTask {
    pub(super) fn publish(&mut self) {
        let state = self.state();
        let since = self.since(state);
        let why = self.why(state);
        let control = self.control.borrow();
        let enabled = self.is_enabled(&control);
        drop(control);
        let now = self.core.clock.now().wall;
        let known = &self.known;
        let incident = self.incident.as_ref();
        let liveness_deadline = self
            .plugin
            .as_ref()
            .and_then(|p| p.manifest().probes.get(&ai_monitor_plugin_api::event::Depth::Liveness))
            .map_or(5.0, |p| p.deadline_ms as f64 / 1000.0);
        let fault = incident
            .map(|(_, i)| i.fault.clone())
            .or_else(|| self.verdict.as_ref().and_then(|v| v.fault.clone()))
            .filter(|_| !matches!(state, State::Paused | State::Disabled));
        let view = TargetView {
            name: self.config.name.clone(),
            backend: self.config.backend.clone(),
            label: self.plugin.as_ref().map_or(self.config.backend.clone(), |p| p.manifest().label.clone()),
            url: self.config.url.as_str().trim_end_matches('/').to_owned(),
            port: self.config.port(),
            address: self.client.pinned().map(|a| a.to_string()),
            enabled,
            found: self.config.found,
            state,
            why: why.clone(),
            step: incident.and_then(|(_, i)| i.step_text()),
            since,
            fault,
            incident: incident.map(|(id, _)| *id),
            last_incident: self.last_incident,
            version: known.version.clone(),
            variant: known.variant.clone(),
            models: known.models.clone(),
            owner: self.owner().clone(),
            owner_text: self.owner_text(),
            hint: self.hint(),
            process_id: self.watch.root().map(|r| r.id).filter(|id| process::is_alive(*id)).map(|id| id.pid),
            last_check: known.last_check,
            last_success: known.last_success,
            restart_count: self.budget.starts(&self.config.heal, now),
            error_message: (!matches!(state.v43(), "online") && known.last_check.is_some()).then_some(why),
            response_time: known.response_time,
            health_endpoint: self.health_endpoint(),
            timeout: self.config.timeout.map_or(liveness_deadline, |t| t.as_secs_f64()),
            restart_delay: self.config.heal.backoff.as_secs_f64(),
            max_restart_attempts: self.config.heal.attempts,
            policy: self.config.policy.clone(),
            dry_run: self.config.heal.dry_run,
        };
        self.core.board.put(view);
    }

    /// One sentence: why it is in this state.
    fn why(&self, state: State) -> String {
        match state {
            State::Paused => "monitoring is stopped".into(),
            State::Disabled => "switched off".into(),
            _ => match (&self.incident, &self.verdict) {
                (Some((_, incident)), _) => {
                    let first = incident.fault.evidence.lines.first().map(|l| l.text.clone()).unwrap_or_default();
                    format!("{}: {first}", incident.class().as_str().replace('_', " "))
                }
                (None, Some(verdict)) => match &verdict.fault {
                    Some(fault) => format!("{}: {}", fault.class.as_str().replace('_', " "), verdict.why),
                    None => verdict.why.clone(),
                },
                (None, None) => "not looked at yet".into(),
            },
        }
    }

    /// Who owns its process, in words.
    fn owner_text(&self) -> String {
        if let Some(text) = self.forwarder() {
            return text;
        }
        match self.watch.root() {
            Some(root) => format!("process {} ({}): {}", root.id, root.name, whose(self.owner())),
            None => match self.owner() {
                Owner::Command => "no process of it lives; the configured command may start one".into(),
                Owner::Found if !self.watch.is_remote() => {
                    "no process of it lives, and no command is configured".into()
                }
                other => whose(other),
            },
        }
    }

    /// Said where its port is held by what only passes it on: no process of this machine is the server.
    fn forwarder(&self) -> Option<String> {
        let holder = self.watch.stranger().filter(|holder| process::is_forwarder(holder))?;
        Some(format!("{} ({}) holds the port and only forwards it: watched, never mended", holder.name, holder.id))
    }

    /// The one line that would let the monitor mend it; `None`: it may, or no line would help.
    pub(super) fn hint(&self) -> Option<String> {
        match self.owner() {
            Owner::Child | Owner::Command | Owner::None => None,
            Owner::NotPermitted => Some("to see its process, run ai-monitor as the same user, or as root".into()),
            Owner::Unit(unit) => Some(format!(
                "{unit} restarts it; to let ai-monitor do it instead, disable the unit and configure a command"
            )),
            Owner::Container(_) | Owner::Service(_) | Owner::Parent(_) => {
                Some("it stays observed only while another supervisor looks after it".into())
            }
            Owner::Found if self.forwarder().is_some() => None,
            Owner::Found => {
                let command = self.command_seen()?;
                let (config, file) = (&self.config, self.core.config_path.display());
                // A target that the file has already must not be declared a second time.
                let (place, line) = match config.found {
                    true => ("", config_line(&config.name, &config.backend, config.url.as_str(), &command)),
                    false => (", below its url", process_line(&command)),
                };
                Some(format!("to let ai-monitor mend it, add to {file}{place}: {line}"))
            }
        }
    }

    /// The command that started it, as far as it can be read; else the manifest's. Where a server is started by asking
    /// another program for it, its own command line starts nothing.
    fn command_seen(&self) -> Option<Vec<String>> {
        let manifest = self.plugin.as_ref()?.manifest();
        let from_process = |id: ProcessId| {
            let process = process::find(id.pid).filter(|p| p.id == id)?;
            let exe = process.exe?.to_string_lossy().into_owned();
            Some(std::iter::once(exe).chain(process.args).collect())
        };
        let shipped = || shipped::command(manifest, &self.config.url);
        let root = self.watch.root().filter(|_| !shipped::launches(manifest));
        root.and_then(|root| from_process(root.id)).or_else(shipped)
    }
}

/// One line of TOML that configures a target with its command.
pub(crate) fn config_line(name: &str, backend: &str, url: &str, command: &[String]) -> String {
    format!(
        "target = [{{ name = {}, backend = {}, url = {}, {} }}]",
        quote(name),
        quote(backend),
        quote(url.trim_end_matches('/')),
        process_line(command)
    )
}

/// One line of TOML that gives a configured target its command.
fn process_line(command: &[String]) -> String {
    let command: Vec<String> = command.iter().map(|c| quote(c)).collect();
    format!("process = {{ command = [{}] }}", command.join(", "))
}

fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::{config_line, process_line};
    use crate::{config, plugin::Registry};

    #[test]
    fn the_line_that_is_shown_is_a_good_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let command = ["C:\\a \"b\"\\ollama".to_owned(), "serve".to_owned()];
        let found = config_line("ollama-11435", "ollama", "http://127.0.0.1:11434/", &command);
        let declared = "[[target]]\nname = \"o\"\nbackend = \"ollama\"\nurl = \"http://127.0.0.1:11434\"\n";
        for text in [found, format!("{declared}{}\n[target.heal]\ngrace = \"5s\"\n", process_line(&command))] {
            std::fs::write(&path, &text).unwrap();
            let flags = config::Flags { config: Some(path.clone()), ..Default::default() };
            let config = config::load(&flags, &Registry::bundled()).expect(&text);
            assert_eq!(config.targets[0].process.command.as_deref(), Some(&command[..]));
        }
    }
}
