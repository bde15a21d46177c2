//! SQLite: schema, writers, questions.
//!
//! Decisions are on the disk when the call returns; samples go through a queue. Where the disk is full or the file
//! locked, decisions wait in memory (every answer includes them) and are written when it works again.

mod ask;
mod error;
pub mod explain;
pub mod record;
mod samples;
mod schema;
#[cfg(test)]
mod tests;
mod write;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicI64, AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use jiff::Timestamp;
use rusqlite::Connection;

pub use self::error::JournalError;
use self::{
    record::{IncidentId, IncidentRow, NonDecision, Record, Sample, SourceFile, Spent, StartedProcess},
    samples::Message,
    schema::Durable,
    write::{Closing, Write, nanos},
};
use crate::health::signals::ProcessId;

/// Writes that wait in memory at most.
const WAITING: usize = 10_000;
/// Seconds in which a repeated non-decision is not written again.
const REPEATED: i64 = 600;

/// Opened once per data folder.
pub struct Journal {
    shared: Arc<Shared>,
    queue: Option<SyncSender<Message>>,
    writer: Option<JoinHandle<()>>,
}

/// What the callers and the writer of samples have in common.
struct Shared {
    /// `None`: in memory.
    path: Option<PathBuf>,
    decisions: Mutex<Decisions>,
    samples: Arc<Mutex<Connection>>,
    /// The last write error, until a write succeeds.
    trouble: Mutex<Option<String>>,
    /// Said for as long as this process lives.
    notice: Option<String>,
    /// Samples that found the queue full.
    dropped: AtomicU64,
    /// Nanoseconds; of the newest sample.
    newest: AtomicI64,
}

struct Decisions {
    store: Store,
    /// In order; the first is the next to be written.
    waiting: VecDeque<Write>,
    next_id: IncidentId,
    /// The next record's number of each incident of this run.
    next_seq: HashMap<IncidentId, i64>,
    /// What [`Journal::saw_process`] has written already.
    seen: HashSet<(String, ProcessId, String)>,
    /// What [`Journal::mark_ready`] has written already.
    ready: HashSet<String>,
    /// The last one of each target.
    last_non_decision: HashMap<String, NonDecision>,
}

/// The connection for decisions; in memory it is the one of the samples too.
struct Store(Arc<Mutex<Connection>>);

impl Store {
    fn lock(&self) -> MutexGuard<'_, Connection> {
        lock(&self.0)
    }
}

