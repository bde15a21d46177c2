//! The gate: who may speak to this server at all, decided before any route is looked at.
//!
//! This server can start and end processes and asks for no password, so a web page that the user merely visits must not
//! reach it. Two ways lead such a page here: a name of its own that it lets point at 127.0.0.1 (DNS rebinding: the
//! browser then sends that name as `Host`), and a plain cross-site request (the browser then sends the page's `Origin`).

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, Method, StatusCode, header, request},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::envelope::ApiError;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// How much of a refused value is repeated in the answer.
const SHOWN: usize = 80;

/// The names under which this server may be asked.
#[derive(Debug)]
pub struct Gate {
    /// What a `Host` header may say, in lower case: `127.0.0.1:5000`, `localhost:5000`, …
    authorities: Vec<String>,
    home: String,
}

/// Why a request was turned away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the request names no host; this server is {home}")]
    NoHost { home: String },
    #[error("the request names its host more than once; this server is {home}")]
    ManyHosts { home: String },
    #[error(
        "the host {host:?} is not a name of this server, and a web page could have pointed it here; this server is {home}"
    )]
    StrangeHost { host: String, home: String },
    #[error("the request comes from the web page {origin:?}; only this server's own pages may call it, at {home}")]
    StrangeOrigin { origin: String, home: String },
    #[error("the browser says that the request comes from another site ({site:?}); open {home} itself")]
    OtherSite { site: String, home: String },
    #[error("this server is no proxy; it is {home}")]
    Proxy { home: String },
}

impl Gate {
    /// For a server that listens at `listen` (with its real port).
    pub fn new(listen: SocketAddr) -> Gate {
        let own = match listen {
            SocketAddr::V4(v4) => v4.ip().to_string(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        };
        let mut names = vec![own.clone()];
        for name in ["127.0.0.1", "localhost", "[::1]"] {
            if name != own {
                names.push(name.to_owned());
            }
        }
        let port = listen.port();
        let mut authorities: Vec<String> = names.iter().map(|name| format!("{name}:{port}")).collect();
        // A browser leaves the scheme's own port out.
        if port == 80 {
            authorities.extend(names);
        }
        Gate { authorities, home: format!("http://{listen}/") }
    }

    /// May this request go on to the routes?
    pub fn check(&self, parts: &request::Parts) -> Result<(), Refusal> {
        let host = self.host(&parts.headers)?;
        self.target(parts, &host)?;
        self.origin(parts, &host)
    }

    /// The `Host`, in lower case, if it is exactly one of ours. Comparing whole strings leaves look-alikes, user
    /// information, trailing dots and odd spellings of the port no room.
    fn host(&self, headers: &HeaderMap) -> Result<String, Refusal> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let home = || self.home.clone();
        let host = hosts.next().ok_or_else(|| Refusal::NoHost { home: home() })?;
        if hosts.next().is_some() {
            return Err(Refusal::ManyHosts { home: home() });
        }
        let host = text(host.as_bytes()).to_ascii_lowercase();
        if self.authorities.contains(&host) {
            Ok(host)
        } else {
            Err(Refusal::StrangeHost { host: shown(&host), home: home() })
        }
    }

    /// `GET http://127.0.0.1:5000/…` (as sent to a proxy) must name the same host; `CONNECT` is for proxies alone.
    fn target(&self, parts: &request::Parts, host: &str) -> Result<(), Refusal> {
        let same = match parts.uri.authority() {
            None => true,
            Some(authority) => parts.uri.scheme_str() == Some("http") && authority.as_str().eq_ignore_ascii_case(host),
        };
        if same && parts.method != Method::CONNECT { Ok(()) } else { Err(Refusal::Proxy { home: self.home.clone() }) }
    }

    /// What a browser says of the page behind the request; other programs say nothing.
    fn origin(&self, parts: &request::Parts, host: &str) -> Result<(), Refusal> {
        let own = format!("http://{host}");
        let refuse = |origin: &str| Err(Refusal::StrangeOrigin { origin: shown(origin), home: self.home.clone() });
        let mut asked = false;
        for origin in parts.headers.get_all(header::ORIGIN) {
            asked = true;
            let origin = text(origin.as_bytes());
            if origin.to_ascii_lowercase() != own {
                return refuse(&origin);
            }
        }
        if !asked && parts.method != Method::GET && parts.method != Method::HEAD {
            for referer in parts.headers.get_all(header::REFERER) {
                let referer = text(referer.as_bytes());
                let rest = referer.to_ascii_lowercase().strip_prefix(&own).map(str::to_owned);
                if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                    return refuse(&referer);
                }
            }
        }
        for site in parts.headers.get_all(SEC_FETCH_SITE) {
            let site = text(site.as_bytes());
            // `same-site` is another port of this machine: another program's page.
            if site != "same-origin" && site != "none" {
                return Err(Refusal::OtherSite { site: shown(&site), home: self.home.clone() });
            }
        }
        Ok(())
    }
}

/// The middleware: answers 403 in place of everything behind it.
pub(super) async fn stand(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match gate.check(&parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(refusal) => {
            tracing::warn!(path = %shown(parts.uri.path()), "request refused: {refusal}");
            ApiError::Refused { status: StatusCode::FORBIDDEN, why: refusal.to_string() }.into_response()
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn shown(value: &str) -> String {
    value.chars().take(SHOWN).collect()
}
