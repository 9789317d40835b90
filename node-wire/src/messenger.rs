//! The messages of one process to and from a fleet of Node servers.

use std::collections::HashSet;
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use manager_api::lock::Unpoisoned;
use manager_api::message::{Envelope, Message};
use manager_api::wire::{Arrivals, Encoded, Messenger, Process, Role, RoomWatcher, Servers};
use manager_api::{ClientManager, Error, NamespaceName};
use tokio::sync::{Notify, watch};

use crate::format::{Json, MsgPack};
use crate::kinds::cluster::ADAPTER_CLOSE;
use crate::listener::Listening;
use crate::member::{PendingRequests, Responding};
use crate::notices::Outbound;
use crate::outgoing::{EMITTER, Outgoing, Sender, translate};
use crate::plan::{Adapter, Plan};
use crate::retire::Counted;
use crate::rooms::Rooms;
use crate::shipment::{Shipment, encoded, topics};
use crate::{classic, cluster, heartbeats, listener, notices, retire, unheard};

/// The messages of one process.
pub(crate) struct NodeMessenger {
    pub(crate) shared: Arc<Shared>,
}

/// What the messenger and its tasks share.
pub(crate) struct Shared {
    pub(crate) manager: Arc<dyn ClientManager>,
    pub(crate) process: Process,
    /// The id of this process on the wire: 16 hexadecimal digits, as those of Node's servers.
    pub(crate) uid: Arc<str>,
    pub(crate) plan: Plan,
    /// Where messages arrive, once they are received.
    pub(crate) listening: tokio::sync::Mutex<Option<Listening>>,
    /// The namespaces of this server.
    pub(crate) attended: Mutex<HashSet<NamespaceName>>,
    /// Also notified when messages to rooms may have been missed.
    pub(crate) attended_changed: Arc<Notify>,
    /// Whether this server closes, and subscribes to nothing more.
    pub(crate) retired: watch::Sender<bool>,
    /// Whether the others still count this server, once it closes.
    pub(crate) counted: watch::Sender<Counted>,
    /// The requests of other servers that this one has not responded to.
    pub(crate) pending: PendingRequests,
    /// The channels of the rooms with members on this server.
    pub(crate) rooms: Arc<Rooms>,
}

/// What a message becomes of which nothing is sent.
fn nothing(outcome: Result<(), Error>) -> Encoded {
    Encoded {
        size: 0,
        publish: ready(outcome).boxed(),
    }
}

impl NodeMessenger {
    pub(crate) fn new(manager: Arc<dyn ClientManager>, process: Process, plan: Plan) -> Self {
        let uid = format!("{:016x}", fastrand::u64(..));
        let attended_changed = Arc::<Notify>::default();
        let (mode, max_rooms) = (plan.subscription_mode, plan.limits.max_rooms);
        let rooms = Rooms::new(&plan.prefix, mode, max_rooms, attended_changed.clone());
        let shared = Shared {
            manager,
            process,
            uid: uid.into(),
            listening: tokio::sync::Mutex::default(),
            attended: Mutex::default(),
            attended_changed,
            retired: watch::Sender::new(false),
            counted: watch::Sender::default(),
            pending: PendingRequests::new(plan.limits.max_open_requests),
            rooms: Arc::new(rooms),
            plan,
        };
        Self {
            shared: Arc::new(shared),
        }
    }
}

impl Shared {
    pub(crate) fn is_retired(&self) -> bool {
        *self.retired.borrow()
    }

    pub(crate) fn is_server(&self) -> bool {
        self.process.role == Role::Server
    }

    /// Encodes a message and chooses its topic.
    fn shipment(&self, outgoing: &Outgoing) -> Shipment {
        let (plan, is_server) = (&self.plan, self.is_server());
        let sender = Sender {
            uid: &self.uid,
            is_server,
        };
        let servers = || plan.servers(&outgoing.namespace);
        let name = sender.name(outgoing.expects_response());
        match plan.adapter {
            Adapter::Classic => {
                let message = classic::encode(outgoing, sender);
                Shipment::Publish(plan.classic_topic(outgoing), message.into())
            }
            Adapter::Sharded if !outgoing.has_binary() => {
                Shipment::Publish(servers(), cluster::message::<Json>(outgoing, sender, name))
            }
            Adapter::Sharded => Shipment::Publish(servers(), cluster::message::<MsgPack>(outgoing, sender, name)),
            Adapter::Streams if outgoing.expects_response() => {
                Shipment::Publish(servers(), cluster::message::<MsgPack>(outgoing, sender, name))
            }
            Adapter::Streams | Adapter::OldStreams => {
                Shipment::Append(plan.stream(&outgoing.namespace), cluster::entry(outgoing, sender))
            }
            Adapter::Postgres => {
                // Servers would wait for responses of any other process that a message names.
                let uid = sender.name(false);
                let (topic, kind) = (servers(), cluster::type_of(&outgoing.kind));
                let json = (!outgoing.has_binary()).then(|| cluster::message::<Json>(outgoing, sender, uid));
                let msgpack = || cluster::message::<MsgPack>(outgoing, sender, uid);
                let outbound = Outbound { topic, uid, kind };
                notices::shipment(&*self.manager, &plan.table, outbound, json, msgpack)
            }
        }
    }

