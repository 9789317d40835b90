//! A namespace: its handlers, and the way to its clients.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use manager_api::{Broadcast, EventName, Namespace as Name, Room};

use crate::handler::{BoxHandler, ConnectContext, DisconnectContext, EventContext, Handler, boxed};
use crate::server::SocketIo;

/// What a namespace is made of, shared by the handles and the clients of it.
pub(crate) struct NamespaceState {
    pub(crate) name: Name,
    handlers: RwLock<Handlers>,
}

#[derive(Default)]
struct Handlers {
    connect: Option<BoxHandler<ConnectContext>>,
    disconnect: Option<BoxHandler<DisconnectContext>>,
    events: HashMap<EventName, BoxHandler<EventContext>>,
}

impl NamespaceState {
    pub(crate) fn new(name: Name) -> Arc<Self> {
        let handlers = RwLock::default();
        Arc::new(Self { name, handlers })
    }

    pub(crate) fn on_connect(&self) -> Option<BoxHandler<ConnectContext>> {
        self.read(|handlers| handlers.connect.clone())
    }

    pub(crate) fn on_disconnect(&self) -> Option<BoxHandler<DisconnectContext>> {
        self.read(|handlers| handlers.disconnect.clone())
    }

    pub(crate) fn on_event(&self, name: &str) -> Option<(EventName, BoxHandler<EventContext>)> {
        self.read(|handlers| {
            let (name, handler) = handlers.events.get_key_value(name)?;
            Some((name.clone(), handler.clone()))
        })
    }

    fn read<R>(&self, look: impl FnOnce(&Handlers) -> R) -> R {
        look(&self.handlers.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut Handlers)) {
        change(&mut self.handlers.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A namespace of a server: register its handlers here.
///
/// One handler per event; a later registration replaces an earlier one. Handlers of one client run one after the other, in the order in
/// which its events came.
#[derive(Clone)]
pub struct Namespace {
    io: SocketIo,
    state: Arc<NamespaceState>,
}

impl Namespace {
    pub(crate) fn new(io: SocketIo, state: Arc<NamespaceState>) -> Self {
        Self { io, state }
    }

    /// Returns the name.
    pub fn name(&self) -> &Name {
        &self.state.name
    }

    /// Registers the handler that accepts or refuses clients. Without one, everybody is accepted.
    ///
    /// Until it has accepted, the client gets nothing of the namespace: what the handler itself sends it, and the rooms it enters it
    /// into, take effect with the acceptance. A handler that fails or panics refuses.
    ///
    /// ```
    /// # use socket_io::{Auth, Refusal, Socket, SocketIo};
    /// # let io = SocketIo::new();
    /// io.namespace("/").on_connect(async |socket: Socket, Auth(token): Auth<Option<String>>| {
    ///     if token.is_none() {
    ///         return Err(Refusal::new("who are you?"));
    ///     }
    ///     socket.join("guests").map_err(|error| Refusal::new(error.to_string()))
    /// });
    /// ```
    pub fn on_connect<A>(&self, handler: impl Handler<ConnectContext, A>) -> &Self {
        self.state.write(|handlers| handlers.connect = Some(boxed(handler)));
        self
    }

    /// Registers the handler that learns of clients that have left. They are in no room any more.
    pub fn on_disconnect<A>(&self, handler: impl Handler<DisconnectContext, A>) -> &Self {
        self.state.write(|handlers| handlers.disconnect = Some(boxed(handler)));
        self
    }

    /// Registers the handler of an event. What it returns is the acknowledgement, if the client asked for one.
    ///
    /// ```
    /// # use socket_io::{Data, Socket, SocketIo};
    /// # let io = SocketIo::new();
    /// io.namespace("/").on("add", async |Data((a, b)): Data<(i64, i64)>| a + b);
    /// ```
    ///
    /// # Panics
    ///
    /// If the name is empty or reserved by Socket.IO: `connect` and `disconnect` have methods of their own.
    pub fn on<A>(&self, event: &str, handler: impl Handler<EventContext, A>) -> &Self {
        let event = EventName::new(event).unwrap_or_else(|error| panic!("{error}"));
        self.state
            .write(|handlers| drop(handlers.events.insert(event, boxed(handler))));
        self
    }

    /// Starts an event for everybody in this namespace.
    pub fn broadcast(&self) -> Broadcast {
        self.io.broadcast().of(self.state.name.as_str())
    }

    /// Starts an event for a room of this namespace, or for one client by its id.
    pub fn to(&self, room: impl Into<Room>) -> Broadcast {
        self.broadcast().to(room)
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
