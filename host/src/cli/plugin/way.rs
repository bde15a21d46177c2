//! The way to the plugins: through the running monitor, or without one by the folder and what is kept of it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::{
    cli::client::Client,
    config::{self, Flags, Places, one_monitor},
    plugin::{PluginView, PluginsView, Store, view_unattended},
};

const WITHIN: Duration = Duration::from_secs(5);

/// Who is asked.
pub(super) enum Way {
    /// The monitor of this data folder.
    Monitor {
        client: Client,
        /// `--plugin-dir`: whoever named a folder means no other.
        folder: Option<PathBuf>,
    },
    Unattended(Places),
}

impl Way {
    /// The monitor that uses the data folder of these flags, if one does.
    pub(super) fn of(flags: &Flags) -> anyhow::Result<Way> {
        let places = config::places(flags);
        let Some(holder) = one_monitor::holder(&places.data) else { return Ok(Way::Unattended(places)) };
        let listen = holder.listen.parse();
        let listen = listen.with_context(|| format!("the running monitor's address {:?} is none", holder.listen))?;
        Ok(Way::Monitor { client: Client::new(listen), folder: flags.plugin_dir.clone() })
    }

    /// All plugins.
    ///
    /// # Errors
    /// Also where the running monitor uses another plugin folder than was named: nothing is done in either.
    pub(super) async fn all(&self) -> anyhow::Result<PluginsView> {
        match self {
            Way::Unattended(places) => Ok(view_unattended(&places.plugins, &places.data)?),
            Way::Monitor { client, folder } => {
                let mut answer = client.get("/api/ai-monitor/plugins", WITHIN).await?;
                let data = answer.get_mut("data").map(Value::take).unwrap_or_default();
                let all: PluginsView =
                    serde_json::from_value(data).context("the running monitor is of another version of ai-monitor")?;
                match folder {
                    Some(named) if !is_same_folder(named, Path::new(&all.folder)) => bail!(
                        "--plugin-dir names {}, and the monitor that runs with this data folder uses {}\n  \
                         for the monitor's folder: leave --plugin-dir out\n  \
                         for the other one: name the data folder that it goes with, too (--data-dir DIR)",
                        named.display(),
                        all.folder
                    ),
                    _ => Ok(all),
                }
            }
        }
    }

    /// One plugin; of two with this id the one of the folder.
    pub(super) async fn one(&self, id: &str) -> anyhow::Result<PluginView> {
        let all = self.all().await?;
        match all.one(id) {
            Some(plugin) => Ok(plugin.clone()),
            None => bail!("there is no plugin {id:?}; plugins: {}", all.ids()),
        }
    }

    /// Tells the monitor; gives its words.
    pub(super) async fn post(client: &Client, id: &str, what: &str, body: Value) -> anyhow::Result<String> {
        let answer = client.post(&format!("/api/ai-monitor/plugins/{id}/{what}"), &body, WITHIN).await?;
        Ok(answer.get("message").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// `enable`, `disable` or `release`: through the monitor or, where none runs, in what is kept.
    pub(super) async fn switch(&self, id: &str, what: &str) -> anyhow::Result<String> {
        let plugin = self.one(id).await?;
        let places = match self {
            Way::Monitor { client, .. } => return Way::post(client, &plugin.id, what, json!({})).await,
            Way::Unattended(places) => places,
        };
        if plugin.library.is_none() {
            bail!("{id} is bundled: it can neither be disabled nor quarantined");
        }
        let changed = Store::read(&places.data)?.change(id, |kept| match what {
            "enable" => kept.disabled = false,
            "disable" => kept.disabled = true,
            _ => kept.quarantine = None,
        })?;
        let so = if changed { "" } else { " already" };
        Ok(format!("{id} is {what}d{so}; ai-monitor does not run, and will know when it starts"))
    }
}

/// One that is not there yet is told by its path alone.
fn is_same_folder(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
    matches!((real(a), real(b)), (Ok(a), Ok(b)) if a == b)
}
