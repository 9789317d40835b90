//! The [`Hub`]: connects the clients of this server with those of the others.

mod cluster;
mod fleet;
mod inspect;
mod listen;
mod metrics;
mod observed;
mod outgoing;
mod pace;
mod parts;
mod repeats;
mod rooms;
mod sink;
mod supervise;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, RwLock};
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use manager_api::ack::{AckStream, AckTable, ClientKey};
use manager_api::broadcast::Scope;
use manager_api::byte_budget::ByteBudget;
use manager_api::cluster::{Requester, ServerEventHandler, left_until};
use manager_api::log::{LimitedLog, quietly};
use manager_api::measure::{Quantity, Stopwatch};
use manager_api::message::{CallbackAddress, Emit, Envelope, Message};
use manager_api::turn::{Turn, YIELD_EVERY};
use manager_api::wire::{self, Messenger, Process, Python, Role, Wire};
use manager_api::{Broadcast, ClientManager, Error, EventName, HostId, NamespaceName, Payload, Sid};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

pub use metrics::HubMetrics;

use crate::deliver::{Deliver, Observer, Pressure};
use crate::options::HubOptions;
use crate::recent_keys::RecentKeys;
use crate::registry::{Recipients, Registry, Selecting};
use metrics::Counters;
use outgoing::{Outgoing, Queued};
use pace::Pace;

/// Steps counted for a chunk of recipients of which all are skipped.
const SKIPPED_COST: usize = 16;

/// A hub that connects the clients of this host with those of every other host on the channel.
///
/// - **Local first, then publish**: an unreachable broker never stops delivery to this host's clients; the caller still
///   receives the error.
/// - Its own messages are recognised and dropped before they are decoded.
/// - An undecodable message, a slow client or a panic during delivery never stops [`run`](Self::run).
pub struct Hub<D: Deliver> {
    deliver: D,
    messenger: Option<Arc<dyn Messenger>>,
    registry: Registry<D::Client>,
    host_id: HostId,
    acks: Arc<AckTable>,
    outgoing: Outgoing,
    queued_callbacks: tokio::sync::Mutex<mpsc::Receiver<Queued>>,
    subscribed: watch::Sender<bool>,
    /// The last failure of subscribing, and when it was.
    subscribe_failure: Mutex<Option<(SystemTime, String)>>,
    requester: Requester,
    /// Wakes the task that confirms this server's presence.
    presence_requested: Notify,
    /// Wakes the task that announces this server again after a gap.
    had_gap: Notify,
    server_events: RwLock<HashMap<EventName, ServerEventHandler>>,
    /// Queued calls of handlers of server events.
    events: mpsc::Sender<BoxFuture<'static, ()>>,
    /// Byte budget of these.
    event_budget: ByteBudget,
    waiting_events: tokio::sync::Mutex<mpsc::Receiver<BoxFuture<'static, ()>>>,
    recent_keys: RecentKeys,
    counters: Counters,
    pace: Pace,
    started: Instant,
    options: HubOptions,
}

impl<D: Deliver> Hub<D> {
    /// Creates a hub; without a manager it serves this host alone.
    pub fn new(deliver: D, manager: Option<Arc<dyn ClientManager>>, options: HubOptions) -> Arc<Self> {
        let messenger = manager.map(|manager| {
            let process = process(&*manager, &options);
            Python::messenger(manager, process)
        });
        Self::over(deliver, messenger, options)
    }

    /// Creates a hub that writes its messages in another [wire](manager_api::wire), for servers of other software.
    ///
    /// # Errors
    ///
    /// [`Config`](manager_api::ErrorKind::Config) if the manager lacks what the wire needs.
    pub fn with_wire(
        deliver: D,
        manager: Arc<dyn ClientManager>,
        wire: &dyn Wire,
        options: HubOptions,
    ) -> Result<Arc<Self>, Error> {
        let process = process(&*manager, &options);
        let messenger = wire.open(manager, process)?;
        Ok(Self::over(deliver, Some(messenger), options))
    }

