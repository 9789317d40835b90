//! Decoding of what Node's servers and emitters send, into messages for the hub.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use manager_api::cluster::{Change, ClusterRequest, RequestKind, Selection};
use manager_api::message::{CallbackAddress, Emit, Envelope, Mark, Message, Target};
use manager_api::topics::Entry;
use manager_api::wire::{Arrival, DecodeLimits};
use manager_api::{HostId, NamespaceName, Room, Sid};
use serde_json::value::RawValue;

use super::fields::{Broadcast, ClusterFields, Fields, Options, Packet, Unreadable, event_of, mark_of, rooms};
use super::pending::{Added, PendingRequests, Wanted};
use crate::format::MARK;
use crate::kinds::{classic, cluster};
use crate::response::{entry_data, to_json};

/// How long Node's servers wait for responses: the default of their adapters, and some more.
const REQUEST_TIME: Duration = Duration::from_secs(10);

/// How long they wait for acknowledgements if they do not say.
const ACK_TIME: Duration = Duration::from_secs(60);

/// Reads messages for one server.
pub(crate) struct Reader<'a> {
    /// Its id on the wire.
    pub(crate) uid: &'a str,
    /// The namespace of the topic.
    pub(crate) namespace: &'a NamespaceName,
    pub(crate) limits: DecodeLimits,
    pub(crate) pending: &'a PendingRequests,
    /// Only what expects a response is of interest: the rest was received already.
    pub(crate) is_retiring: bool,
}

/// A message of this server itself is `None`, and what needs no attention, too.
type Read = Result<Option<Arrival>, Unreadable>;

/// Reads `[uid, packet, options]` of the classic adapter.
pub(crate) fn classic_broadcast(message: &Bytes, reader: &Reader<'_>) -> Read {
    let (json, attachments) = reader.to_json(message)?;
    let Broadcast(uid, packet, options, mark) = serde_json::from_str(&json)?;
    if uid == reader.uid {
        return Ok(Some(OWN));
    }
    if packet.nsp.as_deref().unwrap_or("/") != reader.namespace.as_str() {
        return Ok(None);
    }
    let emit = reader.emit(packet.data, attachments, &options)?;
    Ok(Some(reader.arrival(&uid, Message::Emit(emit), mark.map(mark_of))))
}

/// Reads a request of the classic adapter.
pub(crate) fn classic_request(message: &Bytes, reader: &Reader<'_>) -> Read {
    let (json, attachments) = reader.to_json(message)?;
    let mut fields: Fields<'_> = serde_json::from_str(&json)?;
    let kind = fields.kind.ok_or("a request without a type")?;
    // Emitters leave out their id in some requests.
    let uid = fields.uid.take().unwrap_or_default();
    if uid == reader.uid {
        return Ok(Some(OWN));
    }
    let message = match kind {
        classic::SOCKETS => reader.request(&uid, &fields, Wanted::Sids(Vec::new()))?,
        classic::ALL_ROOMS => reader.request(&uid, &fields, Wanted::Rooms(Vec::new()))?,
        classic::REMOTE_FETCH => reader.request(&uid, &fields, Wanted::Sockets(Vec::new()))?,
        classic::REMOTE_JOIN | classic::REMOTE_LEAVE | classic::REMOTE_DISCONNECT => reader.change(kind, &fields)?,
        classic::SERVER_SIDE_EMIT => {
            let data = fields.data.ok_or("an event for servers without data")?;
            reader.server_event(&uid, data, attachments, fields.request_id.as_deref())?
        }
        classic::BROADCAST => reader.broadcast(&uid, &fields, attachments)?,
        _ => None,
    };
    let mark = fields.sio_bridge.map(mark_of);
    Ok(message.map(|message| reader.arrival(&uid, message, mark)))
}

/// Reads a whole message `{type, data, uid, nsp}` of the other adapters; `None` if it is a response.
pub(crate) fn cluster_message(message: &Bytes, reader: &Reader<'_>) -> Read {
    let (json, attachments) = reader.to_json(message)?;
    let fields: ClusterFields<'_> = serde_json::from_str(&json)?;
    let data = fields.data.map_or("{}", RawValue::get);
    let sender = (&*fields.uid, fields.mark.map(mark_of));
    reader.cluster(fields.kind, sender, &fields.nsp, data, attachments)
}

