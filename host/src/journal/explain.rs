//! The story of an incident: what was seen, decided, done and not done, and what was measured after.

use std::{fmt::Write, time::Duration};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::{
    Journal,
    record::{Ended, Entry, IncidentId, IncidentRow, NonDecision, Record},
};
use crate::{
    health::fault::Fault,
    incident::act::{ActCall, Outcome},
};

/// One line of a story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoryLine {
    pub at: Timestamp,
    /// A fault class, an act with its arguments, how it ended, or a small word such as `guard`. Empty: it belongs to
    /// the line above.
    pub kind: String,
    pub text: String,
    /// Where the policy says so: `default.lua:38`; of the first line, which policy it is.
    pub line: Option<String>,
}

/// The story in order: an act and its outcome are one line, what happened in between stands below it. Times in texts
/// are of `zone`.
pub fn story(entries: &[Entry], row: &IncidentRow, zone: &TimeZone) -> Vec<StoryLine> {
    let mut teller = Teller { lines: Vec::new(), act: None, would_have: Vec::new(), zone };
    for entry in entries {
        teller.tell(entry);
    }
    if entries.is_empty() {
        teller.add(row.opened, row.class.as_str(), "its records are not in the journal", None);
    }
    let last = entries.last().map_or(row.opened, |e| e.at);
    for text in std::mem::take(&mut teller.would_have) {
        teller.add(last, "next", &format!("would have been: {text}"), None);
    }
    if row.closed.is_none() {
        teller.add(last, "open", "it is not over", None);
    }
    teller.lines
}

/// The whole story as text: a head line, what was not done before it, and the story in columns.
pub fn text(entries: &[Entry], row: &IncidentRow, before: &[NonDecision], zone: &TimeZone) -> String {
    let mut out = head(row, zone);
    if !before.is_empty() {
        out.push_str("\nBefore it, no incident was opened:\n");
        let mut before: Vec<&NonDecision> = before.iter().collect();
        before.sort_by_key(|n| n.at);
        let lines: Vec<StoryLine> = before
            .into_iter()
            .map(|n| {
                let class = n.class.map_or("", |c| c.as_str());
                let text = if n.text.is_empty() { n.why.clone() } else { format!("{}: {}", n.why, n.text) };
                StoryLine { at: n.at, kind: class.into(), text, line: None }
            })
            .collect();
        columns(&mut out, &lines, zone);
    }
    out.push('\n');
    columns(&mut out, &story(entries, row, zone), zone);
    out
}

fn head(row: &IncidentRow, zone: &TimeZone) -> String {
    let opened = row.opened.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z");
    let how = match (row.ended, row.closed) {
        (Some(ended), Some(closed)) => {
            let by = row.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
            let took = Duration::try_from(closed.duration_since(row.opened)).unwrap_or_default();
            format!("{}{by} after {}", spoken(ended), seconds(took))
        }
        _ => "not over".into(),
    };
    format!("Incident #{}: {}, {}. Opened {opened}, {how}.\n", row.id, row.target, row.class)
}

/// Text in columns; a name is repeated on no line that belongs to the one above.
fn columns(out: &mut String, lines: &[StoryLine], zone: &TimeZone) {
    let kinds = lines.iter().map(|l| l.kind.chars().count()).max().unwrap_or(0).clamp(12, 40);
    let texts = lines.iter().filter(|l| l.line.is_some()).map(|l| l.text.chars().count()).max().unwrap_or(0).min(90);
    for line in lines {
        let time = line.at.to_zoned_datetime(zone.clone()).strftime("%H:%M:%S").to_string();
        let text = plain(&line.text);
        let _ = match &line.line {
            Some(place) => writeln!(out, "{time}  {:<kinds$}  {text:<texts$}  {}", plain(&line.kind), plain(place)),
            None => writeln!(out, "{time}  {:<kinds$}  {text}", plain(&line.kind)),
        };
    }
}

/// A backend's words reach a terminal: no control characters.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

struct Teller<'a> {
    lines: Vec<StoryLine>,
    /// The line of the act that has no outcome yet, or the last one that has none of the look after it.
    act: Option<usize>,
    would_have: Vec<String>,
    zone: &'a TimeZone,
}

