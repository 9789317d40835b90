//! How the hub reaches the clients of this server.

use std::sync::Arc;

use engine_io::{Outgoing, Sent};
use hub::{Deliver, Pressure};
use manager_api::cluster::ClientDetails;
use manager_api::message::{Emit, Message};
use manager_api::{Error, NamespaceName, Room};

use super::{Client, Connecting};
use crate::observe::Observer;
use crate::parser::Parser;

/// How the hub reaches the clients of this server.
#[derive(Debug)]
pub(crate) struct HubDelivery {
    pub(crate) parser: Parser,
    pub(crate) observer: Observer,
    pub(crate) connecting: Connecting,
}

impl Deliver for HubDelivery {
    type Client = Arc<Client>;
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

    fn deliver(&self, client: &Arc<Client>, packet: &Outgoing, volatile: bool) -> Pressure {
        // A client that is gone, or goes for being too slow, is counted by the engine.
        match client.send(packet.clone(), volatile) {
            Ok(Sent::Congested) => Pressure::High,
            Ok(Sent::Dropped) | Err(_) => Pressure::Refused,
            Ok(_) => Pressure::Low,
        }
    }

    fn disconnect(&self, client: &Arc<Client>) {
        client.disconnect();
    }

    fn close(&self, client: &Arc<Client>) {
        client.disconnect_all();
    }

    fn observer(&self) -> Option<&dyn hub::deliver::Observer<Arc<Client>>> {
        self.observer.is_present().then_some(&self.observer as _)
    }

    fn details(&self, client: &Arc<Client>) -> ClientDetails {
        let connection = &client.connection;
        ClientDetails {
            data: client.sessions.data(),
            // A clock that was set back counts as a connection of this moment.
            connected_for: Some(connection.handshake.time().elapsed().unwrap_or_default()),
            transport: Some(connection.socket.transport().as_str().into()),
        }
    }

    fn command_connecting(&self, command: &Message) -> Option<Result<(), Error>> {
        self.connecting.command(command)
    }
}

impl hub::deliver::Observer<Arc<Client>> for Observer {
    fn watches(&self, namespace: &NamespaceName) -> bool {
        self.of(namespace).is_some()
    }

    fn delivered(&self, client: &Arc<Client>, emit: &Emit) {
        if let Some(observer) = self.of_all() {
            observer.sent(client, emit.event.as_str(), &emit.payload);
        }
    }

    fn entered(&self, client: &Arc<Client>, room: &Room) {
        if let Some(observer) = self.of_all() {
            observer.entered(client, room);
        }
    }

    fn left(&self, client: &Arc<Client>, room: &Room) {
        if let Some(observer) = self.of_all() {
            observer.left(client, room);
        }
    }
}
