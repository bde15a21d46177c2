//! One session of a plugin: an event in, an effect out, within the contract's limits.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ai_monitor_plugin_api::{
    event::{Event, SessionKind},
    limits::EFFECT_MAX,
    table::{AIM_OK, AIM_PANIC},
};

use super::{
    Wanted, child,
    table::{Handle, Output, Table},
    text,
};

/// Room for most events, in bytes; for others the buffer grows.
const EVENT_USUAL: usize = 1024;
/// A step that took longer ends its session. In process it is a bug of ours; a child is ended while it still runs.
const STEP_MAX: Duration = Duration::from_secs(1);

/// Why a session is over without a report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    #[error("the plugin gave up: {0}")]
    Plugin(String),
    #[error("the plugin panicked: {0}")]
    Panic(String),
    #[error("out of protocol: {0}")]
    Protocol(String),
    /// The child process that it ran in ended: `SIGSEGV`, `exit code 3`.
    #[error("the plugin's process ended: {0}")]
    Crashed(String),
    /// A call took too long, so that its child process was ended.
    #[error("the plugin took too long: {0}")]
    Overrun(String),
    /// The system gave no process for it: not the plugin's fault.
    #[error("there is no process for the plugin: {0}")]
    NotStarted(String),
}

/// One session of a plugin, wherever it runs. Dropping it cancels it.
pub struct PluginSession {
    seat: Seat,
    /// The last step ended it, well or not.
    over: bool,
    /// It ended so that its child may take another session: with a report, or with the plugin's own error.
    well: bool,
    /// Whether it is a repair, known from `start`.
    repair: bool,
    /// The last event as JSON: one buffer for all of them.
    event: Vec<u8>,
}

/// Where a session runs.
enum Seat {
    InProcess(Handle),
    Isolated(Box<child::Seat>),
}

impl PluginSession {
    pub(super) fn in_process(table: &Table) -> Result<PluginSession, StepError> {
        Ok(PluginSession::on(Seat::InProcess(table.create().map_err(StepError::Plugin)?)))
    }

    pub(super) async fn isolated(pool: &Arc<child::Pool>) -> Result<PluginSession, StepError> {
        Ok(PluginSession::on(Seat::Isolated(Box::new(pool.session().await?))))
    }

    fn on(seat: Seat) -> PluginSession {
        PluginSession { seat, over: false, well: false, repair: false, event: Vec::with_capacity(EVENT_USUAL) }
    }

    /// Takes one event, gives what is wanted next, within the contract's limits. After a report or an error only
    /// dropping may follow; another step is an error and does not reach the plugin. A step that is dropped before it
    /// is ready ends the session, too.
    pub async fn step(&mut self, event: &Event) -> Result<Wanted, StepError> {
        if self.over {
            return Err(StepError::Protocol("the session is over".into()));
        }
        if let Event::Start(start) = event {
            self.repair = matches!(start.session, SessionKind::Repair { .. });
        }
        self.over = true;
        self.event.clear();
        serde_json::to_writer(&mut self.event, event).map_err(|e| StepError::Protocol(format!("the event: {e}")))?;
        let event = &self.event;
        let wanted = match &mut self.seat {
            Seat::InProcess(handle) => {
                let begun = Instant::now();
                let written = written(handle.step(event, EFFECT_MAX));
                let took = begun.elapsed();
                if took > STEP_MAX {
                    return Err(StepError::Overrun(format!("one step took {} ms", took.as_millis())));
                }
                Wanted::read(&written?, self.repair)
            }
            Seat::Isolated(seat) => {
                let written = seat.step(event).await.inspect_err(|error| {
                    self.well = matches!(error, StepError::Plugin(_));
                })?;
                Wanted::read(&written, self.repair)
            }
        };
        let wanted = wanted.map_err(|why| StepError::Protocol(text::plain(&why)))?;
        self.over = matches!(wanted, Wanted::Report(_));
        self.well = self.over;
        Ok(wanted)
    }
}

impl Drop for PluginSession {
    fn drop(&mut self) {
        if self.well
            && let Seat::Isolated(seat) = &mut self.seat
        {
            seat.leave();
        }
    }
}

/// The effect's bytes, by the code that the plugin's function gave.
fn written((code, out): (i32, Output)) -> Result<Vec<u8>, StepError> {
    match code {
        _ if out.full => Err(StepError::Protocol(format!("the effect is over {EFFECT_MAX} bytes"))),
        AIM_OK => Ok(out.bytes),
        AIM_PANIC => Err(StepError::Panic(out.text())),
        _ => Err(StepError::Plugin(out.text())),
    }
}
