//! The [`Emitter`]: emits events from any process, without a server.

mod sink;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::ack::AckStream;
use crate::ack::AckTable;
use crate::broadcast::{Scope, Sink};
use crate::cluster::{self, RequestLimits, Requester, in_time, left_until, server_event};
use crate::cluster::{ClusterRequest, Gathered, RequestKind, RoomInfo, ServerInfo, ServerResponse};
use crate::id::{IntoEventName, IntoNamespaceName};
use crate::log::{Escaped, LimitedLog, quietly};
use crate::message::{CallbackAddress, Emit, Envelope, Message};
use crate::wire::{self, Arrival, Arrivals, Messenger, Process, Python, Servers, Wire};
use crate::{Broadcast, ClientManager, Error, HostId, NamespaceName, Room, Sid};

/// Time limit of handlers of events for servers whose sender does not wait for a response.
const MAX_HANDLER_TIME: Duration = Duration::from_secs(600);

/// Emits events to the clients of every server on a channel.
///
/// It uses its manager write-only: until the first acknowledgement or response is requested, it does not subscribe and
/// leaves nothing on the broker. Cloning is cheap; clones share the connection.
///
/// ```
/// # use manager_api::Emitter;
/// # use manager_api::memory::MemoryBus;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), manager_api::Error> {
/// let emitter = Emitter::new(MemoryBus::new().manager("socketio"));
/// emitter.to("lobby").emit("job done", &serde_json::json!({"id": 7})).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Emitter {
    shared: Arc<Shared>,
}

impl Emitter {
    /// Creates an emitter over a manager, which does not connect before the first use. A shared manager is passed in an [`Arc`].
    pub fn new(manager: impl ClientManager) -> Self {
        Self::over(Python::messenger(Arc::new(manager), Process::emitter()))
    }

    /// Creates an emitter that writes its messages in another [wire](crate::wire), for servers of other software.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if the manager lacks what the wire needs.
    pub fn with_wire(manager: impl ClientManager, wire: &dyn Wire) -> Result<Self, Error> {
        Ok(Self::over(wire.open(Arc::new(manager), Process::emitter())?))
    }

