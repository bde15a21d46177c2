//! `ai-monitor check FILE`: a configuration and the policies that it names, without running anything.

use std::{collections::BTreeSet, path::Path, process::ExitCode};

use anyhow::bail;

use crate::{
    config::{self, Flags},
    plugin::Registry,
    policy::PolicyStore,
};

pub(super) fn check(file: &Path, flags: &Flags) -> anyhow::Result<ExitCode> {
    let registry = Registry::bundled();
    let config = config::check(file, &registry)?;
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
        }
    }
    if !broken.is_empty() {
        bail!("{}", broken.join("\n"));
    }
    println!(
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
        println!("  {} ({} at {}): {mends}", target.name, target.backend, target.url.as_str().trim_end_matches('/'));
    }
    Ok(ExitCode::SUCCESS)
}
