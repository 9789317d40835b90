//! The handle of a server.

use std::sync::Arc;
use std::time::Duration;

use engine_io::Engine;
use futures_util::future::BoxFuture;
use manager_api::id::{IntoEventName, IntoNamespaceName};
use manager_api::{Broadcast, Error, Health, Room};
use serde::Serialize;
#[cfg(feature = "admin")]
use tokio::task::AbortHandle;

use super::state::Server;
use crate::client::Observe;
use crate::connection::Core;
use crate::extract::{FromContext, Rejection};
use crate::handler::{Context, Handlers};
use crate::metrics::Metrics;
use crate::namespace::Namespace;
use crate::socket::Socket;

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
    /// Returns a namespace, to register handlers. Clients can connect to it from now on; to `/` they always can.
    ///
    /// # Panics
    ///
    /// If the name does not begin with `/` or holds a comma.
    pub fn namespace(&self, name: impl IntoNamespaceName) -> Namespace {
        let name = name.into_namespace_name().unwrap_or_else(|error| panic!("{error}"));
        Namespace::new(self.clone(), self.server.namespaces.named(name))
    }

    /// Returns the handlers of every namespace, for what none of its own handles. Clients can connect to any namespace from now on.
    ///
    /// A namespace that was not [named](Self::namespace) exists while it has clients; [`Config`](crate::config::Config) bounds how many there are.
    ///
    /// ```
    /// # use socket_io::SocketIo;
    /// # use socket_io::manager_api::NamespaceName;
    /// # let io = SocketIo::new();
    /// io.any_namespace().on("where am I", async |namespace: NamespaceName| namespace.to_string());
    /// ```
    pub fn any_namespace(&self) -> Handlers {
        self.server.namespaces.any()
    }

    /// Returns the handlers of namespaces whose name fulfils a condition, and which were not [named](Self::namespace). Clients can connect
    /// to them from now on.
    ///
    /// The condition is asked when a client wants to connect and the namespace does not exist; the first that holds decides, in the order
    /// of registration. The namespace exists while it has clients; [`Config`](crate::config::Config) bounds how many there are.
    ///
    /// ```
    /// # use socket_io::SocketIo;
    /// # use socket_io::manager_api::NamespaceName;
    /// # let io = SocketIo::new();
    /// io.namespaces_where(|name| name.starts_with("/game-")).on("ping", async || "pong");
    /// ```
    pub fn namespaces_where(&self, condition: impl Fn(&str) -> bool + Send + Sync + 'static) -> Handlers {
        self.server.namespaces.add_group(Arc::new(condition))
    }

    /// Starts an event for all clients in `/`, on every server.
    pub fn broadcast(&self) -> Broadcast {
        self.server.core.hub.broadcast()
    }

    /// Starts an event in a namespace.
    pub fn of(&self, namespace: impl IntoNamespaceName) -> Broadcast {
        self.broadcast().of(namespace)
    }

    /// Starts an event for a room of `/`, or for one client by its id.
    pub fn to(&self, room: impl Into<Room>) -> Broadcast {
        self.broadcast().to(room)
    }

    /// Emits an event to all clients in `/`; see [`Broadcast::emit`].
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

    /// Completes once this server hears the others; at once if it has no manager.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn ready(&self) {
        self.server.core.hub.subscribed().await;
    }

    /// Refuses new clients, with the status 503 and a `Retry-After`, and disconnects the others, spread at random over a time: they come back
    /// to other servers, not all at once. Returns when the last was told to leave; [`close`](Self::close) is next, which flushes, and which
    /// [`serve`](crate::serve()) calls itself once its shutdown signal completes.
    ///
    /// Requests have to be answered meanwhile: clients on long-polling need them. With few clients it takes less time, a tenth of a second for
    /// each.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # async fn example(io: &socket_io::SocketIo, signal: impl Future<Output = ()>) {
    /// signal.await;
    /// io.drain(Duration::from_secs(20)).await; // a readiness probe that asks `is_draining` fails from here on
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped new clients are still refused, and those that are left stay.
    pub async fn drain(&self, over: Duration) {
        self.engine().drain(over).await;
    }

    /// Returns whether new clients are refused, because the server [drains](Self::drain) or is closed: a load balancer should send no more.
    pub fn is_draining(&self) -> bool {
        self.engine().is_draining()
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
        self.server.core.hub.close().await
    }

    /// Returns the counters as they stand.
    pub fn metrics(&self) -> Metrics {
        let (num_clients, num_rooms) = self.server.core.hub.registry().size();
        let observer = &self.server.core.hub.deliver().observer;
        Metrics {
            engine: self.engine().metrics(),
            hub: self.server.core.hub.metrics(),
            num_clients,
            num_rooms,
            num_dynamic_namespaces: self.server.namespaces.num_dynamic(),
            handler_panics: self.server.core.counters.panics(),
            handler_failures: self.server.core.counters.failures(),
            admin_dropped: observer.of_all().map_or(0, Observe::num_dropped),
            num_unjoined: self.server.core.unjoined.len(),
            unjoined_shed: self.server.core.unjoined.num_shed(),
            queued_event_bytes: self.server.core.queued.used(),
            queue_shed: self.server.core.queued.num_shed(),
            event_pauses: self.server.core.counters.event_pauses(),
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
        self.server.core.hub.health()
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

    pub(crate) fn core(&self) -> &Core {
        &self.server.core
    }

    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.server
    }
}

impl std::fmt::Debug for SocketIo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SocketIo")
            .field("hub", &self.server.core.hub)
            .finish_non_exhaustive()
    }
}

impl Socket {
    /// Returns the server.
    pub fn io(&self) -> SocketIo {
        let server = self.client().connection.server.clone();
        SocketIo::from_server(server.downcast().expect("connections are opened by a server"))
    }
}

impl<C: Context> FromContext<C> for SocketIo {
    async fn from_context(context: &C) -> Result<Self, Rejection> {
        Ok(context.socket().io())
    }
}
