//! What servers say to each other.

use std::sync::Arc;
use std::time::Duration;

use crate::message::Target;
use crate::{EventName, HostId, NamespaceName, Payload, Room, Sid};

/// Clients, wherever they are connected.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// Their namespace.
    pub namespace: NamespaceName,
    /// The rooms they are in.
    pub target: Target,
    /// Clients that are not meant.
    pub skip: Vec<Sid>,
    /// Rooms whose members are not meant.
    pub except: Vec<Room>,
}

/// A question, or an event, for every other server.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterRequest {
    /// The number that answers carry; `None` if none are wanted.
    pub id: Option<u64>,
    /// What is asked.
    pub ask: RequestKind,
    /// How long the answers are waited for.
    pub timeout: Duration,
}

/// What is asked of a server.
#[derive(Clone, Debug, PartialEq)]
pub enum RequestKind {
    /// That it is there.
    Servers,
    /// Which of its clients are meant, and their rooms.
    Sockets {
        /// Whom the question is about.
        clients: Selection,
        /// How many of them are to be told of at most.
        limit: usize,
    },
    /// How many of its clients are meant.
    Count {
        /// Whom the question is about.
        clients: Selection,
    },
    /// What its own code says to an event.
    Event {
        /// The event's name.
        event: EventName,
        /// Its arguments.
        payload: Payload,
    },
}

/// A part of one server's answer to a question.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterResponse {
    /// Who asked.
    pub to: HostId,
    /// The number of the question.
    pub id: u64,
    /// What is answered.
    pub part: ResponsePart,
    /// The number of this part, from 0.
    pub number: u32,
    /// No more parts follow.
    pub is_last: bool,
    /// There is more than the limit allows to tell.
    pub is_truncated: bool,
}

/// What a part of an answer says.
#[derive(Clone, Debug, PartialEq)]
pub enum ResponsePart {
    /// The server is there.
    Present,
    /// Some of its clients.
    Sockets(Vec<SocketInfo>),
    /// How many clients.
    Count(u64),
    /// What its code answers; nothing if no handler does.
    Event(Option<Payload>),
    /// Clients that were sent an event and may acknowledge it.
    Recipients(Vec<Sid>),
    /// Clients that left before they acknowledged. It may follow the last part, and has no number of its own.
    Left(Vec<Sid>),
}

impl ResponsePart {
    pub(crate) fn size_of_sockets(sockets: &[SocketInfo]) -> usize {
        sockets.iter().map(SocketInfo::size).sum()
    }

    /// Returns how many clients and rooms it names.
    pub fn num_names(&self) -> usize {
        match self {
            Self::Present | Self::Count(_) | Self::Event(_) => 0,
            Self::Sockets(sockets) => sockets.iter().map(|socket| 1 + socket.rooms.len()).sum(),
            Self::Recipients(clients) | Self::Left(clients) => clients.len(),
        }
    }

    /// Returns about how many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Present | Self::Count(_) | Self::Event(None) => 0,
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
    /// What the application keeps with it for others to see: JSON text.
    pub data: Option<Arc<str>>,
}

impl SocketInfo {
    /// Returns about how many bytes it takes.
    pub fn size(&self) -> usize {
        let rooms = self.rooms.iter().map(|room| room.as_str().len() + 8).sum::<usize>();
        rooms + self.data.as_ref().map_or(0, |data| data.len()) + 48
    }
}

/// What happens to all clients of a [`Selection`].
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
