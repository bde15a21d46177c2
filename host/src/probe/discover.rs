//! Looks for backends on this machine: the manifests' ports on 127.0.0.1 and ::1, and nowhere else.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use ai_monitor_plugin_api::manifest::Manifest;
use futures_util::{StreamExt, stream};
use tokio::{net::TcpStream, time::timeout};
use url::Url;

use super::{
    http::Driver,
    identify::{Identification, identify_by},
};
use crate::{health::observation::Identity, plugin::Registry};

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
    /// The same backend answers at this address, too: most likely one server that listens on both.
    pub also: Option<SocketAddr>,
    /// `None`: a tie among `candidates`.
    pub identity: Option<Identity>,
    /// Every backend that it could be, surest first. Not empty.
    pub candidates: Vec<Identity>,
}

/// One place that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    pub address: SocketAddr,
    pub seen: Seen,
}

/// What is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Nobody takes a connection.
    Nobody,
    /// Something answers, and no plugin knows it.
    Stranger,
    /// Something takes connections and answers nothing in time: a backend that hangs, or no HTTP.
    Silent,
    Backend,
}

/// Looks at the ports of all manifests and at `extra_ports`, except those to `skip`: the API's own, and those of
/// targets that are known already.
pub async fn discover(
    driver: &Driver,
    registry: &Registry,
    extra_ports: &[u16],
    skip: impl IntoIterator<Item = u16>,
) -> Discovery {
    let manifests: Vec<&Manifest> = registry.iter().map(|plugin| &**plugin.manifest()).collect();
    discover_by(driver, &manifests, extra_ports, &skip.into_iter().collect()).await
}

async fn discover_by(driver: &Driver, manifests: &[&Manifest], extra_ports: &[u16], skip: &BTreeSet<u16>) -> Discovery {
    let ports: BTreeSet<u16> = manifests
        .iter()
        .flat_map(|manifest| &manifest.ports)
        .chain(extra_ports)
        .copied()
        .filter(|port| *port != 0 && !skip.contains(port))
        .collect();
    let places = ports.into_iter().flat_map(|port| {
        [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].map(|ip| SocketAddr::new(ip, port))
    });
    let looks = stream::iter(places).map(|address| look(driver, manifests, address)).buffered(AT_ONCE);
    merge(looks.collect().await)
}

async fn look(driver: &Driver, manifests: &[&Manifest], address: SocketAddr) -> (SocketAddr, Option<Identification>) {
    // Connected and closed at once: cheaper than a question, and a server that hangs is told from none.
    match timeout(CONNECT, TcpStream::connect(address)).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) | Err(_) => return (address, None),
    }
    let identification = match url(address) {
        Some(url) => identify_by(&driver.target(&url, None), manifests).await,
        None => Identification::default(),
    };
    (address, Some(identification))
}

fn url(address: SocketAddr) -> Option<Url> {
    Url::parse(&format!("http://{address}/")).ok()
}

/// One server that listens on both addresses is found once.
fn merge(looks: Vec<(SocketAddr, Option<Identification>)>) -> Discovery {
    let mut all = Discovery::default();
    for (address, identification) in looks {
        let seen = match &identification {
            None => Seen::Nobody,
            Some(who) if !who.candidates.is_empty() => Seen::Backend,
            Some(who) if who.answered => Seen::Stranger,
            Some(_) => Seen::Silent,
        };
        all.looked.push(Looked { address, seen });
        let (Some(who), Some(url)) = (identification.filter(|who| !who.candidates.is_empty()), url(address)) else {
            continue;
        };
        if let Some(last) = all.found.last_mut()
            && last.address.port() == address.port()
            && last.candidates == who.candidates
        {
            last.also = Some(address);
            continue;
        }
        all.found.push(Found { url, address, also: None, identity: who.winner, candidates: who.candidates });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::testing::{Server, manifest};

    const OLLAMA: &str = "HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\nOllama is running";

    fn ollama(ports: &[u16]) -> Manifest {
        let mut manifest =
            manifest("ollama", r#"[{"is":"likely","all":[{"get":"/","contains":"Ollama is running"}]}]"#);
        manifest.ports = ports.to_vec();
        manifest
    }

    #[tokio::test]
    async fn finds_what_answers_and_tells_where_it_looked() {
        let backend = Server::answering(OLLAMA).await;
        let stranger = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
        let closed = Server::answering("").await.stop().await;
        let own = Server::answering(OLLAMA).await;
        let manifest = ollama(&[backend.port(), stranger.port()]);
        let driver = Driver::new().unwrap();
        let all =
            discover_by(&driver, &[&manifest], &[closed.port(), own.port(), 0], &BTreeSet::from([own.port()])).await;

        let [found] = &all.found[..] else { panic!("{all:?}") };
        assert_eq!(found.address, backend.address());
        assert_eq!(found.url.as_str(), format!("http://{}/", backend.address()));
        assert_eq!(found.identity.as_ref().map(|who| who.backend.as_str()), Some("ollama"));
        let seen = |address: SocketAddr| all.looked.iter().find(|look| look.address == address).map(|look| look.seen);
        assert_eq!(seen(backend.address()), Some(Seen::Backend));
        assert_eq!(seen(stranger.address()), Some(Seen::Stranger));
        assert_eq!(seen(closed), Some(Seen::Nobody));
        assert_eq!(seen(SocketAddr::from((Ipv6Addr::LOCALHOST, backend.port()))), Some(Seen::Nobody));
        assert_eq!(seen(own.address()), None);
        assert_eq!(own.connections(), 0, "our own port is not touched");
    }

    #[test]
    fn one_server_on_both_addresses_is_found_once_and_two_servers_twice() {
        let who = |backend: &str| {
            let identity = Identity {
                backend: backend.into(),
                confidence: ai_monitor_plugin_api::manifest::Confidence::Likely,
                variant: None,
            };
            Some(Identification {
                winner: Some(identity.clone()),
                candidates: vec![identity],
                answered: true,
                ..Default::default()
            })
        };
        let (v4, v6): (SocketAddr, SocketAddr) = ("127.0.0.1:1".parse().unwrap(), "[::1]:1".parse().unwrap());
        let one = merge(vec![(v4, who("ollama")), (v6, who("ollama"))]);
        assert_eq!(one.found.iter().map(|f| (f.address, f.also)).collect::<Vec<_>>(), [(v4, Some(v6))]);
        let two = merge(vec![(v4, who("ollama")), (v6, who("openai"))]);
        assert_eq!(two.found.iter().map(|f| (f.address, f.also)).collect::<Vec<_>>(), [(v4, None), (v6, None)]);
    }

    #[test]
    fn a_server_that_answers_nothing_is_told_from_none() {
        let address = "127.0.0.1:1".parse().unwrap();
        assert_eq!(merge(vec![(address, Some(Identification::default()))]).looked[0].seen, Seen::Silent);
        assert_eq!(merge(vec![(address, None)]).looked[0].seen, Seen::Nobody);
    }
}