/// A panic elsewhere must not end the journal: what the lock guards is whole after each statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Journal {
    /// The journal of a data folder; makes both where they are not there. A broken file is kept aside and a new one
    /// begun ([`Journal::health`] says so); one of a newer version is refused.
    pub fn open(dir: &Path) -> Result<Arc<Journal>, JournalError> {
        let (decisions, notice) = schema::open(dir)?;
        if let Some(notice) = &notice {
            tracing::error!("{notice}");
        }
        let path = schema::file(dir);
        let samples = schema::connect(&path, Durable::Normal).map_err(|e| JournalError::open(&path, &e))?;
        Journal::over(Some(path), Arc::new(Mutex::new(decisions)), Arc::new(Mutex::new(samples)), notice)
    }

    /// As [`Journal::open`]; where no file can be had (a full disk, a folder of another user) the monitor goes on with
    /// one in memory, and [`Journal::health`] says so. Only a newer version is an error.
    pub fn open_or_in_memory(dir: &Path) -> Result<Arc<Journal>, JournalError> {
        match Journal::open(dir) {
            Err(error @ JournalError::Newer { .. }) => Err(error),
            Err(error) => {
                tracing::error!("{error}; until then nothing outlives the monitor's end");
                Journal::memory(Some(format!("{error}; until then nothing outlives the monitor's end")))
            }
            opened => opened,
        }
    }

    /// Was there ever a journal in this data folder?
    pub fn exists(dir: &Path) -> bool {
        schema::file(dir).exists()
    }

    /// For the command line beside a running monitor, or without one: it answers questions and writes nothing.
    pub fn open_read_only(dir: &Path) -> Result<Arc<Journal>, JournalError> {
        let path = schema::file(dir);
        let store = Arc::new(Mutex::new(schema::connect_read_only(&path)?));
        let shared = Shared::new(Some(path.clone()), store.clone(), store, None);
        let shared = shared.map_err(|e| JournalError::open(&path, &e))?;
        Ok(Arc::new(Journal { shared: Arc::new(shared), queue: None, writer: None }))
    }

    /// Gone at its end: for tests and demonstrations.
    ///
    /// # Panics
    /// If not even a database in memory can be had.
    pub fn in_memory() -> Arc<Journal> {
        Journal::memory(None).expect("SQLite opens a database in memory")
    }

    fn memory(notice: Option<String>) -> Result<Arc<Journal>, JournalError> {
        let store = schema::in_memory().map_err(|e| JournalError::open(Path::new(":memory:"), &e))?;
        let store = Arc::new(Mutex::new(store));
        Journal::over(None, store.clone(), store, notice)
    }

    fn over(
        path: Option<PathBuf>,
        decisions: Arc<Mutex<Connection>>,
        samples: Arc<Mutex<Connection>>,
        notice: Option<String>,
    ) -> Result<Arc<Journal>, JournalError> {
        let shown = path.clone().unwrap_or_else(|| ":memory:".into());
        let shared = Shared::new(path, decisions, samples, notice).map_err(|e| JournalError::open(&shown, &e))?;
        let shared = Arc::new(shared);
        let (queue, receiver) = sync_channel(samples::QUEUE);
        let of_writer = shared.clone();
        let writer = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || samples::run(&receiver, &of_writer))
            .map_err(|e| JournalError::Open { path: shown, why: e.to_string(), hint: "end some programs" })?;
        Ok(Arc::new(Journal { shared, queue: Some(queue), writer: Some(writer) }))
    }

    /// Queued; never blocks. Where the queue is full the sample is dropped, and counted.
    pub fn sample(&self, sample: Sample) {
        self.shared.newest.fetch_max(nanos(sample.at), Ordering::Relaxed);
        let Some(queue) = &self.queue else { return };
        if queue.try_send(Message::Sample(sample)).is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns when all samples so far are written, or could not be.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.queue.as_ref().is_some_and(|q| q.send(Message::Flush(done)).is_ok()) {
            self.writer.iter().for_each(samples::wake);
            let _ = wait.recv();
        }
    }

    /// Samples that were dropped because the writer was behind.
    pub fn dropped_samples(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Rolls up and removes samples by age and size. The writer does it each hour of the samples' own time.
    pub fn prune(&self, now: Timestamp) -> Result<(), JournalError> {
        samples::prune(&self.shared.samples, now, samples::SIZE_CAP).map_err(|e| JournalError::write(&e))
    }

    /// Begins an incident with its `opened` record. `Ok`: on the disk, or kept in memory until it can be
    /// ([`Journal::health`]). `Err`: not even kept.
    pub fn open_incident(
        &self,
        target: &str,
        at: Timestamp,
        first: &Record,
        sources: &[SourceFile],
    ) -> Result<IncidentId, JournalError> {
        let Record::Opened { fault, .. } = first else {
            return Err(JournalError::NotOpened(body(first).chars().take(40).collect()));
        };
        let mut state = lock(&self.shared.decisions);
        let id = state.next_id;
        let row = IncidentRow {
            id,
            target: target.into(),
            class: fault.class,
            opened: at,
            closed: None,
            ended: None,
            by: None,
            reason: None,
        };
        self.shared.submit(&mut state, Write::Open { row, at, first: body(first), sources: sources.to_vec() })?;
        state.next_id += 1;
        state.next_seq.insert(id, 1);
        Ok(id)
    }

    /// Adds a record to an incident; `ended` closes it. `Ok` and `Err` as in [`Journal::open_incident`].
    pub fn append(&self, id: IncidentId, at: Timestamp, record: &Record) -> Result<(), JournalError> {
        let mut state = lock(&self.shared.decisions);
        let seq = match state.next_seq.get(&id) {
            Some(seq) => *seq,
            None => state
                .store
                .lock()
                .query_row("SELECT coalesce(max(seq), -1) + 1 FROM record WHERE incident = ?", [id], |r| r.get(0))
                .map_err(|e| JournalError::read(&e))?,
        };
        let closes = Closing::of(record);
        self.shared.submit(&mut state, Write::Append { id, seq, at, body: body(record), closes })?;
        state.next_seq.insert(id, seq + 1);
        Ok(())
    }

    /// Why a fault opened no incident. The same one again within ten minutes is not written: it is said at each check.
    pub fn non_decision(&self, non_decision: &NonDecision) {
        let mut state = lock(&self.shared.decisions);
        if let Some(last) = state.last_non_decision.get(&non_decision.target) {
            let same = NonDecision { at: last.at, ..non_decision.clone() } == *last;
            if same && non_decision.at.duration_since(last.at).as_secs().abs() < REPEATED {
                return;
            }
        }
        state.last_non_decision.insert(non_decision.target.clone(), non_decision.clone());
        self.shared.note(&mut state, Write::NonDecision(non_decision.clone()));
    }

    /// A process that this monitor started.
    pub fn started(&self, process: &StartedProcess) {
        self.note(Write::Started(process.clone()));
    }

    /// A started process that is gone.
    pub fn forget_started(&self, target: &str, process: ProcessId) {
        self.note(Write::ForgetStarted { target: target.into(), process });
    }

    /// A process in this target's tree, so that `reap` knows it after a restart of the monitor. Cheap when repeated.
    pub fn saw_process(&self, target: &str, process: ProcessId, boot: &str, at: Timestamp) {
        let mut state = lock(&self.shared.decisions);
        if state.seen.insert((target.into(), process, boot.into())) {
            self.shared.note(&mut state, Write::Seen { target: target.into(), process, boot: boot.into(), at });
        }
    }

    /// This target was ready. Cheap when repeated: that it ever was is all that is asked.
    pub fn mark_ready(&self, target: &str, at: Timestamp) {
        let mut state = lock(&self.shared.decisions);
        if state.ready.insert(target.into()) {
            self.shared.note(&mut state, Write::Ready { target: target.into(), at });
        }
    }

    /// An act that counts against a budget.
    pub fn spent(&self, target: &str, spent: &Spent) {
        self.note(Write::Spent { target: target.into(), spent: spent.clone() });
    }

    /// What is wrong with the journal, for a person; `None`: nothing.
    pub fn health(&self) -> Option<String> {
        let waiting = lock(&self.shared.decisions).waiting.len();
        let trouble = lock(&self.shared.trouble).clone();
        match (trouble, waiting) {
            (Some(trouble), 0) => Some(trouble),
            (Some(trouble), n) => Some(format!("{trouble} ({n} decisions are kept in memory until then)")),
            (None, _) => self.shared.notice.clone(),
        }
    }

    fn note(&self, write: Write) {
        self.shared.note(&mut lock(&self.shared.decisions), write);
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            samples::wake(&writer);
            let _ = writer.join();
        }
        let lost = lock(&self.shared.decisions).waiting.len();
        if lost > 0 {
            tracing::error!("{lost} decisions could not be written to the journal, and end with this process");
        }
    }
}

