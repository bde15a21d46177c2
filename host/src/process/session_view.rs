//! A target's processes as plugins' sessions see them: ids of their own, secrets masked, proven addresses alone.

use std::{collections::BTreeMap, net::SocketAddr};

use ai_monitor_plugin_api::event;

use super::watch::Watch;
use crate::{
    health::signals::TreeProcess,
    secrets::{HIDDEN, is_secret_name, redact},
};

impl Watch {
    /// The processes of the last refresh's tree as sessions see them, and the addresses that they may reach.
    pub fn for_sessions(&self, tree: &[TreeProcess]) -> (Vec<event::Process>, BTreeMap<String, SocketAddr>) {
        let ids: BTreeMap<u32, &str> = tree.iter().map(|p| (p.id.pid, p.session_id.as_str())).collect();
        let mut addresses = BTreeMap::new();
        let processes = tree
            .iter()
            .map(|p| {
                let mut own = Vec::new();
                for address in &p.addresses {
                    let name = format!("{}/{}", p.session_id, address.port());
                    addresses.insert(name.clone(), *address);
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

/// Arguments without secrets: what follows or is set by a secret's name is masked, in a header and an URL, too.
pub fn mask(args: &[String]) -> Vec<String> {
    let mut masked = Vec::with_capacity(args.len());
    let mut hide_next = false;
    for arg in args {
        if std::mem::take(&mut hide_next) && !arg.starts_with('-') {
            masked.push(HIDDEN.to_owned());
            continue;
        }
        let set_by = ["=", ": "].into_iter().filter_map(|sign| {
            let at = arg.find(sign)?;
            is_secret_name(&arg[..at]).then_some(at + sign.len())
        });
        masked.push(match set_by.min() {
            Some(value) => format!("{}{HIDDEN}", &arg[..value]),
            None if arg.contains("://") => redact(arg),
            None => {
                hide_next = arg.starts_with('-') && !arg.contains('=') && is_secret_name(arg);
                arg.clone()
            }
        });
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

    #[test]
    fn secrets_in_headers_and_addresses_of_arguments_are_masked() {
        let args = [
            "-H",
            "Authorization: Basic dXNlcg==",
            "--header=Cookie: a=b",
            "--proxy",
            "http://me:hunter2@it/",
            "--origin=https://it/?limit=1&api_key=abc",
        ];
        let masked = mask(&args.map(str::to_owned));
        let hidden = [
            "-H",
            "Authorization: ***",
            "--header=Cookie: ***",
            "--proxy",
            "http://me:***@it/",
            "--origin=https://it/?limit=1&api_key=***",
        ];
        assert_eq!(masked, hidden);
    }

    /// A model is told by these.
    #[test]
    fn arguments_that_only_look_like_secrets_stay() {
        let args =
            ["serve", "-m", "/models/hf_tiny_0123456789abc.gguf", "--host", "127.0.0.1:80", "C:\\models\\a.gguf"];
        let args = args.map(str::to_owned);
        assert_eq!(mask(&args), args);
    }
}
