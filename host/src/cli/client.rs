//! The command line's way to the running monitor: its own API.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::config::{self, Flags};

pub(super) struct Client {
    base: String,
    http: Option<reqwest::Client>,
}

impl Client {
    pub(super) fn new(listen: SocketAddr) -> Client {
        crate::probe::http::install_tls();
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(2))
            .build()
            .ok();
        Client { base: format!("http://{listen}"), http }
    }

    /// Where the configuration and the flags say that the monitor listens.
    pub(super) fn of(flags: &Flags) -> anyhow::Result<Client> {
        let config = config::load(flags, &super::run::plugins_known(flags))?;
        Ok(Client::new(config.listen))
    }

    /// The process of the monitor that answers here; `None`: something else does, or nothing.
    pub(super) async fn is_ai_monitor(&self) -> Option<u64> {
        let answer = self.get("/api/health", Duration::from_secs(2)).await.ok()?;
        (answer.get("service")?.as_str()? == "ai-monitor").then(|| answer.get("pid").and_then(Value::as_u64))?
    }

    pub(super) async fn get(&self, path: &str, within: Duration) -> anyhow::Result<Value> {
        let http = self.http.as_ref().context("no HTTP client can be made")?;
        let request = http.get(format!("{}{path}", self.base)).timeout(within);
        self.send(request).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value, within: Duration) -> anyhow::Result<Value> {
        let http = self.http.as_ref().context("no HTTP client can be made")?;
        let request = http
            .post(format!("{}{path}", self.base))
            .header("content-type", "application/json")
            .body(body.to_string())
            .timeout(within);
        self.send(request).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        let base = &self.base;
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() => {
                bail!("no monitor answers at {base}\n  start it: ai-monitor, or name its address: --listen ADDR")
            }
            Err(error) => bail!("the monitor at {base} did not answer: {error}"),
        };
        let status = response.status();
        let text = response.text().await.with_context(|| format!("the answer of {base} broke off"))?;
        let value: Value =
            serde_json::from_str(&text).with_context(|| format!("what answers at {base} is no ai-monitor"))?;
        if !status.is_success() {
            let message = value.get("message").and_then(Value::as_str).unwrap_or("no message");
            bail!("{message}");
        }
        Ok(value)
    }
}
