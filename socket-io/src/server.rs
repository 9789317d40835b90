//! The server: what namespaces, connections and the other servers meet in.

use std::sync::{Arc, OnceLock, Weak};

use engine_io::{Engine, Handler, Handshake, Message, ProtocolError, Session};
use hub::{Hub, HubMetrics};
use manager_api::{Broadcast, ClientManager, Error, Health, NamespaceName, Room};
use serde::Serialize;
use tokio::task::AbortHandle;

use crate::client::{Connecting, HubDelivery};
use crate::config::Config;
use crate::connection::{Connection, ConnectionSession};
use crate::counters::Counters;
use crate::handler::States;
use crate::namespace::{Directory, Handlers, Namespace};
use crate::observe::{Observe, Observer};
use crate::unjoined::Unjoined;

pub(crate) struct Server {
    pub(crate) config: Config,
    pub(crate) hub: Arc<Hub<HubDelivery>>,
    pub(crate) states: States,
    pub(crate) namespaces: Arc<Directory>,
    pub(crate) counters: Counters,
    pub(crate) unjoined: Unjoined,
    engine: OnceLock<Engine>,
    listening: OnceLock<AbortHandle>,
    /// What tells administrators.
    telling: OnceLock<AbortHandle>,
}

impl Server {
    pub(crate) fn engine(&self) -> &Engine {
        self.engine.get().expect("set by the builder")
    }
}

impl Server {
    pub(crate) fn connecting(&self) -> &Connecting {
        &self.hub.deliver().connecting
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for task in [&self.listening, &self.telling] {
            if let Some(task) = task.get() {
                task.abort();
            }
        }
    }
}

/// A Socket.IO server. Cloning is cheap; clones are the same server.
///
/// ```
/// # use socket_io::{Data, Socket, SocketIo};
/// let io = SocketIo::new();
/// io.namespace("/").on("say", async |socket: Socket, io: SocketIo, Data(text): Data<String>| {
///     io.to("lobby").skip(socket.id()).emit("said", &text).await
/// });
/// ```
#[derive(Clone)]
pub struct SocketIo {
    server: Arc<Server>,
}

impl SocketIo {
    /// Makes a server with the default configuration and no other servers beside it.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Starts a server that is configured first.
    pub fn builder() -> SocketIoBuilder {
        SocketIoBuilder::default()
    }

    /// Returns a namespace, to register handlers. Clients can connect to it from now on; to `/` they always can.
    ///
    /// # Panics
    ///
    /// If the name does not begin with `/` or holds a comma.
    pub fn namespace(&self, name: &str) -> Namespace {
        let name = NamespaceName::new(name).unwrap_or_else(|error| panic!("{error}"));
        Namespace::new(self.clone(), self.server.namespaces.named(name))
    }

    /// Returns the handlers of every namespace, for what none of its own handles. Clients can connect to any namespace from now on.
    ///
    /// A namespace that nobody named exists while it has clients; [`Config`] bounds how many there are.
    ///
    /// ```
    /// # use socket_io::{NamespaceName, SocketIo};
    /// # let io = SocketIo::new();
    /// io.any_namespace().on("where am I", async |namespace: NamespaceName| namespace.to_string());
    /// ```
    pub fn any_namespace(&self) -> Handlers {
        self.server.namespaces.any()
    }

    /// Returns the handlers of namespaces whose name fulfils a condition, and which nobody [named](Self::namespace). Clients can connect
    /// to them from now on.
    ///
    /// The condition is asked when a client wants to connect and the namespace does not exist; the first that holds decides, in the order
    /// of registration. The namespace exists while it has clients; [`Config`] bounds how many there are.
    ///
    /// ```
    /// # use socket_io::{NamespaceName, SocketIo};
    /// # let io = SocketIo::new();
    /// io.namespaces_where(|name| name.starts_with("/game-")).on("ping", async || "pong");
    /// ```
    pub fn namespaces_where(&self, condition: impl Fn(&str) -> bool + Send + Sync + 'static) -> Handlers {
        self.server.namespaces.add_group(Arc::new(condition))
    }

