//! One session against the kit's backend, from `start` to its end, with all that was said.

use std::time::Duration;

use serde_json::Value;

use super::{
    drive::Live,
    world::{Twist, When, World},
};
use crate::{
    effect::{Effect, Request},
    event::{Event, Outcome, Response, SessionKind, Start, Waited},
    manifest::Manifest,
    recording::{Header, RECORDING, Recording, Said},
    table::{AimPlugin, CONTRACT},
};

/// Where the kit stops asking on: beyond the host's limits, so that who passes them is seen.
const REQUESTS_STOP: u32 = 66;
const WAITS_STOP: u32 = 258;
const STEPS_STOP: usize = 25_000;
/// The longest that a step may take.
pub(super) const STEP_MAX: Duration = Duration::from_secs(1);

/// A session that was played.
pub(super) struct Play {
    /// In words: what was played.
    pub told: String,
    pub start: Start,
    pub twist: Twist,
    pub when: When,
    pub steps: Vec<Exchange>,
    pub end: End,
}

/// An event, and what came.
pub(super) struct Exchange {
    pub event: Event,
    pub text: String,
    /// What was written, whatever it was.
    pub said: Vec<u8>,
    /// What could be read of it.
    pub effect: Option<Effect>,
    pub took: Duration,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum End {
    Report(Value),
    /// `error`, `panic` or `protocol`, and the words.
    Failed(&'static str, String),
    /// It never came to an end.
    Endless(String),
}

/// A session with the manifest of its plugin: what rules look at.
pub(super) struct Scene<'a> {
    pub manifest: &'a Manifest,
    pub play: &'a Play,
}

impl Play {
    /// The requests, each with its answer if it got one.
    pub(super) fn requests(&self) -> impl Iterator<Item = (&Request, Option<&Response>)> {
        self.steps.iter().enumerate().filter_map(|(i, step)| {
            let Some(Effect::Request(request)) = &step.effect else { return None };
            let answer = match self.steps.get(i + 1).map(|next| &next.event) {
                Some(Event::Response(response)) => Some(response),
                _ => None,
            };
            Some((request, answer))
        })
    }

    /// The requests that were answered well, each with its number and the texts of its answer: a body, or lines.
    pub(super) fn good_answers(&self) -> Vec<(u32, &Request, Vec<&str>)> {
        let mut answers: Vec<(u32, &Request, Vec<&str>)> = Vec::new();
        let mut asked = None;
        let mut is_open = false;
        for step in &self.steps {
            match &step.event {
                Event::Response(response) => {
                    is_open = response.outcome == Outcome::Ok;
                    let request = asked.take().filter(|_| is_open);
                    let texts = response.body.as_deref().into_iter().collect();
                    answers.extend(request.map(|request| (response.request, request, texts)));
                }
                Event::Line(line) if is_open => {
                    if let Some((_, _, texts)) = answers.last_mut() {
                        texts.push(&line.line);
                    }
                }
                _ => {}
            }
            if let Some(Effect::Request(request)) = &step.effect {
                asked = Some(request);
            }
        }
        answers
    }

    /// Whether an answer with a status of 2xx came.
    pub(super) fn something_answered(&self) -> bool {
        self.requests().any(|(_, answer)| answer.is_some_and(|a| a.status.is_some_and(|s| (200..300).contains(&s))))
    }

    pub(super) fn slowest(&self) -> Duration {
        self.steps.iter().map(|step| step.took).max().unwrap_or_default()
    }

    pub(super) fn is_probe(&self) -> bool {
        matches!(self.start.session, SessionKind::Probe { .. })
    }

    pub(super) fn is_inference(&self) -> bool {
        matches!(&self.start.session, SessionKind::Probe { inference: Some(_), .. })
    }

    pub(super) fn report(&self) -> Option<&Value> {
        match &self.end {
            End::Report(report) => Some(report),
            _ => None,
        }
    }

    /// The effects as they were written.
    pub(super) fn written(&self) -> Vec<&[u8]> {
        self.steps.iter().map(|step| step.said.as_slice()).collect()
    }

