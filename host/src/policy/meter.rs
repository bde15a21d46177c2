//! What a policy may use, and what it has used. A spent budget stays spent: every further step of the machine fails.

use std::{
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{clock::Began, error::Budget};

/// The limits of policy-api, section 5.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub load: Duration,
    /// From one act to the next.
    pub burst: Duration,
    pub ticks: u64,
    /// Bytes of the incident's machine.
    pub memory: usize,
    pub acts: u32,
    pub log_lines: u32,
    pub log_bytes: usize,
    pub files: usize,
    pub file_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            load: Duration::from_millis(100),
            burst: Duration::from_millis(100),
            ticks: 2_000_000,
            memory: 8 << 20,
            acts: 100,
            log_lines: 100,
            log_bytes: 1024,
            files: 16,
            file_bytes: 256 << 10,
        }
    }
}

/// The clock is asked every so many ticks; asking costs about as much as a tick.
const TICKS_BETWEEN_CLOCKS: u64 = 16;

/// Counts ticks and time of one machine. A tick is a call, a return, a turn of a loop, or a step of a pattern match.
#[derive(Debug)]
pub struct Meter {
    pub limits: Limits,
    ticks: AtomicU64,
    clock_asked_at: AtomicU64,
    loading: AtomicBool,
    began: Mutex<Began>,
    /// The first budget that was spent, and where.
    spent: OnceLock<(Budget, String)>,
}

impl Meter {
    pub fn new(limits: Limits) -> Meter {
        Meter {
            limits,
            ticks: AtomicU64::new(0),
            clock_asked_at: AtomicU64::new(0),
            loading: AtomicBool::new(true),
            began: Mutex::new(Began::now()),
            spent: OnceLock::new(),
        }
    }

    /// A burst begins, on the thread that runs it.
    pub fn begin(&self, loading: bool) {
        self.loading.store(loading, Ordering::Relaxed);
        self.ticks.store(0, Ordering::Relaxed);
        self.clock_asked_at.store(0, Ordering::Relaxed);
        *self.began.lock().unwrap_or_else(|broken| broken.into_inner()) = Began::now();
    }

    /// So much work is done, or about to be. `Err`: a budget is spent.
    pub fn charge(&self, work: u64) -> Result<(), Budget> {
        if let Some((budget, _)) = self.spent.get() {
            return Err(*budget);
        }
        let work = work.min(self.limits.ticks + 1);
        let ticks = self.ticks.fetch_add(work, Ordering::Relaxed) + work;
        let loading = self.loading.load(Ordering::Relaxed);
        if ticks > self.limits.ticks {
            return Err(if loading { Budget::Load } else { Budget::Instructions });
        }
        if ticks - self.clock_asked_at.load(Ordering::Relaxed) < TICKS_BETWEEN_CLOCKS {
            return Ok(());
        }
        self.clock_asked_at.store(ticks, Ordering::Relaxed);
        let began = *self.began.lock().unwrap_or_else(|broken| broken.into_inner());
        match loading {
            true if began.is_over(self.limits.load) => Err(Budget::Load),
            false if began.is_over(self.limits.burst) => Err(Budget::Time),
            _ => Ok(()),
        }
    }

    /// From now on every step fails. The first one stays.
    pub fn spend(&self, budget: Budget, place: Option<String>) {
        let _ = self.spent.set((budget, self.sentence(budget, place)));
    }

    /// `budget: time (over 100 ms from one act to the next), at mine.lua:3`.
    fn sentence(&self, budget: Budget, place: Option<String>) -> String {
        let limits = &self.limits;
        let what = match budget {
            Budget::Load => format!(
                "loading takes more than {} ms or {} ticks, or {} files",
                limits.load.as_millis(),
                limits.ticks,
                limits.files
            ),
            Budget::Instructions => format!("more than {} ticks from one act to the next", limits.ticks),
            Budget::Time => format!("more than {} ms from one act to the next", limits.burst.as_millis()),
            Budget::Memory => format!("more than {} MiB", limits.memory >> 20),
            Budget::Acts => format!("more than {} acts in one incident", limits.acts),
        };
        match place {
            Some(place) => format!("budget: {budget} ({what}), at {place}"),
            None => format!("budget: {budget} ({what})"),
        }
    }

    /// The budget that is spent, in words.
    pub fn spent(&self) -> Option<&str> {
        self.spent.get().map(|(_, text)| text.as_str())
    }
}
