//! The recipient of events and commands: a client, as the hub sees it.

use std::sync::Arc;

use engine_io::{Outgoing, Sent};
use manager_api::cluster::ClientDetails;
use manager_api::{Error, NamespaceName, Room, Sid};

/// A client of this server, in one namespace. No method may block or panic.
pub(crate) trait Recipient: Send + Sync + 'static {
    /// Returns its id.
    fn sid(&self) -> &Sid;

    /// Returns the name of its namespace.
    fn namespace(&self) -> &NamespaceName;

    /// Puts a packet into the outbox of its connection.
    fn send(&self, packet: Outgoing, volatile: bool) -> Result<Sent, Error>;

    /// Tells whether it wants to know how old events are.
    fn asks_ages(&self) -> bool;

    /// Returns the bytes in the outbox of its connection.
    fn outbox_bytes(&self) -> usize;

    /// Enters a room now, or when it is accepted.
    fn enter(&self, room: Room) -> Result<(), Error>;

    /// Leaves a room.
    fn leave(&self, room: &Room) -> Result<(), Error>;

    /// Disconnects it from its namespace; the connection stays.
    fn disconnect(self: &Arc<Self>);

    /// Disconnects it from every namespace, and closes its connection.
    fn disconnect_all(self: &Arc<Self>);

    /// Returns its data and connection, as other servers see them.
    fn details(&self) -> ClientDetails;
}
