//! Where configuration, data, policies and plugins lie: by the system's convention, or as a flag says.

use std::path::PathBuf;

use directories::ProjectDirs;

use super::Flags;

/// The folders of this program; none of them need exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The configuration file.
    pub config: PathBuf,
    /// Journal, switches, logs and the lock. One monitor per data folder.
    pub data: PathBuf,
    /// Policies of the user.
    pub policies: PathBuf,
    /// Plugins of the user.
    pub plugins: PathBuf,
}

impl Places {
    /// `ai_monitor.log` and `ai_recovery.log` lie here.
    pub fn logs(&self) -> PathBuf {
        self.data.join("logs")
    }
}

/// The places under these flags; each flag moves only its own. Without a home folder (some services have none) all lie
/// in `ai-monitor` under the current one.
pub fn places(flags: &Flags) -> Places {
    let own = ProjectDirs::from("", "", "ai-monitor");
    let fallback = || PathBuf::from("ai-monitor");
    let config_dir = own.as_ref().map_or_else(fallback, |d| d.config_dir().to_owned());
    let data =
        flags.data_dir.clone().unwrap_or_else(|| own.as_ref().map_or_else(fallback, |d| d.data_local_dir().to_owned()));
    Places {
        config: flags.config.clone().unwrap_or_else(|| config_dir.join("config.toml")),
        policies: flags.policy_dir.clone().unwrap_or_else(|| config_dir.join("policies")),
        plugins: flags.plugin_dir.clone().unwrap_or_else(|| data.join("plugins")),
        data,
    }
}
