//! The C functions of the table over a [`Plugin`], and the macro that exports them.
//!
//! Everything unsafe of a plugin written in Rust is here. No panic leaves: it is caught, told, and ends its session.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    ffi::{c_char, c_void},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::Once,
};

use crate::{
    Plugin,
    session::{Said, Session},
    table::{AIM_ABI, AIM_ERROR, AIM_OK, AIM_PANIC, AimPlugin, AimSink},
};

/// Exports a [`Plugin`] as this crate's table: for a library under `ai_monitor_plugin_v1_<crate>`, a name that is
/// unique where several plugins are linked into one program, and for linking in as `PLUGIN`.
#[macro_export]
macro_rules! export_plugin {
    ($plugin:ty) => {
        /// This plugin's table, for a host that links it in.
        #[unsafe(export_name = concat!("ai_monitor_plugin_v1_", env!("CARGO_CRATE_NAME")))]
        pub static PLUGIN: $crate::table::AimPlugin = $crate::export::table::<$plugin>();
    };
}

/// The table of a plugin.
pub const fn table<P: Plugin>() -> AimPlugin {
    AimPlugin {
        abi: AIM_ABI,
        size: size_of::<AimPlugin>() as u32,
        manifest: Some(manifest::<P>),
        create: Some(create::<P>),
        step: Some(step),
        destroy: Some(destroy),
        extension: Some(extension),
    }
}

/// A session behind the border; `None` once it is over.
type Handle = Option<Session>;

unsafe extern "C" fn manifest<P: Plugin>(out: *const AimSink) -> i32 {
    // SAFETY: the host passes a sink that is valid during this call.
    unsafe { put(out, P::MANIFEST.as_bytes(), AIM_OK) }
}

unsafe extern "C" fn create<P: Plugin>(session: *mut *mut c_void, err: *const AimSink) -> i32 {
    match guarded(|| Box::into_raw(Box::new(Some(Session::new::<P>()) as Handle))) {
        Ok(made) => {
            // SAFETY: the host passes a place for one pointer, valid during this call.
            unsafe { session.write(made.cast()) };
            AIM_OK
        }
        // SAFETY: as in `manifest`.
        Err(text) => unsafe { put(err, text.as_bytes(), AIM_ERROR) },
    }
}

unsafe extern "C" fn step(session: *mut c_void, event: *const u8, len: usize, out: *const AimSink) -> i32 {
    // SAFETY: `session` is from `create` and not yet destroyed, and one thread at a time uses it.
    let handle = unsafe { &mut *session.cast::<Handle>() };
    // A null pointer goes with no bytes; a slice may not begin there.
    let event = if event.is_null() {
        &[]
    } else {
        // SAFETY: the host passes `len` readable bytes, valid during this call.
        unsafe { std::slice::from_raw_parts(event, len) }
    };
    // Taken out, so that a session that panics, ends or fails is over for good.
    let Some(mut running) = handle.take() else {
        // SAFETY: as in `manifest`.
        return unsafe { put(out, b"the session is over", AIM_ERROR) };
    };
    let (code, bytes) = match guarded(|| running.step(event)) {
        Ok(Said::Effect(json)) => {
            *handle = Some(running);
            (AIM_OK, json)
        }
        Ok(Said::Report(json)) => {
            dispose(running);
            (AIM_OK, json)
        }
        Ok(Said::Error(text)) => {
            dispose(running);
            (AIM_ERROR, text.into_bytes())
        }
        Err(text) => {
            dispose(running);
            (AIM_PANIC, text.into_bytes())
        }
    };
    // SAFETY: as in `manifest`.
    unsafe { put(out, &bytes, code) }
}

unsafe extern "C" fn destroy(session: *mut c_void) {
    if session.is_null() {
        return;
    }
    // SAFETY: `session` is from `create`, and the host destroys it once.
    dispose(unsafe { Box::from_raw(session.cast::<Handle>()) });
}

unsafe extern "C" fn extension(_id: *const c_char) -> *const c_void {
    ptr::null()
}

/// Drops what may hold a plugin's own values, whose `drop` may panic.
fn dispose(value: impl Sized) {
    let _ = guarded(move || drop(value));
}

/// Writes all bytes and gives `code`, or [`AIM_ERROR`] when the sink is full.
///
/// # Safety
/// `sink` must be valid for this call.
unsafe fn put(sink: *const AimSink, bytes: &[u8], code: i32) -> i32 {
    // SAFETY: the caller's promise.
    let sink = unsafe { &*sink };
    let Some(put) = sink.put else { return AIM_ERROR };
    // SAFETY: `ctx` goes back to the host that gave it; the bytes outlive the call.
    match unsafe { put(sink.ctx, bytes.as_ptr(), bytes.len()) } {
        0 => code,
        _ => AIM_ERROR,
    }
}

thread_local! {
    /// Whether this thread runs plugin code right now.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// Where the last panic of plugin code on this thread was.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs plugin code. A panic becomes its text with its place.
fn guarded<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    install_hook();
    let before = INSIDE.replace(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    INSIDE.set(before);
    result.map_err(|payload| {
        let text = text_of(payload.as_ref());
        // A payload may panic when it is dropped; what is left of it is leaked rather than let through.
        std::mem::forget(payload);
        match PLACE.take() {
            Some(place) => format!("{text} (at {place})"),
            None => text,
        }
    })
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a panic without text".to_owned(),
    }
}

/// The host's panic hook does not reach into a loaded library, and the default one writes to stderr. This one keeps
/// quiet about plugin code, whose panics are told in the answer, and hands all others on.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            // While a thread is torn down its locals are gone: then it is not in a session.
            if INSIDE.try_with(Cell::get).unwrap_or(false) {
                let place = info.location().map(|at| format!("{}:{}", at.file(), at.line()));
                let _ = PLACE.try_with(|last| last.replace(place));
            } else {
                previous(info);
            }
        }));
    });
}
