//! The Engine.IO server: responds to HTTP requests, and closes all sessions at a shutdown.

use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use http::{Request, Response};
use tokio::time::Instant;

use crate::close::CloseReason;
use crate::config::Config;
use crate::connection::acceptor::Acceptor;
use crate::connection::core::Core;
use crate::error::BoxError;
use crate::handler::Handler;
use crate::http::body::ResponseBody;
use crate::http::service::{self, Work};
use crate::http::{get, post};
use crate::log::quietly;
use crate::metrics::{Metrics, Present};

/// The time that a shutdown waits for sessions to finish their work.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// The time that clients have to take what waits for them when a shutdown begins.
const SHUTDOWN_FLUSH: Duration = Duration::from_millis(500);

/// Sessions that are closed without letting other tasks run.
const CLOSED_AT_ONCE: usize = 256;

/// How often a shutdown looks for sessions that were opened while it began.
const SHUTDOWN_LOOK: Duration = Duration::from_millis(50);

/// The time between the ends of two sessions that a drain needs at most: ten clients a second that
/// come back are not a storm.
const DRAIN_INTERVAL: Duration = Duration::from_millis(100);

/// An Engine.IO server; clones refer to the same one.
///
/// It owns no listener and no task of its own: requests come from a host, and the few tasks that it
/// needs (one for each WebSocket, one timer for all sessions) run on the runtime of the request
/// that made them necessary.
///
/// ```no_run
/// # async fn run(engine: engine_io::Engine, signal: impl Future<Output = ()>) {
/// // Once the host accepts no more connections:
/// signal.await;
/// engine.shutdown().await; // closes all sessions, with what waits for their clients flushed
/// # }
/// ```
#[derive(Clone)]
pub struct Engine(Arc<Acceptor>);

impl Engine {
    /// Creates an engine; nothing runs before its first session opens.
    ///
    /// # Panics
    /// If [`Config::validate`] fails.
    pub fn new(handler: impl Handler, config: Config) -> Self {
        if let Err(error) = config.validate() {
            panic!("the configuration of an engine is not valid: {error}");
        }
        Self(Arc::new(Acceptor::new(Core::new(config), Box::new(handler))))
    }

    /// Returns whether this path of a request is the engine's own.
    pub fn matches(&self, path: &str) -> bool {
        path.trim_end_matches('/') == self.config().path.trim_end_matches('/')
    }

    /// Responds to one HTTP request: a poll, the upgrade to a WebSocket, or a refusal. Must run
    /// within a tokio runtime.
    ///
    /// The path is not looked at; see [`matches`](Self::matches).
    ///
    /// # Cancel safety
    /// Dropping the future of a waiting poll, or of a POST that is still being read, means that the
    /// client has gone away; it closes the session.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<ResponseBody>
    where
        B: http_body::Body + Send + 'static,
        B::Data: Buf + Send,
        B::Error: Into<BoxError>,
    {
        let (grant, work) = service::begin(&self.0, request);
        let mut response = match work {
            Work::Done(response) => response,
            Work::Get(session, coding) => get::get(session, coding).await,
            Work::Post(session, headers, body) => post::post(session, headers, body).await,
        };
        if let Some(grant) = grant {
            grant.apply(self.config(), response.headers_mut());
        }
        response
    }

    /// Returns a snapshot of the counters.
    pub fn metrics(&self) -> Metrics {
        let core = &self.0.core;
        core.counters.snapshot(&Present {
            sessions: core.sessions.len(),
            timers: core.timer.len(),
            queued_bytes: core.budget.used(),
            inbound_bytes: core.inbound.used(),
        })
    }

    /// Returns the settings.
    pub fn config(&self) -> &Config {
        &self.0.core.config
    }

    /// Returns whether new sessions are refused, because of [`drain`](Self::drain) or
    /// [`shutdown`](Self::shutdown): a load balancer should send no more clients.
    pub fn is_draining(&self) -> bool {
        self.0.core.admission.is_draining()
    }

    /// Refuses new sessions, with the status 503 and a `Retry-After`, and closes all others with
    /// [`CloseReason::ServerShutdown`], spread at random over a time, so that their clients do not
    /// come back all at once. Returns when the last one was told to close; call
    /// [`shutdown`](Self::shutdown) then, which flushes.
    ///
    /// The host has to go on accepting requests meanwhile: sessions on long-polling need them. It
    /// takes no longer than a tenth of a second for each session, if that is less than `over`.
    ///
    /// # Cancel safety
    /// New sessions are refused when the future is dropped, and those that were not told yet stay
    /// open until [`shutdown`](Self::shutdown).
    pub async fn drain(&self, over: Duration) {
        let core = &self.0.core;
        core.admission.drain();
        let mut sessions = core.sessions.all();
        fastrand::shuffle(&mut sessions);
        let num_sessions = u32::try_from(sessions.len()).unwrap_or(u32::MAX).max(1);
        // Each session has a slot of the time, and closes at random within it.
        let slot = over.min(DRAIN_INTERVAL.saturating_mul(num_sessions)) / num_sessions;
        let begun = Instant::now();
        for (at, session) in (0_u32..).zip(sessions) {
            let due = slot.saturating_mul(at).saturating_add(slot.mul_f64(fastrand::f64()));
            if let Some(due) = begun.checked_add(due) {
                tokio::time::sleep_until(due).await;
            }
            session.close(CloseReason::ServerShutdown);
        }
    }

    /// Refuses new sessions, closes all others with [`CloseReason::ServerShutdown`], and returns
    /// when all are done, or after ten seconds.
    ///
    /// Call [`drain`](Self::drain) before to spread that over a time. Clients have half a second to take what waits for them; the rest of the time is for the work
    /// of sessions.
    ///
    /// # Cancel safety
    /// Sessions keep closing when the future is dropped.
    pub async fn shutdown(&self) {
        let core = &self.0.core;
        core.admission.shut_down();
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, close_all(core)).await.is_err() {
            let sessions = core.admission.num_live();
            quietly(|| tracing::warn!(target: "engine_io", sessions, "sessions were still at work after the shutdown"));
        }
    }
}

/// Closes all sessions, and completes when their work is done.
async fn close_all(core: &Core) {
    let flushed = Instant::now() + SHUTDOWN_FLUSH;
    loop {
        let is_late = Instant::now() >= flushed;
        // Also those that were opened while the flag was being set.
        for (at, session) in core.sessions.all().into_iter().enumerate() {
            if is_late {
                session.fail(CloseReason::ServerShutdown);
            } else {
                session.close(CloseReason::ServerShutdown);
            }
            if at % CLOSED_AT_ONCE == CLOSED_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
        }
        let drained = core.admission.drained(|| core.sessions.is_empty());
        if tokio::time::timeout(SHUTDOWN_LOOK, drained).await.is_ok() {
            return;
        }
    }
}
