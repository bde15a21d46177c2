//! Looks for backends on this machine: at the manifests' ports on 127.0.0.1 and ::1, and wherever a process listens that
//! a manifest names. What is there is told by the rules of all manifests; what is another server's engine is not asked.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use ai_monitor_plugin_api::{
    event::Role,
    manifest::{Manifest, ProcessSpec},
};
use futures_util::{StreamExt, stream};
use tokio::{net::TcpStream, time::timeout};
use url::Url;

use super::{
    http::Driver,
    identify::{Identification, identify_by},
};
use crate::{
    health::{observation::Identity, signals::Owner},
    plugin::Registry,
    process::{
        self, Holder, Process,
        survey::{EngineOf, Survey},
    },
};

#[cfg(test)]
mod tests;

/// Windows tries a closed port again for two seconds; a listener of this machine takes a connection at once.
const CONNECT: Duration = Duration::from_millis(500);
const AT_ONCE: usize = 8;

/// What a look around found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Discovery {
    /// By port.
    pub found: Vec<Found>,
    /// All places that were looked at, by port, 127.0.0.1 first.
    pub looked: Vec<Looked>,
}

/// A server that could be a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub url: Url,
    pub address: SocketAddr,
    /// The same server answers at these addresses, too.
    pub also: Vec<SocketAddr>,
    /// `None`: a tie among `candidates`.
    pub identity: Option<Identity>,
    /// Every backend that it could be, surest first. Not empty.
    pub candidates: Vec<Identity>,
    /// `None`: it cannot be seen (another user's process, or a port that the system itself passes on).
    pub holder: Option<PortHolder>,
    /// Another server answers at the same port of another address: `localhost` is two servers.
    pub is_one_of_two: bool,
}

/// The process behind an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortHolder {
    pub process: Process,
    /// As long as nothing is configured for it.
    pub owner: Owner,
    /// It only passes on what a server elsewhere answers: it is never that server, and never mended.
    pub forwards: bool,
    /// Where it listens: on the wildcard, other machines reach it too.
    pub bound: Option<SocketAddr>,
}

/// One place that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    pub address: SocketAddr,
    pub seen: Seen,
    pub holder: Option<PortHolder>,
    /// The plugin that names this process as its server, whatever it answers.
    pub named_by: Option<String>,
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nobody takes a connection.
    Nobody,
    /// Something answers, and no plugin knows it.
    Stranger,
    /// Something takes connections and answers nothing in time: a backend that hangs, or no HTTP.
    Silent,
    Backend,
    /// Another server's engine: no server of its own, and not asked.
    Engine(EngineOf),
}

/// Looks around. `skip`: the API's own address, and those of targets that are known already; this process's own
/// listeners are left out in any case.
pub async fn discover(driver: &Driver, registry: &Registry, skip: &[SocketAddr]) -> Discovery {
    let manifests = registry.manifests();
    let manifests: Vec<&Manifest> = manifests.values().map(|manifest| &**manifest).collect();
    // Reads the files of all processes. A look without them still finds what is at the usual ports.
    let survey = tokio::task::spawn_blocking(Survey::take).await.unwrap_or_default();
    discover_by(driver, &manifests, &survey, skip).await
}

async fn discover_by(driver: &Driver, manifests: &[&Manifest], survey: &Survey, skip: &[SocketAddr]) -> Discovery {
    let loopbacks = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let usual = manifests.iter().flat_map(|manifest| &manifest.ports).filter(|port| **port != 0);
    let usual = usual.flat_map(|port| loopbacks.map(|ip| SocketAddr::new(ip, *port)));
    let places: BTreeSet<SocketAddr> = usual.chain(survey.listening(manifests)).collect();
    let mut places: Vec<SocketAddr> = places.into_iter().collect();
    places.sort_by_key(|address| (address.port(), !address.ip().is_loopback(), *address));

    let looks = places.into_iter().filter_map(|address| {
        let held = survey.holder(address);
        let is_self = matches!(&held, Holder::Known(process) if process.id.pid == std::process::id());
        // A known server that also listens on the other address is not found a second time.
        let is_known = skip.iter().any(|known| {
            *known == address || (known.port() == address.port() && is_same_holder(&survey.holder(*known), &held))
        });
        (!is_self && !is_known).then(|| look(driver, manifests, survey, address, held))
    });
    merge(stream::iter(looks).buffered(AT_ONCE).collect().await, manifests, survey)
}

/// One look at one place.
struct Look {
    address: SocketAddr,
    held: Holder,
    seen: Seen,
    who: Identification,
}

