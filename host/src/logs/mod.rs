//! The monitor's own log: `ai_monitor.log`, `ai_recovery.log` (healing actions alone), and standard error.
//!
//! A healing action is an event with the target `recovery`: `tracing::info!(target: "recovery", "…")`.

mod rotating;
mod tail;

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    Layer, filter::Targets, fmt::MakeWriter, layer::SubscriberExt, registry::LookupSpan, util::SubscriberInitExt,
};

use self::rotating::{Kind, MONITOR, RECOVERY, RotatingLog};
pub use self::tail::{tail, try_tail};

/// The target of healing actions.
pub const RECOVERY_TARGET: &str = "recovery";

/// How lines look on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Colours and times.
    Terminal,
    /// Times.
    Plain,
    /// Neither: the system's journal writes the time.
    Journald,
}

impl Look {
    /// What fits where standard error goes.
    pub fn detect() -> Look {
        let wants_colours = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        match std::io::stderr().is_terminal() {
            true if wants_colours => Look::Terminal,
            true => Look::Plain,
            false if std::env::var_os("JOURNAL_STREAM").is_some() => Look::Journald,
            false => Look::Plain,
        }
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("there is no log level {0:?}: one of error, warn, info, debug, trace, off")]
    Level(String),
    #[error("the log was begun twice in this process: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Dropped at the end of the program: the last lines are on the disk then.
#[must_use = "dropped at once, nothing is logged"]
#[derive(Debug)]
pub struct LogGuard {
    _monitor: WorkerGuard,
    _recovery: WorkerGuard,
}

/// Where `ai_monitor.log` is, in the folder of the logs.
pub fn monitor_log(dir: &Path) -> PathBuf {
    MONITOR.live(dir)
}

/// Where `ai_recovery.log` is, in the folder of the logs.
pub fn recovery_log(dir: &Path) -> PathBuf {
    RECOVERY.live(dir)
}

/// Begins the log of this process. `level`: `error`, `warn`, `info`, `debug`, `trace` or `off`; healing actions are
/// always written to their file. A folder that cannot be written is told on standard error and tried again at each line.
pub fn init(dir: &Path, level: &str, look: Look) -> Result<LogGuard, LogError> {
    let (subscriber, guard) = subscriber(dir, level, look, std::io::stderr)?;
    subscriber.try_init()?;
    Ok(guard)
}

fn subscriber<W>(
    dir: &Path,
    level: &str,
    look: Look,
    stderr: W,
) -> Result<(impl Subscriber + Send + Sync, LogGuard), LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let level: LevelFilter = level.trim().parse().map_err(|_| LogError::Level(level.into()))?;
    // A burst may cost lines of this log, but never a moment of the monitor.
    let (monitor, monitor_guard) = writer(dir, MONITOR, true);
    let (recovery, recovery_guard) = writer(dir, RECOVERY, false);
    let subscriber = tracing_subscriber::registry()
        .with(on_stderr(look, stderr).with_filter(filter(level)))
        .with(tracing_subscriber::fmt::layer().with_ansi(false).with_writer(monitor).with_filter(filter(level)))
        .with(
            tracing_subscriber::fmt::layer()
                .with_ansi(false)
                .with_target(false)
                .with_writer(recovery)
                .with_filter(Targets::new().with_target(RECOVERY_TARGET, LevelFilter::TRACE)),
        );
    Ok((subscriber, LogGuard { _monitor: monitor_guard, _recovery: recovery_guard }))
}

fn writer(dir: &Path, kind: Kind, lossy: bool) -> (NonBlocking, WorkerGuard) {
    let builder = NonBlockingBuilder::default().lossy(lossy).buffered_lines_limit(16 * 1024).thread_name(kind.name);
    builder.finish(RotatingLog::new(dir, kind))
}

/// Our own lines at the level; of the libraries only warnings, unless all is asked for. Never those of the log file's own
/// writer: it speaks while it holds its lock, so listening to it could stop the log for ever.
fn filter(level: LevelFilter) -> Targets {
    let libraries = if level == LevelFilter::TRACE { level } else { level.min(LevelFilter::WARN) };
    Targets::new()
        .with_default(libraries)
        .with_target("ai_monitor", level)
        .with_target(RECOVERY_TARGET, level)
        .with_target("rotating_file", LevelFilter::OFF)
}

fn on_stderr<S, W>(look: Look, stderr: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_target(false).with_writer(stderr);
    match look {
        Look::Terminal => layer.with_ansi(true).boxed(),
        Look::Plain => layer.with_ansi(false).boxed(),
        Look::Journald => layer.with_ansi(false).without_time().boxed(),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, sync::Arc};

    use super::*;

    /// What would be on standard error, and the two files, after `act`.
    fn logged(level: &str, look: Look, act: impl FnOnce()) -> (String, String, String) {
        let dir = tempfile::tempdir().unwrap();
        let stderr = dir.path().join("stderr");
        let to = Arc::new(File::create(&stderr).unwrap());
        let (subscriber, guard) = subscriber(dir.path(), level, look, to).unwrap();
        tracing::subscriber::with_default(subscriber, act);
        drop(guard);
        let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
        (read(stderr), read(monitor_log(dir.path())), read(recovery_log(dir.path())))
    }

    #[test]
    fn healing_actions_have_a_file_of_their_own() {
        let (stderr, monitor, recovery) = logged("info", Look::Plain, || {
            tracing::info!("looked");
            tracing::debug!("too fine");
            tracing::info!(target: "recovery", "restarted");
        });
        assert!(monitor.contains("looked") && monitor.contains("restarted") && !monitor.contains("too fine"));
        assert!(recovery.contains("restarted") && !recovery.contains("looked"), "{recovery}");
        assert_eq!(stderr.lines().count(), 2);
    }

    #[test]
    fn a_low_level_silences_all_but_the_file_of_healing_actions() {
        let (stderr, monitor, recovery) =
            logged("error", Look::Plain, || tracing::info!(target: "recovery", "restarted"));
        assert_eq!((stderr.as_str(), monitor.as_str()), ("", ""));
        assert!(recovery.contains("restarted"));
    }

    #[test]
    fn libraries_are_heard_from_warnings_on_and_the_log_writer_never() {
        let (_, monitor, _) = logged("debug", Look::Plain, || {
            tracing::info!(target: "hyper", "chatter");
            tracing::warn!(target: "hyper", "trouble");
            tracing::error!(target: "rotating_file", "under its own lock");
        });
        assert!(monitor.contains("trouble") && !monitor.contains("chatter") && !monitor.contains("lock"), "{monitor}");
    }

    #[test]
    fn the_systems_journal_gets_neither_colours_nor_times() {
        let (stderr, ..) = logged("info", Look::Journald, || tracing::info!("looked"));
        assert_eq!(stderr.trim(), "INFO looked");
        let (stderr, ..) = logged("info", Look::Terminal, || tracing::info!("looked"));
        assert!(stderr.contains('\u{1b}'));
    }

    #[test]
    fn a_level_that_is_none_is_refused_with_those_that_are() {
        let error = subscriber(Path::new("x"), "loud", Look::Plain, std::io::sink).err().unwrap().to_string();
        assert_eq!(error, "there is no log level \"loud\": one of error, warn, info, debug, trace, off");
    }

    #[test]
    fn no_healing_action_is_lost_in_a_burst() {
        let (_, _, recovery) = logged("off", Look::Plain, || {
            for n in 0..40_000 {
                tracing::info!(target: "recovery", n);
            }
        });
        assert_eq!(recovery.lines().count(), 40_000);
    }
}
