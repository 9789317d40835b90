//! HTTP requests in.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Buf;
use http::{HeaderValue, Request, Response, header};
use hyper::upgrade::OnUpgrade;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::answer::{self, Refusal};
use crate::log::Logs;
use crate::metrics::Counters;
use crate::route::{Route, route};
use crate::sessions::Sessions;
use crate::shared::Shared;
use crate::timer::{Clock, Timer};
use crate::websocket::{self, Purpose};
use crate::{BoxError, CloseReason, Config, Handler, Handshake, Metrics, ResponseBody, Transport, Transports};
use crate::{polling, post};

/// The time that a shutdown waits for sessions to finish their work.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// An Engine.IO server; clones refer to the same one.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

/// What all connections of an engine share.
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) timer: Timer,
    pub(crate) sessions: Sessions,
    pub(crate) counters: Counters,
    pub(crate) logs: Logs,
    handler: Box<dyn Handler>,
    runtime: OnceLock<Handle>,
    reserved: AtomicUsize,
    live: AtomicUsize,
    shut: AtomicBool,
    drained: Notify,
}

impl Engine {
    /// Creates an engine; nothing runs before its first session opens.
    pub fn new(handler: impl Handler, config: Config) -> Self {
        Self(Arc::new(Inner {
            clock: Clock::new(),
            timer: Timer::new(&config),
            config,
            sessions: Sessions::new(),
            counters: Counters::default(),
            logs: Logs::new(),
            handler: Box::new(handler),
            runtime: OnceLock::new(),
            reserved: AtomicUsize::new(0),
            live: AtomicUsize::new(0),
            shut: AtomicBool::new(false),
            drained: Notify::new(),
        }))
    }

    /// Tells whether this path of a request is the engine's own.
    pub fn matches(&self, path: &str) -> bool {
        let bare = |path: &str| path.strip_suffix('/').unwrap_or(path).len();
        let own = &self.0.config.path;
        path[..bare(path)] == own[..bare(own)]
    }

    /// Answers one HTTP request: a poll, the upgrade to a WebSocket, or a refusal. Must run within a tokio runtime.
    ///
    /// The path is not looked at; see [`matches`](Self::matches).
    ///
    /// # Cancel safety
    /// Dropping the future of a waiting poll, or of a POST that is still being read, means that the client has gone
    /// away; it closes the session.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<ResponseBody>
    where
        B: http_body::Body + Send + 'static,
        B::Data: Buf + Send,
        B::Error: Into<BoxError>,
    {
        let engine = &self.0;
        engine.runtime.get_or_init(Handle::current);
        let upgrade = websocket::handshake::is_upgrade(&request);
        let route = match route(engine, &request, upgrade) {
            Ok(route) => route,
            Err(refusal) => {
                engine.counters.refused.add(1);
                return if upgrade {
                    refusal.answer_upgrade()
                } else {
                    refusal.answer()
                };
            }
        };
        match route {
            Route::Get(shared) => {
                drop(request);
                polling::get(shared).await
            }
            Route::Post(shared) => {
                let (parts, body) = request.into_parts();
                post::post(shared, parts.headers, body).await
            }
            Route::Unknown => answer::empty(500),
            Route::Open(Transport::Polling) => engine.open_polling(request),
            Route::Open(Transport::WebSocket) => engine.switch(request, None),
            Route::Upgrade(shared) => engine.switch(request, Some(Purpose::Upgrade(shared))),
            Route::Useless => engine.switch(request, Some(Purpose::Close)),
        }
    }

    /// Refuses new sessions, closes all others with [`CloseReason::ServerShutdown`], and returns when all are done, or
    /// after ten seconds.
    ///
    /// # Cancel safety
    /// Sessions keep closing when the future is dropped.
    pub async fn shutdown(&self) {
        self.0.shut.store(true, Ordering::SeqCst);
        let drained = async {
            loop {
                let notified = self.0.drained.notified();
                tokio::pin!(notified);
                notified.as_mut().enable();
                // Also those that slipped in while the flag was being set.
                for shared in self.0.sessions.all() {
                    shared.close(CloseReason::ServerShutdown);
                }
                if self.0.live.load(Ordering::SeqCst) == 0 && self.0.sessions.is_empty() {
                    return;
                }
                notified.await;
            }
        };
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, drained).await.is_err() {
            let sessions = self.0.live.load(Ordering::SeqCst);
            tracing::warn!(target: "engine_io", sessions, "sessions were still at work after the shutdown");
        }
    }

    /// Returns a snapshot of the counters.
    pub fn metrics(&self) -> Metrics {
        self.0.counters.snapshot(self.0.sessions.len())
    }

    /// Returns the settings.
    pub fn config(&self) -> &Config {
        &self.0.config
    }
}

