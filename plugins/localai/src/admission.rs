//! `GET /api/middleware/status`: how many requests run of the models whose configuration limits them
//! (core/http/routes/middleware.go). For administrators alone; of the other models nothing tells how many run.

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::{Depth, Outcome},
};
use plugin_parts::answer::{self, Told};

use crate::{
    LIST_MS,
    api::{Limited, Middleware},
};

/// The models with a limit; empty where there are none or they cannot be known. `None`: LocalAI is silent.
pub async fn limited(io: &mut Io) -> Result<Option<Vec<Limited>>, Stop> {
    let request = Request::get("/api/middleware/status", LIST_MS).of(Depth::Progress).max_bytes(answer::LIST_BYTES);
    let answer = io.request(request).await?;
    if matches!(answer.outcome, Outcome::NotFound | Outcome::Unsupported) {
        io.judge(&answer, Outcome::Unsupported, "a LocalAI that does not count the requests of a model");
        return Ok(Some(Vec::new()));
    }
    Ok(match answer::told::<Middleware>(io, &answer) {
        Told::Silent => None,
        told => Some(told.value().and_then(|status| status.admission?.models).unwrap_or_default()),
    })
}

pub fn of<'a>(limited: &'a [Limited], model: &str) -> Option<&'a Limited> {
    limited.iter().find(|limited| limited.name == model)
}
