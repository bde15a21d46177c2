//! A session over a [`Plugin`]: polled once per event with a waker that does nothing.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use serde::Serialize;

use crate::{
    Plugin,
    event::{Event, SessionKind, Start},
    io::{Channel, Io, Stop},
    report::{RepairReport, Report, WithinLimits},
};

/// What a session said in one step.
pub(crate) enum Said {
    /// An effect, as JSON. The session may go on.
    Effect(Vec<u8>),
    /// The report, as JSON. The session is over.
    Report(Vec<u8>),
    /// Why the session is over without a report.
    Error(String),
}

type Running = Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>>;

/// One session. `None` before its start.
pub(crate) struct Session {
    channel: Channel,
    running: Option<Running>,
    begin: fn(Channel, Start) -> Running,
}

impl Session {
    pub(crate) fn new<P: Plugin>() -> Session {
        Session { channel: Channel::default(), running: None, begin: begin::<P> }
    }

    /// Takes one event and gives what the session says to it.
    pub(crate) fn step(&mut self, event: &[u8]) -> Said {
        let event = match Event::read(event) {
            Ok(event) => event,
            Err(e) => return Said::Error(format!("the event cannot be read: {e}")),
        };
        let running = match (event, &mut self.running) {
            (Event::Start(start), running @ None) => running.insert((self.begin)(self.channel.clone(), start)),
            (event @ Event::Start(_), Some(_)) | (event, None) => {
                return Said::Error(format!("`{}` came out of turn: a session has one `start`, first", event.name()));
            }
            (event, Some(running)) => {
                self.channel.put_event(event);
                running
            }
        };
        match running.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(report)) => Said::Report(report),
            Poll::Ready(Err(text)) => Said::Error(text),
            Poll::Pending => match self.channel.take_effect() {
                Some(effect) => match write(&effect) {
                    Ok(json) => Said::Effect(json),
                    Err(e) => Said::Error(format!("the effect cannot be written: {e}")),
                },
                None => Said::Error("the session awaits something that is no effect: only the host can wake it".into()),
            },
        }
    }
}

/// Room for most effects and reports, in bytes: it need not be moved while it is written.
const USUAL: usize = 1024;

fn write(effect: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut json = Vec::with_capacity(USUAL);
    serde_json::to_writer(&mut json, effect)?;
    Ok(json)
}

fn begin<P: Plugin>(channel: Channel, start: Start) -> Running {
    match &start.session {
        SessionKind::Probe { .. } => Box::pin(async move {
            let mut io = Io::new(channel, Report::default());
            let end = P::probe(&mut io, &start).await;
            finish(end, io.report)
        }),
        SessionKind::Repair { .. } => Box::pin(async move {
            let mut io = Io::new(channel, RepairReport::default());
            let end = P::repair(&mut io, &start).await;
            finish(end, io.report)
        }),
    }
}

fn finish<R: Serialize + WithinLimits>(end: Result<(), Stop>, mut report: R) -> Result<Vec<u8>, String> {
    report.keep_within_limits();
    /// [`crate::effect::Effect::Report`] without the detour over a JSON value.
    #[derive(Serialize)]
    #[serde(tag = "effect", rename_all = "snake_case")]
    enum Last<R> {
        Report { report: R },
    }
    match end {
        Ok(()) | Err(Stop::Enough) => {
            write(&Last::Report { report }).map_err(|e| format!("the report cannot be written: {e}"))
        }
        Err(Stop::GiveUp(text)) => Err(text),
    }
}
