//! The page in a real browser, driven through chromedriver's plain HTTP interface.
//!
//! Left out, and said so, unless `AI_MONITOR_BROWSER=1` (`.ci/browser-test` sets it): a plain `cargo test` needs nothing
//! installed.

use std::{process::Stdio, time::Duration};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::fake::{FakeMonitor, STUBBORN, Server, plugins, snapshot, target, usual};
use crate::{
    health::state::State,
    monitor::{handle::Manage, view::TargetView},
};

const PATIENCE: Duration = Duration::from_secs(60);
const HOSTILE: &str = "<img src=x onerror=document.title='owned'>";

/// A headless browser of its own, with an empty profile; it ends with this.
struct Browser {
    http: Client,
    session: String,
    _driver: Child,
}

impl Browser {
    /// `None`: browser tests are not wanted here.
    async fn open() -> Option<Browser> {
        if std::env::var("AI_MONITOR_BROWSER").is_ok_and(|v| v == "1") {
            return Some(timeout(PATIENCE, Browser::start()).await.expect("the browser does not start"));
        }
        crate::left_out(
            "the page in a browser: set AI_MONITOR_BROWSER=1 where chromium and chromedriver are installed",
        );
        None
    }

    async fn start() -> Browser {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next_line().await.unwrap().expect("chromedriver ended");
            if let Some(port) = line.strip_prefix("ChromeDriver was started successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        let mut browser =
            Browser { http: Client::new(), session: format!("http://127.0.0.1:{port}/session"), _driver: driver };
        let arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "script": 20_000 },
        }}});
        let made = browser.command(Method::POST, "", &wanted).await;
        browser.session = format!("{}/{}", browser.session, made["sessionId"].as_str().unwrap());
        browser
    }

    async fn command(&self, method: Method, path: &str, body: &Value) -> Value {
        let request = self.http.request(method, format!("{}{path}", self.session)).body(body.to_string());
        let reply = request.send().await.unwrap().text().await.unwrap();
        let value = serde_json::from_str::<Value>(&reply).unwrap()["value"].take();
        assert!(value["error"].is_null(), "{path} {body}: {value}");
        value
    }

    async fn go(&self, url: &str) {
        self.command(Method::POST, "/url", &json!({ "url": url })).await;
    }

    async fn size(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        let body = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": metrics });
        self.command(Method::POST, "/goog/cdp/execute", &body).await;
    }

    /// The value of an expression in the page.
    async fn eval(&self, expression: &str) -> Value {
        let body = json!({ "script": format!("return {expression}"), "args": [] });
        self.command(Method::POST, "/execute/sync", &body).await
    }

    /// Returns when the expression is true, asked at each frame.
    async fn until(&self, expression: &str) {
        let script = format!(
            "const done = arguments[0]; const look = () => ({expression}) ? done() : requestAnimationFrame(look); look()"
        );
        self.command(Method::POST, "/execute/async", &json!({ "script": script, "args": [] })).await;
    }

    async fn click(&self, selector: &str) {
        self.until(&format!("document.querySelector({selector:?})")).await;
        self.eval(&format!("document.querySelector({selector:?}).click()")).await;
    }

    /// What the browser complained of: script errors, refused content, files that are missing.
    async fn complaints(&self) -> Vec<String> {
        let log = self.command(Method::POST, "/se/log", &json!({ "type": "browser" })).await;
        log.as_array().unwrap().iter().map(|entry| entry["message"].to_string()).collect()
    }
}

const HEADLINE: &str = "document.querySelector('h1')?.textContent";

