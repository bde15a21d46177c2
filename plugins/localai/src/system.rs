//! `GET /system`: the models in memory. For administrators alone, where there are users.

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::{Depth, Response},
};
use plugin_parts::answer::{self, Told, Verdict};

use crate::{
    LIST_MS,
    api::{Loaded, System},
};

/// The models in memory. As evidence it counts for progress alone: a key that may
/// do all but administrate is a key that works.
pub async fn loaded(io: &mut Io) -> Result<Told<Vec<Loaded>>, Stop> {
    let answer = io.request(request().of(Depth::Progress)).await?;
    Ok(answer::told::<System>(io, &answer).map(System::in_memory))
}

/// The question itself.
pub fn request() -> Request {
    Request::get("/system", LIST_MS).max_bytes(answer::LIST_BYTES)
}

pub fn read(answer: &Response) -> Result<Vec<Loaded>, Option<Verdict>> {
    answer::parsed::<System>(answer).map(System::in_memory)
}
