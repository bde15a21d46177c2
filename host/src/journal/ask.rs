//! Questions to the journal. What waits in memory to be written is part of every answer about incidents.

use std::{collections::BTreeMap, time::Duration};

use ai_monitor_plugin_api::event::Depth;
use jiff::Timestamp;
use rusqlite::{Connection, Row, params, types::Type};
use serde::de::DeserializeOwned;

use super::{
    Journal, JournalError, lock,
    record::{Entry, IncidentId, IncidentRow, NonDecision, Record, Sample, SourceFile, Spent, StartedProcess},
    write::{Write, nanos},
};
use crate::health::signals::ProcessId;

impl Journal {
    /// The newest first; `None`: of all targets.
    pub fn incidents(&self, target: Option<&str>, limit: usize) -> Result<Vec<IncidentRow>, JournalError> {
        let sql = "SELECT * FROM incident WHERE ?1 IS NULL OR target = ?1 ORDER BY id DESC LIMIT ?2";
        let mut rows = self.rows(sql, params![target, limit as i64])?;
        rows.retain(|row| target.is_none_or(|t| row.target == t));
        rows.truncate(limit);
        Ok(rows)
    }

    /// One line of the list; `None`: there is no such incident.
    pub fn incident(&self, id: IncidentId) -> Result<Option<IncidentRow>, JournalError> {
        Ok(self.rows("SELECT * FROM incident WHERE id = ?", [id])?.into_iter().find(|row| row.id == id))
    }

    pub fn newest(&self) -> Result<Option<IncidentId>, JournalError> {
        Ok(self.incidents(None, 1)?.first().map(|row| row.id))
    }

    /// All that happened in one incident, in order.
    pub fn entries(&self, id: IncidentId) -> Vec<Entry> {
        let state = lock(&self.shared.decisions);
        let sql = "SELECT seq, incident, at, body FROM record WHERE incident = ? ORDER BY seq";
        let mut entries = self.or_nothing(many(&state.store.lock(), sql, [id], entry));
        for write in &state.waiting {
            let (seq, at, body) = match write {
                Write::Open { row, at, first, .. } if row.id == id => (0, *at, first),
                Write::Append { id: of, seq, at, body, .. } if *of == id => (*seq, *at, body),
                _ => continue,
            };
            if let Ok(record) = serde_json::from_str(body) {
                entries.push(Entry { seq, incident: id, at, record });
            }
        }
        entries
    }

    /// Those without an end, the oldest first: after a start, what the last run left.
    pub fn open_incidents(&self) -> Vec<(IncidentRow, Vec<Entry>)> {
        let rows = self.rows("SELECT * FROM incident WHERE closed IS NULL ORDER BY id", []);
        let mut rows: Vec<IncidentRow> = match rows {
            Ok(rows) => rows.into_iter().filter(|row| row.closed.is_none()).collect(),
            Err(error) => {
                tracing::error!("{error}");
                Vec::new()
            }
        };
        rows.sort_by_key(|row| row.id);
        rows.into_iter().map(|row| (row.clone(), self.entries(row.id))).collect()
    }

    /// The sources with these hashes; those that are not there are left out.
    pub fn sources(&self, hashes: &[String]) -> Vec<SourceFile> {
        let state = lock(&self.shared.decisions);
        let store = state.store.lock();
        let find = |hash: &String| {
            let waiting = state.waiting.iter().find_map(|w| match w {
                Write::Open { sources, .. } => sources.iter().find(|s| s.hash == *hash).cloned(),
                _ => None,
            });
            let stored = || {
                let source = |r: &Row<'_>| Ok(SourceFile { hash: r.get(0)?, name: r.get(1)?, text: r.get(2)? });
                self.or_nothing(many(&store, "SELECT hash, name, text FROM source WHERE hash = ?", [hash], source))
                    .pop()
            };
            waiting.or_else(stored)
        };
        hashes.iter().filter_map(find).collect()
    }