    /// Creates a hub over a messenger that was opened for this process.
    fn over(deliver: D, messenger: Option<Arc<dyn Messenger>>, options: HubOptions) -> Arc<Self> {
        let known_as = messenger.as_ref().map(|messenger| messenger.process().host_id.clone());
        let host_id = known_as.unwrap_or_else(HostId::random);
        let watcher = messenger.as_ref().and_then(|messenger| messenger.room_watcher());
        let (outgoing, queued_callbacks) = Outgoing::new(&options);
        let (events, waiting_events) = mpsc::channel(options.max_queued_server_events.max(1));
        Arc::new(Self {
            deliver,
            messenger,
            registry: Registry::with_limits(options.room_limits()).watched_by(watcher),
            requester: Requester::new(host_id.clone(), options.request_limits()),
            host_id,
            acks: Arc::new(AckTable::new(options.ack_limits())),
            outgoing,
            queued_callbacks: tokio::sync::Mutex::new(queued_callbacks),
            subscribed: watch::Sender::new(false),
            subscribe_failure: Mutex::default(),
            presence_requested: Notify::new(),
            had_gap: Notify::new(),
            server_events: RwLock::default(),
            events,
            event_budget: ByteBudget::new(options.max_queued_server_event_bytes),
            waiting_events: tokio::sync::Mutex::new(waiting_events),
            recent_keys: RecentKeys::new(options.idempotency_window, options.max_idempotency_keys),
            counters: Counters::default(),
            pace: Pace::default(),
            started: Instant::now(),
            options,
        })
    }

    /// Starts an event for all clients in `/`.
    pub fn broadcast(self: &Arc<Self>) -> Broadcast {
        Broadcast::new(self.clone())
    }

    /// Returns the registry of this host's clients and their rooms.
    pub fn registry(&self) -> &Registry<D::Client> {
        &self.registry
    }

    /// Returns the server's implementation of delivery.
    pub fn deliver(&self) -> &D {
        &self.deliver
    }

    /// Returns the id under which this host publishes.
    pub fn host_id(&self) -> &HostId {
        &self.host_id
    }

    /// Returns the manager, if there is one.
    pub fn manager(&self) -> Option<&Arc<dyn ClientManager>> {
        self.messenger.as_ref().map(|messenger| messenger.manager())
    }

    /// Returns the current counters.
    pub fn metrics(&self) -> HubMetrics {
        self.counters.snapshot(&self.acks, &self.requester, &self.recent_keys)
    }

