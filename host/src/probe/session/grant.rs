//! What a session may ask for: the routes of its manifest, the addresses of its target, and no header of the host's.

use std::{collections::BTreeMap, net::SocketAddr};

use ai_monitor_plugin_api::{
    effect::Request,
    limits::{REQUEST_BODY_MAX, REQUEST_HEAD_MAX},
    route::Route,
};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::probe::http::{BadPath, MAX_BODY, RequestPath, To, is_reserved};

const DEFAULT_BODY: usize = 1024 * 1024;

/// Why a request is not done: the session is then over, as out of protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotGranted {
    #[error(transparent)]
    Path(#[from] BadPath),
    #[error("{asked} is not among the routes that the manifest asks for here ({granted})")]
    Route { asked: String, granted: String },
    #[error("the address {0:?} is not among start.processes")]
    Address(String),
    #[error("the header {0:?} is the host's to set")]
    Reserved(String),
    #[error("the header {0:?} is not valid")]
    Header(String),
    #[error("a path and headers of {0} bytes together, at most {REQUEST_HEAD_MAX} are sent")]
    Head(usize),
    #[error("a request body of {0} bytes, at most {REQUEST_BODY_MAX} are sent")]
    Body(usize),
    #[error("max_bytes {0}, at most {MAX_BODY}")]
    MaxBytes(u64),
    #[error("timeout_ms 0 leaves no time for an answer")]
    NoTime,
}

/// A request that may be done.
#[derive(Debug)]
pub(super) struct Granted {
    pub to: To,
    pub path: RequestPath,
    pub headers: HeaderMap,
    pub max_bytes: usize,
}

/// The permission of one session.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    routes: Vec<Route>,
    /// The same as the manifest writes them, for who has to mend it: the first few.
    shown: String,
    addresses: BTreeMap<String, SocketAddr>,
}

impl Grant {
    pub fn new(routes: &[String]) -> Grant {
        let shown = match routes {
            [] => "none".into(),
            all => super::cut(&all.join(", ")),
        };
        let routes = routes.iter().filter_map(|route| Route::parse(route)).collect();
        Grant { routes, shown, addresses: BTreeMap::new() }
    }

    /// Only loopback addresses are taken: nothing else beside the target can be reached.
    pub fn with_addresses<'a>(mut self, addresses: impl Iterator<Item = (&'a String, &'a SocketAddr)>) -> Grant {
        self.addresses =
            addresses.filter(|(_, address)| address.ip().is_loopback()).map(|(k, v)| (k.clone(), *v)).collect();
        self
    }

    pub fn check(&self, request: &Request) -> Result<Granted, NotGranted> {
        let path = RequestPath::new(&request.path)?;
        let to = match request.to.as_str() {
            "target" => To::Target,
            name => To::Local(*self.addresses.get(name).ok_or_else(|| NotGranted::Address(super::cut(name)))?),
        };
        let local = to != To::Target;
        if !self.routes.iter().any(|route| route.grants(local, request.method, path.without_query())) {
            let local = if local { "local " } else { "" };
            let asked = format!("{local}{} {}", request.method.as_str(), super::cut(path.without_query()));
            return Err(NotGranted::Route { asked, granted: self.shown.clone() });
        }
        let head = request.head_bytes();
        if head > REQUEST_HEAD_MAX {
            return Err(NotGranted::Head(head));
        }
        if let Some(body) = &request.body
            && body.len() > REQUEST_BODY_MAX
        {
            return Err(NotGranted::Body(body.len()));
        }
        let max_bytes = match request.max_bytes {
            None => DEFAULT_BODY,
            Some(bytes) => {
                usize::try_from(bytes).ok().filter(|bytes| *bytes <= MAX_BODY).ok_or(NotGranted::MaxBytes(bytes))?
            }
        };
        if request.timeout_ms == 0 {
            return Err(NotGranted::NoTime);
        }
        Ok(Granted { to, path, headers: headers(&request.headers)?, max_bytes })
    }
}

