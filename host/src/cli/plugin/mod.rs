//! `ai-monitor plugin …`: one file per command.

mod alone;
mod check;
mod consent;
mod install;
mod list;
mod new;
mod of_rules;
mod question;
mod remove;
mod replay;
mod run_once;
mod source;
mod trace;
mod way;

use std::{path::PathBuf, process::ExitCode};

use clap::Subcommand;

use self::way::Way;
use crate::config::Flags;

pub(super) use list::why;

/// What can be done with plugins.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show every plugin: the bundled ones and those of the plugin folder
    List {
        /// As JSON, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Put a plugin into the plugin folder, after showing what it may ask for
    Install {
        /// The library that was built
        library: PathBuf,
        /// Its manifest, such as src/manifest.json of its crate [default: the .json file beside it]
        #[arg(long, value_name = "FILE")]
        manifest: Option<PathBuf>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Take a plugin out of the plugin folder
    Remove {
        /// The plugin's id, as `plugin list` shows it
        id: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Use a plugin again that was disabled
    Enable {
        /// The plugin's id, as `plugin list` shows it
        id: String,
    },
    /// Do not use a plugin of the folder, and leave it there
    Disable {
        /// The plugin's id, as `plugin list` shows it
        id: String,
    },
    /// Grant what an update asks for beyond what was granted
    Consent {
        /// The plugin's id, as `plugin list` shows it
        id: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Try a quarantined plugin again
    Release {
        /// The plugin's id, as `plugin list` shows it
        id: String,
    },
    /// Write a plugin of your own to begin with: it builds, and passes `plugin check`
    New(new::Args),
    /// Put a plugin to the test of every rule of the contract
    Check(Box<check::Args>),
    /// Run one probe or repair of a plugin against a server, and show each step
    Run(Box<run_once::Args>),
    /// Play a recorded session to a plugin, and show where it now does something else
    Replay(replay::Args),
}

pub(super) async fn plugin(flags: &Flags, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List { json } => list::list(flags, json).await,
        Command::Install { library, manifest, yes } => {
            install::install(flags, &library, manifest.as_deref(), yes).await
        }
        Command::Remove { id, yes } => remove::remove(flags, &id, yes).await,
        Command::Enable { id } => switch(flags, &id, "enable").await,
        Command::Disable { id } => switch(flags, &id, "disable").await,
        Command::Consent { id, yes } => consent::consent(flags, &id, yes).await,
        Command::Release { id } => switch(flags, &id, "release").await,
        Command::New(args) => new::new(&args),
        Command::Check(args) => check::check(flags, *args).await,
        Command::Run(args) => run_once::run(flags, *args).await,
        Command::Replay(args) => replay::replay(flags, &args).await,
    }
}

async fn switch(flags: &Flags, id: &str, what: &str) -> anyhow::Result<ExitCode> {
    say!("{}", Way::of(flags)?.switch(id, what).await?);
    Ok(ExitCode::SUCCESS)
}