    /// Encodes a response and chooses its topic.
    fn response(&self, responding: &Responding) -> Shipment {
        let (plan, namespace) = (&self.plan, &responding.namespace);
        let topic = || plan.response(namespace, &responding.uid);
        match plan.adapter {
            Adapter::Classic => Shipment::Publish(topic(), responding.classic()),
            Adapter::Sharded if !responding.has_binary() => {
                Shipment::Publish(topic(), responding.cluster::<Json>(&self.uid))
            }
            Adapter::Sharded | Adapter::Streams => Shipment::Publish(topic(), responding.cluster::<MsgPack>(&self.uid)),
            Adapter::OldStreams => Shipment::Append(plan.stream(namespace), responding.entry(&self.uid)),
            Adapter::Postgres => {
                let (topic, uid, kind) = (topic(), &*self.uid, responding.cluster_type());
                let json = (!responding.has_binary()).then(|| responding.cluster::<Json>(uid));
                let outbound = Outbound { topic, uid, kind };
                let msgpack = || responding.cluster::<MsgPack>(uid);
                notices::shipment(&*self.manager, &plan.table, outbound, json, msgpack)
            }
        }
    }

    /// Returns a heartbeat, of a server or as that of an emitter, which no server counts.
    pub(crate) fn heartbeat(&self, namespace: &NamespaceName, kind: u64) -> Shipment {
        let uid = if self.is_server() { &*self.uid } else { EMITTER };
        match self.plan.adapter {
            Adapter::Postgres => {
                Shipment::Publish(self.plan.servers(namespace), notices::heartbeat(namespace, uid, kind))
            }
            _ => Shipment::Append(self.plan.stream(namespace), heartbeats::heartbeat(namespace, uid, kind)),
        }
    }

    /// Tells the other servers that this one closes: by a message where they know it by its heartbeats.
    fn bye(self: &Arc<Self>) -> Encoded {
        if !self.is_server() {
            return nothing(Ok(()));
        }
        if !self.plan.adapter.has_heartbeats() {
            return Encoded {
                size: 0,
                publish: retire::retire(self.clone()).boxed(),
            };
        }
        let attended = self.attended.lock().unpoisoned();
        let closes = attended
            .iter()
            .map(|namespace| self.heartbeat(namespace, ADAPTER_CLOSE));
        let closes = encoded(closes.collect(), self.manager.clone());
        let (size, shared) = (closes.size, self.clone());
        // Any later message of this server would make the others count it again.
        let publish = async move {
            shared.stop_listening().await;
            closes.publish.await
        };
        Encoded {
            size,
            publish: publish.boxed(),
        }
    }
}

impl Messenger for NodeMessenger {
    fn carries_keys(&self) -> bool {
        false
    }

    fn manager(&self) -> &Arc<dyn ClientManager> {
        &self.shared.manager
    }

    fn process(&self) -> &Process {
        &self.shared.process
    }

    fn encode(&self, envelope: Envelope) -> Encoded {
        let shared = &self.shared;
        if shared.is_retired() && shared.plan.adapter.has_heartbeats() {
            return nothing(Ok(()));
        }
        let shipment = match envelope.message {
            Message::Callback(callback) => {
                Responding::of_callback(callback, &shared.pending).map(|responding| shared.response(&responding))
            }
            Message::Response(response) => {
                Responding::of_part(response, &shared.pending).map(|responding| shared.response(&responding))
            }
            Message::Bye => return shared.bye(),
            message => match translate(message) {
                Ok(outgoing) => outgoing.map(|outgoing| shared.shipment(&outgoing.marked(envelope.mark))),
                Err(error) => return nothing(Err(error)),
            },
        };
        match shipment {
            Some(shipment) => encoded(vec![shipment], shared.manager.clone()),
            None => nothing(Ok(())),
        }
    }

    fn receive(&self) -> BoxFuture<'_, Result<Arrivals, Error>> {
        listener::receive(self.shared.clone()).boxed()
    }

    fn servers<'a>(&'a self, namespace: &'a NamespaceName) -> BoxFuture<'a, Result<Servers, Error>> {
        async move {
            let shared = &self.shared;
            let live = shared.listen(namespace).await?;
            if let Some(mut live) = live {
                return heartbeats::servers(&mut live).await.map(Servers::Named);
            }
            let topic = shared.plan.servers(namespace);
            let count = topics(&*shared.manager).count_subscribers(&topic).await?;
            let own = shared.attended.lock().unpoisoned().contains(namespace);
            let others = count.saturating_sub(u64::from(own));
            Ok(Servers::Counted(usize::try_from(others).unwrap_or(usize::MAX)))
        }
        .boxed()
    }

    /// Other servers count it from its first subscription on, while there are others to come.
    fn is_known(&self, _: bool) -> bool {
        self.shared.is_server()
    }

    /// Long enough for other servers to see that they need not count this one, and for their last requests.
    fn bye_patience(&self) -> Duration {
        Duration::from_secs(3)
    }

    fn attend(&self, namespace: &NamespaceName) {
        self.shared.attended.lock().unpoisoned().insert(namespace.clone());
        self.shared.attended_changed.notify_one();
    }

    fn room_watcher(&self) -> Option<Arc<dyn RoomWatcher>> {
        let rooms = self.shared.rooms.clone();
        self.shared
            .plan
            .has_room_channels()
            .then_some(rooms as Arc<dyn RoomWatcher>)
    }

    fn find_unheard(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        let shared = &self.shared;
        let attended = shared.attended.lock().unpoisoned().iter().cloned().collect();
        unheard::find(topics(&*shared.manager), &shared.plan, attended).boxed()
    }

    fn leave(&self, namespace: &NamespaceName) {
        self.shared.attended.lock().unpoisoned().remove(namespace);
        self.shared.attended_changed.notify_one();
    }
}
