//! `GET /system`: the models in memory. For administrators alone, where there are users.

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::{Depth, Response},
};
use plugin_parts::answer::{self, Verdict};

use crate::{
    LIST_BYTES, LIST_MS,
    api::{Loaded, System},
};

/// The models in memory, or `None` where they cannot be known. As evidence it counts for progress alone: a key that may
/// do all but administrate is a key that works.
pub async fn loaded(io: &mut Io) -> Result<Option<Vec<Loaded>>, Stop> {
    let answer = io.request(request().of(Depth::Progress)).await?;
    match read(&answer) {
        Ok(loaded) => Ok(Some(loaded)),
        Err(verdict) => {
            if let Some(Verdict { outcome, text }) = verdict {
                io.judge(&answer, outcome, text);
            }
            Ok(None)
        }
    }
}

/// The question itself.
pub fn request() -> Request {
    Request::get("/system", LIST_MS).max_bytes(LIST_BYTES)
}

pub fn read(answer: &Response) -> Result<Vec<Loaded>, Option<Verdict>> {
    let system = answer::parsed::<System>(answer)?;
    Ok(system.loaded_models.unwrap_or_default())
}
