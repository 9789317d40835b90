//! Socket.IO packets, as text and attachments; no I/O (protocol v5, "packet encoding").

mod codec;
mod data;
pub(crate) mod msgpack;

use engine_io::{Outgoing, ProtocolError};
use manager_api::{NamespaceName, Payload, Sid};

pub(crate) use data::{ack_payload, auth, event};

/// What a packet is, by the digit that it begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    Disconnect,
    Event,
    Ack,
}

/// The head of a packet of a client, and its JSON not yet looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    pub(crate) kind: Kind,
    pub(crate) num_attachments: usize,
    pub(crate) namespace: &'a str,
    pub(crate) id: Option<u64>,
    pub(crate) json: &'a str,
}

impl<'a> Packet<'a> {
    /// Reads `<type>[<attachments>-][<namespace>,][<id>][JSON]`.
    pub(crate) fn parse(text: &'a str) -> Result<Self, ProtocolError> {
        let mut characters = text.chars();
        let (kind, is_binary) = match characters.next() {
            Some('0') => (Kind::Connect, false),
            Some('1') => (Kind::Disconnect, false),
            Some('2') => (Kind::Event, false),
            Some('3') => (Kind::Ack, false),
            Some('5') => (Kind::Event, true),
            Some('6') => (Kind::Ack, true),
            _ => return Err(ProtocolError::new("unknown packet type")),
        };
        let mut rest = characters.as_str();
        let mut num_attachments = 0;
        if is_binary {
            let (count, tail) = rest
                .split_once('-')
                .ok_or(ProtocolError::new("no number of attachments"))?;
            num_attachments = number(count)? as usize;
            rest = tail;
            if num_attachments == 0 {
                return Err(ProtocolError::new("a binary packet without attachments"));
            }
        }
        let (namespace, rest) = match rest.starts_with('/') {
            true => rest.split_once(',').unwrap_or((rest, "")),
            false => ("/", rest),
        };
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (id, json) = rest.split_at(digits);
        Ok(Self {
            kind,
            num_attachments,
            namespace,
            id: if id.is_empty() { None } else { Some(number(id)?) },
            json,
        })
    }
}

fn number(digits: &str) -> Result<u64, ProtocolError> {
    // `parse` would take a sign.
    match digits.bytes().all(|digit| digit.is_ascii_digit()) {
        true => digits.parse().map_err(|_| ProtocolError::new("a number out of range")),
        false => Err(ProtocolError::new("not a number")),
    }
}

/// Encodes an event for every kind of transport; with an id if it is to be acknowledged.
pub(crate) fn encode_event(namespace: &NamespaceName, event: &str, payload: &Payload, id: Option<u64>) -> Outgoing {
    let capacity = 48 + namespace.as_str().len() + event.len() + payload.json_bytes().len();
    let write = |out: &mut Vec<u8>| write_event(out, namespace, event, payload, id);
    Outgoing::build(capacity, write, payload.attachments())
}

/// Encodes the acknowledgement of event `id`.
pub(crate) fn encode_ack(namespace: &NamespaceName, payload: &Payload, id: u64) -> Outgoing {
    let capacity = 48 + namespace.as_str().len() + payload.json_bytes().len();
    Outgoing::build(
        capacity,
        |out| write_ack(out, namespace, payload, id),
        payload.attachments(),
    )
}

/// Encodes the acceptance of a client.
pub(crate) fn encode_connect(namespace: &NamespaceName, sid: &Sid) -> Outgoing {
    Outgoing::build(
        48 + namespace.as_str().len(),
        |out| write_connect(out, namespace, sid),
        &[],
    )
}

/// Encodes a refusal; `json` is the object that says why.
///
/// The namespace is the client's own text, because it need not exist.
pub(crate) fn encode_connect_error(namespace: &str, json: &[u8]) -> Outgoing {
    let capacity = 8 + namespace.len() + json.len();
    Outgoing::build(capacity, |out| write_connect_error(out, namespace, json), &[])
}

/// Encodes the end of a client's membership in a namespace.
pub(crate) fn encode_disconnect(namespace: &NamespaceName) -> Outgoing {
    Outgoing::build(
        8 + namespace.as_str().len(),
        |out| write_head(out, b"1", namespace, None),
        &[],
    )
}

fn write_event(out: &mut Vec<u8>, namespace: &NamespaceName, event: &str, payload: &Payload, id: Option<u64>) {
    write_kind(out, b"2", b"5", payload);
    write_head(out, b"", namespace, id);
    out.push(b'[');
    serde_json::to_writer(&mut *out, event).expect("a string is JSON");
    let arguments = payload.inner_json();
    if !arguments.is_empty() {
        out.push(b',');
        out.extend_from_slice(arguments);
    }
    out.push(b']');
}

fn write_ack(out: &mut Vec<u8>, namespace: &NamespaceName, payload: &Payload, id: u64) {
    write_kind(out, b"3", b"6", payload);
    write_head(out, b"", namespace, Some(id));
    out.extend_from_slice(payload.json_bytes());
}

fn write_connect(out: &mut Vec<u8>, namespace: &NamespaceName, sid: &Sid) {
    write_head(out, b"0", namespace, None);
    out.extend_from_slice(b"{\"sid\":\"");
    out.extend_from_slice(sid.as_str().as_bytes());
    out.extend_from_slice(b"\"}");
}

fn write_connect_error(out: &mut Vec<u8>, namespace: &str, json: &[u8]) {
    out.push(b'4');
    write_namespace(out, namespace);
    out.extend_from_slice(json);
}

/// Writes the type: another one, and the number of attachments, if there are any.
fn write_kind(out: &mut Vec<u8>, plain: &[u8], binary: &[u8], payload: &Payload) {
    match payload.attachments().len() {
        0 => out.extend_from_slice(plain),
        count => {
            out.extend_from_slice(binary);
            write_number(out, count as u64);
            out.push(b'-');
        }
    }
}

fn write_head(out: &mut Vec<u8>, kind: &[u8], namespace: &NamespaceName, id: Option<u64>) {
    out.extend_from_slice(kind);
    write_namespace(out, namespace.as_str());
    if let Some(id) = id {
        write_number(out, id);
    }
}

fn write_namespace(out: &mut Vec<u8>, namespace: &str) {
    if namespace != "/" {
        out.extend_from_slice(namespace.as_bytes());
        out.push(b',');
    }
}

fn write_number(out: &mut Vec<u8>, number: u64) {
    serde_json::to_writer(out, &number).expect("a number is JSON");
}

#[cfg(test)]
mod tests;