    /// The newest first.
    pub fn non_decisions(&self, target: &str, since: Timestamp, limit: usize) -> Vec<NonDecision> {
        let state = lock(&self.shared.decisions);
        let sql = "SELECT target, at, class, why, text FROM non_decision
                   WHERE target = ? AND at >= ? ORDER BY at DESC, id DESC LIMIT ?";
        let read = |r: &Row<'_>| {
            let class: Option<String> = r.get(2)?;
            Ok(NonDecision {
                target: r.get(0)?,
                at: time(r, 1)?,
                class: class.map(|c| from_word(2, &c)).transpose()?,
                why: r.get(3)?,
                text: r.get(4)?,
            })
        };
        let stored = self.or_nothing(many(&state.store.lock(), sql, params![target, nanos(since), limit as i64], read));
        let waiting = state.waiting.iter().rev().filter_map(|w| match w {
            Write::NonDecision(n) if n.target == target && n.at >= since => Some(n.clone()),
            _ => None,
        });
        waiting.chain(stored).take(limit).collect()
    }

    /// Those not forgotten, of any boot.
    pub fn started_processes(&self, target: &str) -> Vec<StartedProcess> {
        let state = lock(&self.shared.decisions);
        let sql = "SELECT target, pid, start, boot, command, at FROM started WHERE target = ? ORDER BY at";
        let read = |r: &Row<'_>| {
            let command: String = r.get(4)?;
            Ok(StartedProcess {
                target: r.get(0)?,
                process: ProcessId { pid: r.get(1)?, start: r.get::<_, i64>(2)? as u64 },
                boot: r.get(3)?,
                command: serde_json::from_str(&command).unwrap_or_default(),
                at: time(r, 5)?,
            })
        };
        let mut all = self.or_nothing(many(&state.store.lock(), sql, [target], read));
        for write in &state.waiting {
            match write {
                Write::Started(p) if p.target == target => all.push(p.clone()),
                Write::ForgetStarted { target: of, process } if of == target => all.retain(|p| p.process != *process),
                _ => {}
            }
        }
        all
    }

    /// The processes once seen in this target's tree in this boot of the machine.
    pub fn seen_processes(&self, target: &str, boot: &str) -> Vec<ProcessId> {
        let state = lock(&self.shared.decisions);
        let read = |r: &Row<'_>| Ok(ProcessId { pid: r.get(0)?, start: r.get::<_, i64>(1)? as u64 });
        let sql = "SELECT pid, start FROM seen WHERE target = ? AND boot = ? ORDER BY at";
        let mut all = self.or_nothing(many(&state.store.lock(), sql, [target, boot], read));
        all.extend(state.waiting.iter().filter_map(|w| match w {
            Write::Seen { target: of, process, boot: at_boot, .. } if of == target && at_boot == boot => Some(*process),
            _ => None,
        }));
        all
    }

    /// Was this target ever ready?
    pub fn ready_before(&self, target: &str) -> bool {
        let state = lock(&self.shared.decisions);
        let waiting = state.waiting.iter().any(|w| matches!(w, Write::Ready { target: of, .. } if of == target));
        let sql = "SELECT 1 FROM ready WHERE target = ?";
        waiting || !self.or_nothing(many(&state.store.lock(), sql, [target], |_| Ok(()))).is_empty()
    }

    /// What counted against the budgets since then, the oldest first.
    pub fn spent_since(&self, target: &str, since: Timestamp) -> Vec<Spent> {
        let state = lock(&self.shared.decisions);
        let sql = "SELECT act, budget, at, took FROM spent WHERE target = ? AND at >= ? ORDER BY at, id";
        let read = |r: &Row<'_>| {
            let budget: String = r.get(1)?;
            Ok(Spent {
                act: r.get(0)?,
                budget: from_word(1, &budget)?,
                at: time(r, 2)?,
                took: Duration::from_nanos(r.get::<_, i64>(3)?.unsigned_abs()),
            })
        };
        let mut all = self.or_nothing(many(&state.store.lock(), sql, params![target, nanos(since)], read));
        all.extend(state.waiting.iter().filter_map(|w| match w {
            Write::Spent { target: of, spent } if of == target && spent.at >= since => Some(spent.clone()),
            _ => None,
        }));
        all
    }

    /// Raw samples since then, the oldest first; the newest where there are more than `limit`.
    pub fn samples(&self, target: &str, since: Timestamp, limit: usize) -> Vec<Sample> {
        let sql = "SELECT target, at, depth, ok, ms, state, text FROM sample
                   WHERE target = ? AND at >= ? ORDER BY at DESC, depth DESC LIMIT ?";
        let read = |r: &Row<'_>| {
            let depth: usize = r.get::<_, i64>(2)?.try_into().unwrap_or(usize::MAX);
            Ok(Sample {
                target: r.get(0)?,
                at: time(r, 1)?,
                depth: Depth::ALL.get(depth).copied().ok_or_else(|| bad(2, "no depth".into()))?,
                ok: r.get(3)?,
                ms: r.get::<_, Option<i64>>(4)?.map(i64::unsigned_abs),
                state: r.get(5)?,
                text: r.get(6)?,
            })
        };
        let store = lock(&self.shared.samples);
        let mut all = self.or_nothing(many(&store, sql, params![target, nanos(since), limit as i64], read));
        all.reverse();
        all
    }

    /// Rows of the query with what waits laid over them, the newest first.
    fn rows(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<IncidentRow>, JournalError> {
        let state = lock(&self.shared.decisions);
        let stored = many(&state.store.lock(), sql, params, incident).map_err(|e| JournalError::read(&e));
        // With nothing but the memory left, what it holds is the answer.
        let stored = match stored {
            Err(error) if state.waiting.is_empty() => return Err(error),
            stored => stored.unwrap_or_default(),
        };
        let mut rows: BTreeMap<IncidentId, IncidentRow> = stored.into_iter().map(|row| (row.id, row)).collect();
        for write in &state.waiting {
            match write {
                Write::Open { row, .. } => _ = rows.insert(row.id, row.clone()),
                Write::Append { id, at, closes: Some(closing), .. } => {
                    if let Some(row) = rows.get_mut(id) {
                        closing.close(row, *at);
                    }
                }
                _ => {}
            }
        }
        Ok(rows.into_values().rev().collect())
    }

    fn or_nothing<T>(&self, read: rusqlite::Result<Vec<T>>) -> Vec<T> {
        read.unwrap_or_else(|error| {
            tracing::error!("{}", JournalError::read(&error));
            Vec::new()
        })
    }
}

