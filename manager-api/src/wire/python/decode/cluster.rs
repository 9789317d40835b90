//! Decoding of the messages between our servers.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::names::{Strict, room_of};
use super::text::Text;
use super::{DecodeError, Reader, is_our_version, missing, unknown_method};
use crate::cluster::{
    Change, ClientDetails, ClusterRequest, ClusterResponse, RequestKind, ResponsePart, RoomInfo, Selection,
    ServerStatus, SocketInfo,
};
use crate::message::Message;
use crate::{HostId, Sid};

/// The fields that no message of python-socketio has.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    ask: Option<Text<'a>>,
    #[serde(borrow)]
    answer: Option<Text<'a>>,
    #[serde(borrow)]
    change: Option<Text<'a>>,
    #[serde(borrow)]
    to: Option<Text<'a>>,
    count: Option<u64>,
    #[serde(borrow)]
    sockets: Option<&'a RawValue>,
    #[serde(borrow)]
    clients: Option<&'a RawValue>,
    #[serde(borrow)]
    rooms: Option<&'a RawValue>,
    #[serde(borrow)]
    prefix: Option<Text<'a>>,
    server: Option<Server>,
    #[serde(borrow)]
    sio: Options<'a>,
}

#[derive(Deserialize)]
struct Socket<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    rooms: &'a RawValue,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    connected_ms: Option<u64>,
    #[serde(borrow)]
    transport: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct CountedRoom<'a> {
    #[serde(borrow)]
    room: &'a RawValue,
    clients: u64,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Server {
    software: String,
    host: String,
    uptime_ms: u64,
    clients: u64,
    listening_ms: Option<u64>,
    gaps: u64,
    clock_ms: u64,
}

impl From<Server> for ServerStatus {
    fn from(server: Server) -> Self {
        let clock = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(server.clock_ms));
        Self {
            software: server.software,
            host_name: server.host,
            uptime: Duration::from_millis(server.uptime_ms),
            clients: server.clients,
            listening_for: server.listening_ms.map(Duration::from_millis),
            gaps: server.gaps,
            clock: clock.unwrap_or(SystemTime::UNIX_EPOCH),
        }
    }
}

#[derive(Deserialize)]
struct Options<'a> {
    #[serde(borrow)]
    except: Option<&'a RawValue>,
    timeout_ms: Option<u64>,
    limit: Option<usize>,
    #[serde(default)]
    part: u32,
    #[serde(default)]
    last: bool,
    #[serde(default)]
    truncated: bool,
}

