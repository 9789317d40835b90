//! Health of a server, for probes: ready as long as it should get new clients, live as long as a restart would not help.
//!
//! | path | 200 | 503 |
//! |---|---|---|
//! | `/health/ready` | new clients may be sent here | at once: while the server drains, before it first listens to its channel, and while it does not |
//! | `/health/live` | the process works, with or without its broker | slowly: when the server has not listened for [`live_patience`](HealthOptions::live_patience) |
//!
//! Both fail differently on purpose: an outage of the broker must not restart every server, which would disconnect every client. A probe asks nothing of the broker; it reads what the server knows, so that it responds while the broker stands still.
//! A runtime that is blocked does not respond at all, which probes count as a failure.
//!
//! ```
//! use gateway::health::Health;
//! use socket_io::SocketIo;
//!
//! let health = Health::new(SocketIo::new());
//! assert!(health.check_ready().is_ok());
//! let app: axum::Router = axum::Router::new()
//!     .route_service("/health/live", health.live())
//!     .route_service("/health/ready", health.ready());
//! health.start_draining(); // no new clients, please
//! assert!(health.check_ready().is_err() && health.check_live().is_ok());
//! ```

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use manager_api::lock::Unpoisoned;
use socket_io::SocketIo;
use tokio::time::Instant;
use tower_service::Service;

use crate::respond::{self, Body, Responding, TEXT};

/// The path of the probe for liveness.
pub const LIVE_PATH: &str = "/health/live";
/// The path of the probe for readiness.
pub const READY_PATH: &str = "/health/ready";

/// How slowly a server ceases to be live.
///
/// ```
/// use std::time::Duration;
///
/// use gateway::health::{Health, HealthOptions};
/// use socket_io::SocketIo;
///
/// let mut options = HealthOptions::default();
/// options.live_patience = Duration::from_secs(3_600);
/// let health = Health::with_options(SocketIo::new(), options);
/// assert!(health.check_live().is_ok());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HealthOptions {
    /// How long a server may be without its channel, as seen by its probes, and be live. Default 15 min, after which a restart
    /// is worth a try; with zero it is not live as soon as it is not ready. `Duration::MAX` never fails.
    pub live_patience: Duration,
}

impl Default for HealthOptions {
    fn default() -> Self {
        Self {
            live_patience: Duration::from_secs(15 * 60),
        }
    }
}

/// The health of a server. Cloning is cheap; clones are of the same server.
///
/// It holds the server, as a clone of [`SocketIo`] does, and only reads it: nothing is sent to the broker, and no task runs.
#[derive(Clone)]
pub struct Health {
    shared: Arc<Shared>,
}

struct Shared {
    io: SocketIo,
    options: HealthOptions,
    is_draining: AtomicBool,
    /// When a probe first saw that the server does not listen; `None` while it does.
    deaf_since: Mutex<Option<Instant>>,
}

/// The reason why a server is not ready, or not live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unhealthy {
    /// It drains: its clients are moved to other servers.
    Draining,
    /// It does not listen to its channel: what others emit does not reach its clients.
    NotListening,
}

impl fmt::Display for Unhealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Draining => "draining",
            Self::NotListening => "not listening to the channel",
        })
    }
}

impl std::error::Error for Unhealthy {}

impl Health {
    /// Observes a server, with default options.
    pub fn new(io: SocketIo) -> Self {
        Self::with_options(io, HealthOptions::default())
    }