fn many<T>(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map(params, read)?.collect()
}

fn incident(r: &Row<'_>) -> rusqlite::Result<IncidentRow> {
    let class: String = r.get("class")?;
    let ended: Option<String> = r.get("ended")?;
    Ok(IncidentRow {
        id: r.get("id")?,
        target: r.get("target")?,
        class: from_word(2, &class)?,
        opened: time(r, "opened")?,
        closed: r.get::<_, Option<i64>>("closed")?.map(from_nanos).transpose()?,
        ended: ended.map(|e| from_word(5, &e)).transpose()?,
        by: r.get("by")?,
        reason: r.get("reason")?,
    })
}

fn entry(r: &Row<'_>) -> rusqlite::Result<Entry> {
    let body: String = r.get(3)?;
    let record: Record = serde_json::from_str(&body).map_err(|e| bad(3, e.to_string()))?;
    Ok(Entry { seq: r.get(0)?, incident: r.get(1)?, at: time(r, 2)?, record })
}

fn time(r: &Row<'_>, column: impl rusqlite::RowIndex) -> rusqlite::Result<Timestamp> {
    from_nanos(r.get(column)?)
}

fn from_nanos(nanos: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_nanosecond(nanos.into()).map_err(|e| bad(0, e.to_string()))
}

fn from_word<T: DeserializeOwned>(column: usize, word: &str) -> rusqlite::Result<T> {
    serde_json::from_value(word.into()).map_err(|e| bad(column, e.to_string()))
}

fn bad(column: usize, why: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why.into())
}
