//! The acceptor of an engine: turns valid handshakes into engine sessions.

use std::net::IpAddr;
use std::sync::Arc;

use crate::close::CloseReason;
use crate::config::{Transport, Transports};
use crate::connection::admission::Reservation;
use crate::connection::core::Core;
use crate::connection::session::EngineSession;
use crate::handler::Handler;
use crate::http::handshake::Handshake;
use crate::log::quietly;
use crate::socket::Socket;

/// The core of an engine, and the handler that makes its sessions.
pub(crate) struct Acceptor {
    /// The core that all sessions of the engine share.
    pub(crate) core: Arc<Core>,
    /// Makes the session of the protocol above for each client.
    handler: Box<dyn Handler>,
}

/// The reason for which a valid handshake is not accepted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unavailable {
    /// The engine drains, or was shut down.
    Draining,
    /// There are as many sessions as there may be.
    Full,
    /// More came within a second, from all addresses or from this one, than are accepted.
    TooManyHandshakes,
}

/// There is no session; its connection is closed.
pub(crate) struct NotOpened;

impl Acceptor {
    /// Creates the acceptor of an engine.
    pub(crate) fn new(core: Core, handler: Box<dyn Handler>) -> Self {
        Self {
            core: Arc::new(core),
            handler,
        }
    }

    /// Reserves a place for a session of a client with this address; the handler may make room for it.
    pub(crate) fn reserve(&self, peer: Option<IpAddr>) -> Result<Reservation, Unavailable> {
        let admission = &self.core.admission;
        if admission.is_draining() {
            return Err(Unavailable::Draining);
        }
        if !self.core.rates.admit(peer) {
            return Err(Unavailable::TooManyHandshakes);
        }
        let reservation = admission.try_reserve().or_else(|| {
            let has_room = self.handler.make_room();
            has_room.then(|| admission.try_reserve()).flatten()
        });
        reservation.ok_or(Unavailable::Full)
    }

    /// Puts a session on the table and calls the handler for it.
    pub(crate) fn open(
        &self,
        session: &Arc<EngineSession>,
        handshake: Handshake,
        reservation: Reservation,
    ) -> Result<(), NotOpened> {
        let core = &self.core;
        reservation.keep();
        core.note_runtime();
        let transport = session.state().transport;
        if transport == Transport::Polling {
            core.counters.polling.raise();
        }
        core.sessions.insert(session.sid, session.clone());
        core.counters.opened.add(1);
        quietly(|| tracing::debug!(target: "engine_io", transport = transport.as_str(), "a session opened"));
        // A WebSocket's place was reserved before its handshake ended; a shutdown may have closed
        // all others meanwhile.
        if core.admission.is_shut_down() {
            session.fail(CloseReason::ServerShutdown);
            return Err(NotOpened);
        }
        let due = core.clock.after(core.limits.heartbeat.interval);
        session.schedule(&mut session.state(), due);
        let socket = Socket::new(session.clone());
        session
            .open(|| self.handler.open(socket, handshake))
            .map_err(|_| NotOpened)
    }

    /// Returns the packet that tells a client the id of its session, and the settings.
    pub(crate) fn open_packet(&self, session: &EngineSession) -> String {
        let config = &self.core.config;
        let polling = session.state().transport == Transport::Polling;
        let upgrades = if polling && config.allow_upgrades && config.transports == Transports::Both {
            r#""websocket""#
        } else {
            ""
        };
        format!(
            r#"0{{"sid":"{}","upgrades":[{upgrades}],"pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
            session.sid.as_str(),
            config.ping_interval.as_millis(),
            config.ping_timeout.as_millis(),
            config.max_payload,
        )
    }
}