async fn look(driver: &Driver, manifests: &[&Manifest], survey: &Survey, address: SocketAddr, held: Holder) -> Look {
    let engine = match &held {
        Holder::Known(process) => survey.engine_of(process, manifests),
        _ => None,
    };
    let none = Identification::default();
    if let Some(engine) = engine {
        return Look { address, held, seen: Seen::Engine(engine), who: none };
    }
    // Connected and closed at once: cheaper than a question, and a server that hangs is told from none. Where nobody is
    // seen to listen it is tried all the same: the system may pass the port on.
    match timeout(CONNECT, TcpStream::connect(address)).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) | Err(_) => return Look { address, held, seen: Seen::Nobody, who: none },
    }
    let who = match url(address) {
        Some(url) => identify_by(&driver.target(&url, None), manifests).await,
        None => none,
    };
    let seen = match &who {
        who if !who.candidates.is_empty() => Seen::Backend,
        who if who.answered => Seen::Stranger,
        _ => Seen::Silent,
    };
    Look { address, held, seen, who }
}

fn url(address: SocketAddr) -> Option<Url> {
    Url::parse(&format!("http://{address}/")).ok()
}

/// One server that listens on several addresses is found once.
fn merge(looks: Vec<Look>, manifests: &[&Manifest], survey: &Survey) -> Discovery {
    let mut all = Discovery::default();
    let mut holders: Vec<Holder> = Vec::new();
    for Look { address, held, seen, who } in looks {
        let winner = who.winner.as_ref().or(who.candidates.first()).map(|identity| identity.backend.as_str());
        let spec =
            manifests.iter().find(|manifest| Some(manifest.id.as_str()) == winner).map(|manifest| &manifest.process);
        let holder = describe(&held, address, spec, survey);
        let named_by = holder.as_ref().and_then(|holder| {
            let names = |manifest: &&&Manifest| process::role(&holder.process, &manifest.process, false) == Role::Main;
            manifests.iter().find(names).map(|manifest| manifest.id.clone())
        });
        all.looked.push(Looked { address, seen: seen.clone(), holder: holder.clone(), named_by });
        let (Seen::Backend, Some(url)) = (seen, url(address)) else { continue };
        let at_port = |found: &Found| found.address.port() == address.port();
        let same = all.found.iter().zip(&holders).position(|(found, other)| {
            at_port(found) && found.candidates == who.candidates && is_same_holder(other, &held)
        });
        if let Some(same) = same {
            all.found[same].also.push(address);
            continue;
        }
        let mut is_one_of_two = false;
        for other in all.found.iter_mut().filter(|found| at_port(found)) {
            (other.is_one_of_two, is_one_of_two) = (true, true);
        }
        all.found.push(Found {
            url,
            address,
            also: Vec::new(),
            identity: who.winner,
            candidates: who.candidates,
            holder,
            is_one_of_two,
        });
        holders.push(held);
    }
    all
}

/// Where neither can be seen, one server that listens on both addresses is by far the likelier.
fn is_same_holder(a: &Holder, b: &Holder) -> bool {
    match (a, b) {
        (Holder::Known(a), Holder::Known(b)) => a.id == b.id,
        (a, b) => a == b,
    }
}

fn describe(held: &Holder, address: SocketAddr, spec: Option<&ProcessSpec>, survey: &Survey) -> Option<PortHolder> {
    let Holder::Known(process) = held else { return None };
    let nothing = ProcessSpec::default();
    Some(PortHolder {
        owner: survey.owner(process, spec.unwrap_or(&nothing)),
        forwards: process::is_forwarder(process),
        bound: survey.bound(address),
        process: process.as_ref().clone(),
    })
}

impl Found {
    /// A name for it as a target: its flavour or its backend, and with its port where that is taken.
    pub fn name(&self, is_taken: impl Fn(&str) -> bool) -> String {
        let who = self.identity.as_ref().or(self.candidates.first());
        let base = who.map_or("server", |who| who.variant.as_deref().unwrap_or(&who.backend));
        let port = self.address.port();
        let tries =
            [base.to_owned(), format!("{base}-{port}"), format!("{base}-{port}-{}", ip_word(self.address.ip()))];
        let numbered = (2..).map(|n| format!("{base}-{port}-{n}"));
        tries.into_iter().chain(numbered).find(|name| !is_taken(name)).unwrap_or_default()
    }

    /// All addresses at which it answers.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        std::iter::once(self.address).chain(self.also.iter().copied())
    }
}

fn ip_word(ip: IpAddr) -> &'static str {
    if ip.is_ipv6() { "ipv6" } else { "ipv4" }
}

impl PortHolder {
    /// The command that would start it again: its executable and arguments. `None`: it cannot be read, or a part of it
    /// is a secret.
    pub fn command(&self) -> Option<Vec<String>> {
        if self.process.title.is_empty() {
            // The system shows no arguments of it: without them it would be another server.
            return None;
        }
        let exe = self.process.exe.as_ref()?.to_str()?.to_owned();
        let args = process::mask(&self.process.args);
        (args == self.process.args).then(|| std::iter::once(exe).chain(args).collect())
    }

    /// Do other machines reach it?
    pub fn is_open_to_others(&self) -> bool {
        self.bound.is_some_and(|bound| !bound.ip().is_loopback())
    }
}
