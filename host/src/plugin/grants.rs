//! What a plugin may ask for: the routes and needs of its manifest, and what of them a user has granted.

use std::{collections::BTreeMap, fmt};

use ai_monitor_plugin_api::manifest::Manifest;
use serde::{Deserialize, Serialize};

/// Of one probe or repair.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Asks {
    pub routes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
}

/// All that a plugin may ask for, by session: `liveness`, …, or `repair load`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Grants {
    pub sessions: BTreeMap<String, Asks>,
}

impl Grants {
    /// What a manifest names.
    pub fn of(manifest: &Manifest) -> Grants {
        let probes = manifest.probes.iter().map(|(depth, p)| (depth.to_string(), &p.routes, &p.needs));
        let repairs = manifest.repairs.iter().map(|(name, r)| (format!("repair {name}"), &r.routes, &r.needs));
        let asks = |(session, routes, needs): (String, &Vec<String>, &Vec<String>)| {
            (session, Asks { routes: routes.clone(), needs: needs.clone() })
        };
        Grants { sessions: probes.chain(repairs).map(asks).collect() }
    }

    /// What of `asked` is not granted here; empty: nothing new.
    pub fn missing(&self, asked: &Grants) -> Grants {
        let mut missing = BTreeMap::new();
        for (session, asks) in &asked.sessions {
            let granted = self.sessions.get(session);
            let covered = |route: &str| granted.is_some_and(|g| g.routes.iter().any(|has| covers(has, route)));
            let routes: Vec<String> = asks.routes.iter().filter(|r| !covered(r)).cloned().collect();
            let known = |need: &String| granted.is_some_and(|g| g.needs.contains(need));
            let needs: Vec<String> = asks.needs.iter().filter(|n| !known(n)).cloned().collect();
            if !routes.is_empty() || !needs.is_empty() {
                missing.insert(session.clone(), Asks { routes, needs });
            }
        }
        Grants { sessions: missing }
    }

    /// Both together.
    pub fn with(mut self, more: &Grants) -> Grants {
        for (session, asks) in &more.sessions {
            let own = self.sessions.entry(session.clone()).or_default();
            for (have, add) in [(&mut own.routes, &asks.routes), (&mut own.needs, &asks.needs)] {
                let new: Vec<String> = add.iter().filter(|a| !have.contains(a)).cloned().collect();
                have.extend(new);
            }
        }
        self
    }

    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

/// One line per session: `liveness: GET /api/version`.
impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (session, asks)) in self.sessions.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{session}: {}", asks.routes.join(", "))?;
            if !asks.needs.is_empty() {
                let comma = if asks.routes.is_empty() { "" } else { ", and " };
                write!(f, "{comma}to see {}", asks.needs.join(", "))?;
            }
        }
        Ok(())
    }
}

/// Is all that `asked` matches matched by `granted`? `* *` is any route at the target; a local one is never in it.
fn covers(granted: &str, asked: &str) -> bool {
    if granted == asked {
        return true;
    }
    let local = |route: &str| route.starts_with("local ");
    if local(granted) != local(asked) {
        return false;
    }
    let granted = granted.strip_prefix("local ").unwrap_or(granted);
    let asked = asked.strip_prefix("local ").unwrap_or(asked);
    if granted == "* *" {
        return true;
    }
    let (Some((method, path)), Some((asked_method, asked_path))) = (granted.split_once(' '), asked.split_once(' '))
    else {
        return false;
    };
    match path.strip_suffix('*') {
        Some(prefix) => method == asked_method && asked_path.trim_end_matches('*').starts_with(prefix),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(sessions: &[(&str, &[&str], &[&str])]) -> Grants {
        let own = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
        let one = |(session, routes, needs): &(&str, &[&str], &[&str])| {
            ((*session).to_owned(), Asks { routes: own(routes), needs: own(needs) })
        };
        Grants { sessions: sessions.iter().map(one).collect() }
    }

    #[test]
    fn only_what_is_new_waits_for_consent() {
        let granted = grants(&[("liveness", &["GET /a", "GET /api/*"], &[]), ("repair load", &["POST /load"], &[])]);
        assert!(granted.missing(&granted).is_empty());
        assert!(granted.missing(&grants(&[("liveness", &["GET /api/tags"], &[])])).is_empty(), "a prefix holds it");
        let more = granted.missing(&grants(&[
            ("liveness", &["GET /a", "POST /a", "GET /b", "GET /api/x*"], &["processes"]),
            ("readiness", &["GET /a"], &[]),
            ("repair load", &["POST /load"], &[]),
        ]));
        assert_eq!(
            more,
            grants(&[("liveness", &["POST /a", "GET /b"], &["processes"]), ("readiness", &["GET /a"], &[])])
        );
        assert_eq!(more.to_string(), "liveness: POST /a, GET /b, and to see processes; readiness: GET /a");
    }

    #[test]
    fn a_route_is_held_by_no_narrower_one() {
        for (granted, asked, held) in [
            ("* *", "POST /x", true),
            ("* *", "local GET /x", false),
            ("local * *", "local GET /x", true),
            ("local GET /x", "GET /x", false),
            ("GET /x", "GET /x*", false),
            ("GET /x*", "GET /x*", true),
            ("GET /x*", "GET /xy*", true),
            ("GET /xy*", "GET /x*", false),
            ("GET /x*", "POST /xy", false),
            ("GET /x*", "* *", false),
        ] {
            assert_eq!(covers(granted, asked), held, "{granted} over {asked}");
        }
    }
}