impl Inner {
    /// Spawns a task, from whatever thread.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime
            .get()
            .expect("set by the request that opened the session")
            .spawn(task);
    }

    fn open_polling<B>(self: &Arc<Self>, request: Request<B>) -> Response<ResponseBody> {
        let Some(reservation) = self.reserve() else {
            return self.full();
        };
        let mut parts = request.into_parts().0;
        let handshake = Handshake::new(&mut parts);
        drop(parts);
        let shared = Shared::new(self, Transport::Polling);
        if self.open(&shared, handshake, reservation).is_err() {
            return answer::empty(500);
        }
        shared.drive_here();
        answer::payload(self.open_packet(&shared))
    }

    /// Puts a session on the table and lets the handler see it.
    pub(crate) fn open(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        handshake: Handshake,
        reservation: Reservation,
    ) -> Result<(), crate::driver::Panicked> {
        reservation.keep();
        self.sessions.insert(shared);
        self.counters.opened.add(1);
        let due = self.clock.after(self.config.ping_interval);
        shared.schedule(&mut shared.state(), due);
        shared.open_session(|| self.handler.open(shared.socket(), handshake))
    }

    /// Returns the packet that tells a client its session's name and the settings.
    pub(crate) fn open_packet(&self, shared: &Shared) -> String {
        let config = &self.config;
        let polling = shared.state().transport == Transport::Polling;
        let upgrades = if polling && config.allow_upgrades && config.transports == Transports::Both {
            r#""websocket""#
        } else {
            ""
        };
        format!(
            r#"0{{"sid":"{}","upgrades":[{upgrades}],"pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
            shared.sid.as_str(),
            config.ping_interval.as_millis(),
            config.ping_timeout.as_millis(),
            config.max_payload,
        )
    }

    /// Answers a WebSocket handshake and takes the connection over; a session is opened if there is no other purpose.
    fn switch<B>(self: &Arc<Self>, request: Request<B>, purpose: Option<Purpose>) -> Response<ResponseBody> {
        let mut parts = request.into_parts().0;
        let accept = websocket::handshake::accept_key(&parts.headers);
        let (Some(accept), Some(connection)) = (accept, parts.extensions.remove::<OnUpgrade>()) else {
            self.counters.refused.add(1);
            let mut response = Refusal::BadRequest.answer_upgrade();
            response
                .headers_mut()
                .insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            return response;
        };
        let purpose = match purpose {
            Some(purpose) => purpose,
            None => {
                let Some(reservation) = self.reserve() else {
                    return self.full();
                };
                Purpose::Open(Box::new((Handshake::new(&mut parts), reservation)))
            }
        };
        websocket::accept(self, connection, purpose);
        answer::switching_protocols(accept)
    }

    fn full(&self) -> Response<ResponseBody> {
        self.counters.refused.add(1);
        self.logs
            .full
            .warn("a handshake was refused: too many sessions, or the server is shutting down");
        answer::empty(503)
    }

    fn reserve(self: &Arc<Self>) -> Option<Reservation> {
        if self.shut.load(Ordering::SeqCst) {
            return None;
        }
        let before = self.reserved.fetch_add(1, Ordering::Relaxed);
        let reservation = Reservation(self.clone(), false);
        (before < self.config.max_sessions).then_some(reservation)
    }

    /// Gives a place back, when a session leaves the table.
    pub(crate) fn release(&self) {
        self.reserved.fetch_sub(1, Ordering::Relaxed);
        self.wake_shutdown();
    }

    fn wake_shutdown(&self) {
        if self.shut.load(Ordering::SeqCst) {
            self.drained.notify_waiters();
        }
    }
}

/// A place among the sessions, given back unless it is kept.
pub(crate) struct Reservation(Arc<Inner>, bool);

impl Reservation {
    fn keep(mut self) {
        self.1 = true;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.1 {
            self.0.release();
        }
    }
}

/// Counts a session until it is dropped.
pub(crate) struct Live(Arc<Inner>);

impl Live {
    pub(crate) fn new(engine: &Arc<Inner>) -> Self {
        engine.live.fetch_add(1, Ordering::SeqCst);
        Self(engine.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::SeqCst);
        self.0.wake_shutdown();
    }
}
