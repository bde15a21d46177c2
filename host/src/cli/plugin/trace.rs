//! The steps of one session in readable lines, and as a session file.

use std::sync::{Arc, Mutex, PoisonError};

use ai_monitor_plugin_api::{
    effect::Effect,
    event::{Event, SessionKind},
    recording::{Recording, Said},
};

use crate::{
    plugin::{self, PluginSession, StepError, Wanted},
    probe::session::Steps,
};

/// Lines of a stream that are shown one by one; more are counted.
const LINES_SHOWN: u32 = 10;

/// A session that tells what it is told and wants.
pub(super) struct Traced {
    inner: PluginSession,
    log: Arc<Mutex<Recording>>,
    quiet: bool,
    lines: u32,
}

impl Traced {
    /// `quiet`: nothing is printed.
    pub(super) fn new(inner: PluginSession, quiet: bool) -> (Traced, Arc<Mutex<Recording>>) {
        let log = Arc::new(Mutex::new(Recording::default()));
        (Traced { inner, log: log.clone(), quiet, lines: 0 }, log)
    }

    fn say(&self, line: impl FnOnce() -> String) {
        if !self.quiet {
            say!("{}", line());
        }
    }
}

impl Steps for Traced {
    async fn step(&mut self, event: &Event) -> Result<Wanted, StepError> {
        if matches!(event, Event::Line(_)) {
            self.lines += 1;
        }
        match event {
            Event::Line(_) if self.lines > LINES_SHOWN => {}
            _ => self.say(|| came(event)),
        }
        let wants = self.inner.step(event).await;
        let said = said(&wants);
        match (&wants, &said) {
            (Ok(Wanted::Read), _) => {}
            (Ok(_), Said::Effect(text)) => {
                self.say(|| serde_json::from_str(text).map_or_else(|_| text.clone(), |e| wanted(&e)))
            }
            (Err(error), _) => self.say(|| format!("→ {error}")),
            _ => {}
        }
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(event, said);
        wants
    }
}

/// What a session said, as session files have it: as the host understood it.
pub(super) fn said(wants: &Result<Wanted, StepError>) -> Said {
    let effect = match wants {
        Err(error) => return Said::Failed { how: word(error).into(), text: error.to_string() },
        Ok(Wanted::Request(request)) => Effect::Request(request.clone()),
        Ok(Wanted::Read) => Effect::Read,
        Ok(Wanted::Wait { ms, note }) => Effect::Wait { ms: *ms, note: note.clone() },
        Ok(Wanted::Report(report)) => Effect::Report {
            report: match report {
                plugin::Said::Observed(report) => serde_json::to_value(report),
                plugin::Said::Repaired(report) => serde_json::to_value(report),
            }
            .unwrap_or_default(),
        },
    };
    Said::Effect(serde_json::to_string(&effect).unwrap_or_default())
}

/// The word of a failure in session files.
fn word(error: &StepError) -> &'static str {
    match error {
        StepError::Plugin(_) => "error",
        StepError::Panic(_) => "panic",
        StepError::Protocol(_) => "protocol",
        StepError::Crashed(_) => "crashed",
        StepError::Overrun(_) => "overrun",
        StepError::NotStarted(_) => "not_started",
    }
}

/// `← 200 ok, 4 ms, 21 bytes`
fn came(event: &Event) -> String {
    match event {
        Event::Start(start) => {
            let what = match &start.session {
                SessionKind::Probe { depth, .. } => depth.to_string(),
                SessionKind::Repair { repair, .. } => format!("repair {repair}"),
            };
            let processes = match &start.processes {
                None => "processes not known".into(),
                Some(all) => format!("{} processes", all.len()),
            };
            format!("{what}, at most {} ms, {processes}", start.deadline_ms)
        }
        Event::Response(answer) => {
            let status = answer.status.map(|status| format!("{status} ")).unwrap_or_default();
            let at = answer.at.map(|at| format!(" at {}", text(&at))).unwrap_or_default();
            let bytes = answer.body.as_ref().map(|body| format!(", {} bytes", body.len())).unwrap_or_default();
            let words = answer.text.as_ref().map(|words| format!(": {words}")).unwrap_or_default();
            format!("← {status}{}{at}, {} ms{bytes}{words}", text(&answer.outcome), answer.ms)
        }
        Event::Line(line) => format!("← line, {} ms, {} bytes", line.ms, line.line.len()),
        Event::End(end) => format!("← end of the stream: {}, {} ms", text(&end.outcome), end.ms),
        Event::Waited(waited) => format!("← waited {} ms", waited.ms),
    }
}

/// `→ GET /api/version (the version)`
fn wanted(effect: &Effect) -> String {
    let noted = |note: &Option<String>| note.as_ref().map(|note| format!("   ({note})")).unwrap_or_default();
    match effect {
        Effect::Request(request) => {
            let to = if request.to == "target" { String::new() } else { format!(" to {}", request.to) };
            let body = request.body.as_ref().map(|body| format!(", body {body}")).unwrap_or_default();
            let of = request.of.map(|of| format!(" for {of}")).unwrap_or_default();
            format!(
                "→ {} {}{to}{of}, within {} ms{body}{}",
                request.method.as_str(),
                request.path,
                request.timeout_ms,
                noted(&request.note)
            )
        }
        Effect::Read => "→ read".into(),
        Effect::Wait { ms, note } => format!("→ wait {ms} ms{}", noted(note)),
        Effect::Report { .. } => "→ report".into(),
    }
}

/// The word of a closed list.
fn text(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "?".into(),
    }
}