fn headers(given: &BTreeMap<String, String>) -> Result<HeaderMap, NotGranted> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let invalid = || NotGranted::Header(super::cut(name));
        let parsed = HeaderName::try_from(name.as_str()).map_err(|_| invalid())?;
        if is_reserved(&parsed) {
            return Err(NotGranted::Reserved(name.clone()));
        }
        headers.insert(parsed, HeaderValue::try_from(value.as_str()).map_err(|_| invalid())?);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use ai_monitor_plugin_api::effect::{Effect, Request};
    use serde_json::{Value, json};

    use super::*;

    fn request(more: Value) -> Request {
        let mut effect = json!({"effect": "request", "method": "GET", "path": "/api/ps", "timeout_ms": 100});
        if let (Some(effect), Some(more)) = (effect.as_object_mut(), more.as_object()) {
            effect.extend(more.clone());
        }
        match serde_json::from_value(effect).unwrap() {
            Effect::Request(request) => request,
            other => panic!("{other:?}"),
        }
    }

    fn grant(routes: &[&str]) -> Grant {
        let routes: Vec<_> = routes.iter().map(|route| String::from(*route)).collect();
        let addresses = BTreeMap::from([
            ("1/4000".to_owned(), "127.0.0.1:4000".parse().unwrap()),
            ("1/4001".to_owned(), "192.0.2.1:4001".parse().unwrap()),
        ]);
        Grant::new(&routes).with_addresses(addresses.iter())
    }

    #[test]
    fn only_the_manifests_routes_are_granted() {
        let grant = grant(&["GET /api/ps", "POST /v1/*", "local GET /health"]);
        assert!(grant.check(&request(json!({}))).is_ok());
        assert!(grant.check(&request(json!({"path": "/api/ps?all=1"}))).is_ok());
        assert!(grant.check(&request(json!({"method": "POST", "path": "/v1/chat/completions"}))).is_ok());
        assert!(grant.check(&request(json!({"to": "1/4000", "path": "/health"}))).is_ok());
        for refused in [
            json!({"method": "POST"}),
            json!({"path": "/api/ps/"}),
            json!({"path": "/v1/models"}),
            json!({"path": "/health"}),
            json!({"to": "1/4000"}),
        ] {
            let error = grant.check(&request(refused.clone())).unwrap_err();
            assert!(matches!(error, NotGranted::Route { .. }), "{refused}: {error}");
        }
    }

    #[test]
    fn any_route_is_any_route_of_the_target_but_not_of_its_children() {
        let grant = grant(&["* *"]);
        assert!(grant.check(&request(json!({"method": "POST", "path": "/x"}))).is_ok());
        assert!(matches!(grant.check(&request(json!({"to": "1/4000"}))), Err(NotGranted::Route { .. })));
    }

    #[test]
    fn a_path_cannot_leave_what_was_granted() {
        let grant = grant(&["* *"]);
        for path in ["api", "http://x/", "/a/../b", "/a/%2E%2e/b", "/.", "/a\\..\\b", "/a b", "/a\nb", "/a#b", "/ä"] {
            let error = grant.check(&request(json!({ "path": path }))).unwrap_err();
            assert!(matches!(error, NotGranted::Path(_)), "{path}: {error}");
        }
        assert!(grant.check(&request(json!({"path": "/a?next=../b"}))).is_ok());
    }

    #[test]
    fn addresses_are_the_given_ones_and_loopback() {
        let grant = grant(&["local GET /health"]);
        for to in ["1/4001", "2/80", "192.0.2.1:80", "Target"] {
            let error = grant.check(&request(json!({"to": to, "path": "/health"}))).unwrap_err();
            assert!(matches!(error, NotGranted::Address(_)), "{to}: {error}");
        }
    }

    #[test]
    fn the_hosts_headers_are_refused_in_any_case() {
        let grant = grant(&["* *"]);
        for name in ["Host", "AUTHORIZATION", "cookie", "Connection", "Content-Length", "Transfer-Encoding", "Proxy-X"]
        {
            let error = grant.check(&request(json!({"headers": {name: "x"}}))).unwrap_err();
            assert!(matches!(error, NotGranted::Reserved(_)), "{name}: {error}");
        }
        let split = grant.check(&request(json!({"headers": {"x": "a\r\nhost: b"}})));
        assert!(matches!(split, Err(NotGranted::Header(_))));
        assert!(grant.check(&request(json!({"headers": {"Content-Type": "application/json"}}))).is_ok());
    }

    #[test]
    fn sizes_are_bounded() {
        let grant = grant(&["* *"]);
        let body = "x".repeat(REQUEST_BODY_MAX + 1);
        assert!(matches!(grant.check(&request(json!({ "body": body }))), Err(NotGranted::Body(_))));
        let long = "x".repeat(REQUEST_HEAD_MAX);
        for head in [json!({"path": format!("/a?{long}")}), json!({"headers": {"x": long}})] {
            assert!(matches!(grant.check(&request(head)), Err(NotGranted::Head(_))));
        }
        let fits = json!({"path": "/a", "headers": {"x": &long[..REQUEST_HEAD_MAX - "/a".len() - "x: \r\n".len()]}});
        assert!(grant.check(&request(fits)).is_ok());
        assert!(grant.check(&request(json!({"max_bytes": MAX_BODY}))).is_ok());
        assert!(matches!(grant.check(&request(json!({"max_bytes": MAX_BODY + 1}))), Err(NotGranted::MaxBytes(_))));
        assert!(matches!(grant.check(&request(json!({"timeout_ms": 0}))), Err(NotGranted::NoTime)));
    }
}
