//! `GET /status`: the summary.

use axum::extract::State;
use jiff::Timestamp;

use super::{
    Api,
    envelope::{Envelope, iso},
    v43,
};

pub(super) async fn show(State(api): State<Api>) -> Envelope {
    Envelope::success().with("data", v43::summary(&api.monitor.snapshot())).with("timestamp", iso(Timestamp::now()))
}
