//! The command line: one file per command.

#[macro_use]
mod out;

mod check;
mod client;
mod demo;
mod discover;
mod explain;
mod first_minutes;
mod heal;
mod plugin;
mod run;
mod status;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::config::Flags;

/// The self-healing monitor for local AI model servers.
#[derive(Debug, Parser)]
#[command(name = "ai-monitor", version, about, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What all commands take.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of all commands")]
struct Common {
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address of API and dashboard, loopback only [default: 127.0.0.1:5000]
    #[arg(long, global = true, value_name = "ADDR")]
    listen: Option<String>,
    /// Where journal, logs and switches are kept
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where your own heal policies are
    #[arg(long, global = true, value_name = "DIR")]
    policy_dir: Option<PathBuf>,
    /// Where plugins are dropped in [default: plugins in the data folder]
    #[arg(long, global = true, value_name = "DIR")]
    plugin_dir: Option<PathBuf>,
    /// Use the bundled plugins alone, whatever lies in the plugin folder
    #[arg(long, global = true)]
    safe_mode: bool,
    /// error, warn, info, debug or trace [default: info]
    #[arg(long, global = true, value_name = "L")]
    log_level: Option<String>,
}

impl Common {
    fn flags(&self) -> Flags {
        Flags {
            config: self.config.clone(),
            listen: self.listen.clone(),
            data_dir: self.data_dir.clone(),
            policy_dir: self.policy_dir.clone(),
            plugin_dir: self.plugin_dir.clone(),
            safe_mode: self.safe_mode,
            log_level: self.log_level.clone(),
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch and mend (the default)
    Run,
    /// Find the model servers of this machine, and print a configuration for them
    Discover {
        /// As JSON, for scripts
        #[arg(long)]
        json: bool,
        /// Write the configuration file, where there is none yet
        #[arg(long)]
        save: bool,
    },
    /// Check a configuration file and the policies that it names
    Check {
        /// The file to check
        file: PathBuf,
    },
    /// Show what the running monitor sees
    Status {
        /// As JSON, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Heal a target now, or all that are down
    Heal {
        /// The target; all if none is named
        name: Option<String>,
        /// Disturb it even while it works
        #[arg(long)]
        force: bool,
    },
    /// Tell the story of an incident: what was seen, decided, done, not done, and measured after
    Explain {
        /// The incident's number; the newest if none is named
        id: Option<i64>,
    },
    /// List, install and look after plugins
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Watch a small server of our own being broken and healed, in half a minute
    Demo,
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let flags = cli.common.flags();
    let workers = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 4);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain!("error: the system gives no threads or events: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async move {
        match cli.command.unwrap_or(Command::Run) {
            Command::Run => run::run(&flags).await,
            Command::Discover { json, save } => discover::run(&flags, json, save).await,
            Command::Check { file } => check::check(&file, &flags),
            Command::Status { json } => status::status(&flags, json).await,
            Command::Heal { name, force } => heal::heal(&flags, name, force).await,
            Command::Explain { id } => explain::explain(&flags, id),
            Command::Plugin(command) => plugin::plugin(&flags, command).await,
            Command::Demo => demo::demo(&flags).await,
        }
    });
    // A read that a hung disk or a policy's thread holds must not hold our end.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match result {
        Ok(code) => out::code(code),
        Err(error) => {
            complain!("{}", render(&error));
            ExitCode::FAILURE
        }
    }
}

/// What failed, and why, one cause a line.
fn render(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    if !text.starts_with("error") {
        text.insert_str(0, "error: ");
    }
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Many errors tell their cause themselves.
        if !text.contains(&cause) {
            text.push_str(&format!("\n  because: {cause}"));
        }
    }
    text
}
