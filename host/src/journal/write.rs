//! The writes that must not be lost: one value each, so that one that fails can be kept and tried again.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::record::{IncidentId, IncidentRow, NonDecision, Record, SourceFile, Spent, StartedProcess};
use crate::health::signals::ProcessId;

#[derive(Debug, Clone)]
pub enum Write {
    Open { row: IncidentRow, at: Timestamp, first: String, sources: Vec<SourceFile> },
    Append { id: IncidentId, seq: i64, at: Timestamp, body: String, closes: Option<Closing> },
    NonDecision(NonDecision),
    Started(StartedProcess),
    ForgetStarted { target: String, process: ProcessId },
    Seen { target: String, process: ProcessId, boot: String, at: Timestamp },
    Ready { target: String, at: Timestamp },
    Spent { target: String, spent: Spent },
}

/// What an `ended` record does to its incident's row.
#[derive(Debug, Clone)]
pub struct Closing {
    pub ended: super::record::Ended,
    pub by: Option<String>,
    pub reason: String,
}

impl Closing {
    pub fn of(record: &Record) -> Option<Closing> {
        match record {
            Record::Ended { ended, reason, by } => {
                Some(Closing { ended: *ended, by: by.clone(), reason: reason.clone() })
            }
            _ => None,
        }
    }

    pub fn close(&self, row: &mut IncidentRow, at: Timestamp) {
        row.closed = Some(at);
        row.ended = Some(self.ended);
        row.by = self.by.clone();
        row.reason = Some(self.reason.clone());
    }
}

/// Nanoseconds since 1970; fits until 2262.
pub fn nanos(at: Timestamp) -> i64 {
    at.as_nanosecond().clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// The word that serde writes for a value of a plain enum.
pub fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

impl Write {
    /// For messages: what this is.
    pub fn what(&self) -> String {
        match self {
            Write::Open { row, .. } => format!("the opening of incident #{}", row.id),
            Write::Append { id, seq, .. } => format!("record {seq} of incident #{id}"),
            Write::NonDecision(n) => format!("why no incident was opened for {:?}", n.target),
            Write::Started(p) => format!("that process {} was started for {:?}", p.process, p.target),
            Write::ForgetStarted { target, process } => format!("that process {process} of {target:?} is gone"),
            Write::Seen { target, process, .. } => format!("that process {process} belongs to {target:?}"),
            Write::Ready { target, .. } => format!("that {target:?} was ready"),
            Write::Spent { target, spent } => format!("that {} of {target:?} counts", spent.act),
        }
    }

    /// Does it in a transaction: all or nothing.
    pub fn apply(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let t = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        match self {
            Write::Open { row, at, first, sources } => {
                t.prepare_cached("INSERT INTO incident (id, target, class, opened) VALUES (?, ?, ?, ?)")?
                    .execute(params![row.id, row.target, row.class.as_str(), nanos(row.opened)])?;
                for s in sources {
                    t.prepare_cached("INSERT OR IGNORE INTO source (hash, name, text) VALUES (?, ?, ?)")?
                        .execute(params![s.hash, s.name, s.text])?;
                }
                append(&t, row.id, 0, *at, first)?;
            }
            Write::Append { id, seq, at, body, closes } => {
                append(&t, *id, *seq, *at, body)?;
                if let Some(c) = closes {
                    t.prepare_cached("UPDATE incident SET closed = ?, ended = ?, by = ?, reason = ? WHERE id = ?")?
                        .execute(params![nanos(*at), c.ended.as_str(), c.by, c.reason, id])?;
                }
            }
            Write::NonDecision(n) => {
                let class = n.class.map(|c| c.as_str());
                t.prepare_cached("INSERT INTO non_decision (target, at, class, why, text) VALUES (?, ?, ?, ?, ?)")?
                    .execute(params![n.target, nanos(n.at), class, n.why, n.text])?;
            }
            Write::Started(p) => {
                let command = serde_json::to_string(&p.command).unwrap_or_default();
                t.prepare_cached(
                    "INSERT OR REPLACE INTO started (target, pid, start, boot, command, at) VALUES (?, ?, ?, ?, ?, ?)",
                )?
                .execute(params![
                    p.target,
                    p.process.pid,
                    p.process.start as i64,
                    p.boot,
                    command,
                    nanos(p.at)
                ])?;
            }
            Write::ForgetStarted { target, process } => {
                t.prepare_cached("DELETE FROM started WHERE target = ? AND pid = ? AND start = ?")?
                    .execute(params![target, process.pid, process.start as i64])?;
            }
            Write::Seen { target, process, boot, at } => {
                // Numbers of an earlier boot say nothing about today's processes.
                t.prepare_cached("DELETE FROM seen WHERE target = ? AND boot <> ?")?.execute(params![target, boot])?;
                t.prepare_cached("INSERT OR REPLACE INTO seen (target, pid, start, boot, at) VALUES (?, ?, ?, ?, ?)")?
                    .execute(params![target, process.pid, process.start as i64, boot, nanos(*at)])?;
            }
            Write::Ready { target, at } => {
                t.prepare_cached("INSERT OR REPLACE INTO ready (target, at) VALUES (?, ?)")?
                    .execute(params![target, nanos(*at)])?;
            }
            Write::Spent { target, spent } => {
                let took = i64::try_from(spent.took.as_nanos()).unwrap_or(i64::MAX);
                t.prepare_cached("INSERT INTO spent (target, at, act, budget, took) VALUES (?, ?, ?, ?, ?)")?
                    .execute(params![target, nanos(spent.at), spent.act, word(&spent.budget), took])?;
            }
        }
        t.commit()
    }
}

fn append(t: &Connection, id: IncidentId, seq: i64, at: Timestamp, body: &str) -> rusqlite::Result<()> {
    t.prepare_cached("INSERT INTO record (incident, seq, at, body) VALUES (?, ?, ?, ?)")?.execute(params![
        id,
        seq,
        nanos(at),
        body
    ])?;
    Ok(())
}
