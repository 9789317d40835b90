//! Decoding of messages from bytes.

mod cluster;
mod names;
mod observed;
mod text;

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::encode::EXTENSION_VERSION;
use crate::message::{Callback, CallbackAddress, Emit, Envelope, Mark, Message, Target};
use crate::{Error, EventName, HostId, NamespaceName, Payload, Room, Sid};
use names::{Budget, room_of, string_of};
use text::Text;

/// Limits of one message, so that decoding needs at most a small multiple of its size.
#[derive(Clone, Copy, Debug)]
pub struct DecodeLimits {
    /// Rooms and clients, in all lists together.
    pub max_names: usize,
    /// Binary attachments.
    pub max_attachments: usize,
}

impl Default for DecodeLimits {
    /// 65,536 names, which take about 4 MiB, and 1,024 attachments.
    fn default() -> Self {
        Self {
            max_names: 65_536,
            max_attachments: 1_024,
        }
    }
}

/// The reason why a message of the queue cannot be decoded.
#[derive(Debug)]
#[non_exhaustive]
pub enum DecodeError {
    /// A pickle: the sender is python-socketio before 5.14. It is never unpickled, because that would run the sender's
    /// code.
    Pickle,
    /// Not a JSON object of the expected form.
    Json(serde_json::Error),
    /// JSON without a `method`.
    NoMethod,
    /// A method that this version does not know.
    UnknownMethod(String),
    /// A method in a version that this one does not support.
    Version(String),
    /// A list is longer than a limit allows.
    TooMany {
        /// The limited quantity: names or attachments.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A field that the method requires is missing or invalid.
    Field {
        /// The field.
        name: &'static str,
        /// The fault, where it is known.
        source: Option<Error>,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pickle => f.write_str("a Python pickle: its sender runs python-socketio < 5.14 and must be upgraded"),
            Self::Json(error) => write!(f, "not a JSON message: {error}"),
            Self::NoMethod => f.write_str("no method"),
            Self::UnknownMethod(method) => write!(f, "unknown method {method:?}"),
            Self::Version(method) => write!(f, "method {method:?} of a later version"),
            Self::TooMany { what, limit } => write!(
                f,
                "more than {limit} {what}: raise max_message_{what} of every server if that is meant"
            ),
            Self::Field { name, source: None } => write!(f, "field {name:?} is missing or malformed"),
            Self::Field {
                name,
                source: Some(error),
            } => write!(f, "field {name:?}: {error}"),
        }
    }
}

impl std::error::Error for DecodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            Self::Field {
                source: Some(error), ..
            } => Some(error),
            _ => None,
        }
    }
}

/// Decodes a message of any sender, with the default limits. The arguments are a slice of `message`, without a copy.
///
/// # Errors
///
/// [`DecodeError`] with the reason why the message is to be skipped.
pub fn decode(message: &Bytes) -> Result<Envelope, DecodeError> {
    decode_within(message, DecodeLimits::default())
}

/// Decodes a message as [`decode`] does, with other limits.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_within(message: &Bytes, limits: DecodeLimits) -> Result<Envelope, DecodeError> {
    if message.first() == Some(&0x80) {
        return Err(DecodeError::Pickle);
    }
    let reader = Reader {
        fields: serde_json::from_slice(message).map_err(DecodeError::Json)?,
        message,
        budget: Budget::new(limits),
    };
    let mark = reader.fields.sio_bridge.map(mark_of);
    let message = reader.message()?;
    Ok(Envelope {
        host_id: reader.fields.host_id.as_deref().map(HostId::from),
        message,
        mark,
    })
}

/// The fields of all methods; unknown ones are ignored.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    method: Option<Text<'a>>,
    #[serde(borrow)]
    host_id: Option<Text<'a>>,
    #[serde(borrow)]
    event: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
    binary: Option<bool>,
    #[serde(borrow)]
    namespace: Option<Text<'a>>,
    #[serde(borrow)]
    room: Option<&'a RawValue>,
    #[serde(borrow)]
    sid: Option<&'a RawValue>,
    #[serde(borrow)]
    skip_sid: Option<&'a RawValue>,
    #[serde(borrow)]
    callback: Option<&'a RawValue>,
    id: Option<u64>,
    #[serde(borrow)]
    sio: Option<&'a RawValue>,
    #[serde(borrow)]
    sio_bridge: Option<&'a RawValue>,
}

