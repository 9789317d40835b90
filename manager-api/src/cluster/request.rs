//! The requests between servers and their responses.

use std::time::Duration;

use super::report::{ClientDetails, RoomInfo, ServerStatus};
use crate::message::Target;
use crate::{EventName, HostId, NamespaceName, Payload, Room, Sid};

/// A selection of clients on every server.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// Their namespace.
    pub namespace: NamespaceName,
    /// The rooms they are in.
    pub target: Target,
    /// Excluded clients.
    pub skip: Vec<Sid>,
    /// Rooms whose members are excluded.
    pub except: Vec<Room>,
}

/// A request, or an event, for every other server.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterRequest {
    /// The id that responses carry; `None` if no response is expected.
    pub id: Option<u64>,
    /// The kind of request, with its parameters.
    pub kind: RequestKind,
    /// How long the sender waits for responses.
    pub timeout: Duration,
}

/// The kinds of requests to servers.
#[derive(Clone, Debug, PartialEq)]
pub enum RequestKind {
    /// List the servers: each responds with its status.
    Servers,
    /// List the rooms of a namespace, with the numbers of their members. The rooms named by the ids of clients are left
    /// out.
    Rooms {
        /// The namespace.
        namespace: NamespaceName,
        /// What the names of the rooms start with; empty for all rooms.
        prefix: String,
        /// The maximum number of rooms to list.
        limit: usize,
    },
    /// List the selected clients and their rooms.
    Sockets {
        /// The selected clients.
        clients: Selection,
        /// The maximum number of clients to list.
        limit: usize,
    },
    /// Count the selected clients.
    Count {
        /// The selected clients.
        clients: Selection,
    },
    /// Run the server's handler of an event, and respond with its output.
    Event {
        /// The event's name.
        event: EventName,
        /// Its arguments.
        payload: Payload,
    },
}

impl RequestKind {
    /// Returns whether every wire has such requests.
    pub fn is_on_every_wire(&self) -> bool {
        !matches!(self, Self::Servers | Self::Rooms { .. })
    }

    /// Returns the namespace that the request is about; `/` for one about servers.
    pub fn namespace(&self) -> NamespaceName {
        match self {
            Self::Servers | Self::Event { .. } => NamespaceName::root(),
            Self::Rooms { namespace, .. } => namespace.clone(),
            Self::Sockets { clients, .. } | Self::Count { clients } => clients.namespace.clone(),
        }
    }
}

/// A part of one server's response to a request.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterResponse {
    /// The process that sent the request.
    pub to: HostId,
    /// The id of the request.
    pub id: u64,
    /// The contents of this part.
    pub part: ResponsePart,
    /// The number of this part, from 0.
    pub number: u32,
    /// Whether this is the last part.
    pub is_last: bool,
    /// Whether a limit cut the response.
    pub is_truncated: bool,
}

/// The contents of a part of a response.
#[derive(Clone, Debug, PartialEq)]
pub enum ResponsePart {
    /// The server is running; its status.
    Present(Box<ServerStatus>),
    /// Some of its rooms.
    Rooms(Vec<RoomInfo>),
    /// Some of its clients.
    Sockets(Vec<SocketInfo>),
    /// The number of its clients that were counted, or that an event was handed to.
    Count(u64),
    /// The output of its handler; `None` without a handler or output.
    Event(Option<Payload>),
    /// Clients that were sent an event and may acknowledge it.
    Recipients(Vec<Sid>),
    /// Clients that left before they acknowledged. It may follow the last part, and does not count as a numbered part.
    Left(Vec<Sid>),
}

impl ResponsePart {
    pub(crate) fn size_of_sockets(sockets: &[SocketInfo]) -> usize {
        sockets.iter().map(SocketInfo::size).sum()
    }

    /// Counts the clients and rooms that it names.
    pub fn num_names(&self) -> usize {
        match self {
            Self::Present(_) | Self::Count(_) | Self::Event(_) => 0,
            Self::Rooms(rooms) => rooms.len(),
            Self::Sockets(sockets) => sockets.iter().map(|socket| 1 + socket.rooms.len()).sum(),
            Self::Recipients(clients) | Self::Left(clients) => clients.len(),
        }
    }

    /// Returns the approximate size in bytes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Count(_) | Self::Event(None) => 0,
            Self::Present(status) => status.software.len() + status.host_name.len(),
            Self::Rooms(rooms) => rooms.iter().map(RoomInfo::size).sum(),
            Self::Sockets(sockets) => Self::size_of_sockets(sockets),
            Self::Event(Some(payload)) => payload.size(),
            Self::Recipients(clients) | Self::Left(clients) => clients.iter().map(|sid| sid.as_str().len() + 3).sum(),
        }
    }
}

/// A client and its rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketInfo {
    /// Its id.
    pub id: Sid,
    /// Its rooms, the one named by its id first.
    pub rooms: Vec<Room>,
    /// What else its server reports about it.
    pub details: ClientDetails,
}

impl SocketInfo {
    /// Returns the approximate size in bytes.
    pub fn size(&self) -> usize {
        let rooms = self.rooms.iter().map(|room| room.as_str().len() + 8).sum::<usize>();
        rooms + self.details.data.as_ref().map_or(0, |data| data.len()) + 80
    }
}

/// A change to all clients of a [`Selection`].
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// They enter rooms.
    Join(Vec<Room>),
    /// They leave rooms.
    Leave(Vec<Room>),
    /// They are disconnected from the namespace.
    Disconnect,
    /// They are disconnected from every namespace, and their connections are closed.
    Close,
}
