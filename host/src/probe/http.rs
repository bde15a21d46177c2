//! The one HTTP driver: every request to a backend goes through here, bounded in time and bytes and never redirected.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use ai_monitor_plugin_api::{
    effect::Method,
    event::{At, Outcome},
};
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use url::Url;

mod auth;
mod body;
mod failure;
mod path;
mod stage;
#[cfg(test)]
mod tests;

pub(super) use body::{Line, LineStream, MAX_BODY};
pub use path::{BadPath, RequestPath};

use self::{failure::Failure, stage::Stage};
use crate::config::model::Auth;

/// Longer than the usual interval of checks, so that a check finds its connection again. Where the server closed it
/// meanwhile, [`TargetClient::send`] asks once more.
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
    /// Installs the TLS provider of this process (once) and makes the clients.
    pub fn new() -> Result<Driver, DriverError> {
        // An error says that a provider is installed already, by an earlier driver: the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clients = Clients { pooled: client(1)?, fresh: client(0)? };
        Ok(Driver { clients: Arc::new(clients) })
    }

    /// The client of one target. `auth` is read anew for each request that goes to `url`, and sent nowhere else.
    pub fn target(&self, url: &Url, auth: Option<Auth>) -> TargetClient {
        let mut base = url.clone();
        // Keys belong to `auth`: what stands in the URL would be logged and shown.
        let _ = base.set_username("");
        let _ = base.set_password(None);
        base.set_query(None);
        base.set_fragment(None);
        let candidates = candidates(&base);
        TargetClient {
            target: Arc::new(Target {
                clients: self.clients.clone(),
                base,
                candidates,
                auth,
                pinned: Mutex::new(None),
                open: Arc::new(AtomicU32::new(0)),
                cancel: Mutex::new(CancellationToken::new()),
            }),
        }
    }
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

/// `localhost` can be two servers, so its addresses are tried one by one; any other name is the resolver's matter.
/// With https the name must stay for the certificate.
fn candidates(base: &Url) -> Vec<SocketAddr> {
    let port = base.port_or_known_default().unwrap_or(80);
    match base.host() {
        Some(url::Host::Domain(name)) if name.trim_end_matches('.') == "localhost" && base.scheme() == "http" => {
            [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].map(|ip| (ip, port).into()).to_vec()
        }
        _ => Vec::new(),
    }
}

/// One target's way through the driver. Clones are the same target.
#[derive(Clone)]
pub struct TargetClient {
    target: Arc<Target>,
}

struct Target {
    clients: Arc<Clients>,
    /// Without user, password, query and fragment.
    base: Url,
    /// Addresses of `localhost`, in the order in which they are tried; empty: the resolver's.
    candidates: Vec<SocketAddr>,
    auth: Option<Auth>,
    pinned: Mutex<Option<SocketAddr>>,
    open: Arc<AtomicU32>,
    cancel: Mutex<CancellationToken>,
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

impl TargetClient {
    /// The base URL, without user and password.
    pub fn url(&self) -> &Url {
        &self.target.base
    }

    /// The address that answered last. Of `localhost` it stays the one that is asked until it refuses.
    pub fn pinned(&self) -> Option<SocketAddr> {
        *lock(&self.target.pinned)
    }

    /// Requests of ours that are under way at this target and its local addresses.
    pub fn open_requests(&self) -> u32 {
        self.target.open.load(Ordering::Relaxed)
    }

    /// Cancels all sessions of this target; their connections are closed. Gives how many requests were under way.
    /// Sessions that begin later are not touched.
    pub fn cancel_all(&self) -> u32 {
        let open = self.open_requests();
        std::mem::take(&mut *lock(&self.target.cancel)).cancel();
        open
    }

    /// Cancelled by the next [`Self::cancel_all`].
    pub(super) fn cancellation(&self) -> CancellationToken {
        lock(&self.target.cancel).clone()
    }

    /// Does one request. Never fails: a failure is an outcome. With `call.stream` and a 2xx, the lines come too.
    pub(super) async fn call(&self, call: &Call) -> (Answer, Option<LineStream>) {
        let open = OpenRequest::new(&self.target.open);
        let start = Instant::now();
        let (mut answer, response) = match self.reach(call).await {
            Err(failure) => (Answer::without_status(failure), None),
            Ok(response) => read_head(response),
        };
        let mut lines = None;
        if let Some(response) = response {
            if call.stream && answer.outcome == Outcome::Ok {
                lines = Some(LineStream::new(response, start, call.until, call.max_bytes, open));
            } else {
                let whole = body::collect(response, call.until, call.max_bytes).await;
                answer.bytes = whole.bytes.len() as u64;
                answer.body = Some(body::Text::new(whole.bytes, whole.broke.is_some()));
                if let Some(Failure { outcome, at, text }) = whole.broke {
                    answer.outcome = outcome;
                    answer.at = Some(at);
                    answer.text = text;
                }
            }
        }
        answer.ms = millis(start.elapsed());
        (answer, lines)
    }

