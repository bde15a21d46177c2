//! `ai-monitor check FILE`: a configuration and the policies that it names, without running anything.

use std::{collections::BTreeSet, path::Path, process::ExitCode};

use anyhow::bail;

use crate::{
    config::{self, Flags},
    policy::{self, PolicyStore, walk::walk},
};

/// Of each ladder; a policy with more is walked so far.
const MOST_PATHS: usize = 2000;

pub(super) fn check(file: &Path, flags: &Flags) -> anyhow::Result<ExitCode> {
    let policies = PolicyStore::new(Some(config::places(flags).policies));
    let config = config::check(file, &super::run::plugins_known(flags))?;
    let config = super::run::with_policy_settings(config, &policies)?;
    let mut broken = Vec::new();
    let mut seen = BTreeSet::new();
    for target in &config.targets {
        let key = (target.policy.clone(), format!("{:?}", target.heal.policy));
        if !seen.insert(key) {
            continue;
        }
        if let Err(error) = policies.check(&target.policy, &target.heal.policy) {
            broken.push(format!("error: policy {} (of target {}): {error}", target.policy, target.name));
            continue;
        }
        // A wrong name in a ladder shows only when it runs: every ladder is walked, with every outcome it looks at.
        let walked = walk(&policies.load(&target.policy)?, &policy::settings::of_target(&target.heal), MOST_PATHS)?;
        for problem in walked.problems {
            broken.push(format!("error: policy {} (of target {}): {problem}", target.policy, target.name));
        }
    }
    if !broken.is_empty() {
        bail!("{}", broken.join("\n"));
    }
    say!(
        "{}: good. {} target{}.",
        file.display(),
        config.targets.len(),
        if config.targets.len() == 1 { "" } else { "s" }
    );
    for target in &config.targets {
        let mends = match &target.process.command {
            Some(command) => format!("mended with policy {}, started by: {}", target.policy, command.join(" ")),
            None => "observed only: no command".into(),
        };
        say!("  {} ({} at {}): {mends}", target.name, target.backend, target.url.as_str().trim_end_matches('/'));
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the monitor does at its start.
    #[test]
    fn a_setting_that_no_policy_declares_is_told_with_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("config.toml");
        let flags = Flags { policy_dir: Some(folder.path().to_owned()), ..Flags::default() };
        let idle = "policy { api = 1, about = \"x\", settings = { idle = 30 * minute } }\n";
        std::fs::write(folder.path().join("idle.lua"), idle).expect("a policy");
        let checked = |heal: &str| {
            let target = |name: &str, port: u16, more: &str| {
                format!(
                    "[[target]]\nname = \"{name}\"\nbackend = \"ollama\"\nurl = \"http://127.0.0.1:{port}\"\n{more}"
                )
            };
            let text = target("a", 1, "policy = \"idle\"\n") + &target("b", 2, heal);
            std::fs::write(&config, format!("[defaults.heal]\nidle = \"5m\"\n{text}")).expect("a configuration");
            check(&config, &flags)
        };
        assert!(checked("").is_ok(), "what one target's policy declares may stand for all");
        let error = checked("heal = { grase = \"5s\" }\n").expect_err("there is no such setting").to_string();
        assert!(error.contains("config.toml:12:10") && error.contains("did you mean `grace`?"), "{error}");
    }

    #[test]
    fn an_act_that_does_not_exist_is_found_before_it_is_needed() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("config.toml");
        let text =
            "[[target]]\nname = \"o\"\nbackend = \"ollama\"\nurl = \"http://127.0.0.1:11434\"\npolicy = \"mine\"\n";
        std::fs::write(&config, text).expect("a configuration");
        let flags = Flags { policy_dir: Some(folder.path().to_owned()), ..Flags::default() };
        let policy = |act: &str| {
            let text =
                format!("policy {{ api = 1, about = \"x\" }}\nfunction heal.dead(incident)\n  act.{act} {{}}\nend\n");
            std::fs::write(folder.path().join("mine.lua"), text).expect("a policy");
        };
        policy("start");
        assert!(check(&config, &flags).is_ok());
        policy("strat");
        let error = check(&config, &flags).expect_err("there is no such act").to_string();
        assert!(error.contains("mine.lua:3") && error.contains("start"), "{error}");
    }
}
