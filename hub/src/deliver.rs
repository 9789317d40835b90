//! The traits by which a server connects its clients to a hub: delivery and observation.

use manager_api::cluster::ClientDetails;
use manager_api::message::{Emit, Message};
use manager_api::{Error, NamespaceName, Room};

/// Delivery to the clients of a server.
///
/// No method may block or panic; a packet is encoded once per event and shared by all recipients.
pub trait Deliver: Send + Sync + 'static {
    /// A cheap handle of a client.
    type Client: Clone + Send + Sync + 'static;
    /// An event, encoded for every kind of transport.
    type Packet: Send + Sync;

    /// Checks whether an event may be sent to clients. Called before a local event is emitted, and before a remote one
    /// is delivered. Default: every event may.
    ///
    /// # Errors
    ///
    /// The error for the caller of `emit`.
    fn check(&self, _emit: &Emit) -> Result<(), Error> {
        Ok(())
    }

    /// Encodes an event; with an id if acknowledgements are requested.
    fn encode(&self, emit: &Emit, ack: Option<u64>) -> Self::Packet;

    /// Puts a packet into a client's outbox.
    fn deliver(&self, client: &Self::Client, packet: &Self::Packet, volatile: bool) -> Pressure;

    /// Returns the bytes in a client's outbox, for metrics. Default: 0.
    fn outbox_bytes(&self, _client: &Self::Client) -> usize {
        0
    }

    /// Disconnects a client from its namespace.
    fn disconnect(&self, client: &Self::Client);

    /// Disconnects a client from every namespace, and closes its connection.
    fn close(&self, client: &Self::Client);

    /// Carries out a command about a client that is not registered yet because its connect handler is running; `None`
    /// if there is no such client. Called before the lookup in the registry, which contains a client as soon as it is
    /// accepted. Default: `None`.
    fn command_connecting(&self, _command: &Message) -> Option<Result<(), Error>> {
        None
    }

    /// Returns what is reported about a client to other servers, apart from its rooms. Default: nothing.
    fn details(&self, _client: &Self::Client) -> ClientDetails {
        ClientDetails::default()
    }

    /// Returns the observer of the clients, if there is one. Default: none.
    fn observer(&self) -> Option<&dyn Observer<Self::Client>> {
        None
    }
}

/// Observer of client activity, used by the Admin UI.
///
/// No method may block or panic. The other methods are only called for namespaces that are [watched](Self::watches).
pub trait Observer<C>: Send + Sync {
    /// Returns whether a namespace is watched now. Called once per event, command or change of a room.
    fn watches(&self, namespace: &NamespaceName) -> bool;

    /// Called after an event was [put into a client's outbox](Deliver::deliver).
    fn delivered(&self, client: &C, emit: &Emit);

    /// Called after a client entered a room.
    fn entered(&self, client: &C, room: &Room);

    /// Called after a client left a room, but not because it disconnected.
    fn left(&self, client: &C, room: &Room);
}

/// The fill level of an outbox after a packet was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// The outbox has capacity.
    Low,
    /// The client reads more slowly than it is sent to: the sender should pause for a moment if it can.
    High,
    /// The packet was not accepted: the client is disconnected, or is being disconnected because it reads too slowly,
    /// or the packet is volatile and was dropped.
    Refused,
}