    /// Sends the request and waits for the headers.
    async fn reach(&self, call: &Call) -> Result<reqwest::Response, Failure> {
        let target = &*self.target;
        if let To::Local(address) = call.to {
            let url = url_at(&format!("http://{address}"), call.path.as_str())?;
            return self.send(call, url, HeaderMap::new()).await;
        }
        let (headers, without_key) = match (&target.auth, call.auth) {
            (Some(auth), true) => auth::header(auth).await,
            _ => (HeaderMap::new(), None),
        };
        let answer = if target.candidates.is_empty() {
            let origin = target.base.origin().ascii_serialization();
            self.send(call, url_at(&origin, &self.full_path(call))?, headers).await
        } else {
            self.reach_localhost(call, headers).await
        };
        match &answer {
            Ok(response) => *lock(&target.pinned) = response.remote_addr(),
            Err(Failure { outcome: Outcome::Refused, .. }) => *lock(&target.pinned) = None,
            Err(_) => {}
        }
        answer.map(|response| match without_key {
            Some(reason) => auth::mark(response, reason),
            None => response,
        })
    }

    /// Asks the pinned address, or one after the other until one takes the connection.
    async fn reach_localhost(&self, call: &Call, mut headers: HeaderMap) -> Result<reqwest::Response, Failure> {
        let target = &*self.target;
        let host = match target.base.port() {
            Some(port) => format!("localhost:{port}"),
            None => "localhost".into(),
        };
        // The server sees the name that the user wrote, as with any other client.
        headers.extend(HeaderValue::try_from(host).ok().map(|value| (HOST, value)));
        let pinned = self.pinned();
        let candidates = pinned.as_ref().map_or(&target.candidates[..], std::slice::from_ref);
        let mut failed: Option<Failure> = None;
        for address in candidates {
            let url = url_at(&format!("http://{address}"), &self.full_path(call))?;
            match self.send(call, url, headers.clone()).await {
                Err(failure)
                    if failure.at == At::Connect
                        && matches!(failure.outcome, Outcome::Refused | Outcome::Unreachable) =>
                {
                    // A machine without IPv6 has no route to ::1; that 127.0.0.1 refused says more.
                    let worse = failed.as_ref().is_some_and(|f| f.outcome == Outcome::Refused);
                    failed = if worse { failed } else { Some(failure) };
                }
                answer => return answer,
            }
        }
        Err(failed.unwrap_or_else(|| Failure::unreachable("no address of localhost")))
    }

    /// The base URL's path prefix with the request's path behind it.
    fn full_path(&self, call: &Call) -> String {
        format!("{}{}", self.target.base.path().trim_end_matches('/'), call.path.as_str())
    }

    async fn send(&self, call: &Call, url: Url, extra: HeaderMap) -> Result<reqwest::Response, Failure> {
        let (client, method) = match call.method {
            Method::Get => (&self.target.clients.pooled, reqwest::Method::GET),
            Method::Head => (&self.target.clients.pooled, reqwest::Method::HEAD),
            Method::Post => (&self.target.clients.fresh, reqwest::Method::POST),
        };
        let mut headers = call.headers.clone();
        headers.extend(extra);
        let body = call.body.clone().map(Bytes::from);
        let request = || {
            let mut request = reqwest::Request::new(method.clone(), url.clone());
            *request.headers_mut() = headers.clone();
            *request.body_mut() = body.clone().map(Into::into);
            request
        };
        let mut tries = 0;
        loop {
            let stage = Arc::new(Stage::default());
            match timeout_at(call.until, stage::watch(&stage, client.execute(request()))).await {
                Err(_elapsed) => return Err(Failure::timeout(stage.at())),
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => {
                    let failure = Failure::of(&error, stage.at());
                    // A server may close an idle connection in the moment in which we use it: that is no sign of
                    // trouble. A new connection tells.
                    let stale = failure.outcome == Outcome::Reset && !stage.is_fresh() && call.method != Method::Post;
                    tries += 1;
                    if !stale || tries > 2 {
                        return Err(failure);
                    }
                }
            }
        }
    }
}

/// Counts as open from its making to its drop.
pub(super) struct OpenRequest(Arc<AtomicU32>);

impl OpenRequest {
    fn new(count: &Arc<AtomicU32>) -> OpenRequest {
        count.fetch_add(1, Ordering::Relaxed);
        OpenRequest(count.clone())
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The answer as far as status and headers tell it, and the response unless its headers are too large.
fn read_head(response: reqwest::Response) -> (Answer, Option<reqwest::Response>) {
    let status = response.status().as_u16();
    let mut answer = Answer {
        outcome: Outcome::of_status(status),
        at: None,
        status: Some(status),
        headers: BTreeMap::new(),
        body: None,
        text: auth::note(&response),
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

fn url_at(origin: &str, path: &str) -> Result<Url, Failure> {
    Url::parse(&format!("{origin}{path}")).map_err(|error| Failure::unreachable(&error.to_string()))
}

pub(super) fn millis(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// A poisoned lock guards plain values here: they are whole in any case.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
