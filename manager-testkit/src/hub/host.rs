//! A host without a server, whose clients record their packets.

use std::sync::{Arc, Mutex};

use hub::{Deliver, Hub, HubOptions, Pressure};
use manager_api::ack::ClientKey;
use manager_api::lock::Unpoisoned;
use manager_api::message::Emit;
use manager_api::{ClientManager, EventName, ManagerOptions, NamespaceName, Payload, Room, Sid};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::conformance::Backend;
use crate::conformance::support::{options, soon};

/// The event whose encoding panics.
pub(super) const PANIC: &str = "panic";

/// One event as a client received it.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) sid: Sid,
    pub(super) event: EventName,
    pub(super) payload: Payload,
    /// The id of the requested acknowledgement.
    pub(super) ack: Option<u64>,
}

/// The server side of a hub.
pub(super) struct HostDelivery {
    disconnected: Mutex<Vec<Sid>>,
}

/// A client: its id, and the record of its packets.
#[derive(Clone)]
pub(super) struct Client {
    sid: Sid,
    inbox: mpsc::UnboundedSender<Delivery>,
}

/// A packet for a client, as recorded.
pub(super) struct Packet {
    event: EventName,
    payload: Payload,
    ack: Option<u64>,
}

impl Deliver for HostDelivery {
    type Client = Client;
    type Packet = Packet;

    fn encode(&self, emit: &Emit, ack: Option<u64>) -> Packet {
        assert_ne!(emit.event.as_str(), PANIC, "as it was told to");
        Packet {
            event: emit.event.clone(),
            payload: emit.payload.clone(),
            ack,
        }
    }

    fn deliver(&self, client: &Client, packet: &Packet, _: bool) -> Pressure {
        let delivery = Delivery {
            sid: client.sid.clone(),
            event: packet.event.clone(),
            payload: packet.payload.clone(),
            ack: packet.ack,
        };
        // The host may be gone.
        let _ = client.inbox.send(delivery);
        Pressure::Low
    }

    fn disconnect(&self, client: &Client) {
        let mut disconnected = self.disconnected.lock().unpoisoned();
        disconnected.push(client.sid.clone());
    }

    fn close(&self, client: &Client) {
        self.disconnect(client);
    }
}

/// A hub that listens, and the deliveries to its clients.
pub(super) struct Host {
    pub(super) hub: Arc<Hub<HostDelivery>>,
    inbox: mpsc::UnboundedReceiver<Delivery>,
    sender: mpsc::UnboundedSender<Delivery>,
    listening: JoinHandle<()>,
}

impl Host {
    /// Starts a host over a new manager of the backend.
    pub(super) async fn start(backend: &dyn Backend, options: ManagerOptions) -> Self {
        Self::over(backend.manager(options).await).await
    }

    /// Starts a host over a manager.
    pub(super) async fn over(manager: Arc<dyn ClientManager>) -> Self {
        let delivery = HostDelivery {
            disconnected: Mutex::default(),
        };
        let hub = Hub::new(delivery, Some(manager), HubOptions::default());
        let listening = tokio::spawn(hub.clone().run());
        soon("subscribed", hub.subscribed()).await;
        let (sender, inbox) = mpsc::unbounded_channel();
        Self {
            hub,
            inbox,
            sender,
            listening,
        }
    }

    /// Adds a client to `/`, and to `rooms`.
    pub(super) fn add(&self, sid: &str, rooms: &[&str]) -> ClientKey {
        let sid = Sid::from(sid);
        let client = Client {
            sid: sid.clone(),
            inbox: self.sender.clone(),
        };
        let registry = self.hub.registry();
        let key = registry
            .add(&NamespaceName::root(), &sid, client)
            .expect("the id is free");
        for &room in rooms {
            let entered = registry.enter(&NamespaceName::root(), &sid, &room.into());
            entered.expect("the client is registered");
        }
        key
    }

    /// Receives the next delivery.
    pub(super) async fn next(&mut self) -> Delivery {
        let next = soon("a delivery", self.inbox.recv()).await;
        next.expect("the host holds the sender")
    }

    /// Receives the next delivery, which must be this one.
    pub(super) async fn expect(&mut self, sid: &str, event: &str, json: &str) {
        let next = self.next().await;
        let got = (next.sid.as_str(), next.event.as_str(), next.payload.json());
        assert_eq!(got, (sid, event, json));
    }

    /// Waits until every earlier message of `from` was carried out here; no delivery may be left.
    ///
    /// `sid` is a client of this host.
    pub(super) async fn settle(&mut self, from: &Host, sid: &str) {
        let settled = from.hub.broadcast().to(sid).emit("settled", &());
        soon("publish", settled).await.expect("publish");
        self.expect(sid, "settled", "[]").await;
    }

    /// Returns the rooms of a client in the order of their names, without its own.
    pub(super) fn rooms(&self, sid: &str) -> Vec<Room> {
        let sid = Sid::from(sid);
        let rooms = self.hub.registry().rooms_of(&NamespaceName::root(), &sid);
        let mut rooms = rooms.expect("the client is registered");
        rooms.retain(|room| room.as_str() != sid.as_str());
        rooms.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        rooms
    }

    /// Returns the clients that were disconnected.
    pub(super) fn disconnected(&self) -> Vec<Sid> {
        let disconnected = self.hub.deliver().disconnected.lock();
        disconnected.unpoisoned().clone()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Starts two hosts on a channel of their own; returns its options as well.
pub(super) async fn two_hosts(backend: &dyn Backend) -> (Host, Host, ManagerOptions) {
    let options = options();
    let one = Host::start(backend, options.clone()).await;
    let two = Host::start(backend, options.clone()).await;
    (one, two, options)
}
