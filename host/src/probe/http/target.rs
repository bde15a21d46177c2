//! One target's way through the driver: its base URL, key, pinned address, and the requests under way.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use ai_monitor_plugin_api::{
    effect::Method,
    event::{At, Outcome},
};
use bytes::Bytes;
use reqwest::header::{HOST, HeaderMap, HeaderValue};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    Answer, Call, Clients, To, auth,
    body::{self, LineStream},
    failure::Failure,
    millis, read_head,
    stage::{self, Stage},
};
use crate::config::model::Auth;

/// The client of one target. Clones are the same target.
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

impl TargetClient {
    pub(super) fn new(clients: Arc<Clients>, url: &Url, auth: Option<Auth>) -> TargetClient {
        let mut base = url.clone();
        // Keys belong to `auth`: what stands in the URL would be logged and shown. Both calls fail only for URLs that
        // cannot have a user.
        let _ = base.set_username("");
        let _ = base.set_password(None);
        base.set_query(None);
        base.set_fragment(None);
        let candidates = candidates(&base);
        TargetClient {
            target: Arc::new(Target {
                clients,
                base,
                candidates,
                auth,
                pinned: Mutex::new(None),
                open: Arc::new(AtomicU32::new(0)),
                cancel: Mutex::new(CancellationToken::new()),
            }),
        }
    }

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
    pub(in crate::probe) fn cancellation(&self) -> CancellationToken {
        lock(&self.target.cancel).clone()
    }

    /// Does one request. Never fails: a failure is an outcome. With `call.stream` and a 2xx, the lines come too.
    pub(in crate::probe) async fn call(&self, call: &Call) -> (Answer, Option<LineStream>) {
        let open = OpenRequest::new(&self.target.open);
        let start = Instant::now();
        let (mut answer, response) = match self.reach(call).await {
            Err(failure) => (Answer::without_status(failure), None),
            Ok((response, note)) => read_head(response, note),
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

    /// Sends the request and waits for the headers. The text says what should be known with the answer.
    async fn reach(&self, call: &Call) -> Result<(reqwest::Response, Option<String>), Failure> {
        let target = &*self.target;
        if let To::Local(address) = call.to {
            let url = url_at(&format!("http://{address}"), call.path.as_str())?;
            return Ok((self.send(call, url, HeaderMap::new()).await?, None));
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
            Err(Failure { outcome: Outcome::Refused | Outcome::Unreachable, .. }) => *lock(&target.pinned) = None,
            Err(_) => {}
        }
        Ok((answer?, without_key))
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
                    failed = failed.filter(|earlier| earlier.outcome == Outcome::Refused).or(Some(failure));
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

fn url_at(origin: &str, path: &str) -> Result<Url, Failure> {
    Url::parse(&format!("{origin}{path}")).map_err(|error| Failure::unreachable(&error.to_string()))
}

/// A poisoned lock guards plain values here: they are whole in any case.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
