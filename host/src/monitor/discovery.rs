//! Without a configuration file: what is found is watched at once, observed only and without inference, and every 30 s
//! it is looked again.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::watch;
use url::Url;

use super::{Monitor, core::Core, local_addresses};
use crate::{
    config::model::{ProcessConfig, Target},
    probe::discover::{Discovery, Found, Seen, discover},
};

/// How often it looks again.
pub const LOOK_AGAIN: Duration = Duration::from_secs(30);

impl Monitor {
    /// Looks once; what is new becomes a target. Gives what was found and where it looked.
    pub async fn discover(self: &Arc<Self>) -> Discovery {
        let core = self.core();
        let mut skip = self.known_addresses();
        skip.push(core.listen);
        let discovery = discover(&core.driver, &core.plugins.registry(), &skip).await;
        let looked = discovery.looked.iter().filter(|l| !matches!(l.seen, Seen::Engine(_)));
        let looked_at = looked.map(|l| l.address.to_string()).collect();
        core.board.own(|own| own.looked_at = looked_at);
        for found in &discovery.found {
            if let Some(target) = self.target_of(found) {
                tracing::info!("found {} at {}", target.name, target.url);
                self.add(target, Duration::ZERO).await;
            }
        }
        discovery
    }

    /// Looks again until the monitor ends.
    pub async fn keep_discovering(self: Arc<Self>) {
        let mut control = self.core().control.subscribe();
        loop {
            tokio::select! {
                ended = control.wait_for(|c| c.shutting_down) => {
                    drop(ended);
                    return;
                }
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            if watch::Receiver::borrow(&control).monitoring {
                self.discover().await;
            }
        }
    }

    /// Where the targets that are known already are, as far as that is on this machine.
    fn known_addresses(&self) -> Vec<SocketAddr> {
        let urls =
            self.core().board.snapshot().targets.iter().filter_map(|t| Url::parse(&t.url).ok()).collect::<Vec<_>>();
        urls.iter().flat_map(local_addresses).collect()
    }

    /// A found server as a target, unless it is one already.
    fn target_of(&self, found: &Found) -> Option<Target> {
        let core: &Core = self.core();
        let identity = found.identity.as_ref()?;
        let known = self.known_addresses();
        if found.addresses().any(|address| known.contains(&address)) {
            return None;
        }
        let snapshot = core.board.snapshot();
        let name = found.name(|name| snapshot.targets.iter().any(|t| t.name == name));
        let defaults = &core.config.defaults;
        let registry = core.plugins.registry();
        let plugin = registry.get(&identity.backend)?;
        Some(Target {
            name,
            backend: identity.backend.clone(),
            url: found.url.clone(),
            enabled: true,
            tags: Vec::new(),
            models: Vec::new(),
            check_interval: defaults.check_interval,
            timeout: defaults.timeout,
            stall_after: defaults.stall_after,
            policy: defaults.policy.clone(),
            process: ProcessConfig::default(),
            inference: None,
            heal: defaults.heal.clone(),
            settings: crate::config::default_settings(plugin.manifest()),
            written: Default::default(),
            auth: None,
            found: true,
        })
    }
}
