//! Delivery: how the hub reaches the clients of this server.

use std::sync::Arc;

use engine_io::{Outgoing, Sent};
use hub::{Deliver, Pressure};
use manager_api::cluster::ClientDetails;
use manager_api::message::{Emit, Message};
use manager_api::{Error, NamespaceName, Room};

use super::ages::Ages;
use super::connecting::Connecting;
use super::observe::Observer;
use super::recipient::Recipient;
use crate::config::Parser;

/// Implementation of the hub's delivery for clients of a type `C`.
#[derive(Debug)]
pub(crate) struct HubDelivery<C> {
    pub(crate) parser: Parser,
    pub(crate) observer: Observer<C>,
    pub(crate) ages: Ages,
    pub(crate) connecting: Connecting<C>,
}

impl<C: Recipient> Deliver for HubDelivery<C> {
    type Client = Arc<C>;
    type Packet = Outgoing;

    fn check(&self, emit: &Emit) -> Result<(), Error> {
        self.parser.check(&emit.payload)
    }

    fn encode(&self, emit: &Emit, ack: Option<u64>) -> Outgoing {
        let event = emit.event.as_str();
        let packet = self.parser.event(&emit.namespace, event, &emit.payload, ack);
        match emit.is_uncompressed {
            true => packet.uncompressed(),
            false => packet,
        }
    }

    fn deliver(&self, client: &Arc<C>, packet: &Outgoing, volatile: bool) -> Pressure {
        // A client that is gone, or goes for being too slow, is counted by the engine.
        match client.send(packet.clone(), volatile) {
            Ok(Sent::Congested) => Pressure::High,
            Ok(Sent::Dropped) | Err(_) => Pressure::Refused,
            Ok(_) => Pressure::Low,
        }
    }

    fn outbox_bytes(&self, client: &Arc<C>) -> usize {
        client.outbox_bytes()
    }

    fn disconnect(&self, client: &Arc<C>) {
        client.disconnect();
    }

    fn close(&self, client: &Arc<C>) {
        client.disconnect_all();
    }

    fn observer(&self) -> Option<&dyn hub::deliver::Observer<Arc<C>>> {
        (self.observer.is_present() || self.ages.are_asked()).then_some(self as _)
    }

    fn details(&self, client: &Arc<C>) -> ClientDetails {
        client.details()
    }

    fn command_connecting(&self, command: &Message) -> Option<Result<(), Error>> {
        self.connecting.command(command)
    }
}

impl<C: Recipient> hub::deliver::Observer<Arc<C>> for HubDelivery<C> {
    fn watches(&self, namespace: &NamespaceName) -> bool {
        self.ages.are_asked() || self.observer.of(namespace).is_some()
    }

    fn delivered(&self, client: &Arc<C>, emit: &Emit) {
        if let Some(observer) = self.observer.of(&emit.namespace) {
            observer.sent(client, emit.event.as_str(), &emit.payload);
        }
        Ages::tell(&**client, emit, self.parser);
    }

    fn entered(&self, client: &Arc<C>, room: &Room) {
        if let Some(observer) = self.observer.of(client.namespace()) {
            observer.entered(client, room);
        }
    }

    fn left(&self, client: &Arc<C>, room: &Room) {
        if let Some(observer) = self.observer.of(client.namespace()) {
            observer.left(client, room);
        }
    }
}
