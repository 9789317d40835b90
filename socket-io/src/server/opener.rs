//! The opener: makes the session of each new connection.

use std::sync::Weak;

use engine_io::{Handler, Handshake, Message, ProtocolError, Session, Socket as EngineSocket};

use super::state::Server;
use crate::connection::{Connection, ConnectionSession};

/// Opens connections. Weak, because the server holds the engine that holds this.
pub(super) struct Opener(pub(super) Weak<Server>);

impl Handler for Opener {
    fn open(&self, socket: EngineSocket, handshake: Handshake) -> Box<dyn Session> {
        let Some(server) = self.0.upgrade() else {
            socket.close();
            return Box::new(NoServer);
        };
        let namespaces = server.namespaces.clone();
        let connection = Connection::new(socket, handshake, server.core.clone(), server);
        Box::new(ConnectionSession::new(connection, namespaces))
    }

    fn make_room(&self) -> bool {
        self.0.upgrade().is_some_and(|server| server.core.unjoined.make_room())
    }
}

/// The session of a client whose server is gone.
struct NoServer;

impl Session for NoServer {
    fn message(&mut self, _: Message<'_>) -> Result<(), ProtocolError> {
        Err(ProtocolError::new("the server is gone"))
    }
}
