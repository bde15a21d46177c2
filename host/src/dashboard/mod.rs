//! The web page: its files, embedded as they are, and the addresses of its views.

use axum::{
    Router,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};

/// A file of `host/dashboard`, inside the binary.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! assets {
    ($($name:literal => $content_type:expr),* $(,)?) => {
        /// Every file that the page loads, under `/assets/`.
        const ASSETS: &[Asset] = &[$(Asset {
            name: $name,
            content_type: $content_type,
            bytes: include_bytes!(concat!("../../dashboard/", $name)),
        }),*];
    };
}

const JS: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

assets! {
    "tokens.css" => CSS,
    "frame.css" => CSS,
    "parts.css" => CSS,
    "favicon.svg" => SVG,
    "actions.js" => JS,
    "api.js" => JS,
    "card.js" => JS,
    "dialog.js" => JS,
    "dom.js" => JS,
    "first_run.js" => JS,
    "icons.js" => JS,
    "live.js" => JS,
    "main.js" => JS,
    "notes.js" => JS,
    "parts.js" => JS,
    "rail.js" => JS,
    "states.js" => JS,
    "store.js" => JS,
    "theme.js" => JS,
    "view_incident.js" => JS,
    "view_incidents.js" => JS,
    "view_logs.js" => JS,
    "view_overview.js" => JS,
    "view_plugins.js" => JS,
    "view_target.js" => JS,
    "views.js" => JS,
    "words.js" => JS,
}

const PAGE: &str = include_str!("../../dashboard/index.html");

/// The page at each of its views' addresses (the page itself shows the right one), and its files.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let mut router = Router::new();
    for asset in ASSETS {
        router =
            router.route(&format!("/assets/{}", asset.name), get(|| async { file(asset.content_type, asset.bytes) }));
    }
    for view in [
        "/",
        "/ai-monitor",
        "/ai-monitor/targets/{name}",
        "/ai-monitor/incidents",
        "/ai-monitor/incidents/{id}",
        "/ai-monitor/logs",
        "/ai-monitor/plugins",
    ] {
        router = router.route(view, get(page));
    }
    router
}

async fn page() -> Response {
    file("text/html; charset=utf-8", PAGE.as_bytes())
}

/// Asked for anew each time, so that a page never runs with the scripts of another version.
fn file(content_type: &'static str, bytes: &'static [u8]) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, bytes).into_response()
}
