//! Packets as MessagePack maps `{type, data?, nsp, id?}`, one binary message each (`socket.io-msgpack-parser` 3).
//!
//! Everything behind this border knows JSON and attachments only.

use bytes::Bytes;
use engine_io::ProtocolError;
use manager_api::{NamespaceName, Payload, Sid};
use msgpack::{Error, Limits, Reader, write_array_behind, write_json, write_map_len, write_text, write_uint};

use super::{Kind, Packet};
use crate::config::Config;

/// A packet of a client whose data has become JSON and attachments.
#[derive(Debug)]
pub(crate) struct Decoded {
    kind: Kind,
    namespace: String,
    id: Option<u64>,
    json: String,
    pub(crate) attachments: Vec<Bytes>,
}

/// Returns how much binary a packet may hold.
pub(crate) fn limits(config: &Config) -> Limits {
    Limits::new(config.max_attachments, config.max_attachment_bytes)
}

impl Decoded {
    /// Returns its head and JSON, without the attachments.
    pub(crate) fn packet(&self) -> Packet<'_> {
        Packet {
            kind: self.kind,
            num_attachments: 0,
            namespace: &self.namespace,
            id: self.id,
            json: &self.json,
        }
    }
}

/// Reads a packet of a client.
pub(crate) fn decode(bytes: &[u8], limits: Limits) -> Result<Decoded, ProtocolError> {
    read(bytes, limits).map_err(|error| ProtocolError::new(error.message()))
}

fn read(bytes: &[u8], limits: Limits) -> Result<Decoded, Error> {
    let mut reader = Reader::new(bytes, limits);
    let (mut kind, mut namespace, mut id, mut data) = (None, None, None, None);
    for _ in 0..reader.map_len()? {
        let is_first = match reader.str()? {
            "type" => kind.replace(kind_of(reader.uint()?)?).is_none(),
            "nsp" => namespace.replace(reader.str()?.to_owned()).is_none(),
            "id" => id.replace(reader.optional_uint()?).is_none(),
            "data" => data.replace(reader.optional_json()?).is_none(),
            // Of the client's own, such as `options`.
            _ => reader.skip().map(|()| true)?,
        };
        if !is_first {
            return Err(Error::new("a packet that says something twice"));
        }
    }
    let attachments = reader.finish()?;
    let kind = kind.ok_or(Error::new("a packet without a type"))?;
    let json = data.flatten().unwrap_or_default();
    if kind == Kind::Event && json.is_empty() {
        // Only text may leave it out; JavaScript's parser makes the same difference.
        return Err(Error::new("an event without data"));
    }
    Ok(Decoded {
        kind,
        namespace: namespace.ok_or(Error::new("a packet without a namespace"))?,
        id: id.flatten(),
        json,
        attachments,
    })
}

fn kind_of(number: u64) -> Result<Kind, Error> {
    match number {
        0 => Ok(Kind::Connect),
        1 => Ok(Kind::Disconnect),
        2 => Ok(Kind::Event),
        3 => Ok(Kind::Ack),
        _ => Err(Error::new("unknown packet type")),
    }
}

pub(crate) fn encode_event(namespace: &NamespaceName, event: &str, payload: &Payload, id: Option<u64>) -> Bytes {
    let json = payload.json();
    let capacity = 48 + namespace.as_str().len() + event.len() + payload.size();
    packet(capacity, 2, namespace.as_str(), id, |out| {
        write_array_behind(out, event, json, payload.attachments());
    })
}

pub(crate) fn encode_ack(namespace: &NamespaceName, payload: &Payload, id: u64) -> Bytes {
    let capacity = 48 + namespace.as_str().len() + payload.size();
    packet(capacity, 3, namespace.as_str(), Some(id), |out| {
        write_json(out, payload.json(), payload.attachments());
    })
}

pub(crate) fn encode_connect(namespace: &NamespaceName, sid: &Sid) -> Bytes {
    packet(64 + namespace.as_str().len(), 0, namespace.as_str(), None, |out| {
        write_map_len(out, 1);
        write_text(out, "sid");
        write_text(out, sid.as_str());
    })
}

pub(crate) fn encode_connect_error(namespace: &str, json: &[u8]) -> Bytes {
    let json = std::str::from_utf8(json).expect("JSON text is UTF-8");
    packet(32 + namespace.len() + json.len(), 4, namespace, None, |out| {
        write_json(out, json, &[]);
    })
}

/// Without a key for data: JavaScript's parser refuses one that is null.
pub(crate) fn encode_disconnect(namespace: &NamespaceName) -> Bytes {
    let namespace = namespace.as_str();
    let mut out = Vec::with_capacity(16 + namespace.len());
    write_map_len(&mut out, 2);
    write_head(&mut out, 1, namespace);
    out.into()
}

fn packet(
    capacity: usize,
    kind: u64,
    namespace: &str,
    id: Option<u64>,
    write_data: impl FnOnce(&mut Vec<u8>),
) -> Bytes {
    let mut out = Vec::with_capacity(capacity);
    write_map_len(&mut out, 3 + u32::from(id.is_some()));
    write_head(&mut out, kind, namespace);
    if let Some(id) = id {
        write_text(&mut out, "id");
        write_uint(&mut out, id);
    }
    write_text(&mut out, "data");
    write_data(&mut out);
    out.into()
}

fn write_head(out: &mut Vec<u8>, kind: u64, namespace: &str) {
    write_text(out, "type");
    write_uint(out, kind);
    write_text(out, "nsp");
    write_text(out, namespace);
}

#[cfg(test)]
mod tests;