    /// Completes once the channel was first subscribed to; at once without a manager.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn subscribed(&self) {
        if self.messenger.is_some() {
            // The sender lives in `self`, so this cannot fail while it is borrowed.
            let _ = self.subscribed.subscribe().wait_for(|subscribed| *subscribed).await;
        }
    }

    /// Stops waiting for recipients that left after the snapshot: their removal may have preceded the registration of
    /// `ack`.
    async fn forget_removed(&self, namespace: &NamespaceName, recipients: &Recipients<D::Client>, ack: u64) {
        if self.registry.is_current(recipients) {
            return;
        }
        let mut turn = Turn::default();
        for member in recipients.iter() {
            turn.spend(1).await;
            if !self.registry.is_removed(namespace, member) {
                continue;
            }
            if let Some(missing) = self.acks.forget(member.key, ack) {
                self.report_missing_ack(missing, &member.sid);
            }
        }
    }

    /// Handles the acknowledgement `id` of a client of this host.
    ///
    /// Acknowledgements of unknown events, repeated ones, and those of clients that were not sent the event are
    /// ignored.
    pub fn acknowledge(&self, key: ClientKey, sid: &Sid, id: u64, payload: Payload) {
        let Some((host_id, callback)) = self.acks.acknowledge(key, sid, id, payload) else {
            return;
        };
        self.post_envelope(Envelope {
            host_id: Some(host_id),
            message: Message::Callback(callback),
            mark: None,
        });
    }

    /// Queues a message for other processes; `false` if it was dropped.
    fn post(&self, message: Message) -> bool {
        self.post_envelope(Envelope {
            host_id: Some(self.host_id.clone()),
            message,
            mark: None,
        })
    }

    /// Queues a message, also one that is addressed to another host; `false` if it was dropped.
    fn post_envelope(&self, envelope: Envelope) -> bool {
        static DROPPED: LimitedLog = LimitedLog::new();
        let Some(messenger) = &self.messenger else {
            return false;
        };
        let is_queued = self.outgoing.offer(messenger.encode(envelope));
        if !is_queued {
            Counters::add(&self.counters.callbacks_dropped);
            if let Some(suppressed) = DROPPED.pass() {
                let text = "dropped an acknowledgement or response for another process: too many wait to be published";
                quietly(|| tracing::warn!(suppressed, "{text}"));
            }
        }
        is_queued
    }

    /// Delivers to the clients of this host; requests acknowledgements if there is an `ack` id. Returns the number of
    /// clients whose outbox has taken the event.
    async fn deliver_local(&self, emit: &Emit, recipients: &Recipients<D::Client>, ack: Option<u64>) -> u64 {
        let stopwatch = Stopwatch::start();
        let packet = self.deliver.encode(emit, ack);
        let observer = self.observer(&emit.namespace);
        let mut turn = Turn::default();
        let (mut is_under_pressure, mut num_taken) = (false, 0);
        for chunk in recipients.chunks() {
            let mut num_offered = 0;
            for member in chunk {
                let pressure = self.deliver.deliver(&member.handle, &packet, emit.volatile);
                is_under_pressure |= pressure == Pressure::High;
                num_offered += 1;
                if pressure == Pressure::Refused {
                    continue;
                }
                num_taken += 1;
                if let Some(observer) = observer {
                    observer.delivered(&member.handle, emit);
                }
            }
            turn.spend(num_offered.max(SKIPPED_COST)).await;
        }
        stopwatch.record(Quantity::FanOutTime);
        self.measure_outbox(recipients);
        if is_under_pressure {
            self.pace.pause().await;
        }
        self.note_handed(emit, num_taken);
        num_taken
    }

    /// Returns the observer of the clients, if it watches the namespace.
    fn observer(&self, namespace: &NamespaceName) -> Option<&dyn Observer<D::Client>> {
        self.deliver.observer().filter(|observer| observer.watches(namespace))
    }

    /// Takes a snapshot of the clients that an event is for; yields if that takes long.
    async fn recipients(&self, emit: &Emit) -> Recipients<D::Client> {
        let selecting = Selecting::start(&self.registry, &emit.namespace, &emit.target, &emit.skip, &emit.except);
        select(selecting).await
    }

    /// Publishes a message to the other hosts, without local delivery; an event with a key again until the outcome is
    /// known. Does nothing without a manager.
    ///
    /// # Errors
    ///
    /// As [`ClientManager::publish`].
    ///
    /// # Cancel safety
    ///
    /// As [`ClientManager::publish`].
    pub fn publish(&self, message: Message) -> impl Future<Output = Result<(), Error>> + use<D> {
        let messenger = self.messenger.as_ref();
        let published = messenger.map(|messenger| wire::publish(messenger, message));
        async move {
            match published {
                Some(published) => published.await,
                None => Ok(()),
            }
        }
    }

    /// Delivers locally, then publishes, and collects acknowledgements.
    async fn emit_expecting(
        &self,
        mut emit: Emit,
        recipients: &Recipients<D::Client>,
        scope: Scope,
        deadline: Instant,
    ) -> AckStream {
        let others = scope == Scope::Cluster && self.messenger.is_some();
        let expected = keys(recipients).await;
        let expects_none = expected.is_empty() && !others;
        let registered = self.acks.expect(expected, others, left_until(deadline), emit.report);
        let (id, mut acks) = registered.await;
        if expects_none {
            acks.no_more();
            return acks;
        }
        self.forget_removed(&emit.namespace, recipients, id).await;
        self.deliver_local(&emit, recipients, Some(id)).await;
        if others {
            emit.callback = Some(CallbackAddress {
                room: emit.target.single().cloned(),
                namespace: emit.namespace.clone(),
                id,
            });
            emit.ack_timeout = Some(left_until(deadline));
            if let Err(error) = self.within(deadline, self.publish(Message::Emit(emit))).await {
                acks.fail(error);
            }
        }
        acks
    }
}

/// Describes the process of a server to the wire.
fn process(manager: &dyn ClientManager, options: &HubOptions) -> Process {
    Process {
        host_id: manager.host_id().unwrap_or_else(HostId::random),
        role: Role::Server,
        limits: options.decode_limits(),
    }
}

/// Completes a selection, and yields to other tasks if it is a long one.
async fn select<C: Clone>(mut selecting: Selecting<'_, C>) -> Recipients<C> {
    while !selecting.step(YIELD_EVERY) {
        tokio::task::yield_now().await;
    }
    selecting.finish()
}

/// Returns the keys of recipients; yields if they are many.
async fn keys<C>(recipients: &Recipients<C>) -> Vec<ClientKey> {
    let (mut keys, mut turn) = (Vec::new(), Turn::default());
    for chunk in recipients.chunks() {
        let before = keys.len();
        keys.extend(chunk.map(|member| member.key));
        turn.spend((keys.len() - before).max(SKIPPED_COST)).await;
    }
    keys
}

/// Returns the ids of the first `max` recipients; yields if they are many.
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