impl Teller<'_> {
    fn add(&mut self, at: Timestamp, kind: &str, text: &str, line: Option<String>) {
        self.lines.push(StoryLine { at, kind: kind.into(), text: text.into(), line });
    }

    fn tell(&mut self, entry: &Entry) {
        let at = entry.at;
        match &entry.record {
            Record::Opened { fault, policy, sources, debug, by_person, .. } => {
                let hash = sources.iter().find(|(name, _)| name.trim_end_matches(".lua") == policy);
                let hash =
                    hash.map(|(_, h)| format!(", {}", h.chars().take(4).collect::<String>())).unwrap_or_default();
                self.fault(at, fault, Some(format!("policy {policy}{hash}")));
                if *by_person {
                    self.add(at, "", "a person asked for this heal", None);
                }
                if *debug {
                    self.add(at, "", "debug mode is on", None);
                }
            }
            Record::Ladder { class, file, why } => {
                self.add(at, "ladder", &format!("{class}: {why}"), Some(file.clone()))
            }
            Record::Asked { call, .. } => self.asked(at, call),
            Record::Guard { guard, did, text } => {
                let text = if text.is_empty() { did.clone() } else { format!("{did}: {text}") };
                self.add(at, "", &format!("guard {guard} {text}"), None);
            }
            Record::Intent { touches, text, .. } => {
                let pids: Vec<String> = touches.iter().map(ToString::to_string).collect();
                let whom = if pids.is_empty() { String::new() } else { format!(" (process {})", pids.join(", ")) };
                self.add(at, "", &format!("about to: {text}{whom}"), None);
            }
            Record::Phase { text, started } => {
                let whom = started.map(|p| format!(" (process {p})")).unwrap_or_default();
                self.add(at, "", &format!("{text}{whom}"), None);
            }
            Record::Acted { act, outcome } => self.acted(at, act, outcome),
            Record::Looked { text, fault } => self.looked(at, text, fault.as_ref()),
            Record::ClassChanged { from, fault } => {
                self.fault(at, fault, None);
                self.add(at, "", &format!("it was {from} before; the ladder of {} begins", fault.class), None);
            }
            Record::Log { text, line } => self.add(at, "log", text, Some(line.clone())),
            Record::PolicyFailed { policy, error } => {
                let next = if policy == "default" { "" } else { "; the shipped default goes on" };
                self.add(at, "policy failed", &format!("{policy}: {error}{next}"), None);
            }
            Record::Notified { level, text } => self.add(at, "told", &format!("{level}: {text}"), None),
            Record::WouldHave { text } => self.would_have.push(text.clone()),
            Record::Ended { ended, reason, by } => self.ended(at, *ended, reason, by.as_deref()),
        }
    }

    fn fault(&mut self, at: Timestamp, fault: &Fault, line: Option<String>) {
        let evidence = &fault.evidence;
        let mut seen = evidence.lines.iter().map(|l| format!("{}: {}", l.from, l.text));
        let first = seen.next().unwrap_or_else(|| "no evidence was kept".into());
        self.add(at, fault.class.as_str(), &first, line);
        for more in seen {
            self.add(at, "", &more, None);
        }
        let since = evidence.since.to_zoned_datetime(self.zone.clone()).strftime("%H:%M:%S").to_string();
        let times = if evidence.failures == 1 { "once".into() } else { format!("{} times", evidence.failures) };
        let mut sums = format!("seen {times} since {since}, at the depth {}", evidence.depth);
        if let Some(model) = &fault.model {
            let _ = write!(sums, ", model {model}");
        }
        if !evidence.also.is_empty() {
            let also: Vec<&str> = evidence.also.iter().map(|c| c.as_str()).collect();
            let _ = write!(sums, "; also {}", also.join(", "));
        }
        self.add(at, "", &sums, None);
    }

    fn asked(&mut self, at: Timestamp, call: &ActCall) {
        self.act = Some(self.lines.len());
        self.add(at, &call.sentence(), "under way", Some(call.line.clone()));
        if let Some(because) = &call.because {
            self.add(at, "", &format!("because {because}"), None);
        }
    }

    fn acted(&mut self, at: Timestamp, act: &str, outcome: &Outcome) {
        let mut said = outcome.result.clone();
        if let Some(by) = &outcome.by {
            let _ = write!(said, " by {by}");
        }
        if let Some(step) = outcome.step.as_ref().filter(|_| !outcome.ok()) {
            let _ = write!(said, " at {step}");
        }
        if outcome.took >= Duration::from_millis(1) {
            let _ = write!(said, " after {}", seconds(outcome.took));
        }
        if !outcome.detail.is_empty() {
            let _ = write!(said, ": {}", outcome.detail);
        }
        match self.act.and_then(|i| self.lines.get_mut(i)) {
            Some(line) => line.text = said,
            None => {
                self.act = Some(self.lines.len());
                self.add(at, act, &said, None);
            }
        }
    }

    fn looked(&mut self, at: Timestamp, text: &str, fault: Option<&Fault>) {
        let still = fault.map(|f| format!(", still {}", f.class)).unwrap_or_default();
        match self.act.take().and_then(|i| self.lines.get_mut(i)) {
            Some(line) => _ = write!(line.text, "; looked again: {text}{still}"),
            None => self.add(at, "looked", &format!("{text}{still}"), None),
        }
    }

    fn ended(&mut self, at: Timestamp, ended: Ended, reason: &str, by: Option<&str>) {
        let mut parts: Vec<String> = by.map(|by| format!("by {by}")).into_iter().collect();
        if !reason.is_empty() {
            parts.push(reason.into());
        }
        for text in std::mem::take(&mut self.would_have) {
            parts.push(format!("next would have been: {text}"));
        }
        self.add(at, &spoken(ended), &parts.join("; "), None);
        self.act = None;
    }
}