    /// As a file to replay.
    pub(super) fn recording(&self, manifest: &Manifest) -> Recording {
        recording(&self.steps, &self.end, manifest, &self.told)
    }
}

fn recording(steps: &[Exchange], end: &End, manifest: &Manifest, shows: &str) -> Recording {
    let header = Header {
        recording: RECORDING,
        plugin: manifest.id.clone(),
        version: manifest.version.clone(),
        contract: CONTRACT.into(),
        backend: String::new(),
        shows: shows.into(),
        source: "the conformance kit".into(),
    };
    let last = steps.len().saturating_sub(1);
    let steps = steps.iter().enumerate().map(|(i, step)| {
        let said = match end {
            End::Failed(how, text) if i == last => Said::Failed { how: (*how).into(), text: text.clone() },
            _ => Said::Effect(String::from_utf8_lossy(&step.said).into_owned()),
        };
        crate::recording::Step { event: step.text.clone(), said }
    });
    Recording { header: Some(header), steps: steps.collect() }
}

/// Plays a session. `edit` has the last word on each event's text.
pub(super) fn play(
    table: &'static AimPlugin,
    start: &Start,
    base: &str,
    world: &mut World<'_>,
    edit: &mut dyn FnMut(String) -> String,
) -> Play {
    let mut steps = Vec::new();
    let end = match Live::new(table) {
        Ok(mut live) => run(&mut live, start, world, edit, &mut steps),
        Err(why) => End::Failed("error", why),
    };
    let told = world.told().map_or_else(|| base.to_owned(), |wrong| format!("{base}; {wrong}"));
    Play { told, start: start.clone(), twist: world.twist, when: world.when, steps, end }
}

fn run(
    live: &mut Live,
    start: &Start,
    world: &mut World<'_>,
    edit: &mut dyn FnMut(String) -> String,
    steps: &mut Vec<Exchange>,
) -> End {
    let mut event = Event::Start(start.clone());
    let (mut requests, mut waits) = (0, 0);
    let mut lines = std::collections::VecDeque::new();
    let mut is_over = false;
    loop {
        let text = edit(serde_json::to_string(&event).unwrap_or_default());
        let stepped = live.step(&text);
        let bad = stepped.ended_badly();
        let effect = serde_json::from_slice::<Effect>(&stepped.out.bytes);
        let wants = effect.as_ref().ok().cloned();
        steps.push(Exchange { event, text, said: stepped.out.bytes, effect: wants, took: stepped.took });
        if let Some((how, text)) = bad {
            return End::Failed(how, text);
        }
        if steps.len() > STEPS_STOP {
            return End::Endless(format!("more than {STEPS_STOP} steps"));
        }
        let effect = match effect {
            Ok(effect) => effect,
            Err(error) => return End::Failed("protocol", format!("the effect cannot be read: {error}")),
        };
        if !matches!(effect, Effect::Read) {
            lines.clear();
        }
        event = match effect {
            Effect::Report { report } => return End::Report(report),
            Effect::Request(request) => {
                if requests == REQUESTS_STOP {
                    return End::Endless(format!("{requests} requests"));
                }
                let mut answer = world.answer(requests, &request);
                requests += 1;
                is_over |= answer.response.outcome == Outcome::Deadline;
                lines = answer.lines.drain(..).map(Event::Line).collect();
                lines.extend(answer.end.map(Event::End));
                Event::Response(answer.response)
            }
            Effect::Read => match lines.pop_front() {
                Some(event) => event,
                None => return End::Failed("protocol", "it reads, and no stream is open".into()),
            },
            Effect::Wait { ms, .. } => {
                waits += 1;
                if waits == WAITS_STOP {
                    return End::Endless(format!("{waits} waits"));
                }
                // A wait ends early where the session's time is up.
                Event::Waited(Waited { ms: if is_over { 0 } else { ms } })
            }
        };
    }
}

/// Enough of a text for a message.
pub(super) fn short(text: &str) -> String {
    let mut letters = text.chars();
    let short: String = letters.by_ref().take(300).collect();
    if letters.next().is_some() { short + "…" } else { short }
}
