//! HTTP requests in.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Buf;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use hyper::upgrade::OnUpgrade;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::answer::{self, Refusal};
use crate::budget::Budget;
use crate::coding::Coding;
use crate::cors::{self, Grant};
use crate::driver::NotOpened;
use crate::log::Logs;
use crate::metrics::Counters;
use crate::route::{self, Route, route};
use crate::sessions::Sessions;
use crate::shared::Shared;
use crate::timer::{Clock, Timer};
use crate::websocket::{self, Purpose, Terms, deflate};
use crate::{BoxError, CloseReason, Config, Handler, Handshake, Metrics, ResponseBody, Transport, Transports};
use crate::{polling, post};

/// An Engine.IO server; clones refer to the same one.
#[derive(Clone)]
pub struct Engine(pub(crate) Arc<Inner>);

/// What all connections of an engine share.
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) timer: Timer,
    pub(crate) sessions: Sessions,
    pub(crate) counters: Counters,
    pub(crate) logs: Logs,
    pub(crate) budget: Arc<Budget>,
    handler: Box<dyn Handler>,
    /// The runtime that served the last handshake.
    runtime: Mutex<Option<Handle>>,
    reserved: AtomicUsize,
    pub(crate) live: AtomicUsize,
    pub(crate) shut: AtomicBool,
    pub(crate) drained: Notify,
}

impl Engine {
    /// Creates an engine; nothing runs before its first session opens.
    ///
    /// # Panics
    /// If [`Config::validate`] fails.
    pub fn new(handler: impl Handler, config: Config) -> Self {
        if let Err(error) = config.validate() {
            panic!("the configuration of an engine is not valid: {error}");
        }
        Self(Arc::new(Inner {
            clock: Clock::new(),
            timer: Timer::new(&config),
            budget: Budget::new(config.outbox_total_limit),
            config,
            sessions: Sessions::new(),
            counters: Counters::default(),
            logs: Logs::new(),
            handler: Box::new(handler),
            runtime: Mutex::default(),
            reserved: AtomicUsize::new(0),
            live: AtomicUsize::new(0),
            shut: AtomicBool::new(false),
            drained: Notify::new(),
        }))
    }

    /// Tells whether this path of a request is the engine's own.
    pub fn matches(&self, path: &str) -> bool {
        path.trim_end_matches('/') == self.0.config.path.trim_end_matches('/')
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
        let (grant, work) = engine.begin(request);
        let mut response = match work {
            Work::Done(response) => response,
            Work::Get(shared, coding) => polling::get(shared, coding).await,
            Work::Post(shared, headers, body) => post::post(shared, headers, body).await,
        };
        if let Some(grant) = grant {
            grant.apply(&engine.config, response.headers_mut());
        }
        response
    }

    /// Returns a snapshot of the counters.
    pub fn metrics(&self) -> Metrics {
        let engine = &self.0;
        engine
            .counters
            .snapshot(engine.sessions.len(), engine.timer.len(), engine.budget.used())
    }

    /// Returns the settings.
    pub fn config(&self) -> &Config {
        &self.0.config
    }
}

/// What is left to do for a request; all of it that could be done at once is.
enum Work<B> {
    Done(Response<ResponseBody>),
    Get(Arc<Shared>, Option<Coding>),
    Post(Arc<Shared>, HeaderMap, B),
}

impl Inner {
    /// Looks at the head of a request, so that none of it is kept while a poll waits.
    fn begin<B>(self: &Arc<Self>, request: Request<B>) -> (Option<Grant>, Work<B>) {
        let (parts, body) = request.into_parts();
        let upgrade = websocket::handshake::is_upgrade(&parts);
        let origin = cors::check(&self.config, &parts);
        if let (Ok(Some(_)), true) = (&origin, cors::is_preflight(&self.config, &parts)) {
            return (
                origin.ok().flatten(),
                Work::Done(Grant::answer_preflight(&parts.headers)),
            );
        }
        let (grant, origin) = match origin {
            Ok(grant) => (grant, Ok(())),
            Err(refusal) => (None, Err(refusal)),
        };
        let work = match route(self, &parts, upgrade, origin) {
            Err(refusal) => {
                if refusal == Refusal::ForeignOrigin {
                    cors::log_foreign(&self.config, &self.logs.origin, &parts);
                }
                Work::Done(self.refuse(refusal, upgrade))
            }
            Ok(Route::Get(shared)) => Work::Get(shared, self.coding(&parts)),
            Ok(Route::Post(shared)) => Work::Post(shared, parts.headers, body),
            Ok(Route::Unknown) => Work::Done(answer::empty(500)),
            Ok(Route::Open(Transport::Polling)) => Work::Done(self.open_polling(parts)),
            Ok(Route::Open(Transport::WebSocket)) => Work::Done(self.switch(parts, None)),
            Ok(Route::Upgrade(shared)) => Work::Done(self.switch(parts, Some(Purpose::Upgrade(shared)))),
            Ok(Route::Useless) => Work::Done(self.switch(parts, Some(Purpose::Close))),
        };
        (grant, work)
    }

