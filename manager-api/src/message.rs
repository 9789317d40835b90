//! The messages between processes.

mod mark;

use std::time::{Duration, SystemTime};

use crate::cluster::{Change, ClusterRequest, ClusterResponse, Selection};
use crate::trace::TraceParent;
use crate::{EventName, HostId, IdempotencyKey, NamespaceName, Payload, Room, Sid};

pub use mark::Mark;

/// A message together with the process it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// The sender; for a [`Message::Callback`] the recipient. `None` in messages of other software that name no host.
    pub host_id: Option<HostId>,
    /// The message itself.
    pub message: Message,
    /// Set if a bridge has brought the message from another fleet. An extension.
    pub mark: Option<Mark>,
}

impl Envelope {
    /// Creates the envelope of a message that no bridge has brought.
    pub fn new(host_id: Option<HostId>, message: Message) -> Self {
        Self {
            host_id,
            message,
            mark: None,
        }
    }
}

/// The messages of python-socketio's queue (`pubsub_manager.py`), and extensions that only our servers support.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Message {
    /// Emit an event to clients.
    Emit(Emit),
    /// A client's acknowledgement, for the process that emitted the event.
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
    /// Remove a client from a room.
    LeaveRoom {
        /// The client.
        sid: Sid,
        /// The room.
        room: Room,
        /// The namespace of both.
        namespace: NamespaceName,
    },
    /// Remove all clients from a room.
    CloseRoom {
        /// The room.
        room: Room,
        /// Its namespace.
        namespace: NamespaceName,
    },
    /// A request to servers, or an event for them. This and all below are extensions: python-socketio ignores them.
    Request(ClusterRequest),
    /// A part of the response to a request.
    Response(ClusterResponse),
    /// Put clients into rooms, remove them from rooms, or disconnect them.
    Members {
        /// The selected clients.
        clients: Selection,
        /// The change to them.
        change: Change,
    },
    /// A server begins to listen, and requests the presence of the others.
    Hello,
    /// An emitter requests the presence of the servers.
    Seek,
    /// A server is running.
    Present,
    /// A server closes.
    Bye,
}

impl Message {
    /// Returns the message's `method` on the channel.
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
            Self::Present => "sio_here",
            Self::Bye => "sio_bye",
        }
    }

    /// Returns whether it is about the presence of servers.
    pub fn is_presence(&self) -> bool {
        matches!(self, Self::Hello | Self::Seek | Self::Present | Self::Bye)
    }

    /// Stamps an event with the time at which it is published; other messages stay as they are.
    pub fn stamped(mut self) -> Self {
        if let Self::Emit(emit) = &mut self {
            emit.sent = Some(SystemTime::now());
        }
        self
    }
}

/// An event and its recipients.
#[derive(Clone, Debug, PartialEq)]
pub struct Emit {
    /// The namespace.
    pub namespace: NamespaceName,
    /// The event's name.
    pub event: EventName,
    /// Its arguments.
    pub payload: Payload,
    /// The rooms; a client in several of them receives the event once.
    pub target: Target,
    /// Excluded clients.
    pub skip: Vec<Sid>,
    /// Rooms whose members are excluded. An extension: python-socketio does not support it and delivers to them.
    pub except: Vec<Room>,
    /// Whether it may be dropped for a client that cannot accept it at once. An extension; python-socketio delivers it
    /// all the same.
    pub volatile: bool,
    /// Whether it is sent uncompressed even where a transport would compress it. An extension.
    pub is_uncompressed: bool,
    /// The address of acknowledgements, if any are requested.
    pub callback: Option<CallbackAddress>,
    /// The timeout of acknowledgements. An extension; `None` leaves it to the receiving server.
    pub ack_timeout: Option<Duration>,
    /// The id of the request in whose responses servers name the clients that may acknowledge. An extension.
    pub report: Option<u64>,
    /// The id of the request in whose responses servers count the clients that the event was handed to. An extension.
    pub receipt: Option<u64>,
    /// The key by which servers drop repeats. An extension: python-socketio delivers them.
    pub key: Option<IdempotencyKey>,
    /// When it was published, by the clock of the emitter; carried in microseconds. An extension.
    pub sent: Option<SystemTime>,
    /// Its position in a trace. An extension; in a box because few events have one, and all are moved.
    pub trace: Option<Box<TraceParent>>,
    /// Extensions that were malformed and are ignored: of those without which the event is delivered all the same.
    pub num_malformed: u8,
}

impl Emit {
    /// Creates an event for all clients of a namespace; the other fields are set as needed.
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
            receipt: None,
            key: None,
            sent: None,
            trace: None,
            num_malformed: 0,
        }
    }
}

/// The recipients of an event, within its namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// All clients.
    #[default]
    Everyone,
    /// The members of these rooms; no client if the list is empty.
    Rooms(Vec<Room>),
}

impl Target {
    /// Adds a room: `Everyone` becomes the members of that room alone.
    pub fn add(&mut self, room: Room) {
        match self {
            Target::Everyone => *self = Target::Rooms(vec![room]),
            Target::Rooms(rooms) => rooms.push(room),
        }
    }

    /// Returns the rooms; empty for `Everyone`.
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

/// The key by which the origin of an emit finds its callback: echoed in every acknowledgement.
#[derive(Clone, Debug, PartialEq)]
pub struct CallbackAddress {
    /// The room the event was emitted to, if it was one.
    pub room: Option<Room>,
    /// The namespace.
    pub namespace: NamespaceName,
    /// The id assigned by the origin.
    pub id: u64,
}

/// A client's acknowledgement, sent to the origin of the emit.
#[derive(Clone, Debug, PartialEq)]
pub struct Callback {
    /// The address from the emit.
    pub address: CallbackAddress,
    /// The arguments of the acknowledgement.
    pub payload: Payload,
    /// The client that acknowledged. An extension: `None` in callbacks of python-socketio.
    pub client: Option<Sid>,
}