/// The version of the extensions. Read separately and first, because the form of the other fields depends on it.
#[derive(Deserialize)]
struct Version {
    v: u64,
}

/// The extensions in `emit` and `callback` of python-socketio.
#[derive(Deserialize)]
struct Extensions<'a> {
    #[serde(borrow)]
    except: Option<&'a RawValue>,
    #[serde(default)]
    volatile: bool,
    compress: Option<bool>,
    ack_timeout_ms: Option<u64>,
    report: Option<u64>,
    receipt: Option<u64>,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    sent_us: Option<&'a RawValue>,
    #[serde(borrow)]
    traceparent: Option<&'a RawValue>,
    /// A lone `null` is an argument, and not how python-socketio writes an event without arguments.
    #[serde(default)]
    null: bool,
    client: Option<String>,
}

/// A message that is being decoded.
struct Reader<'a> {
    fields: Fields<'a>,
    message: &'a Bytes,
    budget: Budget,
}

impl Reader<'_> {
    fn message(&self) -> Result<Message, DecodeError> {
        let method = self.fields.method.as_deref().ok_or(DecodeError::NoMethod)?;
        Ok(match method {
            "emit" => Message::Emit(self.emit()?),
            "callback" => Message::Callback(self.callback()?),
            "disconnect" => Message::Disconnect {
                sid: self.sid()?,
                namespace: self.namespace()?,
            },
            "enter_room" => Message::EnterRoom {
                sid: self.sid()?,
                room: self.room()?,
                namespace: self.namespace()?,
            },
            "leave_room" => Message::LeaveRoom {
                sid: self.sid()?,
                room: self.room()?,
                namespace: self.namespace()?,
            },
            "close_room" => Message::CloseRoom {
                room: self.room()?,
                namespace: self.namespace()?,
            },
            ours if ours.starts_with("sio_") => self.cluster(ours)?,
            unknown => return Err(unknown_method(unknown)),
        })
    }

    fn emit(&self) -> Result<Emit, DecodeError> {
        let event = self.event_name()?;
        let extensions = self.extensions()?;
        let mut payload = self.payload("data", self.fields.data)?;
        // python-socketio writes an event without arguments as one null, and reads it as such.
        if payload.is_null() && !extensions.as_ref().is_some_and(|extensions| extensions.null) {
            payload = Payload::empty();
        }
        let mut emit = Emit::new(self.namespace()?, event, payload);
        emit.target = self.target()?;
        emit.skip = self.skip()?;
        emit.callback = match self.fields.callback {
            None => None,
            Some(callback) => Some(address_of(callback).ok_or(missing("callback"))?),
        };
        if let Some(extensions) = extensions {
            emit.except = self.rooms(extensions.except, "sio.except")?;
            emit.volatile = extensions.volatile;
            emit.is_uncompressed = extensions.compress == Some(false);
            emit.ack_timeout = extensions.ack_timeout_ms.map(Duration::from_millis);
            emit.report = extensions.report;
            emit.receipt = extensions.receipt;
            observed::read(&extensions, &mut emit);
        }
        Ok(emit)
    }

    fn event_name(&self) -> Result<EventName, DecodeError> {
        let name = self.fields.event.as_deref().ok_or(missing("event"))?;
        EventName::new(name).map_err(invalid("event"))
    }

    /// Returns the extensions; `None` for another version.
    fn extensions(&self) -> Result<Option<Extensions<'_>>, DecodeError> {
        match self.fields.sio {
            Some(sio) if is_our_version(sio) => serde_json::from_str(sio.get()).map(Some).map_err(DecodeError::Json),
            _ => Ok(None),
        }
    }

    fn target(&self) -> Result<Target, DecodeError> {
        Ok(match self.fields.room {
            None => Target::Everyone,
            Some(rooms) if is_list(rooms) => Target::Rooms(self.budget.names(rooms, "room")?),
            Some(room) => Target::Rooms(vec![room_of(room).ok_or(missing("room"))?]),
        })
    }

    fn skip(&self) -> Result<Vec<Sid>, DecodeError> {
        match self.fields.skip_sid {
            None => Ok(Vec::new()),
            Some(sids) if is_list(sids) => self.budget.names(sids, "skip_sid"),
            Some(sid) => Ok(vec![string_of(sid).ok_or(missing("skip_sid"))?.into()]),
        }
    }

    fn callback(&self) -> Result<Callback, DecodeError> {
        let address = CallbackAddress {
            room: self.fields.sid.and_then(room_of),
            namespace: self.namespace()?,
            id: self.fields.id.ok_or(missing("id"))?,
        };
        let payload = self.payload("args", self.fields.args)?;
        let client = self.extensions()?.and_then(|extensions| extensions.client);
        Ok(Callback {
            address,
            payload,
            client: client.map(Sid::from),
        })
    }

    fn payload(&self, name: &'static str, raw: Option<&RawValue>) -> Result<Payload, DecodeError> {
        let Some(raw) = raw else {
            return Ok(Payload::empty());
        };
        if !is_list(raw) {
            return Err(missing(name));
        }
        if self.fields.binary == Some(true) {
            return self.binary_payload(name, raw);
        }
        let json = self.message.slice_ref(raw.get().as_bytes());
        Ok(Payload::from_trusted(json, Vec::new()))
    }

    /// Reads `[arguments, base64, base64, …]`.
    fn binary_payload(&self, name: &'static str, raw: &RawValue) -> Result<Payload, DecodeError> {
        let mut arguments = None;
        let attachments = self.budget.attachments(raw, name, |part| {
            if arguments.is_none() {
                let is_fit = is_list(part);
                arguments = is_fit.then(|| self.message.slice_ref(part.get().as_bytes()));
                return arguments.is_some().then_some(None).ok_or(missing(name));
            }
            let text: Text<'_> = serde_json::from_str(part.get()).map_err(DecodeError::Json)?;
            let bytes = BASE64_STANDARD.decode(text.as_bytes()).map_err(|_| missing(name))?;
            Ok(Some(Bytes::from(bytes)))
        })?;
        Payload::with_attachments(arguments.ok_or(missing(name))?, attachments).map_err(invalid(name))
    }

    fn namespace(&self) -> Result<NamespaceName, DecodeError> {
        match self.fields.namespace.as_deref() {
            None | Some("/") => Ok(NamespaceName::root()),
            Some(name) => NamespaceName::new(name).map_err(invalid("namespace")),
        }
    }

    fn sid(&self) -> Result<Sid, DecodeError> {
        let sid = self.fields.sid.and_then(string_of);
        sid.map(Sid::from).ok_or(missing("sid"))
    }

    fn room(&self) -> Result<Room, DecodeError> {
        self.fields.room.and_then(room_of).ok_or(missing("room"))
    }

    /// Reads a list of rooms; a missing one is empty.
    fn rooms(&self, list: Option<&RawValue>, field: &'static str) -> Result<Vec<Room>, DecodeError> {
        list.map_or(Ok(Vec::new()), |list| self.budget.names(list, field))
    }
}