    fn refuse(&self, refusal: Refusal, upgrade: bool) -> Response<ResponseBody> {
        self.counters.refused.add(1);
        tracing::debug!(target: "engine_io", refusal = refusal.name(), upgrade, "a request was refused");
        if upgrade {
            refusal.answer_upgrade()
        } else {
            refusal.answer()
        }
    }

    fn coding(&self, parts: &Parts) -> Option<Coding> {
        self.config.http_compression.then(|| Coding::accepted(&parts.headers))?
    }

    /// Spawns a task on a runtime that serves clients, from whatever thread: the caller's own runtime may be the application's, and end.
    ///
    /// If the runtime has ended the task is dropped at once: no lock may be held that its drop takes.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // The lock is not held while the task may be dropped.
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).clone();
        runtime.expect("set before there is a session").spawn(task);
    }

    /// Spawns a task on the runtime that serves the request or connection at hand; there may be one for each thread.
    pub(crate) fn spawn_here(&self, task: impl Future<Output = ()> + Send + 'static) {
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(task)),
            Err(_) => self.spawn(task),
        }
    }

    fn open_polling(self: &Arc<Self>, mut parts: Parts) -> Response<ResponseBody> {
        let Some(reservation) = self.reserve() else {
            return self.full();
        };
        let handshake = Handshake::new(&mut parts);
        drop(parts);
        let shared = Shared::new(self, Transport::Polling);
        if self.open(&shared, handshake, reservation).is_err() {
            return match self.shut.load(Ordering::SeqCst) {
                true => self.full(),
                false => answer::empty(500),
            };
        }
        shared.drive_here();
        let mut response = answer::payload(self.open_packet(&shared));
        if let Some(cookie) = &self.config.cookie {
            let cookie = cookie.header(shared.sid.as_str());
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        response
    }

    /// Puts a session on the table and lets the handler see it.
    pub(crate) fn open(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        handshake: Handshake,
        reservation: Reservation,
    ) -> Result<(), NotOpened> {
        reservation.keep();
        if let Ok(runtime) = Handle::try_current() {
            *self.runtime.lock().unwrap_or_else(PoisonError::into_inner) = Some(runtime);
        }
        let transport = shared.state().transport;
        if transport == Transport::Polling {
            self.counters.polling.raise();
        }
        self.sessions.insert(shared);
        self.counters.opened.add(1);
        tracing::debug!(target: "engine_io", transport = transport.as_str(), "a session opened");
        // A WebSocket's place was reserved before its handshake ended; a shutdown may have closed all others meanwhile.
        if self.shut.load(Ordering::SeqCst) {
            shared.fail(CloseReason::ServerShutdown);
            return Err(NotOpened);
        }
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
    fn switch(self: &Arc<Self>, mut parts: Parts, purpose: Option<Purpose>) -> Response<ResponseBody> {
        let accept = websocket::handshake::accept_key(&parts.headers);
        let (Some(accept), Some(connection)) = (accept, parts.extensions.remove::<OnUpgrade>()) else {
            let mut response = self.refuse(Refusal::BadRequest, true);
            response
                .headers_mut()
                .insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            return response;
        };
        let offered = self.config.per_message_deflate;
        let extension = offered.then(|| deflate::negotiate(&parts.headers)).flatten();
        let terms = Terms {
            deflate: extension.is_some(),
            base64: route::wants_base64(&parts),
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
        websocket::accept(self, connection, purpose, terms);
        let mut response = answer::switching_protocols(accept, extension);
        if let Some(protocol) = websocket::handshake::first_protocol(&parts.headers) {
            response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        response
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
        self.try_reserve().or_else(|| {
            let has_room = self.handler.make_room();
            has_room.then(|| self.try_reserve()).flatten()
        })
    }

    fn try_reserve(self: &Arc<Self>) -> Option<Reservation> {
        let before = self.reserved.fetch_add(1, Ordering::Relaxed);
        let reservation = Reservation(self.clone(), false);
        (before < self.config.max_sessions).then_some(reservation)
    }

    /// Gives a place back, when a session leaves the table.
    pub(crate) fn release(&self) {
        self.reserved.fetch_sub(1, Ordering::Relaxed);
        self.wake_shutdown();
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
