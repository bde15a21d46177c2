//! What a session of a plugin written in Rust is given: ask the host for one thing, await its answer.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use crate::{
    effect::{Effect, Request},
    event::{End, Event, Line, Outcome, Response},
    report::{Judged, Report, cut},
};

/// A session's only way out. It owns the report, which goes to the host however the session ends, unless it
/// [gives up](Stop::GiveUp): so facts are put into it as they come in.
///
/// `R` is [`Report`] in a probe and [`crate::report::RepairReport`] in a repair.
#[derive(Debug)]
pub struct Io<R = Report> {
    pub report: R,
    channel: Channel,
}

/// The early end of a session, thrown with `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// No more can be learnt. The report is sent as it stands.
    Enough,
    /// The plugin itself failed, which is never evidence against the target. The report is dropped.
    GiveUp(String),
}

/// What comes next in a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    Line(Line),
    End(End),
}

/// One place for the event that came and one for the effect that is wanted, shared by session and [`Io`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Channel(Arc<Mutex<Slots>>);

#[derive(Debug, Default)]
struct Slots {
    event: Option<Event>,
    effect: Option<Effect>,
}

impl Channel {
    pub(crate) fn put_event(&self, event: Event) {
        self.with(|slots| slots.event = Some(event));
    }

    pub(crate) fn take_effect(&self) -> Option<Effect> {
        self.with(|slots| slots.effect.take())
    }

    fn with<T>(&self, f: impl FnOnce(&mut Slots) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<R> Io<R> {
    pub(crate) fn new(channel: Channel, report: R) -> Io<R> {
        Io { report, channel }
    }

    /// Sends a request and gives its whole answer, or with `stream` the answer's head; then go on with
    /// [`Io::read`]. A failed request is an answer too: see [`Response::outcome`].
    pub async fn request(&mut self, request: Request) -> Result<Response, Stop> {
        match self.effect(Effect::Request(request)).await {
            Event::Response(response) => Ok(response),
            other => Err(unexpected("response", &other)),
        }
    }

    /// The next line of a stream, or its end.
    pub async fn read(&mut self) -> Result<Next, Stop> {
        match self.effect(Effect::Read).await {
            Event::Line(line) => Ok(Next::Line(line)),
            Event::End(end) => Ok(Next::End(end)),
            other => Err(unexpected("line or end", &other)),
        }
    }

    /// Sleeps for `ms` milliseconds, at least 10. `note` is shown to people.
    pub async fn wait(&mut self, ms: u64, note: Option<String>) -> Result<(), Stop> {
        match self.effect(Effect::Wait { ms, note }).await {
            Event::Waited(_) => Ok(()),
            other => Err(unexpected("waited", &other)),
        }
    }

    fn effect(&mut self, effect: Effect) -> Ask<'_> {
        Ask { channel: &self.channel, effect: Some(effect) }
    }
}

impl Io<Report> {
    /// Says what an answer *with a status* really was, where the host's outcome is wrong.
    pub fn judge(&mut self, answer: &Response, outcome: Outcome, text: impl Into<String>) {
        let text = Some(cut(&text.into()).to_owned());
        self.report.judged.push(Judged { request: answer.request, outcome, text });
    }
}

fn unexpected(wanted: &str, got: &Event) -> Stop {
    Stop::GiveUp(format!("the host answered with `{}` where `{wanted}` belongs", got.name()))
}

/// Puts the effect on its first poll and takes the event that answers it on the next.
struct Ask<'a> {
    channel: &'a Channel,
    effect: Option<Effect>,
}

impl Future for Ask<'_> {
    type Output = Event;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Event> {
        let channel = self.channel;
        if let Some(effect) = self.effect.take() {
            channel.with(|slots| slots.effect = Some(effect));
            return Poll::Pending;
        }
        match channel.with(|slots| slots.event.take()) {
            Some(event) => Poll::Ready(event),
            None => Poll::Pending,
        }
    }
}