#[tokio::test]
async fn the_overview_shows_what_backends_say_as_text() {
    let Some(browser) = Browser::open().await else { return };
    let hostile = TargetView {
        why: HOSTILE.into(),
        label: HOSTILE.into(),
        version: Some(HOSTILE.into()),
        owner_text: HOSTILE.into(),
        hint: Some(HOSTILE.into()),
        error_message: Some(HOSTILE.into()),
        ..target(HOSTILE, State::Offline)
    };
    let mut shown = snapshot(vec![hostile, target("ollama", State::Online)]);
    shown.troubles = vec![HOSTILE.into()];
    let server = Server::of(FakeMonitor::new(shown)).await;
    browser.go(&server.base()).await;
    browser.until(&format!("{HEADLINE} === '1 target is offline'")).await;
    assert_eq!(browser.eval("document.querySelector('.card h3').textContent").await, HOSTILE);
    assert_eq!(browser.eval("document.querySelectorAll('img').length").await, 0);
    assert_eq!(browser.eval("document.title").await, "(1 offline) Overview · ai-monitor");
    browser.click(".card h3 a").await;
    browser.until(&format!("{HEADLINE} === {HOSTILE:?}")).await;
    assert_eq!(browser.eval("document.querySelectorAll('img').length").await, 0);
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn heal_now_asks_first_and_tells_what_came_of_it() {
    let Some(browser) = Browser::open().await else { return };
    let server = Server::of(FakeMonitor::new(usual())).await;
    browser.go(&server.base()).await;
    browser.click("[data-act='heal-now']").await;
    browser.until("document.querySelector('dialog[open]')").await;
    assert_eq!(browser.eval("document.activeElement.textContent").await, "Cancel");
    let question = browser.eval("document.querySelector('dialog').textContent").await;
    assert!(question.as_str().unwrap().contains("coder"), "{question}");
    assert!(server.monitor.healed.lock().unwrap().is_empty());
    browser.click("dialog button[value='yes']").await;
    browser.until("document.querySelector('.note [role=alert]')").await;
    let told = browser.eval("document.querySelector('.note.bad').textContent").await;
    assert!(told.as_str().unwrap().contains(&format!("Not healed: {STUBBORN}")), "{told}");
    let mut healed: Vec<String> = server.monitor.healed.lock().unwrap().iter().map(|(name, _)| name.clone()).collect();
    healed.sort();
    assert_eq!(healed, ["coder", "mending", STUBBORN]);
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn the_page_follows_the_monitor_and_says_when_it_cannot() {
    let Some(browser) = Browser::open().await else { return };
    let server = Server::of(FakeMonitor::new(snapshot(vec![target("ollama", State::Online)]))).await;
    browser.go(&server.base()).await;
    browser.until(&format!("{HEADLINE} === 'ollama is online'")).await;
    browser.until("document.querySelector('.connection').textContent === 'Live'").await;
    server.monitor.change(|snapshot| snapshot.targets[0].state = State::Healing);
    browser.until(&format!("{HEADLINE} === '1 target is healing'")).await;
    browser.click("[data-act='disable']").await;
    browser.until(&format!("{HEADLINE} === 'No target is watched'")).await;
    assert!(!server.monitor.snapshot_now().targets[0].enabled);
    browser.click("[data-act='debug']").await;
    browser.until("document.querySelector('[data-act=debug]').getAttribute('aria-checked') === 'true'").await;
    drop(server);
    browser.until("document.querySelector('.note.bad')?.textContent.includes('No answer from ai-monitor')").await;
    browser.until("document.querySelector('[data-act=enable]').disabled").await;
}

#[tokio::test]
async fn plugins_are_shown_trouble_first_and_looked_after_with_a_question() {
    let Some(browser) = Browser::open().await else { return };
    let mut shown = snapshot(vec![target("acme", State::Unknown), target("ollama", State::Online)]);
    shown.plugins = plugins();
    shown.plugins.plugins[1].why = HOSTILE.into();
    shown.plugins.files[0].problem.text = HOSTILE.into();
    let server = Server::of(FakeMonitor::new(shown)).await;
    browser.go(&format!("{}/ai-monitor/plugins", server.base())).await;
    let headline = "3 plugins: 1 quarantined, 1 could not be loaded, 1 waits for consent";
    browser.until(&format!("{HEADLINE} === {headline:?}")).await;
    let rows = browser.eval("[...document.querySelectorAll('.plugins tbody b')].map(b => b.textContent).join()").await;
    assert!(rows.as_str().unwrap().starts_with("libold.so,acme-probe"), "{rows}");
    assert_eq!(browser.eval("document.querySelectorAll('img').length").await, 0);

    browser.click("[data-act='plugin-release']").await;
    browser.click("dialog button[value='cancel']").await;
    browser.until("!document.querySelector('dialog')").await;
    assert!(server.monitor.managed.lock().unwrap().is_empty(), "a question that is not answered does nothing");
    browser.click("[data-act='plugin-release']").await;
    browser.click("dialog button[value='yes']").await;
    browser.until("!document.querySelector('[data-act=plugin-release]')").await;

    browser.click("[data-act='plugin-consent']").await;
    browser.until("document.querySelector('dialog').textContent.includes('POST /x')").await;
    browser.click("dialog button[value='yes']").await;
    browser.until("!document.querySelector('[data-act=plugin-consent]')").await;
    let managed = server.monitor.managed.lock().unwrap().clone();
    let seen = plugins().plugins[1].asks_for.clone();
    let wanted = [("acme-probe".to_owned(), Manage::Release), ("mine".to_owned(), Manage::Consent { seen })];
    assert_eq!(managed, wanted);
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn no_view_is_wider_than_the_screen() {
    let Some(browser) = Browser::open().await else { return };
    let mut shown = usual();
    shown.targets[1].why = "x".repeat(300);
    let mut first = snapshot(vec![TargetView { found: true, ..target("ollama", State::Online) }]);
    first.config_file = None;
    let first = Server::of(FakeMonitor::new(first)).await;
    shown.plugins = plugins();
    shown.plugins.plugins[0].why = "x".repeat(300);
    let paths = ["/", "/ai-monitor/targets/coder", "/ai-monitor/incidents", "/ai-monitor/logs", "/ai-monitor/plugins"];
    let configured = Server::of(FakeMonitor::new(shown)).await;
    let pages = paths.map(|path| format!("{}{path}", configured.base()));
    for page in pages.iter().chain([&first.base()]) {
        for width in [360, 800, 1440] {
            browser.size(width, 900).await;
            browser.go(page).await;
            browser.until(HEADLINE).await;
            let wide = browser.eval("document.documentElement.scrollWidth").await;
            assert!(wide.as_u64().unwrap() <= u64::from(width), "{page} is {wide} wide at {width}");
        }
    }
    assert_eq!(browser.complaints().await, [""; 0]);
}