/// `gave up`
fn spoken(ended: Ended) -> String {
    ended.as_str().replace('_', " ")
}

/// `0.4 s`, `20 s`, `3 min 5 s`
fn seconds(d: Duration) -> String {
    match d.as_secs() {
        0..10 => {
            let tenths = (d.as_millis() + 50) / 100;
            match (tenths / 10, tenths % 10) {
                (0, 0) => format!("{} ms", d.as_millis()),
                (s, 0) => format!("{s} s"),
                (s, t) => format!("{s}.{t} s"),
            }
        }
        s @ 10..120 => format!("{s} s"),
        s if s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{} min {} s", s / 60, s % 60),
    }
}

impl Journal {
    /// The whole story of an incident as text, in the machine's zone; `None`: there is no such incident.
    pub fn explain(&self, id: IncidentId) -> Option<String> {
        let row = self.incident(id).ok().flatten()?;
        // What came before an earlier incident belongs to that one's story.
        let earlier = self.incidents(Some(&row.target), EARLIER).unwrap_or_default();
        let earlier = earlier.iter().filter(|e| e.id < row.id).map(|e| e.closed.unwrap_or(e.opened)).max();
        let since = earlier.unwrap_or(Timestamp::MIN).max(row.opened - BEFORE);
        let mut before = self.non_decisions(&row.target, since, MOST_ASKED);
        before.retain(|n| n.at <= row.opened);
        before.truncate(MOST_BEFORE);
        Some(text(&self.entries(id), &row, &before, &TimeZone::system()))
    }
}

