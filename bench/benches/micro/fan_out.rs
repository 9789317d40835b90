//! An event to all members of a large room, up to their outboxes.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use bench_paths::Operation;
use bytes::Bytes;
use hub::{Deliver, Hub, HubOptions, Pressure};
use manager_api::message::Emit;
use tokio::runtime::{Builder, Runtime};

/// The packet for all members.
const PACKET: &[u8] = b"42[\"m\",1]";

/// A client that keeps the newest packet.
#[derive(Clone, Default)]
pub(crate) struct Outbox(Arc<Mutex<Bytes>>);

impl Outbox {
    /// Distinguishes clients, so that the compiler cannot omit reading one.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    fn put(&self, packet: &Bytes) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = packet.clone();
    }
}

struct Clients;

impl Deliver for Clients {
    type Client = Outbox;
    type Packet = Bytes;

    fn encode(&self, _: &Emit, _: Option<u64>) -> Bytes {
        Bytes::from_static(PACKET)
    }

    fn deliver(&self, client: &Outbox, packet: &Bytes, _: bool) -> Pressure {
        client.put(packet);
        Pressure::Low
    }

    fn disconnect(&self, _: &Outbox) {}

    fn close(&self, _: &Outbox) {}
}

/// A hub whose clients are all in one room.
pub(crate) struct FanOut {
    runtime: Runtime,
    hub: Arc<Hub<Clients>>,
    clients: Vec<Outbox>,
}

impl FanOut {
    pub(crate) fn to(num_members: usize) -> Self {
        let hub = Hub::new(Clients, None, HubOptions::default());
        let clients: Vec<_> = (0..num_members).map(|_| Outbox::default()).collect();
        let namespace = Default::default();
        for (number, client) in clients.iter().enumerate() {
            let sid = format!("client {number}").as_str().into();
            let registry = hub.registry();
            registry.add(&namespace, &sid, client.clone()).expect("a new client");
            registry
                .enter(&namespace, &sid, &"r".into())
                .expect("the client is here");
        }
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        Self { runtime, hub, clients }
    }

    /// Hands a packet to all clients of a list.
    pub(crate) fn run_floor(&self) {
        let packet = Bytes::from_static(PACKET);
        for client in &self.clients {
            client.put(&packet);
        }
    }
}

impl Operation for FanOut {
    fn run(&mut self) -> Result<()> {
        let emit = self.hub.broadcast().to("r").local().emit("m", &1);
        Ok(self.runtime.block_on(emit)?)
    }
}
