//! The server side of a hub: what delivers to clients, and what observes them.

use std::sync::Arc;

use manager_api::message::{Emit, Message};
use manager_api::{Error, NamespaceName, Room};

/// What a hub needs of the server whose clients it serves.
///
/// Nothing here may block or panic; a packet is made once per event and shared by all recipients.
pub trait Deliver: Send + Sync + 'static {
    /// A cheap handle of a client.
    type Client: Clone + Send + Sync + 'static;
    /// An event, encoded for every kind of transport.
    type Packet: Send + Sync;

    /// Tells why an event must not go to clients. Asked before an event is emitted here, and before one from elsewhere is delivered. Default:
    /// every one may.
    ///
    /// # Errors
    ///
    /// What the caller of `emit` is told.
    fn check(&self, _emit: &Emit) -> Result<(), Error> {
        Ok(())
    }

    /// Encodes an event; with an id if acknowledgements are wanted.
    fn encode(&self, emit: &Emit, ack: Option<u64>) -> Self::Packet;

    /// Hands a packet to a client's outbox.
    fn deliver(&self, client: &Self::Client, packet: &Self::Packet, volatile: bool) -> Pressure;

    /// Disconnects a client from its namespace.
    fn disconnect(&self, client: &Self::Client);

    /// Disconnects a client from every namespace, and closes its connection.
    fn close(&self, client: &Self::Client);

    /// Carries out a command about a client that is not registered yet, for its connect handler runs; `None` if there is none. Asked
    /// before the registry is, which whoever was just accepted is in already. Default: there is none.
    fn command_connecting(&self, _command: &Message) -> Option<Result<(), Error>> {
        None
    }

    /// Returns what the application keeps with a client for others to see: JSON text. Default: nothing.
    fn data(&self, _client: &Self::Client) -> Option<Arc<str>> {
        None
    }

    /// Returns the observer of the clients, if there is one. Default: none.
    fn observer(&self) -> Option<&dyn Observer<Self::Client>> {
        None
    }
}

/// Observer of what happens to clients, used by the Admin UI.
///
/// Nothing here may block or panic. The other methods are only called for namespaces that are [watched](Self::watches).
pub trait Observer<C>: Send + Sync {
    /// Tells whether a namespace is watched now. Asked once per event, command or change of a room.
    fn watches(&self, namespace: &NamespaceName) -> bool;

    /// Learns that a client [took](Deliver::deliver) an event.
    fn delivered(&self, client: &C, emit: &Emit);

    /// Learns that a client entered a room.
    fn entered(&self, client: &C, room: &Room);

    /// Learns that a client left a room, but not because it disconnected.
    fn left(&self, client: &C, room: &Room);
}

/// How full the outbox is that a packet went into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// There is room.
    Low,
    /// The client takes less than it is sent: a sender that can wait had better do so for a moment.
    High,
    /// The packet did not go in: the client is gone, or goes because it reads too slowly, or the packet could be dropped and was.
    Refused,
}