impl Shared {
    fn new(
        path: Option<PathBuf>,
        decisions: Arc<Mutex<Connection>>,
        samples: Arc<Mutex<Connection>>,
        notice: Option<String>,
    ) -> rusqlite::Result<Shared> {
        let next_id = lock(&decisions).query_row("SELECT coalesce(max(id), 0) + 1 FROM incident", [], |r| r.get(0))?;
        let state = Decisions {
            store: Store(decisions),
            waiting: VecDeque::new(),
            next_id,
            next_seq: HashMap::new(),
            seen: HashSet::new(),
            ready: HashSet::new(),
            last_non_decision: HashMap::new(),
        };
        Ok(Shared {
            path,
            decisions: Mutex::new(state),
            samples,
            trouble: Mutex::new(None),
            notice,
            dropped: AtomicU64::new(0),
            newest: AtomicI64::new(i64::MIN),
        })
    }

    /// Writes what waits and then this one; what cannot be written waits.
    fn submit(&self, state: &mut Decisions, write: Write) -> Result<(), JournalError> {
        self.drain(state);
        let failed = match state.waiting.is_empty() {
            true => write.apply(&mut state.store.lock()).err(),
            false => None,
        };
        let error = match failed {
            None if state.waiting.is_empty() => {
                self.works();
                return Ok(());
            }
            Some(error) if !error::is_passing(&error) => {
                self.failed(&write.what(), &error);
                return Err(JournalError::Lost {
                    what: write.what(),
                    why: error::why(&error),
                    kept: 0,
                    hint: error::hint(&error),
                });
            }
            error => error,
        };
        if let Some(error) = &error {
            self.failed(&write.what(), error);
        }
        if state.waiting.len() >= WAITING {
            return Err(JournalError::Lost {
                what: write.what(),
                why: error.as_ref().map_or_else(|| "as before".into(), error::why),
                kept: state.waiting.len(),
                hint: error.as_ref().map_or("see the monitor's log", error::hint),
            });
        }
        state.waiting.push_back(write);
        Ok(())
    }

