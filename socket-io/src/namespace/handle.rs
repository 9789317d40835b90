//! The handle of a namespace: its handlers, and the way to its clients.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use manager_api::id::IntoEventName;
use manager_api::{Broadcast, Error, NamespaceName, Room, Sid};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::handlers::Handlers;
use super::state::NamespaceState;
use crate::server::SocketIo;
use crate::socket::Socket;

/// A namespace of a server: register its [handlers](Handlers) here, and reach its clients.
///
/// ```
/// # use socket_io::SocketIo;
/// # let io = SocketIo::new();
/// io.namespace("/chat").on("ping", async || "pong");
/// ```
#[derive(Clone)]
pub struct Namespace {
    io: SocketIo,
    state: Arc<NamespaceState>,
}

impl Deref for Namespace {
    type Target = Handlers;

    fn deref(&self) -> &Handlers {
        &self.state.own
    }
}

impl Namespace {
    pub(crate) fn new(io: SocketIo, state: Arc<NamespaceState>) -> Self {
        Self { io, state }
    }

    /// Returns the name.
    pub fn name(&self) -> &NamespaceName {
        &self.state.name
    }

    /// Starts an event for all clients in this namespace.
    pub fn broadcast(&self) -> Broadcast {
        self.io.broadcast().of(&self.state.name)
    }

    /// Starts an event for a room of this namespace, or for one client by its id.
    pub fn to(&self, room: impl Into<Room>) -> Broadcast {
        self.broadcast().to(room)
    }

    /// Emits an event to all clients in this namespace; see [`Broadcast::emit`].
    ///
    /// # Errors
    ///
    /// As [`Broadcast::emit`].
    pub fn emit<T: Serialize + ?Sized>(
        &self,
        event: impl IntoEventName,
        data: &T,
    ) -> BoxFuture<'static, Result<(), Error>> {
        self.broadcast().emit(event, data)
    }

    /// Emits `message` to all clients in this namespace; see [`Broadcast::send`].
    ///
    /// # Errors
    ///
    /// As [`Broadcast::emit`].
    pub fn send<T: Serialize + ?Sized>(&self, data: &T) -> BoxFuture<'static, Result<(), Error>> {
        self.broadcast().send(data)
    }

    /// Emits an event to one client, wherever it is connected, and waits for its answer.
    ///
    /// # Errors
    ///
    /// [`Timeout`](manager_api::ErrorKind::Timeout) if no answer came, [`Malformed`](manager_api::ErrorKind::Malformed) if it does not
    /// fit `R`; otherwise as [`Broadcast::emit_with_ack`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the question.
    pub async fn call<T: Serialize + ?Sized, R: DeserializeOwned>(
        &self,
        sid: impl Into<Sid>,
        event: impl IntoEventName,
        data: &T,
        timeout: Duration,
    ) -> Result<R, Error> {
        let question = self.to(sid.into()).timeout(timeout).emit_with_ack(event, data);
        question.await?.count(1).one().await
    }

    /// Puts a client into a room, wherever it is connected.
    ///
    /// # Errors
    ///
    /// As [`Broadcast::enter_room`].
    pub fn enter_room(&self, sid: impl Into<Sid>, room: impl Into<Room>) -> BoxFuture<'static, Result<(), Error>> {
        self.broadcast().enter_room(sid, room)
    }

    /// Takes a client out of a room, wherever it is connected.
    ///
    /// # Errors
    ///
    /// As [`Broadcast::leave_room`].
    pub fn leave_room(&self, sid: impl Into<Sid>, room: impl Into<Room>) -> BoxFuture<'static, Result<(), Error>> {
        self.broadcast().leave_room(sid, room)
    }

    /// Removes all clients from a room, on every server; the clients are not told.
    ///
    /// # Errors
    ///
    /// As [`Broadcast::close_room`].
    pub fn close_room(&self, room: impl Into<Room>) -> BoxFuture<'static, Result<(), Error>> {
        self.broadcast().close_room(room)
    }

    /// Disconnects a client from this namespace, wherever it is connected.
    ///
    /// # Errors
    ///
    /// As [`Broadcast::disconnect`].
    pub fn disconnect(&self, sid: impl Into<Sid>) -> BoxFuture<'static, Result<(), Error>> {
        self.broadcast().disconnect(sid)
    }

    /// Returns a client of this server by its id; `None` if it is not here, or not accepted yet.
    ///
    /// ```
    /// # use socket_io::SocketIo;
    /// # use socket_io::manager_api::Sid;
    /// # fn example(io: SocketIo, sid: Sid) {
    /// if let Some(socket) = io.namespace("/").socket(&sid) {
    ///     println!("{} is in {:?}", socket.id(), socket.rooms());
    /// }
    /// # }
    /// ```
    pub fn socket(&self, sid: &Sid) -> Option<Socket> {
        self.io.core().hub.registry().get(self.name(), sid).map(Socket::new)
    }

    /// Returns the rooms of a client of this server, its own first; none if it is not here.
    pub fn rooms(&self, sid: &Sid) -> Vec<Room> {
        self.io
            .core()
            .hub
            .registry()
            .rooms_of(self.name(), sid)
            .unwrap_or_default()
    }

    /// Returns the number of clients of this namespace on this server.
    pub fn num_clients(&self) -> usize {
        self.io.core().hub.registry().num_clients(&self.state.name)
    }
}

impl std::fmt::Debug for Namespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Namespace")
            .field("name", &self.state.name)
            .finish_non_exhaustive()
    }
}