/// Reads the entry of a stream; `None` if it is a response or a heartbeat.
pub(crate) fn cluster_entry(entry: &Entry, reader: &Reader<'_>) -> Read {
    let text = |name| entry.get(name).and_then(|value| std::str::from_utf8(value).ok());
    let (Some(uid), Some(nsp), Some(kind)) = (text("uid"), text("nsp"), text("type")) else {
        return Ok(None);
    };
    let kind = kind.parse().map_err(|_| "an entry without a type")?;
    let mark = entry.get(MARK).map(|_| Mark::read(text(MARK).unwrap_or_default()));
    let data = entry_data(entry, reader.limits.max_attachments);
    let (data, attachments) = data.ok_or("data that is neither JSON nor MessagePack within the limits")?;
    reader.cluster(kind, (uid, mark), nsp, &data, attachments)
}

/// A message of this server itself.
const OWN: Arrival = Arrival::Own { is_presence: false };

impl Reader<'_> {
    fn to_json<'m>(&self, message: &'m Bytes) -> Result<(Cow<'m, str>, Vec<Bytes>), Unreadable> {
        to_json(message, self.limits.max_attachments)
            .ok_or_else(|| "neither JSON nor MessagePack within the limits".into())
    }

    fn arrival(&self, uid: &str, message: Message, mark: Option<Mark>) -> Arrival {
        Arrival::Message(Envelope {
            host_id: Some(HostId::from(uid)),
            message,
            mark,
        })
    }

    fn cluster(
        &self,
        kind: u64,
        (uid, mark): (&str, Option<Mark>),
        nsp: &str,
        data: &str,
        attachments: Vec<Bytes>,
    ) -> Read {
        if uid == self.uid {
            return Ok(Some(OWN));
        }
        if nsp != self.namespace.as_str() {
            return Ok(None);
        }
        let fields = || serde_json::from_str::<Fields<'_>>(data);
        let message = match kind {
            cluster::BROADCAST => self.broadcast(uid, &fields()?, attachments)?,
            cluster::SOCKETS_JOIN => self.change(classic::REMOTE_JOIN, &fields()?)?,
            cluster::SOCKETS_LEAVE => self.change(classic::REMOTE_LEAVE, &fields()?)?,
            cluster::DISCONNECT_SOCKETS => self.change(classic::REMOTE_DISCONNECT, &fields()?)?,
            cluster::FETCH_SOCKETS => self.request(uid, &fields()?, Wanted::Sockets(Vec::new()))?,
            cluster::SERVER_SIDE_EMIT => {
                let fields = fields()?;
                let packet = fields.packet.ok_or("an event for servers without data")?;
                self.server_event(uid, packet, attachments, fields.request_id.as_deref())?
            }
            // Heartbeats, responses, and what later versions add.
            _ => None,
        };
        Ok(message.map(|message| self.arrival(uid, message, mark)))
    }

    /// Reads an event for clients; with an id its sender waits for acknowledgements.
    fn broadcast(
        &self,
        uid: &str,
        fields: &Fields<'_>,
        attachments: Vec<Bytes>,
    ) -> Result<Option<Message>, Unreadable> {
        let packet = fields.packet.ok_or("an event without a packet")?;
        let packet: Packet<'_> = serde_json::from_str(packet.get())?;
        let none = Options::default();
        let options = fields.opts.as_ref().unwrap_or(&none);
        let mut emit = self.emit(packet.data, attachments, options)?;
        if let Some(request_id) = fields.request_id.as_deref() {
            let timeout = options.flags.as_ref().and_then(|flags| flags.timeout);
            let timeout = timeout.and_then(|timeout| Duration::try_from_secs_f64(timeout / 1_000.0).ok());
            let timeout = timeout.unwrap_or(ACK_TIME);
            let wanted = Wanted::Acks { count: 0 };
            let namespace = self.namespace.clone();
            let id = match self.pending.add(namespace, uid, request_id, wanted, timeout) {
                Added::New(id) => Some(id),
                Added::Full => None,
                Added::Repeated => return Ok(None),
            };
            emit.callback = id.map(|id| CallbackAddress {
                room: None,
                namespace: self.namespace.clone(),
                id,
            });
            emit.report = id;
            emit.ack_timeout = Some(timeout);
        }
        Ok(Some(Message::Emit(emit)))
    }

    fn emit(&self, data: &RawValue, attachments: Vec<Bytes>, options: &Options<'_>) -> Result<Emit, Unreadable> {
        let (event, payload) = event_of(data.get(), attachments)?;
        let mut emit = Emit::new(self.namespace.clone(), event, payload);
        let selection = self.selection(options)?;
        emit.target = selection.target;
        emit.except = selection.except;
        if let Some(flags) = &options.flags {
            emit.volatile = flags.volatile == Some(true);
            emit.is_uncompressed = flags.compress == Some(false);
        }
        Ok(emit)
    }

    fn selection(&self, options: &Options<'_>) -> Result<Selection, Unreadable> {
        if options.rooms.len() + options.except.len() > self.limits.max_names {
            return Err("more rooms than a limit allows".into());
        }
        let target = match options.rooms.is_empty() {
            true => Target::Everyone,
            false => Target::Rooms(rooms(&options.rooms)?),
        };
        Ok(Selection {
            namespace: self.namespace.clone(),
            target,
            skip: Vec::new(),
            except: rooms(&options.except)?,
        })
    }

    /// Reads a change of clients' rooms, or that they are to be disconnected.
    fn change(&self, kind: u64, fields: &Fields<'_>) -> Result<Option<Message>, Unreadable> {
        if self.is_retiring {
            return Ok(None);
        }
        let Some(options) = &fields.opts else {
            return self.change_of_one(kind, fields);
        };
        if fields.rooms.len() > self.limits.max_names {
            return Err("more rooms than a limit allows".into());
        }
        let change = match kind {
            classic::REMOTE_JOIN => Change::Join(rooms(&fields.rooms)?),
            classic::REMOTE_LEAVE => Change::Leave(rooms(&fields.rooms)?),
            _ if fields.close => Change::Close,
            _ => Change::Disconnect,
        };
        let clients = self.selection(options)?;
        Ok(Some(Message::Members { clients, change }))
    }

    /// Reads the form of requests before version 6 of the adapter.
    fn change_of_one(&self, kind: u64, fields: &Fields<'_>) -> Result<Option<Message>, Unreadable> {
        let sid = Sid::from(fields.sid.as_deref().ok_or("a request without clients")?);
        let namespace = self.namespace.clone();
        let room = || {
            fields
                .room
                .and_then(|room| Room::from_json(room.get()))
                .ok_or("a request without a room")
        };
        Ok(Some(match kind {
            classic::REMOTE_JOIN => Message::EnterRoom {
                sid,
                room: room()?,
                namespace,
            },
            classic::REMOTE_LEAVE => Message::LeaveRoom {
                sid,
                room: room()?,
                namespace,
            },
            _ => Message::Disconnect { sid, namespace },
        }))
    }

    /// Reads a request for clients.
    fn request(&self, uid: &str, fields: &Fields<'_>, wanted: Wanted) -> Result<Option<Message>, Unreadable> {
        let request_id = fields.request_id.as_deref().ok_or("a request without an id")?;
        let mut clients = match &fields.opts {
            Some(options) => self.selection(options)?,
            None => self.selection(&Options::default())?,
        };
        if matches!(wanted, Wanted::Sids(_)) && !fields.rooms.is_empty() {
            clients.target = Target::Rooms(rooms(&fields.rooms)?);
        }
        let namespace = self.namespace.clone();
        let Added::New(id) = self.pending.add(namespace, uid, request_id, wanted, REQUEST_TIME) else {
            return Ok(None);
        };
        let kind = RequestKind::Sockets {
            clients,
            limit: self.limits.max_names,
        };
        Ok(Some(request(Some(id), kind)))
    }

    /// Reads an event for servers.
    fn server_event(
        &self,
        uid: &str,
        data: &RawValue,
        attachments: Vec<Bytes>,
        request_id: Option<&str>,
    ) -> Result<Option<Message>, Unreadable> {
        let (event, payload) = event_of(data.get(), attachments)?;
        let mut id = None;
        if let Some(request_id) = request_id {
            let namespace = self.namespace.clone();
            let added = self
                .pending
                .add(namespace, uid, request_id, Wanted::Output, REQUEST_TIME);
            let Added::New(new) = added else {
                return Ok(None);
            };
            id = Some(new);
        } else if self.is_retiring {
            return Ok(None);
        }
        Ok(Some(request(id, RequestKind::Event { event, payload })))
    }
}

fn request(id: Option<u64>, kind: RequestKind) -> Message {
    Message::Request(ClusterRequest {
        id,
        kind,
        timeout: REQUEST_TIME,
    })
}
