//! A target's processes as plugins' sessions see them: ids of their own, secrets masked, proven addresses alone.

use std::{collections::BTreeMap, net::SocketAddr};

use ai_monitor_plugin_api::event;

use super::watch::Watch;
use crate::health::signals::TreeProcess;

impl Watch {
    /// The processes of the last refresh's tree as sessions see them, and the addresses that they may reach.
    pub fn for_sessions(&self, tree: &[TreeProcess]) -> (Vec<event::Process>, BTreeMap<String, SocketAddr>) {
        let ids: BTreeMap<u32, &str> = tree.iter().map(|p| (p.id.pid, p.session_id.as_str())).collect();
        let mut addresses = BTreeMap::new();
        let processes = tree
            .iter()
            .map(|p| {
                let mut own = Vec::new();
                for port in &p.ports {
                    let name = format!("{}/{port}", p.session_id);
                    addresses.insert(name.clone(), SocketAddr::from(([127, 0, 0, 1], *port)));
                    own.push(name);
                }
                event::Process {
                    id: p.session_id.clone(),
                    parent: p.parent.and_then(|pid| ids.get(&pid)).map(|s| (*s).to_owned()),
                    role: p.role,
                    exe: p.exe.clone(),
                    args: self.arguments.get(&p.id).cloned().unwrap_or_default(),
                    addresses: own,
                }
            })
            .collect();
        (processes, addresses)
    }
}

/// Arguments without secrets: what follows or is set by a name that sounds like a key is masked.
pub fn mask(args: &[String]) -> Vec<String> {
    let secret = |name: &str| {
        let name = name.to_ascii_lowercase();
        ["key", "token", "secret", "password", "auth"].iter().any(|word| name.contains(word))
    };
    let mut masked = Vec::with_capacity(args.len());
    let mut hide_next = false;
    for arg in args {
        if std::mem::take(&mut hide_next) && !arg.starts_with('-') {
            masked.push("***".to_owned());
            continue;
        }
        match arg.split_once('=') {
            Some((name, _)) if secret(name) => masked.push(format!("{name}=***")),
            None if arg.starts_with('-') && secret(arg) => {
                hide_next = true;
                masked.push(arg.clone());
            }
            _ => masked.push(arg.clone()),
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn secrets_in_arguments_are_masked() {
        let args = ["--api-key", "s3cret", "--port", "80", "--token=abc", "--api-key-file"];
        let masked = mask(&args.map(str::to_owned));
        assert_eq!(masked, ["--api-key", "***", "--port", "80", "--token=***", "--api-key-file"]);
    }
}
