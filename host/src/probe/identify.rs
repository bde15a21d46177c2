//! Who answers at an address, told by the rules of all manifests: no plugin code runs and no key is sent.
//!
//! There are servers that even a GET does harm (llama-cpp-python breaks off a user's answer when its models are listed),
//! so nothing is asked that can no longer change the result.

use std::{collections::BTreeMap, time::Duration};

use ai_monitor_plugin_api::{
    effect::Method,
    event::Outcome,
    manifest::{Check, Confidence, Manifest, Rule},
};
use futures_util::{StreamExt, stream};
use reqwest::header::HeaderMap;
use serde_json::Value;
use tokio::time::Instant;

use super::http::{Answer, Call, RequestPath, TargetClient, To};
use crate::{health::observation::Identity, plugin::Registry};

const TIMEOUT: Duration = Duration::from_secs(2);
const MAX_BYTES: usize = 256 * 1024;
/// Questions at a time: a server that answers none of them is told after a few timeouts, and none is flooded.
const AT_ONCE: usize = 4;

/// Who answers at an address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identification {
    /// The one with the highest confidence; `None`: nobody known, or a tie.
    pub winner: Option<Identity>,
    /// Those with the highest confidence, by name: the winner, or those of a tie, which is the user's choice. Whom else
    /// it could be, less surely, is not asked for.
    pub candidates: Vec<Identity>,
    /// Did anything answer with a status? Without it nothing is known about who is there.
    pub answered: bool,
    /// Would the same server answer the same another time? Not where a question got no whole answer, or was put off.
    pub is_settled: bool,
}

impl Identification {
    /// Who it is to one that is used as `backend`: at the same confidence it is that.
    pub fn seen_as(self, backend: &str) -> Option<Identity> {
        self.candidates.into_iter().find(|candidate| candidate.backend == backend).or(self.winner)
    }
}

/// Do the plugin's sessions depend on which flavour answers? A flavour may take harm from what another one is asked
/// for, so it is to be known before the first session.
pub fn tells_flavours(manifest: &Manifest) -> bool {
    manifest.identify.iter().any(|rule| rule.variant.is_some())
}

/// Runs the rules of all plugins against a target, each distinct GET at most once.
pub async fn identify(client: &TargetClient, registry: &Registry) -> Identification {
    let manifests: Vec<&Manifest> = registry.iter().map(|plugin| &**plugin.manifest()).collect();
    identify_by(client, &manifests).await
}

/// Surest rules first: those of less confidence are asked only where none of more holds.
pub async fn identify_by(client: &TargetClient, manifests: &[&Manifest]) -> Identification {
    let mut pages = Pages::default();
    for confidence in [Confidence::Certain, Confidence::Likely, Confidence::Possible] {
        let rules = manifests.iter().flat_map(|manifest| deciding(manifest, confidence)).collect::<Vec<_>>();
        pages.learn(client, &rules).await;
        let candidates = judge(&pages, manifests, confidence);
        if !candidates.is_empty() || (!pages.answered() && !pages.0.is_empty()) {
            let winner = candidates.first().filter(|_| candidates.len() == 1).cloned();
            return Identification { winner, candidates, answered: pages.answered(), is_settled: pages.is_settled() };
        }
    }
    Identification { answered: pages.answered(), is_settled: pages.is_settled(), ..Identification::default() }
}

/// The rules that decide whether a manifest's first rule that holds is of this confidence: those and all before them.
fn deciding(manifest: &Manifest, confidence: Confidence) -> &[Rule] {
    let last = manifest.identify.iter().rposition(|rule| rule.is >= confidence);
    last.map_or(&[], |last| &manifest.identify[..=last])
}

async fn get(client: &TargetClient, name: String, path: RequestPath) -> (String, Page) {
    let call = Call {
        method: Method::Get,
        to: To::Target,
        path,
        headers: HeaderMap::new(),
        body: None,
        until: Instant::now() + TIMEOUT,
        max_bytes: MAX_BYTES,
        stream: false,
        auth: false,
    };
    let (answer, _) = client.call(&call).await;
    let json = answer.body.as_ref().and_then(|body| serde_json::from_str(&body.text).ok());
    (name, Page { answer, json })
}

