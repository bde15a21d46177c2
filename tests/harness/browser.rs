//! A real browser, driven through chromedriver's plain HTTP interface.
//!
//! Left out, and said so, unless `AI_MONITOR_BROWSER=1` (`.ci/browser-test` sets it): a plain `cargo test` needs nothing
//! installed.
#![allow(dead_code, reason = "the tests of the API and those from end to end share it, and use different parts")]

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Stdio,
    time::Duration,
};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(60);
/// What a page is about, in its words.
pub const HEADLINE: &str = "document.querySelector('h1')?.textContent";

/// A headless browser of its own, with an empty profile; it ends with this.
pub struct Browser {
    http: Client,
    session: String,
    _driver: Child,
}

impl Drop for Browser {
    /// Its driver does not end it when it is killed itself.
    fn drop(&mut self) {
        let address = self.session.trim_start_matches("http://");
        let Some((address, path)) = address.split_once('/') else { return };
        let Ok(mut driver) = TcpStream::connect(address) else { return };
        let request = format!("DELETE /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        // The answer comes when the browser is gone.
        let _ = driver.set_read_timeout(Some(PATIENCE)).and_then(|()| driver.write_all(request.as_bytes()));
        let _ = driver.read(&mut [0; 1024]);
    }
}

impl Browser {
    /// `None`: browser tests are not wanted here.
    pub async fn open() -> Option<Browser> {
        if std::env::var("AI_MONITOR_BROWSER").is_ok_and(|v| v == "1") {
            return Some(timeout(PATIENCE, Browser::start()).await.expect("the browser does not start"));
        }
        let line =
            "left out: the page in a browser: set AI_MONITOR_BROWSER=1 where chromium and chromedriver are installed";
        // Past the test runner's capture: what was left out must be seen.
        let _ = writeln!(std::io::stderr().lock(), "{line}");
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

    pub async fn go(&self, url: &str) {
        self.command(Method::POST, "/url", &json!({ "url": url })).await;
    }

    pub async fn size(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        let body = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": metrics });
        self.command(Method::POST, "/goog/cdp/execute", &body).await;
    }

    /// The value of an expression in the page.
    pub async fn eval(&self, expression: &str) -> Value {
        let body = json!({ "script": format!("return {expression}"), "args": [] });
        self.command(Method::POST, "/execute/sync", &body).await
    }

    /// Returns when the expression is true, asked at each frame.
    pub async fn until(&self, expression: &str) {
        let script = format!(
            "const done = arguments[0]; const look = () => ({expression}) ? done() : requestAnimationFrame(look); look()"
        );
        self.command(Method::POST, "/execute/async", &json!({ "script": script, "args": [] })).await;
    }

    pub async fn click(&self, selector: &str) {
        self.until(&format!("document.querySelector({selector:?})")).await;
        self.eval(&format!("document.querySelector({selector:?}).click()")).await;
    }

    /// What the browser complained of: script errors, refused content, files that are missing.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.command(Method::POST, "/se/log", &json!({ "type": "browser" })).await;
        log.as_array().unwrap().iter().map(|entry| entry["message"].to_string()).collect()
    }
}
