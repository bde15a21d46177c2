//! The loop of a session: one effect, its event, until the report; every limit of the contract is kept here.

use std::{sync::Arc, time::Duration};

use ai_monitor_plugin_api::{
    effect::Request,
    event::{At, Depth, End, Event, Line as LineEvent, Outcome, Response, Waited},
};
use tokio::time::{Instant, sleep_until};

use super::{LookAnswers, Steps, grant::Grant};
use crate::{
    health::observation::{RequestRecord, SessionEnd},
    plugin::{Said, StepError, Wanted},
    probe::http::{Call, Line, LineStream, TargetClient, millis},
};

const MAX_REQUESTS: usize = 64;
const MAX_WAITS: u32 = 256;
const SHORTEST_WAIT_MS: u64 = 10;
const MAX_LINES: u32 = 10_000;
/// So many requests after the deadline are answered; a session that asks on is stopped.
const MAX_DEADLINES: u32 = 8;
/// A step computes only. This long means that it does something else.
const SLOW_STEP: Duration = Duration::from_millis(50);

pub(super) struct Session<'a, S> {
    client: &'a TargetClient,
    steps: &'a mut S,
    grant: Grant,
    answers: Option<Arc<LookAnswers>>,
    of: Option<Depth>,
    until: Instant,
    /// Beyond the deadline, too: whatever it wants then, it is stopped.
    stopped_at: Instant,
    records: Vec<RequestRecord>,
    /// The last step begun, in words.
    reached: Option<String>,
    /// Belongs to the newest record.
    stream: Option<LineStream>,
    lines: u32,
    waits: u32,
    deadlines: u32,
}

impl<'a, S: Steps> Session<'a, S> {
    /// `deadline` counts from now, `late` from the deadline.
    pub fn new(
        client: &'a TargetClient,
        steps: &'a mut S,
        grant: Grant,
        of: Option<Depth>,
        deadline: Duration,
        late: Duration,
        answers: Option<Arc<LookAnswers>>,
    ) -> Self {
        let until = Instant::now() + deadline;
        Session {
            client,
            steps,
            grant,
            answers,
            of,
            until,
            stopped_at: until + late,
            records: Vec::new(),
            reached: None,
            stream: None,
            lines: 0,
            waits: 0,
            deadlines: 0,
        }
    }

    /// Gives the report, or why there is none.
    pub async fn run(&mut self, start: Event) -> Result<Said, SessionEnd> {
        let mut event = start;
        loop {
            let wanted = self.step(&event).await?;
            if !matches!(wanted, Wanted::Read) {
                self.close_stream();
            }
            event = match wanted {
                Wanted::Report(said) => return Ok(said),
                // Waits and lines that lie ready cost no time of ours, but each step takes the plugin's.
                _ if Instant::now() > self.stopped_at => {
                    let late = (self.stopped_at - self.until).as_secs_f64();
                    return Err(SessionEnd::Overrun(format!("still at work {late} s after its deadline")));
                }
                Wanted::Request(request) => self.request(request).await?,
                Wanted::Read => self.read().await?,
                Wanted::Wait { ms, note } => self.wait(ms, note).await?,
            };
        }
    }

    /// The requests as they were measured, and the last step begun.
    pub fn into_trace(mut self) -> (Vec<RequestRecord>, Option<String>) {
        self.close_stream();
        (self.records, self.reached)
    }

    async fn step(&mut self, event: &Event) -> Result<Wanted, SessionEnd> {
        let begun = std::time::Instant::now();
        let wanted = self.steps.step(event).await;
        let took = begun.elapsed();
        if took > SLOW_STEP {
            tracing::warn!(ms = millis(took), "a plugin's step took long: it should only compute");
        }
        wanted.map_err(end_of)
    }

