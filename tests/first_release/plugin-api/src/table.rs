//! The function table that crosses the border, as in `include/ai_monitor_plugin.h`.

use std::ffi::{c_char, c_void};

/// The ABI that this crate speaks: the order, types and rules of the table.
pub const AIM_ABI: u32 = 1;
/// The contract's version that this crate speaks.
pub const CONTRACT: &str = "1.0";

/// It went well.
pub const AIM_OK: i32 = 0;
/// It did not, and the sink holds text that says why.
pub const AIM_ERROR: i32 = 1;
/// The plugin panicked, and the sink holds its text.
pub const AIM_PANIC: i32 = 2;

/// Where a function writes its output. Owned by the host, valid only during the call.
#[repr(C)]
pub struct AimSink {
    /// The host's own; it goes back to it in `put`.
    pub ctx: *mut c_void,
    /// Appends. Returns 0, or 1 when the limit is passed: stop writing and return [`AIM_ERROR`].
    pub put: Option<unsafe extern "C" fn(ctx: *mut c_void, bytes: *const u8, len: usize) -> i32>,
}

/// The table. `abi` is read first; nothing else is read if it differs.
#[repr(C)]
pub struct AimPlugin {
    /// [`AIM_ABI`].
    pub abi: u32,
    /// `size_of::<AimPlugin>()` as the plugin was compiled.
    pub size: u32,
    /// Writes the manifest: any thread, any time, always the same bytes.
    pub manifest: Option<unsafe extern "C" fn(out: *const AimSink) -> i32>,
    /// Makes a session, or writes why it cannot.
    pub create: Option<unsafe extern "C" fn(session: *mut *mut c_void, err: *const AimSink) -> i32>,
    /// Takes one event, writes one effect, or text where the session is over. One thread at a time per session.
    pub step:
        Option<unsafe extern "C" fn(session: *mut c_void, event: *const u8, len: usize, out: *const AimSink) -> i32>,
    /// Frees a session, finished or not.
    pub destroy: Option<unsafe extern "C" fn(session: *mut c_void)>,
    /// A static table for `name/revision`, or null.
    pub extension: Option<unsafe extern "C" fn(id: *const c_char) -> *const c_void>,
}

// SAFETY: the table is immutable data; the contract says which functions may be called from which thread.
unsafe impl Sync for AimPlugin {}

const _: () = {
    let word = size_of::<usize>();
    assert!(std::mem::offset_of!(AimSink, put) == word);
    assert!(size_of::<AimSink>() == 2 * word);
    assert!(std::mem::offset_of!(AimPlugin, abi) == 0);
    assert!(std::mem::offset_of!(AimPlugin, size) == 4);
    assert!(std::mem::offset_of!(AimPlugin, manifest) == 8);
    assert!(std::mem::offset_of!(AimPlugin, create) == 8 + word);
    assert!(std::mem::offset_of!(AimPlugin, step) == 8 + 2 * word);
    assert!(std::mem::offset_of!(AimPlugin, destroy) == 8 + 3 * word);
    assert!(std::mem::offset_of!(AimPlugin, extension) == 8 + 4 * word);
    assert!(size_of::<AimPlugin>() == 8 + 5 * word);
};
