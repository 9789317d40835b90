//! What servers of ours say to each other.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::{DecodeError, invalid, is_our_version, missing, rooms_of, unknown_method};
use crate::{Ask, Change, EventName, HostId, Message, Part, Question, Reply, Room, Selection, Sid, SocketInfo};

/// The fields that no message of python-socketio has.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    ask: Option<Cow<'a, str>>,
    #[serde(borrow)]
    answer: Option<Cow<'a, str>>,
    #[serde(borrow)]
    change: Option<Cow<'a, str>>,
    #[serde(borrow)]
    to: Option<Cow<'a, str>>,
    count: Option<u64>,
    #[serde(borrow, default)]
    sockets: Vec<Socket<'a>>,
    #[serde(borrow, default)]
    clients: Vec<Cow<'a, str>>,
    #[serde(default)]
    rooms: Vec<Value>,
    sio: Options,
}

#[derive(Deserialize)]
struct Socket<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    rooms: Vec<Value>,
}

#[derive(Deserialize)]
struct Options {
    #[serde(default)]
    except: Vec<Value>,
    timeout_ms: Option<u64>,
    limit: Option<usize>,
    #[serde(default)]
    part: u32,
    #[serde(default)]
    last: bool,
    #[serde(default)]
    truncated: bool,
}

impl super::Fields<'_> {
    /// Reads a message whose method is ours. They are few beside events, so that reading it once more costs nothing.
    pub(super) fn cluster(&self, method: &str, message: &Bytes) -> Result<Message, DecodeError> {
        if self.sio.is_some_and(|sio| !is_our_version(sio)) {
            return Err(DecodeError::Version(method.chars().take(64).collect()));
        }
        let fields: Fields<'_> = serde_json::from_slice(message).map_err(DecodeError::Json)?;
        Ok(match method {
            "sio_hello" => Message::Hello,
            "sio_seek" => Message::Seek,
            "sio_here" => Message::Here,
            "sio_bye" => Message::Bye,
            "sio_ask" => Message::Ask(self.question(&fields, message)?),
            "sio_answer" => Message::Reply(self.reply(&fields, message)?),
            "sio_members" => Message::Members {
                clients: self.selection(&fields)?,
                change: fields.change()?,
            },
            unknown => return Err(unknown_method(unknown)),
        })
    }

    fn question(&self, fields: &Fields<'_>, message: &Bytes) -> Result<Question, DecodeError> {
        let ask = match fields.ask.as_deref() {
            Some("servers") => Ask::Servers,
            Some("sockets") => Ask::Sockets {
                clients: self.selection(fields)?,
                limit: fields.sio.limit.ok_or(missing("sio.limit"))?,
            },
            Some("count") => Ask::Count {
                clients: self.selection(fields)?,
            },
            Some("event") => Ask::Event {
                event: EventName::new(self.event.as_deref().ok_or(missing("event"))?).map_err(invalid("event"))?,
                payload: self.payload("data", self.data, message)?,
            },
            _ => return Err(missing("ask")),
        };
        let timeout = fields.sio.timeout_ms.ok_or(missing("sio.timeout_ms"))?;
        Ok(Question {
            id: self.id,
            ask,
            timeout: Duration::from_millis(timeout),
        })
    }

    fn reply(&self, fields: &Fields<'_>, message: &Bytes) -> Result<Reply, DecodeError> {
        let part = match fields.answer.as_deref() {
            Some("present") => Part::Present,
            Some("sockets") => Part::Sockets(fields.sockets()?),
            Some("count") => Part::Count(fields.count.ok_or(missing("count"))?),
            Some("event") => Part::Event(match self.data {
                Some(_) => Some(self.payload("data", self.data, message)?),
                None => None,
            }),
            Some("asked") => Part::Asked(fields.clients()),
            Some("left") => Part::Left(fields.clients()),
            _ => return Err(missing("answer")),
        };
        Ok(Reply {
            to: HostId::from(fields.to.as_deref().ok_or(missing("to"))?),
            id: self.id.ok_or(missing("id"))?,
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
            except: rooms_of(&fields.sio.except, "sio.except")?,
        })
    }
}

impl Fields<'_> {
    fn sockets(&self) -> Result<Vec<SocketInfo>, DecodeError> {
        let socket = |socket: &Socket<'_>| {
            Ok(SocketInfo {
                id: Sid::from(&*socket.id),
                rooms: rooms_of(&socket.rooms, "rooms")?,
            })
        };
        self.sockets.iter().map(socket).collect()
    }

    fn clients(&self) -> Vec<Sid> {
        self.clients.iter().map(|sid| Sid::from(&**sid)).collect()
    }

    fn change(&self) -> Result<Change, DecodeError> {
        let rooms = || -> Result<Vec<Room>, DecodeError> { rooms_of(&self.rooms, "rooms") };
        match self.change.as_deref() {
            Some("join") => Ok(Change::Join(rooms()?)),
            Some("leave") => Ok(Change::Leave(rooms()?)),
            Some("disconnect") => Ok(Change::Disconnect),
            Some("close") => Ok(Change::Close),
            _ => Err(missing("change")),
        }
    }
}
