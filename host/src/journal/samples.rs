//! Probe samples: a queue, one writer in batches, and their retention (raw a day, minutes a month, hours a year).

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};

use super::{Shared, record::Sample, write::nanos};

/// Rows of one transaction.
const BATCH: usize = 100;
/// How long the first sample of a batch waits for others.
const GATHER: Duration = Duration::from_millis(200);
/// Samples that wait in memory at most; beyond, the oldest go.
pub const QUEUE: usize = 4096;
/// How often what could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 3600 * SECOND;
const RAW_KEPT: SignedDuration = SignedDuration::from_hours(24);
const MINUTES_KEPT: SignedDuration = SignedDuration::from_hours(24 * 30);
const HOURS_KEPT: SignedDuration = SignedDuration::from_hours(24 * 366);
const NON_DECISIONS_KEPT: SignedDuration = SignedDuration::from_hours(24 * 30);
const SPENT_KEPT: SignedDuration = SignedDuration::from_hours(24 * 31);

/// The file's size above which samples go early, the oldest first. Incidents never do.
pub const SIZE_CAP: u64 = 256 * 1024 * 1024;

pub enum Message {
    Sample(Sample),
    /// Answered when all samples before it are written or have failed.
    Flush(SyncSender<()>),
}

/// The writer's life: until the last sender is gone and all is written.
pub fn run(receiver: &Receiver<Message>, shared: &Shared) {
    let mut waiting: VecDeque<Sample> = VecDeque::new();
    let mut pruned_in = None;
    let mut failing = false;
    loop {
        let mut flushes = Vec::new();
        let open = gather(receiver, &mut waiting, &mut flushes);
        while !waiting.is_empty() {
            let batch = waiting.len().min(BATCH);
            match write(&shared.samples, waiting.iter().take(batch)) {
                Ok(()) => {
                    waiting.drain(..batch);
                    if std::mem::take(&mut failing) {
                        shared.samples_work();
                    }
                }
                Err(error) => {
                    failing = true;
                    shared.failed("samples", &error);
                    break;
                }
            }
        }
        shared.retry();
        if let Some(newest) = shared.newest_sample()
            && pruned_in != Some(nanos(newest) / HOUR)
        {
            pruned_in = Some(nanos(newest) / HOUR);
            if let Err(error) = prune(&shared.samples, newest, SIZE_CAP) {
                shared.failed("the retention of samples", &error);
            }
        }
        for flush in flushes {
            let _ = flush.send(());
        }
        if !open {
            return;
        }
    }
}

/// Takes what comes into `waiting`; `false`: nothing will come any more.
///
/// Those after the first come while this thread sleeps, and wake it only to be flushed ([`wake`]): a wake-up for each
/// would cost more than the sample itself.
fn gather(receiver: &Receiver<Message>, waiting: &mut VecDeque<Sample>, flushes: &mut Vec<SyncSender<()>>) -> bool {
    let mut take = |message| match message {
        Message::Sample(sample) => {
            if waiting.len() >= QUEUE {
                waiting.pop_front();
            }
            waiting.push_back(sample);
        }
        Message::Flush(done) => flushes.push(done),
    };
    match receiver.recv_timeout(RETRY) {
        Ok(first) => {
            let gathers = matches!(first, Message::Sample(_));
            take(first);
            if gathers {
                thread::park_timeout(GATHER);
            }
        }
        Err(RecvTimeoutError::Timeout) => return true,
        Err(RecvTimeoutError::Disconnected) => return false,
    }
    loop {
        match receiver.try_recv() {
            Ok(message) => take(message),
            Err(TryRecvError::Empty) => return true,
            Err(TryRecvError::Disconnected) => return false,
        }
    }
}

/// Ends the writer's wait for more samples: somebody waits for what is there.
pub fn wake(writer: &JoinHandle<()>) {
    writer.thread().unpark();
}