/// What was not done so long before an incident belongs to its story.
const BEFORE: SignedDuration = SignedDuration::from_mins(10);
const MOST_BEFORE: usize = 10;
/// Newer ones are asked for with them, and left out.
const MOST_ASKED: usize = 500;
const EARLIER: usize = 500;

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::{
        health::{
            fault::{Evidence, EvidenceLine, FaultClass},
            signals::ProcessId,
        },
        journal::record::IncidentRow,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_950_000 + second).unwrap()
    }

    fn stalled() -> Fault {
        let line = |from: &str, text: &str| EvidenceLine { from: from.into(), text: text.into() };
        Fault {
            class: FaultClass::Stalled,
            model: Some("tiny:latest".into()),
            evidence: Evidence {
                since: at(-41),
                failures: 2,
                depth: ai_monitor_plugin_api::event::Depth::Progress,
                also: vec![FaultClass::Erring],
                symptoms: Vec::new(),
                lines: vec![
                    line("progress", "GET /slots on the runner: timeout, no headers, 2000 ms"),
                    line("cpu", "flat for 41 s"),
                ],
                facts: Map::new(),
            },
        }
    }

    fn call(act: &str, args: Value, line: u32, because: Option<&str>) -> Record {
        Record::Asked {
            call: ActCall {
                act: act.into(),
                args: args.as_object().cloned().unwrap_or_default(),
                because: because.map(str::to_owned),
                ask: false,
                line: format!("default.lua:{line}"),
            },
            incident: json!({}),
        }
    }

    fn outcome(act: &str, result: &str, took: u64, detail: &str) -> Record {
        Record::Acted {
            act: act.into(),
            outcome: Outcome { took: Duration::from_millis(took), ..Outcome::new(result, detail) },
        }
    }

    fn entries(records: Vec<(i64, Record)>) -> Vec<Entry> {
        let entry = |(seq, (second, record))| Entry { seq: seq as i64, incident: 17, at: at(second), record };
        records.into_iter().enumerate().map(entry).collect()
    }

    fn row(ended: Option<(i64, Ended, Option<&str>)>) -> IncidentRow {
        IncidentRow {
            id: 17,
            target: "ollama".into(),
            class: FaultClass::Stalled,
            opened: at(1),
            closed: ended.map(|(second, ..)| at(second)),
            ended: ended.map(|(_, ended, _)| ended),
            by: ended.and_then(|(_, _, by)| by.map(str::to_owned)),
            reason: None,
        }
    }

    fn opened() -> Record {
        Record::Opened {
            fault: stalled(),
            policy: "default".into(),
            sources: vec![("default.lua".into(), "a41f0cce".into())],
            settings: json!({}),
            incident: json!({}),
            boot: "b".into(),
            debug: false,
            by_person: false,
        }
    }

    #[test]
    fn a_heal_from_the_first_sign_to_its_verified_end() {
        let refused = Outcome::refused("budget", "3 starts in 10 min");
        let records = vec![
            (1, opened()),
            (1, Record::Ladder { class: "stalled".into(), file: "default.lua".into(), why: "its own".into() }),
            (1, call("cancel", json!({}), 38, None)),
            (1, outcome("cancel", "nothing", 0, "no request of ours")),
            (2, call("reload", json!({}), 39, Some("a model may hang alone"))),
            (
                2,
                Record::Intent {
                    act: "reload".into(),
                    touches: vec![ProcessId { pid: 4711, start: 9 }],
                    text: "unload tiny".into(),
                },
            ),
            (22, outcome("reload", "still_loaded", 20_000, "listed, and runner 4711 lives")),
            (22, Record::Looked { text: "timeout".into(), fault: Some(stalled()) }),
            (22, call("restart", json!({"grace": 5}), 40, None)),
            (22, Record::Acted { act: "restart".into(), outcome: refused }),
            (22, call("end_runner", json!({}), 41, None)),
            (22, Record::Guard { guard: "progress".into(), did: "waited".into(), text: "a quiet moment, 1 s".into() }),
            (24, outcome("end_runner", "done", 400, "4711 is gone")),
            (24, Record::Looked { text: "8 tokens in 0.4 s".into(), fault: None }),
            (24, Record::WouldHave { text: "restart, then the debug part".into() }),
            (24, Record::Ended { ended: Ended::Healed, reason: String::new(), by: Some("end_runner".into()) }),
        ];
        let before = [NonDecision {
            target: "ollama".into(),
            at: at(-40),
            class: Some(FaultClass::Stalled),
            why: "one failure only".into(),
            text: "asked again at once".into(),
        }];
        let row = row(Some((24, Ended::Healed, Some("end_runner"))));
        insta::assert_snapshot!(text(&entries(records), &row, &before, &TimeZone::UTC));
    }

    #[test]
    fn an_incident_that_is_not_over_says_what_is_under_way() {
        let records = vec![(1, opened()), (2, call("restart", json!({}), 40, None))];
        let lines = story(&entries(records), &row(None), &TimeZone::UTC);
        let act = lines.iter().find(|l| l.kind == "restart").unwrap();
        assert_eq!((act.text.as_str(), act.line.as_deref()), ("under way", Some("default.lua:40")));
        assert_eq!(lines.last().unwrap().kind, "open");
    }

    #[test]
    fn a_look_counts_to_its_own_act_alone() {
        let records = vec![
            (1, opened()),
            (2, call("cancel", json!({}), 1, None)),
            (2, outcome("cancel", "nothing", 0, "")),
            (3, Record::Looked { text: "timeout".into(), fault: Some(stalled()) }),
            (9, Record::Looked { text: "ok".into(), fault: None }),
            (9, Record::Ended { ended: Ended::Recovered, reason: "it answers".into(), by: None }),
        ];
        let lines = story(&entries(records), &row(Some((9, Ended::Recovered, None))), &TimeZone::UTC);
        let texts: Vec<(&str, &str)> = lines.iter().rev().take(3).map(|l| (l.kind.as_str(), l.text.as_str())).collect();
        assert_eq!(texts[2], ("cancel", "nothing; looked again: timeout, still stalled"));
        assert_eq!(texts[1], ("looked", "ok"));
        assert_eq!(texts[0], ("recovered", "it answers"));
    }

    #[test]
    fn a_backends_words_cannot_write_to_the_terminal() {
        let mut records = entries(vec![(1, opened())]);
        records.push(Entry {
            seq: 1,
            incident: 17,
            at: at(2),
            record: Record::Log { text: "\u{1b}[2Jgone\nnext".into(), line: "a.lua:1".into() },
        });
        let text = text(&records, &row(None), &[], &TimeZone::UTC);
        assert!(text.contains(" [2Jgone next"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn durations_are_spoken_short() {
        for (ms, said) in
            [(40, "40 ms"), (400, "0.4 s"), (999, "1 s"), (9_960, "10 s"), (20_000, "20 s"), (125_000, "2 min 5 s")]
        {
            assert_eq!(seconds(Duration::from_millis(ms)), said);
        }
    }
}
