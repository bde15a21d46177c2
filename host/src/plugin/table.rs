//! The function table on the host's side: checked once, then called through here alone.

use std::ffi::c_void;

use ai_monitor_plugin_api::{
    limits::{ERROR_MAX, MANIFEST_MAX},
    table::{AIM_ABI, AIM_OK, AimPlugin, AimSink},
};

use super::{check::ManifestError, text};

/// Why a table is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    #[error("it was built for ABI {found}, this monitor speaks {AIM_ABI}: get or build it for this version")]
    OtherAbi { found: u32 },
    #[error("its table has {found} bytes where at least {wanted} belong: build it again with the current header")]
    TooSmall { found: u32, wanted: usize },
    #[error("its table has no function `{0}`: build it again with the current header")]
    NoFunction(&'static str),
    #[error("it did not write its manifest: {0}")]
    NoManifest(String),
    #[error("its manifest is not right: {0}")]
    Manifest(#[from] ManifestError),
}

type Create = unsafe extern "C" fn(*mut *mut c_void, *const AimSink) -> i32;
type Step = unsafe extern "C" fn(*mut c_void, *const u8, usize, *const AimSink) -> i32;

/// The functions of a table that has been checked. They live for ever: libraries are never unloaded.
#[derive(Clone, Copy)]
pub(super) struct Table {
    manifest: unsafe extern "C" fn(*const AimSink) -> i32,
    create: Create,
    step: Step,
    destroy: unsafe extern "C" fn(*mut c_void),
}

impl Table {
    /// Reads `abi` first, and nothing else if it differs.
    ///
    /// # Safety
    /// `table` points to at least four readable bytes and, where these are our ABI, to a whole table of the contract
    /// that lives for ever.
    pub(super) unsafe fn checked(table: *const AimPlugin) -> Result<Table, TableError> {
        // SAFETY: the first four bytes are readable, by the caller's promise.
        let abi = unsafe { (&raw const (*table).abi).read() };
        if abi != AIM_ABI {
            return Err(TableError::OtherAbi { found: abi });
        }
        // SAFETY: a table of our ABI has at least abi and size.
        let size = unsafe { (&raw const (*table).size).read() };
        if (size as usize) < size_of::<AimPlugin>() {
            return Err(TableError::TooSmall { found: size, wanted: size_of::<AimPlugin>() });
        }
        // SAFETY: the table is as large as ours, or larger.
        let table = unsafe { &*table };
        Ok(Table {
            manifest: table.manifest.ok_or(TableError::NoFunction("manifest"))?,
            create: table.create.ok_or(TableError::NoFunction("create"))?,
            step: table.step.ok_or(TableError::NoFunction("step"))?,
            destroy: table.destroy.ok_or(TableError::NoFunction("destroy"))?,
        })
    }

    /// The manifest's bytes.
    pub(super) fn manifest(&self) -> Result<Vec<u8>, TableError> {
        let mut out = Output::new(MANIFEST_MAX);
        // SAFETY: the contract allows any thread at any time; the sink is valid during the call.
        let code = unsafe { (self.manifest)(&out.sink()) };
        match (code, out.full) {
            (_, true) => Err(TableError::NoManifest(format!("it is over {MANIFEST_MAX} bytes"))),
            (AIM_OK, false) => Ok(out.bytes),
            (code, false) => Err(TableError::NoManifest(format!("its function gave code {code}"))),
        }
    }

    /// A session, or the plugin's text.
    pub(super) fn create(&self) -> Result<Handle, String> {
        let mut session = std::ptr::null_mut();
        let mut err = Output::new(ERROR_MAX);
        // SAFETY: the contract allows any thread; both pointers are valid during the call.
        let code = unsafe { (self.create)(&mut session, &err.sink()) };
        match code {
            AIM_OK if !session.is_null() => Ok(Handle { table: *self, session }),
            AIM_OK => Err("it made no session".into()),
            _ => Err(err.text()),
        }
    }
}

/// A plugin's session; dropping it destroys it.
pub(super) struct Handle {
    table: Table,
    session: *mut c_void,
}

// SAFETY: the contract says that a session may move between threads, one at a time; `step` takes it `&mut`.
unsafe impl Send for Handle {}

impl Handle {
    /// One event in; the code that came back, and what was written.
    pub(super) fn step(&mut self, event: &[u8], max: usize) -> (i32, Output) {
        let mut out = Output::new(max);
        // SAFETY: the session is alive until this handle is dropped, and `&mut` keeps other threads away; event and
        // sink are valid during the call.
        let code = unsafe { (self.table.step)(self.session, event.as_ptr(), event.len(), &out.sink()) };
        (code, out)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the session came from `create` and is destroyed only here.
        unsafe { (self.table.destroy)(self.session) }
    }
}

/// What a plugin wrote in one call, up to a limit.
pub(super) struct Output {
    pub(super) bytes: Vec<u8>,
    /// The limit was passed; `bytes` holds what came before.
    pub(super) full: bool,
    max: usize,
}

impl Output {
    fn new(max: usize) -> Output {
        Output { bytes: Vec::new(), full: false, max }
    }

    /// A sink into this output, for one call.
    fn sink(&mut self) -> AimSink {
        AimSink { ctx: std::ptr::from_mut(self).cast(), put: Some(put) }
    }

    /// As text for people, within the limit of errors.
    pub(super) fn text(&self) -> String {
        let text = text::of_bytes(&self.bytes, ERROR_MAX);
        if text.is_empty() { "it gave no reason".into() } else { text }
    }
}

unsafe extern "C" fn put(ctx: *mut c_void, bytes: *const u8, len: usize) -> i32 {
    // SAFETY: `ctx` is the output of `sink`, which outlives the call, and nobody else uses it meanwhile.
    let out = unsafe { &mut *ctx.cast::<Output>() };
    if out.full || len > out.max - out.bytes.len() {
        out.full = true;
        return 1;
    }
    if len > 0 {
        // SAFETY: the plugin promises `len` readable bytes.
        out.bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(bytes, len) });
    }
    0
}
