//! Checks of addresses: where the API listens, and where a target is.

use std::net::{IpAddr, SocketAddr};

use url::{Host, Url};

/// Where the API listens when nothing is said.
pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5000);

/// What is wrong with a text, and what would be right.
pub type Wrong = (String, String);

/// `127.0.0.1:5000`, `[::1]:5000` or `localhost:5000`. Refused: what other machines could reach.
pub fn listen(text: &str) -> Result<SocketAddr, Wrong> {
    let written = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    let Ok(address) = written.parse::<SocketAddr>() else {
        return Err((format!("{text:?} is no address with a port"), format!("such as \"{LISTEN}\"")));
    };
    if !address.ip().is_loopback() {
        return Err((
            format!(
                "{address} is not a loopback address: refused until tokens exist, for who reaches it can start and end processes"
            ),
            format!("listen on \"127.0.0.1:{}\", and reach it from elsewhere through ssh -L", address.port()),
        ));
    }
    Ok(address)
}

/// The base address of a target.
pub fn url(text: &str) -> Result<Url, Wrong> {
    let example = "such as \"http://127.0.0.1:11434\"";
    let url = Url::parse(text).map_err(|e| {
        // `127.0.0.1:11434`
        let with_scheme = format!("http://{text}");
        let is_url_so = !text.contains("://") && Url::parse(&with_scheme).is_ok();
        let help = if is_url_so { format!("write {with_scheme:?}") } else { example.to_owned() };
        (format!("{text:?} is no URL: {e}"), help)
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        let help = if text.contains("://") { example.to_owned() } else { format!("write \"http://{text}\"") };
        return Err((format!("only http and https are spoken, not `{}:`", url.scheme()), help));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err((
            "a user or password in the URL: a secret never stands in the file".into(),
            "name a variable or a file in [target.auth]: bearer_env = \"NAME\" or bearer_file = \"PATH\"".into(),
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(("the base address has a query or a fragment".into(), "end it before `?` and `#`".into()));
    }
    if is_unspecified(&url) {
        return Err((
            "this is an address to listen on, not one to connect to".into(),
            format!("write \"{}://127.0.0.1:{}\"", url.scheme(), url.port_or_known_default().unwrap_or(80)),
        ));
    }
    Ok(url)
}

/// Can only this machine be meant? What is elsewhere is probed and never acted on.
pub fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback()),
        None => false,
    }
}

fn is_unspecified(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_unspecified(),
        Some(Host::Ipv6(ip)) => ip.is_unspecified(),
        _ => false,
    }
}

/// Could both be the same server? `localhost` may be 127.0.0.1 as well as ::1; behind one remote port a path may part
/// several servers.
pub fn same_server(a: &Url, b: &Url) -> bool {
    if a.port_or_known_default() != b.port_or_known_default() {
        return false;
    }
    if is_local(a) && is_local(b) {
        let by_name = |u: &Url| matches!(u.host(), Some(Host::Domain(_)));
        return by_name(a) || by_name(b) || a.host() == b.host();
    }
    a.host() == b.host() && a.path().trim_end_matches('/') == b.path().trim_end_matches('/')
}

/// Is this the address that the API itself listens on?
pub fn is_own(url: &Url, listen: SocketAddr) -> bool {
    let Ok(own) = Url::parse(&format!("http://{listen}")) else { return false };
    listen.port() != 0 && same_server(url, &own)
}