    async fn request(&mut self, request: Request) -> Result<Event, SessionEnd> {
        let number = self.records.len();
        if number == MAX_REQUESTS {
            return Err(over(format!("more than {MAX_REQUESTS} requests")));
        }
        let granted = self.grant.check(&request).map_err(|refusal| SessionEnd::ProtocolError(refusal.to_string()))?;
        let mut record = RequestRecord {
            of: self.of.map(|depth| request.of.unwrap_or(depth)),
            to: request.to.clone(),
            method: request.method.as_str().into(),
            path: super::cut(&request.path),
            status: None,
            outcome: Outcome::Deadline,
            at: None,
            ms: 0,
            bytes: 0,
            text: None,
        };
        self.begin(request.note, || format!("{} {}", record.method, record.path));
        let mut response = Response {
            request: u32::try_from(number).unwrap_or(u32::MAX),
            ms: 0,
            outcome: Outcome::Deadline,
            at: None,
            status: None,
            headers: Default::default(),
            body: None,
            utf8: None,
            text: None,
        };
        if Instant::now() >= self.until {
            self.deadlines += 1;
            if self.deadlines > MAX_DEADLINES {
                return Err(SessionEnd::Overrun(format!("still asking after {MAX_DEADLINES} answers of deadline")));
            }
            self.records.push(record);
            return Ok(Event::Response(response));
        }
        let timeout = Instant::now() + Duration::from_millis(request.timeout_ms.min(millis(super::LONGEST_REPAIR)));
        let call = Call {
            method: request.method,
            to: granted.to,
            path: granted.path,
            headers: granted.headers,
            body: request.body,
            until: timeout.min(self.until),
            max_bytes: granted.max_bytes,
            stream: request.stream,
            auth: true,
        };
        let asked = self.answers.as_ref().and_then(|answers| answers.get(&call));
        let answer = match asked {
            Some(answer) => answer,
            None => {
                let (answer, stream) = self.client.call(&call).await;
                self.stream = stream;
                if let Some(answers) = &self.answers {
                    answers.keep(&call, &answer);
                }
                answer
            }
        };
        record.status = answer.status;
        record.outcome = answer.outcome;
        record.at = answer.at;
        record.ms = answer.ms;
        record.bytes = answer.bytes;
        record.text = answer.text.clone();
        self.records.push(record);
        response.ms = answer.ms;
        response.outcome = answer.outcome;
        response.at = answer.at;
        response.status = answer.status;
        response.headers = answer.headers;
        response.utf8 = answer.body.as_ref().map(|body| body.utf8);
        response.body = answer.body.map(|body| body.text);
        response.text = answer.text;
        Ok(Event::Response(response))
    }

    async fn read(&mut self) -> Result<Event, SessionEnd> {
        let Some(stream) = &mut self.stream else {
            return Err(SessionEnd::ProtocolError("read, but no stream is open".into()));
        };
        let next = if self.lines == MAX_LINES {
            // How many lines a server sends is not the plugin's fault.
            let text = Some(format!("more than {MAX_LINES} lines in one session"));
            Line::End { ms: stream.ms(), outcome: Outcome::TooLarge, at: Some(At::Body), text }
        } else {
            stream.next().await
        };
        Ok(match next {
            Line::Line { ms, line } => {
                self.lines += 1;
                Event::Line(LineEvent { ms, line })
            }
            Line::End { ms, outcome, at, text } => {
                self.close_stream();
                if let Some(record) = self.records.last_mut() {
                    record.outcome = outcome;
                    record.at = at;
                    record.text = text.or(record.text.take());
                }
                Event::End(End { ms, outcome, at })
            }
        })
    }

    async fn wait(&mut self, ms: u64, note: Option<String>) -> Result<Event, SessionEnd> {
        self.waits += 1;
        if self.waits > MAX_WAITS {
            return Err(over(format!("more than {MAX_WAITS} waits")));
        }
        if ms < SHORTEST_WAIT_MS {
            return Err(over(format!("a wait of {ms} ms, the shortest is {SHORTEST_WAIT_MS}")));
        }
        self.begin(note, || format!("wait {ms} ms"));
        let begun = Instant::now();
        // A wait for longer than any session is a wait for the deadline.
        let end = begun + Duration::from_millis(ms.min(millis(super::LONGEST_REPAIR)));
        sleep_until(end.min(self.until)).await;
        Ok(Event::Waited(Waited { ms: millis(begun.elapsed()) }))
    }

    /// Remembers and traces what the session does now.
    fn begin(&mut self, note: Option<String>, words: impl FnOnce() -> String) {
        let words = match note {
            Some(note) => format!("{} ({})", words(), super::cut(&note)),
            None => words(),
        };
        tracing::debug!(step = words, "session");
        self.reached = Some(words);
    }

    /// Closes a stream that is open: the connection ends, and its record gets what was read of it.
    fn close_stream(&mut self) {
        if let (Some(stream), Some(record)) = (self.stream.take(), self.records.last_mut()) {
            record.ms = stream.ms();
            record.bytes = stream.bytes();
        }
    }
}

fn over(limit: String) -> SessionEnd {
    SessionEnd::ProtocolError(format!("over a limit: {limit}"))
}

pub(super) fn end_of(error: StepError) -> SessionEnd {
    match error {
        StepError::Plugin(text) => SessionEnd::PluginError(super::cut(&text)),
        StepError::Panic(text) => SessionEnd::PluginError(format!("panicked: {}", super::cut(&text))),
        StepError::Protocol(text) => SessionEnd::ProtocolError(super::cut(&text)),
        StepError::Crashed(text) => SessionEnd::Crashed(super::cut(&text)),
        StepError::Overrun(text) => SessionEnd::Overrun(super::cut(&text)),
        // As any other look that the host could not do.
        StepError::NotStarted(text) => {
            tracing::warn!(why = text, "a plugin was not asked, for the system gave no process for it");
            SessionEnd::Cancelled
        }
    }
}
