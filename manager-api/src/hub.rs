//! What a server does with a manager: deliver to its own clients, tell the others, and listen to them.

pub(crate) mod cluster;
mod listen;
mod metrics;
mod options;
mod outgoing;
mod pace;
mod parts;
mod rooms;
mod sink;
mod supervise;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, RwLock};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

pub use metrics::HubMetrics;
pub use options::HubOptions;

use crate::ack::AckTable;
use crate::byte_budget::ByteBudget;
use crate::cluster::{Requester, ServerEventHandler, in_time, left_until};
use crate::registry::Selecting;
use crate::turn::{Turn, YIELD_EVERY};
use crate::wire::{self, OwnMark};
use crate::{
    AckStream, Broadcast, CallbackAddress, ClientKey, ClientManager, Emit, Envelope, Error, EventName, HostId,
    LimitedLog, Message, NamespaceName, Payload, Recipients, Registry, Room, Scope, Sid, quietly,
};
use metrics::Counters;
use outgoing::{Outgoing, Queued};
use pace::Pace;

/// The steps that a chunk of recipients counts for if all of them are skipped.
const SKIPPED_COST: usize = 16;

/// What a hub needs of the server whose clients it serves.
///
/// Nothing here may block or panic; a packet is made once per event and shared by all recipients.
pub trait Deliver: Send + Sync + 'static {
    /// A cheap handle of a client.
    type Client: Clone + Send + Sync + 'static;
    /// An event, encoded for every kind of transport.
    type Packet: Send + Sync;

    /// Tells why an event must not go to clients. Asked before an event is emitted here, and before one from elsewhere is delivered. Default:
    /// every one may.
    ///
    /// # Errors
    ///
    /// What the caller of `emit` is told.
    fn check(&self, _emit: &Emit) -> Result<(), Error> {
        Ok(())
    }

    /// Encodes an event; with an id if acknowledgements are wanted.
    fn encode(&self, emit: &Emit, ack: Option<u64>) -> Self::Packet;

    /// Hands a packet to a client's outbox.
    fn deliver(&self, client: &Self::Client, packet: &Self::Packet, volatile: bool) -> Pressure;

    /// Disconnects a client from its namespace.
    fn disconnect(&self, client: &Self::Client);

    /// Disconnects a client from every namespace, and closes its connection.
    fn close(&self, client: &Self::Client);

    /// Carries out a command about a client that is not registered yet, for its connect handler runs; `None` if there is none. Asked
    /// before the registry is, which whoever was just accepted is in already. Default: there is none.
    fn command_connecting(&self, _command: &Message) -> Option<Result<(), Error>> {
        None
    }

    /// Returns what the application keeps with a client for others to see: JSON text. Default: nothing.
    fn data(&self, _client: &Self::Client) -> Option<Arc<str>> {
        None
    }

    /// Tells whether somebody looks on in a namespace, so that the methods below are worth calling there. Asked once per event, command or
    /// change of a room. Default: nobody.
    fn is_watched(&self, _namespace: &NamespaceName) -> bool {
        false
    }

    /// Learns that a client [took](Self::deliver) an event.
    fn delivered(&self, _client: &Self::Client, _emit: &Emit) {}

    /// Learns that a client entered a room.
    fn entered(&self, _client: &Self::Client, _room: &Room) {}

    /// Learns that a client left a room, but for those that it leaves because it is gone.
    fn left(&self, _client: &Self::Client, _room: &Room) {}
}

/// How full the outbox is that a packet went into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// There is room.
    Low,
    /// The client takes less than it is sent: a sender that can wait had better do so for a moment.
    High,
    /// The packet did not go in: the client is gone, or goes because it reads too slowly, or the packet could be dropped and was.
    Refused,
}

/// Joins the clients of this host to those of every other host on the channel.
///
/// - **Local first, then publish**: a dead broker never stops delivery to this host's clients; the caller still learns that the publish
///   failed.
/// - Its own messages are recognised and dropped before they are decoded.
/// - One undecodable message, slow client or panicking delivery never stops [`run`](Self::run).
pub struct Hub<D: Deliver> {
    deliver: D,
    manager: Option<Arc<dyn ClientManager>>,
    registry: Registry<D::Client>,
    host_id: HostId,
    own_mark: OwnMark,
    acks: Arc<AckTable>,
    outgoing: Outgoing,
    queued_callbacks: tokio::sync::Mutex<mpsc::Receiver<Queued>>,
    subscribed: watch::Sender<bool>,
    /// The last failure of subscribing, and when it was.
    subscribe_failure: Mutex<Option<(SystemTime, String)>>,
    requester: Requester,
    /// Wakes what answers a hello.
    heard_hello: Notify,
    /// Wakes what asks again who is there.
    had_gap: Notify,
    server_events: RwLock<HashMap<EventName, ServerEventHandler>>,
    /// Handlers of such events that are to run.
    events: mpsc::Sender<BoxFuture<'static, ()>>,
    /// What they may hold together.
    event_budget: ByteBudget,
    waiting_events: tokio::sync::Mutex<mpsc::Receiver<BoxFuture<'static, ()>>>,
    counters: Counters,
    pace: Pace,
    options: HubOptions,
}