    /// As `submit`, for what nobody waits for: a loss is logged.
    fn note(&self, state: &mut Decisions, write: Write) {
        if let Err(error) = self.submit(state, write) {
            tracing::error!("{error}");
        }
    }

    /// Writes what waits, as far as it goes.
    fn drain(&self, state: &mut Decisions) {
        while let Some(write) = state.waiting.front() {
            let applied = write.apply(&mut state.store.lock());
            match applied {
                Err(error) if error::is_passing(&error) => return self.failed(&write.what(), &error),
                Err(error) => tracing::error!("not written: {}: {error}", write.what()),
                Ok(()) => {}
            }
            state.waiting.pop_front();
        }
    }

    /// Called by the writer of samples now and then.
    fn retry(&self) {
        let mut state = lock(&self.decisions);
        if !state.waiting.is_empty() {
            self.drain(&mut state);
            if state.waiting.is_empty() {
                tracing::info!("the journal can be written again: nothing is lost");
                self.works();
            }
        }
    }

    /// Samples can be written again: the error is over, unless decisions still wait.
    fn samples_work(&self) {
        if lock(&self.decisions).waiting.is_empty() {
            self.works();
        }
    }

    /// A write succeeded: the last error is over.
    fn works(&self) {
        lock(&self.trouble).take();
    }

    /// Notes and logs a write error; the same one is logged once.
    fn failed(&self, what: &str, error: &rusqlite::Error) {
        if error::is_corrupt(error)
            && let Some(path) = &self.path
        {
            schema::suspect(path);
        }
        let place = self.path.as_deref().unwrap_or(Path::new("in memory")).display();
        let text = format!("the journal {place} cannot be written: {}; {}", error::why(error), error::hint(error));
        let mut trouble = lock(&self.trouble);
        if trouble.as_ref() != Some(&text) {
            tracing::error!("{text} (this was {what})");
            *trouble = Some(text);
        }
    }

    fn newest_sample(&self) -> Option<Timestamp> {
        let nanos = self.newest.load(Ordering::Relaxed);
        (nanos != i64::MIN).then(|| Timestamp::from_nanosecond(nanos.into()).ok()).flatten()
    }
}

fn body(record: &Record) -> String {
    serde_json::to_string(record).unwrap_or_default()
}
