//! Bytes to a message.

mod cluster;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::encode::EXTENSION_VERSION;
use crate::{
    Callback, CallbackAddress, Emit, Envelope, Error, EventName, HostId, Message, Namespace, Payload, Room, Sid, Target,
};

/// Why a message of the queue was passed over.
#[derive(Debug)]
#[non_exhaustive]
pub enum DecodeError {
    /// A pickle: the sender is python-socketio before 5.14. It is never unpickled, because that runs its sender's code.
    Pickle,
    /// Not a JSON object of the expected form.
    Json(serde_json::Error),
    /// JSON without a `method`.
    NoMethod,
    /// A method this version does not know.
    UnknownMethod(String),
    /// A method in a version that this one does not know.
    Version(String),
    /// A field that the method needs is missing or has no sensible value.
    Field {
        /// The field.
        name: &'static str,
        /// What is wrong with it, where that is known.
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

/// Reads a message, whoever wrote it. The arguments stay the slice of `message` that they are.
///
/// # Errors
///
/// [`DecodeError`], which says why the message is to be passed over.
pub fn decode(message: &Bytes) -> Result<Envelope, DecodeError> {
    if message.first() == Some(&0x80) {
        return Err(DecodeError::Pickle);
    }
    let fields: Fields<'_> = serde_json::from_slice(message).map_err(DecodeError::Json)?;
    let method = fields.method.as_deref().ok_or(DecodeError::NoMethod)?;
    let decoded = match method {
        "emit" => Message::Emit(fields.emit(message)?),
        "callback" => Message::Callback(fields.callback(message)?),
        "disconnect" => Message::Disconnect {
            sid: fields.sid()?,
            namespace: fields.namespace()?,
        },
        "enter_room" => Message::EnterRoom {
            sid: fields.sid()?,
            room: fields.room()?,
            namespace: fields.namespace()?,
        },
        "leave_room" => Message::LeaveRoom {
            sid: fields.sid()?,
            room: fields.room()?,
            namespace: fields.namespace()?,
        },
        "close_room" => Message::CloseRoom {
            room: fields.room()?,
            namespace: fields.namespace()?,
        },
        ours if ours.starts_with("sio_") => fields.cluster(ours, message)?,
        unknown => return Err(unknown_method(unknown)),
    };
    Ok(Envelope {
        host_id: fields.host_id.as_deref().map(HostId::from),
        message: decoded,
    })
}

/// Every field that any method has; unknown ones are ignored.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    host_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    event: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
    binary: Option<bool>,
    #[serde(borrow)]
    namespace: Option<Cow<'a, str>>,
    room: Option<Value>,
    sid: Option<Value>,
    skip_sid: Option<Value>,
    callback: Option<Value>,
    id: Option<u64>,
    #[serde(borrow)]
    sio: Option<&'a RawValue>,
}

/// Read by itself and first: what the other fields of another version look like is not known.
#[derive(Deserialize)]
struct Version {
    v: u64,
}

/// The extensions in `emit` and `callback` of python-socketio.
#[derive(Deserialize)]
struct Extensions {
    #[serde(default)]
    except: Vec<Value>,
    #[serde(default)]
    volatile: bool,
    compress: Option<bool>,
    ack_timeout_ms: Option<u64>,
    report: Option<u64>,
    /// A lone `null` is an argument, and not python's word for none.
    #[serde(default)]
    null: bool,
    client: Option<String>,
}

impl Fields<'_> {
    fn emit(&self, message: &Bytes) -> Result<Emit, DecodeError> {
        let event = EventName::new(self.event.as_deref().ok_or(missing("event"))?).map_err(invalid("event"))?;
        let extensions = self.extensions()?;
        let mut payload = self.payload("data", self.data, message)?;
        // python-socketio writes "no argument" as one null and reads it back so.
        if payload.is_null() && !extensions.as_ref().is_some_and(|extensions| extensions.null) {
            payload = Payload::empty();
        }
        let mut emit = Emit::new(self.namespace()?, event, payload);
        emit.target = self.target()?;
        emit.skip = self.skip()?;
        emit.callback = match &self.callback {
            None | Some(Value::Null) => None,
            Some(callback) => Some(address_of(callback).ok_or(missing("callback"))?),
        };
        if let Some(extensions) = extensions {
            emit.except = rooms_of(&extensions.except, "sio.except")?;
            emit.volatile = extensions.volatile;
            emit.is_uncompressed = extensions.compress == Some(false);
            emit.ack_timeout = extensions.ack_timeout_ms.map(Duration::from_millis);
            emit.report = extensions.report;
        }
        Ok(emit)
    }