fn is_list(json: &RawValue) -> bool {
    json.get().starts_with('[')
}

/// Reads the mark of a bridge; one of any other form counts, too.
fn mark_of(mark: &RawValue) -> Mark {
    let text = serde_json::from_str::<Text<'_>>(mark.get());
    text.map_or(Mark::UNKNOWN, |text| Mark::read(&text))
}

fn is_our_version(sio: &RawValue) -> bool {
    // Checked because serde reads a struct from an array, too.
    let version = sio
        .get()
        .starts_with('{')
        .then(|| serde_json::from_str::<Version>(sio.get()));
    matches!(version, Some(Ok(version)) if version.v == EXTENSION_VERSION)
}

/// Reads `[room, namespace, id]`.
fn address_of(callback: &RawValue) -> Option<CallbackAddress> {
    let (room, namespace, id): (&RawValue, String, u64) = serde_json::from_str(callback.get()).ok()?;
    Some(CallbackAddress {
        room: room_of(room),
        namespace: NamespaceName::new(&namespace).ok()?,
        id,
    })
}

fn unknown_method(name: &str) -> DecodeError {
    DecodeError::UnknownMethod(name.chars().take(64).collect())
}

fn missing(name: &'static str) -> DecodeError {
    DecodeError::Field { name, source: None }
}

fn invalid(name: &'static str) -> impl Fn(Error) -> DecodeError {
    move |error| DecodeError::Field {
        name,
        source: Some(error),
    }
}