fn write<'a>(store: &Arc<Mutex<Connection>>, samples: impl Iterator<Item = &'a Sample>) -> rusqlite::Result<()> {
    let mut connection = super::lock(store);
    let t = connection.transaction()?;
    {
        let mut insert = t.prepare_cached(
            "INSERT OR REPLACE INTO sample (target, at, depth, ok, ms, state, text) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?;
        for s in samples {
            let ms = s.ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
            insert.execute(params![s.target, nanos(s.at), s.depth as i64, s.ok, ms, s.state, s.text])?;
        }
    }
    t.commit()
}

/// Rolls up and removes what is older than it is kept for; above the cap also what is not.
pub fn prune(store: &Arc<Mutex<Connection>>, now: Timestamp, cap: u64) -> rusqlite::Result<()> {
    // Cut where a new minute or hour begins, so that none is rolled up in two parts.
    let before = |kept: SignedDuration, unit: i64| now.checked_sub(kept).map_or(i64::MIN, |t| nanos(t) / unit * unit);
    let mut connection = super::lock(store);
    let t = connection.transaction()?;
    let raw = before(RAW_KEPT, MINUTE);
    t.execute(
        "INSERT INTO rollup (span, target, at, depth, n, ok, timed, ms_sum, ms_max)
         SELECT 60, target, at - at % ?1, depth, count(*), sum(ok), count(ms), coalesce(sum(ms), 0), max(ms)
         FROM sample WHERE at < ?2 GROUP BY target, at - at % ?1, depth
         ON CONFLICT DO UPDATE SET n = n + excluded.n, ok = ok + excluded.ok, timed = timed + excluded.timed,
           ms_sum = ms_sum + excluded.ms_sum, ms_max = max(coalesce(ms_max, 0), coalesce(excluded.ms_max, 0))",
        params![MINUTE, raw],
    )?;
    t.execute("DELETE FROM sample WHERE at < ?", [raw])?;
    let minutes = before(MINUTES_KEPT, HOUR);
    t.execute(
        "INSERT INTO rollup (span, target, at, depth, n, ok, timed, ms_sum, ms_max)
         SELECT 3600, target, at - at % ?1, depth, sum(n), sum(ok), sum(timed), sum(ms_sum), max(ms_max)
         FROM rollup WHERE span = 60 AND at < ?2 GROUP BY target, at - at % ?1, depth
         ON CONFLICT DO UPDATE SET n = n + excluded.n, ok = ok + excluded.ok, timed = timed + excluded.timed,
           ms_sum = ms_sum + excluded.ms_sum, ms_max = max(coalesce(ms_max, 0), coalesce(excluded.ms_max, 0))",
        params![HOUR, minutes],
    )?;
    t.execute("DELETE FROM rollup WHERE span = 60 AND at < ?", [minutes])?;
    t.execute("DELETE FROM rollup WHERE span = 3600 AND at < ?", [before(HOURS_KEPT, HOUR)])?;
    t.execute("DELETE FROM non_decision WHERE at < ?", [before(NON_DECISIONS_KEPT, HOUR)])?;
    t.execute("DELETE FROM spent WHERE at < ?", [before(SPENT_KEPT, HOUR)])?;
    t.commit()?;

    for (table, more) in [("sample", ""), ("rollup", "AND span = 60"), ("rollup", "AND span = 3600")] {
        while used(&connection)? > cap && thin(&connection, table, more)? > 0 {}
    }
    // One page a step, so all steps must be taken.
    let mut vacuum = connection.prepare("PRAGMA incremental_vacuum")?;
    let mut pages = vacuum.query([])?;
    while pages.next()?.is_some() {}
    Ok(())
}

/// Bytes in use, without what is free for the next rows.
fn used(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let pages = pragma("page_count")? - pragma("freelist_count")?;
    Ok(u64::try_from(pages * pragma("page_size")?).unwrap_or(0))
}

/// Removes the oldest tenth of the time that the table spans; gives the number of rows.
fn thin(connection: &Connection, table: &str, more: &str) -> rusqlite::Result<usize> {
    let span = format!("SELECT min(at), max(at) FROM {table} WHERE 1 {more}");
    let (first, last): (Option<i64>, Option<i64>) = connection.query_row(&span, [], |r| Ok((r.get(0)?, r.get(1)?)))?;
    let (Some(first), Some(last)) = (first, last) else { return Ok(0) };
    connection.execute(&format!("DELETE FROM {table} WHERE at <= ? {more}"), [first + (last - first) / 10])
}
