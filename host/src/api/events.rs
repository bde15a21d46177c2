//! `GET /events`: tells a page, as server-sent events, that the snapshot has changed.
//!
//! Only its number is sent: a page that is slow, or hidden, misses nothing by missing some.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::{Stream, StreamExt, stream};

use super::{Api, envelope::ApiError};

/// An event and not a comment, so that the page sees it too and notices when it stays away.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(super) async fn stream(
    State(api): State<Api>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let place = std::sync::Arc::clone(&api.event_listeners)
        .try_acquire_owned()
        .map_err(|_| ApiError::TooMany { what: format!("{} event streams", api.settings.limits.event_listeners) })?;
    let shutdown = api.settings.shutdown.clone();
    let numbers = stream::unfold((api.monitor, 0, place), |(monitor, seen, place)| async move {
        let number = monitor.changed(seen).await;
        let event = Event::default().event("changed").data(number.to_string());
        Some((Ok(event), (monitor, number, place)))
    });
    let events = numbers.take_until(shutdown.cancelled_owned());
    let heartbeat = Event::default().event("heartbeat").data("");
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).event(heartbeat)))
}
