//! `cancel`: close the requests of our own that are open at the target.

use super::Ground;
use crate::incident::act::Outcome;

pub(super) fn cancel(ground: &mut Ground<'_>) -> Outcome {
    match ground.client.cancel_all() {
        0 => Outcome::new("nothing", "no request of ours is open"),
        n => Outcome::done(format!("{n} of our requests closed")),
    }
}
