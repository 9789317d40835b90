//! What a message of ours becomes on Node's wires.

use std::time::Duration;

use manager_api::cluster::{Change, ClusterRequest, RequestKind, Selection};
use manager_api::message::{Emit, Mark, Message, Target};
use manager_api::{Error, ErrorKind, EventName, NamespaceName, Payload, Room, Sid};

use crate::request_id::RequestId;

/// A message that Node's adapters know.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) namespace: NamespaceName,
    pub(crate) kind: Kind,
    /// Set if a bridge has brought it from another fleet: Node's adapters ignore it.
    pub(crate) mark: Option<Mark>,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// An event for clients; with an id the servers respond with the number of their recipients and with each
    /// acknowledgement.
    Broadcast {
        emit: Box<Emit>,
        request: Option<RequestId>,
    },
    Join(Clients, Vec<Room>),
    Leave(Clients, Vec<Room>),
    Disconnect {
        clients: Clients,
        closes: bool,
    },
    FetchSockets(Clients, RequestId),
    ServerEvent(ServerEvent),
}

/// An event for servers; with an id their handlers respond.
#[derive(Debug)]
pub(crate) struct ServerEvent {
    pub(crate) name: EventName,
    pub(crate) payload: Payload,
    pub(crate) request: Option<RequestId>,
}

/// Selected clients, as Node knows them: a client is in the room named by its id.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    /// Empty for everyone.
    pub(crate) rooms: Vec<Room>,
    pub(crate) except: Vec<Room>,
}

/// The process that a message is from.
#[derive(Clone, Copy)]
pub(crate) struct Sender<'a> {
    /// Its id on the wire, by which responses find it.
    pub(crate) uid: &'a str,
    /// Whether it is a server: the id of an emitter stands only where a response is expected.
    pub(crate) is_server: bool,
}

impl<'a> Sender<'a> {
    /// Returns the id that a message names.
    pub(crate) fn name(self, expects_response: bool) -> &'a str {
        if self.is_server || expects_response {
            self.uid
        } else {
            EMITTER
        }
    }
}

/// The id of all emitters that expect no response, which servers do not count as one of them.
pub(crate) const EMITTER: &str = "emitter";

/// Translates a message; `None` if there is nothing to send: no client is selected, or it is about the presence of
/// servers, which Node's do not announce.
///
/// # Errors
///
/// [`ErrorKind::Config`] if Node's adapters have no such message.
pub(crate) fn translate(message: Message) -> Result<Option<Outgoing>, Error> {
    let one = |sid: &Sid| Clients {
        rooms: vec![sid.into()],
        except: Vec::new(),
    };
    let (namespace, kind) = match message {
        Message::Emit(emit) if selects_none(&emit.target) => return Ok(None),
        Message::Emit(emit) => {
            let request = RequestId::of(&emit);
            let emit = Box::new(emit);
            (emit.namespace.clone(), Kind::Broadcast { emit, request })
        }
        Message::Members { clients, .. } if selects_none(&clients.target) => return Ok(None),
        Message::Members { clients, change } => {
            let namespace = clients.namespace.clone();
            let clients = Clients::from(clients);
            let kind = match change {
                Change::Join(rooms) => Kind::Join(clients, rooms),
                Change::Leave(rooms) => Kind::Leave(clients, rooms),
                Change::Disconnect => Kind::Disconnect { clients, closes: false },
                Change::Close => Kind::Disconnect { clients, closes: true },
            };
            (namespace, kind)
        }
        Message::Disconnect { sid, namespace } => {
            let (clients, closes) = (one(&sid), false);
            (namespace, Kind::Disconnect { clients, closes })
        }
        Message::EnterRoom { sid, room, namespace } => (namespace, Kind::Join(one(&sid), vec![room])),
        Message::LeaveRoom { sid, room, namespace } => (namespace, Kind::Leave(one(&sid), vec![room])),
        Message::CloseRoom { room, namespace } => {
            let clients = Clients {
                rooms: vec![room.clone()],
                except: Vec::new(),
            };
            (namespace, Kind::Leave(clients, vec![room]))
        }
        Message::Request(request) => return request_of(request),
        Message::Hello | Message::Seek | Message::Present | Message::Bye => return Ok(None),
        Message::Callback(_) | Message::Response(_) => {
            return Err(cannot("carry the responses of a process that is not a server"));
        }
        _ => return Err(cannot("carry this message")),
    };
    Ok(Some(Outgoing {
        namespace,
        kind,
        mark: None,
    }))
}

