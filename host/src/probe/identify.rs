//! Who answers at an address, told by the rules of all manifests: no plugin code runs and no key is sent.

use std::{collections::BTreeMap, time::Duration};

use ai_monitor_plugin_api::{
    effect::Method,
    event::Outcome,
    manifest::{Check, Confidence, Manifest},
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
    /// Two or more with the same highest confidence: the user's choice.
    pub ties: Vec<Identity>,
    /// Every backend that it could be, surest first.
    pub candidates: Vec<Identity>,
    /// Did anything answer with a status? Without it nothing is known about who is there.
    pub answered: bool,
}

/// Runs the rules of all plugins against a target, each distinct GET once.
pub async fn identify(client: &TargetClient, registry: &Registry) -> Identification {
    let manifests: Vec<&Manifest> = registry.iter().map(|plugin| &**plugin.manifest()).collect();
    identify_by(client, &manifests).await
}

pub(super) async fn identify_by(client: &TargetClient, manifests: &[&Manifest]) -> Identification {
    let mut paths: Vec<RequestPath> = Vec::new();
    for check in manifests.iter().flat_map(|manifest| &manifest.identify).flat_map(|rule| &rule.all) {
        if let Ok(path) = RequestPath::new(&check.get)
            && !paths.contains(&path)
        {
            paths.push(path);
        }
    }
    let mut paths = paths.into_iter();
    let mut pages = Pages::default();
    let Some(first) = paths.next() else { return Identification::default() };
    let page = get(client, first).await;
    // Nobody takes the connection: the other questions would only be refused, too.
    let nobody = page.1.answer.status.is_none() && page.1.answer.outcome != Outcome::Timeout;
    pages.0.extend([page]);
    if !nobody {
        pages.0.extend(
            stream::iter(paths).map(|path| get(client, path)).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await,
        );
    }
    judge(&pages, manifests)
}

async fn get(client: &TargetClient, path: RequestPath) -> (String, Page) {
    let call = Call {
        method: Method::Get,
        to: To::Target,
        path: path.clone(),
        headers: HeaderMap::new(),
        body: None,
        until: Instant::now() + TIMEOUT,
        max_bytes: MAX_BYTES,
        stream: false,
        auth: false,
    };
    let (answer, _) = client.call(&call).await;
    let json = answer.body.as_ref().and_then(|body| serde_json::from_str(&body.text).ok());
    (path.as_str().to_owned(), Page { answer, json })
}

/// The answers by path.
#[derive(Default)]
struct Pages(BTreeMap<String, Page>);

struct Page {
    answer: Answer,
    /// `None`: not JSON.
    json: Option<Value>,
}

fn judge(pages: &Pages, manifests: &[&Manifest]) -> Identification {
    let mut candidates: Vec<Identity> = manifests
        .iter()
        .filter_map(|manifest| {
            let rule = manifest.identify.iter().find(|rule| rule.all.iter().all(|check| holds(check, pages)))?;
            // A rule without checks would hold for anything.
            (!rule.all.is_empty()).then(|| Identity {
                backend: manifest.id.clone(),
                confidence: rule.is,
                variant: rule.variant.clone(),
            })
        })
        .collect();
    candidates.sort_by(|a, b| b.confidence.cmp(&a.confidence).then_with(|| a.backend.cmp(&b.backend)));
    let highest: Option<Confidence> = candidates.first().map(|first| first.confidence);
    let best: Vec<Identity> =
        candidates.iter().filter(|candidate| Some(candidate.confidence) == highest).cloned().collect();
    let (winner, ties) = if best.len() > 1 { (None, best) } else { (best.into_iter().next(), Vec::new()) };
    Identification { winner, ties, candidates, answered: pages.0.values().any(|page| page.answer.status.is_some()) }
}

/// Every part of a check must hold, of a whole answer, and one part must look at content.
fn holds(check: &Check, pages: &Pages) -> bool {
    let Some(page) = pages.0.get(&check.get) else { return false };
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
