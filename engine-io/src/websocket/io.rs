//! Taking a connection over from the HTTP server, down to its bare socket if possible.

use std::sync::Arc;

use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::engine::{Inner, Reservation};
use crate::shared::Shared;
use crate::websocket::linger::close;
use crate::websocket::probe::probe;
use crate::websocket::task::Connection;
use crate::{Handshake, Outgoing, PacedStream, Transport};

/// What a WebSocket is for.
pub(crate) enum Purpose {
    /// A session of its own.
    Open(Box<(Handshake, Reservation)>),
    /// Carrying on a session that polls.
    Upgrade(Arc<Shared>),
    /// Nothing: it is closed at once.
    Close,
}

/// What was agreed on with the client of a WebSocket.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    /// permessage-deflate.
    pub(crate) deflate: bool,
    /// The client wants bytes as base64.
    pub(crate) base64: bool,
}

/// What a WebSocket runs on.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// Serves the connection as soon as the HTTP server has let go of it.
pub(crate) fn accept(engine: &Arc<Inner>, connection: OnUpgrade, purpose: Purpose, terms: Terms) {
    let task_engine = engine.clone();
    engine.spawn_here(async move {
        // The answer may never leave; the place that is reserved must not be lost for it.
        let upgraded = tokio::time::timeout(task_engine.config.upgrade_timeout, connection).await;
        let Ok(Ok(upgraded)) = upgraded else {
            tracing::debug!(target: "engine_io", "a client left during its WebSocket handshake");
            return;
        };
        dispatch(&task_engine, upgraded, purpose, terms);
    });
}

fn dispatch(engine: &Arc<Inner>, upgraded: Upgraded, purpose: Purpose, terms: Terms) {
    let upgraded = match bare_or_paced::<TcpStream>(upgraded) {
        Ok((io, read)) => {
            engine.counters.fast_upgrades.add(1);
            // Frames leave in one write each turn; waiting for more would only delay them. Without it they still leave.
            let _ = io.set_nodelay(true);
            return serve(engine, io, read, purpose, terms);
        }
        Err(upgraded) => upgraded,
    };
    #[cfg(unix)]
    let upgraded = match bare_or_paced::<tokio::net::UnixStream>(upgraded) {
        Ok((io, read)) => {
            engine.counters.fast_upgrades.add(1);
            return serve(engine, io, read, purpose, terms);
        }
        Err(upgraded) => upgraded,
    };
    serve(engine, TokioIo::new(upgraded), Bytes::new(), purpose, terms);
}

/// Unwraps a socket, also one that was only paced for the sake of HTTP.
fn bare_or_paced<T: Io>(upgraded: Upgraded) -> Result<(T, Bytes), Upgraded> {
    match bare::<PacedStream<T>>(upgraded) {
        Ok((io, read)) => Ok((io.into_inner(), read)),
        Err(upgraded) => bare(upgraded),
    }
}

/// Unwraps the socket that hyper, or the server that recognises versions, was given, and what it read too much.
fn bare<T: Io>(upgraded: Upgraded) -> Result<(T, Bytes), Upgraded> {
    let upgraded = match upgraded.downcast::<TokioIo<T>>() {
        Ok(Parts { io, read_buf, .. }) => return Ok((io.into_inner(), read_buf)),
        Err(upgraded) => upgraded,
    };
    let parts = auto::upgrade::downcast::<TokioIo<T>>(upgraded)?;
    Ok((parts.io.into_inner(), parts.read_buf))
}

fn serve<I: Io>(engine: &Arc<Inner>, io: I, read: Bytes, purpose: Purpose, terms: Terms) {
    // The buffer is a slice of the HTTP server's; it must not live on.
    let read = read.to_vec();
    match purpose {
        Purpose::Open(opening) => {
            let (handshake, reservation) = *opening;
            let shared = Shared::new(engine, Transport::WebSocket);
            let connection = Connection::new(io, read, shared, terms);
            open(engine, connection, handshake, reservation);
        }
        Purpose::Upgrade(shared) => {
            engine.spawn_here(async move {
                if let Some((io, read)) = probe(io, read, &shared, terms).await {
                    // A panic in there has closed the connection, of which its task takes care.
                    let _ = shared.with_session(|session| session.upgraded());
                    let engine = shared.engine.clone();
                    engine.spawn_here(Connection::new(io, read, shared, terms));
                }
            });
        }
        Purpose::Close => engine.spawn_here(close(io)),
    }
}

fn open<I: Io>(engine: &Arc<Inner>, connection: Connection<I>, handshake: Handshake, reservation: Reservation) {
    let shared = connection.shared();
    let packet = Outgoing::packet(&engine.open_packet(shared));
    shared.state().outbox.push(packet);
    // The task must exist even if the session does not: it ends the connection.
    let _ = engine.open(shared, handshake, reservation);
    engine.spawn_here(connection);
}