    /// Starts an event for everybody in `/`, on every server.
    pub fn broadcast(&self) -> Broadcast {
        self.server.hub.broadcast()
    }

    /// Starts an event in a namespace.
    pub fn of(&self, namespace: &str) -> Broadcast {
        self.broadcast().of(namespace)
    }

    /// Starts an event for a room of `/`, or for one client by its id.
    pub fn to(&self, room: impl Into<Room>) -> Broadcast {
        self.broadcast().to(room)
    }

    /// Emits an event to everybody in `/`; see [`Broadcast::emit`].
    ///
    /// # Errors
    ///
    /// As [`Broadcast::emit`].
    pub async fn emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<(), Error> {
        self.broadcast().emit(event, data).await
    }

    /// Completes once this server hears the others; at once if it has no manager.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn ready(&self) {
        self.server.hub.subscribed().await;
    }

    /// Disconnects every client, waits for their handlers, says bye to the other servers, then flushes and closes the manager.
    ///
    /// # Errors
    ///
    /// If the manager cannot be flushed; everything is closed all the same.
    pub async fn close(&self) -> Result<(), Error> {
        self.engine().shutdown().await;
        if let Some(telling) = self.server.telling.get() {
            telling.abort();
        }
        self.server.hub.close().await
    }

    /// Returns the counters as they stand.
    pub fn metrics(&self) -> Metrics {
        let (num_clients, num_rooms) = self.server.hub.registry().size();
        let observer = &self.server.hub.deliver().observer;
        Metrics {
            engine: self.engine().metrics(),
            hub: self.server.hub.metrics(),
            num_clients,
            num_rooms,
            num_dynamic_namespaces: self.server.namespaces.num_dynamic(),
            handler_panics: self.server.counters.panics(),
            handler_failures: self.server.counters.failures(),
            admin_dropped: observer.of_all().map_or(0, Observe::num_dropped),
            num_unjoined: self.server.unjoined.len(),
            unjoined_shed: self.server.unjoined.num_shed(),
        }
    }

    /// Returns how the connections of the manager to its broker are; `None` if the server has no manager.
    ///
    /// ```
    /// # use socket_io::SocketIo;
    /// # fn example(io: &SocketIo) -> bool {
    /// // Whether this server hears the others now, for a readiness probe.
    /// io.health().is_none_or(|health| health.listening_since.is_some())
    /// # }
    /// ```
    pub fn health(&self) -> Option<Health> {
        self.server.hub.health()
    }

    /// Returns the transport below, for those who answer HTTP requests themselves.
    pub fn engine(&self) -> &Engine {
        self.server.engine()
    }

    /// Keeps the task that tells administrators; it ends with the server.
    #[cfg(feature = "admin")]
    pub(crate) fn set_telling(&self, task: AbortHandle) {
        self.server.telling.get_or_init(|| task);
    }

    pub(crate) fn from_server(server: Arc<Server>) -> Self {
        Self { server }
    }

    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.server
    }
}

impl Default for SocketIo {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for SocketIo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SocketIo")
            .field("hub", &self.server.hub)
            .finish_non_exhaustive()
    }
}

/// What a server counts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Metrics {
    /// Connections, packets, bytes.
    pub engine: engine_io::Metrics,
    /// What passes between the servers.
    pub hub: HubMetrics,
    /// Clients that are connected to this server now, in all namespaces.
    pub num_clients: usize,
    /// Rooms that have a member on this server now; those named by a client's id do not count.
    pub num_rooms: usize,
    /// Namespaces that exist only because they have clients on this server.
    pub num_dynamic_namespaces: usize,
    /// Handlers of clients and middleware that panicked. Their clients stay, but for those that were connecting.
    pub handler_panics: u64,
    /// Handlers of events and disconnections that returned an error; one of a disconnection that could not be called counts, too.
    pub handler_failures: u64,
    /// What administrators (feature `admin`) were not told of because it was too much.
    pub admin_dropped: u64,
    /// Connections that have joined no namespace yet; see [`Config::max_unjoined`].
    pub num_unjoined: usize,
    /// Such connections that were closed because there were too many of them.
    pub unjoined_shed: u64,
}