    /// Returns the extensions; those of another version are none.
    fn extensions(&self) -> Result<Option<Extensions>, DecodeError> {
        match self.sio {
            Some(sio) if is_our_version(sio) => serde_json::from_str(sio.get()).map(Some).map_err(DecodeError::Json),
            _ => Ok(None),
        }
    }

    fn target(&self) -> Result<Target, DecodeError> {
        Ok(match &self.room {
            None | Some(Value::Null) => Target::Everyone,
            Some(Value::Array(rooms)) => Target::Rooms(rooms_of(rooms, "room")?),
            Some(room) => Target::Rooms(vec![room_of(room).ok_or(missing("room"))?]),
        })
    }

    fn skip(&self) -> Result<Vec<Sid>, DecodeError> {
        Ok(match &self.skip_sid {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(sids)) => sids.iter().filter_map(Value::as_str).map(Sid::from).collect(),
            Some(sid) => vec![sid.as_str().ok_or(missing("skip_sid"))?.into()],
        })
    }

    fn callback(&self, message: &Bytes) -> Result<Callback, DecodeError> {
        let address = CallbackAddress {
            room: self.sid.as_ref().and_then(room_of),
            namespace: self.namespace()?,
            id: self.id.ok_or(missing("id"))?,
        };
        let payload = self.payload("args", self.args, message)?;
        let client = self.extensions()?.and_then(|extensions| extensions.client);
        Ok(Callback {
            address,
            payload,
            client: client.map(Sid::from),
        })
    }

    fn payload(&self, name: &'static str, raw: Option<&RawValue>, message: &Bytes) -> Result<Payload, DecodeError> {
        let Some(raw) = raw else {
            return Ok(Payload::empty());
        };
        if !raw.get().starts_with('[') {
            return Err(missing(name));
        }
        if self.binary == Some(true) {
            return binary_payload(name, raw, message);
        }
        Ok(Payload::from_trusted(
            message.slice_ref(raw.get().as_bytes()),
            Vec::new(),
        ))
    }

    fn namespace(&self) -> Result<Namespace, DecodeError> {
        match self.namespace.as_deref() {
            None | Some("/") => Ok(Namespace::root()),
            Some(name) => Namespace::new(name).map_err(invalid("namespace")),
        }
    }

    fn sid(&self) -> Result<Sid, DecodeError> {
        let sid = self.sid.as_ref().and_then(Value::as_str);
        sid.map(Sid::from).ok_or(missing("sid"))
    }

    fn room(&self) -> Result<Room, DecodeError> {
        self.room.as_ref().and_then(room_of).ok_or(missing("room"))
    }
}

/// `[arguments, base64, base64, …]`
fn binary_payload(name: &'static str, raw: &RawValue, message: &Bytes) -> Result<Payload, DecodeError> {
    let parts: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(DecodeError::Json)?;
    let (arguments, encoded) = parts.split_first().ok_or(missing(name))?;
    if !arguments.get().starts_with('[') {
        return Err(missing(name));
    }
    let attachments = encoded.iter().map(|part| {
        let text: Cow<'_, str> = serde_json::from_str(part.get()).map_err(DecodeError::Json)?;
        let bytes = BASE64_STANDARD.decode(text.as_bytes()).map_err(|_| missing(name))?;
        Ok(Bytes::from(bytes))
    });
    let attachments = attachments.collect::<Result<Vec<_>, _>>()?;
    let arguments = message.slice_ref(arguments.get().as_bytes());
    Payload::with_attachments(arguments, attachments).map_err(invalid(name))
}

fn is_our_version(sio: &RawValue) -> bool {
    // Serde reads a struct from an array, too.
    let version = sio
        .get()
        .starts_with('{')
        .then(|| serde_json::from_str::<Version>(sio.get()));
    matches!(version, Some(Ok(version)) if version.v == EXTENSION_VERSION)
}

fn room_of(value: &Value) -> Option<Room> {
    match value {
        Value::String(name) => Some(Room::from(name.as_str())),
        Value::Number(number) => Some(Room::from_number(number)),
        _ => None,
    }
}

fn rooms_of(values: &[Value], field: &'static str) -> Result<Vec<Room>, DecodeError> {
    values
        .iter()
        .map(|value| room_of(value).ok_or(missing(field)))
        .collect()
}

/// `[room, namespace, id]`
fn address_of(value: &Value) -> Option<CallbackAddress> {
    let [room, namespace, id] = value.as_array()?.as_slice() else {
        return None;
    };
    Some(CallbackAddress {
        room: room_of(room),
        namespace: Namespace::new(namespace.as_str()?).ok()?,
        id: id.as_u64()?,
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
