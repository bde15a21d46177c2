//! Routes: what a manifest asks for, and the host grants.

use crate::effect::Method;

/// One route of a manifest: `[local ]METHOD /path`, with `*` at the end of the path for whatever begins so; or `* *`,
/// any request to the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    local: bool,
    /// `None`: any.
    method: Option<Method>,
    path: String,
    is_prefix: bool,
}

impl Route {
    /// `None`: it is no route, and grants nothing.
    pub fn parse(route: &str) -> Option<Route> {
        let (local, route) = match route.strip_prefix("local ") {
            Some(route) => (true, route),
            None => (false, route),
        };
        let (method, path) = route.split_once(' ')?;
        let method = match method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "*" if path == "*" => return Some(Route { local, method: None, path: String::new(), is_prefix: true }),
            _ => return None,
        };
        let (path, is_prefix) = match path.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (path, false),
        };
        // Visible ASCII alone, so that it cannot pass for another where it is shown.
        let is_plain = path.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'*');
        (path.starts_with('/') && is_plain).then(|| Route { local, method: Some(method), path: path.into(), is_prefix })
    }

    /// Whether it grants a request. `local`: to an address of `start.processes`; `path` is without its query.
    pub fn grants(&self, local: bool, method: Method, path: &str) -> bool {
        self.local == local
            && self.method.is_none_or(|granted| granted == method)
            && if self.is_prefix { path.starts_with(&self.path) } else { path == self.path }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_a_method_and_a_path_with_one_asterisk_at_most() {
        for right in ["GET /", "HEAD /a", "POST /v1/*", "local GET /health", "* *", "local * *", "GET /*"] {
            assert!(Route::parse(right).is_some(), "{right}");
        }
        let wrong = [
            "",
            "GET",
            "GET ",
            "PUT /a",
            "get /a",
            "GET a",
            "GET /a b",
            "GET /a?b",
            "GET /a**",
            "GET /a*/b",
            "* /a",
            "GET *",
            "GET /versi\u{f6}n",
            "local  GET /a",
            " GET /a",
            "GET /a\n",
            "GET  /a",
        ];
        for wrong in wrong {
            assert!(Route::parse(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_route_grants_what_it_says() {
        let grants = |route: &str, local, method, path| Route::parse(route).unwrap().grants(local, method, path);
        assert!(grants("GET /a", false, Method::Get, "/a") && !grants("GET /a", false, Method::Get, "/a/"));
        assert!(!grants("GET /a", false, Method::Post, "/a") && !grants("GET /a", true, Method::Get, "/a"));
        assert!(
            grants("POST /v1/*", false, Method::Post, "/v1/x/y") && !grants("POST /v1/*", false, Method::Post, "/v2")
        );
        assert!(grants("* *", false, Method::Head, "/x") && !grants("* *", true, Method::Head, "/x"));
    }
}