/// Configures a [`SocketIo`].
#[derive(Default)]
#[must_use = "nothing is made before `build`"]
pub struct SocketIoBuilder {
    config: Config,
    manager: Option<Arc<dyn ClientManager>>,
    states: States,
    #[cfg(feature = "admin")]
    admin: Option<crate::admin::Admin>,
}

impl SocketIoBuilder {
    /// Shares the work with every other server and emitter on the manager's channel. A manager that others use too is given in an [`Arc`].
    pub fn manager(mut self, manager: impl ClientManager) -> Self {
        self.manager = Some(Arc::new(manager));
        self
    }

    /// Replaces the configuration.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Changes the configuration.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Adds a value that handlers can ask for by [`State`](crate::State); one of each type.
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.states.insert(state);
        self
    }

    /// Lets the official Admin UI look at the server; see [`Admin`](crate::Admin).
    ///
    /// Servers on one channel that are instrumented alike are seen together.
    #[cfg(feature = "admin")]
    pub fn instrument(mut self, admin: crate::admin::Admin) -> Self {
        self.admin = Some(admin);
        self
    }

    /// Makes the server and, if it has a manager, begins to listen to the others.
    ///
    /// # Panics
    ///
    /// With a manager, or if it is instrumented, if called outside a tokio runtime.
    pub fn build(self) -> SocketIo {
        let has_manager = self.manager.is_some();
        #[cfg(feature = "admin")]
        let (feed, observer) = match self.admin.map(crate::admin::AdminFeed::new) {
            Some((feed, receiver)) => (Some((feed.clone(), receiver)), Observer::new(feed)),
            None => (None, Observer::default()),
        };
        #[cfg(not(feature = "admin"))]
        let observer = Observer::default();
        let delivery = HubDelivery {
            parser: self.config.parser,
            observer,
            connecting: Connecting::default(),
        };
        let server = Arc::new(Server {
            hub: Hub::new(delivery, self.manager, self.config.hub.clone()),
            counters: Counters::default(),
            unjoined: Unjoined::new(&self.config),
            namespaces: Directory::new(&self.config),
            config: self.config,
            states: self.states,
            engine: OnceLock::new(),
            listening: OnceLock::new(),
            telling: OnceLock::new(),
        });
        server.namespaces.named(NamespaceName::root());
        let opener = Opener(Arc::downgrade(&server));
        let engine = Engine::new(opener, server.config.engine.clone());
        server.engine.get_or_init(|| engine);
        if has_manager {
            let task = tokio::spawn(server.hub.clone().run());
            server.listening.get_or_init(|| task.abort_handle());
        }
        #[cfg(feature = "admin")]
        if let Some((feed, receiver)) = feed {
            crate::admin::start(&SocketIo::from_server(server.clone()), feed, receiver);
        }
        SocketIo { server }
    }
}

impl std::fmt::Debug for SocketIoBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SocketIoBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Opens connections. Weak, because the server holds the engine that holds this.
struct Opener(Weak<Server>);

impl Handler for Opener {
    fn open(&self, socket: engine_io::Socket, handshake: Handshake) -> Box<dyn Session> {
        let Some(server) = self.0.upgrade() else {
            socket.close();
            return Box::new(NoServer);
        };
        let connection = Connection::new(socket, handshake, server);
        connection.server.unjoined.watch(&connection);
        Box::new(ConnectionSession::new(connection))
    }

    fn make_room(&self) -> bool {
        self.0.upgrade().is_some_and(|server| server.unjoined.make_room())
    }
}

/// The session of a client whose server is gone.
struct NoServer;

impl Session for NoServer {
    fn message(&mut self, _: Message<'_>) -> Result<(), ProtocolError> {
        Err(ProtocolError::new("the server is gone"))
    }
}
