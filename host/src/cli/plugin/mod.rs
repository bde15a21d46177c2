//! `ai-monitor plugin …`: one file per command.

mod list;

use std::process::ExitCode;

use clap::Subcommand;

use crate::config::Flags;

/// What can be done with plugins.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show every plugin: the bundled ones and those of the plugin folder
    List {
        /// As JSON, for scripts
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn plugin(flags: &Flags, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List { json } => list::list(flags, json).await,
    }
}