    fn over(messenger: Arc<dyn Messenger>) -> Self {
        let host_id = messenger.process().host_id.clone();
        let shared = Shared {
            messenger,
            requester: Arc::new(Requester::new(host_id.clone(), RequestLimits::default())),
            max_timeout: MAX_HANDLER_TIME,
            host_id,
            acks: Arc::default(),
            listening: Mutex::default(),
            discovery_started: Mutex::default(),
            had_gap: Arc::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Starts an event for all clients in `/`.
    pub fn broadcast(&self) -> Broadcast {
        Broadcast::new(self.shared.clone())
    }

    /// Starts an event in a namespace.
    pub fn of(&self, namespace: impl IntoNamespaceName) -> Broadcast {
        self.broadcast().of(namespace)
    }

    /// Starts an event for a room, or a client by its id, in `/`.
    pub fn to(&self, room: impl Into<Room>) -> Broadcast {
        self.broadcast().to(room)
    }

    /// Emits to all clients in `/`; see [`Broadcast::emit`].
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

    /// Disconnects a client of `/`; see [`Broadcast::disconnect`].
    ///
    /// # Errors
    ///
    /// As [`Broadcast::disconnect`].
    pub fn disconnect(&self, sid: impl Into<Sid>) -> BoxFuture<'static, Result<(), Error>> {
        self.broadcast().disconnect(sid)
    }

    /// Lists the servers and their status. The first request of an emitter subscribes, and waits a second for the servers to announce
    /// themselves; so does the first request after messages may have been missed.
    ///
    /// # Errors
    ///
    /// [`Busy`](crate::ErrorKind::Busy) if 1,024 requests are open, otherwise those of [`ClientManager::subscribe`] and
    /// [`ClientManager::publish`]. A server that does not respond is not an error.
    pub async fn servers(&self, timeout: Duration) -> Result<Gathered<Vec<ServerInfo>>, Error> {
        let responses = Sink::request(self.shared.clone(), RequestKind::Servers, Scope::Cluster, timeout).await?;
        Ok(cluster::servers(responses).await)
    }

    /// Lists the rooms of a namespace whose names start with `prefix`, with the numbers of their members on all
    /// servers. The rooms named by the ids of clients are left out; so are servers of python-socketio.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if the namespace cannot be used, otherwise as [`servers`](Self::servers).
    pub async fn rooms(
        &self,
        namespace: impl IntoNamespaceName,
        prefix: &str,
        timeout: Duration,
    ) -> Result<Gathered<Vec<RoomInfo>>, Error> {
        let limits = self.shared.requester.limits;
        let kind = RequestKind::Rooms {
            namespace: namespace.into_namespace_name()?,
            prefix: prefix.to_owned(),
            limit: limits.max_sockets,
        };
        let responses = Sink::request(self.shared.clone(), kind, Scope::Cluster, timeout).await?;
        Ok(cluster::rooms(responses, (limits.max_sockets, limits.max_sockets_bytes)).await)
    }

    /// Sends an event to every server, for its handlers and not for clients.
    ///
    /// # Errors
    ///
    /// As [`Broadcast::emit`].
    pub async fn server_side_emit<T: Serialize + ?Sized>(
        &self,
        event: impl IntoEventName,
        data: &T,
    ) -> Result<(), Error> {
        let request = ClusterRequest {
            id: None,
            kind: server_event(event, data)?,
            timeout: self.shared.max_timeout,
        };
        self.shared.publish(Message::Request(request)).await
    }

    /// Sends an event to every server and collects the responses.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if event or payload cannot be used, otherwise as
    /// [`servers`](Self::servers).
    pub async fn server_side_call<T: Serialize + ?Sized>(
        &self,
        event: impl IntoEventName,
        data: &T,
        timeout: Duration,
    ) -> Result<Gathered<Vec<ServerResponse>>, Error> {
        let kind = server_event(event, data)?;
        let responses = Sink::request(self.shared.clone(), kind, Scope::Cluster, timeout).await?;
        Ok(cluster::server_responses(responses).await)
    }

    /// Returns the manager.
    pub fn manager(&self) -> &Arc<dyn ClientManager> {
        self.shared.messenger.manager()
    }

    /// Flushes emitted events, then closes the manager.
    ///
    /// # Errors
    ///
    /// As [`ClientManager::close`].
    pub async fn close(&self) -> Result<(), Error> {
        self.shared.messenger.manager().close().await
    }
}

impl std::fmt::Debug for Emitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Emitter")
            .field("host_id", &self.shared.host_id)
            .finish_non_exhaustive()
    }
}

struct Shared {
    messenger: Arc<dyn Messenger>,
    host_id: HostId,
    acks: Arc<AckTable>,
    requester: Arc<Requester>,
    /// Time limit of handlers of events for servers that send no response.
    max_timeout: Duration,
    /// Ends the listening task when the last clone of the emitter is dropped.
    listening: Mutex<Option<AbortOnDrop>>,
    /// Whether the presence of the servers was requested.
    discovery_started: Mutex<bool>,
    /// Whether presence messages may have been missed since then.
    had_gap: Arc<AtomicBool>,
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Shared {
    fn publish(&self, message: Message) -> BoxFuture<'static, Result<(), Error>> {
        wire::publish(&self.messenger, message)
    }

    /// Begins to receive before the first request is sent, so that no response can be missed, and again if that has
    /// ended.
    async fn listen(&self) -> Result<(), Error> {
        let mut listening = self.listening.lock().await;
        if listening.as_ref().is_some_and(|task| !task.0.is_finished()) {
            return Ok(());
        }
        let arrivals = self.messenger.receive().await?;
        self.had_gap.store(true, Ordering::Relaxed);
        let task = receive_responses(
            arrivals,
            self.acks.clone(),
            self.requester.clone(),
            self.host_id.clone(),
            self.had_gap.clone(),
        );
        *listening = Some(AbortOnDrop(tokio::spawn(task)));
        Ok(())
    }

