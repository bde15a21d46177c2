//! The children of one plugin: one session at a time in each, a few idle ones kept, and none used again that failed.
//! So a plugin that crashes ends that session alone.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::BytesMut;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Isolation,
    frame::{Kind, Stepped},
    patience::LONGER,
    process::{ChildProcess, Failure},
    refused::Refused,
};
use ai_monitor_plugin_api::limits::{EFFECT_MAX, ERROR_MAX};

use crate::plugin::{LoadError, StepError, text};

/// For a child to run our own code: only a machine that has no time for it is late.
const TO_START: Duration = Duration::from_secs(10);
/// For opening a library: it is read from a disk.
const TO_OPEN: Duration = Duration::from_secs(2);
/// For each call into the plugin.
const TO_CALL: Duration = Duration::from_secs(1);
/// The longest that a library takes to be opened, or to fail: all of the above, twice the second for what the child
/// says of its fence, on a machine that has no time for it.
pub(in crate::plugin) const OPENED_WITHIN: Duration =
    TO_START.saturating_add(TO_OPEN.saturating_mul(2)).saturating_add(TO_CALL).saturating_add(LONGER.saturating_mul(4));
/// Children of one plugin at a time; a session more waits for its turn.
const CHILDREN_MAX: usize = 32;
/// And no longer than this: then it is told that there is none for it.
const TURN_WITHIN: Duration = Duration::from_secs(30);
/// Idle children that are kept.
const IDLE_MAX: usize = 4;

/// Starts children as they are needed, all of the same library.
pub(in crate::plugin) struct Pool {
    isolation: Isolation,
    library: PathBuf,
    /// What the first child said; another that says something else is out of protocol.
    manifest: Vec<u8>,
    idle: Mutex<Vec<ChildProcess>>,
    places: Arc<Semaphore>,
}

impl Pool {
    /// Opens the library in a first child, and gives its manifest's bytes with the pool.
    pub(in crate::plugin) async fn open(isolation: Isolation, library: PathBuf) -> Result<Arc<Pool>, LoadError> {
        let (child, manifest) = opened(&isolation, &library).await?;
        Ok(Arc::new(Pool {
            isolation,
            library,
            manifest,
            idle: Mutex::new(vec![child]),
            places: Arc::new(Semaphore::new(CHILDREN_MAX)),
        }))
    }

    pub(in crate::plugin) fn manifest(&self) -> &[u8] {
        &self.manifest
    }

    /// A session in a child of its own, within [`TURN_WITHIN`], [`OPENED_WITHIN`] and one call.
    pub(in crate::plugin) async fn session(self: &Arc<Pool>) -> Result<Seat, StepError> {
        let turn = tokio::time::timeout(TURN_WITHIN, self.places.clone().acquire_owned()).await;
        let busy = || format!("all {CHILDREN_MAX} that it may have were at work for {} s", TURN_WITHIN.as_secs());
        let place = turn.map_err(|_| StepError::NotStarted(busy()))?;
        let place = place.map_err(|_| StepError::NotStarted("the plugin is being put away".into()))?;
        let child = match self.take_idle() {
            Some(child) => child,
            None => self.another().await?,
        };
        let (child, kind, text) = child.ask(Kind::Create, &[], TO_CALL).await.map_err(|f| failed(f, "create"))?;
        match kind {
            Kind::Created => Ok(Seat { child: Some(child), pool: self.clone(), place: Some(place) }),
            Kind::NotCreated => {
                self.keep(child);
                Err(StepError::Plugin(text::of_bytes(&text, ERROR_MAX)))
            }
            kind => Err(unexpected(kind)),
        }
    }

    /// One that lives still: idle children have done nothing since they were put here.
    fn take_idle(&self) -> Option<ChildProcess> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(mut child) = idle.pop() {
            if !child.has_ended() {
                return Some(child);
            }
        }
        None
    }

    fn keep(&self, child: ChildProcess) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(child);
        }
    }

    async fn another(&self) -> Result<ChildProcess, StepError> {
        let (child, manifest) = opened(&self.isolation, &self.library).await.map_err(|error| match error {
            LoadError::Crashed { how, .. } => StepError::Crashed(how),
            LoadError::Overrun { what, .. } => StepError::Overrun(what),
            LoadError::NotStarted { why, .. } => StepError::NotStarted(why),
            other => StepError::Protocol(other.to_string()),
        })?;
        if manifest != self.manifest {
            return Err(StepError::Protocol("its manifest is another one than when it was loaded".into()));
        }
        Ok(child)
    }
}

