//! The HTTP server: v4.3's calls and this project's own, one file per resource, behind one gate.
//!
//! A request passes, in this order: the listener's limits ([`serve`]), the security headers and the catch for panics
//! (`shell`), the `gate` (host, origin), and only then the routes.

mod config;
mod control;
mod envelope;
mod events;
mod gate;
mod heal;
mod incidents;
mod input;
mod limits;
mod logs;
mod models;
mod plugins;
mod serve;
mod shell;
mod side;
mod status;
mod targets;
mod v43;

#[cfg(test)]
pub(crate) mod tests;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
    routing::{get, post},
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use gate::Gate;
pub use limits::Limits;
pub use serve::serve;

use crate::monitor::handle::Handle;

/// What the API must know beside the monitor's handle.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// The address that the listener is bound to, with its real port.
    pub listen: SocketAddr,
    /// The folder of `ai_monitor.log` and `ai_recovery.log`.
    pub logs_dir: PathBuf,
    pub limits: Limits,
    /// Ends the event streams; give the same token to [`serve`].
    pub shutdown: CancellationToken,
}

/// What every handler can reach.
#[derive(Clone)]
struct Api {
    monitor: Arc<dyn Handle>,
    settings: Arc<ApiSettings>,
    event_listeners: Arc<Semaphore>,
    heal_calls: Arc<Semaphore>,
}

/// The whole server, gate included: nothing of it answers a request that the gate refuses.
pub fn router(handle: Arc<dyn Handle>, settings: ApiSettings) -> Router {
    let gate = Arc::new(Gate::new(settings.listen));
    let api = Api {
        monitor: handle,
        event_listeners: Arc::new(Semaphore::new(settings.limits.event_listeners)),
        heal_calls: Arc::new(Semaphore::new(settings.limits.heal_calls)),
        settings: Arc::new(settings),
    };
    let routes = Router::new()
        .nest("/api/ai-monitor", monitor_routes())
        .route("/api/health", get(side::health))
        .route("/api/models", get(models::list))
        .merge(crate::dashboard::routes())
        .fallback(side::unknown_route)
        .method_not_allowed_fallback(side::wrong_method)
        .with_state(api);
    // A router whose only content is its fallback routes nothing itself: the gate stands before the routes of `routes`,
    // and before its 404 and 405 as well.
    Router::new()
        .fallback_service(routes)
        .layer(from_fn_with_state(gate, gate::stand))
        .layer(from_fn(shell::catch_panics))
        .layer(from_fn(shell::security_headers))
}

fn monitor_routes() -> Router<Api> {
    Router::new()
        // v4.3
        .route("/status", get(status::show))
        .route("/models", get(models::list))
        .route("/start", post(control::start))
        .route("/stop", post(control::stop))
        .route("/heal", post(heal::heal))
        .route("/heal-now", post(heal::heal_now))
        .route("/debug", post(control::debug))
        .route("/logs", get(logs::show))
        .route("/config", get(config::show))
        .route("/models/{name}/enable", post(models::enable))
        .route("/models/{name}/disable", post(models::disable))
        // this project's own
        .route("/targets", get(targets::list))
        .route("/plugins", get(plugins::list))
        .route("/plugins/{id}", get(plugins::show))
        .route("/plugins/{id}/consent", post(plugins::consent))
        .route("/plugins/{id}/release", post(plugins::release))
        .route("/plugins/{id}/enable", post(plugins::enable))
        .route("/plugins/{id}/disable", post(plugins::disable))
        .route("/incidents", get(incidents::list))
        .route("/incidents/{id}", get(incidents::show))
        .route("/events", get(events::stream))
}