impl Reader<'_> {
    /// Reads a message whose method is ours. The JSON is parsed a second time, which is negligible: such messages are
    /// rare.
    pub(super) fn cluster(&self, method: &str) -> Result<Message, DecodeError> {
        if self.fields.sio.is_some_and(|sio| !is_our_version(sio)) {
            return Err(DecodeError::Version(method.chars().take(64).collect()));
        }
        let mut fields: Fields<'_> = serde_json::from_slice(self.message).map_err(DecodeError::Json)?;
        Ok(match method {
            "sio_hello" => Message::Hello,
            "sio_seek" => Message::Seek,
            "sio_here" => Message::Present,
            "sio_bye" => Message::Bye,
            "sio_ask" => Message::Request(self.request(&fields)?),
            "sio_answer" => Message::Response(self.response(&mut fields)?),
            "sio_members" => Message::Members {
                clients: self.selection(&fields)?,
                change: self.change(&fields)?,
            },
            unknown => return Err(unknown_method(unknown)),
        })
    }

    fn request(&self, fields: &Fields<'_>) -> Result<ClusterRequest, DecodeError> {
        let kind = match fields.ask.as_deref() {
            Some("servers") => RequestKind::Servers,
            Some("rooms") => RequestKind::Rooms {
                namespace: self.namespace()?,
                prefix: fields.prefix.as_deref().unwrap_or_default().to_owned(),
                limit: fields.sio.limit.ok_or(missing("sio.limit"))?,
            },
            Some("sockets") => RequestKind::Sockets {
                clients: self.selection(fields)?,
                limit: fields.sio.limit.ok_or(missing("sio.limit"))?,
            },
            Some("count") => RequestKind::Count {
                clients: self.selection(fields)?,
            },
            Some("event") => RequestKind::Event {
                event: self.event_name()?,
                payload: self.payload("data", self.fields.data)?,
            },
            _ => return Err(missing("ask")),
        };
        let timeout = fields.sio.timeout_ms.ok_or(missing("sio.timeout_ms"))?;
        Ok(ClusterRequest {
            id: self.fields.id,
            kind,
            timeout: Duration::from_millis(timeout),
        })
    }

    fn response(&self, fields: &mut Fields<'_>) -> Result<ClusterResponse, DecodeError> {
        let part = match fields.answer.as_deref() {
            Some("present") => ResponsePart::Present(Box::new(fields.server.take().unwrap_or_default().into())),
            Some("rooms") => ResponsePart::Rooms(self.counted_rooms(fields)?),
            Some("sockets") => ResponsePart::Sockets(self.sockets(fields)?),
            Some("count") => ResponsePart::Count(fields.count.ok_or(missing("count"))?),
            Some("event") => ResponsePart::Event(match self.fields.data {
                Some(_) => Some(self.payload("data", self.fields.data)?),
                None => None,
            }),
            Some("asked") => ResponsePart::Recipients(self.clients(fields)?),
            Some("left") => ResponsePart::Left(self.clients(fields)?),
            _ => return Err(missing("answer")),
        };
        Ok(ClusterResponse {
            to: HostId::from(fields.to.as_deref().ok_or(missing("to"))?),
            id: self.fields.id.ok_or(missing("id"))?,
            part,
            number: fields.sio.part,
            is_last: fields.sio.last,
            is_truncated: fields.sio.truncated,
        })
    }

    fn selection(&self, fields: &Fields<'_>) -> Result<Selection, DecodeError> {
        Ok(Selection {
            namespace: self.namespace()?,
            target: self.target()?,
            skip: self.skip()?,
            except: self.rooms(fields.sio.except, "sio.except")?,
        })
    }

    fn sockets(&self, fields: &Fields<'_>) -> Result<Vec<SocketInfo>, DecodeError> {
        let Some(sockets) = fields.sockets else {
            return Ok(Vec::new());
        };
        self.budget.list(sockets, "sockets", |text| {
            let socket: Socket<'_> = serde_json::from_str(text.get()).map_err(DecodeError::Json)?;
            self.budget.spend_name()?;
            Ok(Some(SocketInfo {
                id: Sid::from(&*socket.id),
                rooms: self.budget.names(socket.rooms, "rooms")?,
                details: ClientDetails {
                    data: socket.data.map(|data| data.get().into()),
                    connected_for: socket.connected_ms.map(Duration::from_millis),
                    transport: socket.transport.as_deref().map(Arc::from),
                },
            }))
        })
    }

    fn counted_rooms(&self, fields: &Fields<'_>) -> Result<Vec<RoomInfo>, DecodeError> {
        let Some(rooms) = fields.rooms else {
            return Ok(Vec::new());
        };
        self.budget.list(rooms, "rooms", |text| {
            let counted: CountedRoom<'_> = serde_json::from_str(text.get()).map_err(DecodeError::Json)?;
            self.budget.spend_name()?;
            let room = room_of(counted.room).ok_or(missing("rooms"))?;
            Ok(Some(RoomInfo {
                room,
                clients: counted.clients,
            }))
        })
    }

    fn clients(&self, fields: &Fields<'_>) -> Result<Vec<Sid>, DecodeError> {
        let Some(clients) = fields.clients else {
            return Ok(Vec::new());
        };
        let clients: Vec<Strict> = self.budget.names(clients, "clients")?;
        Ok(clients.into_iter().map(|Strict(sid)| sid).collect())
    }

    fn change(&self, fields: &Fields<'_>) -> Result<Change, DecodeError> {
        match fields.change.as_deref() {
            Some("join") => Ok(Change::Join(self.rooms(fields.rooms, "rooms")?)),
            Some("leave") => Ok(Change::Leave(self.rooms(fields.rooms, "rooms")?)),
            Some("disconnect") => Ok(Change::Disconnect),
            Some("close") => Ok(Change::Close),
            _ => Err(missing("change")),
        }
    }
}
