//! A namespace: its handlers, and the way to its clients.

mod directory;
mod handlers;

use std::ops::Deref;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use manager_api::{Broadcast, Error, EventName, NamespaceName, Room, Sid};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Refusal;
use crate::handler::{BoxHandler, ConnectContext, DisconnectContext, EventContext, MiddlewareContext};
use crate::server::SocketIo;
use crate::socket::Socket;

pub(crate) use directory::Directory;
pub use handlers::Handlers;
pub(crate) use handlers::Table;

/// What a namespace is made of, shared by the handles and the clients of it.
pub(crate) struct NamespaceState {
    pub(crate) name: NamespaceName,
    own: Handlers,
    /// Those of the condition that let it come into being.
    group: Option<Handlers>,
    any: Handlers,
    directory: Weak<Directory>,
}

impl NamespaceState {
    /// Returns what decides about a client that connects: the middleware and the handler, if there are any.
    pub(crate) fn on_connect(&self) -> Option<BoxHandler<ConnectContext>> {
        let handler = self.find(|table| table.connect.clone());
        let mut steps: Vec<_> = self.outer_first().flat_map(Handlers::before_connect).collect();
        if steps.is_empty() {
            return handler;
        }
        steps.extend(handler);
        Some(in_order(steps.into()))
    }

    pub(crate) fn on_disconnect(&self) -> Option<BoxHandler<DisconnectContext>> {
        self.find(|table| table.disconnect.clone())
    }

    pub(crate) fn on_event(&self, name: &str) -> Option<(EventName, BoxHandler<EventContext>)> {
        self.find(|table| table.event(name))
    }

    /// Returns what an event has to pass; `None` if nothing.
    pub(crate) fn before_event(&self) -> Option<Vec<BoxHandler<MiddlewareContext>>> {
        let is_filtered = self.outer_first().any(Handlers::filters_events);
        is_filtered.then(|| self.outer_first().flat_map(Handlers::before_event).collect())
    }

    /// Looks through the functions, then through the methods of types, the nearest first.
    fn find<R>(&self, look: impl Fn(&Table) -> Option<R>) -> Option<R> {
        let nearest_first = || {
            [Some(&self.own), self.group.as_ref(), Some(&self.any)]
                .into_iter()
                .flatten()
        };
        nearest_first()
            .find_map(|handlers| handlers.function(&look))
            .or_else(|| nearest_first().find_map(|handlers| handlers.method(&look)))
    }

    fn outer_first(&self) -> impl Iterator<Item = &Handlers> {
        [Some(&self.any), self.group.as_ref(), Some(&self.own)]
            .into_iter()
            .flatten()
    }
}

impl Drop for NamespaceState {
    fn drop(&mut self) {
        if let Some(directory) = self.directory.upgrade() {
            directory.forget(&self.name);
        }
    }
}

/// Runs one after the other, until one refuses.
fn in_order(steps: Arc<[BoxHandler<ConnectContext>]>) -> BoxHandler<ConnectContext> {
    Arc::new(move |context: ConnectContext| {
        let steps = steps.clone();
        Ok(Box::pin(async move {
            for step in &*steps {
                match step(context.clone()) {
                    Ok(future) => future.await?,
                    Err(rejection) => {
                        crate::log::unfit_connect(&context.socket, &rejection);
                        return Err(Refusal::default());
                    }
                }
            }
            Ok(())
        }))
    })
}

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

    /// Starts an event for everybody in this namespace.
    pub fn broadcast(&self) -> Broadcast {
        self.io.broadcast().of(self.state.name.as_str())
    }

    /// Starts an event for a room of this namespace, or for one client by its id.
    pub fn to(&self, room: impl Into<Room>) -> Broadcast {
        self.broadcast().to(room)
    }

    /// Emits an event to everybody in this namespace; see [`Broadcast::emit`].
    ///
    /// # Errors
    ///
    /// As [`Broadcast::emit`].
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> BoxFuture<'static, Result<(), Error>> {
        self.broadcast().emit(event, data)
    }

    /// Emits `message` to everybody in this namespace; see [`Broadcast::send`].
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
        event: &str,
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

    /// Takes everybody out of a room, on every server; the clients are not told.
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
    /// # use socket_io::{Sid, SocketIo};
    /// # fn example(io: SocketIo, sid: Sid) {
    /// if let Some(socket) = io.namespace("/").socket(&sid) {
    ///     println!("{} is in {:?}", socket.id(), socket.rooms());
    /// }
    /// # }
    /// ```
    pub fn socket(&self, sid: &Sid) -> Option<Socket> {
        self.io.server().hub.registry().get(self.name(), sid).map(Socket::new)
    }

    /// Returns the rooms of a client of this server, its own first; none if it is not here.
    pub fn rooms(&self, sid: &Sid) -> Vec<Room> {
        self.io
            .server()
            .hub
            .registry()
            .rooms_of(self.name(), sid)
            .unwrap_or_default()
    }

    /// Returns the number of clients of this namespace on this server.
    pub fn num_clients(&self) -> usize {
        self.io.server().hub.registry().num_clients(&self.state.name)
    }
}

impl std::fmt::Debug for Namespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Namespace")
            .field("name", &self.state.name)
            .finish_non_exhaustive()
    }
}