impl<D: Deliver> Hub<D> {
    /// Makes a hub; without a manager this host is alone.
    pub fn new(deliver: D, manager: Option<Arc<dyn ClientManager>>, options: HubOptions) -> Arc<Self> {
        let known_as = manager.as_ref().and_then(|manager| manager.host_id());
        let host_id = known_as.unwrap_or_else(HostId::random);
        let (outgoing, queued_callbacks) = Outgoing::new(&options);
        let (events, waiting_events) = mpsc::channel(options.max_queued_server_events.max(1));
        Arc::new(Self {
            deliver,
            manager,
            registry: Registry::with_limits(options.room_limits()),
            own_mark: OwnMark::new(&host_id),
            requester: Requester::new(host_id.clone(), options.limits()),
            host_id,
            acks: Arc::new(AckTable::new(&options)),
            outgoing,
            queued_callbacks: tokio::sync::Mutex::new(queued_callbacks),
            subscribed: watch::Sender::new(false),
            subscribe_failure: Mutex::default(),
            heard_hello: Notify::new(),
            had_gap: Notify::new(),
            server_events: RwLock::default(),
            events,
            event_budget: ByteBudget::new(options.max_queued_server_event_bytes),
            waiting_events: tokio::sync::Mutex::new(waiting_events),
            counters: Counters::default(),
            pace: Pace::default(),
            options,
        })
    }

    /// Starts an event for everybody in `/`.
    pub fn broadcast(self: &Arc<Self>) -> Broadcast {
        Broadcast::new(self.clone())
    }

    /// Returns who is where on this host.
    pub fn registry(&self) -> &Registry<D::Client> {
        &self.registry
    }

    /// Returns the server side.
    pub fn deliver(&self) -> &D {
        &self.deliver
    }

    /// Returns the id under which this host publishes.
    pub fn host_id(&self) -> &HostId {
        &self.host_id
    }

    /// Returns the manager, if there is one.
    pub fn manager(&self) -> Option<&Arc<dyn ClientManager>> {
        self.manager.as_ref()
    }

    /// Returns the counters as they stand.
    pub fn metrics(&self) -> HubMetrics {
        self.counters.snapshot(&self.acks, &self.requester)
    }

