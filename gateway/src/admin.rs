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
use std::sync::Arc;
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
    observed: Source,
}

/// What has metrics and health.
#[derive(Clone)]
enum Source {
    Server {
        exporter: Exporter,
        live: HealthService,
        ready: HealthService,
    },
    Other(Arc<dyn Operated>),
}

/// A program other than a server that operators' tools observe in the same way.
///
/// ```
/// use gateway::admin::{AdminService, Operated};
///
/// struct Worker;
///
/// impl Operated for Worker {
///     fn metrics(&self) -> String {
///         "# TYPE jobs_total counter\njobs_total 7\n".to_owned()
///     }
///
///     fn check_ready(&self) -> Result<(), String> {
///         Err("no connection to the database".to_owned())
///     }
/// }
///
/// let service = AdminService::observing(Worker);
/// ```
pub trait Operated: Send + Sync + 'static {
    /// Returns its metrics in Prometheus' text format.
    fn metrics(&self) -> String;

    /// Checks whether it does its work.
    ///
    /// # Errors
    ///
    /// The reason why not, in a line.
    fn check_ready(&self) -> Result<(), String>;
}

impl AdminService {
    /// Makes the service of a server; see [`Exporter::new`].
    pub fn new(observed: impl Into<Observed>) -> Self {
        let observed = observed.into();
        let observed = Source::Server {
            live: observed.health.live(),
            ready: observed.health.ready(),
            exporter: Exporter::new(observed),
        };
        Self { observed }
    }

    /// Makes the service of another program, which is live as long as it responds.
    pub fn observing(program: impl Operated) -> Self {
        let observed = Source::Other(Arc::new(program));
        Self { observed }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Server { .. } => "Server",
            Self::Other(_) => "Other",
        })
    }
}

/// Responds for a program other than a server.
fn other<B>(program: &dyn Operated, request: &Request<B>) -> Responding {
    let path = request.uri().path();
    respond::to_read(request.method(), || match (path, path == health::READY_PATH) {
        (metrics::PATH, _) => (StatusCode::OK, metrics::CONTENT_TYPE, program.metrics()),
        (health::LIVE_PATH, _) => (StatusCode::OK, TEXT, "live\n".to_owned()),
        (_, true) => match program.check_ready() {
            Ok(()) => (StatusCode::OK, TEXT, "ready\n".to_owned()),
            Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{reason}\n")),
        },
        _ => not_found(),
    })
}

fn not_found() -> (StatusCode, &'static str, String) {
    let paths = [metrics::PATH, health::LIVE_PATH, health::READY_PATH].join(", ");
    (StatusCode::NOT_FOUND, TEXT, format!("not found; there are {paths}\n"))
}

impl<B> Service<Request<B>> for AdminService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Responding;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Responding {
        match (&mut self.observed, request.uri().path()) {
            (Source::Other(program), _) => other(&**program, &request),
            (Source::Server { exporter, .. }, metrics::PATH) => exporter.call(request),
            (Source::Server { live, .. }, health::LIVE_PATH) => live.call(request),
            (Source::Server { ready, .. }, health::READY_PATH) => ready.call(request),
            _ => respond::to_read(request.method(), not_found),
        }
    }
}
