//! What processes tell each other.

use std::time::Duration;

use crate::cluster::{Change, ClusterRequest, ClusterResponse, Selection};
use crate::{EventName, HostId, NamespaceName, Payload, Room, Sid};

/// A message together with the process it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// The sender; for a [`Message::Callback`] the process it is meant for. `None` in messages of strangers that name no host.
    pub host_id: Option<HostId>,
    /// What is said.
    pub message: Message,
}

/// The messages of python-socketio's queue (`pubsub_manager.py`), and those that only our servers know.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Message {
    /// Emit an event to clients.
    Emit(Emit),
    /// A client's acknowledgement, for the process that asked for it.
    Callback(Callback),
    /// Disconnect a client from a namespace.
    Disconnect {
        /// The client.
        sid: Sid,
        /// Its namespace.
        namespace: NamespaceName,
    },
    /// Put a client into a room.
    EnterRoom {
        /// The client.
        sid: Sid,
        /// The room.
        room: Room,
        /// The namespace of both.
        namespace: NamespaceName,
    },
    /// Take a client out of a room.
    LeaveRoom {
        /// The client.
        sid: Sid,
        /// The room.
        room: Room,
        /// The namespace of both.
        namespace: NamespaceName,
    },
    /// Take everybody out of a room.
    CloseRoom {
        /// The room.
        room: Room,
        /// Its namespace.
        namespace: NamespaceName,
    },
    /// Answer a question, or take an event for servers. This and all below are extensions: python-socketio ignores them.
    Request(ClusterRequest),
    /// A part of the answer to a question.
    Response(ClusterResponse),
    /// Put clients into rooms, take them out, or disconnect them.
    Members {
        /// Whom it is about.
        clients: Selection,
        /// What happens to them.
        change: Change,
    },
    /// A server begins to listen, and wants to know which others there are.
    Hello,
    /// An emitter wants to know which servers there are.
    Seek,
    /// A server is there.
    Here,
    /// A server closes.
    Bye,
}

impl Message {
    /// Returns the method by which the message goes on the channel.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Emit(_) => "emit",
            Self::Callback(_) => "callback",
            Self::Disconnect { .. } => "disconnect",
            Self::EnterRoom { .. } => "enter_room",
            Self::LeaveRoom { .. } => "leave_room",
            Self::CloseRoom { .. } => "close_room",
            Self::Request(_) => "sio_ask",
            Self::Response(_) => "sio_answer",
            Self::Members { .. } => "sio_members",
            Self::Hello => "sio_hello",
            Self::Seek => "sio_seek",
            Self::Here => "sio_here",
            Self::Bye => "sio_bye",
        }
    }
}

/// An event and whom it is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Emit {
    /// The namespace.
    pub namespace: NamespaceName,
    /// The event's name.
    pub event: EventName,
    /// Its arguments.
    pub payload: Payload,
    /// The rooms; a client in several of them gets the event once.
    pub target: Target,
    /// Clients that do not get it.
    pub skip: Vec<Sid>,
    /// Rooms whose members do not get it. An extension: python-socketio does not know it and delivers to them.
    pub except: Vec<Room>,
    /// May be dropped for a client that cannot take it at once. An extension; python-socketio delivers all the same.
    pub volatile: bool,
    /// Is sent as it is even where a transport would compress it. An extension.
    pub is_uncompressed: bool,
    /// Where acknowledgements go, if any are wanted.
    pub callback: Option<CallbackAddress>,
    /// How long acknowledgements are waited for. An extension; `None` leaves it to the receiving server.
    pub ack_timeout: Option<Duration>,
    /// The question in whose answers servers name the clients that may acknowledge. An extension.
    pub report: Option<u64>,
}

impl Emit {
    /// An event for everybody in a namespace; the other fields are set as needed.
    pub fn new(namespace: NamespaceName, event: EventName, payload: Payload) -> Self {
        Self {
            namespace,
            event,
            payload,
            target: Target::Everyone,
            skip: Vec::new(),
            except: Vec::new(),
            volatile: false,
            is_uncompressed: false,
            callback: None,
            ack_timeout: None,
            report: None,
        }
    }
}

/// Whom an event is for, within its namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Everybody.
    #[default]
    Everyone,
    /// The members of these rooms; of none, if there are none.
    Rooms(Vec<Room>),
}

impl Target {
    /// Adds a room: everybody becomes the members of that room alone.
    pub fn add(&mut self, room: Room) {
        match self {
            Target::Everyone => *self = Target::Rooms(vec![room]),
            Target::Rooms(rooms) => rooms.push(room),
        }
    }

    /// Returns the rooms; none if everybody is meant.
    pub(crate) fn rooms(&self) -> &[Room] {
        match self {
            Target::Everyone => &[],
            Target::Rooms(rooms) => rooms,
        }
    }

    /// Returns the room if there is exactly one.
    pub fn single(&self) -> Option<&Room> {
        match self {
            Target::Rooms(rooms) if rooms.len() == 1 => rooms.first(),
            _ => None,
        }
    }
}

/// What the origin of an emit finds its callback by: echoed by whoever answers.
#[derive(Clone, Debug, PartialEq)]
pub struct CallbackAddress {
    /// The room the event was emitted to, if it was one.
    pub room: Option<Room>,
    /// The namespace.
    pub namespace: NamespaceName,
    /// The number that the origin gave.
    pub id: u64,
}

/// A client's acknowledgement on its way back.
#[derive(Clone, Debug, PartialEq)]
pub struct Callback {
    /// The address from the emit.
    pub address: CallbackAddress,
    /// What the client answered.
    pub payload: Payload,
    /// Who answered. An extension: `None` in answers of python-socketio.
    pub client: Option<Sid>,
}
