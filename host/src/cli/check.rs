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
    let config = config::check(file, &super::run::plugins_known(flags))?;
    let policies = PolicyStore::new(Some(config::places(flags).policies));
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
