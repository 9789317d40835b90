//! The Engine.IO service: routes HTTP requests to sessions.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use hyper::upgrade::OnUpgrade;

use crate::config::Transport;
use crate::connection::acceptor::{Acceptor, Unavailable};
use crate::connection::admission::Reservation;
use crate::connection::core::Core;
use crate::connection::session::EngineSession;
use crate::http::body::ResponseBody;
use crate::http::coding::Coding;
use crate::http::cors::{self, Grant};
use crate::http::handshake::{Handshake, PeerAddr};
use crate::http::refusal::Refusal;
use crate::http::response;
use crate::http::route::{self, Route, route};
use crate::log::quietly;
use crate::websocket::accept::{self, Purpose};
use crate::websocket::stream::Terms;
use crate::websocket::{deflate, handshake};

/// The remaining work of a request, after everything that could be done at once.
pub(crate) enum Work<B> {
    /// Nothing: the response is complete.
    Done(Response<ResponseBody>),
    /// Waiting for packets, compressed if a coding is named.
    Get(Arc<EngineSession>, Option<Coding>),
    /// Reading the body, and handling its packets.
    Post(Arc<EngineSession>, HeaderMap, B),
}

/// Handles the head of a request, so that none of it is kept while a poll waits.
pub(crate) fn begin<B>(acceptor: &Arc<Acceptor>, request: Request<B>) -> (Option<Grant>, Work<B>) {
    let core = &*acceptor.core;
    let (parts, body) = request.into_parts();
    let upgrade = handshake::is_upgrade(&parts);
    let origin = cors::check(&core.config, &parts);
    if let (Ok(Some(_)), true) = (&origin, cors::is_preflight(&core.config, &parts)) {
        let preflight = Grant::preflight_response(&parts.headers);
        return (origin.ok().flatten(), Work::Done(preflight));
    }
    let (grant, origin) = match origin {
        Ok(grant) => (grant, Ok(())),
        Err(refusal) => (None, Err(refusal)),
    };
    let work = match route(core, &parts, upgrade, origin) {
        Err(refusal) => {
            if refusal == Refusal::ForeignOrigin {
                cors::log_foreign(&core.config, &core.logs.origin, &parts);
            }
            Work::Done(refuse(core, refusal, upgrade))
        }
        Ok(Route::Get(session)) => Work::Get(session, coding(core, &parts)),
        Ok(Route::Post(session)) => Work::Post(session, parts.headers, body),
        Ok(Route::Unknown) => Work::Done(response::empty(500)),
        Ok(Route::Open(Transport::Polling)) => Work::Done(open_polling(acceptor, parts)),
        Ok(Route::Open(Transport::WebSocket)) => Work::Done(switch(acceptor, parts, None)),
        Ok(Route::Upgrade(session)) => Work::Done(switch(acceptor, parts, Some(Purpose::Upgrade(session)))),
        Ok(Route::Useless) => Work::Done(switch(acceptor, parts, Some(Purpose::Close))),
    };
    (grant, work)
}

/// Counts and logs a refusal; returns its response.
fn refuse(core: &Core, refusal: Refusal, upgrade: bool) -> Response<ResponseBody> {
    core.counters.refused.add(1);
    quietly(|| tracing::debug!(target: "engine_io", refusal = refusal.name(), upgrade, "a request was refused"));
    if upgrade {
        refusal.upgrade_response()
    } else {
        refusal.response()
    }
}

/// Returns the coding that the client prefers, if responses are compressed.
fn coding(core: &Core, parts: &Parts) -> Option<Coding> {
    core.config.http_compression.then(|| Coding::accepted(&parts.headers))?
}

/// Opens a session on long-polling; responds with the opening packet.
fn open_polling(acceptor: &Acceptor, mut parts: Parts) -> Response<ResponseBody> {
    let core = &acceptor.core;
    let reservation = match reserve(acceptor, &mut parts) {
        Ok(reservation) => reservation,
        Err(unavailable) => return turn_away(core, unavailable),
    };
    let handshake = Handshake::new(&mut parts);
    drop(parts);
    let session = EngineSession::new(core, Transport::Polling);
    if acceptor.open(&session, handshake, reservation).is_err() {
        return if core.admission.is_shut_down() {
            turn_away(core, Unavailable::Draining)
        } else {
            response::empty(500)
        };
    }
    session.drive_here();
    let mut response = response::payload(acceptor.open_packet(&session));
    if let Some(cookie) = &core.config.cookie {
        let cookie = cookie.header(session.sid.as_str());
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// Responds to a WebSocket handshake and takes the connection over; opens a session if there is no
/// other purpose.
fn switch(acceptor: &Arc<Acceptor>, mut parts: Parts, purpose: Option<Purpose>) -> Response<ResponseBody> {
    let core = &*acceptor.core;
    let accept = handshake::accept_key(&parts.headers);
    let (Some(accept), Some(connection)) = (accept, parts.extensions.remove::<OnUpgrade>()) else {
        let mut response = refuse(core, Refusal::BadRequest, true);
        response
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return response;
    };
    let offered = core.config.per_message_deflate;
    let extension = offered.then(|| deflate::negotiate(&parts.headers)).flatten();
    let terms = Terms {
        deflate: extension.is_some(),
        base64: route::wants_base64(&parts),
    };
    let purpose = match purpose {
        Some(purpose) => purpose,
        None => {
            let reservation = match reserve(acceptor, &mut parts) {
                Ok(reservation) => reservation,
                Err(unavailable) => return turn_away(core, unavailable),
            };
            Purpose::Open(Box::new((Handshake::new(&mut parts), reservation)))
        }
    };
    accept::accept(acceptor, connection, purpose, terms);
    let mut response = response::switching_protocols(accept, extension);
    if let Some(protocol) = handshake::first_protocol(&parts.headers) {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

/// Reserves a place for the session of a client, whose address a proxy may have named.
fn reserve(acceptor: &Acceptor, parts: &mut Parts) -> Result<Reservation, Unavailable> {
    acceptor.core.config.trusted_proxies.resolve(parts);
    let peer = parts.extensions.get::<PeerAddr>().map(|peer| peer.0.ip());
    acceptor.reserve(peer)
}

/// Counts and logs a valid handshake that is not accepted now; returns the response.
fn turn_away(core: &Core, unavailable: Unavailable) -> Response<ResponseBody> {
    core.counters.refused.add(1);
    match unavailable {
        Unavailable::TooManyHandshakes => {
            core.counters.handshakes_limited.add(1);
            core.logs
                .rate
                .warn("a handshake was refused: too many a second, of its address or of all together");
        }
        Unavailable::Full => {
            core.counters.handshakes_unavailable.add(1);
            core.logs
                .full
                .warn("a handshake was refused: there are too many sessions");
        }
        Unavailable::Draining => {
            core.counters.handshakes_unavailable.add(1);
            quietly(|| tracing::debug!(target: "engine_io", "a handshake was refused: the server is shutting down"));
        }
    }
    response::try_later()
}
