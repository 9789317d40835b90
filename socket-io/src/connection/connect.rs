//! What a CONNECT leads to: a client, or a refusal before there is one.

use engine_io::ProtocolError;

use super::work::Job;
use super::{Connection, ConnectionSession, Member};
use crate::client::Client;
use crate::error::Refusal;
use crate::handler::ConnectContext;
use crate::packet::{self, Packet};
use crate::socket::Socket;

impl ConnectionSession {
    pub(super) fn connect(&mut self, packet: Packet<'_>) -> Result<(), ProtocolError> {
        let is_member =
            |member: &Member| !member.client.is_closed() && member.client.namespace.name == packet.namespace;
        if self.members.iter().any(is_member) {
            return Err(ProtocolError::new("a second CONNECT to the same namespace"));
        }
        let connection = &self.connection;
        if self.members.len() >= connection.server.config.max_namespaces {
            refuse(connection, packet.namespace, &Refusal::new("Too many namespaces"));
            return Ok(());
        }
        let namespace = match connection.server.namespaces.find_or_admit(packet.namespace) {
            Ok(namespace) => namespace,
            Err(refusal) => {
                refuse(connection, packet.namespace, &refusal);
                return Ok(());
            }
        };
        let Some(auth) = packet::auth(packet.json)? else {
            refuse(connection, packet.namespace, &Refusal::new("auth must be an object"));
            return Ok(());
        };
        let client = Client::new(namespace, connection.clone());
        let mut member = Member::new(client.clone());
        match client.namespace.on_connect() {
            None => client.accept(),
            Some(handler) => {
                connection.server.connecting().insert(&client);
                let socket = Socket::new(client);
                member
                    .work
                    .push(Job::Connect(handler, ConnectContext { socket, auth }), &mut self.load);
            }
        }
        self.members.push(member);
        Ok(())
    }
}

fn refuse(connection: &Connection, namespace: &str, refusal: &Refusal) {
    let parser = connection.server.config.parser;
    let packet = parser.connect_error(namespace, &refusal.to_json());
    // A connection that is gone needs no refusal.
    let _ = connection.socket.send(packet);
}