    /// Observes a server.
    pub fn with_options(io: SocketIo, options: HealthOptions) -> Self {
        let shared = Shared {
            io,
            options,
            is_draining: AtomicBool::new(false),
            deaf_since: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Returns the server.
    pub fn io(&self) -> &SocketIo {
        &self.shared.io
    }

    /// Makes the server not ready, for good. It stays live, and goes on to serve the clients that it has; [`SocketIo::drain`] makes it
    /// not ready as well, and disconnects them.
    pub fn start_draining(&self) {
        self.shared.is_draining.store(true, Ordering::Relaxed);
    }

    /// Returns whether the server drains.
    pub fn is_draining(&self) -> bool {
        self.shared.is_draining.load(Ordering::Relaxed) || self.shared.io.is_draining()
    }

    /// Checks whether new clients may be sent to the server. One without a manager has no channel to listen to.
    ///
    /// # Errors
    ///
    /// The reason why not.
    pub fn check_ready(&self) -> Result<(), Unhealthy> {
        if self.is_draining() {
            return Err(Unhealthy::Draining);
        }
        match self.deaf_for() {
            None => Ok(()),
            Some(_) => Err(Unhealthy::NotListening),
        }
    }

    /// Checks whether the server works as well as it would after a restart.
    ///
    /// # Errors
    ///
    /// The reason why not.
    pub fn check_live(&self) -> Result<(), Unhealthy> {
        match self.deaf_for() {
            Some(time) if time >= self.shared.options.live_patience => Err(Unhealthy::NotListening),
            _ => Ok(()),
        }
    }

    /// Returns a service that responds by whether the server is live.
    pub fn live(&self) -> HealthService {
        HealthService {
            health: self.clone(),
            check: Self::check_live,
            healthy: "live\n",
        }
    }

    /// Returns a service that responds by whether the server is ready.
    pub fn ready(&self) -> HealthService {
        HealthService {
            health: self.clone(),
            check: Self::check_ready,
            healthy: "ready\n",
        }
    }

    /// Returns for how long the server has not listened, as far as was observed; `None` if it listens now.
    fn deaf_for(&self) -> Option<Duration> {
        let health = self.shared.io.health();
        let is_deaf = health.is_some_and(|health| health.listening_since.is_none());
        let mut deaf_since = self.shared.deaf_since.lock().unpoisoned();
        if !is_deaf {
            *deaf_since = None;
            return None;
        }
        Some(deaf_since.get_or_insert_with(Instant::now).elapsed())
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health")
            .field("is_draining", &self.is_draining())
            .finish_non_exhaustive()
    }
}

/// Responds to every GET and HEAD with 200, or with 503 and the reason.
#[derive(Clone, Debug)]
pub struct HealthService {
    health: Health,
    check: fn(&Health) -> Result<(), Unhealthy>,
    healthy: &'static str,
}

impl<B> Service<Request<B>> for HealthService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Responding;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Responding {
        respond::to_read(request.method(), || match (self.check)(&self.health) {
            Ok(()) => (StatusCode::OK, TEXT, self.healthy.to_owned()),
            Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{reason}\n")),
        })
    }
}

#[cfg(test)]
mod tests {
    use manager_api::memory::MemoryBus;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn readiness_fails_at_once_and_liveness_slowly() {
        let manager = Arc::new(MemoryBus::new().manager("c"));
        let io = SocketIo::builder().manager(manager.clone()).build();
        let health = Health::new(io.clone());
        assert_eq!(
            health.check_ready(),
            Err(Unhealthy::NotListening),
            "it does not listen yet"
        );
        io.ready().await;
        assert_eq!((health.check_ready(), health.check_live()), (Ok(()), Ok(())));

        manager_api::ClientManager::close(&manager).await.unwrap();
        while health.check_ready().is_ok() {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(Duration::from_secs(14 * 60)).await;
        assert_eq!(health.check_ready(), Err(Unhealthy::NotListening));
        assert_eq!(health.check_live(), Ok(()));
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(health.check_live(), Err(Unhealthy::NotListening));
    }

    #[tokio::test]
    async fn a_server_that_drains_is_live_and_not_ready() {
        let health = Health::new(SocketIo::new());
        assert_eq!(health.check_ready(), Ok(()));
        health.clone().start_draining();
        assert_eq!(health.check_ready(), Err(Unhealthy::Draining));
        let respond = async |mut service: HealthService, method: &str| {
            let request = Request::builder().method(method).body(()).unwrap();
            service.call(request).await.unwrap().status().as_u16()
        };
        assert_eq!(respond(health.ready(), "GET").await, 503);
        assert_eq!(respond(health.live(), "HEAD").await, 200);
        assert_eq!(respond(health.live(), "POST").await, 405);
    }
}
