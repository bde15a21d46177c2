//! How far a request has come, so that a time-out can say where it struck.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
};

use ai_monitor_plugin_api::event::At;
use tower::{Layer, Service};

tokio::task_local! {
    /// Of the request that this task is sending. The connector runs inside the request's own future.
    static CURRENT: Arc<Stage>;
}

const REUSED: u8 = 0;
const CONNECTING: u8 = 1;
const CONNECTED: u8 = 2;

/// Begins as "on a connection of the pool"; the connector, which runs only if there is none, says otherwise.
#[derive(Debug, Default)]
pub(super) struct Stage(AtomicU8);

impl Stage {
    /// Where a request that has no headers yet would break off now. A request's body (at most 256 KiB) goes into the
    /// system's buffers at once, so what was sent cannot be told from what was taken: both wait for headers.
    pub fn at(&self) -> At {
        if self.0.load(Ordering::Relaxed) == CONNECTING { At::Connect } else { At::Headers }
    }

    /// Did the request get a connection of its own?
    pub fn is_fresh(&self) -> bool {
        self.0.load(Ordering::Relaxed) != REUSED
    }
}

/// Runs `request` with `stage` kept up to date.
pub(super) fn watch<F: Future>(stage: &Arc<Stage>, request: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(stage.clone(), request)
}

/// Wraps the client's connector: name, TCP and TLS are "connecting".
#[derive(Debug, Clone, Copy)]
pub(super) struct StageLayer;

impl<S> Layer<S> for StageLayer {
    type Service = StageConnector<S>;

    fn layer(&self, inner: S) -> Self::Service {
        StageConnector(inner)
    }
}

#[derive(Debug, Clone)]
pub(super) struct StageConnector<S>(S);

impl<S, R> Service<R> for StageConnector<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let stage = CURRENT.try_with(Arc::clone).ok();
        if let Some(stage) = &stage {
            stage.0.store(CONNECTING, Ordering::Relaxed);
        }
        let connecting = self.0.call(request);
        Box::pin(async move {
            let connection = connecting.await?;
            if let Some(stage) = stage {
                stage.0.store(CONNECTED, Ordering::Relaxed);
            }
            Ok(connection)
        })
    }
}