    /// Returns the servers that will respond to a request about a namespace. Where they announce themselves, starts
    /// discovery before the first request, and before the first one after a gap.
    async fn servers(&self, namespace: &NamespaceName, deadline: Instant) -> Result<Servers, Error> {
        self.listen().await?;
        let servers = self.messenger.servers(namespace).await?;
        if servers == Servers::Announced {
            self.discover(deadline).await?;
        }
        Ok(servers)
    }

    async fn discover(&self, deadline: Instant) -> Result<(), Error> {
        let mut discovery_started = self.discovery_started.lock().await;
        if self.had_gap.swap(false, Ordering::Relaxed) {
            *discovery_started = false;
        }
        if !*discovery_started {
            self.publish(Message::Seek).await?;
            // A short request needs time for the responses, too.
            let presence_wait = self.requester.limits.presence_wait.min(left_until(deadline) / 2);
            self.requester.peers.restart_discovery(presence_wait);
            *discovery_started = true;
        }
        Ok(())
    }

    async fn servers_in_time(&self, namespace: &NamespaceName, deadline: Instant) -> Result<Servers, Error> {
        self.within(deadline, self.servers(namespace, deadline)).await
    }

    /// Runs a step of a request, limited by the deadline of the whole.
    async fn within<T>(&self, deadline: Instant, step: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        in_time(Some(&**self.messenger.manager()), deadline, step).await
    }

    async fn emit_expecting(&self, mut emit: Emit, scope: Scope, deadline: Instant) -> AckStream {
        let (others, timeout) = (scope == Scope::Cluster, left_until(deadline));
        let (id, mut acks) = self.acks.expect(Vec::new(), others, timeout, emit.report).await;
        if scope == Scope::Local {
            acks.no_more();
            return acks;
        }
        emit.callback = Some(CallbackAddress {
            room: emit.target.single().cloned(),
            namespace: emit.namespace.clone(),
            id,
        });
        let published = async {
            self.listen().await?;
            if self.messenger.servers(&emit.namespace).await?.has_no_subscriber() {
                return Ok(false);
            }
            emit.ack_timeout = Some(left_until(deadline));
            self.publish(Message::Emit(emit)).await.map(|()| true)
        };
        match self.within(deadline, published).await {
            Ok(true) => {}
            // No client can acknowledge.
            Ok(false) => acks.no_more(),
            Err(error) => {
                acks.fail(error);
                acks.no_more();
            }
        }
        acks
    }
}

/// Passes the callbacks and responses addressed to this emitter to the tasks that wait for them.
async fn receive_responses(
    mut arrivals: Arrivals,
    acks: Arc<AckTable>,
    requester: Arc<Requester>,
    host_id: HostId,
    had_gap: Arc<AtomicBool>,
) {
    static GAP: LimitedLog = LimitedLog::new();
    while let Some(arrival) = arrivals.next().await {
        match arrival {
            Arrival::Message(envelope) => dispatch(envelope, &acks, &requester, &host_id),
            // The servers report undecodable messages; most are for them.
            Arrival::Own { .. } | Arrival::Undecodable { .. } => {}
            Arrival::Gap { reason } => {
                had_gap.store(true, Ordering::Relaxed);
                if let Some(suppressed) = GAP.pass() {
                    let (reason, text) = (
                        Escaped(reason),
                        "acknowledgements and responses to this emitter may have been missed",
                    );
                    quietly(|| tracing::warn!(suppressed, ?reason, "{text}"));
                }
            }
        }
    }
}

/// Handles one message; most are for the servers, and are passed over.
fn dispatch(envelope: Envelope, acks: &AckTable, requester: &Requester, host_id: &HostId) {
    match (envelope.host_id, envelope.message) {
        (Some(host), Message::Callback(callback)) if host == *host_id => acks.acknowledge_remote(callback),
        (_, Message::Callback(_)) => {}
        (Some(host), Message::Hello) => requester.peers.record(&host),
        (from, message) => drop(requester.receive(from, message)),
    }
}
