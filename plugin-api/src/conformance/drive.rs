//! One session over a table, called as the host calls it, whatever the plugin does.

use std::{
    ffi::c_void,
    ptr,
    time::{Duration, Instant},
};

use super::calls::call;
use crate::{
    limits::{EFFECT_MAX, ERROR_MAX},
    table::{AIM_ERROR, AIM_OK, AIM_PANIC, AimPlugin, AimSink},
};

/// What a call wrote, up to a limit.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Output {
    pub bytes: Vec<u8>,
    /// The limit was passed; `bytes` holds what came before.
    pub full: bool,
    /// Calls of `put` after the one that was refused.
    pub after_full: u32,
    max: usize,
}

impl Output {
    pub(super) fn new(max: usize) -> Output {
        Output { max, ..Output::default() }
    }

    /// A sink into this output, for one call.
    pub(super) fn sink(&mut self) -> AimSink {
        AimSink { ctx: ptr::from_mut(self).cast(), put: Some(put) }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

unsafe extern "C" fn put(ctx: *mut c_void, bytes: *const u8, len: usize) -> i32 {
    // SAFETY: `ctx` is the output of `sink`, which outlives the call, and nobody else uses it meanwhile.
    let out = unsafe { &mut *ctx.cast::<Output>() };
    if out.full {
        out.after_full += 1;
        return 1;
    }
    if len > out.max - out.bytes.len() {
        out.full = true;
        return 1;
    }
    if len > 0 {
        // SAFETY: the plugin promises `len` readable bytes.
        out.bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(bytes, len) });
    }
    0
}

/// A session. Dropping it destroys it.
pub(super) struct Live {
    table: &'static AimPlugin,
    session: *mut c_void,
}

// SAFETY: the contract says that a session may move between threads, one at a time; `step` takes it `&mut`.
unsafe impl Send for Live {}

/// What a step gave.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stepped {
    pub code: i32,
    pub out: Output,
    /// Without the time in which it was ready to run and others had the processors, where the system tells that.
    pub took: Duration,
}

/// Shorter steps are not looked at further.
const LONG: Duration = Duration::from_millis(100);

/// How long this thread has been ready to run without a processor, in all its life.
fn kept_waiting() -> Duration {
    let told =
        if cfg!(target_os = "linux") { std::fs::read_to_string("/proc/thread-self/schedstat").ok() } else { None };
    let waited = told.as_deref().and_then(|told| told.split(' ').nth(1)?.parse().ok());
    Duration::from_nanos(waited.unwrap_or(0))
}

impl Live {
    /// A new session, or the plugin's text.
    pub(super) fn new(table: &'static AimPlugin) -> Result<Live, String> {
        let (mut session, mut err) = (ptr::null_mut(), Output::new(ERROR_MAX));
        let create = table.create.ok_or("the table has no `create`")?;
        // SAFETY: the contract allows any thread; both pointers are valid during the call.
        let code = call("create", || unsafe { create(&mut session, &err.sink()) });
        match code {
            AIM_OK if session.is_null() => Err("`create` gave AIM_OK and no session".into()),
            AIM_OK => Ok(Live { table, session }),
            code if !session.is_null() => Err(format!("`create` gave code {code} and a session")),
            code => Err(format!("`create` gave code {code}: {}", err.text())),
        }
    }

    /// One event in. The event's bytes are gone after the call, as the contract has it.
    pub(super) fn step(&mut self, event: &str) -> Stepped {
        self.step_into(event, EFFECT_MAX)
    }

    /// With a sink of `max` bytes.
    pub(super) fn step_into(&mut self, event: &str, max: usize) -> Stepped {
        let mut out = Output::new(max);
        let mut bytes = event.as_bytes().to_vec();
        let Some(step) = self.table.step else { return Stepped { code: AIM_ERROR, out, took: Duration::ZERO } };
        let (waited, begun) = (kept_waiting(), Instant::now());
        // SAFETY: the session is alive until this is dropped, and `&mut` keeps other threads away; event and sink are
        // valid during the call.
        let code = call("step", || unsafe { step(self.session, bytes.as_ptr(), bytes.len(), &out.sink()) });
        let mut took = begun.elapsed();
        if took > LONG {
            took = took.saturating_sub(kept_waiting().saturating_sub(waited));
        }
        // Who kept the pointer reads this.
        bytes.fill(b'!');
        std::hint::black_box(&bytes);
        Stepped { code, out, took }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(destroy) = self.table.destroy {
            // SAFETY: the session came from `create` and is destroyed only here.
            call("destroy", || unsafe { destroy(self.session) });
        }
    }
}

impl Stepped {
    /// Whether the session is over by this step's code.
    pub(super) fn ended_badly(&self) -> Option<(&'static str, String)> {
        match self.code {
            AIM_OK if self.out.full => Some(("protocol", format!("an effect over {EFFECT_MAX} bytes"))),
            AIM_OK => None,
            AIM_PANIC => Some(("panic", self.out.text())),
            _ if self.out.full => Some(("protocol", format!("an effect over {EFFECT_MAX} bytes"))),
            _ => Some(("error", self.out.text())),
        }
    }
}
