//! The one HTTP driver: every request to a backend goes through here, bounded in time and bytes and never redirected.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use ai_monitor_plugin_api::{
    effect::Method,
    event::{At, Outcome},
};
use reqwest::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName};
use tokio::time::Instant;
use url::Url;

mod auth;
mod body;
mod failure;
mod path;
mod stage;
mod target;
#[cfg(test)]
mod tests;

pub(super) use body::{Line, LineStream, MAX_BODY};
pub use path::{BadPath, RequestPath};
pub use target::TargetClient;

use self::failure::Failure;
use crate::config::model::Auth;

/// Longer than the usual interval of checks, so that a check finds its connection again. Where the server closed it
/// meanwhile, [`TargetClient`] asks once more.
const IDLE: Duration = Duration::from_secs(90);
/// All response headers together, as `name: value` and line end.
const MAX_HEADERS: usize = 16 * 1024;

/// The driver could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up: {0}; without it nothing can be probed")]
pub struct DriverError(#[from] reqwest::Error);

/// Holds the connections of all targets. One per process; clones are the same driver.
#[derive(Clone)]
pub struct Driver {
    clients: Arc<Clients>,
}

struct Clients {
    /// Keeps one idle connection per server: for GET and HEAD.
    pooled: reqwest::Client,
    /// A connection per request: for POST, which may not be sent a second time when a pooled connection turns out to
    /// be closed.
    fresh: reqwest::Client,
}

impl Driver {
    /// Installs the TLS provider and makes the clients.
    pub fn new() -> Result<Driver, DriverError> {
        install_tls();
        let clients = Clients { pooled: client(1)?, fresh: client(0)? };
        Ok(Driver { clients: Arc::new(clients) })
    }

    /// The client of one target. `auth` is read anew for each request that goes to `url`, and sent nowhere else.
    pub fn target(&self, url: &Url, auth: Option<Auth>) -> TargetClient {
        TargetClient::new(self.clients.clone(), url, auth)
    }
}

/// Installs the TLS provider of this process, for whoever makes a client of reqwest. Any number of times.
pub fn install_tls() {
    // An error says that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn client(idle_per_host: usize) -> Result<reqwest::Client, reqwest::Error> {
    let builder = || {
        reqwest::Client::builder()
            .user_agent(concat!("ai-monitor/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .pool_max_idle_per_host(idle_per_host)
            .pool_idle_timeout(IDLE)
            .connector_layer(stage::StageLayer)
    };
    builder().build().or_else(|error| {
        // A slim container has no certificate store. Local servers do not need one.
        tracing::warn!("https targets cannot be checked, no certificates of the system: {}", failure::root(&error));
        builder().tls_certs_only([]).build()
    })
}

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    Target,
    /// A loopback listener of the target's process tree. Never gets the target's key.
    Local(SocketAddr),
}

/// One request, checked.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub method: Method,
    pub to: To,
    pub path: RequestPath,
    pub headers: HeaderMap,
    pub body: Option<String>,
    /// For the whole answer: connecting, headers and body.
    pub until: Instant,
    /// Of the body, at most [`MAX_BODY`].
    pub max_bytes: usize,
    /// A 2xx answer is handed over line by line.
    pub stream: bool,
    /// Send the target's key?
    pub auth: bool,
}

/// How a request was answered, as the host measured it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub outcome: Outcome,
    pub at: Option<At>,
    pub status: Option<u16>,
    pub headers: BTreeMap<String, String>,
    /// What came of the body, even if it broke off; `None` without a status, and for a stream.
    pub body: Option<body::Text>,
    pub text: Option<String>,
    /// Since the request was sent.
    pub ms: u64,
    /// Of the body.
    pub bytes: u64,
}

impl Answer {
    fn without_status(failure: Failure) -> Answer {
        let Failure { outcome, at, text } = failure;
        Answer { outcome, at: Some(at), status: None, headers: BTreeMap::new(), body: None, text, ms: 0, bytes: 0 }
    }
}

/// The answer as far as status and headers tell it, and the response unless its headers are too large. `note`: what
/// should be known with it.
fn read_head(response: reqwest::Response, note: Option<String>) -> (Answer, Option<reqwest::Response>) {
    let status = response.status().as_u16();
    let mut answer = Answer {
        outcome: Outcome::of_status(status),
        at: None,
        status: Some(status),
        headers: BTreeMap::new(),
        body: None,
        text: note,
        ms: 0,
        bytes: 0,
    };
    let total: usize = response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if total > MAX_HEADERS {
        answer.outcome = Outcome::TooLarge;
        answer.at = Some(At::Headers);
        answer.text = Some(format!("{total} bytes of headers, at most {MAX_HEADERS} are read"));
        return (answer, None);
    }
    for (name, value) in response.headers() {
        if *name == reqwest::header::SET_COOKIE {
            continue;
        }
        let value = String::from_utf8_lossy(value.as_bytes());
        answer
            .headers
            .entry(name.as_str().to_owned())
            .and_modify(|all| {
                all.push_str(", ");
                all.push_str(&value);
            })
            .or_insert_with(|| value.to_string());
    }
    (answer, Some(response))
}

/// Headers that the host alone sets: a plugin may neither name another host nor send a key of its own.
pub(super) fn is_reserved(name: &HeaderName) -> bool {
    let name = name.as_str();
    [HOST, AUTHORIZATION].iter().any(|reserved| reserved == name)
        || ["cookie", "connection", "content-length", "transfer-encoding"].contains(&name)
        || name.starts_with("proxy-")
}

pub(super) fn millis(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