    /// Completes once the channel was first subscribed to; at once if there is no manager.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn subscribed(&self) {
        if self.manager.is_some() {
            // The sender lives in `self`, so this cannot fail while it is borrowed.
            let _ = self.subscribed.subscribe().wait_for(|subscribed| *subscribed).await;
        }
    }

    /// Waits no longer for those who left while they were about to be asked: the question was not known yet when they were forgotten.
    async fn forget_gone(&self, namespace: &NamespaceName, recipients: &Recipients<D::Client>, question: u64) {
        if self.registry.is_true_still(recipients) {
            return;
        }
        let mut turn = Turn::default();
        for member in recipients.iter() {
            turn.spend(1).await;
            if !self.registry.is_gone(namespace, member) {
                continue;
            }
            if let Some(unanswered) = self.acks.forget(member.key, question) {
                self.left(unanswered.asked_by, unanswered.question, &member.sid);
            }
        }
    }

    /// Takes the acknowledgement `id` of a client of this host.
    ///
    /// An answer to nothing, a second answer, and an answer of a client that was not asked are ignored.
    pub fn acknowledge(&self, key: ClientKey, sid: &Sid, id: u64, payload: Payload) {
        let Some((host_id, callback)) = self.acks.acknowledge(key, sid, id, payload) else {
            return;
        };
        let message = wire::encode(&Envelope {
            host_id: Some(host_id),
            message: Message::Callback(callback),
        });
        self.post_encoded(message);
    }

    /// Queues something for other processes; `false` if it was dropped.
    fn post(&self, message: Message) -> bool {
        self.post_encoded(self.envelope(message))
    }

    fn post_encoded(&self, message: Bytes) -> bool {
        static DROPPED: LimitedLog = LimitedLog::new();
        let is_queued = self.outgoing.offer(message);
        if !is_queued {
            Counters::add(&self.counters.callbacks_dropped);
            if let Some(suppressed) = DROPPED.pass() {
                let text = "dropped an answer for another process: too many wait for the broker";
                quietly(|| tracing::warn!(suppressed, "{text}"));
            }
        }
        is_queued
    }

    fn envelope(&self, message: Message) -> Bytes {
        wire::encode(&Envelope {
            host_id: Some(self.host_id.clone()),
            message,
        })
    }

    /// Delivers to the clients of this host; asks them all for an answer if `ack` says so.
    async fn deliver_local(&self, emit: &Emit, recipients: &Recipients<D::Client>, ack: Option<u64>) {
        let packet = self.deliver.encode(emit, ack);
        let is_watched = self.deliver.is_watched(&emit.namespace);
        let mut turn = Turn::default();
        let mut pressed = false;
        for chunk in recipients.chunks() {
            let mut delivered = 0;
            for member in chunk {
                let pressure = self.deliver.deliver(&member.handle, &packet, emit.volatile);
                pressed |= pressure == Pressure::High;
                if is_watched && pressure != Pressure::Refused {
                    self.deliver.delivered(&member.handle, emit);
                }
                delivered += 1;
            }
            turn.spend(delivered.max(SKIPPED_COST)).await;
        }
        if pressed {
            self.pace.pause().await;
        }
    }

    async fn recipients(&self, emit: &Emit) -> Recipients<D::Client> {
        let selecting = Selecting::start(&self.registry, &emit.namespace, &emit.target, &emit.skip, &emit.except);
        select(selecting).await
    }

    /// Publishes a message to the other hosts as it is; nothing is delivered here. Without a manager there are no others.
    ///
    /// # Errors
    ///
    /// As [`ClientManager::publish`].
    ///
    /// # Cancel safety
    ///
    /// That of [`ClientManager::publish`].
    pub fn publish(&self, message: Message) -> impl Future<Output = Result<(), Error>> + use<D> {
        let manager = self.manager.clone();
        let message = manager.is_some().then(|| self.envelope(message));
        async move {
            match (manager, message) {
                (Some(manager), Some(message)) => manager.publish(message).await,
                _ => Ok(()),
            }
        }
    }

    /// Delivers here, then publishes, and collects what clients answer.
    async fn emit_expecting(
        &self,
        mut emit: Emit,
        recipients: &Recipients<D::Client>,
        scope: Scope,
        deadline: Instant,
    ) -> AckStream {
        let others = scope == Scope::Cluster && self.manager.is_some();
        let expected = keys(recipients).await;
        let nobody = expected.is_empty() && !others;
        let asking = self.acks.expect(expected, others, left_until(deadline), emit.report);
        let (id, mut answers) = asking.await;
        if nobody {
            answers.no_more();
            return answers;
        }
        self.forget_gone(&emit.namespace, recipients, id).await;
        self.deliver_local(&emit, recipients, Some(id)).await;
        if others {
            emit.callback = Some(CallbackAddress {
                room: emit.target.single().cloned(),
                namespace: emit.namespace.clone(),
                id,
            });
            emit.ack_timeout = Some(left_until(deadline));
            if let Err(error) = in_time(deadline, self.publish(Message::Emit(emit))).await {
                answers.fail(error);
            }
        }
        answers
    }
}

/// Takes a selection, and lets others run if it is a long one.
async fn select<C: Clone>(mut selecting: Selecting<'_, C>) -> Recipients<C> {
    while !selecting.step(YIELD_EVERY) {
        tokio::task::yield_now().await;
    }
    selecting.finish()
}

/// Returns the keys of recipients, and lets others run if they are many.
async fn keys<C>(recipients: &Recipients<C>) -> Vec<ClientKey> {
    let (mut keys, mut turn) = (Vec::new(), Turn::default());
    for chunk in recipients.chunks() {
        let before = keys.len();
        keys.extend(chunk.map(|member| member.key));
        turn.spend((keys.len() - before).max(SKIPPED_COST)).await;
    }
    keys
}

/// Returns the ids of the first `max` recipients, and lets others run if they are many.
async fn sids<C>(recipients: &Recipients<C>, max: usize) -> Vec<Sid> {
    let (mut sids, mut turn) = (Vec::new(), Turn::default());
    for chunk in recipients.chunks() {
        let before = sids.len();
        sids.extend(chunk.take(max - before).map(|member| member.sid.clone()));
        turn.spend((sids.len() - before).max(SKIPPED_COST)).await;
    }
    sids
}

impl<D: Deliver> std::fmt::Debug for Hub<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub")
            .field("host_id", &self.host_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
