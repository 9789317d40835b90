//! The takeover of a connection from the HTTP server, down to its bare socket if possible.

use std::sync::Arc;

use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;

use crate::config::Transport;
use crate::connection::acceptor::Acceptor;
use crate::connection::admission::Reservation;
use crate::connection::session::EngineSession;
use crate::http::handshake::Handshake;
use crate::http::paced::PacedStream;
use crate::log::quietly;
use crate::outgoing::Outgoing;
use crate::websocket::linger::close;
use crate::websocket::probe::probe;
use crate::websocket::stream::{Io, Terms};
use crate::websocket::task::WebSocketTask;

/// The purpose of a WebSocket.
pub(crate) enum Purpose {
    /// A session of its own.
    Open(Box<(Handshake, Reservation)>),
    /// Carrying on a session that polls.
    Upgrade(Arc<EngineSession>),
    /// Nothing: it is closed at once.
    Close,
}

/// Serves the connection as soon as the HTTP server has released it.
pub(crate) fn accept(acceptor: &Arc<Acceptor>, connection: OnUpgrade, purpose: Purpose, terms: Terms) {
    let task_acceptor = acceptor.clone();
    acceptor.core.spawn_here(async move {
        // The response may never leave; the place that is reserved must not be lost for it.
        let upgraded = tokio::time::timeout(task_acceptor.core.config.upgrade_timeout, connection).await;
        let Ok(Ok(upgraded)) = upgraded else {
            quietly(|| tracing::debug!(target: "engine_io", "a client left during its WebSocket handshake"));
            return;
        };
        dispatch(&task_acceptor, upgraded, purpose, terms);
    });
}

/// Serves the bare socket, if the connection has one.
fn dispatch(acceptor: &Acceptor, upgraded: Upgraded, purpose: Purpose, terms: Terms) {
    let upgraded = match bare_or_paced::<TcpStream>(upgraded) {
        Ok((io, read)) => {
            acceptor.core.counters.fast_upgrades.add(1);
            // Frames leave in one write each turn; waiting for more would only delay them. Without
            // it they still leave.
            let _ = io.set_nodelay(true);
            return serve(acceptor, io, read, purpose, terms);
        }
        Err(upgraded) => upgraded,
    };
    #[cfg(unix)]
    let upgraded = match bare_or_paced::<tokio::net::UnixStream>(upgraded) {
        Ok((io, read)) => {
            acceptor.core.counters.fast_upgrades.add(1);
            return serve(acceptor, io, read, purpose, terms);
        }
        Err(upgraded) => upgraded,
    };
    serve(acceptor, TokioIo::new(upgraded), Bytes::new(), purpose, terms);
}

/// Unwraps a socket, also one that was paced for HTTP.
fn bare_or_paced<T: Io>(upgraded: Upgraded) -> Result<(T, Bytes), Upgraded> {
    match bare::<PacedStream<T>>(upgraded) {
        Ok((io, read)) => Ok((io.into_inner(), read)),
        Err(upgraded) => bare(upgraded),
    }
}

/// Unwraps the socket that hyper, or its server that detects versions, was given, and the bytes
/// that it read too much.
fn bare<T: Io>(upgraded: Upgraded) -> Result<(T, Bytes), Upgraded> {
    let upgraded = match upgraded.downcast::<TokioIo<T>>() {
        Ok(Parts { io, read_buf, .. }) => return Ok((io.into_inner(), read_buf)),
        Err(upgraded) => upgraded,
    };
    let parts = auto::upgrade::downcast::<TokioIo<T>>(upgraded)?;
    Ok((parts.io.into_inner(), parts.read_buf))
}

/// Serves a stream, from the bytes `read` too much on.
fn serve<I: Io>(acceptor: &Acceptor, io: I, read: Bytes, purpose: Purpose, terms: Terms) {
    // The buffer is a slice of the HTTP server's; it must not live on.
    let read = read.to_vec();
    match purpose {
        Purpose::Open(opening) => {
            let (handshake, reservation) = *opening;
            let session = EngineSession::new(&acceptor.core, Transport::WebSocket);
            let task = WebSocketTask::new(io, read, session, terms);
            open(acceptor, task, handshake, reservation);
        }
        Purpose::Upgrade(session) => {
            acceptor.core.spawn_here(async move {
                if let Some((io, read)) = probe(io, read, &session, terms).await {
                    // A panic in there has closed the session, of which its task takes care.
                    let _ = session.call(|session| session.upgraded());
                    let core = session.core.clone();
                    core.spawn_here(WebSocketTask::new(io, read, session, terms));
                }
            });
        }
        Purpose::Close => acceptor.core.spawn_here(close(io)),
    }
}

/// Opens a session on a WebSocket, and starts its task.
fn open<I: Io>(acceptor: &Acceptor, task: WebSocketTask<I>, handshake: Handshake, reservation: Reservation) {
    let session = task.session();
    let packet = Outgoing::packet(&acceptor.open_packet(session));
    session.state().outbox.push(packet);
    // The task must exist even if the session does not: it ends the connection.
    let _ = acceptor.open(session, handshake, reservation);
    acceptor.core.spawn_here(task);
}
