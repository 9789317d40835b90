//! The CONNECT of a client: it leads to a client, or to a refusal before there is one.

use engine_io::ProtocolError;

use super::link::Connection;
use super::member::Member;
use super::session::ConnectionSession;
use super::work::Job;
use crate::client::Client;
use crate::error::Refusal;
use crate::handler::ConnectContext;
use crate::packet::{self, Packet};
use crate::socket::Socket;

impl ConnectionSession {
    pub(super) fn connect(&mut self, packet: Packet<'_>) -> Result<(), ProtocolError> {
        let is_member = |member: &Member| !member.client.is_closed() && member.namespace.name == packet.namespace;
        if self.members.iter().any(is_member) {
            return Err(ProtocolError::new("a second CONNECT to the same namespace"));
        }
        let connection = &self.connection;
        if self.members.len() >= connection.core.config.max_namespaces {
            refuse(connection, packet.namespace, &Refusal::new("Too many namespaces"));
            return Ok(());
        }
        let namespace = match self.namespaces.find_or_admit(packet.namespace) {
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
        let client = Client::new(namespace.clone(), connection.clone());
        let handler = namespace.on_connect();
        let mut member = Member::new(client.clone(), namespace);
        match handler {
            None => client.accept(),
            Some(handler) => {
                connection.core.connecting().insert(&client);
                let socket = Socket::new(client);
                member
                    .work
                    .push(Job::Connect(handler, ConnectContext { socket, auth }), &mut self.load);
            }
        }
        // Most connections join one namespace: by itself the list would begin with places for four.
        if self.members.is_empty() {
            self.members.reserve_exact(1);
        }
        self.members.push(member);
        Ok(())
    }
}

fn refuse(connection: &Connection, namespace: &str, refusal: &Refusal) {
    let parser = connection.core.config.parser;
    let packet = parser.connect_error(namespace, &refusal.to_json());
    // A connection that is gone needs no refusal.
    let _ = connection.socket.send(packet);
}
