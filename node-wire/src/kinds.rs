//! The numbers by which Node's adapters tell their messages apart.
//!
//! Their sources are the enumerations `RequestType` of `@socket.io/redis-adapter` for the classic adapter, and
//! `MessageType` of `socket.io-adapter` for all others. The numbers are a part of the wire: the adapters never change
//! one, they add some.

/// Requests and responses of the classic adapter; its events for clients have no number.
pub(crate) mod classic {
    /// The ids of clients: `allSockets` of earlier versions.
    pub(crate) const SOCKETS: u64 = 0;
    /// The names of all rooms.
    pub(crate) const ALL_ROOMS: u64 = 1;
    /// Clients enter rooms.
    pub(crate) const REMOTE_JOIN: u64 = 2;
    /// Clients leave rooms.
    pub(crate) const REMOTE_LEAVE: u64 = 3;
    /// Clients are disconnected.
    pub(crate) const REMOTE_DISCONNECT: u64 = 4;
    /// Clients with their rooms and data.
    pub(crate) const REMOTE_FETCH: u64 = 5;
    /// An event for servers, and the response to one.
    pub(crate) const SERVER_SIDE_EMIT: u64 = 6;
    /// An event for clients that expects acknowledgements.
    pub(crate) const BROADCAST: u64 = 7;
    /// Response: the number of its recipients.
    pub(crate) const BROADCAST_CLIENT_COUNT: u64 = 8;
    /// Response: the acknowledgement of one of them.
    pub(crate) const BROADCAST_ACK: u64 = 9;
}

/// Messages of the adapters that are based on `ClusterAdapter`: sharded and streams.
pub(crate) mod cluster {
    /// A server has started, and asks the others for their heartbeats.
    pub(crate) const INITIAL_HEARTBEAT: u64 = 1;
    /// A server is alive.
    pub(crate) const HEARTBEAT: u64 = 2;
    /// An event for clients.
    pub(crate) const BROADCAST: u64 = 3;
    /// Clients enter rooms.
    pub(crate) const SOCKETS_JOIN: u64 = 4;
    /// Clients leave rooms.
    pub(crate) const SOCKETS_LEAVE: u64 = 5;
    /// Clients are disconnected.
    pub(crate) const DISCONNECT_SOCKETS: u64 = 6;
    /// A request for clients with their rooms and data.
    pub(crate) const FETCH_SOCKETS: u64 = 7;
    /// The response to it.
    pub(crate) const FETCH_SOCKETS_RESPONSE: u64 = 8;
    /// An event for servers.
    pub(crate) const SERVER_SIDE_EMIT: u64 = 9;
    /// The response to one that expects it.
    pub(crate) const SERVER_SIDE_EMIT_RESPONSE: u64 = 10;
    /// Response: the number of an event's recipients.
    pub(crate) const BROADCAST_CLIENT_COUNT: u64 = 11;
    /// Response: the acknowledgement of one of them.
    pub(crate) const BROADCAST_ACK: u64 = 12;
    /// A server closes.
    pub(crate) const ADAPTER_CLOSE: u64 = 13;
    /// Of no message of Node's: its servers pass over it.
    pub(crate) const MARK: u64 = 0;
}
