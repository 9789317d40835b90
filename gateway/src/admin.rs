//! What an operator's tools ask a server for, on an address of its own: metrics and health.
//!
//! | path | response |
//! |---|---|
//! | `/metrics` | [metrics] in Prometheus' text format |
//! | `/health/live`, `/health/ready` | [health]: 200, or 503 with the reason |
//!
//! The address should not be public. It is a listener of its own, so that a probe is answered while the main listener is
//! overloaded or does not accept any more.
//!
//! ```no_run
//! use gateway::admin::{self, AdminService};
//! use gateway::health::Health;
//! use socket_io::SocketIo;
//! use tokio::net::TcpListener;
//!
//! # async fn example() -> std::io::Result<()> {
//! let health = Health::new(SocketIo::new());
//! let listener = TcpListener::bind("127.0.0.1:9100").await?;
//! tokio::spawn(admin::serve(listener, AdminService::new(&health), std::future::pending()));
//! # Ok(())
//! # }
//! ```

mod pages;
mod serve;

use std::convert::Infallible;
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use tower_service::Service;

use crate::health::{self, HealthService};
use crate::metrics::{self, Exporter, Observed};
use crate::respond::{self, Body, Responding, TEXT};
pub use pages::Pages;
pub use serve::serve;

/// Responds to requests for metrics and health by their paths, and to all others with 404. Cloning is cheap.
///
/// [`serve`] has a listener for it. In a router of your own it may be the fallback, or stand under a path that strips its prefix:
///
/// ```
/// use gateway::admin::AdminService;
/// use gateway::health::Health;
/// use socket_io::SocketIo;
///
/// let health = Health::new(SocketIo::new());
/// let app: axum::Router = axum::Router::new().nest_service("/internal", AdminService::new(&health));
/// ```
#[derive(Clone, Debug)]
pub struct AdminService {
    exporter: Exporter,
    live: HealthService,
    ready: HealthService,
}

impl AdminService {
    /// Makes the service of a server; see [`Exporter::new`].
    pub fn new(observed: impl Into<Observed>) -> Self {
        let observed = observed.into();
        Self {
            live: observed.health.live(),
            ready: observed.health.ready(),
            exporter: Exporter::new(observed),
        }
    }
}

impl<B> Service<Request<B>> for AdminService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Responding;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Responding {
        match request.uri().path() {
            metrics::PATH => self.exporter.call(request),
            health::LIVE_PATH => self.live.call(request),
            health::READY_PATH => self.ready.call(request),
            _ => respond::to_read(request.method(), || {
                let paths = [metrics::PATH, health::LIVE_PATH, health::READY_PATH].join(", ");
                (StatusCode::NOT_FOUND, TEXT, format!("not found; there are {paths}\n"))
            }),
        }
    }
}