/// A child with the library open, and the manifest that the plugin wrote there.
async fn opened(isolation: &Isolation, library: &std::path::Path) -> Result<(ChildProcess, Vec<u8>), LoadError> {
    let path = || library.to_owned();
    let during = |failure, what: &str| match failure {
        Failure::Ended(how) => LoadError::Crashed { path: path(), how: format!("{how}, while {what}") },
        Failure::TooLong(limit) => {
            LoadError::Overrun { path: path(), what: format!("it took over {} ms, while {what}", limit.as_millis()) }
        }
        Failure::Protocol(what) => LoadError::Crashed { path: path(), how: what },
        Failure::NotStarted(error) => LoadError::NotStarted { path: path(), why: error.to_string() },
    };
    let child = ChildProcess::start(isolation, library).await.map_err(|f| during(f, ""))?;
    let (mut child, kind, _) = child.ask(Kind::Open, &[], TO_START).await.map_err(|failure| match failure {
        // Nothing of the plugin has run yet.
        Failure::Ended(why) | Failure::Protocol(why) => {
            LoadError::NotStarted { path: path(), why: format!("{}: {why}", isolation.program.display()) }
        }
        other => during(other, "its process was started"),
    })?;
    if kind != Kind::Started {
        return Err(LoadError::NotStarted { path: path(), why: unexpected(kind).to_string() });
    }
    // Each of them once and in this order: the library's initialisers could write to the pipe, too, and for ever.
    let (mut last, mut limit, mut what) = (Kind::Started, TO_OPEN, "it was opened");
    loop {
        let (same, kind, bytes) = child.hear(limit).await.map_err(|f| during(f, what))?;
        child = same;
        match (last, kind) {
            (Kind::Started, Kind::Unfenced) => super::tell_once(&text::of_bytes(&bytes, ERROR_MAX)),
            (Kind::Started | Kind::Unfenced, Kind::Loaded) => (limit, what) = (TO_CALL, "its manifest was read"),
            (Kind::Loaded, Kind::Manifest) => return Ok((child, bytes.to_vec())),
            (_, Kind::Refused) => {
                let refused: Result<Refused, _> = serde_json::from_slice(&bytes);
                return Err(match refused {
                    Ok(refused) => refused.into_error(library),
                    Err(error) => LoadError::Crashed { path: path(), how: error.to_string() },
                });
            }
            (_, kind) => return Err(LoadError::Crashed { path: path(), how: unexpected(kind).to_string() }),
        }
        last = kind;
    }
}

fn failed(failure: Failure, call: &str) -> StepError {
    match failure {
        Failure::Ended(how) => StepError::Crashed(how),
        Failure::TooLong(limit) => StepError::Overrun(format!("a call of `{call}` took over {} ms", limit.as_millis())),
        Failure::Protocol(what) => StepError::Protocol(what),
        Failure::NotStarted(error) => StepError::NotStarted(error.to_string()),
    }
}

fn unexpected(kind: Kind) -> StepError {
    StepError::Protocol(format!("its process answered with {kind:?}, out of order"))
}

/// A session's place in a child.
pub(in crate::plugin) struct Seat {
    /// `None`: it failed, or a step was not waited for, so that nobody knows what it does.
    child: Option<ChildProcess>,
    pool: Arc<Pool>,
    /// Free again only with the child: another session might start one more meanwhile.
    place: Option<OwnedSemaphorePermit>,
}

impl Seat {
    /// The effect's bytes. A child that fails, or is not waited for, is ended.
    pub(in crate::plugin) async fn step(&mut self, event: &[u8]) -> Result<BytesMut, StepError> {
        let Some(child) = self.child.take() else {
            return Err(StepError::Protocol("the session is over".into()));
        };
        let (child, kind, mut bytes) =
            child.ask(Kind::Step, event, TO_CALL).await.map_err(|failure| failed(failure, "step"))?;
        let how = match kind {
            Kind::Stepped if !bytes.is_empty() => Stepped::of(bytes.split_to(1)[0]),
            kind => return Err(unexpected(kind)),
        };
        let text = |bytes: &[u8]| text::of_bytes(bytes, ERROR_MAX);
        match how {
            Some(Stepped::Effect) => {
                self.child = Some(child);
                Ok(bytes)
            }
            Some(Stepped::Error) => {
                self.child = Some(child);
                Err(StepError::Plugin(text(&bytes)))
            }
            Some(Stepped::Panic) => Err(StepError::Panic(text(&bytes))),
            Some(Stepped::TooLarge) => Err(StepError::Protocol(format!("the effect is over {EFFECT_MAX} bytes"))),
            None => Err(StepError::Protocol("its process answered with an unknown code".into())),
        }
    }

    /// The session ended well enough: its child destroys it and takes another one later. Otherwise, dropping a seat
    /// ends the child.
    pub(in crate::plugin) fn leave(&mut self) {
        let (Some(child), Ok(runtime)) = (self.child.take(), tokio::runtime::Handle::try_current()) else { return };
        let (pool, place) = (self.pool.clone(), self.place.take());
        runtime.spawn(async move {
            let _place = place;
            match child.ask(Kind::Destroy, &[], TO_CALL).await {
                Ok((child, Kind::Destroyed, _)) => pool.keep(child),
                Ok((_, kind, _)) => pool.tell(&unexpected(kind)),
                Err(failure) => pool.tell(&failed(failure, "destroy")),
            }
        });
    }
}

impl Pool {
    /// No session fails by it: its report is there already.
    fn tell(&self, error: &StepError) {
        tracing::warn!(plugin = %self.library.display(), %error, "a plugin failed as its session was destroyed");
    }
}