/// The answers, by what the checks call their path.
#[derive(Default)]
struct Pages(BTreeMap<String, Page>);

struct Page {
    answer: Answer,
    /// `None`: not JSON.
    json: Option<Value>,
}

impl Pages {
    /// Asks until of each rule it is known whether it holds, and of a rule no check behind one that fails. Where nobody
    /// takes a connection one question is enough.
    async fn learn(&mut self, client: &TargetClient, rules: &[&Rule]) {
        loop {
            let due: BTreeMap<String, RequestPath> = rules.iter().filter_map(|rule| self.undecided(rule)).collect();
            if due.is_empty() || self.is_nobody() {
                return;
            }
            // The first one alone: where nobody takes the connection, the others would only be refused, too.
            let at_once = if self.0.is_empty() { 1 } else { due.len() };
            let due = stream::iter(due.into_iter().take(at_once)).map(|(name, path)| get(client, name, path));
            self.0.extend(due.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
        }
    }

    /// The check of a rule that is to be asked next; `None`: it is known whether the rule holds.
    fn undecided(&self, rule: &Rule) -> Option<(String, RequestPath)> {
        for check in &rule.all {
            match self.0.get(&check.get) {
                Some(page) if holds(check, page) => {}
                Some(_) => return None,
                None => return Some((check.get.clone(), RequestPath::new(&check.get).ok()?)),
            }
        }
        None
    }

    fn holds(&self, rule: &Rule) -> bool {
        // A rule without checks would hold for anything.
        !rule.all.is_empty()
            && rule.all.iter().all(|check| self.0.get(&check.get).is_some_and(|page| holds(check, page)))
    }

    fn answered(&self) -> bool {
        self.0.values().any(|page| page.answer.status.is_some())
    }

    /// Whoever was asked first was not there to take the connection; one that is only silent is.
    fn is_nobody(&self) -> bool {
        let is_there = |page: &Page| page.answer.status.is_some() || page.answer.outcome == Outcome::Timeout;
        !self.0.is_empty() && !self.0.values().any(is_there)
    }

    fn is_settled(&self) -> bool {
        let is_whole = |page: &Page| match page.answer.outcome {
            Outcome::Timeout | Outcome::Reset | Outcome::Refused | Outcome::Unreachable | Outcome::Deadline => false,
            // Said by a server that is not up yet, or by what stands in front of it.
            _ => page.answer.status.is_some_and(|status| !matches!(status, 429 | 502..=504)),
        };
        !self.0.is_empty() && self.0.values().all(is_whole)
    }
}

/// Whose first rule that holds is of this confidence, by name.
fn judge(pages: &Pages, manifests: &[&Manifest], confidence: Confidence) -> Vec<Identity> {
    let who = |manifest: &&Manifest| {
        let rule = deciding(manifest, confidence).iter().find(|rule| pages.holds(rule))?;
        (rule.is >= confidence).then(|| Identity {
            backend: manifest.id.clone(),
            confidence: rule.is,
            variant: rule.variant.clone(),
        })
    };
    let mut candidates: Vec<Identity> = manifests.iter().filter_map(who).collect();
    candidates.sort_by(|a, b| a.backend.cmp(&b.backend));
    candidates
}

/// Every part of a check must hold, of a whole answer, and one part must look at content.
fn holds(check: &Check, page: &Page) -> bool {
    let answer = &page.answer;
    let (Some(status), None, Some(body)) = (answer.status, answer.at, &answer.body) else { return false };
    let looks_at_content =
        !check.header.is_empty() || check.contains.is_some() || !check.has.is_empty() || !check.equals.is_empty();
    let at = |pointer: &str| page.json.as_ref().and_then(|json| json.pointer(pointer));
    looks_at_content
        && check.status.as_deref().unwrap_or(&[200]).contains(&status)
        && check.header.iter().all(|(name, value)| answer.headers.get(&name.to_ascii_lowercase()) == Some(value))
        && check.contains.as_ref().is_none_or(|part| body.text.contains(part))
        && check.has.iter().all(|pointer| at(pointer).is_some())
        && check.equals.iter().all(|(pointer, value)| at(pointer) == Some(value))
}

#[cfg(test)]
mod tests;