fn request_of(request: ClusterRequest) -> Result<Option<Outgoing>, Error> {
    let namespace = request.kind.namespace();
    let kind = match (request.kind, request.id) {
        (RequestKind::Sockets { clients, .. } | RequestKind::Count { clients }, _) if selects_none(&clients.target) => {
            return Err(Error::new(
                ErrorKind::Config,
                "the list of rooms is empty: no server is asked",
            ));
        }
        (RequestKind::Sockets { clients, .. }, Some(id)) => Kind::FetchSockets(clients.into(), RequestId::Sockets(id)),
        (RequestKind::Count { clients }, Some(id)) => Kind::FetchSockets(clients.into(), RequestId::Count(id)),
        (RequestKind::Event { event: name, payload }, id) => Kind::ServerEvent(ServerEvent {
            name,
            payload,
            request: id.map(RequestId::Event),
        }),
        (RequestKind::Servers, _) => return Err(cannot("list servers")),
        (RequestKind::Rooms { .. }, _) => return Err(cannot("list rooms and their members")),
        (RequestKind::Sockets { .. } | RequestKind::Count { .. }, None) => return Ok(None),
    };
    Ok(Some(Outgoing {
        namespace,
        kind,
        mark: None,
    }))
}

impl Outgoing {
    /// Sets the mark of a bridge, which only a message that a bridge has brought from another fleet has.
    ///
    /// Servers take no notice of it; other bridges forward the message no further.
    pub(crate) fn marked(self, mark: Option<Mark>) -> Self {
        Self { mark, ..self }
    }

    /// Returns whether servers respond to it.
    pub(crate) fn expects_response(&self) -> bool {
        match &self.kind {
            Kind::Broadcast { request, .. } => request.is_some(),
            Kind::ServerEvent(event) => event.request.is_some(),
            Kind::FetchSockets(..) => true,
            Kind::Join(..) | Kind::Leave(..) | Kind::Disconnect { .. } => false,
        }
    }

    /// Returns whether it holds binary, which JSON cannot carry.
    pub(crate) fn has_binary(&self) -> bool {
        match &self.kind {
            Kind::Broadcast { emit, .. } => !emit.payload.attachments().is_empty(),
            Kind::ServerEvent(event) => !event.payload.attachments().is_empty(),
            _ => false,
        }
    }
}

impl From<Selection> for Clients {
    fn from(clients: Selection) -> Self {
        let rooms = match clients.target {
            Target::Everyone => Vec::new(),
            Target::Rooms(rooms) => rooms,
        };
        let skip = clients.skip.iter().map(Room::from);
        Self {
            rooms,
            except: clients.except.into_iter().chain(skip).collect(),
        }
    }
}

/// The recipients of an event as lists of rooms.
pub(crate) fn rooms_of(emit: &Emit) -> &[Room] {
    match &emit.target {
        Target::Everyone => &[],
        Target::Rooms(rooms) => rooms,
    }
}

/// The rooms that an event excludes, those named by the ids of clients included.
pub(crate) fn except_of(emit: &Emit) -> Vec<Room> {
    let skip = emit.skip.iter().map(Room::from);
    emit.except.iter().cloned().chain(skip).collect()
}

/// The time that the servers wait for acknowledgements, in milliseconds.
pub(crate) fn timeout_of(emit: &Emit) -> u64 {
    let timeout = emit.ack_timeout.unwrap_or(Duration::from_secs(60));
    u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)
}

/// Returns whether the target selects no client: on Node's wires an empty list means everyone.
fn selects_none(target: &Target) -> bool {
    matches!(target, Target::Rooms(rooms) if rooms.is_empty())
}

fn cannot(what: &str) -> Error {
    let text = format!("the wires of Node's adapters cannot {what}");
    Error::new(ErrorKind::Config, text)
}
